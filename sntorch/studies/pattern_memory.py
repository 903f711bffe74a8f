r"""Pattern memory: synapses that learn within a trial complete patterns never seen before.

A trial shows two patterns of +-1 for a few steps each, then one of them with half of its bits
hidden (set to 0); the rates after the last step are the answer, and the hidden bits count.  Every
trial has patterns of its own, so that nothing about them can be stored by training: a network must
learn them within the trial.  `PlasticSNTCell` does so in its trace, whose strength alpha for every
synapse and whose rate are trained through time with J (Miconi, Clune and Stanley 2018).  The *twin*
is the same network with alpha = 0, trained as long on the same trials: it may only hold the
patterns in its activity.

======================  ========================================================================
kind                    patterns
======================  ========================================================================
``"random bits"``       independent bits: a network without memory errs on half of them
``"digits"``            handwritten digits, 8 x 8 pixels, black or white; those of the test are
                        not trained on.  Pixels depend on each other, so that *guessing*, the more
                        frequent value of every pixel in training, errs less often, and part of
                        the completion is knowledge about digits, which the twin has as well
======================  ========================================================================
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import rollout
from sntorch.plasticity import PlasticSNTCell
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    MIDDLE,
    THEORY,
    StyledFigure,
    array,
    finish,
    name_axes,
    on,
)
from sntorch.studies.study import Study

__all__ = ["KINDS", "PatternMemory", "run"]

KINDS = ("random bits", "digits")
_NAMES = ("plastic", "twin")
_TRIALS = 32  # per training step
_TEST = 512


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PatternMemory(Study):
    """Hidden bits wrong, for K kinds of patterns so far; index 0 is plastic, 1 the twin."""

    kinds: tuple[str, ...]
    """(K,)."""
    step: Tensor
    """(E,), training steps behind each point of the curves."""
    curves: Tensor
    """(K, 2, E), share of hidden bits wrong in training, mean since the last point."""
    wrong: Tensor
    """(K, 2), the same on new trials after training."""
    stderr: Tensor
    """(K, 2), over these trials."""
    guessing: Tensor
    """(K,), share wrong if every bit is guessed to be the more frequent one."""
    shown: dict[str, Tensor]
    """Kind: pattern, cue and both answers (4, examples, N) of the first new trials."""
    planned: int
    """Kinds that the whole study has."""

    @property
    def progress(self) -> str:
        """The last kind."""
        plastic, twin = (100 * self.wrong[-1]).tolist()
        return (
            f"[{len(self.kinds)}/{self.planned}] {self.kinds[-1]}: hidden bits wrong "
            f"{plastic:.1f} % plastic, {twin:.1f} % without"
        )

    def scalars(self) -> dict[str, float]:
        """Return the shares wrong after training."""
        return {
            f"{name}/{kind}": float(self.wrong[k, i])
            for k, kind in enumerate(self.kinds)
            for i, name in enumerate(_NAMES)
        }

    def table(self) -> str:
        """Return the shares of hidden bits that are wrong after training."""
        lines = [f"{'hidden bits wrong':20}{'plastic':>18}{'twin':>18}{'guessing':>12}"]
        for k, kind in enumerate(self.kinds):
            cells = "".join(
                f"{f'{100 * self.wrong[k, i]:.1f} ± {100 * self.stderr[k, i]:.1f} %':>18}"
                for i in (0, 1)
            )
            lines.append(f"{kind:20}{cells}{f'{100 * self.guessing[k]:.1f} %':>12}")
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the curves of training, and digits that were completed."""
        with style():
            fig = StyledFigure(figsize=(9.6, 4.2))
            if "digits" not in self.shown:
                plot(self, fig.subplots())
                return fig
            parts: Any = fig.subfigures(1, 2, width_ratios=(1.0, 1.15))
            left, right = parts
            plot(self, left.subplots())
            _draw_examples(self.shown["digits"], right)
        return fig


def run(
    *,
    kinds: Sequence[str] = KINDS,
    bits: int = 16,
    iterations: int = 500,
    shown: int = 3,
    alpha: float = 0.01,
    rate: float = 0.1,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> Iterator[PatternMemory]:
    """Yield the study with one kind of patterns more each time.

    The full setting is ``iterations=3000``, after which the plastic networks err far less often.

    Parameters
    ----------
    kinds
        Of patterns: ``"random bits"``, ``"digits"``.
    bits
        Bits of a random pattern, at least 2; digits have 64.
    iterations
        Training steps of 32 trials.
    shown
        Steps for which each pattern and the cue are shown.
    alpha, rate
        Standard deviation of alpha and learning rate eta of the trace before training.
    learning_rate
        Of Adam.
    seed
        Of the draws, the same for a network and its twin.

    Raises
    ------
    ValueError
        On wrong arguments, before training.

    References
    ----------
    T. Miconi, J. Clune, K. O. Stanley, "Differentiable plasticity", ICML 2018.

    Examples
    --------
    >>> *_, found = run(kinds=["random bits"], bits=4, iterations=20)
    >>> found.wrong.shape
    torch.Size([1, 2])
    """
    chosen = [checks.one_of("kinds", kind, KINDS) for kind in kinds]
    if not chosen:
        raise ValueError("kinds: expected at least one, got none")
    checks.count("bits", bits, low=2)
    checks.count("iterations", iterations, low=20)
    checks.count("shown", shown)
    checks.number("alpha", alpha, low=0)
    checks.number("rate", rate, 0, 1)
    checks.positive("learning_rate", learning_rate)
    checks.count("seed", seed, low=0)
    found: list[tuple[Tensor, ...]] = []
    examples: dict[str, Tensor] = {}
    for kind in chosen:
        old, new = _patterns(kind, bits, seed)
        outcomes = [
            _train(old, new, scale, iterations, shown, rate, learning_rate, seed)
            for scale in (alpha, 0.0)
        ]
        step, pattern, cue = outcomes[0][0], outcomes[0][4], outcomes[0][5]
        curves, wrong, error, _, answers = (
            torch.stack([outcome[i] for outcome in outcomes]) for i in (1, 2, 3, 4, 6)
        )
        guess = torch.where(old.mean(0) >= 0, 1.0, -1.0) if kind == "digits" else torch.ones(bits)
        found.append((curves, wrong, error, (new != guess).float().mean()))
        examples[kind] = torch.cat([torch.stack([pattern, cue]), answers])
        curves, wrong, error, guessing = (torch.stack(part) for part in zip(*found, strict=True))
        yield PatternMemory(
            kinds=tuple(chosen[: len(found)]),
            step=step,
            curves=curves,
            wrong=wrong,
            stderr=error,
            guessing=guessing,
            shown=dict(examples),
            planned=len(chosen),
        )


def _patterns(kind: str, bits: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return patterns (P, N) of +-1 for training and others for the test."""
    draw = np.random.default_rng(seed)
    if kind == "random bits":
        values = 2.0 * draw.integers(0, 2, (4000, bits)) - 1
    else:
        images, _ = load_digits(return_X_y=True)
        values = draw.permutation(np.unique(np.where(images > 7, 1.0, -1.0), axis=0))
    cut = 3 * len(values) // 4
    return torch.from_numpy(values[:cut]).float(), torch.from_numpy(values[cut:]).float()


def _trial(patterns: Tensor, rows: int, shown: int, draw: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the drive (3 shown, rows, N), the pattern asked for, and where it is hidden."""
    count, n = patterns.shape
    first = torch.from_numpy(draw.integers(0, count, rows))
    second = (first + torch.from_numpy(draw.integers(1, count, rows))) % count
    pair = torch.stack([patterns[first], patterns[second]])
    target = pair[torch.from_numpy(draw.integers(0, 2, rows)), torch.arange(rows)]
    hidden = torch.from_numpy(draw.random((rows, n))).argsort(-1) < n // 2
    drive = torch.cat([pair, (target * ~hidden).unsqueeze(0)])
    return drive.repeat_interleave(shown, 0), target, hidden


def _train(
    old: Tensor, new: Tensor, alpha: float, iterations: int, shown: int, rate: float,
    learning_rate: float, seed: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return curve and test of a network, and examples of what it answers."""
    draw, n = np.random.default_rng([seed, 1]), old.shape[1]
    start = [torch.from_numpy(draw.standard_normal((n, n))).float() for _ in range(3)]
    cell = SNTCell(0.1 * start[0] / n**0.5, input_size=n)
    with torch.no_grad():
        cell.input_weight.copy_(start[1] / n**0.5)  # pyright: ignore[reportOptionalMemberAccess]
    trained = ("alpha", "rate") if alpha > 0 else ()
    f = PlasticSNTCell(cell, alpha=alpha * start[2], rate=rate, trainable=trained)
    optimiser = torch.optim.Adam(f.parameters(), lr=learning_rate)
    blank, errors = f.join(torch.zeros(_TRIALS, n)), []
    for _ in range(iterations):
        drive, target, hidden = _trial(old, _TRIALS, shown, draw)
        answer = cell.rate(f.split(rollout(f, blank, len(drive), x=drive)[-1])[0])
        optimiser.zero_grad()
        (answer - target)[hidden].square().mean().backward()
        optimiser.step()
        errors.append(float((answer.sign() != target)[hidden].float().mean()))
    every = iterations // 20
    curve = torch.tensor(errors[: 20 * every]).reshape(20, every).mean(1)
    drive, target, hidden = _trial(new, _TEST, shown, np.random.default_rng([seed, 2]))
    with torch.no_grad():
        last = rollout(f, f.join(torch.zeros(_TEST, n)), len(drive), x=drive, every=len(drive))[-1]
        answer = cell.rate(f.split(last)[0])
    misses = (answer.sign() != target).float().masked_fill(~hidden, 0).sum(-1) / hidden.sum(-1)
    step = every * torch.arange(1, 21)
    return (
        step, curve, misses.mean(), misses.std() / math.sqrt(_TEST),
        target[:_EXAMPLES], drive[-1][:_EXAMPLES], answer[:_EXAMPLES],
    )  # fmt: skip


_EXAMPLES = 5


@plot.register(PatternMemory)
@style()
def _(result: PatternMemory, ax: Any = None) -> Any:
    ax = on(ax)
    for k, kind in enumerate(result.kinds):
        for i, (name, colour) in enumerate(zip(_NAMES, (DARK, MIDDLE), strict=True)):
            look: dict[str, Any] = {"color": colour, "marker": "os"[k], "linestyle": "-:"[i]}
            ax.plot(result.step, 100 * result.curves[k, i], label=f"{kind}, {name}", **look)
    for guess in result.guessing.tolist():
        ax.axhline(100 * guess, **THEORY)
    ax.set_ylim(bottom=0)
    name_axes(ax, "training steps (dashed: guessing)", "hidden bits wrong (%)")
    return finish(ax, "Completion of patterns", result.curves)


def _draw_examples(shown: Tensor, fig: Any) -> None:
    """Draw patterns, cues and answers as images."""
    names = ("pattern", "cue", "plastic", "twin")
    axes = fig.subplots(len(names), shown.shape[1], squeeze=False)
    side = round(shown.shape[-1] ** 0.5)
    for row, name, images in zip(axes, names, shown, strict=True):
        row[0].set_ylabel(name)
        for ax, image in zip(row, images, strict=True):
            ax.imshow(array(image).reshape(side, side), cmap="Greys", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(True)
    fig.suptitle("digits not trained on", fontsize=9)
