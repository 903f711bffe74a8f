# %% [markdown]
# # 04 Mean field against networks: what can be known without a network?
#
# In a large random network a neuron adds up many independent contributions, so its activity is
# Gaussian. What remains unknown is one number, its variance, and it must reproduce itself:
#
# $$q = \int \tanh^2(g\sqrt{q + \sigma^2}\,z)\,\frac{e^{-z^2/2}}{\sqrt{2\pi}}\,dz .$$
#
# The largest Lyapunov exponent follows from the same Gaussian: $\lambda = \tfrac12 \ln\,\langle f'^2
# \rangle$, with $f'$ the slope of a neuron, gain included. `meanfield.solve` does this in
# milliseconds. Does it know what networks do?

# %%
import time

import torch
from matplotlib import pyplot as plt

import sntorch as snt

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

field = snt.meanfield.solve(gain=[0.8, 1.2, 2.0])
field.variance, field.lyapunov

# %% [markdown]
# ## One neuron
#
# Ten networks, whose neurons are all thrown together, beside the Gaussian of theory.


# %%
def networks(n, number, **settings):
    """Yield networks with their state after 100 steps from random ones, 4 rows each."""
    for _ in range(number):
        cell = snt.SNTCell(snt.couplings.gaussian(n), trainable=(), **settings)
        yield cell, snt.rollout(cell, torch.randn(4, n), 100, every=100)[-1]


values = torch.cat([u.ravel() for _, u in networks(400, 10, gain=2.0)])
spread = field.variance[2].sqrt()
grid = torch.linspace(-3, 3, 200)
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.2))
    ax.hist(values, bins=60, density=True, color="#a9bccb", label="10 networks of 400")
    gauss = torch.exp(-(grid**2) / (2 * spread**2)) / (spread * (2 * torch.pi) ** 0.5)
    ax.plot(grid, gauss, "k--", linewidth=1, label="mean field")
    ax.set(xlabel="activity u", ylabel="density")
    ax.legend(frameon=False)

# %% [markdown]
# ## The exponent against the gain
#
# An argument may be an array: the whole curve is one call. Networks are measured with
# `max_lyapunov`; their error bar is the spread over four draws of the couplings.


# %%
def measured(n, **settings):
    """Mean largest exponent over four networks and its standard error."""
    found = [
        float(snt.analysis.max_lyapunov(cell, u, 200, transient=30).exponents.mean())
        for cell, u in networks(n, 4, **settings)
    ]
    return float(torch.tensor(found).mean()), float(torch.tensor(found).std()) / 2


gains = [0.8, 1.0, 1.3, 1.7, 2.2, 2.8]
small = torch.tensor([measured(50, gain=g) for g in gains])
large = torch.tensor([measured(300, gain=g) for g in gains])
fine = torch.linspace(0.7, 3.0, 100)
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.errorbar(gains, *small.T, fmt="s", markerfacecolor="white", label="N = 50")
    ax.errorbar(gains, *large.T, fmt="o", label="N = 300")
    ax.plot(fine, snt.meanfield.solve(gain=fine).lyapunov, "k--", linewidth=1, label="mean field")
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set(xlabel="gain", ylabel="largest exponent (nats / step)")
    ax.legend(frameon=False)

# %% [markdown]
# Chaos begins at gain 1. Below, theory is $\ln g$, the log of the circular law's radius; small
# networks scatter round it.
#
# ## Noise suppresses chaos
#
# Noise that is the same for both copies makes neurons saturate, and saturated neurons forget. At
# which noise does chaos end? `critical` searches the zero of the exponent.

# %%
critical = snt.meanfield.critical("noise", 0.1, 2.0, gain=2.0)
noises = [0.0, 0.3, 0.6, 0.9, 1.2]
found = torch.tensor([measured(300, gain=2.0, noise=sigma) for sigma in noises])
fine = torch.linspace(0, 1.3, 60)
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.errorbar(noises, *found.T, fmt="o", label="N = 300")
    theory = snt.meanfield.solve(gain=2.0, noise=fine).lyapunov
    ax.plot(fine, theory, "k--", linewidth=1, label="mean field")
    ax.axvline(critical.value, color="0.5", linewidth=0.8)
    ax.text(critical.value + 0.02, 0.1, f"critical noise {critical.value:.3f}")
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set(xlabel="noise (per step)", ylabel="largest exponent (nats / step)", title="gain 2")
    ax.legend(frameon=False, loc="lower left")

# %% [markdown]
# ## A phase diagram in one call
#
# Gains along one axis, noises along the other: 10,000 mean fields.

# %%
gain, noise = torch.linspace(0.5, 3, 100), torch.linspace(0, 1.5, 100)
start = time.perf_counter()
plane = snt.meanfield.solve(gain=gain, noise=noise[:, None])
print(
    f"{plane.lyapunov.numel():,} ensembles, less than a second: {time.perf_counter() - start < 1}"
)
snt.plot(plane)

# %% [markdown]
# **What we saw.** Theory without a free parameter, on the measured points: the density of activity,
# the exponent against gain and noise, and the place where chaos ends.
#
# **Try next.** (1) `leak=0.5` in `solve` and in `networks`: memory makes the covariance a function
# of time, `field.covariance(lag)`. (2) Excitation and inhibition: `meanfield.populations`. (3) Is a
# *trained* network still like a random one? Put `training.MeanFieldMonitor()` beside it.
