"""How many threads to start: the processors of the machine, or a worker's share of them."""

from __future__ import annotations

import os


def processors() -> int:
    """Return the number of threads that a computation may use.

    Pools of processes tell each worker its share in ``NUMBA_NUM_THREADS`` (joblib does), as a
    user may; otherwise it is every processor of the machine.
    """
    share = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(share) if share.isdecimal() and int(share) else os.cpu_count() or 1
