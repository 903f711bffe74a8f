# %% [markdown]
# # 02 Is your own GRU chaotic?
#
# Three lines take your `nn.GRU` to its Lyapunov spectrum. No wrapper, no export: the parameters are
# read where they are, and are left as they were found.

# %%
import torch
from matplotlib import pyplot as plt

import sntorch as snt

torch.manual_seed(0)
gru = torch.nn.GRU(input_size=3, hidden_size=64)

# %%
u = torch.randn(16, 64)  # 16 initial states
alone = snt.analysis.lyapunov_spectrum(gru, u, steps=300, transient=200, k=8)
snt.plot(alone)

# %% [markdown]
# All exponents are negative: a GRU as torch makes it forgets. The largest one, $\lambda_1$, says how
# fast. Two hidden states that differ come together like $e^{\lambda_1 t}$, so that nothing is left
# after some $1/|\lambda_1|$ steps.

# %%
largest = float(alone.exponents[:, 0].mean())
print(f"largest exponent {largest:.3f} nats per step, memory of {-1 / largest:.1f} steps")

# %% [markdown]
# ## Weights that are larger
#
# Training changes weights. Here we only multiply the recurrent ones by a factor, and ask twice: of
# the network **alone**, and **while it reads** an input. For the second question the analysis wants
# one input per step, `x` of shape (transient + steps, rows, inputs). The exponents are then
# *conditional* ones: how two states part that read the same sequence.


# %%
def scaled(factor):
    """Return a copy of the GRU with larger recurrent weights."""
    larger = torch.nn.GRU(3, 64)
    larger.load_state_dict(gru.state_dict())
    with torch.no_grad():
        larger.weight_hh_l0.mul_(factor)
    return larger


def largest_exponent(f, x=None):
    """Return the mean over the 16 rows and its standard error."""
    found = snt.analysis.max_lyapunov(f, u, steps=200, transient=100, x=x)
    return float(found.exponents.mean()), float(found.exponents.std()) / 4


factors = [1, 2, 4, 6, 9, 13]
x = 3 * torch.randn(300, 16, 3)
alone = torch.tensor([largest_exponent(scaled(factor)) for factor in factors])
reading = torch.tensor([largest_exponent(scaled(factor), x) for factor in factors])

# %%
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    for (mean, error), label, mark in ((alone.T, "alone", "o-"), (reading.T, "reading", "s--")):
        ax.errorbar(factors, mean, error, fmt=mark, label=label)
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set(xlabel="factor of the recurrent weights", ylabel="largest exponent (nats / step)")
    ax.legend(frameon=False)

# %% [markdown]
# Above zero the network is chaotic: what it does next week depends on the last digit of today. An
# input changes the answer, and in both directions: at factor 4 it makes the network forget faster,
# at factor 13 it keeps units away from saturation and feeds the chaos. So measure the network under
# *your* input.
#
# ## The proof: two copies, one input
#
# Pairs of states that differ by $10^{-3}$ read the same sequence. Dashed lines have the slope of the
# conditional exponents from above: measured with tangent vectors, not with pairs. `rollout` runs
# the GRU; `x` is its input.

# %%
times = torch.arange(1, 26)
with torch.no_grad(), snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    for factor, colour in ((1, "tab:blue"), (4, "tab:orange"), (13, "tab:red")):
        network = scaled(factor)
        start = snt.rollout(network, u, 275, x=x[:275])[-1]
        first = snt.rollout(network, start, 25, x=x[275:])
        second = snt.rollout(network, start + 1e-3 * torch.randn(16, 64) / 8, 25, x=x[275:])
        distance = (first - second).norm(dim=-1).log().mean(-1).exp()
        ax.semilogy(times, distance, color=colour, label=f"factor {factor}")
        line = distance[4] * (reading[factors.index(factor), 0] * (times - 5)).exp()
        ax.semilogy(times, line, color=colour, linestyle="--", linewidth=0.8)
    ax.set(xlabel="time (steps)", ylabel="distance of two copies", ylim=(1e-7, 10))
    ax.legend(frameon=False)

# %% [markdown]
# ## Not only GRUs
#
# `nn.RNN`, `nn.LSTM` (its state is $h$ and $c$ joined), stacks of layers, cells, cells of your own
# with `forward(x, h)`, and functions `u -> u` or `(u, x) -> u` enter by the same door. Here two
# layers that feed their output back to themselves:

# %%
torch.manual_seed(1)
block = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Tanh(), torch.nn.Linear(64, 32))
u = torch.randn(16, 32)
for strength in (1, 5, 25):
    found = snt.analysis.max_lyapunov(lambda u: block(strength * u), u, 100, transient=50)
    print(f"strength {strength:2}: largest exponent {float(found.exponents.mean()):+.3f}")

# %% [markdown]
# The first call takes some seconds, once: torch loads its forward mode of differentiation. Torch's
# own cells and ours know their tangents and do not wait for it.
#
# **What we saw.** A fresh GRU forgets within a few steps; larger weights make it chaotic; its input
# has a say in it; and two copies do what the exponent says.
#
# **Try next.** (1) Put your own trained network in place of `gru`, and its real inputs in place of
# `x`. (2) `nn.LSTM(3, 64)`: give it `torch.randn(16, 128)` as states. (3) Ask for all 64 exponents
# (leave `k` out) and look at `dimension`, the Kaplan-Yorke dimension of its attractor: how many of
# the 64 units does the chaos of factor 6 need?
