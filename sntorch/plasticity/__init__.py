"""How couplings and thresholds change: rules, constraints on them, slow learning, plastic cells."""

from sntorch.plasticity.constraints import Masked as Masked
from sntorch.plasticity.constraints import Normalised as Normalised
from sntorch.plasticity.constraints import SignPreserving as SignPreserving
from sntorch.plasticity.differentiable import PlasticSNTCell as PlasticSNTCell
from sntorch.plasticity.hebbian import BCM as BCM
from sntorch.plasticity.hebbian import AntiHebbian as AntiHebbian
from sntorch.plasticity.hebbian import Covariance as Covariance
from sntorch.plasticity.hebbian import Dauce as Dauce
from sntorch.plasticity.hebbian import HebbianForgetting as HebbianForgetting
from sntorch.plasticity.hebbian import Oja as Oja
from sntorch.plasticity.hebbian import RateSTDP as RateSTDP
from sntorch.plasticity.hebbian import SynapticScaling as SynapticScaling
from sntorch.plasticity.history import LearningHistory as LearningHistory
from sntorch.plasticity.intrinsic import GainHomeostasis as GainHomeostasis
from sntorch.plasticity.intrinsic import IntrinsicHomeostasis as IntrinsicHomeostasis
from sntorch.plasticity.learning import learn as learn
from sntorch.plasticity.rules import CouplingRule as CouplingRule
from sntorch.plasticity.rules import Rule as Rule
