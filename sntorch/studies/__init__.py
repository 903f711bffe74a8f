"""Published figures and tables that sntorch reproduces: one file per study.

A study is run by ``sntorch experiment=studies/NAME``, or in Python by exhausting its `run`, whose
arguments are those of its configuration: ``*_, route = studies.route_to_chaos.run(steps=2000)``.
"""

from sntorch.studies import amortised_slow_points as amortised_slow_points
from sntorch.studies import associative_flux as associative_flux
from sntorch.studies import associative_memory as associative_memory
from sntorch.studies import edge_of_chaos_order_parameters as edge_of_chaos_order_parameters
from sntorch.studies import fixed_point_overlaps as fixed_point_overlaps
from sntorch.studies import flossing as flossing
from sntorch.studies import gain_sweep as gain_sweep
from sntorch.studies import hebbian_edge_of_chaos as hebbian_edge_of_chaos
from sntorch.studies import intrinsic_plasticity as intrinsic_plasticity
from sntorch.studies import learned_potential as learned_potential
from sntorch.studies import mean_field_lyapunov as mean_field_lyapunov
from sntorch.studies import memory_capacity as memory_capacity
from sntorch.studies import noise_suppresses_chaos as noise_suppresses_chaos
from sntorch.studies import pattern_memory as pattern_memory
from sntorch.studies import phase_diagram as phase_diagram
from sntorch.studies import potential_dimension as potential_dimension
from sntorch.studies import ring_landscape as ring_landscape
from sntorch.studies import route_to_chaos as route_to_chaos
from sntorch.studies import signal_transmission as signal_transmission
from sntorch.studies import sleep_cycle as sleep_cycle
from sntorch.studies import susceptibility as susceptibility
from sntorch.studies.study import Study as Study
