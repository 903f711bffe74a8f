"""sntorch: the dynamics of recurrent neural networks in PyTorch.

SNT ("Simple but Non Trivial") is Cessac's name for the discrete-time random recurrent network.
One idea carries the library: a dynamics is a map of states; the last axis is the state, all other
axes are independent rows.  Cells are dynamics, analyses are functions of a dynamics, results are
frozen records of tensors, and everything else is a thin adapter at the edge.
"""

from __future__ import annotations

import importlib
import pathlib
from typing import TYPE_CHECKING, Any

from sntorch import analysis as analysis
from sntorch import couplings as couplings
from sntorch import flows as flows
from sntorch import landscape as landscape
from sntorch import meanfield as meanfield
from sntorch import plasticity as plasticity
from sntorch import systems as systems
from sntorch.cells import SNTCell as SNTCell
from sntorch.compiled import compile_tangents as compile_tangents
from sntorch.dynamics import Dynamics as Dynamics
from sntorch.dynamics import as_dynamics as as_dynamics
from sntorch.dynamics import iterate as iterate
from sntorch.dynamics import rollout as rollout
from sntorch.flows import EulerMaruyama as EulerMaruyama
from sntorch.flows import Flow as Flow
from sntorch.flows import RungeKutta4 as RungeKutta4
from sntorch.networks import Networks as Networks
from sntorch.schedule import scheduled as scheduled
from sntorch.sequence import SNT as SNT
from sntorch.surveys import Survey as Survey
from sntorch.surveys import survey as survey
from sntorch.torchcells import TorchDynamics as TorchDynamics
from sntorch.transfer import Transfer as Transfer

if TYPE_CHECKING:
    from sntorch import studies as studies
    from sntorch import training as training
    from sntorch.loading import export as export
    from sntorch.loading import load as load
    from sntorch.plot import plot as plot
    from sntorch.plot import style as style
    from sntorch.sweeps import collect as collect

__version__ = "0.1.0"


_LAZY_ROOMS = ("plot", "studies", "training")
_LAZY = {
    "collect": "sntorch.sweeps",
    "export": "sntorch.loading",
    "load": "sntorch.loading",
    "style": "sntorch.plot",
}


def config_dir() -> str:
    """Return the folder of sntorch's Hydra configurations, in a wheel or in a checkout.

    Raises
    ------
    FileNotFoundError
        If there is none: the installation is incomplete.

    Examples
    --------
    >>> (pathlib.Path(config_dir()) / "config.yaml").is_file()
    True
    """
    here = pathlib.Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return str(folder)
    raise FileNotFoundError(f"conf: expected config.yaml in {here / 'conf'} or beside {here}")


def __getattr__(name: str) -> Any:
    # Lightning and matplotlib take seconds to import: they load when they are first asked for.
    if name in _LAZY_ROOMS:
        return importlib.import_module(f"sntorch.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sntorch' has no attribute {name!r}")


def __dir__() -> list[str]:
    # What completion offers: names that have not been loaded yet, and none that are not public.
    hidden = {"annotations", "importlib", "pathlib", "Any", "TYPE_CHECKING"}
    return sorted({*globals(), *_LAZY, *_LAZY_ROOMS} - hidden)
