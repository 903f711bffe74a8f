"""Every check returns what it was given, or names the argument and what was expected."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sntorch as snt
from sntorch import checks
from sntorch.results import Result

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(value=st.integers(-5, 5), low=st.integers(-5, 5), room=st.none() | st.integers(0, 5))
def test_count(value, low, room):
    high = None if room is None else low + room
    if value >= low and (high is None or value <= high):
        assert checks.count("k", value, low, high) == value
    else:
        with pytest.raises(ValueError, match=r"^k: expected a whole number"):
            checks.count("k", value, low, high)


@pytest.mark.parametrize(
    ("value", "high", "message"),
    [
        (0, None, "k: expected a whole number with k >= 1, got 0"),
        (80, 64, "k: expected a whole number with 1 <= k <= 64, got 80"),
        (True, None, "got True"),
        (2.0, None, "got 2.0"),
        ("3", None, "got '3'"),
        (None, None, "got None"),
    ],
)
def test_count_says_what_it_expected(value, high, message):
    with pytest.raises(ValueError, match=message):
        checks.count("k", value, high=high)


@given(value=numbers, low=numbers, high=numbers)
def test_number(value, low, high):
    if low <= value <= high:
        assert checks.number("g", value, low, high) == value
    else:
        with pytest.raises(ValueError, match=r"^g: expected a finite number"):
            checks.number("g", value, low, high)


@pytest.mark.parametrize("value", [1, 1.0, np.float64(1), np.float32(1), np.int32(1)])
def test_numbers_are_those_of_python(value):
    assert type(checks.number("g", value, low=1, high=1)) is float
    assert type(checks.positive("g", value)) is float


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_a_count_may_be_one_of_numpy(kind):
    assert type(checks.count("k", kind(3), high=3)) is int
    with pytest.raises(ValueError, match="k: expected a whole number with 1 <= k <= 3, got"):
        checks.count("k", kind(4), high=3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None, torch.ones(1)])
def test_number_refuses(value):
    with pytest.raises(ValueError, match=r"g: expected a finite number in \[-inf, inf\], got"):
        checks.number("g", value)


def test_one_of():
    assert checks.one_of("mode", "a", ("a", "b")) == "a"
    for bad in ("c", "", 1, None):
        with pytest.raises(ValueError, match=f"mode: expected one of a, b, got {bad!r}"):
            checks.one_of("mode", bad, ("a", "b"))


def test_instance():
    assert checks.instance("record", 3, int) == 3
    assert checks.instance("record", "a", int, str) == "a"
    with pytest.raises(ValueError, match="record: expected int or str, got Tensor"):
        checks.instance("record", torch.ones(2), int, str)


RECORDS = {
    "response: expected LinearResponse": (
        lambda: snt.analysis.poles(torch.ones(3)),  # pyright: ignore[reportArgumentType]
        lambda: snt.analysis.fluctuation_dissipation(torch.ones(3), torch.ones(3, 2)),  # pyright: ignore[reportArgumentType]
    ),
    "density: expected Density": (
        lambda: snt.landscape.wells(torch.ones(3)),  # pyright: ignore[reportArgumentType]
        lambda: snt.landscape.barrier(torch.ones(3), torch.ones(3, 2)),  # pyright: ignore[reportArgumentType]
    ),
    "flux: expected FluxField": (lambda: snt.landscape.loop_flux(torch.ones(3), torch.ones(3, 2)),),  # pyright: ignore[reportArgumentType]
    "produced: expected EntropyProduction": (
        lambda: snt.landscape.plane_share(torch.ones(3), torch.ones(9, 2), torch.eye(2)),  # pyright: ignore[reportArgumentType]
    ),
    "path: expected ActionPath": (
        lambda: snt.landscape.escape_rate(snt.systems.DoubleWell(2, diffusion=0.1), torch.ones(2)),  # pyright: ignore[reportArgumentType]
    ),
    "cycle: expected Attractor": (
        lambda: snt.landscape.cycle_covariance(snt.systems.TanhRing(), torch.ones(2)),  # pyright: ignore[reportArgumentType]
    ),
}


@pytest.mark.parametrize("message", RECORDS)
def test_records_are_asked_for_by_name(message):
    for question in RECORDS[message]:
        with pytest.raises(ValueError, match=f"{message}, got Tensor"):
            question()


@pytest.mark.parametrize(
    ("value", "ndim", "message"),
    [
        ([1.0], 0, "u: expected a torch.Tensor, got list"),
        (np.ones(2), 0, "u: expected a torch.Tensor, as torch.from_numpy makes; got ndarray"),
        (torch.tensor(1.0), 1, r"u: expected at least 1 axis, none of them empty, got \(\)"),
        (torch.ones(2, dtype=torch.int64), 0, "u: expected a floating dtype, got torch.int64"),
        (
            torch.ones(2, dtype=torch.complex64),
            0,
            "u: expected a floating dtype, got torch.complex64",
        ),
        (torch.ones(2), 2, r"u: expected at least 2 axes, none of them empty, got \(2,\)"),
        (torch.ones(2, 0), 0, r"u: expected none of them empty, got \(2, 0\)"),
    ],
)
def test_floating_refuses(value, ndim, message):
    with pytest.raises(ValueError, match=message):
        checks.floating("u", value, ndim)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_returns_its_tensor(kind):
    value = torch.ones(2, 3, dtype=kind)
    assert checks.floating("u", value, 2) is value


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.dtype(">f8")])
def test_a_recording_may_be_an_array(kind):
    array = np.arange(12, dtype=kind).reshape(3, 4)[::-1]  # torch takes no negative strides
    found = checks.recorded("trajectory", array)
    assert found.numpy().tolist() == array.tolist()
    assert found.dtype == (torch.float32 if kind == np.float32 else torch.float64)
    array[0, 0] = 99.0
    assert found[0, 0] == 8.0  # a copy
    own = torch.ones(3, 4)
    assert checks.recorded("trajectory", own) is own


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((3, 4), dtype=int), "expected a floating dtype, got int64"),
        (np.ones(3), "expected at least 2 axes"),
        (np.full((3, 4), np.nan), r"expected finite numbers, got nan at \(0, 0\)"),
        ([[1.0]], "expected a torch.Tensor, got list"),
    ],
)
def test_a_recording_refuses(value, message):
    with pytest.raises(ValueError, match=f"trajectory: {message}"):
        checks.recorded("trajectory", value)


RECORDED = {
    "area_rates": snt.landscape.area_rates,
    "entropy_production": lambda orbit: snt.landscape.entropy_production(
        snt.as_dynamics(lambda u: 0.5 * u, noise=1.0), orbit
    ),
    "estimate_flow": lambda orbit: snt.landscape.estimate_flow(orbit, dt=1.0, order=1),
    "flux_field": snt.landscape.flux_field,
    "lagged_entropy": snt.landscape.lagged_entropy,
    "leading_plane": snt.landscape.leading_plane,
    "mean_activity": snt.analysis.mean_activity,
    "participation_ratio": snt.analysis.participation_ratio,
    "phase_coherence": lambda orbit: snt.landscape.phase_coherence(orbit + 3.0),
    "poincare_section": lambda orbit: snt.analysis.poincare_section(
        orbit[:, 0], torch.tensor([0.0, 1.0], dtype=torch.float64)
    )[0],
    "power_spectrum": snt.analysis.power_spectrum,
    "rotation_number": lambda orbit: snt.analysis.rotation_number(orbit)[0],
    "spectral_lines": lambda orbit: snt.analysis.spectral_lines(orbit[:, 0, 0]),
    "synaptic_entropy": lambda orbit: snt.landscape.synaptic_entropy(
        snt.SNTCell(torch.eye(2, dtype=torch.float64) / 2, noise=1.0, transfer="linear"), orbit
    ),
    "uncertainty_bound": snt.landscape.uncertainty_bound,
}


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.filterwarnings("ignore::sntorch.analysis.AccuracyWarning")
def test_what_was_recorded_elsewhere_needs_no_conversion(name):
    g = torch.Generator().manual_seed(0)
    u = torch.randn(200, 9, 2, generator=g, dtype=torch.float64).cumsum(0) * 0.1
    found = RECORDED[name](u.numpy()), RECORDED[name](u)
    parts = [vars(each) if isinstance(each, Result) else {"value": each} for each in found]
    tensors = [key for key, value in parts[1].items() if isinstance(value, torch.Tensor)]
    assert tensors
    for key in tensors:
        assert torch.equal(parts[0][key].nan_to_num(), parts[1][key].nan_to_num()), key


@given(place=st.tuples(st.integers(0, 2), st.integers(0, 3)), bad=st.sampled_from(["nan", "inf"]))
def test_finite_gives_the_place(place, bad):
    value = torch.zeros(3, 4)
    assert checks.finite("u", value) is value
    value[place] = float(bad)
    with pytest.raises(
        ValueError, match=rf"u: expected finite numbers, got {bad} at \({place[0]}, {place[1]}\)"
    ):
        checks.finite("u", value)


def test_same_kind():
    value, like = torch.ones(2), torch.ones(5)
    assert checks.same_kind("V", value, like, "the state") is value
    with pytest.raises(ValueError, match=r"V: expected torch.float64, the dtype of the state, got"):
        checks.same_kind("V", value, like.double(), "the state")
    with pytest.raises(ValueError, match="V: expected meta, the device of the state, got cpu"):
        checks.same_kind("V", value, like.to("meta"), "the state")


def test_generator():
    g, cpu = torch.Generator(), torch.device("cpu")
    assert checks.generator(None, cpu) is None
    assert checks.generator(g, cpu) is g
    with pytest.raises(ValueError, match=r"generator: expected a torch.Generator, got int"):
        checks.generator(0, cpu)
    with pytest.raises(ValueError, match=r"expected a torch.Generator, got numpy\.random"):
        checks.generator(np.random.default_rng(0), cpu)
    with pytest.raises(ValueError, match="generator: expected one on cuda, got cpu"):
        checks.generator(g, torch.device("cuda"))


@given(value=numbers)
def test_positive(value):
    if value > 0:
        assert checks.positive("dt", value) == value
    else:
        with pytest.raises(ValueError, match=r"^dt: expected a finite number > 0, got"):
            checks.positive("dt", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None, torch.ones(1)])
def test_positive_refuses(value):
    with pytest.raises(ValueError, match=r"^dt: expected a finite number > 0, got"):
        checks.positive("dt", value)
