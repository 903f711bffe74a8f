"""Linear flows with every kind of noise, their exact states, and potentials that are quadratic."""

import torch

import sntorch as snt

DRIFT = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]], dtype=torch.float64)
FULL = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
NOISES = {"isotropic": 0.4, "diagonal": torch.tensor([0.3, 0.7]).double(), "general": FULL}


def linear(noise):
    flow = snt.systems.OrnsteinUhlenbeck(DRIFT, diffusion=NOISES[noise])
    D = torch.as_tensor(flow.diffusion, dtype=torch.float64)
    scale = float(D.diagonal().mean() if D.ndim == 2 else D.mean())
    return flow, exact_states(flow.covariance), scale * torch.linalg.inv(flow.covariance)


def exact_states(C):
    """Return four states whose mean is 0 and whose covariance is C, to rounding."""
    root = torch.linalg.cholesky(C).T * len(C) ** 0.5
    return torch.cat([root, -root])


def quadratic(K):
    return lambda u: (u @ K * u).sum(-1) / 2


def symmetric(seed):
    S = torch.randn(2, 2, dtype=torch.float64)
    return (S + S.T) / 2


def slope_at(loss, K):
    """Return the derivative of a loss of quadratics in K, by symmetric directions (3,)."""
    directions = [torch.tensor(d).double() for d in ([[1, 0], [0, 0]], [[0, 1], [1, 0]],
                                                     [[0, 0], [0, 1]])]  # fmt: skip
    step = 1e-4
    pairs = [(loss(K + step * d), loss(K - step * d)) for d in directions]
    return torch.stack([(a - b) / (2 * step) for a, b in pairs]).detach()
