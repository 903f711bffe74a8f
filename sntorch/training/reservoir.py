r"""Reservoir mode: the network stays as it was drawn, a linear readout is solved for.

With features r(b, t) of the frozen network and targets y, the readout minimises

.. math:: \sum_{b,t} |W r(b, t) + c - y(b, t)|^2 + \alpha\, n\, |W|^2

over the n samples of the training part (ridge regression); classes are encoded as 0 and 1.  Nothing
is sent back through time: whether the network forgets or is chaotic decides alone.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from sntorch import checks
from sntorch.observing import observing
from sntorch.training.modules import SequenceModel
from sntorch.training.tasks import IGNORED, Task

__all__ = ["fit_readout"]


def fit_readout(model: SequenceModel, task: Task, *, penalty: float = 1e-6) -> SequenceModel:
    r"""Return the model with the readout that ridge regression finds; its network is not changed.

    Test it as any other: ``pl.Trainer().test(model, task)``.

    Parameters
    ----------
    model
        Of the shape of the task; its readout is overwritten.
    task
        The whole training part is read, once, in the order in which it stands.
    penalty
        alpha, >= 0, per sample.

    Raises
    ------
    ValueError
        On wrong arguments, and if model and task do not fit.

    References
    ----------
    H. Jaeger, "The echo state approach", GMD Report 148 (2001).

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training import AddingTask, SequenceModel, fit_readout
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20), gain=0.9, input_size=2, trainable=())
    >>> model = SequenceModel(snt.SNT(cell, batch_first=True), 1, kind="regression")
    >>> fit_readout(model, AddingTask(steps=5)).readout.weight.shape
    torch.Size([1, 20])
    """
    penalty = checks.number("penalty", penalty, low=0)
    model.check_task(task)
    task.setup("fit")
    parts: list[NDArray[np.float64]] = []
    weight = model.readout.weight
    x, y = task.parts["train"].tensors
    with observing(model, weight):
        for batch in x.split(task.batch_size):
            parts.append(model.features(batch.to(weight.device)).double().cpu().numpy())
    r = np.concatenate(parts).reshape(-1, model.readout.in_features)
    if task.kind == "classification":
        classes = y.flatten().numpy()
        kept = classes != IGNORED
        r, wanted = r[kept], np.eye(task.output_size)[classes[kept]]
    else:
        wanted = y.double().numpy().reshape(len(r), -1)
    found = Ridge(alpha=penalty * len(r)).fit(r, wanted)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.atleast_2d(found.coef_)))
        model.readout.bias.copy_(torch.from_numpy(np.atleast_1d(found.intercept_)))
    return model
