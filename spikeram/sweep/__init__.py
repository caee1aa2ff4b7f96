"""Sweeps: many programmed chips, resumable, the same on any executor.

An `Experiment` (a TOML file) names network, data, chip and axes; `sweep` runs its units and keeps
what each gave in a `Store`; `results` labels it. `spikeram.sweep.executors` says where units run.
"""

from spikeram.sweep.experiment import (
    Experiment as Experiment,
    experiment_from as experiment_from,
    load_experiment as load_experiment,
    schema as schema,
)
from spikeram.sweep.results import (
    failures as failures,
    over_chips as over_chips,
    results as results,
    sensitivity as sensitivity,
    yield_curve as yield_curve,
)
from spikeram.sweep.run import Estimate as Estimate, estimate as estimate, sweep as sweep
from spikeram.sweep.store import Store as Store
