"""Landscape and flux: what holds a network, what turns it round, what it costs."""

from sntorch.landscape.entropy import EntropyProduction as EntropyProduction
from sntorch.landscape.entropy import entropy_production as entropy_production
from sntorch.landscape.flux import AreaRates as AreaRates
from sntorch.landscape.flux import FluxField as FluxField
from sntorch.landscape.flux import area_rates as area_rates
from sntorch.landscape.flux import flux_field as flux_field
from sntorch.landscape.flux import leading_plane as leading_plane
from sntorch.landscape.hopfield import AsymmetryWarning as AsymmetryWarning
from sntorch.landscape.hopfield import HopfieldEnergy as HopfieldEnergy
from sntorch.landscape.planting import Planted as Planted
from sntorch.landscape.planting import planted as planted
from sntorch.landscape.potentials import Potential as Potential
from sntorch.landscape.potentials import as_potential as as_potential
from sntorch.landscape.samples import Annealed as Annealed
from sntorch.landscape.samples import FieldResponse as FieldResponse
from sntorch.landscape.samples import Samples as Samples
from sntorch.landscape.samples import Tempered as Tempered
from sntorch.landscape.sampling import anneal as anneal
from sntorch.landscape.sampling import field_response as field_response
from sntorch.landscape.sampling import langevin as langevin
from sntorch.landscape.sampling import parallel_tempering as parallel_tempering
from sntorch.landscape.speed import SpeedPotential as SpeedPotential
