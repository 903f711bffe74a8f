"""The record type and the two kinds of standard error."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import sntorch as snt
from sntorch.results import (
    BLOCKS,
    Result,
    TrainingHistory,
    block_lengths,
    block_mean,
    over_rows,
    plus_minus,
    readable,
)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Record(Result):
    """A record as analyses define them."""

    value: torch.Tensor
    label: str = "none"
    many: torch.Tensor | None = None
    hidden: torch.Tensor | None = dataclasses.field(default=None, repr=False)


def test_map_reaches_every_tensor_and_nothing_else():
    record = Record(value=torch.ones(2), label="a", hidden=torch.zeros(3))
    twice = record.map(torch.Tensor.double)
    assert type(twice) is Record
    assert twice.hidden is not None
    assert (twice.value.dtype, twice.hidden.dtype) == (torch.float64, torch.float64)
    assert (twice.label, twice.many) == ("a", None)
    assert record.value.dtype == torch.float32


def test_records_are_frozen_and_equal_only_to_themselves():
    record = Record(value=torch.ones(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.value = torch.zeros(2)  # pyright: ignore[reportAttributeAccessIssue]
    assert record == record
    assert record != Record(value=torch.ones(2))
    assert len({record, record}) == 1


def test_repr_is_brief():
    record = Record(value=torch.ones(2), many=torch.zeros(3, 4), hidden=torch.zeros(1))
    assert repr(record) == "Record(value=[1.0, 1.0], label='none', many=tensor(3, 4))"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (torch.tensor([-0.43644648, 1e-17]), "[-0.4364, 1e-17]"),
        (torch.tensor(1 / 3 + 0.5j), "(0.3333+0.5j)"),
        (torch.tensor([[True], [False]]), "[[True], [False]]"),
        (1.776356839e-15, "1.776e-15"),
        ({"gain": torch.linspace(0, 1, 9), "std": 1 / 3}, "{'gain': tensor(9,), 'std': 0.3333}"),
        ((torch.zeros(9), 1), "(tensor(9,), 1)"),
        (("once",), "('once',)"),
    ],
)
def test_repr_shows_four_digits_and_shapes_at_any_depth(value, shown):
    assert repr(Record(value=value)) == f"Record(value={shown}, label='none', many=None)"


def test_a_printed_record_shows_its_scalars_with_their_errors():
    class Shown(Record):
        def scalars(self):
            return {"max": -0.0153, "max_stderr": 0.0028, "dimension": 0.06267, "of_stderr": 2.0}

    lines = ["Shown", "  max        -0.0153 ± 0.0028", "  dimension  0.0627", "  of_stderr  2"]
    assert str(Shown(value=torch.ones(1))).splitlines() == lines
    assert str(Record(value=torch.ones(1))).startswith("Record(value=[1.0]")


def test_numbers_are_read_with_their_errors():
    found = readable({"a": 1.0, "b": 2.5, "a_stderr": 0.21, "c_stderr": 3.0})
    assert found == {"a": "1.00 ± 0.21", "b": "2.5", "c_stderr": "3"}
    assert readable({"value": 1.0, "stderr": 0.21, "bias": 2.0})["value"] == "1.00 ± 0.21"
    found = readable({"d/value": 1.0, "d/stderr": 0.21, "e/x": 1.0, "e/x_stderr": 0.21})
    assert found == {"d/value": "1.00 ± 0.21", "e/x": "1.00 ± 0.21"}


@pytest.mark.parametrize(
    ("mean", "error", "shown"),
    [
        (0.9487, 0.0139, "0.949 ± 0.014"),
        (17.62561626, 4.9e-7, "17.626 ± 5e-07"),
        (17.62561626, 4.9e-9, "17.626 ± 5e-09"),
        (3.14159, 0.0, "3.14"),
        (3.14159, math.nan, "3.14"),
        (1234.5, 67.8, "1234 ± 68"),
    ],
)
def test_plus_minus(mean, error, shown):
    assert plus_minus(mean, error) == shown


def records(kind=Result):
    """Return all record types of the library that are loaded."""
    found = [kind for kind in kind.__subclasses__() if kind is not Record]
    return found + [deeper for kind in found for deeper in records(kind)]


@pytest.mark.parametrize("kind", records(), ids=lambda kind: kind.__name__)
def test_every_record_is_made_alike(kind):
    assert not kind.__dataclass_params__.repr, "say repr=False"
    assert kind.__eq__ is object.__eq__, "say eq=False"
    assert kind.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(kind))


def test_a_record_shows_no_scalars_unless_it_says_which():
    assert Record(value=torch.ones(1)).scalars() == {}


@given(steps=st.integers(1, 500), shortest=st.integers(1, 40))
def test_blocks_cover_the_orbit_evenly(steps, shortest):
    lengths = block_lengths(steps, shortest)
    assert sum(lengths) == steps
    assert len(lengths) == max(1, min(steps // shortest, BLOCKS))
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(shortest, steps)
    assert block_lengths(steps) == block_lengths(steps, 1)


@given(steps=st.integers(2, 90))
def test_block_mean_is_the_mean_of_all_steps(steps):
    data, lengths = np.random.default_rng(steps).normal(size=(steps, 3)), block_lengths(steps)
    means = np.stack([part.mean(0) for part in np.split(data, np.cumsum(lengths)[:-1])])
    mean, stderr = block_mean(torch.from_numpy(means), lengths)
    assert_close(mean, torch.from_numpy(data.mean(0)))
    weights = np.array(lengths)[:, None]
    spread = (weights * (means - data.mean(0)) ** 2).sum(0) / steps / (len(lengths) - 1)
    assert_close(stderr, torch.from_numpy(np.sqrt(spread)))


def test_block_error_is_the_textbook_one_for_equal_blocks():
    means = torch.randn(20, 2, 3, dtype=torch.float64)
    _, stderr = block_mean(means, [5] * 20)
    assert_close(stderr, means.std(0) / math.sqrt(20))


def test_one_block_has_no_error():
    mean, stderr = block_mean(torch.ones(1, 2), [7])
    assert_close(mean, torch.ones(2))
    assert stderr.isnan().all()


@pytest.mark.parametrize("shape", [(8,), (2, 5), (3, 3, 3)], ids=str)
@pytest.mark.parametrize("axes", [0, 1])
def test_many_rows_are_judged_by_their_spread(shape, axes):
    value = torch.randn(*shape, *[4] * axes, dtype=torch.float64)
    mean, stderr = over_rows(value, torch.full_like(value, torch.nan), axes)
    rows = value.flatten(0, len(shape) - 1)
    assert_close(mean, rows.mean(0))
    assert_close(stderr, rows.std(0) / math.sqrt(len(rows)))
    assert mean.shape == value.shape[len(shape) :]


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_few_rows_combine_their_own_errors(rows):
    value, errors = torch.randn(rows, 4), torch.rand(rows, 4)
    mean, stderr = over_rows(value, errors, 1)
    assert_close(mean, value.mean(0))
    assert_close(stderr, errors.square().sum(0).sqrt() / rows)


def test_a_single_value_is_its_own_mean():
    assert_close(
        over_rows(torch.tensor(2.0), torch.tensor(0.5)), (torch.tensor(2.0), torch.tensor(0.5))
    )


def test_map_reaches_into_dictionaries_of_tensors_and_records():
    one = torch.ones(2)
    area = snt.landscape.area_rates(torch.randn(20, 9, 2))
    history = TrainingHistory(
        title="t", epoch=one, curves={"a": one}, before={}, after={"area": area}
    )
    double: Any = history.map(lambda t: 2 * t)
    assert torch.equal(double.curves["a"], 2 * one)
    assert torch.equal(double.after["area"].matrix, 2 * area.matrix)
    assert double.title == "t"


def test_map_reaches_into_tuples():
    event = snt.analysis.Event(
        kind="fold",
        parameter=1.0,
        state=torch.ones(2),
        eigenvalues=torch.ones(1) + 0j,
        rotation=0.0,
    )
    pair: Any = (event, torch.ones(1))
    both: Any = Record(value=pair).map(lambda t: 2 * t)
    assert torch.equal(both.value[0].state, 2 * torch.ones(2))
    assert torch.equal(both.value[1], 2 * torch.ones(1))
