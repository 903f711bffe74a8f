"""The fast orbits of SNT networks against the plain loop, which every other dynamics runs."""

import itertools
from typing import Any

import pytest
import torch
from references import blocks, low_rank, random_coupling, random_generator, thinned
from torch.autograd import forward_ad
from torch.testing import assert_close

import sntorch as snt
from sntorch.couplings import Dense, Sparse
from sntorch.couplings.matrices import Matrix
from sntorch.dynamics import Dynamics, step
from sntorch.noise import noise_of

N, I, STEPS = 5, 2, 37  # more steps than one block of drives
NAMES = ("coupling", "input_weight", "gain", "leak", "threshold", "noise")
ROWS = [(), (1,), (3,), (2, 3)]


def spread(low, high, *shape):
    return low + (high - low) * torch.rand(shape, dtype=torch.float64)


def network(transfer="tanh", *, vector=False, plain=False, trainable=(), noise=True):
    """Return a cell whose quantities are numbers or one per neuron, or that has defaults only."""
    shape = (N,) if vector else ()
    values = {
        "gain": spread(0.5, 1.5, *shape),
        "leak": spread(0.2, 0.6, *shape),
        "threshold": spread(-0.3, 0.3, *shape),
        "noise": spread(0.1, 0.4, *shape) * noise,
    }
    J = snt.couplings.gaussian(N, dtype=torch.float64)
    settings: Any = {} if plain else values
    return snt.SNTCell(J, transfer=transfer, input_size=I, trainable=trainable, **settings)


LAYERS = {
    "dense": Dense,
    "sparse": lambda J: Sparse(thinned(J)),
    "empty": lambda J: Sparse(0 * J),
    "low-rank": low_rank,
    "blocks": blocks,
    "nested": lambda J: low_rank(J, blocks(J)),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def layered(make, **settings):
    """Return a cell whose couplings are a layer."""
    return snt.SNTCell(make(random_coupling()), input_size=I, **settings)


def loop(cell, u, steps, x=None, generator=None, every=1):
    """Return what `rollout` returned if the cell had no orbits of its own."""
    return Dynamics.orbit(cell, u, steps, x, noise_of(cell, u), generator, every)[0]


def drives(rows):
    """Return every kind of drive that fits the rows."""
    kinds = [None, torch.randn(I), torch.randn(STEPS, I), torch.randn(STEPS, *rows, I)]
    if len(rows) == 2:
        kinds += [torch.randn(STEPS, rows[1], I), torch.randn(STEPS, rows[0], 1, I)]
    return [None if x is None else x.double() for x in kinds]


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("kind", ["numbers", "vectors", "defaults"])
def test_orbits_are_those_of_the_loop(kind, rows):
    cell, u = (
        network(vector=kind == "vectors", plain=kind == "defaults"),
        torch.randn(*rows, N).double(),
    )
    for x, every in itertools.product(drives(rows), (1, 5)):
        mine, other = random_generator(), random_generator()
        orbit = snt.rollout(cell, u, STEPS, x=x, generator=mine, every=every)
        assert_close(orbit, loop(cell, u, STEPS, x, other, every), rtol=0, atol=1e-12)
        assert torch.equal(mine.get_state(), other.get_state())
        assert orbit.is_contiguous()


@pytest.mark.parametrize("transfer", sorted(snt.transfer.TRANSFERS))
@pytest.mark.parametrize("vector", [False, True])
def test_gradients_are_those_of_the_loop(transfer, vector):
    cell = network(transfer, vector=vector, trainable=NAMES)
    u, x = torch.randn(2, 3, N).double(), torch.randn(STEPS, 3, I).double()
    u, x = 0.3 * u.abs().requires_grad_(), x.requires_grad_()
    leaves = (u, x, *cell.parameters())
    weight = torch.randn(STEPS // 3, 2, 3, N, dtype=torch.float64)
    fast = snt.rollout(cell, u, STEPS, x=x, generator=random_generator(), every=3)
    slow = loop(cell, u, STEPS, x, random_generator(), every=3)
    ours = torch.autograd.grad((fast * weight).sum(), leaves)
    theirs = torch.autograd.grad((slow * weight).sum(), leaves)
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine, other, rtol=1e-10, atol=1e-10)
        assert mine.abs().sum() > 0


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("make", [torch.clone, LAYERS["sparse"]], ids=["dense", "sparse"])
def test_gradients_are_summed_over_pieces_of_the_orbit(make, noise, monkeypatch):
    cell = layered(make, leak=0.3, gain=1.2, noise=0.1 * noise, trainable=NAMES[:4])
    u, x = (torch.randn(shape).double().requires_grad_() for shape in ((3, 4), (STEPS, 3, I)))
    weight = torch.randn(STEPS, 3, 4, dtype=torch.float64)

    def gradients(orbit):
        return torch.autograd.grad((orbit * weight).sum(), (u, x, *cell.parameters()))

    slow = gradients(loop(cell, u, STEPS, x, random_generator()))
    for rows in (1, 15, 1000):  # of one piece: a step, five steps, all of them
        monkeypatch.setattr("sntorch.reverse._ROWS", rows)
        fast = gradients(snt.rollout(cell, u, STEPS, x=x, generator=random_generator()))
        assert_close(fast, slow, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 1.0)], ids=["both", "activity"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_activity_along_an_orbit_and_its_gradients(make, weights):
    cell = layered(make, leak=0.3, gain=1.2, noise=0.1, trainable=NAMES[:4])
    u, x = (torch.randn(shape).double().requires_grad_() for shape in ((3, 4), (STEPS, 3, I)))

    def gradients(states, rates):
        kinds = [w * part.square() for w, part in zip(weights, (states, rates), strict=True) if w]
        leaves = [p for p in (u, x, *cell.parameters()) if p.requires_grad]
        first = torch.autograd.grad(torch.stack(kinds).sum(), leaves, create_graph=True)
        penalty = torch.stack([g.square().sum() for g in first]).sum()
        return first, torch.autograd.grad(penalty, leaves)

    slow = loop(cell, u, STEPS, x, random_generator())
    fast = cell.rated_orbit(u, STEPS, x=x, generator=random_generator())
    assert_close(fast, (slow, cell.rate(slow)), rtol=0, atol=1e-12)
    assert_close(gradients(*fast), gradients(slow, cell.rate(slow)), rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        silent = cell.rated_orbit(u, STEPS, x=x, generator=random_generator())
    assert_close(silent, (slow, cell.rate(slow)), rtol=0, atol=1e-12)


def test_activity_that_was_written_into_has_no_gradient():
    cell = network()
    _, rates = cell.rated_orbit(torch.randn(2, N).double().requires_grad_(), 5)
    rates.detach().zero_()
    with pytest.raises(RuntimeError, match="inplace"):
        rates.sum().backward()


def test_activity_of_orbits_is_refused_as_orbits_are():
    cell = snt.SNTCell(2 * torch.eye(2), transfer="linear")
    with pytest.raises(ValueError, match="by step"):
        cell.rated_orbit(torch.full((2,), 1e30), 100)
    with pytest.raises(ValueError, match="x: expected None"):
        cell.rated_orbit(torch.ones(2), 3, x=torch.ones(1))


@pytest.mark.parametrize("name", ["u", "x", *NAMES])
def test_a_gradient_alone_is_the_same(name):
    cell = network(trainable=() if name in "ux" else (name,))
    given = {"u": torch.randn(3, N).double(), "x": torch.randn(STEPS, 3, I).double()}
    leaf = given[name].requires_grad_() if name in "ux" else next(cell.parameters())
    orbits = (
        snt.rollout(cell, given["u"], STEPS, x=given["x"], generator=random_generator()),
        loop(cell, given["u"], STEPS, given["x"], random_generator()),
    )
    ours, theirs = (torch.autograd.grad(orbit.square().sum(), leaf)[0] for orbit in orbits)
    assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_gains_of_one_and_leaks_of_zero_can_be_trained():
    J = snt.couplings.gaussian(N, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=1.0, threshold=0.0, trainable=("gain", "threshold"))
    u = torch.randn(3, N).double()
    ours, theirs = (
        torch.autograd.grad(orbit.square().sum(), list(cell.parameters()))
        for orbit in (snt.rollout(cell, u, 9), loop(cell, u, 9))
    )
    assert_close(ours, theirs)


@pytest.mark.parametrize("plain", [False, True])
def test_second_derivatives(plain):
    cell = network(plain=plain, trainable=("coupling",), noise=False)
    u = torch.randn(2, N).double().requires_grad_()
    J = torch.nn.Parameter(cell.coupling.detach())

    def orbit(u, J):
        return torch.func.functional_call(Rolled(cell), {"cell.coupling": J}, (u,))

    assert torch.autograd.gradgradcheck(orbit, (u, J))


class Rolled(torch.nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, u):
        return snt.rollout(self.cell, u, 3)


def test_transforms_of_torch_take_the_loop():
    cell = network(noise=False)
    u, v = torch.randn(4, N).double(), torch.randn(4, N).double()

    def last(u):
        return snt.rollout(cell, u, 6)[-1]

    jacobian = torch.stack([one_jacobian(cell, row) for row in u])
    pushed = (jacobian @ v.unsqueeze(-1)).squeeze(-1)
    assert_close(torch.func.jvp(last, (u,), (v,))[1], pushed)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        assert_close(torch.stack([transform(last)(row) for row in u]), jacobian)
    # The door of `rollout` looks at numbers, which vmap forbids; what is behind it may be mapped.
    mapped = torch.func.vmap(lambda u: cell.orbit(u, 6, None, None, None, 1)[1])(u)
    assert_close(mapped, last(u))
    with forward_ad.dual_level():
        dual = last(forward_ad.make_dual(u, v))
        assert_close(forward_ad.unpack_dual(dual).tangent, pushed)


def one_jacobian(cell, u):
    """Return D F^6 as the product of the Jacobians along the orbit."""
    product = torch.eye(N, dtype=u.dtype)
    for _ in range(6):
        product = cell.jacobian(u) @ product
        u = cell.map(u)
    return product


def test_thinned_orbits_need_no_memory_for_what_they_leave_out(monkeypatch):
    cell, u = network(), torch.zeros(3, N, dtype=torch.float64)
    sizes = []
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(
        torch.Tensor, "new_empty", lambda t, *shape: sizes.append(shape) or empty(t, *shape)
    )
    snt.rollout(cell, u, 1000, every=500)
    assert sizes == [(2, 3, N)]


# Couplings that are layers


@every_layer
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_orbits_of_layers_are_those_of_the_loop(make, rows):
    size = random_coupling().shape[0]
    per_neuron = {"gain": spread(0.5, 1.5, size), "leak": spread(0.2, 0.6, size), "noise": 0.2}
    kinds = {}, {"leak": 0.3}, {"threshold": 0.2}, {**per_neuron, "threshold": spread(0, 1, size)}
    for settings in kinds:
        cell, u = layered(make, trainable=(), **settings), torch.randn(*rows, size).double()
        for x, every in itertools.product(drives(rows)[:4:3], (1, 5)):
            mine, other = random_generator(), random_generator()
            orbit = snt.rollout(cell, u, STEPS, x=x, generator=mine, every=every)
            assert_close(orbit, loop(cell, u, STEPS, x, other, every), rtol=0, atol=1e-12)
            assert torch.equal(mine.get_state(), other.get_state())
            assert orbit.is_contiguous()


@every_layer
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_gradients_through_layers_are_those_of_the_loop(make, rows):
    size = random_coupling().shape[0]
    names = ("coupling", "input_weight", "gain", "leak", "threshold", "noise")
    values = {"gain": spread(0.5, 1.5, size), "leak": 0.3, "threshold": 0.1, "noise": 0.2}
    cell = layered(make, trainable=names, **values)
    u, x = torch.randn(*rows, size).double(), torch.randn(STEPS, *rows, I).double()
    leaves = (u.requires_grad_(), x.requires_grad_(), *cell.parameters())
    ours, theirs = (
        torch.autograd.grad((orbit * torch.cos(orbit.detach())).sum(), leaves)
        for orbit in (
            snt.rollout(cell, u, STEPS, x=x, generator=random_generator(), every=3),
            loop(cell, u, STEPS, x, random_generator(), every=3),
        )
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [LAYERS["sparse"], LAYERS["nested"]], ids=["sparse", "nested"])
def test_second_derivatives_and_transforms_through_layers(make):
    cell = layered(make, leak=0.3)
    u = torch.randn(2, cell.size).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda u: snt.rollout(cell, u, 3), (u,))
    given = {f"cell.{name}": p.detach() for name, p in cell.named_parameters()}

    def last(given):
        return torch.func.functional_call(Rolled(cell), given, (u.detach(),))[-1]

    forward, reverse = torch.func.jacfwd(last)(given), torch.func.jacrev(last)(given)
    for name, found in forward.items():
        assert_close(found, reverse[name])
        assert found.abs().sum() > 0 or "input" in name


@pytest.mark.parametrize("make", [torch.clone, LAYERS["sparse"], LAYERS["nested"]])
def test_the_noise_of_a_step_is_one_draw_in_the_shape_of_the_state(make, monkeypatch):
    """Pieces, storage, blocks of drives, gradients, and watchers: none changes the orbit."""
    cell = layered(make, leak=0.3, noise=0.2)
    u, x = torch.randn(3, cell.size).double(), torch.randn(12, 3, I).double()
    by_hand, state, stream = [], u, random_generator()
    for drive in x:
        B = torch.randn(3, cell.size, dtype=torch.float64, generator=stream)
        state = cell.map(state, drive) + 0.2 * B
        by_hand.append(state.detach())
    whole = torch.stack(by_hand)

    def orbit(steps=slice(None), start=u, stream=None, **settings):
        stream = random_generator() if stream is None else stream
        drive = x[steps]
        return snt.rollout(cell, start, len(drive), x=drive, generator=stream, **settings)

    def same(found, expected):
        assert_close(found.detach(), expected, rtol=0, atol=1e-13)

    same(orbit(), whole)  # it records a gradient
    with torch.no_grad():
        same(orbit(), whole)
        same(orbit(every=5), whole[[4, 9]])
        stream = random_generator()
        first = orbit(slice(0, 7), stream=stream)
        snt.analysis.max_lyapunov(cell, u, 5, x=x[0, 0])  # somebody looks
        same(torch.cat([first, orbit(slice(7, 12), first[-1], stream)]), whole)
        monkeypatch.setattr("sntorch.forward._BLOCK", 5)
        same(orbit(), whole)


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_orbits_are_steps_to_the_last_bit(rows):
    """In chaos another rounding is another orbit, and analyses make steps."""
    cell, u = network(), torch.randn(*rows, N).double()
    steps, sigma, stream = [u], noise_of(cell, u), random_generator()
    for _ in range(STEPS):
        steps.append(step(cell, steps[-1], None, sigma, stream))
    assert torch.equal(snt.rollout(cell, u, STEPS, generator=random_generator())[-1], steps[-1])


def test_columns_lie_as_sparse_products_like_them(monkeypatch):
    """In the other order of memory the same numbers take four times as long."""
    seen = []
    adder = Matrix.adder

    def watched(J, alone):
        add = adder(J, alone)
        return lambda *a: seen.extend(t.is_contiguous() for t in a[1:]) or add(*a)

    monkeypatch.setattr(Matrix, "adder", watched)
    cell, every = layered(LAYERS["sparse"], leak=0.3, gain=1.3, trainable=()), 2
    snt.rollout(cell, torch.randn(3, cell.size).double(), 4, every=every)
    assert seen == [True] * 8


def test_many_columns_of_a_sampled_product_are_taken_in_pieces():
    cell = layered(LAYERS["sparse"], leak=0.3)
    u = torch.randn(100, cell.size).double()  # 100 rows: two steps at a time
    ours, theirs = (
        torch.autograd.grad(orbit.square().sum(), cell.coupling.values)[0]
        for orbit in (snt.rollout(cell, u, 9), loop(cell, u, 9))
    )
    assert_close(ours, theirs)


def test_a_step_that_keeps_nothing_alive_stores_each_state_once(monkeypatch):
    """The orbit of any other dynamics is written where it stays, not stacked at the end."""
    monkeypatch.setattr(torch, "stack", None)
    orbit = snt.rollout(lambda u: u / 2, torch.ones(2, 3), 4, every=2)
    assert orbit[:, 0, 0].tolist() == [1 / 4, 1 / 16]


@pytest.mark.gpu
@pytest.mark.parametrize("grad", [False, True])
def test_orbits_on_a_gpu_are_those_of_the_cpu(grad):
    cell = network(trainable=NAMES[:-1] if grad else (), noise=False)
    u, x = torch.randn(3, N).double(), torch.randn(STEPS, 3, I).double()
    here = snt.rollout(cell, u, STEPS, x=x)
    there = snt.rollout(cell.cuda(), u.cuda(), STEPS, x=x.cuda())
    assert_close(there.cpu(), here, rtol=0, atol=1e-10)
