# %% [markdown]
# # 03 The edge of chaos and training: why does a network fail to learn a long delay?
#
# Learning through time sends an error back through the same Jacobians that carry a difference
# forward. Over $t$ steps its size therefore changes like
#
# $$\Big\lVert \frac{\partial L}{\partial u(0)} \Big\rVert \sim e^{\lambda t},$$
#
# with $\lambda$ the largest Lyapunov exponent. Below zero the gradient vanishes, above it explodes;
# only near the **edge of chaos**, $\lambda \approx 0$, does it arrive. We first check the formula, then
# move a network to the edge with its exponent as a loss, and then let it learn.

# %%
import logging
import warnings

import pytorch_lightning as pl
import torch
from matplotlib import pyplot as plt

import sntorch as snt
from sntorch import training

torch.manual_seed(0)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")

# %% [markdown]
# ## The gradient over t steps, and the exponent
#
# A plain `nn.RNN` in three versions: as torch makes it, and with larger recurrent weights. `rollout`
# is differentiable, so the gradient on its way back is one call of `torch.autograd.grad` per delay.

# %%
delays = torch.arange(2, 41, 2)


def gradient_norms(rnn, u):
    """Mean size of d (w . u(t)) / d u(0) for every delay t, over the rows."""
    u = u.clone().requires_grad_()
    orbit = snt.rollout(rnn, u, int(delays[-1]))
    w = torch.randn(u.shape[-1]) / 8
    grads = [torch.autograd.grad((orbit[t - 1] @ w).sum(), u, retain_graph=True)[0] for t in delays]
    return torch.stack(grads).norm(dim=-1).log().mean(-1).exp()


with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    for factor, colour in ((1.0, "tab:blue"), (1.75, "tab:green"), (3.0, "tab:red")):
        rnn = torch.nn.RNN(1, 64)
        with torch.no_grad():
            rnn.weight_hh_l0.mul_(factor)
            start = snt.rollout(rnn, torch.randn(32, 64), 100)[-1]
        rate = float(snt.analysis.max_lyapunov(rnn, start, 300).exponents.mean())
        norms = gradient_norms(rnn, start)
        ax.semilogy(delays, norms, "o", color=colour, markersize=3, label=f"exponent {rate:+.2f}")
        line = norms[4] * (rate * (delays - delays[4])).exp()
        ax.semilogy(delays, line, color=colour, linewidth=0.8)
    ax.set(xlabel="steps back", ylabel="size of the gradient")
    ax.legend(frameon=False)

# %% [markdown]
# Dots are gradients, lines have the slope of the exponent, measured separately. The network that
# torch makes ($\lambda \approx -0.5$) has lost nine tenths of an error after five steps.
#
# ## An exponent as a loss
#
# `lyapunov_regularizer` is how far the first `k` exponents are from a target, and differentiable.
# Pulling exponents to zero before learning is called *gradient flossing* (Engelken 2023).

# %%
rnn, u, x = torch.nn.RNN(1, 64), torch.zeros(16, 64), torch.randn(130, 16, 1)
before = snt.analysis.lyapunov_spectrum(rnn, u, 100, transient=30, x=x, k=24)
adam = torch.optim.Adam(rnn.parameters(), lr=3e-3)
for _ in range(40):
    loss = training.lyapunov_regularizer(rnn, u[:8], 30, k=16, x=torch.randn(30, 8, 1))
    adam.zero_grad()
    loss.backward()
    adam.step()
after = snt.analysis.lyapunov_spectrum(rnn, u, 100, transient=30, x=x, k=24)

fig = snt.plot.figure(before, after, title="Before and after 40 steps of Adam on 16 exponents")
for ax in fig.axes:
    ax.set_ylim(-2.2, 0.2)
    ax.axvline(16.5, color="0.5", linewidth=0.8)
fig

# %% [markdown]
# The sixteen exponents left of the line now lie near zero: gradients can travel back in sixteen
# directions without fading. The others were not asked.
#
# ## Does it help? A task with a delay
#
# Delayed XOR: the answer is the exclusive or of the bits 5 and 10 steps ago, so that no linear
# memory will do. Both networks start alike and make 1000 steps of their optimisers in all; the
# second spends 105 of them on its exponents, 100 before its first batch. `GradientFlossing` is a
# callback for any Lightning module, and so is `LyapunovMonitor`, which only watches.


# %%
def learn(updates, *callbacks):
    """Return test accuracy and the largest exponent under the input, after learning."""
    torch.manual_seed(10)  # a seed on which none of these numbers was chosen
    task = training.DelayedXorTask(delay=10, steps=30, sequences=2048, batch_size=32)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=3e-3)
    rnn = torch.nn.RNN(1, 64, batch_first=True)
    model = training.SequenceModel(rnn, 2, when="every", optimizer=adam)
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = pl.Trainer(
        max_steps=updates, max_epochs=-1, callbacks=list(callbacks), gradient_clip_val=1.0,
        limit_val_batches=0, accelerator="cpu", enable_model_summary=False, **silent,
    )  # fmt: skip
    trainer.fit(model, task)
    accuracy = trainer.test(model, task, verbose=False)[0]["test/accuracy"]
    x = task.parts["test"].tensors[0][:32].transpose(0, 1)
    exponent = snt.analysis.max_lyapunov(rnn, torch.zeros(32, 64), 24, transient=6, x=x)
    return accuracy, float(exponent.exponents.mean())


floss = training.GradientFlossing(k=32, pretrain=100, every_n_steps=40, until=200, lr=3e-3)
for name, found in (("plain", learn(1000)), ("flossed", learn(895, floss))):
    print(f"{name:8} accuracy {found[0]:.3f}, exponent {found[1]:+.2f} nats / step")

# %% [markdown]
# The plain network guesses (chance is 0.5): ten steps back its gradient has shrunk thirtyfold, after
# learning, and more before it. The flossed one keeps a fifth of it and solves the task, with fewer
# batches.
#
# **What we saw.** The exponent is the rate of the gradient; it can be moved by gradient descent;
# and a network near the edge learns what the same network far from it does not. One seed proves
# little: `./scripts/train experiment=edge/flossing` does five, with errors.
#
# **Try next.** (1) Is it the first exponent alone? Set `k=1`. (2) Add `training.LyapunovMonitor()`
# to the callbacks of your own `Trainer` and watch exponents in TensorBoard while it learns. (3) Give
# the plain network 4000 updates: does it find the edge by itself?
