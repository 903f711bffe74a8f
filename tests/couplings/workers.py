"""What the processes of `test_sharded` do: ``python workers.py VERB TIMEOUT``, as from torchrun."""

import os
import signal
import sys
import time

import torch

import sntorch as snt
from sntorch.couplings import Dense, Sharded, Sparse, Team

N, I = 7, 2  # rows that two processes cannot share equally


def matrix(share=1.0):
    J = snt.couplings.gaussian(N, dtype=torch.float64)
    return J * (torch.rand(N, N) < share)


def pair(team, kind, **settings):
    """Return a cell whose couplings are sharded, and the same with all of them."""
    J = matrix() if kind is Dense else matrix(0.5)
    sharded = snt.SNTCell(Sharded(kind(J[team.rows(N)]), team), input_size=I, **settings)
    whole = snt.SNTCell(J, input_size=I, **settings)
    whole.load_state_dict({"input_weight": sharded.input_weight}, strict=False)
    return sharded, whole


def close(found, expected):
    if isinstance(found, tuple):
        for mine, other in zip(found, expected, strict=True):
            close(mine, other)
    else:  # not by torch.testing, which takes seconds to load
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-11)


def gradients(cell, u, x):
    """Return the gradients of a loss of an orbit: of u, of what all hold, and of the couplings."""
    u = u.clone().requires_grad_()
    orbit = snt.rollout(cell, u, len(x), x=x, generator=torch.Generator().manual_seed(1))
    J = cell.coupling.block if isinstance(cell.coupling, Sharded) else cell.coupling
    entries = J if isinstance(J, torch.Tensor) else next(J.parameters())
    leaves = u, cell.input_weight, entries
    first = torch.autograd.grad(orbit.sin().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), leaves)
    return (*first, *second)


def at_rows(J, team, gradient):
    """Return the part of the whole matrix's gradient that belongs to the entries held here."""
    rows = gradient[team.rows(N)]
    return rows if not isinstance(J, Sparse) else rows[J.pattern.rows().long(), J.columns.long()]


def check_maps(team):
    """States, tangents, gradients, and exponents are those of one process."""
    for kind in (Dense, Sparse):
        sharded, whole = pair(team, kind, leak=0.3, gain=1.5, noise=0.1)
        u, x = torch.randn(3, N, dtype=torch.float64), torch.randn(6, 3, I, dtype=torch.float64)
        V = torch.randn(3, N, 2, dtype=torch.float64)
        streams = [torch.Generator().manual_seed(1) for _ in range(2)]
        with torch.no_grad():
            orbits = [
                snt.rollout(f, u, 6, x=x, generator=g)
                for f, g in zip((sharded, whole), streams, strict=True)
            ]
        close(*orbits)
        for verb in ("jvp", "vjp"):
            for rows, frame in ((u, V), (u[0], V[0])):
                close(getattr(sharded, verb)(rows, frame), getattr(whole, verb)(rows, frame))
        close(sharded.jacobian(u), whole.jacobian(u))
        close(sharded.coupling.to_dense(), whole.coupling)
        ours, theirs = gradients(sharded, u, x), gradients(whole, u, x)
        J = sharded.coupling.block
        for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            close(mine, at_rows(J, team, other) if i % 3 == 2 else other)
        spectra = [
            snt.analysis.lyapunov_spectrum(f, u[0], 20, k=3, generator=torch.Generator()).exponents
            for f in (sharded, whole)
        ]
        close(*spectra)


def check_transforms(team):
    """Torch's transforms go through a sharded product, to second order."""
    sharded, whole = pair(team, Dense, leak=0.3)
    u, v = torch.randn(2, N, dtype=torch.float64)

    def energy(cell):
        return lambda u: (cell.map(u) - u).square().sum()

    for transform in (torch.func.jacrev, torch.func.jacfwd, torch.func.hessian):
        close(transform(energy(sharded))(u), transform(energy(whole))(u))
    pushed = [torch.func.jvp(cell.map, (u,), (v,)) for cell in (sharded, whole)]
    close(*pushed)


def check_training(team):
    """Two steps of an optimiser in every process are two steps with the whole matrix."""
    sharded, whole = pair(team, Dense, trainable=("coupling", "input_weight", "gain"))
    x, target = torch.randn(2, 5, 3, I, dtype=torch.float64), torch.randn(3, N).double()
    for cell in (sharded, whole):
        optimiser = torch.optim.Adam(cell.parameters(), lr=0.1)
        for drive in x:
            optimiser.zero_grad()
            (snt.SNT(cell)(drive)[1] - target).square().sum().backward()
            optimiser.step()
    close(sharded.coupling.block.weight, whole.coupling[team.rows(N)])
    close(sharded.gain, whole.gain)
    frozen = snt.SNTCell(sharded.coupling, input_size=I, trainable=())
    close(frozen.coupling.to_dense(), whole.coupling)
    assert not list(frozen.parameters()) or not any(p.requires_grad for p in frozen.parameters())


def check_refusal(team):
    """Both processes refuse rows of different lengths, and go on."""
    said = ""
    try:
        Sharded(torch.ones(2, N + team.rank), team)
    except ValueError as error:
        said = str(error)
    expected = "expected 7 columns of torch.float32, as on rank 0, got 8 of torch.float32 on rank 1"
    assert said == f"rows: {expected}"


def equal(team):
    check_refusal(team)
    check_maps(team)
    check_transforms(team)
    check_training(team)


def run_until(team, end):
    """Run a network for ever; the last rank calls `end` in the middle."""
    cell = pair(team, Dense)[0]
    u = torch.randn(3, N, dtype=torch.float64)
    for step in range(10**6):
        if step == 20 and team.rank == team.size - 1:
            print(time.time(), flush=True)
            end()
        with torch.no_grad():
            u = cell.map(u)


def killed(team):
    run_until(team, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hung(team):
    run_until(team, lambda: time.sleep(1000))


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    verb = sys.argv[1]
    with Team(timeout=float(sys.argv[2])) as team:
        {"equal": equal, "killed": killed, "hung": hung}[verb](team)
    print("well")
