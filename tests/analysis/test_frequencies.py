"""Lines of series whose frequencies are known."""

import math

import numpy as np
import pytest
import torch

from sntorch.analysis import spectral_lines
from tests.references import random_generator

GOLDEN = (5**0.5 - 1) / 2
TURN = 2 * math.pi


def cosines(*frequencies, steps=4000):
    t = torch.arange(steps, dtype=torch.float64)
    return torch.stack([torch.cos(TURN * nu * t + i) for i, nu in enumerate(frequencies)])


@pytest.mark.parametrize(
    ("series", "expected", "pieces"),
    [
        (cosines(0.1103)[0], [0.1103], 1),
        (torch.exp(cosines(0.1103)[0]), [0.1103], 1),
        (cosines(0.2206)[0] + 0.5 * cosines(0.3309)[0], [0.1103], 1),  # no line at the base itself
        (torch.exp(cosines(GOLDEN / 2, 2**0.5 / 10).sum(0)), [2**0.5 / 10, GOLDEN / 2], 1),
        (cosines(0.2).sum(0) + cosines(0.4)[0], [], 5),
        (cosines(0.5)[0] * (1.3 + torch.exp(cosines(0.0701)[0])), [0.4299], 2),
    ],
)
def test_base_frequencies(series, expected, pieces):
    found = spectral_lines(series, dt=0.5)
    assert found.explained
    assert found.pieces == pieces
    assert sorted((0.5 * found.base).tolist()) == pytest.approx(expected, abs=2e-6)


def test_three_base_frequencies():
    series = torch.exp(cosines(GOLDEN / 2, 2**0.5 / 10, math.pi / 70).sum(0) * 0.5)
    found = spectral_lines(series)
    assert found.explained
    assert len(found.base) == 3
    assert set(found.scalars()) == {"explained", "1", "2", "3"}


def test_frequencies_are_sharper_than_bins():
    t = torch.arange(1000, dtype=torch.float64)
    for nu in np.linspace(0.1, 0.101, 7):
        found = spectral_lines(torch.cos(TURN * nu * t + 1))
        assert abs(float(found.frequencies[0]) - nu) < 2e-7
        assert float(found.amplitudes[0]) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("seed", range(8))
def test_noise_has_no_base(seed):
    found = spectral_lines(torch.randn(3000, generator=random_generator(seed)))
    assert not found.explained
    assert len(found.base) == 0


def test_a_constant_has_no_lines():
    found = spectral_lines(torch.full((200,), 0.7, dtype=torch.float64))
    assert len(found.frequencies) == 0
    with pytest.raises(ValueError, match="T >= 64"):
        spectral_lines(torch.ones(63))
