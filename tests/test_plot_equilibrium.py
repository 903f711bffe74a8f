"""Pictures of the equilibrium of the speed potential: what they say, and that odd records draw."""

import dataclasses

import numpy as np
import pytest
import torch

import sntorch as snt
from sntorch.plot import figure, plot


def bowl(u):
    return u.square().sum(-1) / 2


@pytest.fixture(scope="module")
def samples():
    return snt.landscape.langevin(
        bowl, torch.zeros(4, 5).double(), 60, temperature=0.5, generator=torch.Generator()
    )


def texts(ax):
    legend = ax.get_legend()
    return {text.get_text() for text in legend.get_texts()}, legend.get_title().get_text()


def test_order_parameters():
    ax = plot(snt.meanfield.equilibrium(gain=[0.5, 1.0, 1.5], temperature=0.1))
    names, note = texts(ax)
    assert {"self-overlap q", "response R", "replica overlap Q"} < names
    assert ax.get_xlabel() == "gain g"
    assert "T = 0.1" in note
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == [0.5, 1.0, 1.5]


def test_measures():
    names, note = texts(plot(snt.meanfield.typical_fixed_points(gain=[1.2, 1.5])))
    assert "100 Σ, complexity" in names
    assert "equal weights" in note
    names, _ = texts(plot(snt.meanfield.chaotic_attractor(gain=[1.2, 1.5])))
    assert "speed |dx/dt|²/N" in names


def test_chains(samples):
    ax = plot(samples)
    assert ax.get_ylabel() == "energy per neuron E/N"
    names, note = texts(ax)
    assert "T/2" in names
    assert "T = 0.5" in note
    assert np.asarray(ax.lines[-1].get_ydata()).tolist() == [0.25, 0.25]


def test_tempered_chains_are_drawn_by_temperature():
    temperatures = [0.1, 0.2, 0.4]
    found = snt.landscape.parallel_tempering(
        bowl, torch.zeros(4, 5).double(), 400, temperatures=temperatures, transient=100,
        generator=torch.Generator(),
    )  # fmt: skip
    ax = plot(found)
    assert ax.get_xlabel() == "temperature T"
    names, note = texts(ax)
    assert "T/2" in names
    assert "of exchanges accepted" in note
    shown = {line.get_label(): np.asarray(line.get_ydata()) for line in ax.lines}
    np.testing.assert_allclose(shown["T/2"], np.array(temperatures) / 2)
    energy = next(at for at in (np.asarray(line.get_xydata()) for line in ax.lines) if len(at) == 3)
    np.testing.assert_allclose(energy[:, 0], temperatures)
    np.testing.assert_allclose(energy[:, 1], found.energy.mean(-1))


def test_cooling_and_response():
    found = snt.landscape.anneal(bowl, torch.ones(3, 5).double(), 50, generator=torch.Generator())
    assert "100% of 3 chains" in texts(plot(found))[1]
    potential = snt.landscape.SpeedPotential(lambda u: 0.5 * u)
    start = torch.zeros(3, 5).double()
    response = snt.landscape.field_response(potential, start, 30, temperature=0.1)
    assert "field" in texts(plot(response))[1]


def test_odd_records_draw(samples, tmp_path):
    empty = dataclasses.replace(
        samples,
        stopped="interrupted at step 3 of 10",
        **{k: getattr(samples, k)[:0] for k in ("energies", "overlaps", "memories", "responses")},
    )
    alone = snt.meanfield.equilibrium(gain=1.5, temperature=0.1, transfer="linear")
    tempered = snt.landscape.parallel_tempering(
        bowl, torch.zeros(2, 3).double(), 20, temperatures=[0.5, 1.0]
    )
    figure(samples, empty, alone, tempered).savefig(tmp_path / "odd.png")
    assert texts(plot(empty))[1] == "no finite value"
