"""Sweeps: many programmed chips, resumable, the same on any executor.

An `Experiment` (a TOML file) names network, data, chip and axes; `sweep` runs its units and keeps
what each gave in a `Store`; `results` labels it, `write_report` tells of it.
`spikeram.sweep.executors` says where units run.
"""

from spikeram.sweep.experiment import (
    Experiment as Experiment,
    experiment_from as experiment_from,
    load_experiment as load_experiment,
    schema as schema,
)
from spikeram.sweep.report import write_report as write_report
from spikeram.sweep.results import (
    failures as failures,
    finished as finished,
    over_chips as over_chips,
    results as results,
    sensitivity as sensitivity,
    yield_curve as yield_curve,
)
from spikeram.sweep.run import Estimate as Estimate, estimate as estimate, sweep as sweep
from spikeram.sweep.store import Store as Store, is_store as is_store
