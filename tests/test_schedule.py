from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from spikeram.schedule import finish_times, interval

quick = settings(max_examples=50, deadline=None, derandomize=True)


@quick
@given(st.data())
def test_the_last_to_finish_ends_the_longest_path(data):
    n = data.draw(st.integers(1, 6))
    names = [f"n{k}" for k in range(n)]
    durations = {name: data.draw(st.integers(1, 9)) for name in names}
    sources = {
        name: data.draw(st.sets(st.sampled_from(["input", *names[:k]]), min_size=1))
        for k, name in enumerate(names)
    }

    # Brute force: every subset of crossbars in order, where each drives the next.
    paths = [
        path
        for size in range(1, n + 1)
        for path in itertools.combinations(names, size)
        if all(a in sources[b] for a, b in itertools.pairwise(path))
    ]
    longest = max(sum(durations[name] for name in path) for path in paths)
    assert max(finish_times(durations, {k: sorted(v) for k, v in sources.items()}).values()) == (
        longest
    )


def test_sharers_of_one_core_work_one_after_the_other():
    durations = {"a": 3, "b": 5, "c": 2}
    wires = {name: ["input"] for name in durations}
    assert max(finish_times(durations, wires, [("a", "b", "c")]).values()) == 10
    assert max(finish_times(durations, wires).values()) == 5


def test_samples_follow_each_other_as_fast_as_the_busiest_core():
    durations = {"a": 3, "b": 5, "c": 4}
    assert interval(durations) == 5
    assert interval(durations, [("a", "c")]) == 7


@pytest.mark.parametrize(
    ("merged", "message"),
    [([("a", "z")], "merged names 'z'; crossbars are a"), ([("a",), ("a",)], "'a' twice")],
)
def test_groups_of_what_there_is_not_are_refused(merged, message):
    with pytest.raises(ValueError, match=message):
        finish_times({"a": 1}, {}, merged)
