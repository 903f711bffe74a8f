"""Mean-field theory of random networks: what an ensemble does, without drawing a network."""

from sntorch.meanfield.coexisting import solutions as solutions
from sntorch.meanfield.correlated import CorrelatedField as CorrelatedField
from sntorch.meanfield.correlated import correlated as correlated
from sntorch.meanfield.critical import Critical as Critical
from sntorch.meanfield.critical import critical as critical
from sntorch.meanfield.evolution import TwoTime as TwoTime
from sntorch.meanfield.evolution import evolve as evolve
from sntorch.meanfield.populations import PopulationField as PopulationField
from sntorch.meanfield.populations import populations as populations
from sntorch.meanfield.record import MeanField as MeanField
from sntorch.meanfield.replicas import Replicas as Replicas
from sntorch.meanfield.replicas import replicas as replicas
from sntorch.meanfield.stationary import solve as solve
