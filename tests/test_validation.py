"""The table of known numbers: all of them, and what it says when one is wrong."""

import json
import math

import pytest
import torch

from sntorch import cli, validation
from sntorch.validation import CHECKS, Outcome, validate


def outcome(measured, tolerance=0.1):
    return Outcome("name", "source", measured, 1.0, tolerance, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_everything_known_is_found(name, monkeypatch):
    monkeypatch.setattr(validation, "CHECKS", {name: CHECKS[name]})
    before = torch.get_rng_state()
    (found,) = validate()
    assert found.passed, found.row()
    assert found.tolerance <= max(0.15 * abs(found.expected), 1e-7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_everything_known_is_found_on_a_gpu():
    assert [found.name for found in validate("cuda") if not found.passed] == []


def test_what_is_off_or_not_a_number_fails():
    assert outcome(1.09).passed
    assert not outcome(1.11).passed
    assert not outcome(math.nan).passed
    assert "FAIL" in outcome(math.nan).row()
    with pytest.raises(ValueError, match="tolerance: expected > 0, got 0"):
        outcome(1.0, 0.0)


def test_a_device_without_float64_is_refused():
    with pytest.raises(ValueError, match="device: expected one with float64, got 'nowhere'"):
        next(validate("nowhere"))


def test_the_command_says_in_a_line_that_there_is_no_such_device(capsys):
    assert cli.validate(["--device", "nowhere"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sntorch validate: device: expected one with float64, got 'nowhere'")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("measured", "status"), [(1.0, 0), (2.0, 1)])
def test_the_status_of_the_command_tells(measured, status, monkeypatch, capsys):
    monkeypatch.setattr(validation, "CHECKS", {"one": ("book", lambda _: (measured, 1.0, 0.1))})
    assert cli.validate([]) == status
    assert ("FAIL" in capsys.readouterr().out) == bool(status)
    assert cli.validate(["--json"]) == status
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["measured"], row["passed"]) == ("one", measured, not status)
