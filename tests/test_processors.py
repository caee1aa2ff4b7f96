"""How many threads are started."""

import os
import threading

import joblib
import pytest

from spikeram.processors import Threads, processors

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to processors"
)


@needs_affinity
@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", None), ("", None), ("all", None)])
def test_a_worker_keeps_to_its_share(monkeypatch, said, threads):
    monkeypatch.setenv("NUMBA_NUM_THREADS", said)
    assert processors() == (threads or len(os.sched_getaffinity(0)))


@needs_affinity
def test_threads_are_as_many_as_processors_that_the_process_may_run_on(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5})
    assert processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors() == os.cpu_count()


def test_workers_of_a_pool_share_the_processors():
    found = joblib.Parallel(n_jobs=os.cpu_count())(joblib.delayed(processors)() for _ in range(2))
    assert found == [1, 1]


@pytest.mark.parametrize("number", [1, 3])
def test_threads_do_the_work_of_all_parts_and_raise_what_it_raised(number):
    done = set()
    with Threads(number) as threads:
        threads.each(done.add, range(20))
        assert done == set(range(20))
        with pytest.raises(ZeroDivisionError):
            threads.each(lambda part: 1 / part, [1, 0])


def test_one_thread_is_that_of_the_caller():
    found = []
    with Threads(1) as threads:
        threads.each(lambda _: found.append(threading.get_ident()), range(3))
    assert set(found) == {threading.get_ident()}
