# %% [markdown]
# # 08 Landscape and flux: why a network turns, and what it costs
#
# With noise, $du = F\,dt + \sqrt{2D}\,dW$, a network has no single orbit but a density $P(u)$. Where
# $P$ is high lies a valley of the **landscape** $U = -\ln P$. If valleys were all, probability would
# rest in them. But when couplings are not symmetric there is also a **flux**
#
# $$J = F P - D \nabla P, \qquad \nabla\cdot J = 0,$$
#
# which goes round and round, and keeping it going costs entropy,
# $\sigma = \int \frac{J^2}{D P}\,du$. We take two neurons that turn each other, where all can be
# computed exactly, and compare it with what a simulation shows.

# %%
import torch
from matplotlib import pyplot as plt

import sntorch as snt
from sntorch import landscape

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

ring = snt.systems.TanhRing(a=1.5, b=1.0, diffusion=0.05)
grid = landscape.Grid([-3.5, -3.5], [3.5, 3.5], cells=120)
density = landscape.fokker_planck(ring, grid, modes=0)
cycle = landscape.limit_cycle(ring, torch.tensor([1.0, 0.0]))
snt.plot.grids.landscape(density, lines={"limit cycle without noise": cycle})

# %% [markdown]
# `fokker_planck` solves for $P$ on a grid: no sampling, no error bar. The landscape is a valley
# round a hill, a *Mexican hat*, and its deepest line is close to the limit cycle that the network
# runs along without noise. Arrows are the flux. No landscape alone would make it turn.
#
# ## The same from a simulation
#
# Forget the equations and keep only orbits, as in an experiment, where they would be an array of
# NumPy. `EulerMaruyama` turns the flow into a noisy map; `flux_field` counts how often cells are left
# and entered.

# %%
walk = snt.EulerMaruyama(ring, dt=0.02)
orbit = snt.rollout(walk, torch.randn(200, 2), 3000)[500:]
snt.plot(landscape.flux_field(orbit, torch.eye(2), dt=walk.dt))

# %% [markdown]
# ## What does it cost?
#
# Entropy production, in nats per unit of time, is zero if and only if detailed balance holds. The
# asymmetry $b$ of the couplings turns it on. Two ways to know it: exactly, on the grid, and from
# noisy orbits of a known network.

# %%
asymmetries = [0.0, 0.3, 0.6, 1.0, 1.4]
exact, simulated = [], []
for b in asymmetries:
    ring = snt.systems.TanhRing(a=1.5, b=b, diffusion=0.05)
    walk = snt.EulerMaruyama(ring, dt=0.02)
    orbit = snt.rollout(walk, torch.randn(200, 2), 1500)[500:]
    produced = landscape.entropy_production(walk, orbit).value
    simulated.append((float(produced.mean()), float(produced.std()) / 200**0.5))
    density = landscape.fokker_planck(ring, landscape.Grid([-3.5] * 2, [3.5] * 2, 160), modes=0)
    exact.append(float(density.entropy_production))
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.errorbar(asymmetries, *torch.tensor(simulated).T, fmt="o", label="simulated, 200 orbits")
    ax.plot(asymmetries, exact, "k--", linewidth=1, label="exact, on the grid")
    ax.set(xlabel="asymmetry b", ylabel="entropy production\n(nats / unit of time)")
    ax.legend(frameon=False)

# %% [markdown]
# ## Two valleys and a pass
#
# The other classic: two valleys, and noise that carries the state over the pass now and then. Two
# ways to know how often. The exact one: the slowest mode of the Fokker-Planck operator decays at
# twice the rate of one direction. And the theory of weak noise (Kramers; Bouchet and Reygner), along
# the path of minimum action: $k \approx C\, e^{-\Delta V / D}$.

# %%
rates = []
diffusions = [0.1, 0.13, 0.18, 0.25]
for D in diffusions:
    well = snt.systems.DoubleWell(2, diffusion=D)
    density = landscape.fokker_planck(well, landscape.Grid([-2.2] * 2, [2.2] * 2, 80))
    path = landscape.minimum_action_path(well, torch.tensor([-1.0, 0]), torch.tensor([0.0, 0]))
    escape = landscape.escape_rate(well, path, well.potential)
    rates.append((float(density.gap) / 2, float(escape.rate)))
exact, weak = torch.tensor(rates).T
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    inverse = 1 / torch.tensor(diffusions)
    ax.semilogy(inverse, exact, "o", label="slowest mode / 2")
    ax.semilogy(inverse, weak, "k--", linewidth=1, label="weak noise, with prefactor")
    ax.set(xlabel="1 / D", ylabel="rate of escape (per unit of time)")
    ax.legend(frameon=False)

# %% [markdown]
# **What we saw.** A landscape says where a network is, a flux where it goes, entropy production what
# that costs; a simulation sees all three, and the pass between two valleys decides how often it
# changes its mind.
#
# **Try next.** (1) Turn the second well: `DoubleWell(2, circulation=1.0, ...)`. The density stays as
# it was; what happens to flux and entropy production? (2) `landscape.barrier(density, cycle.points)`
# is the height of the hill inside the ring: how does it change with $D$? (3) Your own flow, any
# function `u -> du/dt` of two numbers: `snt.flows.as_flow(f, diffusion=0.05)`.
