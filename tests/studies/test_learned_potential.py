"""Losses on systems with known potentials: errors that are known, what is shown, bad input."""

import csv

import matplotlib
import pytest
import torch
from torch.testing import assert_close

from sntorch.landscape import score_matching_loss
from sntorch.streams import seeded
from sntorch.studies import learned_potential
from sntorch.studies.solvable import LOSSES, SYSTEMS, objective, solvable
from sntorch.studies.study import write

matplotlib.use("agg")


@pytest.fixture(scope="module")
def found():
    *_, last = learned_potential.run(
        systems=["linear", "Hopfield"], losses=["EPR", "decomposition"], budgets=[2, 40],
        walkers=256, batch=128, hidden=[8],
    )  # fmt: skip
    return last


def test_errors_fall_and_what_does_not_apply_is_left_out(found):
    assert found.systems == ("linear",) * 4 + ("Hopfield",) * 2
    assert found.losses[4:] == ("EPR",) * 2
    assert found.budgets.tolist() == [2, 40] * 3
    assert float(found.error[1]) < 0.3  # EPR: the Gaussian of 256 walkers is nearly right
    assert float(found.error[3]) < float(found.error[2])  # decomposition, from states of the box
    assert float(found.error[5]) < float(found.error[4])  # the energy is found from its drift
    assert bool((found.seconds > 0).all())


def test_what_is_shown(found, tmp_path):
    assert "[6/6] Hopfield, EPR" in found.progress
    lines = found.table().splitlines()
    assert len(lines) == 4
    assert lines[2].split()[-1] == "-"  # no decomposition of the Hopfield network
    assert found.scalars()["linear/EPR/error"] == pytest.approx(float(found.error[1]))
    write(found, tmp_path)
    with (tmp_path / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["steps"] for row in rows[:2]] == ["2", "40"]
    linear, hopfield = found.picture().axes  # drawn by `write`
    assert [line.get_label() for line in linear.lines] == ["EPR", "decomposition"]
    assert len({line.get_marker() for line in linear.lines}) == 2
    assert linear.lines[0].get_ydata() == pytest.approx(found.error[:2].numpy())
    assert len(hopfield.lines) == 1
    assert linear.get_xscale() == linear.get_yscale() == "log"


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_true_potential_is_a_minimum_of_what_applies(name):
    """Half of the truth, or half as much again, is worse."""
    system = solvable(name, 0)
    walkers = system.walkers(2048, 1)
    walkers.advance(round(system.burn_in / system.dt))
    for loss in LOSSES:
        made = objective(loss, system, walkers.states, seeded(0))
        if made is None:
            assert name == "Hopfield"
            continue
        if loss in ("decomposition", "denoising"):  # a rotation is to learn; a smoothed density
            continue
        values = []
        for factor in (0.5, 1.0, 1.5):
            again = objective(loss, system, walkers.states, seeded(1))
            assert again is not None
            V = lambda u, s=factor: s * system.truth(u)  # noqa: E731
            value: torch.Tensor = again[0](V, walkers.states)  # type: ignore
            values.append(float(value.detach()))
        assert values[1] < min(values[0], values[2]), loss


def test_weights_that_vanish_at_walls_mend_score_matching():
    """A flat density between walls: plain score matching finds a slope, the weighted one none."""
    u = torch.linspace(-1, 1, 4001, dtype=torch.float64).unsqueeze(-1)

    def loss(k, **options):
        return float(score_matching_loss(lambda v: -v, lambda v: k * v.square().sum(-1) / 2, u,
                                         **options).detach())  # fmt: skip

    flat = {"diffusion": lambda v: torch.ones_like(v)}
    weighted = {"diffusion": lambda v: (1 - v.square()).clamp(min=1e-9)}
    assert loss(3.0, **flat) < loss(0.0, **flat) - 1  # least at k = 3, though nothing is there
    slope = (loss(1e-3, **weighted) - loss(-1e-3, **weighted)) / 2e-3
    assert_close(slope, 0.0, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": []}, "systems: expected at least one"),
        ({"systems": ["Lorenz"]}, "systems: expected one of"),
        ({"losses": ["L2"]}, "losses: expected one of"),
        ({"budgets": []}, "budgets: expected at least one"),
        ({"budgets": [0]}, "budgets: expected"),
        ({"walkers": 3}, "walkers: expected"),
        ({"lr": 0.0}, "lr: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        next(learned_potential.run(**change))
