"""The studies of the speed potential: records grow, numbers are those of theory, pictures draw."""

import pytest
import torch

import sntorch as snt
from sntorch.plot import plot
from sntorch.studies import edge_of_chaos_order_parameters, fixed_point_overlaps


@pytest.fixture(scope="module")
def edge():
    settings = {"sizes": [30, 60], "temperatures": [0.1], "gains": [0.5, 1.2], "networks": 3}
    return list(edge_of_chaos_order_parameters.run(**settings, rows=2, steps=200))


@pytest.fixture(scope="module")
def four():
    settings = {"gains": [1.5, 2.0], "size": 40, "networks": 2, "starts": 3}
    return list(fixed_point_overlaps.run(**settings, time=20, descent=100))


def test_sizes_come_one_by_one_and_are_near_theory(edge):
    assert [each.progress[:5] for each in edge] == ["[1/2]", "[2/2]"]
    last = edge[-1]
    assert last.overlaps.shape == (2, 1, 2)
    assert torch.equal(last.overlaps[0], edge[0].overlaps[0])
    expected = snt.meanfield.equilibrium(gain=[0.5, 1.2], temperature=0.1).overlap
    assert torch.allclose(last.theory.overlap[0], expected, rtol=1e-12)
    assert float((last.overlaps[1, 0] - expected).abs().max()) < 0.06
    assert last.scalars()["energy/60"] < 0.2
    assert last.table().count("±") == 4


def test_gains_come_one_by_one(four):
    assert [each.progress[:5] for each in four] == ["[1/2]", "[2/2]"]
    last = four[-1]
    found = last.scalars()
    assert found["canonical/1.5"] == pytest.approx(0.352602, abs=1e-6)
    assert found["typical/1.5"] == pytest.approx(0.254176, abs=1e-6)
    assert found["attractor/1.5"] == pytest.approx(0.342093, abs=1e-6)
    assert 0 < found["descended/1.5"] < 1
    assert bool((last.energy < 0.02).all())
    assert len(last.table().splitlines()) == 3


@pytest.mark.slow
def test_pictures(edge, four):
    assert plot(edge[-1]).get_xlabel() == "gain g"
    assert plot(four[-1]).get_ylabel() == "overlap |tanh x|²/N"
    for study in (edge[0], four[0]):
        study.picture()


def test_bad_arguments():
    with pytest.raises(ValueError, match="gains"):
        next(edge_of_chaos_order_parameters.run(gains=[1.0]))
    with pytest.raises(ValueError, match="gains"):
        next(fixed_point_overlaps.run(gains=[0.5]))
    with pytest.raises(ValueError, match="networks"):
        next(fixed_point_overlaps.run(networks=1))
