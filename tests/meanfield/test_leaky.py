"""Populations with leak: linear networks, whose spectrum can be written down."""

import math

import pytest
import torch
from torch.testing import assert_close

from sntorch.meanfield.leaky import joined, stand
from sntorch.meanfield.tables import read
from sntorch.transfer import as_transfer


def test_linear_networks():
    gain, std, leak, noise = 0.5, (0.6, 1.0), 0.3, (0.4, 0.2)
    t, _ = read(as_transfer("linear"), torch.diag(torch.tensor(std, dtype=torch.float64)), 0.0,
                gain=gain, threshold=0.0, threshold_std=0.0, noise=noise, leak=leak)  # fmt: skip
    found = stand(t, torch.zeros_like(t.gain), torch.ones_like(t.gain), 200)
    for a in range(2):
        # S_u(w) = sigma^2 / (|e^{iw} - gamma|^2 - (S g)^2), integrated over frequencies.
        power = (std[a] * gain) ** 2
        v = noise[a] ** 2 / math.sqrt((1 + leak**2 - power) ** 2 - 4 * leak**2)
        assert found["variance"][0, a].item() == pytest.approx(v, rel=1e-9)
        # The covariance falls by a factor r per lag: the root of the same denominator.
        b = 1 + leak**2 - power
        r = (b - math.sqrt(b**2 - 4 * leak**2)) / (2 * leak)
        assert found["covariances"][0, a, 3].item() == pytest.approx(v * r**3, rel=1e-8)
    assert found["period"].tolist() == [1]
    assert found["microscopic"].item() == pytest.approx(math.log(leak + 1.0 * gain), abs=1e-7)


def test_joined_rows_are_in_order():
    def part(rows, lags):
        column = torch.tensor(rows, dtype=torch.float64).unsqueeze(-1)
        return torch.tensor(rows), {
            "mean": column,
            "overlap": column / 10,
            "covariances": column.unsqueeze(-1).repeat(1, 1, lags),
            "means": column.expand(4, -1, -1),
        }

    found = joined([part([2, 0], 3), part([1], 5)])
    assert found["mean"].flatten().tolist() == [0, 1, 2]
    assert found["means"].shape == (4, 3, 1)
    assert found["means"][0].flatten().tolist() == [0, 1, 2]
    # A shorter ring goes on at the overlap.
    assert_close(found["covariances"][2, 0], torch.tensor([2, 2, 2, 0.2, 0.2]).double())
