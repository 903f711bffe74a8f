# %% [markdown]
# # 05 Who influences whom?
#
# The synapses say who *speaks* to whom. Who is *heard* is another question: a saturated neuron
# passes nothing on, a loop amplifies some rhythms and swallows others. Kick neuron $j$ by a small
# $\xi$ at time $t$ and watch the mean of neuron $i$:
#
# $$K_{ij}(\tau) = \frac{\partial \langle u_i(t + 1 + \tau)\rangle}{\partial \xi_j(t)} =
# \big\langle \big(DF(u(t+\tau)) \cdots DF(u(t+1))\big)_{ij} \big\rangle,$$
#
# the **linear response** of all pairs at all lags. Single orbits of a chaotic network blow a kick
# up; the *mean* over the attractor forgets it (Ruelle). So the kernel decays although the exponent
# is positive.

# %%
import torch
from matplotlib import pyplot as plt

import sntorch as snt

torch.manual_seed(0)
cell = snt.studies.susceptibility.network(noise=0.15)  # nine neurons, four inputs each
start = snt.rollout(cell, torch.randn(500, 9, dtype=torch.float64), 300)[-1]
silent = snt.studies.susceptibility.network(noise=0.0)
exponent = snt.analysis.max_lyapunov(silent, start[:20], 500)
print(f"largest exponent without noise {exponent.exponents.mean():.3f}: chaos")

# %%
response = snt.analysis.linear_response(cell, start, lags=60, samples=100_000)
snt.plot(response)

# %% [markdown]
# The first value is the synapse itself, weighted by the mean slope; the rest is the network.
#
# ## Is it true? Send a signal
#
# A response function is a prediction. Send $\epsilon \cos(\omega_m t) \sin(\omega t)$ into neuron 6
# and demodulate what arrives: the amplitude at neuron $i$ should be $\epsilon\,|\chi_{i6}(\omega)|$,
# where the **susceptibility** $\chi(\omega) = \sum_\tau K(\tau) e^{-i\omega\tau}$ is the Fourier
# transform of the kernel. Crosses are the prediction, points with errors what was received.

# %%
sent = snt.analysis.transmit(
    cell, start, source=6, carrier=1.81, modulation=0.03, steps=400, amplitude=0.02,
    response=response,
)  # fmt: skip
snt.plot(sent)

# %% [markdown]
# ## The same wires, another graph at every frequency
#
# `effective_connectivity` makes $|\chi_{ij}(\omega)|$ a weighted graph, with hubs, and compares it
# with the synapses. A wave of one frequency sees other links than a wave of another.

# %%
omegas = [0.3, 1.81, 2.9]
graph = snt.analysis.effective_connectivity(response, omegas, coupling=cell)
with snt.plot.style():
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.9))
    for k, ax in enumerate(axes):
        snt.plot.response.circle(graph, ax, index=k)
print("hubs", graph.hub.tolist())
print("rank correlation with the synapses", graph.rank_correlation().tolist())

# %% [markdown]
# ## Resonances
#
# The kernel rings before it fades, so some frequencies pass better than others. Beside the gain the
# picture shows the power spectrum of the receiver.

# %%
omega = torch.linspace(0, torch.pi, 201)
found = snt.analysis.susceptibility(cell, start, omega, lags=60, samples=100_000)
snt.plot(found)

# %% [markdown]
# **What we saw.** In a chaotic network the mean response is finite and fades, it predicts what a
# signal becomes, and the graph of influence turns with the frequency while the wires stay.
#
# **Try next.** (1) Which carrier reaches neuron 3 best? Look at `found.modulus[:, 3, 6]`, then
# `transmit` there. (2) Double the `amplitude`: when does the prediction fail? (3) Which part of the
# kernel is carried by chaos itself? `analysis.response_parts`. (4) Poles behind the resonances:
# `analysis.poles(response, receiver=1, source=6)`.
