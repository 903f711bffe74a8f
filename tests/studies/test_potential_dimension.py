"""Learned potentials against the number of neurons: what is known, and what is shown."""

import dataclasses
import math

import matplotlib
import pytest
import torch

from sntorch.studies import potential_dimension

matplotlib.use("agg")


@pytest.fixture(scope="module")
def found():
    *_, last = potential_dimension.run(sizes=[6, 12], samples=1024, steps=20, batch=256)
    return last


def test_entropy_production_is_bracketed(found):
    assert found.kinds == ("linear", "linear", "tanh", "tanh")
    assert found.sizes.tolist() == [6, 12, 6, 12]
    linear = slice(0, 2)
    assert bool((found.exact_stderr[linear] == 0).all())
    assert bool((found.exact > 0).all())
    # the quadratic is the right kind of function for a linear network: N^2 / M off at most
    assert float(found.start_excess[linear].abs().max()) < 0.12
    assert float(found.error[linear, 0].max()) < 0.1
    assert bool(found.error[2:].isnan().all())
    # a few steps lower the loss where it is lowered, and no potential beats the exact value
    assert bool((found.learned[:, 0] <= 1.01 * found.start[:, 0]).all())
    slack = 4 * found.exact_stderr[2:] + 0.15 * found.exact[2:]
    assert bool((found.learned[2:, 1] > found.exact[2:] - slack).all())


def test_what_is_shown(found):
    assert "[4/4] tanh, N = 12" in found.progress
    assert len(found.table().splitlines()) == 5
    numbers = found.scalars()
    assert numbers["linear/12/test"] == pytest.approx(float(found.excess[1, 1]))
    assert "tanh/12/error" not in numbers
    fig = found.picture()
    fig.draw_without_rendering()
    errors, cost = fig.axes
    assert errors.get_xlabel() == cost.get_xlabel() == "neurons N"
    assert cost.lines[0].get_ydata() == pytest.approx(1e3 * found.step_seconds[:2].numpy())
    one = dataclasses.replace(found, kinds=("tanh",) * 4)
    assert "linear, test" not in one.picture().axes[0].get_legend_handles_labels()[1]
    assert math.isfinite(float(found.seconds.sum()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": []}, "sizes, kinds: expected at least one"),
        ({"sizes": [1]}, "sizes: expected a whole number"),
        ({"kinds": ["relu"]}, "kinds: expected one of linear, tanh"),
        ({"samples": 100}, "samples: expected a whole number with samples >= 512"),
        ({"samples": 1001}, "samples: expected a multiple of 16"),
        ({"batch": 10_000}, "batch: expected"),
        ({"steps": 0}, "steps: expected"),
        ({"lr": 0.0}, "lr: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        next(potential_dimension.run(**change))


def test_the_same_seed_gives_the_same_numbers():
    first, second = (
        next(potential_dimension.run(sizes=[4], samples=512, steps=2, batch=64)) for _ in "12"
    )
    assert torch.equal(first.learned, second.learned)
