"""QR by way of Gram matrices against Householder's, on frames as walks meet them."""

import math

import pytest
import torch
from references import random_coupling
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import orthonormal as module
from sntorch.analysis.orthonormal import decades, orthonormal


@pytest.fixture
def gram(monkeypatch):
    """Let frames of several rows go the way that they go on a GPU; count those that do."""
    taken = []
    inner = module._by_cholesky

    def counted(V):
        found = inner(V)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(module, "_many", lambda V: V.ndim > 2)
    monkeypatch.setattr(module, "_by_cholesky", counted)
    return taken


def frames(*shape, angle=1.0, dtype=torch.float64):
    """Return frames whose columns are `angle` apart from one direction."""
    V = angle * torch.randn(*shape, dtype=dtype)
    return V + torch.randn(*shape[:-2], shape[-2], 1, dtype=dtype)


@pytest.mark.parametrize("shape", [(3, 8, 1), (3, 8, 4), (3, 8, 8), (2, 3, 8, 5)], ids=str)
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_q_is_orthonormal_and_the_product_is_the_frame(shape, scale, gram):
    V = frames(*shape, angle=0.1) * scale
    Q, R = orthonormal(V)
    assert gram == [True]
    assert_close(Q @ R / scale, V / scale, rtol=0, atol=1e-14)
    eye = torch.eye(shape[-1]).double()
    assert_close(Q.mT @ Q, eye.expand(*R.shape), rtol=0, atol=1e-10)
    assert torch.equal(R, R.triu())
    exact = torch.linalg.qr(V).R.diagonal(dim1=-2, dim2=-1).abs()
    assert_close(R.diagonal(dim1=-2, dim2=-1) / exact, torch.ones_like(exact), rtol=0, atol=1e-10)


def test_columns_of_different_lengths_lose_nothing(gram):
    V = torch.randn(3, 8, 4).double() * torch.logspace(-120, 100, 4, dtype=torch.float64)
    logs = orthonormal(V)[1].diagonal(dim1=-2, dim2=-1).log()
    assert gram == [True]
    exact = torch.linalg.qr(V).R.diagonal(dim1=-2, dim2=-1).abs().log()
    assert_close(logs, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_columns_that_come_too_close_go_the_exact_way(dtype, gram):
    V = frames(3, 8, 4, angle=1e-5 if dtype == torch.float64 else 1e-3, dtype=dtype)
    found, exact = orthonormal(V), torch.linalg.qr(V)
    assert gram == [False]
    assert torch.equal(found[0], exact.Q)
    assert torch.equal(found[1], exact.R)


@pytest.mark.parametrize("broken", [math.nan, math.inf, 0.0])
def test_frames_that_are_broken_go_the_exact_way(broken, gram):
    V = frames(3, 8, 4)
    V[1, :, 2] = broken
    R = orthonormal(V)[1]
    assert gram == [False]
    assert torch.equal(R.isnan(), torch.linalg.qr(V).R.isnan())


def test_error_grows_as_the_module_says(gram):
    """Rounding enters with eps / l^2: 1e-8 where columns are as close as they may come."""
    errors = []
    for angle in (1e-1, 1e-3):
        V = frames(200, 8, 2, angle=angle)
        diagonals = [
            R.diagonal(dim1=-2, dim2=-1).abs().log()
            for R in (orthonormal(V)[1], torch.linalg.qr(V).R)
        ]
        errors.append(float((diagonals[0] - diagonals[1]).square().mean().sqrt()))
    assert gram == [True, True]
    assert 1e-13 < errors[1] < 1e-9
    assert 1e2 < errors[1] / errors[0] < 1e6


def test_one_frame_and_the_cpu_go_the_exact_way():
    for V in (torch.randn(8, 4), torch.randn(3, 8, 4)):
        assert_close(orthonormal(V)[1], torch.linalg.qr(V).R, rtol=0, atol=0)
        assert decades(V) == math.inf


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("leak", [0.0, 0.5])
def test_exponents_are_those_of_the_exact_way(k, leak, gram, monkeypatch):
    cell = snt.SNTCell(random_coupling(n=20) / 20**0.5, gain=1.5, leak=leak)
    u = torch.randn(3, 20).double()
    found = snt.analysis.lyapunov_spectrum(cell, u, 200, k=k)
    if k < 20:  # the last columns of a whole frame may lose more in a single step
        assert found.spread < 4
        assert gram.count(True) >= 0.9 * len(gram)
    assert True in gram
    monkeypatch.undo()
    exact = snt.analysis.lyapunov_spectrum(cell, u, 200, k=k)
    assert_close(found.exponents, exact.exponents, rtol=0, atol=1e-8)


@pytest.mark.gpu
def test_many_frames_on_a_gpu():
    V = frames(64, 50, 10, angle=0.1)
    Q, R = orthonormal(V.cuda())
    assert_close((Q @ R).cpu(), V, rtol=0, atol=1e-13)
    exact = torch.linalg.qr(V).R.diagonal(dim1=-2, dim2=-1).abs()
    assert_close(R.diagonal(dim1=-2, dim2=-1).cpu(), exact, rtol=1e-9, atol=0)
