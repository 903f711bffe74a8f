"""Questions about a dynamics, one exported question per file."""

from sntorch.analysis.bifurcation import Branch as Branch
from sntorch.analysis.bifurcation import continue_fixed_point as continue_fixed_point
from sntorch.analysis.bifurcation import switch_branch as switch_branch
from sntorch.analysis.contraction import ContractionGain as ContractionGain
from sntorch.analysis.contraction import contraction_gain as contraction_gain
from sntorch.analysis.contraction import critical_gain as critical_gain
from sntorch.analysis.events import Event as Event
from sntorch.analysis.fixed_points import FixedPoints as FixedPoints
from sntorch.analysis.fixed_points import find_fixed_points as find_fixed_points
from sntorch.analysis.lyapunov import LyapunovSpectrum as LyapunovSpectrum
from sntorch.analysis.lyapunov import lyapunov_spectrum as lyapunov_spectrum
from sntorch.analysis.lyapunov import max_lyapunov as max_lyapunov
from sntorch.analysis.spectrum import JacobianSpectrum as JacobianSpectrum
from sntorch.analysis.spectrum import jacobian_spectrum as jacobian_spectrum
