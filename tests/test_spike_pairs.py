"""Pairs of trains against plain loops over all spikes, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram import statistics
from spikeram.recording import select, spike_times

from recordings import DT, random_spikes, recording_of

quick = settings(max_examples=25, deadline=None, derandomize=True)
EXACT = dict(rtol=1e-10, atol=1e-10)


def example(seed=0, samples=2, steps=60, widths=(5,)):
    return recording_of(random_spikes(seed, samples, steps, widths))


def in_steps(ds, trial, neuron):
    """Return spike times in whole steps: plain loops then compare integers."""
    return np.rint(spike_times(ds, trial, neuron) / DT).astype(int)


def trains(*patterns):
    rows = [[mark == "|" for mark in pattern] for pattern in patterns]
    return recording_of([np.array(rows, dtype=np.int8).T[np.newaxis]])


def every_pair(ds):
    neurons = range(ds.sizes["neuron"])
    for s in range(ds.sizes["trial"]):
        for i in neurons:
            for j in neurons:
                yield s, i, j, in_steps(ds, s, i), in_steps(ds, s, j)


def tiling_by_hand(a, b, window, begin, end):
    """Return the spike time tiling coefficient from its definition, with a loop over all pairs."""
    if not (a.size and b.size):
        return np.nan

    def tiled(train):
        # The union of the windows, as a list of intervals that grow or start anew.
        union = []
        for t in train:
            low, high = max(t - window, begin), min(t + window, end)
            if union and low <= union[-1][1]:
                union[-1][1] = max(union[-1][1], high)
            else:
                union.append([low, high])
        return sum(high - low for low, high in union) / (end - begin)

    def near(one, other):
        return np.mean([min(abs(t - u) for u in other) <= window for t in one])

    def term(p, tile):
        return 1.0 if p * tile == 1 else (p - tile) / (1 - p * tile)

    return (term(near(a, b), tiled(b)) + term(near(b, a), tiled(a))) / 2


@pytest.mark.parametrize("window", [0.5, 1, 2, 3.25])
def test_the_tiling_coefficient_is_its_definition(window):
    ds = example()
    # A crossbar driven by a constant input opens its window at 0.
    start = float(ds["window_start"][0]) / DT
    found = statistics.sttc(ds, window * DT)
    for s, i, j, a, b in every_pair(ds):
        expected = tiling_by_hand(a, b, window, start, start + 60)
        np.testing.assert_allclose(found[s, i, j], expected, **EXACT)


def test_spikes_exactly_a_window_apart_go_together_at_any_time():
    # Both trains have their two spikes 3 steps from the other's, late in a long record, where
    # Elephant 1.2 widens its window by 1e-5 of the time.
    steps = 200_000
    pattern = np.zeros((1, steps, 2), np.int8)
    pattern[0, [100_000, 150_000], 0] = 1
    pattern[0, [100_003, 150_003], 1] = 1
    ds = recording_of([pattern])
    assert float(statistics.sttc(ds, 3 * DT)[0, 0, 1]) > 0.99
    assert float(statistics.sttc(ds, 2.9 * DT)[0, 0, 1]) < 0


def test_the_tiling_coefficient_of_a_train_with_itself_is_one_and_of_silence_nothing():
    found = statistics.sttc(trains("|..|....", "|..|....", "........"), DT)[0]
    assert found.values[:2, :2].tolist() == [[1, 1], [1, 1]]
    assert np.isnan(found.values[2]).all()


def test_independent_trains_have_no_tiling_coefficient():
    ds = example(seed=5, samples=1, steps=20_000, widths=(6,))
    # A window of one step and a half holds three steps, as many as its length tells.
    values = statistics.sttc(ds, 1.5 * DT).values[0][np.triu_indices(6, 1)]
    # 6000 spikes each: one coefficient has a standard error near 1 / sqrt(6000) = 0.013.
    assert np.abs(values).max() < 0.06
    assert abs(values.mean()) < 0.015


@pytest.mark.parametrize("tau", [0.3, 2.0, 20.0])
def test_the_distance_of_van_rossum_is_its_double_sum(tau):
    ds = example()
    found = statistics.van_rossum(ds, tau * DT)

    def overlap(a, b):
        return np.exp(-np.abs(np.subtract.outer(a, b)) / tau).sum()

    for s, i, j, a, b in every_pair(ds):
        square = overlap(a, a) + overlap(b, b) - 2 * overlap(a, b)
        # The root of a rounding error near 1e-14 is 1e-7, where trains are the same.
        np.testing.assert_allclose(found[s, i, j], np.sqrt(max(square, 0)), rtol=1e-9, atol=1e-6)


def test_one_spike_more_is_a_distance_of_one():
    ds = trains("....", ".|..")
    assert float(statistics.van_rossum(ds, DT)[0, 0, 1]) == pytest.approx(1)
    assert float(statistics.victor_purpura(ds, 1 / DT)[0, 0, 1]) == 1


def victor_purpura_by_hand(a, b, cost):
    """Return the least cost by the recursion, from the last spikes back."""
    if not a.size or not b.size:
        return a.size + b.size
    return min(
        victor_purpura_by_hand(a[:-1], b, cost) + 1,
        victor_purpura_by_hand(a, b[:-1], cost) + 1,
        victor_purpura_by_hand(a[:-1], b[:-1], cost) + cost * abs(a[-1] - b[-1]),
    )


@pytest.mark.parametrize("cost", [0.0, 0.1, 0.7, 3.0])
def test_the_distance_of_victor_and_purpura_is_the_least_cost(cost):
    ds = example(steps=14)
    found = statistics.victor_purpura(ds, cost / DT)
    for s, i, j, a, b in every_pair(ds):
        np.testing.assert_allclose(found[s, i, j], victor_purpura_by_hand(a, b, cost), **EXACT)


def test_without_a_cost_of_moving_only_counts_differ():
    ds = example()
    counts = ds["row_size"].values
    expected = np.abs(counts[:, :, np.newaxis] - counts[:, np.newaxis])
    np.testing.assert_array_equal(statistics.victor_purpura(ds, 0), expected)


@pytest.mark.parametrize(("width", "reach"), [(1, 5), (2, 6), (3, 3)])
def test_correlograms_count_all_pairs_of_spikes(width, reach):
    ds = example()
    found = statistics.cross_correlogram(ds, width * DT, reach * DT)
    half = reach // width
    expected = np.zeros(found.shape, int)
    for _, i, j, a, b in every_pair(ds):
        lags = np.subtract.outer(b, a)
        if i == j:
            lags = lags[~np.eye(a.size, dtype=bool)]
        # Whole numbers below an edge of half a bin belong to the bin before.
        place = np.floor(lags / width + 0.5).astype(int) + half
        np.add.at(expected[i, j], place[(place >= 0) & (place <= 2 * half)], 1)
    np.testing.assert_array_equal(found, expected)
    own = statistics.autocorrelogram(ds, width * DT, reach * DT)
    np.testing.assert_array_equal(own, expected[np.arange(5), np.arange(5)])
    np.testing.assert_allclose(found["lag"], np.arange(-half, half + 1) * width * DT)


def test_correlations_are_those_of_numpy():
    ds = example(samples=3)
    counts = statistics.binned(ds, 4 * DT).values
    rows = np.concatenate(list(counts), axis=1)
    found = statistics.correlation(ds, 4 * DT)
    np.testing.assert_allclose(found, np.corrcoef(rows), **EXACT)
    assert found["n"] == rows.shape[1]


def test_a_silent_neuron_correlates_with_nothing():
    found = statistics.correlation(trains("|.|.", "....", "||.."), DT)
    assert np.isnan(found.values[1]).all()
    assert found.values[0, 0] == pytest.approx(1)


@quick
@given(seed=st.integers(0, 2**32), shift=st.integers(0, 10**6))
def test_pairs_do_not_depend_on_when_a_recording_starts(seed, shift):
    ds = example(seed, samples=1)
    late = ds.assign(t=ds["t"] + shift * DT, window_start=ds["window_start"] + shift * DT)
    for measure in (
        lambda part: statistics.sttc(part, 2 * DT),
        lambda part: statistics.cross_correlogram(part, 2 * DT, 8 * DT),
        lambda part: statistics.victor_purpura(part, 0.5 / DT),
    ):
        np.testing.assert_allclose(measure(late), measure(ds), **EXACT)


@quick
@given(seed=st.integers(0, 2**32), scale=st.floats(1e-3, 1e3))
def test_pairs_do_not_depend_on_the_unit_of_time(seed, scale):
    ds = example(seed, samples=1)
    slow = ds.assign(t=ds["t"] * scale, window_start=ds["window_start"] * scale)
    slow = slow.assign_attrs(
        {name: ds.attrs[name] * scale for name in ("dt", "duration", "t_start", "t_stop")}
    )
    np.testing.assert_allclose(
        statistics.sttc(slow, 2 * DT * scale), statistics.sttc(ds, 2 * DT), **EXACT
    )
    np.testing.assert_allclose(
        statistics.van_rossum(slow, 2 * DT * scale),
        statistics.van_rossum(ds, 2 * DT),
        rtol=1e-9,
        atol=1e-6,
    )


@quick
@given(seed=st.integers(0, 2**32), order=st.permutations(range(5)))
def test_the_order_of_neurons_moves_pairs_and_changes_none(seed, order):
    ds = example(seed)
    shuffled = select(ds, neuron=order)
    for measure in (
        lambda part: statistics.sttc(part, 2 * DT),
        lambda part: statistics.victor_purpura(part, 0.5 / DT),
    ):
        np.testing.assert_array_equal(measure(shuffled), measure(ds)[:, order][:, :, order])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: statistics.sttc(ds, 0.0), "window expects a time > 0, got 0.0"),
        (lambda ds: statistics.van_rossum(ds, -1.0), "tau expects a time > 0, got -1.0"),
        (lambda ds: statistics.victor_purpura(ds, -1.0), "a cost >= 0, got -1.0"),
        (lambda ds: statistics.sttc(ds, DT, layer="z"), "No layer is called 'z'"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(example())


# Elephant as an oracle, but for its tiling coefficient: its window grows by 1e-5 of the time.


@pytest.fixture(scope="module")
def elephant():
    pytest.importorskip(
        "elephant", reason="the elephant extra is not installed", exc_type=ImportError
    )
    import neo

    return neo


@pytest.mark.filterwarnings("ignore")
def test_distances_and_correlations_are_elephants(elephant):
    import quantities as pq
    from elephant import conversion, spike_train_correlation, spike_train_dissimilarity

    ds = example(samples=1)
    stop = 60 * DT
    start = float(ds["window_start"][0])
    spikes = [
        elephant.SpikeTrain(spike_times(ds, 0, j), units="s", t_start=start, t_stop=start + stop)
        for j in range(5)
    ]
    rossum = spike_train_dissimilarity.van_rossum_distance(spikes, 4 * DT * pq.s)
    np.testing.assert_allclose(statistics.van_rossum(ds, 4 * DT)[0], rossum, rtol=1e-9, atol=1e-6)
    purpura = spike_train_dissimilarity.victor_purpura_distance(spikes, 0.3 / DT * pq.Hz)
    np.testing.assert_allclose(statistics.victor_purpura(ds, 0.3 / DT)[0], purpura, **EXACT)
    binned = conversion.BinnedSpikeTrain(spikes, bin_size=5 * DT * pq.s)
    expected = spike_train_correlation.correlation_coefficient(binned)
    np.testing.assert_allclose(statistics.correlation(ds, 5 * DT), expected, **EXACT)
