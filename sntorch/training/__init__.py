"""Training with Lightning: models, tasks, and monitors that watch a network while it learns."""

from sntorch.training.callbacks import FluxMonitor as FluxMonitor
from sntorch.training.callbacks import LyapunovMonitor as LyapunovMonitor
from sntorch.training.callbacks import MeanFieldMonitor as MeanFieldMonitor
from sntorch.training.callbacks import SpectrumMonitor as SpectrumMonitor
from sntorch.training.modules import SequenceModel as SequenceModel
from sntorch.training.monitor import Monitor as Monitor
from sntorch.training.plasticity import LocalRule as LocalRule
from sntorch.training.plasticity import PlasticityMonitor as PlasticityMonitor
from sntorch.training.runs import ExactResume as ExactResume
from sntorch.training.runs import RunRecorder as RunRecorder
from sntorch.training.slow_points import FixedPointMonitor as FixedPointMonitor
from sntorch.training.tasks import DigitsTask as DigitsTask
