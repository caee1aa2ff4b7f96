"""The shortest of some times, of one run or of two in turn."""

import time
from collections.abc import Callable
from typing import Any

REPEATS = 7
ENOUGH = 3.0
"""Seconds after which a measurement that takes long is repeated no more."""


def best(run: Callable[..., Any], *args: Any, **options: Any) -> float:
    """Return the shortest of some times, after a first run that compiles.

    Runs that take long are repeated less often; one that takes `ENOUGH` seconds, once.
    """
    found: list[float] = []
    began = time.perf_counter()
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run(*args, **options)
        found.append(time.perf_counter() - start)
        if len(found) > 1 and time.perf_counter() - began > ENOUGH:
            break
    return min(found[1:])


def in_turn(one: Callable[[], Any], other: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the shortest times of two runs that take turns; they have been compiled before."""
    found: list[tuple[float, float]] = []
    for _ in range(repeats):
        start = time.perf_counter()
        one()
        between = time.perf_counter()
        other()
        found.append((between - start, time.perf_counter() - between))
    return min(t for t, _ in found), min(t for _, t in found)
