# %% [markdown]
# # 07 Fixed points and speed: what did a network learn, seen from inside?
#
# A trained network is a black box of weights. Opened as a dynamics it is a map of landmarks: stable
# **fixed points** are what it can remember, saddles between them are its decisions. To find them,
# minimise the speed (Sussillo and Barak 2013)
#
# $$E(u) = \tfrac12 \lvert F(u) - u \rvert^2 .$$
#
# Where $E = 0$ the network rests; where it is small and not zero it is slow.
#
# ## Train a memory of two bits
#
# The flip-flop task: two channels of rare pulses, and the network must hold the sign of the last
# pulse on each. Two bits are four memories. Will there be four stable fixed points?

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

gru = torch.nn.GRU(2, 24, batch_first=True)
adam = lambda parameters: torch.optim.Adam(parameters, lr=0.01)
model = training.SequenceModel(gru, 2, kind="regression", when="every", optimizer=adam)
task = training.FlipFlopTask(bits=2, steps=30)
trainer = pl.Trainer(
    max_epochs=15, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, limit_val_batches=0, accelerator="cpu",
)  # fmt: skip
trainer.fit(model, task)
loss = trainer.test(model, task, verbose=False)[0]["test/loss"]
print(f"mean squared error {loss:.3f} (1 is guessing, 0.05 is good)")

# %% [markdown]
# ## Find the landmarks
#
# Good starts are states that the network visits, with some noise on them. `find_fixed_points` takes
# them all at once, `x` is the input that is held constant: none. Every point comes with its
# eigenvalues, so with the number of its unstable directions.

# %%
gru, readout = gru.double(), model.readout.double()
pulses = task.parts["test"].tensors[0].double().transpose(0, 1)  # time first
with torch.no_grad():
    orbits = snt.rollout(gru, torch.zeros(256, 24).double(), 30, x=pulses)
starts = orbits[5:, :20].reshape(-1, 24)
starts = starts + 0.2 * torch.randn_like(starts)
points = snt.analysis.find_fixed_points(gru, starts, x=torch.zeros(2).double()).unique()
for state, unstable in zip(points.states, points.unstable.tolist(), strict=True):
    print(f"{unstable} unstable directions, output", [f"{y:+.2f}" for y in readout(state).tolist()])

# %% [markdown]
# The stable points say $(\pm 1, \pm 1)$ to the readout: the four memories, found without being told
# of them. Between neighbours lies a saddle with a single unstable direction: a pulse pushes the
# state over it. Below, orbits under input are thin lines, in the plane of the readout.

# %%
with torch.no_grad(), snt.plot.style():
    fig, ax = plt.subplots(figsize=(5, 4.4))
    ax.plot(*readout(orbits[5:, :60]).movedim(-1, 0), color="#a9bccb", linewidth=0.5)
    for number, marker, fill in ((0, "o", "#12355b"), (1, "s", "white")):
        at = readout(points.states[points.unstable == number])
        look = {"color": "#12355b", "markerfacecolor": fill, "markersize": 8, "linestyle": ""}
        ax.plot(*at.T, marker, label=("stable", "saddle")[number], **look)
    ax.set(xlabel="readout of the first bit", ylabel="readout of the second bit")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

# %% [markdown]
# ## How slow are the states of a random network?
#
# Now all states, not only those at rest: give each the Boltzmann weight $e^{-E(u)/T}$ with the speed
# as energy. Theory (replicas, $N \to \infty$) predicts the mean square rate $q$ of such states; we
# sample them with Langevin dynamics. `planted` draws a network together with one typical state of
# it, so that the chains start in equilibrium.

# %%
gains, measured = [0.5, 1.0, 1.5], []
for gain in gains:
    planted = snt.landscape.planted(200, gain=gain, temperature=0.1)
    flow = snt.systems.AmariWilsonCowan(planted.coupling)
    energy = snt.landscape.SpeedPotential(flow)
    chains = planted.state.expand(8, 200)
    samples = snt.landscape.langevin(energy, chains, 400, temperature=0.1, transient=100)
    measured.append((float(samples.overlap.mean()), float(samples.overlap.std()) / 8**0.5))
fine = torch.linspace(0.2, 2.0, 40).double()
theory = snt.meanfield.equilibrium(gain=fine, temperature=0.1).overlap
with snt.plot.style():
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    ax.errorbar(gains, *torch.tensor(measured).T, fmt="o", label="Langevin, N = 200")
    ax.plot(fine, theory, "k--", linewidth=1, label="replica theory")
    ax.set(xlabel="gain", ylabel="mean square rate q", title="temperature 0.1")
    ax.legend(frameon=False)

# %% [markdown]
# **What we saw.** Inside a trained network: four memories and the saddles between them. Around it: a
# theory of slow states, round which networks of 200 neurons scatter: the bars are those of chains in
# one network, and at gain 1.5 another draw of it differs by 0.03.
#
# **Try next.** (1) `bits=3`: eight memories, twelve saddles? Train a little longer. (2) Give the
# network a constant input, `x=torch.tensor([0.5, 0])`: which memories survive? (3) Lower the
# temperature to 0.01. Which gain makes the overlap jump?
