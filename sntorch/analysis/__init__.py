"""Questions about a dynamics, one exported question per file."""

from sntorch.analysis.lyapunov import LyapunovSpectrum as LyapunovSpectrum
from sntorch.analysis.lyapunov import lyapunov_spectrum as lyapunov_spectrum
from sntorch.analysis.lyapunov import max_lyapunov as max_lyapunov
from sntorch.analysis.nonnormality import PseudospectralRadius as PseudospectralRadius
from sntorch.analysis.nonnormality import pseudospectral_radius as pseudospectral_radius
from sntorch.analysis.spectrum import JacobianSpectrum as JacobianSpectrum
from sntorch.analysis.spectrum import jacobian_spectrum as jacobian_spectrum
