"""Where units run: one after the other, in threads, in processes, or on a Dask cluster.

Each yields results as they come, in any order, and never more than once.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeAlias

import joblib

from spikeram.errors import ExperimentError, MissingExtraError
from spikeram.recording import versions
from spikeram.sweep.experiment import Experiment
from spikeram.sweep.units import Result, run_unit

Outcome: TypeAlias = tuple[int, Result | None, str]
"""Number of a unit, what it gave, and the traceback if it gave nothing."""

Executor: TypeAlias = Callable[[Experiment, Sequence[int]], Iterator[Outcome]]


def attempt(experiment: Experiment, number: int) -> Outcome:
    """Run a unit; what goes wrong in it is its outcome."""
    try:
        return number, run_unit(experiment, number), ""
    except Exception:
        return number, None, traceback.format_exc()


def serial(experiment: Experiment, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Run units one after the other in this process."""
    for number in numbers:
        yield attempt(experiment, number)


def threads(workers: int | None = None) -> Executor:
    """Return an executor that shares units out to threads; kernels run side by side."""

    def run(experiment: Experiment, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Run units in threads."""
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            futures = [pool.submit(attempt, experiment, number) for number in numbers]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return run


def processes(workers: int | None = None) -> Executor:
    """Return an executor that shares units out to processes of this machine."""

    def run(experiment: Experiment, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Run units in processes."""
        # The pool warns in its own thread when it replaces a worker, as it does with those that
        # grow; where warnings are errors, that thread would end and the sweep wait for ever.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        parallel = joblib.Parallel(
            n_jobs=workers or os.cpu_count(), return_as="generator_unordered", batch_size=1
        )
        yield from parallel(joblib.delayed(attempt)(experiment, number) for number in numbers)

    return run


def dask(scheduler: str | Any) -> Executor:
    """Return an executor that shares units out to the workers of a Dask cluster.

    Parameters
    ----------
    scheduler : str or dask.distributed.Client
        Address of the scheduler, such as "tcp://host:8786", or a client. Workers read the
        experiment's files by their names.

    Raises
    ------
    ExperimentError
        If the scheduler does not answer, or a worker has another version of what matters.
    """
    try:
        from dask.distributed import Client, as_completed as completed
    except ImportError:
        raise MissingExtraError("dask.distributed", "dask", "A sweep on a cluster") from None
    client: Any = scheduler
    if isinstance(scheduler, str):
        try:
            client = Client(scheduler, timeout="10s")  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, ValueError) as error:
            raise ExperimentError(f"The scheduler {scheduler} does not answer: {error}.") from error
    others = {w: v for w, v in client.run(versions).items() if v != versions()}
    if others:
        worker, told = next(iter(others.items()))
        raise ExperimentError(
            f"{len(others)} workers have other versions, {worker} for one {told}, here "
            f"{versions()}. Results would differ: install the same."
        )

    def run(experiment: Experiment, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Run units on the cluster."""
        futures = client.map(attempt, [experiment] * len(numbers), list(numbers), pure=False)
        try:
            for future in completed(futures):  # type: ignore[no-untyped-call]
                yield future.result()
        finally:
            client.cancel(futures)

    return run
