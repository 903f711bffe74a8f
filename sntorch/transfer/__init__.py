r"""Transfer functions phi: from the state of a neuron to its rate, f(u) = phi(gain * u).

==============  =========================  =====================  ===  =======================
name            phi(z)                     sup phi'               odd  Gaussian averages
==============  =========================  =====================  ===  =======================
``tanh``        tanh z                     1                      yes  quadrature
``erf``         erf z                      2 / sqrt(pi)           yes  closed
``normal_cdf``  (1 + erf(z/sqrt 2)) / 2    1 / sqrt(2 pi)         no   closed
``tanh01``      (1 + tanh z) / 2           1/2                    no   quadrature
``sigmoid``     1 / (1 + exp(-z))          1/4                    no   quadrature
``hill``        z^4 / (1/16 + z^4), z > 0  2.13                   no   quadrature
``relu``        max(z, 0)                  1                      no   closed
``softplus``    ln(1 + exp z)              1                      no   quadrature
``linear``      z                          1                      yes  closed
==============  =========================  =====================  ===  =======================

The gain is outside: f'(u) = gain * phi'(gain * u).  Names are exact: erf(z) is not the Gaussian
distribution function, and tanh01(z) = sigmoid(2z).  For functions that are not odd u = 0 is no
equilibrium.  A function of one's own is a subclass of `Transfer` with three members.

Averages.  For z ~ N(m, v), and pairs of that law with covariance c, mean-field theory needs

.. math:: E\phi, \quad E\phi^2, \quad E\phi', \quad E\phi'^2, \quad E\phi(z_1)\phi(z_2).

For u ~ N(mu, s) they are taken at m = gain mu, v = gain^2 s; `sntorch.gaussian` says how.
"""

from sntorch.transfer.base import Transfer as Transfer
from sntorch.transfer.closed import Erf as Erf
from sntorch.transfer.closed import Linear as Linear
from sntorch.transfer.closed import NormalCdf as NormalCdf
from sntorch.transfer.closed import Relu as Relu
from sntorch.transfer.names import TRANSFERS as TRANSFERS
from sntorch.transfer.names import as_transfer as as_transfer
from sntorch.transfer.sigmoids import Hill as Hill
from sntorch.transfer.sigmoids import Sigmoid as Sigmoid
from sntorch.transfer.sigmoids import Softplus as Softplus
from sntorch.transfer.sigmoids import Tanh as Tanh
from sntorch.transfer.sigmoids import Tanh01 as Tanh01
