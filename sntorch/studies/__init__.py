"""Published figures and tables that sntorch reproduces: one file per study.

A study is run by ``sntorch experiment=studies/NAME``, or in Python by exhausting its `run`, whose
arguments are those of its configuration: ``*_, route = studies.route_to_chaos.run(steps=2000)``.
"""

from sntorch.studies import flossing as flossing
from sntorch.studies import mean_field_lyapunov as mean_field_lyapunov
from sntorch.studies import memory_capacity as memory_capacity
from sntorch.studies import noise_suppresses_chaos as noise_suppresses_chaos
from sntorch.studies import phase_diagram as phase_diagram
from sntorch.studies import route_to_chaos as route_to_chaos
from sntorch.studies.study import Study as Study
