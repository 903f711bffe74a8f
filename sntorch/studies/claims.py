r"""What was published, and whether a study agrees: one claim for every study.

A claim is judged by the scalars of a study alone (``result.json``), so that a study that was run
long ago, or elsewhere, can still be judged.  Every finding says what was measured, what it should
be, and whether it is: within a tolerance that covers the error of the default setting and, where
theory is one of infinitely many neurons, the size of the networks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from sntorch.studies.findings import Finding, Scalars, above, below, near, ordered, series

__all__ = ["CLAIMS", "Claim", "judge"]

Judge = Callable[[Scalars], list[Finding]]


@dataclasses.dataclass(frozen=True)
class Claim:
    """What was published."""

    source: str
    """Who says so, and when."""
    text: str
    """What is said."""
    judge: Judge
    """From the scalars of the study to what they say of the claim."""


def judge(name: str, found: Scalars) -> list[Finding]:
    """Return what the scalars of an experiment say of its claim, of what was measured.

    Raises
    ------
    ValueError
        If there is no claim of that name.

    Examples
    --------
    >>> [finding] = judge("studies/memory_capacity", {"peak/exponent": -0.06})
    >>> finding.measured, finding.agrees
    ('-0.06', True)
    """
    if name not in CLAIMS:
        raise ValueError(f"name: expected one of {', '.join(CLAIMS)}, got {name!r}")
    try:
        return CLAIMS[name].judge(found)
    except KeyError as missing:
        return [Finding(f"{missing}", "not measured", "a number", False)]


CLAIMS: dict[str, Claim] = {}
"""Name of an experiment, such as ``studies/route_to_chaos``: its claim."""


def _claim(name: str, source: str, text: str) -> Callable[[Judge], None]:
    def register(judge: Judge) -> None:
        CLAIMS[name] = Claim(source, " ".join(text.split()), judge)

    return register


@_claim(
    "studies/route_to_chaos",
    "Doyon, Cessac, Quoy and Samuelides 1993; Cessac 2020",
    """As the gain grows a random network goes from a fixed point to a closed curve, to a two-torus,
    and to chaos.""",
)
def _(found: Scalars) -> list[Finding]:
    name = "largest exponent at gain {} (nats / step)"
    return [
        near(name.format("1.0, fixed point"), found["max/1"], -0.0134, 0.001),
        near(name.format("1.1, closed curve"), found["max/1.1"], 0.0, 0.001),
        near(name.format("1.4, chaos"), found["max/1.4"], 0.0197, 0.005),
    ]


@_claim(
    "studies/mean_field_lyapunov",
    "Molgedey, Schuchhardt and Schuster 1992; Cessac 1995",
    "The largest exponent of a large random network is the one of its mean field.",
)
def _(found: Scalars) -> list[Finding]:
    distance = series(found, "distance")
    return [
        ordered("mean distance to theory as N grows", list(distance.values()), rising=False),
        below(f"distance at N = {max(distance):g} (nats / step)", distance[max(distance)], 0.02),
    ]


@_claim(
    "studies/noise_suppresses_chaos",
    "Molgedey, Schuchhardt and Schuster 1992",
    """Noise ends chaos; the critical noise grows with the gain, for large gains like
    sqrt(8 g^2 / (9 pi) - 1).""",
)
def _(found: Scalars) -> list[Finding]:
    critical = series(found, "critical")
    gain = max(critical)
    expected = math.sqrt(8 * gain**2 / (9 * math.pi) - 1)
    return [
        ordered("critical noise as the gain grows", list(critical.values())),
        near(f"critical noise at gain {gain:g}", critical[gain], expected, 0.1 * expected),
    ]


@_claim(
    "studies/phase_diagram",
    "Sompolinsky, Crisanti and Sommers 1988; Molgedey et al. 1992",
    "Without noise chaos begins at gain 1, and noise moves its border to larger gains.",
)
def _(found: Scalars) -> list[Finding]:
    return [
        near("smallest chaotic gain of the grid", found["onset"], 1.0, 0.05),
        above("critical noise at the largest gain", found["border"], 0.5),
    ]


@_claim(
    "studies/edge_of_chaos_order_parameters",
    "Qiu and Huang 2025, corrected: the overlap of two replicas is zero, the self-overlap is not",
    """Under the canonical measure of the speed the self-overlap q becomes positive at gain 1 as the
    temperature vanishes; sampled networks follow the replica-symmetric solution.""",
)
def _(found: Scalars) -> list[Finding]:
    distance, energy = series(found, "distance"), series(found, "energy")
    size = max(distance)
    return [
        below(f"largest distance of q to theory, N = {size:g}", distance[size], 0.06),
        below(f"largest deviation of E/N from T/2, N = {size:g}", energy[size], 0.1),
    ]


@_claim(
    "studies/fixed_point_overlaps",
    "Wainrib and Touboul 2013; Sompolinsky et al. 1988; Qiu and Huang 2025",
    """Which measure is meant decides the overlap of fixed points: typical ones are smaller than the
    chaotic attractor, and that is smaller than those of the canonical measure.""",
)
def _(found: Scalars) -> list[Finding]:
    names = ("typical", "attractor", "canonical")
    gains = list(series(found, "typical"))
    return [
        ordered(f"{', '.join(names)} at gain {gain:g}", [found[f"{n}/{gain:g}"] for n in names])
        for gain in (gains[0], gains[-1])
    ]


@_claim(
    "studies/hebbian_edge_of_chaos",
    "Siri, Berry, Cessac, Delord and Quoy 2008",
    """Hebbian learning with forgetting drives a chaotic network to simpler dynamics, and it is most
    sensitive to the learned pattern at the edge of chaos.  The control says that forgetting alone
    passes the edge too.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        below("largest exponent after learning (nats / step)", found["exponent/learning"], 0.0),
        near("exponent where it is most sensitive", found["peak_exponent/learning"], 0.0, 0.06),
        near("the same of the control", found["peak_exponent/forgetting"], 0.0, 0.06),
    ]


@_claim(
    "studies/intrinsic_plasticity",
    "after Naude, Cessac, Berry and Delord 2013, with a generic rule",
    "Homeostasis of thresholds cancels their disorder and raises the exponent to its mean field.",
)
def _(found: Scalars) -> list[Finding]:
    tolerance = 0.005 + 3 * found["distance_stderr"]
    return [
        above("largest exponent after learning (nats / step)", found["exponent"], 0.05),
        near("its distance to the mean field", found["distance"], 0.0, tolerance),
    ]


@_claim(
    "studies/associative_memory",
    "Amit, Gutfreund and Sompolinsky 1985; Sompolinsky and Kanter 1986",
    """A Hopfield network recalls up to 0.138 patterns per neuron; asymmetry lowers that.""",
)
def _(found: Scalars) -> list[Finding]:
    capacity = series(found, "capacity")
    return [
        near("load at half recall without asymmetry", capacity[0.0], 0.138, 0.03),
        ordered("capacity as the asymmetry grows", list(capacity.values()), rising=False),
    ]


@_claim(
    "studies/pattern_memory",
    "Miconi, Clune and Stanley 2018",
    """Networks with plastic synapses, trained through time, complete patterns that they saw a few
    steps ago better than the same networks without.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        below(f"share of wrong bits, {kind}", found[f"plastic/{kind}"], found[f"twin/{kind}"])
        for kind in ("random bits", "digits")
    ]


@_claim(
    "studies/memory_capacity",
    "Jaeger 2001; Bertschinger and Natschlaeger 2004",
    "A random network remembers most of its input near the edge of chaos.",
)
def _(found: Scalars) -> list[Finding]:
    return [
        near("exponent where memory is largest (nats / step)", found["peak/exponent"], 0.0, 0.1)
    ]


@_claim(
    "studies/susceptibility",
    "Cessac and Sepulchre 2004, 2006",
    """A chaotic network has a linear response with resonances; those of a pair in a large network
    are not seen in any spectrum.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        near("response of neuron 1 to neuron 6 after 2 steps", found["kernel/2/1/6"], 1.354, 0.03),
        below("variation of spectra, large network", found["large/spectra"], found["large/chi"]),
    ]


@_claim(
    "studies/signal_transmission",
    "Cessac and Sepulchre 2006",
    """Which neurons of a chaotic network a weak modulated signal reaches depends on its carrier, as
    linear response predicts.""",
)
def _(found: Scalars) -> list[Finding]:
    name = "received less predicted, in standard errors (rms)"
    return [near(name, found["residual"], 1.0, 0.1)]


@_claim(
    "studies/ring_landscape",
    "H. Yan et al. 2013, for larger networks; these two neurons are ours",
    """Asymmetry closes wells to a ring; flux drives round it: entropy production grows and the
    period falls.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        ordered("entropy production", list(series(found, "entropy_production").values())),
        ordered("period", list(series(found, "period").values()), rising=False),
    ]


@_claim(
    "studies/sleep_cycle",
    "after H. Yan et al. 2013; model and parameters are our own surrogate",
    """The landscape of the REM cycle is a ring with a barrier inside, round which flux drives at
    the cost of entropy production.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        above("barrier from the mean along the cycle (nats)", found["barrier"], 1.0),
        above("entropy production (nats / unit of time)", found["entropy_production"], 0.0),
    ]


@_claim(
    "studies/associative_flux",
    "H. Yan et al. 2013; Sompolinsky and Kanter 1986",
    """Symmetric couplings hold memories without a direction; asymmetric ones drive through them in
    sequence, at the cost of entropy production.""",
)
def _(found: Scalars) -> list[Finding]:
    direction = series(found, "directedness")
    return [
        near("directedness without asymmetry", direction[0.0], 0.0, 0.2),
        above("largest directedness with it", max(direction.values()), 0.5),
        ordered("entropy production", list(series(found, "entropy_production").values())),
    ]


@_claim(
    "studies/potential_dimension",
    "Zhao, Zhang and Li 2024",
    """The loss of a learned potential brackets the entropy production of linear networks between
    training and test states, within 3 % at 64 neurons and at 256.""",
)
def _(found: Scalars) -> list[Finding]:
    return [
        near(f"{what}, N = {n} (excess over exact)", found[f"linear/{n}/{part}"], 0.0, allowed)
        for n, allowed in ((64, 0.03), (256, 0.03))
        for part, what in (("train", "training states"), ("test", "test states"))
    ]


@_claim(
    "studies/learned_potential",
    "Zhao, Zhang and Li 2024",
    """The loss of entropy production finds a potential from states of the steady state: within a
    tenth of its spread after 160 gradient steps for a double well with a flux, a linear and a
    Hopfield network; that of the ring, where flux is strong, takes more of both.""",
)
def _(found: Scalars) -> list[Finding]:
    name = "error of V over its spread, {}"
    return [
        below(name.format(system), found[f"{system}/EPR/error"], 0.1)
        for system in ("double well", "linear", "Hopfield")
    ]


@_claim(
    "studies/amortised_slow_points",
    "Sussillo and Barak 2013",
    """A network that has learned to hold three bits has 27 slow points. Our own: a potential that
    learned where they are does not find them faster than a direct search at 24 units.""",
)
def _(found: Scalars) -> list[Finding]:
    late = "seconds saved by the learned potential, less twice their error, 24 units"
    saved = found["saved/24"] - 2 * found["saved_stderr/24"]
    return [
        near("slow points found, 24 units", found["points/direct/24"], 25.0, 3.0),
        below(late, saved, 0.0),
    ]


@_claim(
    "edge/flossing",
    "Engelken 2023",
    """A network whose exponents are kept near zero learns delayed XOR at a delay and in a number of
    steps at which a plain one only guesses.  Delay, rates and steps were chosen on other seeds.""",
)
def _(found: Scalars) -> list[Finding]:
    name = "accuracy, flossed less plain"
    return [
        above(name, found["difference"], 4 * found["difference_stderr"]),
        near("accuracy of plain networks", found["plain/accuracy"], 0.5, 0.02),
        near("exponent after flossing (target 0)", found["flossed/exponent_before"], 0.0, 0.02),
    ]
