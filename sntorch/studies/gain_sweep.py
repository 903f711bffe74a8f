r"""Does the edge of chaos help?  Accuracy and memory against the measured largest exponent.

Networks of N neurons learn a task with a delay: SNT networks at many gains, once frozen, with a
readout that is solved for (`sntorch.training.fit_readout`), and once trained through time, all
weights of them; and torch's RNN, GRU and LSTM and an orthogonal RNN beside them, under the same
loop, from the same batches, with the same number of steps.  The largest exponent is measured, not
inferred from the gain, under the task's own drive.  The memory capacity of the state
(`sntorch.analysis.memory`) is measured before and after learning under random numbers of the
variance of one unit, and the exponent that stands beside it under such numbers too: what a network
reads suppresses chaos, and with another drive comes another edge.

For a frozen network the exponent decides: a readout has nothing to read from a network that forgets
or is chaotic.  A network that is trained moves its exponent itself.

What came out, for delayed XOR at delay 8, N = 64 and seeds 0 to 7: frozen networks are best, 0.747
+- 0.015, at the exponent -0.105 +- 0.013, and remember most at -0.103 +- 0.010: a little below the
edge.  (Gains of 0.8, 0.9, 1.0, 1.2, no parabola and 3 seeds had put it at -0.156 +- 0.028.)  How
far below is a matter of the drive: at gains 0.6 to 1.3 memory is largest at -0.083 +- 0.005 for
``read=0.02``, -0.349 +- 0.026 for 0.3, and -0.105 +- 0.016 for 128 neurons (6 seeds).  Trained
networks reach 0.996 or more from -0.19 to 0.05 and end from -0.22 to -0.16, wherever they began.
With ``task=copy`` all frozen networks from -0.16 to 0.18 are perfect at this delay (4 seeds): it
needs memory alone, and little of it.

``experiment=edge/gain_sweep`` takes about three minutes of CPU time; a full one has
``size=128 seeds=10 updates=1500 samples=5000 delays=200``.  ``experiment=edge/plastic`` is the same
study of networks whose synapses have a Hebbian trace (`sntorch.plasticity.PlasticSNTCell`); their
exponents are those of neurons and trace together, which no gain brings below that of the trace's
own forgetting.  It takes between two and three minutes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sntorch import checks
from sntorch.studies.contenders import delayed, exponent, learner, memory, network, reading
from sntorch.studies.ensembles import scan
from sntorch.studies.gain_curves import FIXED, SWEPT, GainSweep
from sntorch.studies.study import earlier
from sntorch.training import SequenceModel, Task, fit_readout
from sntorch.training.trial import score, trial

__all__ = ["run"]

_TABLES = {"accuracy": 0, "exponents": [1, 4], "memory": [2, 5], "memory_exponents": [3, 6]}
_STEPS, _ROWS = 300, 4  # of the drives under which exponents are measured


def run(
    *,
    task: str = "delayed_xor",
    delay: int = 8,
    gains: Sequence[float] = (0.3, 0.6, 0.8, 0.9, 1.0, 1.1, 1.3, 1.7, 2.5),
    swept: Sequence[str] = ("frozen", "trained"),
    fixed: Sequence[str] = ("orthogonal", "rnn", "gru", "lstm"),
    size: int = 64,
    read: float = 0.1,
    updates: int = 150,
    lr: float = 0.003,
    penalty: float = 1e-6,
    samples: int = 1000,
    delays: int = 60,
    seeds: int = 8,
    seed: int = 0,
    known: str | None = None,
) -> Iterator[GainSweep]:
    """Yield the study with one point more each time.

    Parameters
    ----------
    task
        ``"delayed_xor"`` or ``"copy"``.
    delay
        Of the task, in steps.
    gains
        In ascending order, of the SNT networks.
    swept
        SNT networks to look at: ``"frozen"``, ``"trained"``, ``"plastic"``.
    fixed
        Networks beside them, at their usual initial weights: ``"orthogonal"``, ``"rnn"``,
        ``"gru"``, ``"lstm"``.
    size
        N.
    read
        Standard deviation of what a neuron of an SNT network reads, and of its thresholds.
    updates
        Optimiser steps of all networks that are trained.
    lr
        Learning rate of Adam.
    penalty
        Of the readout of frozen networks, as in `fit_readout`.
    samples, delays
        Steps from which the memory capacity is measured, and delays that it counts.
    seeds
        Networks per point, at least 2.
    seed
        The first of them.
    known
        The file ``record.pt`` of a run with the same arguments that was interrupted: what it knows
        comes first, and is not measured again.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    N. Bertschinger, T. Natschlaeger, Neural Comput. 16 (2004) 1413.

    Examples
    --------
    >>> settings = {"size": 8, "delay": 2, "updates": 3, "samples": 60, "delays": 10, "seeds": 2}
    >>> *_, found = run(gains=[0.5, 1.0], swept=["frozen"], fixed=["gru"], **settings)
    >>> found.kinds, found.accuracy.shape
    (('SNT, frozen', 'SNT, frozen', 'GRU'), torch.Size([3, 2]))
    """
    values = scan("gains", gains, positive=True).tolist()
    plan = [(checks.one_of("swept", kind, tuple(SWEPT)), gain) for kind in swept for gain in values]
    plan += [(checks.one_of("fixed", kind, tuple(FIXED)), math.nan) for kind in fixed]
    if not plan:
        raise ValueError("swept: expected a network to look at, got none, and none in fixed")
    checks.count("size", size)
    checks.positive("read", read)
    checks.count("updates", updates)
    checks.positive("lr", lr)
    checks.number("penalty", penalty, low=0)
    widest = 2 * size if "lstm" in fixed else size
    checks.count("samples", samples, low=max(widest + 3, checks.count("delays", delays) + 1))
    first = checks.count("seed", seed, low=0)
    data = [
        delayed(task, delay, s) for s in range(first, first + checks.count("seeds", seeds, low=2))
    ]
    about = {"task": f"{task}, delay {delay}, {size} neurons", "planned": len(plan), "first": first}
    tables = earlier(known, about, list(_TABLES))
    tries = _Tries(size, read, updates, lr, penalty, samples, delays)
    for done, (kind, gain) in enumerate(plan, 1):
        if len(tables["accuracy"]) < done:
            rows = torch.tensor([tries(kind, gain, each) for each in data], dtype=torch.float64)
            for name, columns in _TABLES.items():
                tables[name].append(rows[:, columns])
        yield GainSweep(
            kinds=tuple((SWEPT | FIXED)[kind] for kind, _ in plan[:done]),
            gains=torch.tensor([gain for _, gain in plan[:done]], dtype=torch.float64),
            **{name: torch.stack(rows[:done]) for name, rows in tables.items()},
            **about,
            chance=data[0].chance,
        )


@dataclasses.dataclass(frozen=True)
class _Tries:
    """What a network of some kind and gain does with a task."""

    size: int
    read: float
    updates: int
    lr: float
    penalty: float
    samples: int
    delays: int

    def __call__(self, kind: str, gain: float, task: Task) -> tuple[float, ...]:
        """Return its accuracy, and what `_look` sees before and after learning."""
        known = "snt" if kind in ("frozen", "trained") else kind
        settings = {"gain": 1.0 if math.isnan(gain) else gain, "read": self.read}
        frozen = kind == "frozen"
        layer = network(
            known, task.input_size, self.size, task.seed, **settings, trained=not frozen
        )
        model = learner(layer, task, self.lr)
        before = self._look(model, task)
        if frozen:
            tested = score(fit_readout(model, task, penalty=self.penalty), task)
        else:
            tested = trial(model, task, self.updates)
        after = before if frozen else self._look(model, task)
        return tested["test/accuracy"], *before, *after

    def _look(self, model: SequenceModel, task: Task) -> tuple[float, float, float]:
        """Return exponent under the task, memory, and exponent under the drive of memory."""
        inputs = task.input_size
        kept = memory(model.recurrent, inputs, self.samples, self.delays)
        bound = (3 / inputs) ** 0.5  # all inputs read the same number, as in `memory`
        draw = np.random.default_rng([task.seed, 1]).uniform(-bound, bound, (_STEPS, _ROWS, 1))
        numbers = torch.from_numpy(draw).float().repeat(1, 1, inputs)
        drives = (reading(task, _STEPS, _ROWS), numbers)
        mine, other = (float(exponent(model, x).mean()) for x in drives)
        return mine, kept, other
