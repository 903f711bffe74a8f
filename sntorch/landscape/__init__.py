"""Landscape and flux: what holds a network, what turns it round, what it costs."""

from sntorch.landscape.entropy import EntropyProduction as EntropyProduction
from sntorch.landscape.entropy import entropy_production as entropy_production
from sntorch.landscape.entropy import simulate_entropy_production as simulate_entropy_production
from sntorch.landscape.flux import AreaRates as AreaRates
from sntorch.landscape.flux import FluxField as FluxField
from sntorch.landscape.flux import area_rates as area_rates
from sntorch.landscape.flux import flux_field as flux_field
from sntorch.landscape.flux import leading_plane as leading_plane
from sntorch.landscape.attractors import Attractor as Attractor
from sntorch.landscape.attractors import Attractors as Attractors
from sntorch.landscape.attractors import find_attractors as find_attractors
from sntorch.landscape.attractors import find_cycle as find_cycle
from sntorch.landscape.gaussian import Basin as Basin
from sntorch.landscape.gaussian import GaussianLandscape as GaussianLandscape
from sntorch.landscape.gaussian import covariance_at as covariance_at
from sntorch.landscape.gaussian import cycle_covariance as cycle_covariance
from sntorch.landscape.gaussian import gaussian_landscape as gaussian_landscape
from sntorch.landscape.linear import LinearSteadyState as LinearSteadyState
from sntorch.landscape.linear import linear_flow as linear_flow
from sntorch.landscape.linear import linear_map as linear_map
