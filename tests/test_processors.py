"""How many threads are started."""

import os

import joblib
import pytest

from spikeram.processors import processors


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", None), ("", None), ("all", None)])
def test_a_worker_keeps_to_its_share(monkeypatch, said, threads):
    monkeypatch.setenv("NUMBA_NUM_THREADS", said)
    assert processors() == (threads or os.cpu_count())


def test_workers_of_a_pool_share_the_processors():
    found = joblib.Parallel(n_jobs=os.cpu_count())(joblib.delayed(processors)() for _ in range(2))
    assert found == [1, 1]
