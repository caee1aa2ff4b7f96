"""The shortest of some times."""

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
