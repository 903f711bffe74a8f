import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sntorch.training import DigitsTask
from sntorch.training.tasks import EpochSampler


def task(*args, **settings):
    made = DigitsTask(*args, **settings)
    made.setup("fit")
    return made


@pytest.mark.parametrize(("order", "steps", "width"), [("rows", 8, 8), ("pixels", 64, 1)])
def test_shapes_and_sizes(order, steps, width):
    made = task(order, batch_size=32)
    x, y = next(iter(made.train_dataloader()))
    assert x.shape == (32, steps, width)
    assert y.shape == (32,)
    assert (made.input_size, made.output_size) == (width, 10)
    assert x.dtype == torch.float32


def test_split_is_a_partition_of_the_real_images_with_balanced_classes():
    made = task("rows")
    sizes = {name: len(part) for name, part in made.parts.items()}
    assert sum(sizes.values()) == 1797
    assert abs(sizes["val"] - 180) <= 1
    assert abs(sizes["test"] - 360) <= 1
    images = torch.cat([part.tensors[0] for part in made.parts.values()]).flatten(1).numpy()
    original, _ = load_digits(return_X_y=True)
    scale = (images.max() - images.min()) / 16
    restored = np.round((images - images.min()) / scale)
    assert sorted(map(bytes, restored.astype(np.uint8))) == sorted(
        map(bytes, original.astype(np.uint8))
    )
    for part in made.parts.values():
        share = torch.bincount(part.tensors[1]) / len(part)
        assert (share - 0.1).abs().max() < 0.02


def test_training_images_are_standardised():
    x = task("rows").parts["train"].tensors[0]
    assert abs(float(x.mean())) < 1e-5
    assert abs(float(x.std()) - 1) < 1e-3


def test_pixels_come_in_reading_order():
    rows, pixels = task("rows"), task("pixels")
    for name in ("train", "val", "test"):
        a, b = rows.parts[name].tensors[0], pixels.parts[name].tensors[0]
        assert torch.equal(a.reshape(len(a), -1), b.reshape(len(b), -1))


def test_seed_alone_decides_the_split():
    first, again, other = task("rows"), task("rows"), task("rows", seed=1)
    assert torch.equal(first.parts["test"].tensors[1], again.parts["test"].tensors[1])
    assert not torch.equal(first.parts["test"].tensors[1], other.parts["test"].tensors[1])


def test_order_of_training_depends_on_seed_and_epoch_alone():
    epochs = iter([0, 1, 0])
    sampler = EpochSampler(50, seed=3, epoch=lambda: next(epochs))
    orders = []
    for _ in range(3):
        torch.rand(1)
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(50))
    assert list(EpochSampler(50, 4, lambda: 0)) != orders[0]


def test_passing_over_the_data_leaves_the_global_generator_alone():
    made = task("rows")
    state = torch.get_rng_state()
    for loader in (made.train_dataloader(), made.val_dataloader(), made.test_dataloader()):
        list(loader)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "columns"}, "order: expected one of rows, pixels"),
        ({"batch_size": 0}, "batch_size: expected"),
        ({"batch_size": "64"}, "batch_size: expected"),
        ({"validation": 0.9}, "validation: expected"),
        ({"test": -0.1}, "test: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        DigitsTask(**settings)
