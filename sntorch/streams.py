"""Streams of random numbers that belong to a seed and disturb no other."""

from __future__ import annotations

import torch

from sntorch import checks

__all__ = ["seeded"]


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator for a seed up to 9999, which begins elsewhere in torch's sequence."""
    generator = torch.Generator(device)
    torch.rand(
        1 + 7919 * checks.count("seed", seed, low=0, high=9999), device=device, generator=generator
    )
    return generator
