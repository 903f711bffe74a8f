"""Tasks of NeuroGym: trials of cognitive experiments, one after the other.

NeuroGym (extra ``sntorch[neurogym]``) makes each trial with what is seen at every step and what
should be answered there; nothing is rewarded here, the answers are learned.  Version 2.3.1 asks for
numpy 2.2 and matplotlib 3.10, so that it wants an environment of its own; it also ran with 2.4.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sntorch import checks
from sntorch.training.synthetic import Generated
from sntorch.training.tasks import IGNORED

__all__ = ["NeuroGymTask"]

_GOOD = {  # by environment and what is uncounted
    ("PerceptualDecisionMaking-v0", 0): 0.88,
    ("ContextDecisionMaking-v0", 0): 0.93,
    ("GoNogo-v0", None): 0.99,
}
_PROBED = 64  # sequences from which chance is told


class NeuroGymTask(Generated):
    """Supervised trials of an environment of NeuroGym, cut to sequences of equal length.

    A sequence starts with a trial, and trials follow each other until it is full.  Discrete actions
    are classes, others numbers to predict.  In most tasks the answer is nearly always to wait: see
    `uncounted`.  ``chance`` is what the best constant answer scores, told from 64 sequences.

    ``good`` is known where a GRU of 128 units was trained, 25 epochs, 2 seeds, else NaN: 0.88 for
    PerceptualDecisionMaking-v0 (it came to 0.894) and 0.93 for ContextDecisionMaking-v0 (0.948),
    both with ``uncounted=0``, 0.99 for GoNogo-v0 (1.000).  On DelayMatchSample-v0 it stayed near
    chance, 0.53.  HierarchicalReasoning-v0 keeps a state that no seed reaches: its sequences differ
    from run to run.

    Parameters
    ----------
    env
        Name of an environment, or one that is made: with ``reset()``, ``seed(seed)``,
        ``new_trial()``, the trial's ``ob`` (T, ...) and ``gt`` (T, ...), and the two spaces.
    options
        What the named environment takes, such as ``{"dt": 20}``.
    steps
        T, at least the length of the first trial.
    uncounted
        A class whose steps count neither in the loss nor in the accuracy; 0 is to wait.
    sequences, held_out, batch_size, seed
        As in `FlipFlopTask`.

    Raises
    ------
    ValueError
        On wrong arguments, an unknown environment, and one without answers to learn, or with
        answers that are none of its actions.
    ImportError
        If an environment is named and NeuroGym is not installed.

    References
    ----------
    M. Molano-Mazon et al., "NeuroGym", PsyArXiv 2022.

    Examples
    --------
    >>> from types import SimpleNamespace as Space
    >>> class Echo:  # two steps of a bit, then one in which it is asked for
    ...     observation_space, action_space = Space(shape=(2,)), Space(shape=(), n=3)
    ...     def seed(self, seed):
    ...         self.rng = np.random.default_rng(seed)
    ...     def reset(self):
    ...         self.new_trial()
    ...     def new_trial(self):
    ...         bit = self.rng.integers(2)
    ...         self.ob, self.gt = np.eye(2)[[bit, bit, 0]], np.array([0, 0, 1 + bit])
    >>> task = NeuroGymTask(Echo(), steps=6, uncounted=0)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 6, 2), (64, 6)]
    >>> task.kind, task.output_size, round(task.chance, 1)
    ('classification', 3, 0.5)
    """

    when = "every"

    def __init__(
        self,
        env: Any,
        *,
        options: Mapping[str, Any] | None = None,
        steps: int = 100,
        uncounted: int | None = None,
        sequences: int = 1024,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.env = _made(env, options or {}) if isinstance(env, str) else env
        self.name = env if isinstance(env, str) else type(env).__name__
        longest = self._probe()
        actions = self.env.action_space
        self.kind = "classification" if hasattr(actions, "n") else "regression"
        self.input_size = math.prod(self.env.observation_space.shape)
        self.output_size = int(getattr(actions, "n", 0)) or math.prod(actions.shape)
        self.steps = checks.count("steps", steps, low=longest)
        self.uncounted = self._checked(uncounted)
        self.chance = self._constant()
        self.good = _GOOD.get((self.name, self.uncounted), math.nan)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return what is seen and what should be answered."""
        self.env.seed(int(rng.integers(2**31)))
        self.env.reset()
        x, y = zip(*(self._sequence() for _ in range(size)), strict=True)
        answers = np.stack(y)
        if self.kind == "regression":
            return np.stack(x), answers.reshape(size, self.steps, self.output_size)
        if answers.min() < 0 or answers.max() >= self.output_size:
            wrong = answers.max() if answers.min() >= 0 else answers.min()
            expected = f"answers 0 to {self.output_size - 1}, the actions of {self.name}"
            raise ValueError(f"env: expected {expected}, got {wrong}")
        return np.stack(x), np.where(answers == self.uncounted, IGNORED, answers)

    def _sequence(self) -> tuple[NDArray, NDArray]:
        """Return trials until `steps` are full, (T, I) and (T, ...)."""
        seen: list[NDArray] = []
        asked: list[NDArray] = []
        while sum(map(len, seen)) < self.steps:
            self.env.new_trial()
            seen.append(np.array(self.env.ob, dtype=float).reshape(len(self.env.ob), -1))
            asked.append(np.array(self.env.gt))
        return np.concatenate(seen)[: self.steps], np.concatenate(asked)[: self.steps]

    def _probe(self) -> int:
        """Return the length of a trial, refusing what has none that can be learned."""
        try:
            self.env.seed(self.seed)
            self.env.reset()
            self.env.new_trial()
            seen, asked = len(self.env.ob), len(self.env.gt)
        except AttributeError as error:
            raise ValueError(f"env: expected trials with ob and gt, got {self.name}") from error
        if seen != asked or seen == 0:
            raise ValueError(
                f"env: expected an answer for each of {seen} steps, got {asked} of {self.name}"
            )
        return seen

    def _checked(self, uncounted: int | None) -> int | None:
        if uncounted is None:
            return None
        if self.kind == "regression":
            raise ValueError(f"uncounted: expected None, {self.name} has no classes")
        return checks.count("uncounted", uncounted, 0, self.output_size - 1)

    def _constant(self) -> float:
        """Return what the best constant answer scores."""
        _, y = self.draw(_PROBED, np.random.default_rng([self.seed, len(self.sizes)]))
        if self.kind == "regression":
            return float(y.reshape(-1, self.output_size).var(0).mean())
        counts = np.bincount(y[y != IGNORED].astype(int), minlength=self.output_size)
        if not counts.any():
            raise ValueError(f"uncounted: expected a step that counts, got none of {self.name}")
        return float(counts.max() / counts.sum())


def _made(name: str, options: Mapping[str, Any]) -> Any:
    """Return an environment without the wrappers that its registry puts around it."""
    try:
        neurogym = importlib.import_module("neurogym")
    except ImportError as error:
        raise ImportError(
            "neurogym: expected to be installed: pip install sntorch[neurogym]"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an environment cannot be drawn
        try:
            return neurogym.make(name, **options).unwrapped
        except Exception as error:  # of gymnasium: an unknown name, or options that do not fit
            raise ValueError(f"env: expected a task of NeuroGym, got {name!r}: {error}") from error
