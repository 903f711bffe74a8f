"""What the tests of slow learning share: a small network, what is observed, equal histories."""

from typing import Any

import torch
from references import random_coupling, random_generator

import sntorch as snt
from sntorch.plasticity import HebbianForgetting

N = 8
SIRI = HebbianForgetting(forgetting=0.9, rate=2.0, activity=0.1)


def network(**settings: Any):
    return snt.SNTCell(random_coupling(n=N), **{"gain": 4.0, "transfer": "tanh01", **settings})


def state(*rows, seed=2):
    return torch.rand(*rows, N, generator=random_generator(seed), dtype=torch.float64)


def control(history):
    """Return the control of a history that has one."""
    found = history.control
    assert found is not None
    return found


def radius(f, u):
    return torch.linalg.eigvals(f.coupling).abs().max()


OBSERVE = {"radius": radius, "mean": lambda f, u: float(f.rate(u).mean())}


def same(a, b):
    """Tell whether two histories agree to the last bit."""
    assert torch.equal(a.epoch, b.epoch)
    assert a.curves.keys() == b.curves.keys()
    assert all(torch.equal(a[name], b[name]) for name in a.curves)
    assert torch.equal(a.cell.coupling, b.cell.coupling)
    assert torch.equal(a.state, b.state)
    assert (a.stopped, a.learned) == (b.stopped, b.learned)
    if a.control is not None:
        same(a.control, b.control)
    return True
