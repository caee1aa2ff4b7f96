from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram.pool import MaxPool

TRAINS = st.integers(0, 2**32 - 1)


def random_case(seed):
    rng = np.random.default_rng(seed)
    n_inputs = int(rng.integers(1, 7))
    index = rng.integers(-1, n_inputs, rng.integers(1, 6, 2)).astype(np.int32)
    spikes = rng.integers(-1, 2, (3, 12, n_inputs)).astype(np.int8)
    return MaxPool("pool", "", index), spikes


@given(seed=TRAINS)
def test_the_count_of_an_output_is_the_largest_of_its_inputs_after_every_step(seed):
    pool, spikes = random_case(seed)
    pooled = pool.spikes(spikes)
    counts = np.cumsum(spikes, axis=1)
    for j, taps in enumerate(pool.index):
        some = taps[taps >= 0]
        expected = counts[..., some].max(axis=-1) if some.size else np.zeros((3, 12))
        np.testing.assert_array_equal(np.cumsum(pooled, axis=1)[..., j], expected)


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 4, 6), (2, 10, 34), (1, 6, 16), (2, 5, 4)])
def test_squares_of_neighbours_are_pooled_as_any_taps_are(shape):
    channels, height, width = shape
    places = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)[:, : height // 2 * 2]
    squares = places.reshape(channels, height // 2, 2, width // 2, 2).swapaxes(2, 3).reshape(-1, 4)
    rng = np.random.default_rng(0)
    spikes = rng.integers(-1, 2, (3, 40, places.max() + 2)).astype(np.int8)
    pool, turned = MaxPool("pool", "", squares), MaxPool("pool", "", squares[:, ::-1])
    assert pool._squares is not None
    assert turned._squares is None
    whole = pool.spikes(spikes)
    np.testing.assert_array_equal(whole, turned.spikes(spikes))
    counters = pool.counters(3, spikes.shape[2])
    parts = [pool.spikes(spikes[:, some], counters) for some in (slice(0, 7), slice(7, None))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("index", [[[0, 1, 4, -1]], [[1, 2, 5, 6]], [[0, 2, 4, 6]], [[0, 1]]])
def test_other_taps_are_no_squares(index):
    assert MaxPool("pool", "", index)._squares is None


@given(seed=TRAINS)
def test_an_output_spikes_once_in_a_step_at_most(seed):
    pool, spikes = random_case(seed)
    assert set(np.unique(pool.spikes(spikes))) <= {-1, 0, 1}


def test_the_first_spike_of_another_input_does_not_win():
    # What gates by the first spike would follow input 0; counts follow input 1.
    spikes = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], np.int8)[np.newaxis]
    pool = MaxPool("pool", "", [[0, 1]])
    assert pool.spikes(spikes)[0, :, 0].tolist() == [1, 0, 1, 1]


def test_maxima_leave_out_the_padding():
    pool = MaxPool("pool", "", [[-1, 0], [0, 1], [-1, -1]])
    np.testing.assert_array_equal(pool.maxima(np.array([[-2.0, -3.0]])), [[-2.0, -2.0, 0.0]])


def test_spikes_that_are_compared_have_to_be_worth_the_same():
    pool = MaxPool("pool", "", [[0, 1], [2, -1]])
    np.testing.assert_array_equal(pool.worth(np.array([2.0, 2.0, 5.0])), [2.0, 5.0])
    with pytest.raises(ValueError, match="inputs of output 0 are worth 2 to 3. Give them one"):
        pool.worth(np.array([2.0, 3.0, 5.0]))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.zeros((0, 2)), r"at least one of each, got \(0, 2\)"),
        (np.zeros(3), r"got \(3,\)"),
        ([[0, -2]], "or -1 for none, got -2"),
    ],
)
def test_impossible_indices_are_refused(index, message):
    with pytest.raises(ValueError, match=message):
        MaxPool("pool", "", index)
