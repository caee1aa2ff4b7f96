"""sweep: run what is missing of an experiment, and keep it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from spikeram.sweep.executors import Executor, processes
from spikeram.sweep.experiment import Experiment
from spikeram.sweep.results import results
from spikeram.sweep.store import Store
from spikeram.sweep.units import forget_programmed, run_unit

FLUSH_SECONDS = 5.0
"""Time between two writes of what has come in [s]."""

RETRIES = 1
"""How often a unit that failed is run again."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep would take.

    Parameters
    ----------
    units, missing : int
        Units in all, and those that are not done.
    seconds : float
        Time of one unit, its share of programming a chip included, measured [s].
    bytes : int
        Size of all results before compression.
    """

    units: int
    missing: int
    seconds: float
    bytes: int


def sweep(
    experiment: Experiment,
    path: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    retries: int = RETRIES,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return the results of an experiment, after running the units that the store lacks.

    Parameters
    ----------
    experiment : Experiment
        What to run; see `load_experiment`.
    path : path-like
        The store, ending in .zarr; one that was left unfinished is gone on with.
    executor : callable, optional
        Where units run; by default in as many processes as there are processors. The results are
        the same on all of them, to the bit.
    retries : int
        How often a unit that failed is run again. One that fails every time is left out, with its
        traceback in the store; the others go on.
    progress : callable, optional
        Called with (units done, units in all).

    Returns
    -------
    xarray.Dataset
        See `results`.

    Raises
    ------
    ExperimentError
        If the store is another experiment's, damaged, or held by another process.
    KeyboardInterrupt
        On Ctrl-C, after what has come in is written.
    """
    run = processes() if executor is None else executor
    with Store(path, experiment) as store:
        total = experiment.n_units
        for _ in range(retries + 1):
            missing = store.waiting().tolist()
            if not missing:
                break
            _take(store, run, missing, progress, total)
    return results(path)


def _take(
    store: Store,
    run: Executor,
    missing: list[int],
    progress: Callable[[int, int], None] | None,
    total: int,
) -> None:
    """Run units and write what comes in, now and then and in any case at the end."""
    done = total - len(missing)
    last = time.monotonic()
    try:
        for number, result, problem in run(store.experiment, missing):
            if result is None:
                store.fail(number, problem)
            else:
                store.add(number, result)
                done += 1
            if progress is not None:
                progress(done, total)
            if time.monotonic() - last > FLUSH_SECONDS:
                store.flush()
                last = time.monotonic()
    finally:
        store.flush()


def estimate(experiment: Experiment, path: str | os.PathLike[str] | None = None) -> Estimate:
    """Return what a sweep would take, after timing one unit with and without its programming."""
    run_unit(experiment, 0)  # loads files and compiles
    forget_programmed()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        found = run_unit(experiment, 0)
        times.append(time.perf_counter() - start)
    # The chunks of one chip share its programming.
    with_programming, without = times
    chunks = experiment.n_chunks
    seconds = (with_programming + (chunks - 1) * without) / chunks
    missing = experiment.n_units
    if path is not None and os.path.exists(path):
        with Store(path, experiment) as store:
            missing = int(store.waiting().size)
    size = sum(value.nbytes for value in found.values()) + 1
    return Estimate(experiment.n_units, missing, seconds, size * experiment.n_units)
