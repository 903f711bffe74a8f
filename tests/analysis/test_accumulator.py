"""Linear response in pieces: what goes on is what was never interrupted."""

from typing import Any

import pytest
import torch
from references import LinearMap, nine_neurons, random_generator
from torch.testing import assert_close

from sntorch.analysis import (
    ResponseAccumulator,
)

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
METHODS = ("tangent", "noise", "finite_difference", "mean_field")


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def stable_map(n=3, noise: Any = 0.7):
    M = states(n, n, seed=5)
    return LinearMap(0.8 * M / torch.linalg.eigvals(M).abs().max(), noise=noise)


@pytest.mark.parametrize("method", METHODS)
def test_goes_on_to_the_same_bits(method, tmp_path):
    f, u = nine_neurons(noise=0.15), states(30, 9)
    settings: dict[str, Any] = {"lags": 3, "method": method, "transient": 5}
    omega = torch.tensor([0.5, 1.0], dtype=torch.float64)
    whole = ResponseAccumulator(f, u, omega=omega, **settings).update(150).update(90)
    first = ResponseAccumulator(f, u, omega=omega, **settings).update(150)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    first.update(30)  # does not touch what was saved
    torch.manual_seed(77)
    second = ResponseAccumulator(f, u, omega=omega, **settings)
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    second.update(90)
    a, b = whole.result(), second.result()
    assert a.samples == b.samples == 240
    assert torch.equal(a.kernel, b.kernel)
    assert torch.equal(a.stderr, b.stderr)
    assert torch.equal(whole.susceptibility()[0], second.susceptibility()[0])
    assert_close(whole.susceptibility()[0], a.susceptibility(omega), **EXACT)
    assert whole.drift() == second.drift()


def test_pieces_of_a_noise_run_are_one_run():
    f, u = stable_map(), states(5, 3)
    whole = ResponseAccumulator(f, u, lags=4, method="noise").update(2000).result()
    parts = ResponseAccumulator(f, u, lags=4, method="noise")
    for _ in range(4):
        parts.update(500)
    assert_close(parts.result().kernel, whole.kernel, **EXACT)


def test_states_of_another_accumulator():
    f = stable_map()
    state = ResponseAccumulator(f, states(2, 3), lags=2).update(4).state_dict()
    with pytest.raises(ValueError, match="state: expected"):
        ResponseAccumulator(f, states(5, 3), lags=2).load_state_dict(state)
    with pytest.raises(ValueError, match="samples: expected an update"):
        ResponseAccumulator(f, states(2, 3), lags=2).result()
