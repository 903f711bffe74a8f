r"""Whether sntorch computes on this machine what is known: the table of `sntorch validate`.

Every check computes one number whose value is known from a closed form, the literature, or theory,
and says how far it may be off: by rounding, or by several standard errors of the measurement.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sntorch import couplings, meanfield
from sntorch.analysis import (
    continue_fixed_point,
    covariant_lyapunov_vectors,
    find_fixed_points,
    jacobian_spectrum,
    linear_response,
    lyapunov_spectrum,
    max_lyapunov,
)
from sntorch.cells import SNTCell
from sntorch.dynamics import as_dynamics, rollout
from sntorch.flows import EulerMaruyama, RungeKutta4
from sntorch.landscape import entropy_production
from sntorch.sequence import SNT
from sntorch.studies.route_to_chaos import network
from sntorch.systems import CatMap, Henon, Logistic, Lorenz, OrnsteinUhlenbeck

__all__ = ["CHECKS", "Outcome", "heading", "validate"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a check found."""

    name: str
    source: str
    measured: float
    expected: float
    tolerance: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the measured number is as near as it should be; NaN is not."""
        return abs(self.measured - self.expected) <= self.tolerance

    def row(self) -> str:
        """Return one line of the table."""
        return (
            f"{'pass' if self.passed else 'FAIL'}  {self.name:52} {self.measured:16.9g} "
            f"{self.expected:16.9g} {self.tolerance:9.1e} {self.seconds:7.2f} s  {self.source}"
        )

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ValueError(f"tolerance: expected > 0, got {self.tolerance}")


Numbers = tuple[float, float, float]
"""Measured, expected, tolerance."""

CHECKS: dict[str, tuple[str, Callable[[torch.device], Numbers]]] = {}


def _check(name: str, source: str) -> Callable[[Callable[[torch.device], Numbers]], object]:
    def register(run: Callable[[torch.device], Numbers]) -> object:
        CHECKS[name] = (source, run)
        return run

    return register


def validate(device: str | torch.device = "cpu") -> Iterator[Outcome]:
    """Yield the outcome of every check, in float64 on the device, one after the other.

    Random numbers come from streams of their own, so that a device gives the same table each time.

    Raises
    ------
    ValueError
        If torch cannot compute in float64 on the device.

    Examples
    --------
    >>> from sntorch.validation import validate
    >>> next(validate()).passed
    True
    """
    try:
        place = torch.ones(1, dtype=torch.float64, device=device).device
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device: expected one with float64, got {device!r}: {reason}") from error
    for name, (source, run) in CHECKS.items():
        start = time.perf_counter()
        with torch.random.fork_rng():  # torch draws the weights of its cells from the global stream
            measured, expected, tolerance = run(place)
        seconds = time.perf_counter() - start
        yield Outcome(name, source, float(measured), float(expected), float(tolerance), seconds)


def _normal(device: torch.device, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator()).to(device)


def _random(device: torch.device, n: int, gain: float, leak: float = 0.0) -> SNTCell:
    J = couplings.gaussian(n, generator=torch.Generator(), dtype=torch.float64)
    return SNTCell(J.to(device), gain=gain, leak=leak, trainable=())


@_check("Henon map, sum of exponents", "ln 0.3")
def _henon(device: torch.device) -> Numbers:
    u = torch.zeros(2, dtype=torch.float64, device=device)
    spectrum = lyapunov_spectrum(Henon().to(device), u, 2000, transient=100)
    return float(spectrum.exponents.sum()), math.log(0.3), 1e-9


@_check("Henon map, largest exponent", "Sprott 2003")
def _henon_largest(device: torch.device) -> Numbers:
    u = 0.1 * _normal(device, 64, 2)
    spectrum = max_lyapunov(Henon().to(device), u, 2000, transient=100)
    error = float(spectrum.exponents.std() / 8)
    return float(spectrum.exponents.mean()), 0.41922, 4 * error


@_check("cat map, covariant vectors, angle", "golden section: orthogonal")
def _cat(device: torch.device) -> Numbers:
    u = torch.tensor([0.1, 0.2], dtype=torch.float64, device=device)
    vectors = covariant_lyapunov_vectors(CatMap().to(device), u, 50, transient=50).vectors
    return float((vectors[..., 0] * vectors[..., 1]).sum(-1).abs().max()), 0.0, 1e-9


@_check("Lorenz flow, largest exponent per unit of time", "Sprott 2003")
def _lorenz(device: torch.device) -> Numbers:
    flow = RungeKutta4(Lorenz().to(device), 0.01)
    u = _normal(device, 64, 3) + torch.tensor([0.0, 0.0, 25.0], dtype=torch.float64, device=device)
    exponents = max_lyapunov(flow, u, 4000, transient=1000).exponents
    return float(exponents.mean()), 0.9056, 4 * float(exponents.std()) / 8


@_check("linear network, exponents", "logarithms of the eigenvalues")
def _linear(device: torch.device) -> Numbers:
    A = torch.diag(torch.linspace(0.3, 0.9, 8, dtype=torch.float64, device=device)).triu()
    A = A + 0.2 * _normal(device, 8, 8).triu(1)
    exponents = lyapunov_spectrum(lambda u: u @ A.mT, A[0], 2000, transient=200).exponents
    expected = A.diagonal().log().sort(descending=True).values
    return float((exponents - expected).abs().max()), 0.0, 1e-8


@_check("reference network, gain 1, largest exponent", "Doyon et al. 1993, see route_to_chaos")
def _reference(device: torch.device) -> Numbers:
    cell = network(1.0).to(device)
    u = 0.1 * _normal(device, 100)
    return float(lyapunov_spectrum(cell, u, 3000, transient=1500, k=2).exponents[0]), -0.0134, 5e-4


@_check("reference network, Neimark-Sacker bifurcation, gain", "see route_to_chaos")
def _neimark_sacker(device: torch.device) -> Numbers:
    cell = network(1.0).to(device)
    u = find_fixed_points(cell, torch.zeros(1, 100, dtype=torch.float64, device=device)).states[0]
    branch = continue_fixed_point(cell, u, "gain", [1.0, 1.05])
    found = [event.parameter for event in branch.events if event.kind == "neimark_sacker"]
    return found[0] if found else math.nan, 1.0174897959, 1e-8


@_check("logistic map, flip, parameter", "May 1976")
def _flip(device: torch.device) -> Numbers:
    u = torch.tensor([1 - 1 / 2.8], dtype=torch.float64, device=device)
    branch = continue_fixed_point(None, u, lambda r: Logistic(r).to(device), [2.8, 3.2])
    found = [event.parameter for event in branch.events if event.kind == "flip"]
    return found[0] if found else math.nan, 3.0, 1e-8


@_check("random couplings, N = 1000, spectral radius", "Girko 1985, finite size")
def _circular(device: torch.device) -> Numbers:
    cell = _random(device, 1000, gain=1.0)
    origin = torch.zeros(1000, dtype=torch.float64, device=device)
    return float(jacobian_spectrum(cell, origin).radius), 1.03, 0.05


@_check("mean field of erf, gain 2, variance", "closed form")
def _erf(device: torch.device) -> Numbers:
    field = meanfield.solve(gain=2.0, transfer="erf")
    v = float(field.variance)
    return v, 2 / math.pi * math.asin(8 * v / (1 + 8 * v)), 1e-10


@_check("mean field of tanh, gain 2, largest exponent", "Molgedey et al. 1992")
def _mean_field(device: torch.device) -> Numbers:
    z, w = _gauss(400)
    v = 0.5
    for _ in range(500):
        v = float((w * torch.tanh(2 * v**0.5 * z).square()).sum())
    slope = 2 / torch.cosh(2 * v**0.5 * z).square()
    expected = 0.5 * math.log(float((w * slope.square()).sum()))
    return float(meanfield.solve(gain=2.0).lyapunov), expected, 1e-6


def _gauss(n: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of averages over a standard normal number, by the trapezoid rule."""
    z = torch.linspace(-12, 12, 16 * n + 1, dtype=torch.float64)
    return z, torch.exp(-z.square() / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)


@_check("network of 1000 against mean field, gain 2, exponent", "theory, finite size")
def _simulated(device: torch.device) -> Numbers:
    cell = _random(device, 1000, gain=2.0)
    spectrum = max_lyapunov(cell, _normal(device, 1000), 1000, transient=200)
    tolerance = 4 * float(spectrum.stderr[0]) + 0.01
    return float(spectrum), float(meanfield.solve(gain=2.0).lyapunov), tolerance


@_check("linear response of a linear network, lag 3", "powers of the matrix")
def _response(device: torch.device) -> Numbers:
    A = 0.3 * _normal(device, 5, 5)
    response = linear_response(lambda u: u @ A.mT, 0 * A[0], lags=3, samples=50, method="tangent")
    return float((response.kernel[3] - A.matrix_power(3)).abs().max()), 0.0, 1e-12


@_check("Ornstein-Uhlenbeck flow, entropy production per unit of time", "Seifert 2012")
def _entropy(device: torch.device) -> Numbers:
    # The map is u' = (a + b rotation) u + noise: its exact value is 4 b^2 / (1 - a^2 - b^2) a step.
    w, dt, stream = 1.5, 0.01, torch.Generator(device)
    a, b = 1 - dt, w * dt
    A = torch.tensor([[-1.0, -w], [w, -1.0]], dtype=torch.float64, device=device)
    f = EulerMaruyama(OrnsteinUhlenbeck(A, diffusion=1.0).to(device), dt)
    start = torch.randn(2000, 2, dtype=torch.float64, device=device, generator=stream)
    orbit = rollout(f, start, 1000, generator=stream)
    rates = entropy_production(f, orbit).value
    expected = 4 * b**2 / (1 - a**2 - b**2) / dt
    return float(rates.mean()), expected, 5 * float(rates.std()) / 2000**0.5


@_check("SNT layer against nn.RNN in other variables", "the same network")
def _layer(device: torch.device) -> Numbers:
    rnn, J, W = nn.RNN(3, 20, bias=False), 0.2 * _normal(device, 20, 20), _normal(device, 20, 3)
    rnn = rnn.to(device, torch.float64)
    rnn.load_state_dict({"weight_hh_l0": J, "weight_ih_l0": W})
    cell = SNTCell(J, input_size=3, trainable=())
    cell.load_state_dict({"input_weight": W}, strict=False)
    x = _normal(device, 30, 4, 3)
    with torch.no_grad():
        gap = SNT(cell, output="rate")(x)[0] - rnn(x)[0]
    return float(gap.abs().max()), 0.0, 1e-12


@_check("tangent of a GRU against central differences", "calculus")
def _tangent(device: torch.device) -> Numbers:
    gru = as_dynamics(nn.GRUCell(3, 16, dtype=torch.float64, device=device))
    u, v, h = _normal(device, 16), _normal(device, 16), 1e-5
    with torch.no_grad():
        slope = (gru.map(u + h * v) - gru.map(u - h * v)) / (2 * h)
        pushed = gru.jvp(u, v.unsqueeze(-1))[1].squeeze(-1)
    return float((pushed - slope).abs().max()), 0.0, 1e-8


@_check("orbit on the device against the CPU, 20 steps", "the same network")
def _same(device: torch.device) -> Numbers:
    cell, u = _random(torch.device("cpu"), 200, gain=1.5, leak=0.3), _normal(device, 8, 200)
    here = rollout(cell, u.cpu(), 20)
    there = rollout(cell.to(device), u, 20)
    return float((there.cpu() - here).abs().max()), 0.0, 1e-8


def heading() -> str:
    """Return the line above the rows."""
    columns = f"{'measured':>16} {'expected':>16} {'tolerance':>9} {'time':>7}"
    return f"      {'':52} {columns}    known from"
