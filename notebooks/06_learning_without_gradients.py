# %% [markdown]
# # 06 Learning without gradients: where do local rules take a network?
#
# A synapse knows its two neurons and nothing else. Hebb's rule with passive forgetting (Siri et al.
# 2008) changes the couplings once per epoch, by the mean activities $m$ seen in it:
#
# $$J \leftarrow \lambda J + \frac{\alpha}{N}\, m\, [m]_+^\top, \qquad m_i = \langle x_i\rangle - d.$$
#
# No loss, no gradient. What does it do to the dynamics? We watch the largest exponent, and beside
# the learner, a **control** that gets the same but learns nothing.

# %%
import math

import torch
from matplotlib import pyplot as plt

import sntorch as snt

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

n = 400
i = torch.arange(1, n + 1) / n
pattern = 0.01 * torch.sin(2 * math.pi * i) * torch.cos(8 * math.pi * i)
J = snt.couplings.gaussian(n)
cell = snt.SNTCell(J, gain=10, transfer="tanh01", threshold=-pattern, trainable=())

# %% [markdown]
# `learn` runs epochs: some steps of the network, one step of the rule. `observe` names what is
# measured between them, with any analysis of the library; `control` is the rule of the control run,
# here forgetting alone. The cell itself is left as it was; `history.cell` is the one that learned.

# %%
rule = snt.plasticity.HebbianForgetting(forgetting=0.9, rate=0.005, activity=0.1)
forget = snt.plasticity.HebbianForgetting(forgetting=0.9, rate=0.0, activity=0.1)
observe = {
    "largest exponent": lambda f, u: snt.analysis.max_lyapunov(f, u, 200).exponents.mean(),
    "radius of J": lambda f, u: f.coupling.norm() / n**0.5,  # by the circular law
}
u = torch.rand(2, n)
history = snt.plasticity.learn(
    cell, rule, u, 10, steps=200, transient=100, observe=observe, control=forget
)
snt.plot.learning(history)

# %% [markdown]
# Learning takes the network out of chaos. A success? The control does the same: it learns nothing,
# its couplings just shrink, $J \to 0.9\,J$. Without a control one would have praised Hebb for what
# forgetting did. And what forgetting does, theory knows: after $t$ epochs the couplings have a
# standard deviation of $0.9^t$, and the mean field gives the exponent.

# %%
std = 0.9**history.epoch
theory = snt.meanfield.solve(gain=10, std=std, threshold_std=pattern.std(), transfer="tanh01")
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.plot(history.epoch, history["largest exponent"], "o", label="learning")
    ax.plot(history.epoch, history.control["largest exponent"], "s", mfc="white", label="control")
    ax.plot(history.epoch, theory.lyapunov, "k--", linewidth=1, label="mean field of the control")
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set(xlabel="epoch", ylabel="largest exponent (nats / step)")
    ax.legend(frameon=False)

# %% [markdown]
# Points scatter round the line, most of all where chaos is weak: a network of 400 is not infinite,
# and another draw of its couplings has an exponent that differs by some 0.04.
#
# ## A rule of neurons: homeostasis
#
# Neurons adapt too. Homeostasis moves every threshold until the mean activity of its neuron is what
# it should be, $\theta_i \leftarrow \theta_i + \eta\,(m_i - m_0)$. Start with random thresholds, which
# hold many neurons near saturation, and let $m_0 = 0$: theory says that the network becomes *more*
# chaotic, from the mean field with scattered thresholds to the one without any.

# %%
cell = snt.SNTCell(
    snt.couplings.gaussian(n), gain=2, threshold=0.3 + 0.5 * torch.randn(n), trainable=()
)
rule = snt.plasticity.IntrinsicHomeostasis(rate=0.3, horizon=20.0, activity=0.0)
exponent = lambda f, u: snt.analysis.max_lyapunov(f, u, 150, transient=20).exponents.mean()
homeostasis = snt.plasticity.learn(
    cell, rule, torch.randn(2, n), 100, steps=30, observe={"exponent": exponent}, every=10
)
before = snt.meanfield.solve(gain=2, threshold=0.3, threshold_std=0.5).lyapunov
after = snt.meanfield.solve(gain=2).lyapunov
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.plot(homeostasis.epoch, homeostasis["exponent"], "o-", label="homeostasis")
    ax.plot(homeostasis.epoch, homeostasis.control["exponent"], "s--", label="no learning")
    for value, name in ((before, "mean field, scattered"), (after, "mean field, all alike")):
        ax.axhline(value, color="0.5", linewidth=0.8)
        ax.text(100, value - 0.012, name, ha="right", va="top", fontsize=8)
    ax.set(xlabel="epoch", ylabel="largest exponent (nats / step)")
    ax.legend(frameon=False, loc="center right")

# %% [markdown]
# **What we saw.** Two local rules move the same number in opposite directions: Hebb with forgetting
# out of chaos, homeostasis into it; and a control that keeps us from believing too much.
# The network stays a little below its mean field, before and after: that is of infinite networks.
#
# **Try next.** (1) Forget more slowly, `forgetting=0.97`, and learn faster, `rate=0.05`: now the
# learner parts from its control. When? (2) Both rules at once: `learn(cell, [hebb, homeostasis],
# ...)`. (3) Another way without gradients: leave the network alone and fit only a readout,
# `training.fit_readout`; `analysis.memory_capacity` says how much the network remembers for it.
