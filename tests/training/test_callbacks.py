import math
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger
from scenes import IN, STEPS, H, TinyTask, monitors, snt_model, torch_model, trainer, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import sntorch as snt
from sntorch.training import (
    FluxMonitor,
    LyapunovMonitor,
    MeanFieldMonitor,
    Monitor,
    SequenceModel,
    SpectrumMonitor,
)
from sntorch.training.monitor import tensorboards
from sntorch.training.probes import Listener, Probe, recurrent_part


@pytest.mark.parametrize("kind", [FluxMonitor, LyapunovMonitor, MeanFieldMonitor, SpectrumMonitor])
def test_monitors_tell_each_other_apart(kind):
    one, other = kind(part="encoder"), kind(part="decoder")
    assert isinstance(one, Monitor)
    assert one.state_key != other.state_key
    assert one.state_key.startswith(kind.__name__)


def events(folder):
    """Return everything TensorBoard would read."""
    keep = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    reader = EventAccumulator(str(folder), size_guidance=keep)
    return reader.Reload()


# The law: watching does not change training


@pytest.mark.parametrize(
    "kind", ["snt", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("GRU", "LSTM"))]
)
def test_watching_changes_no_bit_of_training(kind, tmp_path):
    ends = []
    for callbacks in ([], monitors(figures=3)):
        model = snt_model() if kind == "snt" else torch_model(kind)
        logger = TensorBoardLogger(tmp_path) if callbacks else False
        trainer(2, callbacks, logger).fit(model, TinyTask())
        ends.append(weights(model))
    assert torch.equal(*ends)


def test_looking_leaves_modes_and_random_streams_alone():
    model = snt_model().train()
    listener = Listener(model.recurrent, 4)
    model(torch.randn(5, STEPS, IN))
    listener.close()
    state = torch.get_rng_state()
    for monitor in monitors():
        monitor.look(listener.probe())
    assert torch.equal(state, torch.get_rng_state())
    assert all(part.training for part in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# The same numbers everywhere


def direct_exponents(model):
    """Return what the Lyapunov monitor must find on the first validation batch."""
    x = TinyTask().data.tensors[0][:16].transpose(0, 1)
    transient = STEPS // 4
    spectrum = snt.analysis.lyapunov_spectrum(
        model, torch.zeros(16, H), STEPS - transient, k=3, transient=transient, x=x
    )
    return spectrum.scalars()


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize("kind", ["snt", "RNN", "GRU"])
def test_same_numbers_in_fit_validate_test_and_plain_evaluation(kind, stage):
    monitor = LyapunovMonitor(k=3)
    model = snt_model(noise=0.0) if kind == "snt" else torch_model(kind)
    runner = trainer(1, [monitor])
    getattr(runner, stage)(model, TinyTask())
    prefix = "test/lyapunov" if stage == "test" else "lyapunov"
    for name, value in direct_exponents(model).items():
        seen = monitor.scalars[f"{prefix}/{name}"]
        assert seen == pytest.approx(value, abs=1e-6, nan_ok=True)
        assert float(runner.callback_metrics[f"{prefix}/{name}"]) == pytest.approx(
            value, abs=1e-6, nan_ok=True
        )


def test_spectrum_is_that_of_the_visited_states():
    model, monitor = snt_model(noise=0.0), SpectrumMonitor(states=2, rows=2)
    trainer(1, [monitor]).validate(model, TinyTask(), verbose=False)
    x = TinyTask().data.tensors[0].transpose(0, 1)
    orbit = snt.rollout(model, torch.zeros(2, H), STEPS, x=x[:, :2])
    states = [(0, STEPS // 4), (1, STEPS - 1)]
    radii = []
    for row, t in states:
        jacobian = snt.as_dynamics(model).jacobian(orbit[t - 1, row], x[t, row])
        radii.append(torch.linalg.eigvals(jacobian).abs().max())
    expected = float(torch.stack(radii).mean().detach())
    assert monitor.scalars["spectrum/radius"] == pytest.approx(expected, abs=1e-5)


def test_flux_of_a_noisy_network_and_of_a_silent_one():
    noisy, silent = FluxMonitor(), FluxMonitor()
    trainer(1, [noisy]).validate(snt_model(noise=0.1), TinyTask(), verbose=False)
    trainer(1, [silent]).validate(torch_model("GRU"), TinyTask(), verbose=False)
    assert noisy.scalars["flux/entropy_production"] > 0
    assert math.isnan(noisy.scalars["flux/contraction_rate"])
    assert math.isnan(silent.scalars["flux/entropy_production"])
    assert silent.scalars["flux/contraction_rate"] > 0
    assert noisy.scalars["flux/noise"] == pytest.approx(0.1)
    assert noisy.scalars["flux/dt"] == 1
    assert noisy.scalars["flux/entropy_production_per_neuron_stderr"] > 0
    assert noisy.scalars["flux/plane_share"] < 1 + 4 * noisy.scalars["flux/plane_share_stderr"]
    assert "flux/plane_share" not in silent.scalars  # without an entropy production


def test_a_network_without_noise_is_watched_under_the_noise_that_is_given():
    model, monitor = torch_model("GRU"), FluxMonitor(noise=0.2, burn_in=20, steps=400)
    trainer(1, [monitor]).validate(model, TinyTask(), verbose=False)
    assert monitor.scalars["flux/noise"] == pytest.approx(0.2)
    cell = nn.GRUCell(IN, H)
    for name, values in cell.named_parameters():
        values.data = getattr(model.recurrent, f"{name}_l0").data
    f = snt.as_dynamics(cell, noise=0.2)
    x = TinyTask().data.tensors[0][:16].mean((0, 1))
    u = torch.randn(64, H, generator=torch.Generator())
    found = snt.landscape.simulate_entropy_production(f, u, 400, transient=50, x=x).scalars()
    seen = monitor.scalars["flux/entropy_production"]
    errors = monitor.scalars["flux/entropy_production_stderr"], found["entropy_production_stderr"]
    assert abs(seen - found["entropy_production"]) < 4 * math.hypot(*errors)
    assert seen > 4 * errors[0]


def test_a_network_with_noise_is_given_no_other():
    monitor = FluxMonitor(noise=0.2)
    with pytest.raises(ValueError, match="noise: expected None for a network with noise"):
        trainer(1, [monitor]).validate(snt_model(noise=0.1), TinyTask(), verbose=False)
    trainer(1, [monitor]).validate(snt_model(noise=0.0), TinyTask(), verbose=False)
    assert monitor.scalars["flux/entropy_production"] > 0


# When


def test_value_before_training_and_every_second_epoch_and_the_last(tmp_path):
    model = snt_model()
    start = direct_exponents_noisy(model)
    monitor = LyapunovMonitor(k=3, every_n_epochs=2)
    logger = TensorBoardLogger(tmp_path, name="", version="")
    trainer(5, [monitor], logger).fit(model, TinyTask())
    logger.finalize("success")
    seen = events(tmp_path).Scalars("lyapunov/max")
    # three batches an epoch; before training, after epochs 2, 4 and 5
    assert [event.step for event in seen] == [0, 5, 11, 14]
    assert seen[0].value == pytest.approx(start, abs=0.3)


def direct_exponents_noisy(model):
    return direct_exponents(model)["max"]


def test_without_validation_the_first_training_batch_is_used():
    monitor = LyapunovMonitor(k=2)
    trainer(2, [monitor], limit_val_batches=0).fit(snt_model(), TinyTask())
    assert math.isfinite(monitor.scalars["lyapunov/max"])


def test_a_resumed_monitor_keeps_its_first_look():
    monitor = LyapunovMonitor(k=2)
    trainer(1, [monitor]).fit(snt_model(), TinyTask())
    again = LyapunovMonitor(k=2)
    again.load_state_dict(monitor.state_dict())
    before: Any = again.before["lyapunov"]
    first: Any = monitor.before["lyapunov"]
    last: Any = monitor.after["lyapunov"]
    assert torch.equal(before.exponents, first.exponents)
    assert before.scalars() == pytest.approx(first.scalars(), nan_ok=True)
    assert not torch.equal(before.exponents, last.exponents)


# On which states


class Foreign(pl.LightningModule):
    """A user's own module: its recurrent part has another name and is called step by step."""

    def __init__(self, cell):
        super().__init__()
        self.encoder = nn.ModuleDict({"cell": cell})
        self.readout = nn.Linear(cell.hidden_size, 2)

    def forward(self, x):
        hx = None
        for step in x.unbind(1):
            hx = self.encoder["cell"](step, hx)
        return self.readout(hx[0] if isinstance(hx, tuple) else hx)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_called_step_by_step_in_a_users_module(kind):
    monitor = LyapunovMonitor(k=3)
    model = Foreign(getattr(nn, kind)(IN, H))
    trainer(1, [monitor]).fit(model, TinyTask())
    assert monitor.scalars == pytest.approx(
        {f"lyapunov/{k}": v for k, v in direct_cell(model).items()}, abs=1e-5, nan_ok=True
    )


def direct_cell(model):
    f = snt.as_dynamics(model.encoder["cell"])
    x = TinyTask().data.tensors[0][:16].transpose(0, 1)
    transient = STEPS // 4
    u = torch.zeros(16, f.size)
    return snt.analysis.lyapunov_spectrum(
        f, u, STEPS - transient, k=3, transient=transient, x=x
    ).scalars()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_layer_is_heard_with_its_own_start(kind, batch_first):
    layer = getattr(nn, kind)(IN, H, num_layers=2, batch_first=batch_first)
    x = torch.randn(STEPS, 5, IN)
    h = torch.randn(2, 5, H)
    hx = (h, torch.randn(2, 5, H)) if kind == "LSTM" else h
    listener = Listener(layer, rows=3)
    output, _ = layer(x.transpose(0, 1) if batch_first else x, hx)
    listener.close()
    probe: Any = listener.probe()
    assert torch.equal(probe.x, x[:, :3])
    orbit = snt.rollout(probe.f, probe.u, STEPS, x=probe.x)
    last = output[:, -1] if batch_first else output[-1]
    torch.testing.assert_close(orbit[-1, :, H : 2 * H], last[:3])


class Handmade(nn.Module):
    """A cell written by hand."""

    hidden_size = H

    def __init__(self):
        super().__init__()
        self.input, self.state = nn.Linear(IN, H), nn.Linear(H, H)

    def forward(self, x, h):
        return torch.tanh(self.input(x) + self.state(torch.zeros(len(x), H) if h is None else h))


@pytest.mark.parametrize("starts", [True, False])
def test_a_cell_written_by_hand_is_watched_by_its_name(starts):
    model, monitor = Foreign(Handmade()), LyapunovMonitor(k=3, part="encoder.cell")
    cell: Any = model.encoder["cell"]
    if not starts:
        with pytest.raises(ValueError, match=r"part: expected a first state, .* got None"):
            trainer(1, [monitor]).fit(model, TinyTask())
        return
    model.forward = lambda x: model.readout(_read(cell, x))  # pyright: ignore[reportAttributeAccessIssue]
    trainer(1, [monitor]).fit(model, TinyTask())
    x, u = TinyTask().data.tensors[0][:16].transpose(0, 1), torch.zeros(16, H)
    rest = STEPS - STEPS // 4
    found = snt.analysis.lyapunov_spectrum(cell, u, rest, k=3, transient=STEPS - rest, x=x)
    assert monitor.scalars["lyapunov/max"] == pytest.approx(found.scalars()["max"], abs=1e-5)


def _read(cell, x):
    h = torch.zeros(len(x), H)
    for step in x.unbind(1):
        h = cell(x=step, h=h)
    return h


def test_a_packed_sequence_is_named():
    listener = Listener(nn.GRU(IN, H), rows=3)
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, IN), torch.randn(3, IN)])
    listener.part(packed)
    with pytest.raises(ValueError, match=r"part: expected .*, got a packed sequence"):
        listener.probe()


def test_nothing_is_heard_after_closing():
    layer = nn.GRU(IN, H)
    listener = Listener(layer, 2)
    listener.close()
    layer(torch.randn(4, 3, IN))
    with pytest.raises(ValueError, match="part: expected the model to call"):
        listener.probe()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.GRU(2, 2), nn.LSTM(2, 2)


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (nn.Linear(2, 2), None, "part: expected a model with one recurrent part, got none"),
        (Two(), None, "got first, second; name it"),
        (Two(), "third", "part: expected a submodule of the model, got 'third'"),
        (nn.Sequential(nn.Linear(2, 2)), "0", "part: expected a recurrent layer .* got Linear"),
    ],
)
def test_a_model_whose_part_is_unclear_is_refused(model, name, message):
    with pytest.raises(ValueError, match=message):
        recurrent_part(model, name)


def test_a_named_part_is_found():
    assert recurrent_part(Two(), "second")[1].__class__ is nn.LSTM


class Flat(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.readout = nn.Linear(IN, 2)

    def training_step(self, batch, batch_idx):
        raise AssertionError("training must not start")

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_model_without_a_recurrent_part_fails_before_training():
    with pytest.raises(ValueError, match="part: expected a model with one recurrent part"):
        trainer(1, [LyapunovMonitor()]).fit(Flat(), TinyTask())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LyapunovMonitor(k=0), "k: expected"),
        (lambda: LyapunovMonitor(every_n_epochs=0), "every_n_epochs: expected"),
        (lambda: SpectrumMonitor(states=0), "states: expected"),
        (lambda: SpectrumMonitor(figures=-1), "figures: expected"),
        (lambda: FluxMonitor(steps=1), "steps: expected"),
        (lambda: FluxMonitor(rows=0), "rows: expected"),
        (lambda: FluxMonitor(noise=0.0), "noise: expected a finite number > 0"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# What TensorBoard gets


def test_pictures_reach_a_tensorboard_logger_of_the_package_lightning(tmp_path):
    # Its loggers have other base classes and the same names.
    other = type("TensorBoardLogger", (), {"experiment": None})()
    watched: Any = trainer(1, logger=TensorBoardLogger(tmp_path))
    assert len(tensorboards(watched)) == 1
    watched.loggers = [other, DummyLogger()]
    assert tensorboards(watched) == [other]


def test_scalars_histograms_figures_and_charts(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    trainer(3, monitors(figures=2), logger).fit(snt_model(), TinyTask())
    logger.finalize("success")
    tags = events(tmp_path).Tags()
    wanted = {
        *(f"lyapunov/{key}" for key in ("max", "max_stderr", "sum", "entropy", "1", "2", "3")),
        *(f"spectrum/{key}" for key in ("radius", "norm", "circular_law")),
        *(f"flux/{key}" for key in ("entropy_production", "irreversibility", "area_norm", "noise")),
        "flux/entropy_production_per_neuron",
        "train/loss",
        "val/accuracy",
    }
    assert wanted <= set(tags["scalars"])
    assert tags["histograms"] == ["spectrum/eigenvalue_modulus"]
    flux = {f"flux/figure/{name}" for name in ("flux", "area", "field")}
    assert set(tags["images"]) == {"lyapunov/figure", "spectrum/figure", *flux}
    assert "custom_scalars__config__" in tags["tensors"]
    # of the looks before training, after epoch 2 and after the last, the second is not drawn
    assert [image.step for image in events(tmp_path).Images("flux/figure/field")] == [0, 8]


def test_other_loggers_and_none_are_served():
    rows = []

    class Memory(DummyLogger):
        def log_metrics(self, metrics, step=None):
            rows.append((step, metrics))

    trainer(1, monitors(), Memory()).fit(snt_model(), TinyTask())
    assert any("lyapunov/max" in metrics for _, metrics in rows)


@pytest.mark.slow
def test_monitors_work_on_rank_zero_of_two_processes(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    runner = trainer(2, monitors(), logger, devices=2, strategy="ddp_fork")
    runner.fit(snt_model(), TinyTask())
    logger.finalize("success")
    steps = [event.step for event in events(tmp_path).Scalars("lyapunov/max")]
    assert steps == [0, 3]  # once each: before training, and after two epochs of two steps


def test_a_sequence_model_is_watched_by_default_name():
    model = SequenceModel(nn.GRU(IN, H), 2)
    assert recurrent_part(model) == ("recurrent", model.recurrent)


# Theory beside the measurement


def test_the_mean_field_is_that_of_the_networks_statistics():
    """A large network that reads nothing: the ensemble it was drawn from, within its errors."""
    n, stream = 400, torch.Generator()
    J = snt.couplings.gaussian(n, mean=0.3, std=1.7, generator=stream, dtype=torch.float64)
    theta = snt.couplings.thresholds(n, mean=0.2, std=0.4, generator=stream, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=1.3, leak=0.0, noise=0.25, threshold=theta)
    u = torch.zeros(2, n, dtype=torch.float64)
    probe = Probe(f=cell, u=u, x=None, steps=10)
    found: Any = MeanFieldMonitor().look(probe)["meanfield"]
    given: dict[str, Any] = {name: float(value) for name, value in found.arguments.items()}
    assert (given["gain"], given["leak"]) == pytest.approx((1.3, 0.0))
    assert given["noise"] == pytest.approx(0.25)
    assert given["mean"] == pytest.approx(0.3, abs=4 * 1.7 / n**0.5)
    assert given["std"] == pytest.approx(1.7, rel=4 / (2**0.5 * n))
    assert given["threshold"] == pytest.approx(0.2, abs=4 * 0.4 / n**0.5)
    assert given["threshold_std"] == pytest.approx(0.4, rel=4 / (2 * n) ** 0.5)
    expected = snt.meanfield.solve(**given)
    assert torch.equal(found.lyapunov, expected.lyapunov)


def test_a_drive_is_disorder_and_noise():
    cell = snt.SNTCell(torch.zeros(3, 3), threshold=0.5, noise=0.3, input_size=1)
    with torch.no_grad():
        cell.input_weight.copy_(torch.tensor([[1.0], [2.0], [-3.0]]))  # pyright: ignore[reportOptionalMemberAccess]
    x = torch.tensor([1.0, 3.0]).reshape(2, 1, 1)  # mean 2, variance 1
    found: Any = MeanFieldMonitor().look(Probe(f=cell, u=torch.zeros(1, 3), x=x, steps=2))
    given = {name: float(value) for name, value in found["meanfield"].arguments.items()}
    thresholds = torch.tensor([0.5 - 2, 0.5 - 4, 0.5 + 6])
    assert given["threshold"] == pytest.approx(float(thresholds.mean()))
    assert given["threshold_std"] == pytest.approx(float(thresholds.std()))
    assert given["noise"] == pytest.approx((0.09 + (1 + 4 + 9) / 3) ** 0.5)


@pytest.mark.slow
def test_populations_are_fitted_pair_by_pair():
    sizes, stream = (300, 100), torch.Generator()
    Jbar, S = torch.tensor([[0.4, -0.5], [0.6, -0.3]]), torch.tensor([[1, 0.8], [0.7, 1.2]])
    J = snt.couplings.populations(sizes, mean=Jbar, std=S, generator=stream, dtype=torch.float64)

    def spread(a, b):
        return torch.cat([torch.full((n,), x).double() for n, x in zip(sizes, (a, b), strict=True)])

    theta = spread(0.1, -0.2) + 0.2 * torch.randn(400, generator=stream, dtype=torch.float64)
    settings: dict[str, Any] = {"gain": spread(2.0, 3.0), "noise": spread(0.1, 0.2)}
    cell = snt.SNTCell(J, threshold=theta, leak=0.3, **settings)
    probe = Probe(f=cell, u=torch.zeros(1, 400).double(), x=None, steps=5)
    found: Any = MeanFieldMonitor(sizes=sizes).look(probe)["populations"]
    blocks = [[J[:300, :300], J[:300, 300:]], [J[300:, :300], J[300:, 300:]]]
    expected = snt.meanfield.populations(
        mean=[[float(b.mean()) * b.shape[1] for b in row] for row in blocks],
        std=[[float(b.var() * b.shape[1]) ** 0.5 for b in row] for row in blocks],
        threshold=[float(theta[:300].mean()), float(theta[300:].mean())],
        threshold_std=[float(theta[:300].std()), float(theta[300:].std())],
        gain=[2.0, 3.0], noise=[0.1, 0.2], leak=0.3,
    )  # fmt: skip
    for name in ("mean", "variance", "lyapunov"):
        assert torch.allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-6)
    drawn = snt.meanfield.populations(
        mean=Jbar, std=S, threshold=[0.1, -0.2], threshold_std=0.2, gain=[2.0, 3.0],
        noise=[0.1, 0.2], leak=0.3,
    )  # fmt: skip
    assert float(found.lyapunov) == pytest.approx(float(drawn.lyapunov), abs=0.02)


def test_theory_of_populations_is_logged_while_a_network_learns():
    monitor = MeanFieldMonitor(sizes=[4, 2])
    run = trainer(callbacks=[LyapunovMonitor(k=1), monitor])
    run.fit(snt_model(), TinyTask())
    assert {"meanfield/lyapunov", "meanfield/macroscopic"} <= set(run.callback_metrics)
    assert monitor.state_dict()["before"].keys() == {"populations"}
    with pytest.raises(ValueError, match=r"sizes: expected numbers that add up to 6, got \[4, 4\]"):
        trainer(callbacks=[MeanFieldMonitor(sizes=[4, 4])]).fit(snt_model(), TinyTask())


def test_theory_is_logged_while_an_snt_network_learns():
    monitor = MeanFieldMonitor()
    run = trainer(callbacks=[LyapunovMonitor(k=1), monitor])
    run.fit(snt_model(), TinyTask())
    assert {"meanfield/lyapunov", "lyapunov/max"} <= set(run.callback_metrics)
    assert monitor.before["meanfield"].scalars() != monitor.after["meanfield"].scalars()


def test_theory_of_a_gru_is_refused_before_training():
    with pytest.raises(ValueError, match="part: expected an SNT network at 'recurrent', got GRU"):
        trainer(callbacks=[MeanFieldMonitor()]).fit(
            torch_model("GRU", batch_first=True), TinyTask()
        )
