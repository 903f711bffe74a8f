"""Regularisers: gradients against differences, targets that are reached, the callback in a run."""

import math
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from references import random_generator
from scenes import IN, H, TinyTask, snt_model, torch_model, trainer, weights
from torch import nn

import sntorch as snt
from sntorch.training import (
    GradientFlossing,
    LyapunovMonitor,
    SequenceModel,
    jacobian_norm_regularizer,
    lyapunov_regularizer,
    spectral_radius_regularizer,
)

PARTS = {
    "SNT": lambda: snt_model(noise=0.0).recurrent,
    "RNN": lambda: nn.RNN(IN, H),
    "GRU": lambda: nn.GRU(IN, H),
    "LSTM": lambda: nn.LSTM(IN, H),
    "GRUCell": lambda: nn.GRUCell(IN, H),
}


def part(name):
    torch.manual_seed(0)
    return PARTS[name]().double()


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def exponent(f, u, x, transient):
    steps = len(x) - transient
    found = snt.analysis.max_lyapunov(f, u, steps, transient=transient, x=x)
    return float(found.exponents.mean())


LOSSES = {
    "exponents": lambda f, u, x: lyapunov_regularizer(
        f, u, 6, k=2, target=[0.1, -0.3], transient=3, x=x
    ),
    "volume": lambda f, u, x: lyapunov_regularizer(f, u, 9, k=3, of="volume", target=-0.4, x=x),
    "radius": lambda f, u, x: spectral_radius_regularizer(f, u, target=0.9, x=x[0]),
    "norm": lambda f, u, x: jacobian_norm_regularizer(f, u, target=0.9, x=x[0]),
    "norm, estimated": lambda f, u, x: jacobian_norm_regularizer(
        f, u, target=0.9, x=x[0], vectors=3, generator=random_generator(5)
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PARTS)
def test_gradient_is_that_of_finite_differences(name, loss):
    f = part(name)
    u, x = states(4, snt.as_dynamics(f).size), states(9, 4, IN, seed=2)
    parameters = list(f.parameters())
    directions = [states(*p.shape, seed=3 + i) for i, p in enumerate(parameters)]
    value = LOSSES[loss](f, u, x)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    found = sum(
        float((g * d).sum()) for g, d in zip(gradients, directions, strict=True) if g is not None
    )

    def at(h):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p += h * d
            result = float(LOSSES[loss](f, u, x))
            for p, d in zip(parameters, directions, strict=True):
                p -= h * d
        return result

    h = 1e-5  # four points, error of order h^4
    slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert value > 0
    assert abs(found) > 1e-4
    assert found == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_losses_are_what_the_formulas_say():
    f, u, x = part("GRU"), states(4, H), states(8, 4, IN)
    rates = snt.analysis.growth_rates(f, u, 8, k=3, x=x).mean(0)
    each = lyapunov_regularizer(f, u, 8, k=3, x=x, target=[0.0, -0.1, -0.2])
    torch.testing.assert_close(each, ((rates - rates.new_tensor([0, -0.1, -0.2])) ** 2).mean())
    whole = lyapunov_regularizer(f, u, 8, k=3, x=x, target=-0.1, of="volume")
    torch.testing.assert_close(whole, (rates.mean() + 0.1) ** 2)
    DF = snt.as_dynamics(f).jacobian(u, x[0])
    radius = torch.linalg.eigvals(DF).abs().amax(-1)
    loss = spectral_radius_regularizer(f, u, x=x[0], target=0.4)
    torch.testing.assert_close(loss, ((radius - 0.4) ** 2).mean())
    s = torch.linalg.svdvals(DF).square().mean(-1).sqrt()
    loss = jacobian_norm_regularizer(f, u, x=x[0], target=0.4)
    torch.testing.assert_close(loss, ((s - 0.4) ** 2).mean())
    many = jacobian_norm_regularizer(
        f, u, x=x[0], target=0.4, vectors=4000, generator=random_generator(1)
    )
    assert many.item() == pytest.approx(loss.item(), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("target", [-0.3, 0.0])
@pytest.mark.parametrize("name", ["SNT", "RNN", "GRU", "LSTM"])
def test_the_exponent_of_a_small_network_reaches_its_target(name, target):
    f = part(name)
    u, x = torch.zeros(4, snt.as_dynamics(f).size).double(), 0.3 * states(15, 4, IN)
    before = exponent(f, u, x, 3)
    optimizer = torch.optim.Adam(f.parameters(), lr=0.03)
    for _ in range(60):
        loss = lyapunov_regularizer(f, u, 12, transient=3, x=x, target=target)
        if loss < 2e-5:
            break
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(f.parameters(), 1.0)
        optimizer.step()
    assert abs(before - target) > 0.05
    assert exponent(f, u, x, 3) == pytest.approx(target, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target", "window", "transient"),
    [("SNTCell", -0.1, 30, 30), ("RNN", -0.2, 20, 10), ("GRU", 0.0, 20, 10), ("GRU", -0.1, 30, 30)],
)
def test_an_exponent_reaches_its_target_under_a_drive_that_was_not_seen(
    name, target, window, transient
):
    torch.manual_seed(1)
    size, rows, steps = 24, 8, 60
    J = 0.6 * snt.couplings.gaussian(size, dtype=torch.float64, generator=random_generator(1))
    f: Any = snt.SNTCell(J, input_size=1) if name == "SNTCell" else getattr(nn, name)(1, size)
    f = f.double()
    u, unseen = states(rows, size), states(600, rows, 1, seed=1000) / 3
    assert abs(exponent(f, u, unseen, 100) - target) > 0.1
    optimizer = torch.optim.Adam(f.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for i in range(steps):
        x = states(window + transient, rows, 1, seed=i) / 3
        optimizer.zero_grad()
        lyapunov_regularizer(f, u, window, transient=transient, x=x, target=target).backward()
        nn.utils.clip_grad_norm_(f.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    found = snt.analysis.max_lyapunov(f, u, 500, transient=100, x=unseen)
    assert float(found.stderr.square().sum().sqrt()) / rows < 0.005
    assert float(found.exponents.mean()) == pytest.approx(target, abs=0.02)


# The callback


@pytest.mark.parametrize("kind", ["snt", "GRU", "LSTM"])
def test_pretraining_brings_exponents_to_their_target_before_the_first_batch(kind):
    model = snt_model(noise=0.0) if kind == "snt" else torch_model(kind)
    floss = GradientFlossing(
        target=-0.1, pretrain=50, every_n_steps=0, lr=0.02, rows=16, steps=7, transient=2
    )
    x = TinyTask().data.tensors[0].transpose(0, 1)
    u = torch.zeros(48, snt.as_dynamics(model).size)
    before, seen = exponent(model, u, x, 2), []

    class Look(pl.Callback):
        def on_train_batch_start(self, *args, **kwargs):
            seen.append(exponent(model, u, x, 2))

    trainer(1, [floss, Look()], max_steps=1).fit(model, TinyTask())
    assert floss.done == 50
    assert abs(before + 0.1) > 0.1
    assert abs(seen[0] + 0.1) < 0.05


def test_every_nth_batch_with_steps_of_its_own_and_none_elsewhere():
    ends, looks = {}, {}
    for n, repeats, until in ((0, 1, None), (2, 1, None), (2, 3, None), (1, 1, None), (1, 1, 4)):
        model = snt_model()
        floss = GradientFlossing(every_n_steps=n, repeats=repeats, until=until, lr=0.01)
        trainer(2, [floss]).fit(model, TinyTask())  # 6 batches
        looks[n, repeats, until], ends[n, repeats, until] = floss.done, weights(model)
    expected = {(0, 1, None): 0, (2, 1, None): 3, (2, 3, None): 9, (1, 1, None): 6, (1, 1, 4): 4}
    assert looks == expected
    plain = snt_model()
    trainer(2).fit(plain, TinyTask())
    assert torch.equal(ends[0, 1, None], weights(plain))
    values = list(ends.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


class Gradients(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        parameters: Any = pl_module.parameters()
        self.seen.append([p.grad.clone() for p in parameters])


def test_a_weight_adds_the_clipped_gradient_to_that_of_the_batch():
    runs = []
    choices: list[Any] = [None, {"weight": 0.5, "clip": 1e6}, {"weight": 0.5, "clip": 1e-3}]
    for settings in choices:
        model, look = torch_model("GRU"), Gradients()
        options: dict[str, Any] = {"steps": 7, "transient": 2, "rows": 16}
        callbacks = [look] if settings is None else [
            GradientFlossing(every_n_steps=1, **options, **settings), look
        ]  # fmt: skip
        trainer(1, callbacks, max_steps=1).fit(model, TinyTask())
        runs.append(torch.cat([g.flatten() for g in look.seen[0]]))
    batch = TinyTask()
    runner = trainer(1)
    batch.trainer = runner
    model = torch_model("GRU")
    x = next(iter(batch.train_dataloader()))[0].transpose(0, 1)
    loss = lyapunov_regularizer(model, torch.zeros(16, H), 7, transient=2, x=x)
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    term = torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten()
        for p, g in zip(model.parameters(), found, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(runs[1] - runs[0], 0.5 * term, rtol=1e-3, atol=1e-6)
    assert float((runs[2] - runs[0]).norm()) == pytest.approx(0.5e-3, rel=0.02)


def test_pretraining_leaves_random_streams_alone():
    states = []
    for pretrain in (0, 3):

        class Look(pl.Callback):
            def on_train_batch_end(self, *args, **kwargs):
                states.append(torch.get_rng_state())

        floss = GradientFlossing(pretrain=pretrain, every_n_steps=0)
        trainer(1, [floss, Look()], max_steps=1).fit(snt_model(noise=0.1), TinyTask())
    assert torch.equal(*states)


def test_exponents_are_logged_beside_those_of_the_monitor():
    floss, monitor = GradientFlossing(k=2, every_n_steps=1), LyapunovMonitor(k=2)
    runner = trainer(2, [floss, monitor])
    runner.fit(snt_model(), TinyTask())
    for name in ("flossing/1", "flossing/2", "flossing/loss", "lyapunov/max"):
        assert math.isfinite(float(runner.callback_metrics[name]))


@pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:UserWarning")
def test_a_resumed_run_goes_on_to_the_same_bits(tmp_path):
    def run(epochs, folder, resumed=None):
        model = snt_model(noise=0.0)
        floss = GradientFlossing(every_n_steps=2, pretrain=2, lr=0.01)
        runner = trainer(epochs, [floss], enable_checkpointing=True, default_root_dir=folder)
        runner.fit(model, TinyTask(), ckpt_path=resumed)
        path = folder / "last.ckpt"
        runner.save_checkpoint(path)
        return weights(model), floss.done, path

    whole = run(2, tmp_path / "whole")
    first = run(1, tmp_path / "part")
    again = run(2, tmp_path / "part", first[2])
    assert torch.equal(whole[0], again[0])
    assert whole[1] == again[1] == 5


def test_a_gradient_that_is_not_finite_is_not_used():
    class Broken(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            # J = 0: the growth rate is -inf and has no gradient.
            part: Any = pl_module.recurrent
            part.cell.coupling.data.zero_()

    model: Any = snt_model(noise=0.0)
    model.recurrent.cell.leak = 0.0
    floss = GradientFlossing(every_n_steps=1, weight=1.0)
    trainer(1, [Broken(), floss]).fit(model, TinyTask())
    assert floss.skipped == floss.done == 3
    assert weights(model).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": math.nan}, "target: expected a finite number"),
        ({"target": 11.0}, r"target: expected a finite number in \[-10.0, 10.0\]"),
        ({"target": [0.0, 0.1], "k": 2}, "target: expected the largest first"),
        ({"target": [0.0], "k": 2}, "target: expected one number or 2"),
        ({"k": 0}, "k: expected"),
        ({"k": H + 1}, f"k: expected .* {H}, got {H + 1}"),
        ({"steps": 201}, "steps: expected"),
        ({"steps": 150, "transient": 60}, "steps: expected .* <= 140"),
    ],
)
def test_wrong_arguments_of_the_loss_and_the_callback_are_named(settings, message):
    steps = settings.get("steps", 5)
    others = {key: value for key, value in settings.items() if key != "steps"}
    with pytest.raises(ValueError, match=message):
        lyapunov_regularizer(part("SNT"), torch.zeros(H).double(), steps, **others)
    with pytest.raises(ValueError, match=message):
        GradientFlossing(**settings).on_fit_start(trainer(1), snt_model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrain": -1}, "pretrain: expected"),
        ({"every_n_steps": -1}, "every_n_steps: expected"),
        ({"weight": 0.0}, "weight: expected a finite number > 0"),
        ({"lr": 0}, "lr: expected"),
        ({"clip": math.inf}, "clip: expected"),
        ({"rows": 0}, "rows: expected"),
        ({"part": "readout"}, "part: expected a recurrent layer"),
    ],
)
def test_wrong_arguments_of_the_callback_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientFlossing(**settings).on_fit_start(trainer(1), snt_model())


def test_a_part_without_trainable_parameters_is_refused():
    cell = snt.SNTCell(torch.eye(H), input_size=IN, trainable=())
    with pytest.raises(ValueError, match="part: expected a part with trainable parameters"):
        GradientFlossing().on_fit_start(trainer(1), SequenceModel(snt.SNT(cell), 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, u: lyapunov_regularizer(f, u, 5, of="sum"), "of: expected one of"),
        (lambda f, u: lyapunov_regularizer(f, u, 5, of="volume", target=[0.0]), "target: .* vol"),
        (lambda f, u: spectral_radius_regularizer(f, u, target=-1.0), "target: expected"),
        (lambda f, u: jacobian_norm_regularizer(f, u, target=-1.0), "target: expected"),
        (lambda f, u: jacobian_norm_regularizer(f, u, vectors=0), "vectors: expected"),
        (lambda f, u: jacobian_norm_regularizer(f, u.float()), "u: expected torch.float64"),
    ],
)
def test_wrong_arguments_of_the_losses_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(part("SNT"), torch.zeros(H).double())
