"""Mean-field theory of random networks: what an ensemble does, without drawing a network."""

from sntorch.meanfield.coexisting import solutions as solutions
from sntorch.meanfield.correlated import CorrelatedField as CorrelatedField
from sntorch.meanfield.correlated import correlated as correlated
from sntorch.meanfield.critical import Critical as Critical
from sntorch.meanfield.critical import critical as critical
from sntorch.meanfield.equilibrium import Equilibrium as Equilibrium
from sntorch.meanfield.equilibrium import equilibrium as equilibrium
from sntorch.meanfield.equilibrium import zero_temperature as zero_temperature
from sntorch.meanfield.evolution import TwoTime as TwoTime
from sntorch.meanfield.evolution import evolve as evolve
from sntorch.meanfield.measures import StateMeasure as StateMeasure
from sntorch.meanfield.measures import cavity_fixed_points as cavity_fixed_points
from sntorch.meanfield.measures import chaotic_attractor as chaotic_attractor
from sntorch.meanfield.populations import PopulationField as PopulationField
from sntorch.meanfield.populations import populations as populations
from sntorch.meanfield.record import MeanField as MeanField
from sntorch.meanfield.replicas import Replicas as Replicas
from sntorch.meanfield.replicas import replicas as replicas
from sntorch.meanfield.saddle import saddle_point as saddle_point
from sntorch.meanfield.stationary import solve as solve
from sntorch.meanfield.typical import typical_fixed_points as typical_fixed_points
