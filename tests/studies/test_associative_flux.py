"""Memories: symmetric basins without direction, asymmetric switching with one, cycles at last."""

from typing import Any

import pytest
import torch

from sntorch.plot import plot
from sntorch.studies.associative_flux import _memories, network, patterns, run


@pytest.fixture(scope="module")
def found():
    *_, last = run(asymmetries=[0.0, 0.1, 0.5], rows=32, steps=600, transient=200)
    return last


def test_basins_of_the_symmetric_network(found):
    assert float(found.basins[0].sum()) == pytest.approx(1)
    assert (found.basins[0] > 0.02).all()  # six basins of one size, 32 starts
    assert float(found.cycling[0]) == 0


def test_cycles_of_the_asymmetric_one(found):
    assert float(found.cycling[-1]) == 1
    assert float(found.basins[-1].sum()) == 0


def test_switches_get_a_direction(found):
    forward, backward = found.switches[:, 0], found.switches[:, 1]
    error = found.switches_stderr[:, :2].norm(dim=-1)
    assert abs(float(forward[0] - backward[0])) < 4 * float(error[0])
    assert ((forward - backward)[1:] > 4 * error[1:]).all()
    assert float(found.directedness[-1]) > 0.5


def test_entropy_production_grows(found):
    assert (found.entropy.diff() > 4 * found.entropy_stderr[1:]).all()
    assert float(found.entropy[0]) < 0.2 * float(found.entropy[-1])


def test_couplings():
    f = network(0.25, size=16, gain=2.0, diffusion=0.1, dt=0.1)
    J, xi = f.flow.cell.coupling, patterns(16)
    six = torch.cat([xi, -xi])
    wanted = torch.stack([0.75 * six[k] + 0.25 * six[(k + 1) % 6] for k in range(6)])
    expected = torch.einsum("ki,kj->ij", wanted, six) / 32
    expected.fill_diagonal_(0)
    torch.testing.assert_close(J, expected)
    torch.testing.assert_close(xi @ xi.T, 16 * torch.eye(3).double())


def test_memories_last_until_the_next():
    m = torch.tensor([[0.1, 0.2, 0.0], [0.9, 0.1, 0.0], [0.4, 0.3, 0.0], [0.1, -0.8, 0.0]])
    assert _memories(m.unsqueeze(1)).squeeze(1).tolist() == [-1, 0, 0, 4]


def test_record(found):
    assert found.progress.startswith("[3/3] asymmetry 0.5: forward")
    assert len(found.table().splitlines()) == 4
    assert set(found.fields) == {"0", "0.5"}
    assert found.scalars()["directedness/0.5"] > 0.5
    picture: Any = plot(found).figure
    picture.draw_without_rendering()
    found.picture().draw_without_rendering()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"asymmetries": []}, "asymmetries: expected at least one"),
        ({"asymmetries": [0.2, 0.1]}, "asymmetries: expected at least one, ascending"),
        ({"asymmetries": [1.2]}, "asymmetries: expected"),
        ({"size": 12}, "size: expected a power of two"),
        ({"diffusion": 0.0}, "diffusion: expected"),
        ({"rows": 2}, "rows: expected"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))
