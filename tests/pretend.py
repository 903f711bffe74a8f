"""A device that is none: tensors lie in the CPU's memory and behave as on a GPU where it matters.

What a GPU would refuse is refused here too: an operation on tensors of two devices (numbers (), as
there, go with any), and reading memory without a copy to the CPU.  What would make the CPU wait,
every number that is read, is counted.  It knows nothing of streams, graphs, or GPU arithmetic.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import importlib
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

__all__ = ["DEVICE", "Pretended", "Reads", "pretended"]

DEVICE = torch.device("privateuseone:0")  # "pretend" once it is registered

aten = torch.ops.aten
_library = torch.library.Library("aten", "IMPL")
_MIXED = (  # operations that a GPU does with tensors, or indices, of the CPU
    aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put.default,
    aten.index_put_.default, aten._index_put_impl_.default,
)  # fmt: skip


class Pretended(Tensor):
    """A tensor of the device, around one of the CPU."""

    host: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
        )
        made.host = inner
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return repr(self.host)

    def tolist(self) -> Any:
        """Return the numbers, as torch does not for tensors of other classes."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Return an array, if the copy to the CPU is asked for."""
        if not force:
            raise TypeError(f"can't convert a tensor on {DEVICE} to numpy: use Tensor.cpu() first")
        return self.detach().cpu().numpy()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else repr(self)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["host"], None

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _do(func, args, kwargs or {})


class Reads(TorchDispatchMode):
    """Makes what is asked for on the device, and counts the numbers read from it."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten._efficientzerotensor.default:  # zeros that lie nowhere: no wrapper has them
            func = aten.zeros.default
        leaves = tree_flatten((args, kwargs))[0]
        here = any(isinstance(leaf, Pretended) for leaf in leaves)
        if here and func is aten._local_scalar_dense.default:
            self.count += 1
        to = kwargs.get("device")
        if here or (to is not None and torch.device(to).type == DEVICE.type):
            if here and to is not None and torch.device(to).type == "cpu":
                self.count += 1
            return _do(func, args, kwargs)
        return func(*args, **kwargs)


@torch.library.impl(_library, "empty_strided", "PrivateUse1")
def _empty(size: Any, stride: Any, **kwargs: Any) -> Tensor:
    """Make room for what torch moves to the device inside of other operations."""
    return Pretended(torch.empty_strided(size, stride, dtype=kwargs.get("dtype"), device="cpu"))


@torch.library.impl(_library, "copy_", "PrivateUse1")
def _copy(to: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return _do(aten.copy_.default, (to, source), {})


def _do(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves, tree = tree_flatten((args, kwargs))
    here = any(isinstance(leaf, Pretended) for leaf in leaves)
    if func not in _MIXED:
        for leaf in leaves:
            if here and isinstance(leaf, Tensor) and not isinstance(leaf, Pretended) and leaf.ndim:
                raise RuntimeError(f"{func}: expected all tensors on {DEVICE}, got one on cpu")
    wanted = kwargs.get("device")
    device = DEVICE if wanted is None and here else wanted
    inner_args, inner_kwargs = tree_unflatten(
        [leaf.host if isinstance(leaf, Pretended) else leaf for leaf in leaves], tree
    )
    if wanted is not None:
        inner_kwargs["device"] = torch.device("cpu")
    if inner_kwargs.get("pin_memory"):
        inner_kwargs["pin_memory"] = False
    out = func(*inner_args, **inner_kwargs)
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():  # the wrapper learns its new shape
            func(*args, **kwargs)
    if device is None or torch.device(device).type != DEVICE.type:
        return out
    # What was written in place, or into `out`, comes back itself and not in a new wrapper.
    known = {id(leaf.host): leaf for leaf in leaves if isinstance(leaf, Pretended)}

    def wrapped(each: Any) -> Any:
        if not isinstance(each, Tensor):
            return each
        if id(each) in known:
            return known[id(each)]
        return Pretended(each.resolve_conj().resolve_neg())  # a wrapper would not know that bit

    return tree_map(wrapped, out)


class _Literals(TorchFunctionMode):
    """Makes numbers of Python into tensors on the CPU first, then moves them as all others."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.new_tensor and args[0].device == DEVICE:
            like, *args = args
            kwargs = {"dtype": like.dtype, "device": like.device, **kwargs}
            func = torch.tensor
        if func not in (torch.tensor, torch.as_tensor) or kwargs.get("device") is None:
            return func(*args, **kwargs)
        device = kwargs.pop("device")
        moved = isinstance(args[0], Tensor)
        return (args[0] if moved else func(*args, **kwargs)).to(device, kwargs.get("dtype"))


class Source(torch.Generator):
    """A generator that says it is on the device it was made for."""

    place: torch.device

    def __new__(cls, device: Any = DEVICE) -> Source:
        made = super().__new__(cls)
        made.place = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.place


def _no_grad(mode: bool = True) -> contextlib.AbstractContextManager[object]:
    return torch.no_grad() if mode else contextlib.nullcontext()


def pretended(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test, which takes `reads`, where the device is there: in a process of its own.

    Torch does not forget a device, and learns of none once it has made a gradient; so the process
    is a child of one that was started for this and has made none.
    """

    @functools.wraps(test)
    def run(**given: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        # The second is what torch loads, for two seconds, at the first operation under a mode.
        context.set_forkserver_preload([test.__module__, "torch._dynamo"])
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as alone:
            named = {name: value for name, value in given.items() if name != "reads"}
            told = alone.submit(_perform, test.__module__, test.__name__, named).result()
        if told:
            pytest.fail(told, pytrace=False)

    return run


def _perform(module: str, name: str, given: dict[str, Any]) -> str:
    """Return what went wrong in a test, nothing if it passes."""
    reads = Reads()
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)
    try:
        with _pretending(reads):
            getattr(importlib.import_module(module), name).__wrapped__(reads=reads, **given)
    except BaseException:
        return traceback.format_exc()
    return ""


@contextlib.contextmanager
def _pretending(reads: Reads) -> Iterator[None]:
    """Let tensors be made on the device."""
    backend_registration._setup_privateuseone_for_python_backend("pretend")
    with pytest.MonkeyPatch.context() as patch, reads, _Literals():
        patch.setattr(torch, "Generator", Source)
        patch.setattr(torch, "inference_mode", _no_grad)  # wrapped tensors know no inference mode
        yield
