# %% [markdown]
# # 01 First steps: what does a random network do when it is left alone?
#
# The network is Cessac's "Simple but Non Trivial" one, SNT for short: $N$ neurons, random
# couplings, time in steps,
#
# $$u(t+1) = J \tanh(g\,u(t)), \qquad J_{ij} \sim N(0, 1/N).$$
#
# One number decides, the gain $g$. Below 1 every activity dies out; above 1 the network moves for
# ever, and two copies that start almost alike end up far apart. This page makes such a network,
# looks at it, and measures that last sentence.

# %%
import torch
from matplotlib import pyplot as plt

import sntorch as snt

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

J = snt.couplings.gaussian(200)
quiet = snt.SNTCell(J, gain=0.8, trainable=())  # nothing of them is trained on this page
lively = snt.SNTCell(J, gain=2.0, trainable=())

# %% [markdown]
# **A dynamics is a map of states.** The last axis of a state is the neurons, all other axes are
# independent rows: here 16 initial conditions at once. `rollout` makes the steps, time comes first.

# %%
u = torch.randn(16, 200)
orbit = snt.rollout(lively, u, steps=100)
orbit.shape

# %%
with snt.plot.style():
    fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for ax, cell in zip(axes, (quiet, lively), strict=True):
        ax.plot(snt.rollout(cell, u, steps=60)[:, 0, :4])
        ax.set(title=f"gain {cell.gain:g}", xlabel="time (steps)")
    axes[0].set_ylabel("four of 200 neurons, u")

# %% [markdown]
# ## How fast do neighbours part?
#
# If two states differ by a small $\delta(0)$, then on average $|\delta(t)| \approx |\delta(0)|\,
# e^{\lambda t}$. The rate $\lambda$ is the largest **Lyapunov exponent**, in nats per step: positive
# means chaos. `lyapunov_spectrum` returns the $k$ largest for every row, with standard errors.

# %%
spectrum = snt.analysis.lyapunov_spectrum(lively, u, steps=400, transient=100, k=20)
snt.plot(spectrum)

# %% [markdown]
# Let us check the first of them by hand. Push every state by $10^{-6}$ and watch. The slope must be
# the exponent, until the difference is as large as the attractor itself.

# %%
with snt.plot.style():
    start = snt.rollout(lively, u, 100)[-1]
    push = 1e-6 * torch.randn_like(start)
    distance = (snt.rollout(lively, start + push, 120) - snt.rollout(lively, start, 120)).norm(
        dim=-1
    )
    time = torch.arange(1, 121)
    rate = spectrum.exponents[:, 0].mean()
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.semilogy(time, distance, color="0.75", linewidth=0.7)
    ax.semilogy(time, distance.log().mean(-1).exp(), label="measured, 16 pairs")
    ax.semilogy(
        time, push.norm(dim=-1).mean() * (rate * time).exp(), "k--", label=f"slope {rate:.3f}"
    )
    ax.set(xlabel="time (steps)", ylabel="distance", ylim=(1e-6, 100))
    ax.legend(frameon=False)

# %% [markdown]
# ## What does one step do?
#
# It multiplies a small difference by the Jacobian $DF(u)$. At the origin that is $gJ$, whose
# eigenvalues fill a disk of radius $g$ (Girko's circular law): beyond $g = 1$ some lie outside the
# unit circle and the origin is unstable. On the attractor neurons saturate, and the disk shrinks.

# %%
spectra = [snt.analysis.jacobian_spectrum(lively, u) for u in (torch.zeros(200), orbit[-1])]
snt.plot.figure(*spectra, title="At the origin, and on the attractor")

# %% [markdown]
# ## Everything else is a dynamics too
#
# A function, `nn.GRU`, `nn.LSTMCell`, your own module: every analysis takes them as they are. The
# logistic map $u \mapsto 4u(1-u)$ has the exponent $\ln 2 = 0.6931$.

# %%
start = torch.rand(8, 1)
found = snt.analysis.max_lyapunov(lambda u: 4 * u * (1 - u), start, steps=1000)
print(found)

# %% [markdown]
# **What we saw.** Chaos in a network without any learning, an exponent with its error, and the same
# number from two neighbours.
#
# **Try next.** (1) Give the cell a `leak` of 0.5. Does it become more or less chaotic? (2) Add
# `noise=1.0`: noise that both copies share *suppresses* chaos. From which noise on? Notebook 04
# knows the answer without a network. (3) Replace `couplings.gaussian` by `couplings.sparse(200,
# degree=10)`: what changes?
