"""The SNT cell against the written-out formula and torch's own RNN."""

import math

import pytest
import torch
from references import per_neuron, random_coupling, random_generator, snt_cell, snt_step, twins
from torch import nn
from torch.testing import assert_close

import sntorch as snt

PHI = {"tanh": torch.tanh, "erf": torch.erf}
TRAINABLE = ("coupling", "input_weight", "gain", "threshold")
J = random_coupling()


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


# The formula


@pytest.mark.parametrize("transfer", PHI)
@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gain": 1.7, "leak": 0.3, "threshold": -0.4},
        {"gain": (0.5, 2.0), "leak": (0.0, 0.9), "threshold": (-1.0, 1.0)},
        {"gain": -0.5, "leak": (0.0, 0.9)},
    ],
    ids=["plain", "numbers", "neurons", "mixed"],
)
def test_map_is_the_formula(transfer, driven, settings, dtype, tolerance):
    cell = snt_cell(dtype, transfer=transfer, input_size=3 if driven else 0, **settings)
    u, x = randn(5, 4, dtype=dtype), randn(5, 3, dtype=dtype) if driven else None
    F = cell.map(u, x)
    names = {name: getattr(cell, name) for name in ("gain", "leak", "threshold")}
    for row in range(5):
        drive = None if x is None else x[row]
        by_hand = snt_step(
            u[row], drive, cell.coupling, cell.input_weight, phi=PHI[transfer], **names
        )
        assert_close(F[row], by_hand, **tolerance)


def test_coupling_runs_from_column_to_row():
    J = torch.zeros(3, 3)
    J[2, 0] = 1.0
    assert_close(
        snt.SNTCell(J).map(torch.tensor([0.5, 0.0, 0.0])), torch.tensor([0, 0, math.tanh(0.5)])
    )


def test_rate():
    cell, u = snt_cell(torch.float64, gain=(0.5, 1.5), transfer="erf"), randn(3, 4)
    assert_close(cell.rate(u), torch.erf(per_neuron(0.5, 1.5) * u))


def test_noise_is_added_per_neuron():
    sigma = per_neuron(0.0, 0.6)
    cell = snt.SNTCell(J, noise=sigma, leak=0.3)
    u = randn(4).expand(20000, 4)
    kicks = cell(None, u) - cell.map(u)
    assert torch.equal(kicks[:, 0], torch.zeros(20000, dtype=torch.float64))
    kicks, sigma = kicks[:, 1:], sigma[1:]
    assert (kicks.mean(0).abs() < 4 * sigma / math.sqrt(20000)).all()
    assert ((kicks.std(0) / sigma - 1).abs() < 4 / math.sqrt(40000)).all()
    correlation = kicks.T.corrcoef() - torch.eye(3, dtype=torch.float64)
    assert correlation.abs().max() < 4 / math.sqrt(20000)


# The same network as torch's


def test_cell_is_torchs_in_other_variables(dtype, tolerance):
    _, torchs, cell = twins(dtype)
    u, x = randn(7, 4, dtype=dtype), randn(7, 3, dtype=dtype)
    assert_close(torch.tanh(cell(x, u)), torchs(x, torch.tanh(u)), **tolerance)


# Parameters, buffers and setters


@pytest.mark.parametrize("trainable", [(), ("coupling",), ("gain", "threshold"), TRAINABLE])
def test_trainable_quantities_are_parameters(trainable):
    cell = snt_cell(torch.float64, gain=(0.5, 1.0), input_size=2, trainable=trainable)
    assert {name for name, _ in cell.named_parameters()} == set(trainable)
    rest = {"coupling", "input_weight", "gain", "leak", "threshold", "noise"} - set(trainable)
    assert {name for name, _ in cell.named_buffers()} == rest
    assert all(p.requires_grad for p in cell.parameters())
    assert not any(b.requires_grad for b in cell.buffers())


def test_input_weight_exists_only_with_an_input():
    assert snt_cell(torch.float64).input_weight is None
    assert set(snt_cell(torch.float64).state_dict()) == {
        "coupling",
        "gain",
        "leak",
        "threshold",
        "noise",
    }
    W = snt.SNTCell(torch.zeros(300, 300), input_size=50).input_weight
    assert W is not None
    assert abs(float(W.detach().square().mean()) * 50 - 1) < 4 * math.sqrt(2 / 15000)


def test_coupling_is_copied():
    given = random_coupling().requires_grad_()
    cell = snt.SNTCell(given)
    with torch.no_grad():
        given.zero_()
    assert torch.equal(cell.coupling, random_coupling())
    assert cell.coupling.is_leaf
    assert cell.coupling.data_ptr() != given.data_ptr()


@pytest.mark.parametrize("trainable", [(), ("coupling", "gain", "threshold")])
@pytest.mark.parametrize("name", ["gain", "leak", "threshold", "noise"])
def test_setters_keep_what_a_quantity_is(name, trainable, dtype, device):
    cell = snt_cell(dtype, trainable=trainable).to(device)
    before = getattr(cell, name)
    setattr(cell, name, 0.25)
    after = getattr(cell, name)
    assert after is before
    assert (float(after.detach()), after.dtype, after.device) == (0.25, dtype, before.device)
    setattr(cell, name, torch.tensor(0.5, dtype=torch.float32))
    assert torch.equal(after, torch.full_like(after, 0.5))
    assert getattr(cell, name).dtype == dtype
    assert {n for n, _ in cell.named_parameters()} == set(trainable)


@pytest.mark.parametrize("name", ["gain", "leak", "threshold", "noise"])
def test_setters_change_the_dynamics(name):
    cell, u = snt_cell(torch.float64), randn(4)
    setattr(cell, name, torch.linspace(0.1, 0.4, 4))
    same = snt_cell(torch.float64, **{name: torch.linspace(0.1, 0.4, 4)})
    cell.generator, same.generator = random_generator(), random_generator()
    assert_close(cell(None, u), same(None, u))
    assert_close(cell.jacobian(u), same.jacobian(u))
    setattr(cell, name, 0.2)
    assert torch.equal(getattr(cell, name), torch.full((4,), 0.2, dtype=torch.float64))


BAD_QUANTITIES = [
    ("leak", 1.0, r"leak: expected numbers in \[0.0, 1.0\), got 1.0"),
    ("leak", -0.1, r"leak: expected numbers in \[0.0, 1.0\)"),
    ("noise", -0.5, r"noise: expected numbers in \[0.0, inf\), got -0.5"),
    ("noise", torch.tensor([0.0, 0.1, -0.2, 0.0]), "noise: expected numbers in"),
    ("noise", math.inf, "noise: expected finite"),
    ("gain", math.nan, "gain: expected finite"),
    ("gain", "high", "gain: expected a number or a tensor, got 'high'"),
    ("gain", None, "gain: expected a number or a tensor, got None"),
    ("threshold", torch.ones(3), r"threshold: expected a number or \(4,\), got \(3,\)"),
    ("threshold", torch.ones(1, 4), "threshold: expected a number or"),
    (
        "threshold",
        torch.tensor([0.0, torch.inf, 0.0, 0.0]),
        r"threshold: expected finite.* at \(1,\)",
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_QUANTITIES)
def test_quantities_keep_their_domain(name, value, message):
    with pytest.raises(ValueError, match=message):
        snt_cell(torch.float64, **{name: value})
    cell = snt_cell(torch.float64)
    before = getattr(cell, name).clone()
    with pytest.raises(ValueError, match=message):
        setattr(cell, name, value)
    assert torch.equal(getattr(cell, name), before)


def test_a_trainable_number_stays_a_number():
    cell = snt_cell(torch.float64, trainable=("gain",))
    with pytest.raises(ValueError, match=r"gain: expected a number, its shape, got \(4,\)"):
        cell.gain = torch.ones(4)


@pytest.mark.parametrize(
    ("J", "settings", "message"),
    [
        (torch.ones(2, 3), {}, r"J: expected a square matrix \(N, N\), got \(2, 3\)"),
        (torch.ones(2, 2, 2), {}, "J: expected a matrix, got"),
        (torch.ones(3), {}, "J: expected a matrix, got"),
        (torch.ones(0, 0), {}, "J: expected none of them empty"),
        ([[1.0]], {}, "J: expected a torch.Tensor, got list"),
        (torch.ones(2, 2, dtype=torch.int64), {}, "J: expected a floating dtype, got torch.int64"),
        (torch.tensor([[0.0, 1.0], [torch.nan, 0.0]]), {}, r"J: expected finite.* nan at \(1, 0\)"),
        (torch.eye(2), {"transfer": "softmax"}, "transfer: expected one of"),
        (torch.eye(2), {"input_size": -1}, "input_size: expected a whole number"),
        (torch.eye(2), {"input_size": 1.5}, "input_size: expected a whole number"),
        (torch.eye(2), {"trainable": ("size",)}, "trainable: expected one of .* got 'size'"),
        (torch.eye(2), {"trainable": ("leak",)}, r"leak: expected numbers in \(0, 1.0\), since"),
        (torch.eye(2), {"trainable": "gain"}, "trainable: expected a sequence of names"),
    ],
)
def test_cell_names_what_is_wrong(J, settings, message):
    with pytest.raises(ValueError, match=message):
        snt.SNTCell(J, **settings)


@pytest.mark.parametrize("verb", ["map", "jvp", "vjp", "jacobian"])
def test_every_door_of_the_cell_checks_state_and_drive(verb):
    cell, alone = snt_cell(torch.float64, input_size=3), snt_cell(torch.float64)
    frame = () if verb in ("map", "jacobian") else (randn(4, 2),)
    for f, u, x, message in [
        (cell, randn(5), None, r"u: expected 4 on the last axis, got \(5,\)"),
        (cell, randn(4).float(), None, "u: expected torch.float64, the dtype of the parameters"),
        (
            cell,
            randn(4).to("meta"),
            None,
            "u: expected cpu, the device of the parameters, got meta",
        ),
        (cell, randn(4), randn(2), r"x: expected 3 on the last axis, got \(2,\)"),
        (cell, randn(4), randn(()), "x: expected 3 on the last axis"),
        (
            alone,
            randn(4),
            randn(3),
            "x: expected None, since the cell has input_size 0; got a drive",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(f, verb)(u, *frame, x)


def test_repr_says_what_the_cell_is():
    cell = snt_cell(torch.float64, gain=(0.5, 1.5), leak=0.25, input_size=3, trainable=TRAINABLE)
    text = repr(snt.SNT(cell))
    for part in ("size=4", "input_size=3", "transfer=tanh", "gain=(4,)", "leak=0.25",
                 "threshold=0,", "batch_first=False, output='state'"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("std", [0.0, 0.3, 2.0])
def test_input_weights_start_with_the_spread_asked_for(std):
    J = torch.zeros(2000, 2000)
    W = snt.SNTCell(J, input_size=4, input_std=std).input_weight
    assert W is not None
    assert float(W.detach().std()) == pytest.approx(
        std / 2, rel=4 / (2 * W.numel()) ** 0.5, abs=1e-12
    )


# Constraints that training cannot leave


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
def test_leak_and_noise_stay_in_their_domains(optimiser):
    for direction in (-1, 1):
        cell = snt_cell(torch.float32, leak=(0.1, 0.9), noise=0.2, trainable=("leak", "noise"))
        steps = optimiser(cell.parameters(), lr=30.0)
        for _ in range(20):
            steps.zero_grad()
            (direction * (cell.leak.sum() + cell.noise)).backward()
            steps.step()
            assert bool((cell.leak >= 0).all())
            assert bool((cell.leak < 1).all())
            assert bool(cell.noise >= 0)


def test_leak_and_noise_are_learned():
    """Gradients of the free parameters are those of the quantities by the chain rule."""
    trainable = ("leak", "noise")
    cell = snt_cell(torch.float64, leak=(0.1, 0.8), noise=(0.1, 0.4), trainable=trainable)
    leak, sigma = cell.leak.detach().requires_grad_(), cell.noise.detach().requires_grad_()
    assert_close(leak, per_neuron(0.1, 0.8))
    assert_close(sigma, per_neuron(0.1, 0.4))
    u, weight = randn(3, 4), randn(5, 3, 4)
    orbit = snt.rollout(cell, u, 5, generator=random_generator())
    found = torch.autograd.grad((orbit * weight).sum(), list(cell.parameters()))
    stream, states = random_generator(), [u]
    for _ in range(5):
        kick = sigma * torch.randn(3, 4, generator=stream, dtype=torch.float64)
        states.append(leak * states[-1] + torch.tanh(states[-1]) @ J.T + kick)
    by_leak, by_noise = torch.autograd.grad((torch.stack(states[1:]) * weight).sum(), (leak, sigma))
    assert {name for name, _ in cell.named_parameters()} == {"raw_leak", "raw_noise"}
    named = dict(zip(dict(cell.named_parameters()), found, strict=True))
    assert_close(named["raw_leak"], (by_leak * leak * (1 - leak)).detach())
    assert_close(named["raw_noise"], (by_noise * -torch.expm1(-sigma)).detach())


@pytest.mark.parametrize(("name", "free"), [("leak", "raw_leak"), ("noise", "raw_noise")])
def test_trained_quantities_are_written_like_others(name, free):
    cell = snt_cell(torch.float64, leak=0.5, noise=0.5, trainable=(name,))
    before = cell.get_parameter(free)
    setattr(cell, name, 0.25)
    assert float(getattr(cell, name).detach()) == pytest.approx(0.25)
    assert cell.get_parameter(free) is before
    for value, message in [
        (0.0, rf"{name}: expected numbers in \(0, "),
        (-1.0, f"{name}: expected numbers in"),
        (torch.full((4,), 0.1), f"{name}: expected a number, its shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            setattr(cell, name, value)
        assert float(getattr(cell, name).detach()) == pytest.approx(0.25)
    twin = snt_cell(torch.float64, leak=0.9, noise=0.9, trainable=(name,))
    twin.load_state_dict(cell.state_dict())
    assert torch.equal(getattr(twin, name), getattr(cell, name))


# The tangent, whatever happens to the leak


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_the_tangent_may_be_transformed_in_the_leak(mode):
    cell, u, V = snt_cell(torch.float64, leak=0.3), randn(4), randn(4, 2)

    class Tangent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self):
            return self.cell.jvp(u, V)[1]

    def tangent(leak):
        return torch.func.functional_call(Tangent(), {"cell.leak": leak}, ())

    leak = torch.tensor(0.3, dtype=torch.float64)
    with mode():
        at_zero = tangent(torch.zeros_like(leak))
        assert_close(tangent(leak), at_zero + 0.3 * V)
        assert_close(torch.func.jvp(tangent, (leak,), (torch.ones_like(leak),))[1], V)
        assert_close(torch.func.grad(lambda q: tangent(q).sum())(leak), V.sum())
        many = torch.vmap(tangent)(torch.stack([leak, 2 * leak]))
        assert_close(many, torch.stack([at_zero + 0.3 * V, at_zero + 0.6 * V]))
