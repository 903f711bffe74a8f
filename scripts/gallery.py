"""Draw one picture of every kind of record: ``python scripts/gallery.py [--output FOLDER]``.

Every record is measured on a small network, within a minute or two in all, and drawn on the sheet
of its room; the README shows the sheets.  ``--only response`` draws one sheet, ``--vector`` writes
PDF beside PNG.
"""

from __future__ import annotations

import argparse
import functools
import math
import pathlib
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

import sntorch as snt
from sntorch.plot import style
from sntorch.plot.canvas import StyledFigure, plot
from sntorch.results import Result, Sweep
from sntorch.training.probes import Probe
from sntorch.training.slow_points import SlowPoints

COLUMNS = 3  # at the width of a README letters are read without opening the picture
COLOURS = 256  # of a PNG, which is then a third as large
F64 = torch.float64
HERE = pathlib.Path(__file__).resolve().parents[1] / "notebooks" / "pictures" / "gallery"


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=F64)


@functools.cache
def chaotic() -> snt.SNTCell:
    J = snt.couplings.gaussian(60, generator=stream(1), dtype=F64)
    return snt.SNTCell(J, gain=2.0, leak=0.2, trainable=())


@functools.cache
def noisy() -> snt.SNTCell:
    J = snt.couplings.gaussian(40, generator=stream(2), dtype=F64)
    return snt.SNTCell(J, gain=1.5, leak=0.4, noise=0.2, trainable=())


@functools.cache
def orbit() -> Tensor:
    return snt.rollout(noisy(), normal(8, 40), 1000, generator=stream())[200:]


@functools.cache
def chaos() -> Tensor:
    return snt.rollout(chaotic(), normal(8, 60), 800)[300:]


@functools.cache
def nine() -> tuple[snt.SNTCell, Tensor]:
    cell = snt.studies.susceptibility.network()
    return cell, snt.rollout(cell, normal(50, 9), 300, generator=stream())[-1]


@functools.cache
def nine_orbit() -> tuple[snt.SNTCell, Tensor]:
    cell, u = nine()
    return cell, snt.rollout(cell, u, 1000, generator=stream())


@functools.cache
def kernel() -> snt.analysis.LinearResponse:
    cell, u = nine()
    return snt.analysis.linear_response(
        cell, u, lags=24, samples=100_000, method="noise", generator=stream()
    )


@functools.cache
def well() -> snt.systems.DoubleWell:
    return snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.15)


@functools.cache
def box() -> snt.landscape.Grid:
    return snt.landscape.Grid([-2.0, -2.2], [2.0, 2.2], 80)


@functools.cache
def ring() -> snt.systems.StuartLandau:
    return snt.systems.StuartLandau(diffusion=0.1)


@functools.cache
def cycle() -> snt.landscape.LimitCycle:
    start = torch.tensor([1.0, 0.0], dtype=F64)
    return snt.landscape.limit_cycle(ring(), start, transient=2.0, points=60)


@functools.cache
def landscape() -> snt.landscape.Density:
    return snt.landscape.fokker_planck(well(), box(), modes=2)


@functools.cache
def path() -> snt.landscape.ActionPath:
    ends = torch.tensor([[-1.0, 0.0], [0.0, 0.0]], dtype=F64)
    return snt.landscape.minimum_action_path(well(), *ends, images=40)


@functools.cache
def attractors() -> snt.landscape.Attractors:
    flow = snt.systems.TanhRing(diffusion=0.05)
    return snt.landscape.find_attractors(flow, normal(12, 2), settle=30)


@functools.cache
def basins() -> snt.landscape.GaussianLandscape:
    return snt.landscape.gaussian_landscape(
        snt.systems.DoubleWell(2, diffusion=0.05), normal(40, 2)
    )


@functools.cache
def branch() -> snt.analysis.Branch:
    J = snt.couplings.gaussian(20, generator=stream(0), dtype=F64)
    cell = snt.SNTCell(J, threshold=0.05, trainable=())
    gains = torch.linspace(0.4, 1.6, 25, dtype=F64)
    return snt.analysis.continue_fixed_point(cell, torch.zeros(20, dtype=F64), "gain", gains)


def turning() -> snt.landscape.RingBarrier:
    flow = snt.systems.TanhRing(diffusion=0.05)
    density = snt.landscape.fokker_planck(
        flow, snt.landscape.Grid([-3.0, -3.0], [3.0, 3.0], 100), modes=0
    )
    start = torch.tensor([1.0, 0.5], dtype=F64)
    found = snt.landscape.limit_cycle(flow, start, transient=30.0, points=60)
    return snt.landscape.barrier(density, found.points)


def coherence() -> snt.landscape.PhaseCoherence:
    flow = snt.EulerMaruyama(snt.systems.StuartLandau(diffusion=0.02), 0.05)
    u = torch.tensor([[1.0, 0.0]], dtype=F64).expand(8, 2)
    states = snt.rollout(flow, u, 4000, generator=stream())
    return snt.landscape.phase_coherence(states, dt=0.05)


def loop() -> snt.landscape.LoopFlux:
    flow = snt.EulerMaruyama(ring(), 0.05)
    states = snt.rollout(flow, normal(40, 2), 2000, generator=stream())[200:]
    field = snt.landscape.flux_field(states, dt=0.05)
    return snt.landscape.loop_flux(field, 0.9 * cycle().points @ field.plane.mT)


def memory() -> snt.analysis.MemoryCapacity:
    J = snt.couplings.orthogonal(40, std=0.95, generator=stream(), dtype=F64)
    cell = snt.SNTCell(J, gain=1.0, input_size=1, input_std=0.1, trainable=())
    return snt.analysis.memory_capacity(
        cell, normal(3, 40), 1500, delays=60, transient=100, generator=stream()
    )


def information() -> snt.analysis.InformationCapacity:
    J = snt.couplings.gaussian(20, generator=stream(), dtype=F64)
    cell = snt.SNTCell(J, gain=0.9, input_size=1, trainable=())
    return snt.analysis.information_capacity(cell, normal(20), 3000, delays=[20, 5, 3])


@functools.cache
def steady() -> tuple[snt.systems.StuartLandau, Tensor]:
    f = snt.EulerMaruyama(ring(), 0.02)
    return ring(), snt.rollout(f, normal(200, 2), 500, generator=stream())[100:]


def network_in_a_plane() -> Result:
    J = snt.couplings.gaussian(40, std=1.5, generator=stream(1), dtype=F64)
    flow = snt.systems.AmariWilsonCowan(J, diffusion=0.2, trainable=())
    states = snt.rollout(snt.EulerMaruyama(flow, 0.05), normal(100, 40), 600, generator=stream())[
        200:
    ]
    return l.reduce_flow(flow, states, dt=0.05)


def swept() -> Sweep:
    gains, seeds = (0.6, 1.0, 1.4, 1.8), range(3)
    made = [
        snt.SNTCell(snt.couplings.gaussian(60, generator=stream(s), dtype=F64), gain=g)
        for g in gains
        for s in seeds
    ]
    found = [a.max_lyapunov(f, normal(60), 300, transient=100).scalars()["max"] for f in made]
    return Sweep(
        folders=tuple(map(str, range(len(made)))),
        values={"cell.gain": tuple(g for g in gains for _ in seeds), "seed": tuple(seeds) * 4},
        finished=torch.ones(len(made), dtype=torch.bool),
        measured={"lyapunov/max": torch.tensor(found)},
        metric="lyapunov/max",
    )


def plastic() -> snt.SNTCell:
    J = snt.couplings.gaussian(60, generator=stream(3), dtype=F64)
    return snt.SNTCell(J, gain=6.0, transfer="tanh01", input_size=1, trainable=())


def learned() -> Result:
    return snt.plasticity.learn(
        plastic(), snt.plasticity.HebbianForgetting(rate=0.4, forgetting=0.97), normal(4, 60), 30,
        steps=60, observe={"lyapunov": lambda f, u: snt.analysis.max_lyapunov(f, u, 150)},
    )  # fmt: skip


def changed() -> Result:
    J = snt.couplings.gaussian(60, generator=stream(3), dtype=F64)
    direction = normal(60, 1, seed=5)
    grown = snt.SNTCell(J + 0.04 * direction @ direction.mT, gain=1.4, trainable=())
    return snt.analysis.synaptic_change(
        grown, normal(60), 200, start=J, rule=snt.plasticity.HebbianForgetting(rate=1.0)
    )


def slow() -> SlowPoints:
    starts = chaos()[::80, :4].reshape(-1, 60)
    energy = snt.landscape.SpeedPotential(chaotic())
    found = snt.analysis.find_fixed_points(chaotic(), starts, steps=60)
    return SlowPoints(visited=energy(starts) / 60, reached=found.speed / 60, slow=~found.converged)


def forming() -> Result:
    pattern = normal(1, 60, seed=2).sign()
    cell = snt.SNTCell(snt.couplings.hopfield(pattern), gain=1.5, noise=0.3, trainable=())
    monitor = snt.training.PotentialMonitor(learn=60)
    return monitor.look(Probe(f=cell, u=normal(16, 60), x=None, steps=20), full=False)["fit"]


def cold() -> snt.landscape.Samples:
    start = snt.landscape.planted(60, gain=1.5, temperature=0.1, generator=stream())
    energy = snt.landscape.SpeedPotential(snt.systems.AmariWilsonCowan(start.coupling))
    return snt.landscape.langevin(
        energy, start.state.expand(4, 60), 400, temperature=0.1, generator=stream()
    )


def speed(size: int = 30) -> snt.landscape.SpeedPotential:
    J = 1.5 * snt.couplings.gaussian(size, generator=stream(4), dtype=F64)
    return snt.landscape.SpeedPotential(snt.systems.AmariWilsonCowan(J))


def gains(low: float, high: float, count: int) -> Tensor:
    return torch.linspace(low, high, count, dtype=F64)


def known_flow() -> snt.landscape.LinearSteadyState:
    A = torch.tensor([[-1.0, 2.0, 0.0], [-0.5, -1.0, 0.4], [0.3, 0.0, -1.0]], dtype=F64)
    return snt.landscape.linear_flow(A)


def tilted(v: Tensor) -> Tensor:
    return (v.square().sum(-1) - 1).square() / 4 + 0.02 * v[..., 0]


def correlated() -> snt.meanfield.CorrelatedField:
    distance = torch.minimum(torch.arange(11), 11 - torch.arange(11)).to(F64)
    decay = torch.exp(-distance / 2)
    return snt.meanfield.correlated(gain=2.0, covariance=decay[:, None] * decay)


a, l, m = snt.analysis, snt.landscape, snt.meanfield

SHEETS: dict[str, dict[str, Callable[[], Result]]] = {
    "chaos": {
        "LyapunovSpectrum": lambda: a.lyapunov_spectrum(chaotic(), chaos()[-1], 400, transient=100),
        "CovariantVectors": lambda: a.covariant_lyapunov_vectors(
            snt.systems.Henon(), 0.1 * normal(8, 2), 2000, transient=100
        ),
        "FiniteTimeExponents": lambda: a.finite_time_exponents(
            chaotic(), chaos()[-1], 1000, window=20, k=3
        ),
        "JacobianSpectrum": lambda: a.jacobian_spectrum(chaotic(), chaos()[::60, 0]),
        "PseudospectralRadius": lambda: a.pseudospectral_radius(noisy(), 0 * orbit()[0, 0]),
        "ParticipationRatio": lambda: a.participation_ratio(chaos()),
        "FixedPoints": lambda: a.find_fixed_points(chaotic(), chaos()[::50, :6].reshape(-1, 60)),
        "Branch": branch,
        "Event": lambda: branch().events[0],
        "ContractionGain": lambda: a.contraction_gain(chaotic()),
        "Regime": lambda: a.regime(chaotic(), chaos()[-1, :2], 1500),
        "PowerSpectrum": lambda: a.power_spectrum(chaos()),
        "Lines": lambda: a.spectral_lines(
            torch.cos(0.7 * torch.arange(2000.0, dtype=F64))
            + 0.4 * torch.cos(1.9 * torch.arange(2000.0, dtype=F64))
        ),
        "SlowPoints": slow,
        "MemoryCapacity": memory,
        "InformationCapacity": information,
    },
    "response": {
        "LinearResponse": kernel,
        "Susceptibility": lambda: a.susceptibility(
            *nine(), gains(0, math.pi, 80), lags=24, samples=100_000, method="noise",
            generator=stream(),
        ),
        "Poles": lambda: a.poles(kernel()),
        "Graph": lambda: a.effective_connectivity(
            kernel(), torch.tensor([0.6], dtype=F64), coupling=nine()[0].coupling
        ),
        "Transmission": lambda: a.transmit(
            *nine(), source=6, carrier=1.0, modulation=0.05, response=kernel(), generator=stream()
        ),
        "ResponseParts": lambda: a.response_parts(
            snt.systems.Henon(), 0.1 * normal(20, 2), lags=10, samples=400, transient=100
        ),
        "FluctuationDissipation": lambda: a.fluctuation_dissipation(
            kernel(), snt.rollout(*nine(), 2000, generator=stream())
        ),
        "PatternSensitivity": lambda: a.pattern_sensitivity(
            plastic(), normal(60), 400, x=torch.ones(1, dtype=F64), transient=100
        ),
    },
    "irreversibility": {
        "EntropyProduction": lambda: l.entropy_production(noisy(), orbit()),
        "SynapticEntropy": lambda: l.synaptic_entropy(*nine_orbit()),
        "EntropyEstimate": lambda: l.uncertainty_bound(orbit()[..., :12]),
        "AreaRates": lambda: l.area_rates(orbit()),
        "FluxField": lambda: l.flux_field(orbit()),
        "LinearSteadyState": known_flow,
        "LoopFlux": loop,
        "PhaseCoherence": coherence,
    },
    "landscape": {
        "Density": landscape,
        "Relaxation": lambda: l.relax(
            well(), box(), torch.tensor([-1.0, 0.0], dtype=F64), [0.1, 0.5, 2.0, 10.0]
        ),
        "Wells": lambda: l.wells(landscape()),
        "RingBarrier": turning,
        "ActionPath": path,
        "EscapeRate": lambda: l.escape_rate(well(), path(), well().potential),
        "LimitCycle": cycle,
        "HamiltonJacobi": lambda: l.hamilton_jacobi(ring(), tilted, normal(200, 2)),
        "PotentialMap": lambda: l.potential_map(ring(), ring().potential, normal(400, 2)),
        "PotentialQuality": lambda: l.examine(ring(), tilted, steady()[1][-1]),
        "Stationarity": lambda: l.stationarity(ring(), steady()[1][::50].flatten(0, 1)),
        "LandscapeFit": forming,
        "FlowEstimate": lambda: l.estimate_flow(steady()[1], dt=0.02, basis="splines", order=1),
        "ReducedFlow": network_in_a_plane,
        "Descent": lambda: l.descent(well(), well().potential, normal(20, 2), 60),
        "Attractors": attractors,
        "Attractor": lambda: attractors().found[0],
        "GaussianLandscape": basins,
        "Basin": lambda: basins().basins[0],
        "Sensitivity": lambda: l.sensitivity(
            lambda J: torch.linalg.eigvals(J).abs().max(), normal(4, 4)
        ),
        "SobolIndices": lambda: l.global_sensitivity(
            lambda p: p[0] + 2 * p[2] * p[1], torch.zeros(4, dtype=F64), torch.ones(4, dtype=F64),
            samples=256,
        ),
        "Planted": lambda: l.planted(400, gain=1.5, temperature=0.1, generator=stream()),
        "Samples": cold,
        "Annealed": lambda: l.anneal(speed(), normal(6, 30), 400, generator=stream()),
        "Tempered": lambda: l.parallel_tempering(
            speed(), normal(4, 30), 300, temperatures=[0.1, 0.2, 0.4], generator=stream()
        ),
        "FieldResponse": lambda: l.field_response(
            speed(), normal(6, 30), 300, temperature=0.2, generator=stream()
        ),
    },
    "theory": {
        "MeanField": lambda: m.solve(gain=gains(0.5, 3, 30)),
        "Critical": lambda: m.critical("noise", 0.01, 2.0, gain=gains(1.1, 2.5, 12)),
        "TwoTime": lambda: m.evolve(20, gain=2.0, leak=0.5),
        "PopulationField": lambda: m.populations(
            gain=3.0, std=0.3 * torch.ones(2, 2), mean=torch.tensor([[1.5, -2.0], [2.0, 0.5]]),
        ),
        "CorrelatedField": correlated,
        "Replicas": lambda: m.replicas(gain=2.0, noise=gains(0.05, 1, 20)),
        "Equilibrium": lambda: m.equilibrium(gain=gains(0.4, 2, 20), temperature=0.05),
        "StateMeasure": lambda: m.typical_fixed_points(gain=gains(1.05, 2, 20)),
    },
    "learning": {
        "LearningHistory": learned,
        "SynapticChange": changed,
        "Sweep": swept,
    },
}  # fmt: skip


def sheet(records: dict[str, Callable[[], Result]]) -> StyledFigure:
    """Return the picture of a room, three records in a row."""
    columns = min(COLUMNS, len(records))
    rows = -(-len(records) // columns)
    with style():
        fig = StyledFigure(figsize=(4.3 * columns, 3.8 * rows))
        for i, (name, make) in enumerate(records.items()):
            torch.manual_seed(0)  # weights that are not drawn from a stream of their own
            record = make()
            if type(record).__name__ != name:
                raise ValueError(f"{name}: expected such a record, got {type(record).__name__}")
            plot(record, fig.add_subplot(rows, columns, i + 1))
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=HERE, type=pathlib.Path)
    parser.add_argument("--only", choices=SHEETS)
    parser.add_argument("--vector", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, records in SHEETS.items():
        if options.only in (None, name):
            picture = sheet(records)
            if options.vector:
                picture.savefig(options.output / f"{name}.pdf")
            picture.savefig(options.output / f"{name}.png", dpi=100)
            with Image.open(options.output / f"{name}.png") as drawn:
                few = drawn.convert("RGB").quantize(
                    COLOURS, kmeans=COLOURS, dither=Image.Dither.NONE
                )
            few.save(options.output / f"{name}.png", optimize=True)
            print(f"{name}: {len(records)} pictures")


if __name__ == "__main__":
    main()
