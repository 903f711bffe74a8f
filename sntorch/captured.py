"""Work that a GPU repeats by itself: one launch in the place of one for every operation.

A step of a network of some hundred neurons takes a GPU less time than asking for its four or five
operations takes the CPU.  Recorded once as a CUDA graph they are asked for together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["capturable", "capture"]


def capturable(u: Tensor) -> bool:
    """Whether work on tensors like u can be captured: on a GPU, and nobody captures already."""
    return u.is_cuda and not torch.cuda.is_current_stream_capturing()


def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a function that does `work` once more, all of it in one launch.

    Parameters
    ----------
    work
        What reads and writes the same tensors each time, reads no number from the device, and draws
        none at random.  It is done once here, so that what its operations need is there.
    device
        The GPU of its tensors.

    Warns
    -----
    RuntimeWarning
        If the GPU cannot: what is returned is then `work` itself, as right and slower.
    """
    with torch.cuda.device(device):
        before = torch.cuda.current_stream()
        stream = torch.cuda.Stream()
        stream.wait_stream(before)
        try:
            with torch.cuda.stream(stream):
                work()
            graph = torch.cuda.CUDAGraph()
            # Other threads, as those that load data, may go on using the GPU meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                work()
        except RuntimeError as error:
            warnings.warn(
                f"steps go one by one, since they cannot be captured on {device}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return work
        finally:
            torch.cuda.set_stream(before)
            before.wait_stream(stream)

    def again() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return again
