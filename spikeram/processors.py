"""Threads: as many as the machine has processors, or a worker's share of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def processors() -> int:
    """Return the number of threads that a computation may use.

    Pools of processes tell each worker its share in ``NUMBA_NUM_THREADS`` (joblib does), as a
    user may; otherwise it is every processor that the process may run on.
    """
    share = os.environ.get("NUMBA_NUM_THREADS", "")
    if share.isdecimal() and int(share):
        return int(share)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Threads that share work out, for as long as a ``with`` statement.

    Parameters
    ----------
    number : int, optional
        How many; by default `processors`. One is the thread of the caller: to hand work over would
        take longer than many a network.
    """

    def __init__(self, number: int | None = None) -> None:
        self.number = number or processors()
        self._pool = ThreadPoolExecutor(self.number) if self.number > 1 else None

    def __enter__(self) -> Threads:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """Return what the work of each part gives; raise what it raised."""
        # list() waits, and raises what a thread raised.
        return list((map if self._pool is None else self._pool.map)(work, parts))
