"""Every layer of couplings against the dense matrix that it stands for."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from references import N, blocks, low_rank, random_coupling, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.couplings import Blocks, Coupling, Dense, LowRank, Sparse, as_coupling

LAYERS = {
    "dense": Dense,
    "sparse": lambda J: Sparse(thinned(J)),
    "low-rank": low_rank,
    "low-rank-dense": lambda J: low_rank(J, J),
    "low-rank-sparse": lambda J: low_rank(J, thinned(J).to_sparse_csr()),
    "blocks": blocks,
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
shape = pytest.mark.parametrize("rows", [(), (3,), (2, 3), (0,)], ids=str)


def built(make, dtype=torch.float64):
    layer = make(random_coupling(dtype))
    return layer, layer.to_dense().detach().clone()


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def close(found, expected):
    assert_close(found, expected, rtol=1e-12, atol=1e-12)


# The same numbers as the dense matrix


@every_layer
@shape
def test_products(make, rows):
    layer, J = built(make)
    f, V = randn(*rows, N), randn(*rows, N, 2)
    close(layer(f), f @ J.T)
    close(layer.transposed(f), f @ J)
    close(layer.push(V), J @ V)
    close(layer.pull(V), J.T @ V)


@every_layer
def test_the_cell_gives_the_dense_numbers(make):
    layer, J = built(make)
    settings = {"gain": 1.4, "leak": 0.3, "threshold": 0.1, "noise": 0.2, "input_size": 2}
    cell, dense = snt.SNTCell(layer, **settings), snt.SNTCell(J, **settings)
    dense.load_state_dict({"input_weight": cell.input_weight}, strict=False)
    u, x, V = randn(3, N), randn(20, 3, 2), randn(3, N, 2)
    streams = [torch.Generator().manual_seed(4) for _ in range(2)]
    orbits = [snt.rollout(f, u, 20, x=x, generator=g) for f, g in zip((cell, dense), streams)]  # noqa: B905
    close(orbits[0], orbits[1])
    for verb in ("jvp", "vjp"):
        close(getattr(cell, verb)(u, V, x[0]), getattr(dense, verb)(u, V, x[0]))
    close(cell.jacobian(u), dense.jacobian(u))


@every_layer
def test_gradients_are_those_of_the_matrix(make):
    layer, J = built(make)
    u, weight = randn(5, N), randn(5, N)
    cell, dense = snt.SNTCell(layer, leak=0.3), snt.SNTCell(J, leak=0.3)
    (by_matrix,) = torch.autograd.grad((dense.map(dense.map(u)) * weight).sum(), dense.coupling)
    loss = (cell.map(cell.map(u)) * weight).sum()
    found = torch.autograd.grad(loss, list(layer.parameters()))
    # The chain rule through the matrix, which `to_dense` makes of the parameters.
    expected = torch.autograd.grad(layer.to_dense(), list(layer.parameters()), by_matrix)
    for gradient, wanted, entries in zip(found, expected, layer.parameters(), strict=True):
        close(gradient, wanted)
        assert gradient.shape == entries.shape


@every_layer
def test_a_step_of_an_optimiser_changes_stored_entries_only(make):
    layer, J = built(make)
    cell = snt.SNTCell(layer)
    optimiser = torch.optim.Adam(cell.parameters(), lr=0.1)
    cell.map(randn(5, N)).square().sum().backward()
    optimiser.step()
    changed = layer.to_dense().detach() != J
    assert bool(changed.any())
    if isinstance(layer, Sparse):
        assert torch.equal(changed, J != 0)
    if isinstance(layer, Blocks):
        assert not changed[3:, :3].any()


@every_layer
def test_scaling(make):
    layer, J = built(make)
    assert layer.scale_(0.25) is layer
    close(layer.to_dense().detach(), 0.25 * J)
    assert all(p.is_leaf and p.requires_grad for p in layer.parameters())


# A module like any other


@every_layer
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies(make, duplicate):
    layer, J = built(make)
    layer.pull(randn(N, 1))  # whatever it remembers
    twin = duplicate(layer)
    with torch.no_grad():
        for entries in layer.parameters():
            entries.zero_()
    close(twin.pull(torch.eye(N, dtype=torch.float64)), J.T)


@every_layer
def test_state_dict(make):
    layer, J = built(make)
    other = make(random_coupling(seed=5))
    other.pull(randn(N, 1))
    other.load_state_dict(layer.state_dict())
    eye = torch.eye(N, dtype=torch.float64)
    close(other.push(eye), J)
    close(other.pull(eye), J.T)


def test_a_loaded_pattern_is_used():
    J = thinned(random_coupling())
    layer, other = Sparse(J), Sparse(J.flip(-1))
    other.pull(randn(N, 1))
    other.load_state_dict(layer.state_dict())
    close(other.pull(torch.eye(N, dtype=torch.float64)), J.T)


@every_layer
def test_moves_between_dtypes(make):
    layer, J = built(make)
    eye = torch.eye(N, dtype=torch.float32)
    layer.pull(randn(N, 1))
    assert_close(layer.float().pull(eye), J.T.float())
    assert {b.dtype for b in layer.buffers()} <= {torch.int32}


@pytest.mark.gpu
@every_layer
def test_the_same_on_a_gpu(make):
    layer, J = built(make)
    layer.pull(randn(N, 1))
    V = randn(3, N, 2).cuda().requires_grad_()
    layer = layer.cuda()
    value = layer.pull(layer.push(V))
    assert_close(value.cpu(), J.T @ J @ V.cpu())
    value.square().sum().backward()
    assert V.grad is not None


@every_layer
def test_a_layer_is_held_and_frozen_on_demand(make):
    layer, _ = built(make)
    held = snt.SNTCell(layer)
    assert held.coupling is layer
    frozen = snt.SNTCell(layer, trainable=("gain",))
    assert [n for n, p in frozen.named_parameters() if p.requires_grad] == ["gain"]
    # The layer of the user, and of the other cell, is trained as before: both show it.
    assert all(p.requires_grad for p in layer.parameters())
    layer.scale_(2.0)
    assert_close(frozen.coupling.to_dense(), layer.to_dense())
    u = torch.randn(5, layer.shape[0], dtype=torch.float64)
    assert_close(frozen.map(u), held.map(u))
    assert_close(frozen.vjp(u, u.unsqueeze(-1))[1], held.vjp(u, u.unsqueeze(-1))[1])


def test_structure_is_trained_on_a_frozen_base():
    layer = low_rank(random_coupling(), random_coupling())
    assert layer.base is not None
    layer.base.requires_grad_(False)
    cell = snt.SNTCell(layer)
    assert {n for n, p in cell.named_parameters() if p.requires_grad} == {
        "coupling.left",
        "coupling.right",
    }


@pytest.mark.parametrize(
    "layout", ["to_sparse_csr", "to_sparse_coo", "to_sparse_csc", "to_sparse_bsr"]
)
def test_the_cell_takes_sparse_tensors(layout):
    J = thinned(random_coupling())
    blocks = [(2, 2)] if layout == "to_sparse_bsr" else []
    cell = snt.SNTCell(getattr(J, layout)(*blocks))
    assert isinstance(cell.coupling, Sparse)
    assert_close(cell.coupling.to_dense(), J)
    assert_close(cell.coupling.to_csr().to_dense(), J)


def test_as_coupling_chooses():
    J = thinned(random_coupling())
    layer = Dense(J)
    assert as_coupling(layer) is layer
    assert type(as_coupling(J)) is Dense
    assert type(as_coupling(J.to_sparse_coo())) is Sparse


def test_a_network_without_couplings():
    cell, u = snt.SNTCell(torch.zeros(3, 3).to_sparse_csr(), leak=0.5), torch.ones(2, 3)
    cell.map(u).sum().backward()
    assert_close(cell.map(u), 0.5 * u)
    assert cell.coupling.values.grad.shape == (0,)


def test_the_users_own_coupling():
    class Roll(Coupling):
        """The ring that hands every rate to the right."""

        strength: torch.Tensor

        def __init__(self, n):
            super().__init__()
            self.shape = n, n
            self.register_buffer("strength", torch.ones((), dtype=torch.float64))

        def matmat(self, X):
            return self.strength * X.roll(1, 0)

        def rmatmat(self, Y):
            return self.strength * Y.roll(-1, 0)

        def scale_(self, factor):
            self.strength *= factor
            return self

        def to_dense(self):
            return self.matmat(torch.eye(self.shape[1], dtype=torch.float64))

    cell, u = snt.SNTCell(Roll(5)), randn(2, 5)
    assert_close(cell.map(u), torch.tanh(u).roll(1, -1))
    assert_close(cell.jacobian(u), snt.SNTCell(Roll(5).to_dense()).jacobian(u))


# Large networks


@pytest.mark.slow
def test_no_dense_matrix_is_formed():
    """A network whose dense matrix has 6.4 GB is built, stepped and differentiated in 0.5 GB."""
    code = """
import resource, torch
import sntorch as snt
snt.SNTCell(torch.eye(3).to_sparse_csr()).map(torch.ones(1, 3)).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cell = snt.SNTCell(snt.couplings.sparse(40_000, degree=20, layout="csr"), leak=0.5)
u = torch.randn(2, 40_000)
snt.rollout(cell, u, 2).square().sum().backward()
cell.vjp(u, torch.randn(2, 40_000, 2))
snt.analysis.max_lyapunov(cell, u, 2)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code],
                         capture_output=True, text=True, timeout=120)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 0.5


# Wrong arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(torch.ones(3)), r"weight: expected a matrix, got \(3,\)"),
        (lambda: Dense(torch.eye(2).to_sparse_csr()), "weight: expected a dense tensor"),
        (lambda: Dense(torch.full((2, 2), torch.nan)), "weight: expected finite numbers"),
        (
            lambda: Sparse(torch.eye(2).to_mkldnn()),
            "matrix: expected one of the layouts strided, sparse_csr, .* got torch._mkldnn",
        ),
        (lambda: Sparse(torch.full((2, 2), torch.inf).to_sparse_csr()), "matrix: expected finite"),
        (lambda: Sparse(torch.eye(2).long()), "matrix: expected a floating dtype"),
        (lambda: LowRank(torch.ones(3, 1), torch.ones(3, 2)), r"right: expected \(n, 1\), got"),
        (
            lambda: LowRank(torch.ones(3, 1), torch.ones(3, 1).double()),
            "right: expected torch.float32, the dtype of left",
        ),
        (
            lambda: LowRank(torch.ones(3, 1), torch.ones(3, 1), torch.eye(2)),
            r"base: expected \(3, 3\), got \(2, 2\)",
        ),
        (
            lambda: LowRank(torch.ones(2, 1), torch.ones(2, 1), torch.eye(2).double()),
            "base: expected torch.float32",
        ),
        (lambda: Blocks([]), "table: expected rows of one length"),
        (lambda: Blocks([[torch.eye(2)], []]), r"table: expected rows of one length .* \[1, 0\]"),
        (
            lambda: Blocks([[torch.eye(2), None], [torch.eye(2), None]]),
            "table: expected a block in every column, got none in 1",
        ),
        (
            lambda: Blocks([[torch.eye(2), torch.ones(3, 1)]]),
            r"table\[0\]\[1\]: expected 2 on axis 0",
        ),
        (
            lambda: Blocks([[torch.eye(2), torch.ones(2, 1).double()]]),
            r"table\[0\]\[1\]: expected torch.float32, the dtype of the first block",
        ),
        (
            lambda: snt.SNTCell(Dense(torch.ones(2, 3))),
            r"J: expected a square matrix \(N, N\), got \(2, 3\)",
        ),
        (lambda: as_coupling("dense"), "J: expected a torch.Tensor, got str"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_wrong_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@every_layer
@pytest.mark.parametrize(
    ("verb", "shape", "message"),
    [
        ("forward", (3, 5), "f: expected 4 on axis -1"),
        ("transposed", (5,), "g: expected 4 on axis -1"),
        ("push", (5, 2), "V: expected 4 on axis -2"),
        ("pull", (4,), "W: expected 4 on axis -2"),
    ],
)
def test_inputs_that_do_not_fit_are_named(make, verb, shape, message):
    with pytest.raises(ValueError, match=message):
        getattr(built(make)[0], verb)(randn(*shape))
