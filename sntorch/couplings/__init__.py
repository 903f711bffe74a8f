"""What J is (`ensembles`, `sparsity`, `correlations`, `structured`), how it acts (`layers`)."""

from sntorch.couplings.composites import Blocks as Blocks
from sntorch.couplings.composites import LowRank as LowRank
from sntorch.couplings.correlations import correlated as correlated
from sntorch.couplings.ensembles import dale as dale
from sntorch.couplings.ensembles import gaussian as gaussian
from sntorch.couplings.ensembles import populations as populations
from sntorch.couplings.ensembles import thresholds as thresholds
from sntorch.couplings.layers import Coupling as Coupling
from sntorch.couplings.layers import Dense as Dense
from sntorch.couplings.layers import Sparse as Sparse
from sntorch.couplings.layers import as_coupling as as_coupling
from sntorch.couplings.sharded import Sharded as Sharded
from sntorch.couplings.sparsity import sparse as sparse
from sntorch.couplings.structured import hopfield as hopfield
from sntorch.couplings.structured import low_rank as low_rank
from sntorch.couplings.structured import orthogonal as orthogonal
from sntorch.couplings.structured import ring as ring
from sntorch.couplings.teams import LostWorker as LostWorker
from sntorch.couplings.teams import Team as Team
