"""Questions about a dynamics, one exported question per file."""

from sntorch.analysis.bifurcation import Branch as Branch
from sntorch.analysis.bifurcation import continue_fixed_point as continue_fixed_point
from sntorch.analysis.bifurcation import switch_branch as switch_branch
from sntorch.analysis.connectivity import Graph as Graph
from sntorch.analysis.connectivity import effective_connectivity as effective_connectivity
from sntorch.analysis.contraction import ContractionGain as ContractionGain
from sntorch.analysis.contraction import contraction_gain as contraction_gain
from sntorch.analysis.contraction import critical_gain as critical_gain
from sntorch.analysis.covariant import CovariantVectors as CovariantVectors
from sntorch.analysis.covariant import covariant_lyapunov_vectors as covariant_lyapunov_vectors
from sntorch.analysis.dimension import ParticipationRatio as ParticipationRatio
from sntorch.analysis.dimension import participation_ratio as participation_ratio
from sntorch.analysis.events import Event as Event
from sntorch.analysis.finite_time import FiniteTimeExponents as FiniteTimeExponents
from sntorch.analysis.finite_time import finite_time_exponents as finite_time_exponents
from sntorch.analysis.fixed_points import FixedPoints as FixedPoints
from sntorch.analysis.fixed_points import find_fixed_points as find_fixed_points
from sntorch.analysis.growth import growth_rates as growth_rates
from sntorch.analysis.lyapunov import LyapunovSpectrum as LyapunovSpectrum
from sntorch.analysis.lyapunov import lyapunov_spectrum as lyapunov_spectrum
from sntorch.analysis.lyapunov import max_lyapunov as max_lyapunov
from sntorch.analysis.memory import MemoryCapacity as MemoryCapacity
from sntorch.analysis.memory import memory_capacity as memory_capacity
from sntorch.analysis.nonnormality import PseudospectralRadius as PseudospectralRadius
from sntorch.analysis.nonnormality import pseudospectral_radius as pseudospectral_radius
from sntorch.analysis.regime import Regime as Regime
from sntorch.analysis.regime import regime as regime
from sntorch.analysis.regime import scan_regimes as scan_regimes
from sntorch.analysis.response import LinearResponse as LinearResponse
from sntorch.analysis.response import ResponseAccumulator as ResponseAccumulator
from sntorch.analysis.response import ResponseWarning as ResponseWarning
from sntorch.analysis.response import linear_response as linear_response
from sntorch.analysis.spectrum import JacobianSpectrum as JacobianSpectrum
from sntorch.analysis.spectrum import jacobian_spectrum as jacobian_spectrum
from sntorch.analysis.susceptibility import FluctuationDissipation as FluctuationDissipation
from sntorch.analysis.susceptibility import Resonance as Resonance
from sntorch.analysis.susceptibility import Susceptibility as Susceptibility
from sntorch.analysis.susceptibility import (
    fluctuation_dissipation as fluctuation_dissipation,
)
from sntorch.analysis.susceptibility import susceptibility as susceptibility
from sntorch.analysis.tangents import AccuracyWarning as AccuracyWarning
from sntorch.analysis.timeseries import Lines as Lines
from sntorch.analysis.timeseries import PowerSpectrum as PowerSpectrum
from sntorch.analysis.timeseries import delay_map as delay_map
from sntorch.analysis.timeseries import mean_activity as mean_activity
from sntorch.analysis.timeseries import poincare_section as poincare_section
from sntorch.analysis.timeseries import power_spectrum as power_spectrum
from sntorch.analysis.timeseries import rotation_number as rotation_number
from sntorch.analysis.timeseries import spectral_lines as spectral_lines
from sntorch.analysis.timeseries import weighted_mean as weighted_mean
from sntorch.analysis.transmission import Transmission as Transmission
from sntorch.analysis.transmission import transmit as transmit
