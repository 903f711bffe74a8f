r"""Known systems: flows and maps whose answers are in the literature or in closed form.

======================  ====  =====================================================  =============
system                  kind  equation                                               source
======================  ====  =====================================================  =============
`AmariWilsonCowan`      flow  du = (-u/tau + J f(u) - theta + W x) dt                Amari 1972
`associative_memory`    flow  stored patterns, at rest or in turns                   Hopfield 1984
`TanhRing`              flow  two of its neurons that turn each other round          Yan 2013
`DoubleWell`            flow  du = (-grad V + circulation) dt, P ~ exp(-V/D)         Kramers 1940
`OrnsteinUhlenbeck`     flow  du = A u dt + sqrt(2 D) dW                             Uhlenbeck 1930
`StuartLandau`          flow  -alpha (r^2 - 1) u + omega (-u2, u1)                   Stuart 1960
`McCarleyHobson`        flow  (a x - b x y, -c y + d x y)                            McCarley 1975
`SleepCycle`            flow  the same pair with saturating couplings                ours
`Lorenz`                flow  convection in three modes                              Lorenz 1963
`Roessler`              flow  one folded band                                        Roessler 1976
`Henon`                 map   (1 - a u1^2 + u2, b u1)                                Henon 1976
`Logistic`              map   r u (1 - u)                                            May 1976
`CatMap`                map   (2 u1 + u2, u1 + u2) mod 1                             Arnold 1968
`Ikeda`                 map   1 + mu z exp(i (kappa - alpha / (1 + |z|^2)))          Ikeda 1979
======================  ====  =====================================================  =============

u is the state, D the diffusion of `sntorch.flows`; parameters are attributes under the names of the
equations.  All but `AmariWilsonCowan` are autonomous and refuse a drive.  Exponents are in nats per
unit of time, for a map per step; figures with four digits or more that have no closed form are
those of J. C. Sprott, Chaos and Time-Series Analysis, Oxford 2003.
"""

from sntorch.systems.chaotic import Lorenz as Lorenz
from sntorch.systems.chaotic import Roessler as Roessler
from sntorch.systems.maps import CatMap as CatMap
from sntorch.systems.maps import Henon as Henon
from sntorch.systems.maps import Ikeda as Ikeda
from sntorch.systems.maps import Logistic as Logistic
from sntorch.systems.memory import associative_memory as associative_memory
from sntorch.systems.neural import AmariWilsonCowan as AmariWilsonCowan
from sntorch.systems.neural import TanhRing as TanhRing
from sntorch.systems.sleep import McCarleyHobson as McCarleyHobson
from sntorch.systems.sleep import SleepCycle as SleepCycle
from sntorch.systems.stochastic import DoubleWell as DoubleWell
from sntorch.systems.stochastic import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from sntorch.systems.stochastic import StuartLandau as StuartLandau
