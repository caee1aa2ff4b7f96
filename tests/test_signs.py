"""Which inputs spike, found 64 at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram._kernels.signs import ROOM, count_signs, list_spikes, signs

SIZES = [1, 63, 64, 65, 127, 128, 200, 784]


def some_spikes(n, seed, share):
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 0, 1], n, p=[share / 2, 1 - share, share / 2]).astype(np.int8)


@given(st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_lists_hold_the_inputs_of_each_sign_in_order(seed, n, share):
    spikes = some_spikes(n, seed, share)
    added, removed = np.full((2, n + 3 + ROOM), -7, np.int32)
    ends = list_spikes(spikes, 8, added, 3, removed, 2)
    up, down = np.flatnonzero(spikes > 0), np.flatnonzero(spikes < 0)
    assert ends == (3 + up.size, 2 + down.size)
    np.testing.assert_array_equal(added[3 : ends[0]], 8 * up)
    np.testing.assert_array_equal(removed[2 : ends[1]], 8 * down)
    # What came before stays.
    assert added[:3].tolist() == [-7] * 3
    assert count_signs(spikes) == (up.size, down.size)


@pytest.mark.parametrize("n", SIZES)
def test_words_have_a_bit_for_each_input_and_none_after_the_last(n):
    spikes = some_spikes(n, 1, 0.6)
    for first in range(0, n, 64):
        up, down = (int(word) for word in signs(spikes, first))
        some = spikes[first : first + 64]
        assert up == sum(1 << q for q in np.flatnonzero(some > 0).tolist())
        assert down == sum(1 << q for q in np.flatnonzero(some < 0).tolist())
