r"""Effective connectivity: who influences whom at a given frequency, as a directed graph.

.. math:: w_{ij}(\omega) = |\chi_{ij}(\omega)|, \quad i \ne j: \text{ a link from } j \text{ to } i,

with the susceptibility chi of `sntorch.analysis.susceptibility`.  It is not the synaptic graph
:math:`|J_{ij}|`, since signals run along paths and add up with their phases, and it changes with
the frequency, hubs included.  A synapse passes a signal on with the mean gain

.. math:: J_{ij} \langle f'(u_j) \rangle = K_{ij}(1), \quad i \ne j,

up to J times the steepest slope where u_j is near threshold (amplification), nearly 0 where u_j is
large (saturation).  Nor is it the correlation graph: correlations at one step,
:math:`\mathrm{corr}(u_i(t+1), u_j(t))`, also link neurons that follow a third one.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.kernels import LinearResponse
from sntorch.analysis.susceptibility import Susceptibility
from sntorch.cells import SNTCell
from sntorch.couplings.layers import Coupling
from sntorch.results import Result

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Graph", "effective_connectivity"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Graph(Result):
    """Directed weighted graphs, one per frequency; ``[i, j]`` is the link from j to i."""

    omega: Tensor
    """(W,), radians per step."""
    weights: Tensor
    """(W, N, N), abs(chi), zero on the diagonal."""
    stderr: Tensor
    """(W, N, N)."""
    coupling: Tensor | None = None
    """(N, N), the synapses J; None if they were not given."""
    correlation: Tensor | None = None
    """(N, N), correlation of u_i(t+1) with u_j(t), zero on the diagonal; None without an orbit."""
    amplification: Tensor | None = None
    """(N, N), mean gain J_ij <f'(u_j)> of every synapse; None without K(1) and J."""
    saturation: Tensor | None = None
    """(N,), 1 - <f'(u_j)> / sup f': 0 at the steepest, 1 saturated; None without an SNT cell."""

    @property
    def out_strength(self) -> Tensor:
        """Sum (W, N) of the links that leave a neuron."""
        return self.weights.sum(-2)

    @property
    def in_strength(self) -> Tensor:
        """Sum (W, N) of the links that reach a neuron."""
        return self.weights.sum(-1)

    @property
    def hub(self) -> Tensor:
        """The neuron (W,) with the largest out-strength."""
        return self.out_strength.argmax(-1)

    @property
    def hub_margin(self) -> Tensor:
        """Lead (W,) of the hub over the second neuron, in standard errors, links independent."""
        top = self.out_strength.topk(2)
        error = self.stderr.square().sum(-2).gather(-1, top.indices).sum(-1).sqrt()
        return (top.values[:, 0] - top.values[:, 1]) / error

    @property
    def reciprocity(self) -> Tensor:
        """Share (W,) of the weight that is returned: sum of min(w_ij, w_ji) over sum of w_ij."""
        returned = torch.minimum(self.weights, self.weights.mT).sum((-2, -1))
        return returned / self.weights.sum((-2, -1))

    def overlap(self, other: Tensor | None = None, links: int | None = None) -> Tensor:
        """Return the share (W,) of the strongest links that are strongest in `other` (N, N) too.

        `other` is the synaptic graph by default, `links` the number of its entries that are not
        zero.  Unrelated graphs share links / (N (N - 1)).
        """
        reference = _flat(self._reference(other).abs())
        count = int((reference > 0).sum()) if links is None else links
        count = checks.count("links", count, high=len(reference))
        top = torch.zeros_like(reference, dtype=torch.bool)
        top[reference.topk(count).indices] = True
        chosen = _flat(self.weights).topk(count).indices
        return top[chosen].to(self.weights.dtype).mean(-1)

    def rank_correlation(self, other: Tensor | None = None) -> Tensor:
        """Return Spearman's correlation (W,) of the weights with those of `other` (N, N).

        Off the diagonal; `other` is the synaptic graph by default.
        """
        reference = _flat(self._reference(other).abs()).cpu().numpy()
        rows = _flat(self.weights).cpu().numpy()
        found = [float(scipy.stats.spearmanr(row, reference)[0]) for row in rows]  # pyright: ignore
        return torch.tensor(found, dtype=self.weights.dtype, device=self.weights.device)

    def to_networkx(self, index: int = 0, links: int | None = None) -> nx.DiGraph:
        """Return the graph at ``omega[index]``: edges j -> i with `weight` and `stderr`.

        With `links` the strongest ones only.  Where they are known, edges carry `coupling` too.
        """
        size = self.weights.shape[-1]
        weights, errors = self.weights[index].tolist(), self.stderr[index].tolist()
        pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
        pairs.sort(key=lambda pair: -weights[pair[0]][pair[1]])
        count = len(pairs) if links is None else checks.count("links", links, high=len(pairs))
        graph: nx.DiGraph = _networkx().DiGraph(omega=float(self.omega[index]))
        graph.add_nodes_from(range(size))
        synapses = None if self.coupling is None else self.coupling.tolist()
        for i, j in pairs[:count]:
            graph.add_edge(j, i, weight=weights[i][j], stderr=errors[i][j])
            if synapses is not None:
                graph.edges[j, i]["coupling"] = synapses[i][j]
        return graph

    def to_graphml(
        self, path: str | os.PathLike[str], index: int = 0, links: int | None = None
    ) -> None:
        """Write `to_networkx` to a GraphML file, which Gephi, Cytoscape and igraph read."""
        _networkx().write_graphml(self.to_networkx(index, links), os.fspath(path))

    def scalars(self) -> dict[str, float]:
        """Return reciprocity and, with synapses, overlap and rank correlation; frequency means."""
        found = {"reciprocity": float(self.reciprocity.mean())}
        if self.coupling is not None:
            found["overlap"] = float(self.overlap().mean())
            found["rank_correlation"] = float(self.rank_correlation().mean())
        return found

    def _reference(self, other: Tensor | None) -> Tensor:
        other = self.coupling if other is None else other
        if other is None:
            raise ValueError(
                "other: expected a graph (N, N) to compare with, since J was not given"
            )
        if other.shape != self.weights.shape[1:]:
            expected = tuple(self.weights.shape[1:])
            raise ValueError(f"other: expected {expected}, got {tuple(other.shape)}")
        return other


def effective_connectivity(
    response: LinearResponse | Susceptibility,
    omega: float | Sequence[float] | Tensor | None = None,
    *,
    coupling: Tensor | Coupling | SNTCell | None = None,
    orbit: Tensor | None = None,
) -> Graph:
    """Return the graph of effective links at frequencies omega.

    Parameters
    ----------
    response
        From `linear_response`, or from `susceptibility` with all neurons as sources.
    omega
        Frequencies (W,) in [0, pi]; those of a `Susceptibility` are taken as they are.
    coupling
        The synapses J (N, N), or the SNT cell, for comparison.
    orbit
        States (T, ..., N) from `rollout`, for the correlation graph.

    Raises
    ------
    ValueError
        On wrong arguments, frequencies outside [0, pi] included.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Chaos 16 (2006) 013104.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(torch.tensor([[0.0, 0.5], [0.0, 0.0]]), trainable=())
    >>> found = snt.analysis.linear_response(cell, torch.zeros(2), lags=3, samples=20)
    >>> snt.analysis.effective_connectivity(found, 0.0, coupling=cell).weights
    tensor([[[0.0000, 0.5000],
             [0.0000, 0.0000]]])
    """
    omega, weights, stderr = _weights(response, omega)
    size = weights.shape[-1]
    off = 1 - torch.eye(size, dtype=weights.dtype, device=weights.device)
    J = _synapses(coupling, weights)
    if J is not None and J.shape != (size, size):
        raise ValueError(f"coupling: expected ({size}, {size}), got {tuple(J.shape)}")
    amplification = saturation = None
    if isinstance(response, LinearResponse) and J is not None:
        amplification = torch.where(J != 0, response.kernel[1], 0.0) * off
        if isinstance(coupling, SNTCell):
            # The self-coupling is mixed with the leak: the other synapses tell the slope.
            slope = (amplification * J).sum(0) / (J * off).square().sum(0)
            saturation = 1 - slope / (coupling.gain.detach().abs() * coupling.transfer.supremum)
    return Graph(
        omega=omega,
        weights=weights * off,
        stderr=stderr * off,
        coupling=J,
        correlation=None if orbit is None else _correlation(orbit, size) * off,
        amplification=amplification,
        saturation=saturation,
    )


def _networkx() -> Any:
    # It takes half a second to import, and few programs export a graph.
    return importlib.import_module("networkx")


def _weights(response: object, omega: object) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(response, Susceptibility):
        size = response.chi.shape[1]
        if omega is not None:
            raise ValueError("omega: expected None, since a Susceptibility has its own; got some")
        if response.sources.tolist() != list(range(size)):
            raise ValueError(
                f"response: expected all {size} neurons as sources, got {len(response.sources)}"
            )
        return response.omega, response.modulus, response.stderr
    if not isinstance(response, LinearResponse):
        raise ValueError(
            f"response: expected a LinearResponse or Susceptibility, got {type(response).__name__}"
        )
    if omega is None:
        raise ValueError("omega: expected frequencies for a LinearResponse, got None")
    values = torch.as_tensor(omega, dtype=response.kernel.dtype, device=response.kernel.device)
    values = values.reshape(-1)
    chi = response.susceptibility(values)
    return values, chi.abs(), response.susceptibility_stderr(values)


def _synapses(coupling: object, like: Tensor) -> Tensor | None:
    if isinstance(coupling, SNTCell):
        coupling = coupling.coupling
    if isinstance(coupling, Coupling):
        coupling = coupling.to_dense()
    return None if coupling is None else checks.matrix("coupling", coupling).detach().to(like)


def _correlation(orbit: Tensor, size: int) -> Tensor:
    checks.finite("orbit", checks.floating("orbit", orbit, ndim=2))
    if len(orbit) < 3 or orbit.shape[-1] != size:
        raise ValueError(f"orbit: expected (T, ..., {size}), T >= 3, got {tuple(orbit.shape)}")
    states = orbit.reshape(len(orbit), -1, size)
    states = states - states.mean((0, 1))
    now, later = (part.reshape(-1, size) for part in (states[:-1], states[1:]))
    scale = later.square().mean(0).sqrt().unsqueeze(-1) * now.square().mean(0).sqrt()
    return (later.T @ now / len(now)) / scale.clamp(min=torch.finfo(scale.dtype).tiny)


def _flat(matrix: Tensor) -> Tensor:
    """Return the entries (..., N (N - 1)) off the diagonal."""
    size = matrix.shape[-1]
    off = ~torch.eye(size, dtype=torch.bool, device=matrix.device)
    return matrix[..., off]
