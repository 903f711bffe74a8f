"""Independent oracles, written the slow textbook way, and small systems with known answers.

Nothing here uses a formula of the library.  `DYNAMICS` lists every kind of dynamics there is as
``(name, factory)``; ``factory(dtype)`` returns ``(dynamics, input_size)``, input_size 0 for an
autonomous one.  Parameters of torch's modules come from the global generator, seeded per test.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

import sntorch as snt

N = 4  # state of the SNT cells below
I = 3  # their drive


# Oracles


def dense_jacobian(f, u, x=None, step=1e-6):
    """Return dF_i / du_j (..., N, N) of ``f.map``, row by row by central differences; float64."""
    rows = u.shape[:-1]
    result = torch.empty(*u.shape, u.shape[-1], dtype=u.dtype, device=u.device)
    for row in np.ndindex(*rows):
        drive = x if x is None or x.ndim == 1 else x[row]
        for j in range(u.shape[-1]):
            shift = torch.zeros_like(u[row])
            shift[j] = step
            difference = f.map(u[row] + shift, drive) - f.map(u[row] - shift, drive)
            result[row][:, j] = difference.detach() / (2 * step)
    return result


def slow_exponents(jacobians, frame=None):
    """Return the Lyapunov exponents (N,) per step of one orbit's Jacobians (T, N, N), in numpy.

    Gram-Schmidt column by column after every step, from `frame` (N, N) or a random one; exponents
    come in the order of the columns, which for long orbits is the descending one.
    """
    jacobians = np.asarray(jacobians, dtype=float)
    size = jacobians.shape[-1]
    frame = np.random.default_rng(0).normal(size=(size, size)) if frame is None else frame
    frame, _ = gram_schmidt(np.asarray(frame, dtype=float))
    total = np.zeros(size)
    for jacobian in jacobians:
        frame, lengths = gram_schmidt(jacobian @ frame)
        total += np.log(lengths)
    return total / len(jacobians)


def gram_schmidt(columns):
    """Return an orthonormal basis of the columns and the length that each had left."""
    basis, lengths = np.array(columns, dtype=float), []
    for j in range(basis.shape[1]):
        for i in range(j):
            basis[:, j] -= (basis[:, i] @ basis[:, j]) * basis[:, i]
        lengths.append(float(np.linalg.norm(basis[:, j])))
        basis[:, j] /= lengths[-1]
    return basis, np.array(lengths)


def snt_step(
    u,
    x: Any,
    J,
    W: Any = None,
    *,
    gain: Any = 1.0,
    leak: Any = 0.0,
    threshold: Any = 0.0,
    phi=torch.tanh,
):
    """Return leak u + J phi(gain u) - threshold + W x (N,) for one row, neuron by neuron.

    Differentiable; quantities are numbers or (N,).
    """
    gain, leak, threshold = (torch.as_tensor(q).expand(len(u)) for q in (gain, leak, threshold))
    rates = [phi(gain[j] * u[j]) for j in range(len(u))]
    new = []
    for i in range(len(u)):
        value = leak[i] * u[i] - threshold[i]
        for j in range(len(u)):
            value = value + J[i, j] * rates[j]
        if W is not None and x is not None:
            for k in range(len(x)):
                value = value + W[i, k] * x[k]
        new.append(value)
    return torch.stack(new)


def gaussian_mean(g, mean, variance, nodes=4001):
    """Return E g(z), z ~ N(mean, variance), by a fine sum over 12 standard deviations; numpy."""
    h = np.linspace(-12, 12, nodes)
    weight = np.exp(-(h**2) / 2)
    return float(g(mean + math.sqrt(variance) * h) @ weight / weight.sum())


def gaussian_pair(g, means, variances, covariance, nodes=801):
    """Return E g(z1) g(z2) of two Gaussian variables with any variances, by a plane of nodes."""
    h = np.linspace(-12, 12, nodes)
    weight = np.exp(-(h**2) / 2)
    weight /= weight.sum()
    (m1, m2), (v1, v2) = means, variances
    own = math.sqrt(max(v2 - covariance**2 / v1, 0.0))
    first = g(m1 + math.sqrt(v1) * h)
    second = g(m2 + covariance / math.sqrt(v1) * h[:, None] + own * h) @ weight
    return float((weight * first) @ second)


# Systems with known answers


class LinearMap(snt.Dynamics):
    """F(u, x) = M u + x: exponents are log |eigenvalues of M|."""

    M: torch.Tensor

    def __init__(self, M, noise=0.0):
        super().__init__()
        self.register_buffer("M", M.detach().clone())
        self.size = M.shape[0]
        self.noise = noise

    def map(self, u, x=None):
        value = u @ self.M.T
        return value if x is None else value + x


class NoisyRotation(LinearMap):
    """Rotation of the plane by `angle`, shrunk by r < 1; its stationary law is isotropic.

    The variance per axis is sigma^2 / (1 - r^2), the area swept per step r sin(angle) times it.
    """

    def __init__(self, r, angle, sigma=0.0, dtype=torch.float64):
        c, s = r * math.cos(angle), r * math.sin(angle)
        super().__init__(torch.tensor([[c, -s], [s, c]], dtype=dtype), noise=sigma)


class Henon(snt.Dynamics):
    """(u, v) -> (1 - a u^2 + v, b u); the exponents add up to log b, the largest is 0.419."""

    size = 2

    def __init__(self, a=1.4, b=0.3):
        super().__init__()
        self.a, self.b = a, b

    def map(self, u, x=None):
        first, second = u.unbind(-1)
        return torch.stack([1 - self.a * first**2 + second, self.b * first], -1)


class Logistic(snt.Dynamics):
    """u -> r u (1 - u); at r = 4 the exponent is log 2."""

    size = 1

    def __init__(self, r=4.0):
        super().__init__()
        self.r = r

    def map(self, u, x=None):
        return self.r * u * (1 - u)


# One of every dynamics in the library


def bend(u):
    """Return an autonomous nonlinear map that mixes neighbours."""
    return torch.sin(u) + 0.3 * u.roll(1, -1) ** 2


def push(u, x):
    """Return the same with a scalar drive."""
    return bend(u) + u * torch.tanh(x)


class Perceptron(nn.Module):
    """A callable with parameters and a drive, which it may do without."""

    def __init__(self, size, input_size):
        super().__init__()
        self.hidden = nn.Linear(size + input_size, 6)
        self.out = nn.Linear(6, size)

    def forward(self, u, x):
        x = x.expand(*u.shape[:-1], x.shape[-1])
        return self.out(torch.tanh(self.hidden(torch.cat([u, x], -1))))


def random_generator(seed=0):
    """Return a generator of its own, so that the global one stays where it is."""
    return torch.Generator().manual_seed(seed)


def random_coupling(dtype=torch.float64, n=N, seed=1):
    """Return couplings (n, n) of order one."""
    return torch.randn(n, n, generator=random_generator(seed), dtype=dtype)


def per_neuron(low, high, dtype=torch.float64):
    """Return N different numbers from `low` to `high`."""
    return torch.linspace(low, high, N, dtype=dtype)


def snt_cell(dtype, **settings):
    """Return an SNTCell of N neurons; settings given as (low, high) become one value per neuron."""
    spread: dict[str, Any] = {
        k: per_neuron(v[0], v[1], dtype) if _is_range(v) else v for k, v in settings.items()
    }
    return snt.SNTCell(random_coupling(dtype), **spread)


def _is_range(value):
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], float)


def _snt(**settings):
    return lambda dtype: (snt_cell(dtype, **settings), settings.get("input_size", 0))


def _torch(kind, *sizes, **settings):
    def factory(dtype):
        return snt.as_dynamics(kind(*sizes, **settings).to(dtype), noise=0.1), sizes[0]

    return factory


_NEURONS = {"gain": (0.5, 1.5), "leak": (0.0, 0.8), "threshold": (-0.3, 0.4), "noise": (0.0, 0.2)}

DYNAMICS = [
    ("snt", _snt()),
    ("snt-erf", _snt(transfer="erf", gain=1.3, leak=0.4, threshold=0.2, noise=0.1)),
    ("snt-driven", _snt(input_size=I, gain=0.7, leak=0.3)),
    ("snt-neurons", _snt(input_size=I, **_NEURONS)),
    ("snt-neurons-erf", _snt(transfer="erf", **_NEURONS)),
    ("snt-frozen", _snt(input_size=I, leak=0.2, trainable=())),
    ("snt-trainable", _snt(trainable=("coupling", "gain", "threshold"), **_NEURONS)),
    (
        "snt-layer",
        lambda dtype: (snt.as_dynamics(snt.SNT(snt_cell(dtype, leak=0.5, input_size=I))), I),
    ),
    ("rnn-cell", _torch(nn.RNNCell, I, 4)),
    ("rnn-cell-relu", _torch(nn.RNNCell, I, 4, nonlinearity="relu")),
    ("rnn-cell-bare", _torch(nn.RNNCell, I, 4, bias=False)),
    ("gru-cell", _torch(nn.GRUCell, I, 4)),
    ("gru-cell-bare", _torch(nn.GRUCell, I, 4, bias=False)),
    ("lstm-cell", _torch(nn.LSTMCell, I, 2)),
    ("lstm-cell-bare", _torch(nn.LSTMCell, I, 2, bias=False)),
    ("rnn", _torch(nn.RNN, I, 3)),
    ("rnn-stack", _torch(nn.RNN, I, 2, num_layers=2)),
    ("rnn-stack-relu", _torch(nn.RNN, I, 3, num_layers=2, nonlinearity="relu")),
    ("gru", _torch(nn.GRU, I, 3)),
    ("gru-stack-bare", _torch(nn.GRU, I, 2, num_layers=3, bias=False)),
    ("lstm", _torch(nn.LSTM, I, 2)),
    ("lstm-stack", _torch(nn.LSTM, I, 2, num_layers=2)),
    ("lstm-stack-bare", _torch(nn.LSTM, I, 2, num_layers=2, bias=False)),
    ("function", lambda _: (snt.as_dynamics(bend, size=3, noise=0.1, dt=0.5), 0)),
    ("function-driven", lambda _: (snt.as_dynamics(push, size=3), 1)),
    ("module", lambda dtype: (snt.as_dynamics(Perceptron(3, 2).to(dtype), size=3), 2)),
    ("iterate", lambda dtype: (snt.iterate(snt_cell(dtype, input_size=I, leak=0.3), 3), I)),
    ("iterate-function", lambda _: (snt.iterate(snt.as_dynamics(push, size=3), 3), 1)),
    ("iterate-henon", lambda _: (snt.iterate(Henon(), 2), 0)),
    ("henon", lambda _: (Henon(), 0)),
]
"""Every dynamics in the library and one of the user's own."""
