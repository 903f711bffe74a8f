"""Streams of random numbers that belong to a seed and disturb no other.

Streams of different seeds are independent: a seed starts torch's generator anew, whereas a place
further on in one sequence would repeat, shifted, the numbers of the seeds before.
"""

from __future__ import annotations

import torch

from sntorch import checks

__all__ = ["seeded"]


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own that starts from a seed >= 0."""
    return torch.Generator(device).manual_seed(checks.count("seed", seed, low=0))
