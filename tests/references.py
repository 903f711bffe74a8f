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


def twins(dtype):
    """Return nn.RNN, nn.RNNCell and the SNTCell that is the same network in other variables."""
    rnn = nn.RNN(3, 4).to(dtype)
    cell = nn.RNNCell(3, 4).to(dtype)
    theta = torch.linspace(-0.5, 0.5, 4, dtype=dtype)
    weights = {name[:-3]: p for name, p in rnn.state_dict().items()}  # less their "_l0"
    weights["bias_ih"].copy_(-theta)
    weights["bias_hh"].zero_()
    cell.load_state_dict(weights)
    same = snt.SNTCell(weights["weight_hh"], threshold=theta, input_size=3)
    same.load_state_dict({"input_weight": weights["weight_ih"]}, strict=False)
    return rnn, cell, same


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


def ginibre(n, steps, seed=0):
    """Return f, u, x whose tangents are products of matrices with independent N(0, 1) entries."""

    def apply(u, x):
        return (x.unflatten(-1, (n, n)) @ u.unsqueeze(-1)).squeeze(-1)

    x = torch.randn(steps, n * n, generator=random_generator(seed), dtype=torch.float64)
    return snt.as_dynamics(apply), torch.zeros(n, dtype=torch.float64), x


def ginibre_exponents(n):
    """Return mean and variance (n,) of ln |R_ii| for one Gaussian matrix.

    A column is Gaussian in any basis; what i - 1 others leave of it has n - i + 1 components, so
    R_ii^2 is chi-squared with as many degrees of freedom m: the logarithm of a Gamma(m/2) variable
    times 2 has mean ln 2 + digamma(m/2) and variance trigamma(m/2) (Newman 1986).
    """
    m = torch.arange(n, 0, -1, dtype=torch.float64) / 2
    return (math.log(2) + torch.digamma(m)) / 2, torch.polygamma(1, m) / 4


class QuadraticFlow(snt.Dynamics):
    """One step of the classical Runge-Kutta method for du_i/dt = c_i + A_ij u_j + B_ijk u_j u_k.

    `terms` maps index tuples of A and B, or (i,) for c, to their numbers.
    """

    def __init__(self, size, dt, terms):
        super().__init__()
        self.size, self.dt = size, dt
        self.parts = [torch.zeros((size,) * n, dtype=torch.float64) for n in (1, 2, 3)]
        for index, number in terms.items():
            self.parts[len(index) - 1][index] = number
        self.B = (self.parts[2] + self.parts[2].mT) / 2

    def slopes(self, u, V):
        """Return the field at u and its derivative along V (..., N, k)."""
        c, A, _ = self.parts
        Bu = (u @ self.B.flatten(0, 1).T).unflatten(-1, (self.size, self.size))
        return c + ((A + Bu) @ u.unsqueeze(-1)).squeeze(-1), (A + 2 * Bu) @ V

    def map(self, u, x=None):
        return self.jvp(u, u.unsqueeze(-1))[0]

    def jvp(self, u, V, x=None):
        h, a, A = self.dt, 0, 0
        value, frame = u, V
        for part, shift in ((1, 0.0), (2, 0.5), (2, 0.5), (1, 1.0)):
            a, A = self.slopes(u + h * shift * a, V + h * shift * A)
            value, frame = value + h / 6 * part * a, frame + h / 6 * part * A
        return value, frame


def lorenz(dt=0.01):
    """Return the flow of Lorenz (1963); exponents 0.9056, 0, -14.572, their sum is -41/3."""
    linear = {(0, 0): -10, (0, 1): 10, (1, 0): 28, (1, 1): -1, (2, 2): -8 / 3}
    return QuadraticFlow(3, dt, linear | {(1, 0, 2): -1, (2, 0, 1): 1})


def roessler(dt=0.04):
    """Return the flow of Roessler (1976), a = b = 0.2, c = 5.7; exponents 0.0714, 0, -5.394."""
    linear = {(0, 1): -1, (0, 2): -1, (1, 0): 1, (1, 1): 0.2, (2,): 0.2, (2, 2): -5.7}
    return QuadraticFlow(3, dt, linear | {(2, 0, 2): 1})


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


def settled(f, rows, steps=300, seed=2):
    """Return states (rows, N) after `steps` steps from normal ones: on the attractor, hopefully."""
    g = random_generator(seed)
    start = torch.randn(rows, f.size, generator=g, dtype=torch.float64)
    return snt.rollout(f, start, steps, generator=g)[-1]


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


def thinned(J):
    """Return the couplings with about half of them zero, and a row without any."""
    i, j = (torch.arange(n) for n in J.shape)
    kept = (i.unsqueeze(-1) + j) % 2 == 1
    kept[-1] = False
    return J * kept


def low_rank(J, base=None):
    """Return structure of rank two, from the couplings, upon a base."""
    return snt.couplings.LowRank(J[:, :2], J[:, 2:], base)


def blocks(J):
    """Return two populations of unequal size: dense, sparse, low rank, and none."""
    m = 3
    sparse = snt.couplings.Sparse(thinned(J)[:m, m:])
    return snt.couplings.Blocks([[J[:m, :m], sparse], [None, J[m:, m:]]])


def _coupled(layer, **settings):
    def factory(dtype):
        spread: dict[str, Any] = {
            k: per_neuron(v[0], v[1], dtype) if _is_range(v) else v for k, v in settings.items()
        }
        J = layer(thinned(random_coupling(dtype)))
        return snt.SNTCell(J, **spread), settings.get("input_size", 0)

    return factory


def _scheduled(dtype):
    thresholds = torch.stack([per_neuron(-0.3, 0.4, dtype), per_neuron(0.5, 0.0, dtype)])
    couplings = torch.stack([random_coupling(dtype, seed=seed) for seed in (2, 3)])
    values = {"threshold": thresholds, "coupling": couplings}
    return snt.scheduled(snt_cell(dtype, input_size=I, leak=0.2), values).at(1), I


def nine_neurons(noise=0.0):
    """Return the reference net of nine neurons, 4 inputs each, gain 3: chaotic without noise."""
    draw = np.random.RandomState(1218)
    J = np.zeros((9, 9))
    for row in J:
        chosen = draw.permutation(9)[:4]
        row[chosen] = draw.randn(4) / 2
    threshold = torch.tensor(0.3 * draw.randn(9))
    return snt.SNTCell(torch.tensor(J), gain=3.0, threshold=threshold, noise=noise, trainable=())


def spiral(dtype):
    """Return a linear flow that turns, with noise that is correlated between neurons."""
    A = torch.tensor([[-1.0, -2.0], [1.0, -0.5]], dtype=dtype)
    D = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=dtype)
    return snt.systems.OrnsteinUhlenbeck(A, diffusion=D)


def neurons(dtype):
    """Return a driven Amari-Wilson-Cowan flow with one value per neuron of every quantity."""
    return snt.systems.AmariWilsonCowan(
        random_coupling(dtype),
        tau=per_neuron(0.5, 2.0, dtype),
        gain=per_neuron(0.5, 1.5, dtype),
        threshold=per_neuron(-0.3, 0.4, dtype),
        diffusion=per_neuron(0.0, 0.1, dtype),
        input_size=I,
    )


def neural_flow(dtype):
    """Return a flow whose drift is a driven module with parameters."""
    return snt.flows.as_flow(Perceptron(3, 2).to(dtype), size=3)


def double_well():
    """Return a double well in three dimensions with a flux."""
    return snt.systems.DoubleWell(3, circulation=0.5, diffusion=0.1)


def _plastic(settings: Any = None, /, **trace):
    def factory(dtype):
        if "alpha" not in trace:
            trace["alpha"] = 0.5 * random_coupling(seed=4)
        return snt.plasticity.PlasticSNTCell(snt_cell(dtype, **(settings or {})), **trace), (
            settings or {}
        ).get("input_size", 0)

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
    ("snt-free", _snt(trainable=("leak", "noise"), gain=1.3, leak=(0.1, 0.8), noise=0.3)),
    ("snt-sparse", _coupled(lambda J: J.to_sparse_csr(), input_size=I, **_NEURONS)),
    ("snt-sparse-frozen", _coupled(lambda J: J.to_sparse_coo(), trainable=())),
    ("snt-low-rank", _coupled(low_rank, leak=0.3, transfer="erf")),
    ("snt-low-rank-sparse", _coupled(lambda J: low_rank(J, J.to_sparse_csr()), input_size=I)),
    ("snt-blocks", _coupled(blocks, gain=(0.5, 1.5))),
    ("snt-at-a-step", _scheduled),
    ("snt-plastic", _plastic(alpha=0.7, rate=0.2, forgetting=0.9)),
    ("snt-plastic-driven", _plastic({"input_size": I, **_NEURONS}, trainable=("alpha",))),
    ("snt-plastic-rectified", _plastic(rate=0.3, activity=0.1, rectified=True)),
    ("snt-plastic-oja", _plastic({"leak": 0.3}, trace="oja", activity=0.1)),
    ("snt-plastic-modulated", _plastic(rate=0.3, modulated=True)),
    ("snt-plastic-modulated-oja", _plastic(alpha=0.7, trace="oja", modulated=True)),
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
    ("euler", lambda _: (snt.EulerMaruyama(snt.systems.TanhRing(diffusion=0.05), 0.1), 0)),
    ("euler-function", lambda _: (snt.EulerMaruyama(snt.flows.as_flow(push, size=3), 0.1), 1)),
    ("euler-linear", lambda dtype: (snt.EulerMaruyama(spiral(dtype), 0.1), 0)),
    ("euler-neurons", lambda dtype: (snt.EulerMaruyama(neurons(dtype), 0.1), I)),
    ("runge-kutta", lambda _: (snt.RungeKutta4(snt.systems.Lorenz(), 0.01), 0)),
    ("runge-kutta-neurons", lambda dtype: (snt.RungeKutta4(neurons(dtype), 0.2, substeps=2), I)),
    ("runge-kutta-module", lambda dtype: (snt.RungeKutta4(neural_flow(dtype), 0.1), 2)),
    ("roessler", lambda _: (snt.RungeKutta4(snt.systems.Roessler(diffusion=0.01), 0.05), 0)),
    ("double-well", lambda _: (snt.EulerMaruyama(double_well(), 0.05), 0)),
    ("systems-henon", lambda _: (snt.systems.Henon(), 0)),
    ("systems-logistic", lambda _: (snt.systems.Logistic(3.7), 0)),
    ("systems-cat-map", lambda _: (snt.systems.CatMap(), 0)),
    ("systems-ikeda", lambda _: (snt.systems.Ikeda(), 0)),
]
"""Every dynamics in the library and one of the user's own."""
