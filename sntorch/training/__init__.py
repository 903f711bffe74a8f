"""Training with Lightning: models, tasks, and monitors that watch a network while it learns."""

from sntorch.training.baselines import orthogonal_rnn as orthogonal_rnn
from sntorch.training.callbacks import FluxMonitor as FluxMonitor
from sntorch.training.callbacks import LyapunovMonitor as LyapunovMonitor
from sntorch.training.callbacks import MeanFieldMonitor as MeanFieldMonitor
from sntorch.training.callbacks import SpectrumMonitor as SpectrumMonitor
from sntorch.training.checkpoints import AtomicCheckpointIO as AtomicCheckpointIO
from sntorch.training.checkpoints import ConfigStamp as ConfigStamp
from sntorch.training.cognitive import NeuroGymTask as NeuroGymTask
from sntorch.training.decomposition import OrthogonalDecomposition as OrthogonalDecomposition
from sntorch.training.ensemble import at_edge as at_edge
from sntorch.training.flossing import GradientFlossing as GradientFlossing
from sntorch.training.forecasting import LorenzTask as LorenzTask
from sntorch.training.forecasting import MackeyGlassTask as MackeyGlassTask
from sntorch.training.foreign import read_recurrent as read_recurrent
from sntorch.training.irreversibility import (
    entropy_production_regularizer as entropy_production_regularizer,
)
from sntorch.training.landscapes import PotentialMonitor as PotentialMonitor
from sntorch.training.losses import jacobian_norm_regularizer as jacobian_norm_regularizer
from sntorch.training.losses import lyapunov_regularizer as lyapunov_regularizer
from sntorch.training.losses import spectral_radius_regularizer as spectral_radius_regularizer
from sntorch.training.modules import SequenceModel as SequenceModel
from sntorch.training.monitor import Monitor as Monitor
from sntorch.training.plasticity import LocalRule as LocalRule
from sntorch.training.plasticity import PlasticityMonitor as PlasticityMonitor
from sntorch.training.potentials import PotentialLearner as PotentialLearner
from sntorch.training.pretrained import trained_gru as trained_gru
from sntorch.training.recall import MemoryTask as MemoryTask
from sntorch.training.recordings import LaserTask as LaserTask
from sntorch.training.reservoir import fit_readout as fit_readout
from sntorch.training.runs import ExactResume as ExactResume
from sntorch.training.runs import RunRecorder as RunRecorder
from sntorch.training.slow_points import FixedPointMonitor as FixedPointMonitor
from sntorch.training.synthetic import AddingTask as AddingTask
from sntorch.training.synthetic import CopyTask as CopyTask
from sntorch.training.synthetic import DelayedXorTask as DelayedXorTask
from sntorch.training.synthetic import FlipFlopTask as FlipFlopTask
from sntorch.training.tasks import DigitsTask as DigitsTask
from sntorch.training.tasks import Task as Task
