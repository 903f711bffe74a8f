import pytest
import torch

from sntorch.streams import seeded


def test_a_seed_is_a_stream_of_its_own():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (torch.randn(40_000, generator=seeded(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    # No number of one stream returns in another, wherever it is: streams are no shifted copies.
    assert len(set(first.tolist()) & set(other.tolist())) < 400


@pytest.mark.parametrize("seed", [-1, 1.5, "one"])
def test_wrong_seeds_are_named(seed):
    with pytest.raises(ValueError, match="seed: expected"):
        seeded(seed)
