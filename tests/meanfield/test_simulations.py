"""Mean field against networks of N = 1000: within three standard errors plus c / N.

Networks are independent rows of the statistics: standard errors are those of their spread.
"""

import math
from typing import Any

import pytest
import torch

import sntorch as snt

N, NETWORKS = 1000, 6
_BIAS = {"exponent": 8.0, "moments": 6.0}  # c: five is typical of exponents, thresholds add to it

pytestmark = pytest.mark.slow


def standardised(n, g):
    """Return normal numbers with mean 0 and deviation 1: less spread between networks."""
    z = torch.randn(n, generator=g, dtype=torch.float64)
    return (z - z.mean()) / z.std()


def network(seed, numbers):
    g = torch.Generator().manual_seed(seed)
    std, mean = numbers.get("std", 1.0), numbers.get("mean", 0.0)
    J = snt.couplings.gaussian(N, std=std, mean=mean, generator=g, dtype=torch.float64)
    theta = numbers.get("threshold", 0.0) + numbers.get("threshold_std", 0.0) * standardised(N, g)
    settings = {k: numbers[k] for k in ("gain", "leak", "noise", "transfer") if k in numbers}
    return snt.SNTCell(J, threshold=theta, trainable=(), **settings), g


def measured(numbers, steps=300, transient=150):
    """Return mean and standard error over networks of mean, variance, lag-2 covariance, exponent.

    Averages over neurons are taken about the mean over neurons of their time averages, so that the
    variance contains the static part, as in theory.
    """
    found = []
    for seed in range(NETWORKS):
        cell, g = network(seed, numbers)
        u = torch.randn(N, generator=g, dtype=torch.float64)
        orbit = snt.rollout(cell, u, steps + transient, generator=g)[transient:]
        mean = orbit.mean()
        du = orbit - mean
        lag = (du[2:] * du[:-2]).mean()
        rate = snt.analysis.max_lyapunov(cell, orbit[-1], steps, transient=50, generator=g)
        found.append(torch.stack([mean, du.square().mean(), lag, rate.exponents[0]]))
    table = torch.stack(found)
    return table.mean(0).tolist(), (table.std(0) / math.sqrt(NETWORKS)).tolist()


@pytest.mark.parametrize(
    "numbers",
    [
        {"gain": 2.0},
        {"gain": 2.0, "noise": 0.5},
        {"gain": 2.0, "leak": 0.5},
        {"gain": 1.0, "leak": 0.5, "noise": 0.3},
        {"gain": 2.0, "threshold_std": 0.4},
        {"gain": 1.2, "noise": 0.5, "mean": 0.5, "threshold": 0.3, "std": 0.8},
        {"gain": 6.0, "noise": 0.2, "threshold": 0.4, "transfer": "tanh01"},
    ],
    ids=lambda numbers: "-".join(f"{k}{v}" for k, v in numbers.items()),
)
def test_networks(numbers: dict[str, Any]):
    theory = snt.meanfield.solve(**numbers)
    names = ("mean", "variance", "covariance", "exponent")
    values = (theory.mean, theory.variance, theory.covariance(2), theory.lyapunov)
    found, error = measured(numbers)
    for name, value, mean, stderr in zip(names, values, found, error, strict=True):
        bias = _BIAS["exponent" if name == "exponent" else "moments"] / N
        assert abs(mean - float(value)) < 3 * stderr + bias, (name, mean, float(value), stderr)
    low, high = theory.finite_size(N)
    assert float(low) - 3 * error[3] < found[3] < float(high) + 3 * error[3]


@pytest.mark.parametrize("leak", [(0.0, 0.0), (0.5, 0.3)], ids=["none", "leak"])
def test_two_populations(leak):
    sizes = (640, 360)
    Jbar = torch.tensor([[0.4, -0.5], [0.6, -0.3]], dtype=torch.float64)
    S = torch.tensor([[1, 0.8], [0.7, 1.2]], dtype=torch.float64)
    theta, s_th, sigma, gain = ([0.1, -0.2], [0.2, 0.1], [0.1, 0.2], [2.0, 3.0])
    theory = snt.meanfield.populations(
        gain=gain, std=S, mean=Jbar, threshold=theta, threshold_std=s_th, noise=sigma, leak=leak
    )

    def spread(values):
        return torch.cat(
            [torch.full((n,), x, dtype=torch.float64) for n, x in zip(sizes, values, strict=True)]
        )

    found = []
    settings: dict[str, Any] = {"gain": spread(gain), "noise": spread(sigma), "leak": spread(leak)}
    for seed in range(NETWORKS):
        g = torch.Generator().manual_seed(seed)
        J = snt.couplings.populations(sizes, mean=Jbar, std=S, generator=g, dtype=torch.float64)
        z = torch.cat([standardised(n, g) for n in sizes])
        cell = snt.SNTCell(J, threshold=spread(theta) + spread(s_th) * z, trainable=(), **settings)
        u = torch.randn(N, generator=g, dtype=torch.float64)
        orbit = snt.rollout(cell, u, 450, generator=g)[150:]
        rate = snt.analysis.max_lyapunov(cell, orbit[-1], 300, transient=50, generator=g)
        parts = orbit.split(sizes, dim=-1)
        means = [part.mean() for part in parts]
        centred = [part - part.mean() for part in parts]
        variances = [part.square().mean() for part in centred]
        lags = [(part[2:] * part[:-2]).mean() for part in centred]
        found.append(torch.stack([*means, *variances, *lags, rate.exponents[0]]))
    table = torch.stack(found)
    parts = (theory.mean, theory.variance, theory.covariance(2), theory.lyapunov[None])
    error = table.std(0) / math.sqrt(NETWORKS)
    gap = (table.mean(0) - torch.cat(parts)).abs()
    assert bool((gap < 3 * error + 8 / N).all()), (table.mean(0), torch.cat(parts), error)


def test_entropy_production():
    # Exact as N grows: the backward miss of a step is v + (v - sigma^2) - 2 Delta_2.
    cases: list[dict[str, Any]] = [{"gain": 1.5}, {"gain": 1.0, "leak": 0.4}]
    for numbers in cases:
        numbers["noise"] = 0.5
        theory = snt.meanfield.solve(**numbers)
        cell, g = network(0, numbers)
        u = torch.randn(N, generator=g, dtype=torch.float64)
        orbit = snt.rollout(cell, u, 500, generator=g)[100:]
        produced = snt.landscape.entropy_production(cell, orbit)
        expected = float(theory.entropy_production)
        assert float(produced.per_neuron) == pytest.approx(expected, rel=0.05)


def test_replicas_under_common_noise():
    for noise in (0.3, 0.9):
        theory = snt.meanfield.replicas(gain=2.0, noise=noise)
        found = []
        for seed in range(NETWORKS):
            cell, g = network(seed, {"gain": 2.0})
            u = torch.randn(2, N, generator=g, dtype=torch.float64)
            total = []
            for t in range(250):
                B = torch.randn(N, generator=g, dtype=torch.float64)
                u = cell.map(u) + noise * B
                if t >= 100:
                    total.append((u[0] - u[1]).square().mean())
            found.append(torch.stack(total).mean())
        table = torch.stack(found)
        error = float(table.std()) / math.sqrt(NETWORKS)
        expected = float(theory.distance_common)
        assert abs(float(table.mean()) - expected) < 3 * error + 6 / N
