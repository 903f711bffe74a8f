"""Mean-field theory of random networks: what an ensemble does, without drawing a network."""

from sntorch.meanfield.record import MeanField as MeanField
from sntorch.meanfield.stationary import solve as solve
