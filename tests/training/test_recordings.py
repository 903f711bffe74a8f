"""A recording in windows: by a series made here, and by the real one if it is installed."""

import importlib.util
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sntorch.training import LaserTask, recordings

SIZE = 10_093


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Stand in for the package: its recording counts up, so that values say where they are."""
    (tmp_path / "datasets").mkdir()
    np.save(tmp_path / "datasets" / "santafe_laser.npy", np.arange(SIZE).reshape(-1, 1))
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)


def places(task, part):
    """Return where the values of x and y stand in the recording."""
    known = np.arange(int(0.7 * SIZE))
    tensors = task.parts[part].tensors
    return [
        np.rint(v.double().numpy()[..., 0] * known.std() + known.mean()).astype(int)
        for v in tensors
    ]


@pytest.mark.usefixtures("counted")
def test_windows_and_their_future_stay_in_their_stretch():
    task = LaserTask(horizon=3, steps=50, stride=7, batch_size=8)
    task.setup("fit")
    a, b = int(0.7 * SIZE), int(0.85 * SIZE)
    for part, (low, high), stride in (
        ("train", (0, a), 7),
        ("val", (a, b), 50),
        ("test", (b, SIZE), 50),
    ):
        x, y = places(task, part)
        assert x.shape == y.shape == ((high - low - 53) // stride + 1, 50)
        assert (x[:, 0] == low + stride * np.arange(len(x))).all()
        assert (np.diff(x, axis=1) == 1).all()
        assert (y == x + 3).all()
        assert y.max() < high
    x, y = next(iter(task.train_dataloader()))
    assert (x.shape, y.shape, x.dtype) == ((8, 50, 1), (8, 50, 1), torch.float32)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 1514}, "steps: expected .* 1 <= steps <= 1513, got 1514"),
        ({"steps": 1500, "horizon": 15}, "steps: expected .* 1 <= steps <= 1499, got 1500"),
        ({"horizon": 0}, "horizon: expected"),
        ({"stride": 0}, "stride: expected"),
        ({"batch_size": 0}, "batch_size: expected"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        LaserTask(**settings)


@pytest.mark.usefixtures("counted")
def test_the_longest_window_fits():
    task = LaserTask(steps=1513)
    task.setup("fit")
    assert len(task.parts["val"]) == len(task.parts["test"]) == 1


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"reservoirpy: .* pip install sntorch\[data\]"):
        LaserTask()
    bare = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: bare)
    with pytest.raises(ImportError, match="reservoirpy: expected to be installed with its record"):
        LaserTask()


def test_the_real_recording_has_the_chance_that_is_stated():
    if importlib.util.find_spec("reservoirpy") is None:  # without the seconds that its import takes
        pytest.skip("needs the extra data")
    task = LaserTask()
    task.setup("fit")
    recorded = np.load(recordings._shipped())
    assert (recorded.shape, recorded.min(), recorded.max()) == ((SIZE, 1), 0, 255)
    assert pathlib.Path(recordings._shipped()).name == "santafe_laser.npy"
    assert [len(task.parts[part]) for part in ("train", "val", "test")] == [697, 15, 15]
    _, y = task.parts["test"].tensors
    assert float(y.square().mean()) == pytest.approx(task.chance, abs=0.01)
    x, y = task.parts["test"].tensors
    assert float((x - y).square().mean()) == pytest.approx(0.79, abs=0.02)
