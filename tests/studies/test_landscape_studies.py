"""Studies of landscapes: the laws they show, their text and their pictures."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sntorch.studies import ring_landscape, sleep_cycle


@pytest.mark.slow
def test_ring_landscape():
    seen = list(ring_landscape.run(asymmetries=[0.0, 0.8, 1.2], cells=130, half=3.5))
    assert [len(study.asymmetry) for study in seen] == [1, 2, 3]
    found = seen[-1]
    assert found.count.tolist()[0] == 4  # two neurons with two states each
    assert not found.cycles[0].converged
    assert bool((found.entropy_production.diff() > 0).all())
    assert float(found.flux[2]) > float(found.flux[1])
    assert float(found.period[2]) < float(found.period[1])
    assert float(found.modulation[2]) < float(found.modulation[1])
    assert float(found.entropy_production[0]) < 1e-6  # the neurons are independent
    assert len(found.table().splitlines()) == 4
    assert "b 1.2" in found.progress
    FigureCanvasAgg(found.picture()).draw()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"asymmetries": []}, "asymmetries: expected at least one"),
        ({"noise": 0.0}, "noise: expected"),
        ({"half": -1.0}, "half: expected"),
    ],
)
def test_bad_rings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        next(ring_landscape.run(**settings))


@pytest.mark.slow
def test_sleep_cycle():
    seen = list(sleep_cycle.run(cells=110, wirings=["tau"]))
    assert [study.wirings for study in seen] == [(), ("tau",)]
    found = seen[-1]
    assert float(found.values[0]) == pytest.approx(26.79, rel=1e-3)
    row = dict(zip(found.wirings, found.sensitivity, strict=True))
    # A slower y makes the turn longer.
    assert 0.5 < float(row["tau"][0]) < 1.1
    assert bool(torch.isfinite(found.sensitivity).all())
    assert len(found.table().splitlines()) == 3
    assert len(found.scalars()) == 4 + 4
    assert "[1/1] d ln period / d ln tau" in found.progress
    FigureCanvasAgg(found.picture()).draw()
    with pytest.raises(ValueError, match="change: expected"):
        next(sleep_cycle.run(change=0.5))
    with pytest.raises(ValueError, match="wirings: expected one of a, b"):
        next(sleep_cycle.run(wirings=["c"]))
