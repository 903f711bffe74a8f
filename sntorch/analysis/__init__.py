"""Questions about a dynamics, one exported question per file."""

from sntorch.analysis.lyapunov import LyapunovSpectrum as LyapunovSpectrum
from sntorch.analysis.lyapunov import lyapunov_spectrum as lyapunov_spectrum
from sntorch.analysis.lyapunov import max_lyapunov as max_lyapunov
from sntorch.analysis.regime import Regime as Regime
from sntorch.analysis.regime import regime as regime
from sntorch.analysis.regime import scan_regimes as scan_regimes
from sntorch.analysis.spectrum import JacobianSpectrum as JacobianSpectrum
from sntorch.analysis.spectrum import jacobian_spectrum as jacobian_spectrum
from sntorch.analysis.timeseries import Lines as Lines
from sntorch.analysis.timeseries import PowerSpectrum as PowerSpectrum
from sntorch.analysis.timeseries import delay_map as delay_map
from sntorch.analysis.timeseries import mean_activity as mean_activity
from sntorch.analysis.timeseries import poincare_section as poincare_section
from sntorch.analysis.timeseries import power_spectrum as power_spectrum
from sntorch.analysis.timeseries import rotation_number as rotation_number
from sntorch.analysis.timeseries import spectral_lines as spectral_lines
from sntorch.analysis.timeseries import weighted_mean as weighted_mean
