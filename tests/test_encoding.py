from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram.encoding import LEVELS, checked_trains, delta, encode, input_levels

from networks import random_layer
from reference import delta_by_hand, latency_by_hand

LAYER = random_layer(np.random.default_rng(0), 3, 4)


def levels(values):
    return input_levels(np.array([values], dtype=float), 2.0)


def test_full_scale_is_the_last_level():
    np.testing.assert_array_equal(levels([2.0, -1.0, 0.0]), [[LEVELS, -LEVELS // 2, 0]])


def test_inputs_beyond_full_scale_saturate_with_a_warning():
    with pytest.warns(UserWarning, match="33.33% of the input values lie beyond the full scale"):
        found = levels([4.0, 1.0, 0.0])
    np.testing.assert_array_equal(found, [[LEVELS, LEVELS // 2, 0]])


def test_a_current_is_the_weighted_sum_of_the_levels():
    stimulus = encode(levels([1.0, -2.0, 0.5]), [LAYER], steps=8, encoding="current")
    expected = np.rint(np.array([0.5, -1.0, 0.25]) @ LAYER.weight.astype(float))
    np.testing.assert_array_equal(stimulus.drive[LAYER.name], [expected])
    assert stimulus.active_rows[LAYER.name].tolist() == [8 * 3]


@pytest.mark.parametrize("steps", [1, 7, 32, 100])
def test_deterministic_rates_round_to_nearest_and_are_evenly_spaced(steps):
    # 87 / 256 of full scale, and the same below zero.
    some = np.array([[87, -87, 0]], np.int16)
    spikes = encode(some, [LAYER], steps=steps, encoding="rate").spikes[0].astype(int)
    expected = int(np.floor(steps * 87 / 256 + 0.5))
    assert spikes.sum(axis=0).tolist() == [expected, -expected, 0]
    k = np.arange(1, steps + 1)
    np.testing.assert_array_equal(np.cumsum(spikes[:, 0]), np.floor(k * 87 / 256 + 0.5))


def test_poisson_spikes_have_the_asked_probability_and_are_independent():
    steps = 50_000
    some = np.array([[64, 128, -256]], np.int16)
    spikes = encode(some, [LAYER], steps=steps, encoding="poisson", seed=1).spikes[0].astype(int)
    p = np.array([0.25, 0.5])
    # Four standard errors of a share.
    error = 4 * np.sqrt(p * (1 - p) / steps)
    assert np.all(np.abs(spikes[:, :2].mean(axis=0) - p) < error)
    assert np.all(spikes[:, 2] == -1)
    lagged = np.corrcoef(spikes[:-1, 0], spikes[1:, 0])[0, 1]
    between = np.corrcoef(spikes[:, 0], spikes[:, 1])[0, 1]
    assert abs(lagged) < 4 / np.sqrt(steps)
    assert abs(between) < 4 / np.sqrt(steps)


def test_poisson_spikes_of_a_sample_do_not_depend_on_its_batch():
    some = np.full((5, 3), 100, np.int16)
    whole = encode(some, [LAYER], steps=9, encoding="poisson", seed=1).spikes
    part = encode(some[3:], [LAYER], steps=9, encoding="poisson", seed=1, first_sample=3).spikes
    np.testing.assert_array_equal(whole[3:], part)


def test_poisson_without_a_seed_and_an_unknown_encoding_are_refused():
    with pytest.raises(ValueError, match="give a seed"):
        encode(levels([1, 1, 1]), [LAYER], steps=2, encoding="poisson")
    with pytest.raises(
        ValueError, match="one of current, rate, poisson, ttfs, spikes, got 'morse'"
    ):
        encode(levels([1, 1, 1]), [LAYER], steps=2, encoding="morse")


@given(
    some=st.lists(st.integers(-LEVELS, LEVELS), min_size=3, max_size=3), steps=st.integers(1, 100)
)
def test_an_input_is_driven_from_its_only_event_on(some, steps):
    found = encode(np.array([some], np.int16), [LAYER], steps=steps, encoding="ttfs")
    expected = [latency_by_hand(level, LEVELS, steps) for level in some]
    np.testing.assert_array_equal(found.spikes[0].T, expected)


@given(some=st.lists(st.integers(-LEVELS, LEVELS), min_size=3, max_size=3))
def test_latencies_drive_a_row_as_often_as_rates_do(some):
    late, even = (
        encode(np.array([some], np.int16), [LAYER], steps=37, encoding=encoding)
        for encoding in ("ttfs", "rate")
    )
    np.testing.assert_array_equal(late.spikes.sum(axis=1), even.spikes.sum(axis=1))
    assert late.active_rows[LAYER.name] == even.active_rows[LAYER.name]


def test_spikes_are_passed_on_unchanged():
    trains = np.random.default_rng(0).integers(-1, 2, (4, 9, 3)).astype(np.int8)
    stimulus = encode(trains, [LAYER], steps=9, encoding="spikes")
    np.testing.assert_array_equal(stimulus.spikes, trains)
    np.testing.assert_array_equal(
        stimulus.active_rows[LAYER.name], np.count_nonzero(trains, axis=(1, 2))
    )
    with pytest.raises(ValueError, match=r"shape \(sample, 8, input\), got \(4, 9, 3\)"):
        encode(trains, [LAYER], steps=8, encoding="spikes")


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_spikes_of_any_type_and_with_further_axes_are_taken(kind):
    images = np.random.default_rng(0).integers(0, 2, (2, 5, 3, 4)).astype(kind)
    found = checked_trains(images, 12, None)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, images.reshape(2, 5, 12))


@pytest.mark.parametrize(
    ("x", "steps", "message"),
    [
        (np.zeros((2, 3)), None, r"shape \(sample, step, 3\), as the network has 3 inputs, got"),
        (np.zeros((2, 5, 4)), None, r"got \(2, 5, 4\)"),
        (np.zeros((2, 0, 3)), None, "at least one sample and one step"),
        (np.zeros((0, 5, 3)), None, "at least one sample and one step"),
        (np.full((2, 5, 3), 0.5), None, "spikes -1, 0 or 1, got 0.5 among others"),
        (np.full((2, 5, 3), np.nan), None, "got nan among others"),
        (np.arange(30).reshape(2, 5, 3), None, "got 2, 3, 4, 5, 6 among others"),
        (np.full((2, 5, 3), "a"), None, "expects spikes -1, 0 or 1, got <U1"),
        (np.zeros((2, 5, 3)), 6, "the 5 steps that x has, got steps=6. Leave steps out"),
        (np.zeros((2, 5, 3)), 0, "steps expects an integer >= 1"),
    ],
)
def test_trains_that_are_none_are_refused(x, steps, message):
    with pytest.raises(ValueError, match=message):
        checked_trains(x, 3, steps)


# Halves are exact in binary, so that nothing depends on rounding.
halves = st.integers(-12, 12).map(lambda n: n / 2)


@given(signal=st.lists(halves, min_size=1, max_size=30), threshold=st.sampled_from([0.5, 1.0, 2.5]))
def test_changes_are_sent_as_by_hand(signal, threshold):
    found = delta(np.array(signal).reshape(1, -1, 1), threshold)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found[0, :, 0], delta_by_hand(signal, threshold))


@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(0.01, 10))
def test_a_signal_of_small_changes_is_known_to_less_than_one_threshold(seed, threshold):
    rng = np.random.default_rng(seed)
    steps = rng.uniform(-threshold, threshold, (2, 50, 3))
    signal = np.cumsum(steps, axis=1)
    sent = signal[:, :1] + threshold * np.cumsum(delta(signal, threshold), axis=1)
    # Sums of 50 steps carry rounding errors of some parts in 1e16 each.
    assert np.abs(signal - sent).max() < threshold * (1 + 1e-12)


def test_what_a_jump_leaves_is_sent_in_later_steps():
    signal = np.array([0.0, 3.5, 3.5, 3.5, 3.5, 3.5]).reshape(1, -1, 1)
    assert delta(signal, 1.0)[0, :, 0].tolist() == [0, 1, 1, 1, 0, 0]
    assert delta(-signal, 1.0)[0, :, 0].tolist() == [0, -1, -1, -1, 0, 0]


def test_thresholds_that_binary_numbers_only_approach_are_still_counted():
    signal = (0.1 * np.arange(1000)).reshape(1, -1, 1)
    spikes = delta(signal, 0.1)
    assert spikes[0, 1:, 0].tolist() == [1] * 999


@pytest.mark.parametrize(
    ("signal", "threshold", "message"),
    [
        (np.zeros((2, 3)), 1.0, r"shape \(sample, step, input\), got float64 of shape \(2, 3\)"),
        (np.full((1, 2, 3), "a"), 1.0, "expects numbers"),
        (np.full((1, 2, 3), np.inf), 1.0, "finite values"),
        (np.zeros((1, 2, 3)), 0.0, "finite threshold > 0, got 0.0"),
        (np.zeros((1, 2, 3)), np.nan, "finite threshold > 0, got nan"),
    ],
)
def test_signals_and_thresholds_without_meaning_are_refused(signal, threshold, message):
    with pytest.raises(ValueError, match=message):
        delta(signal, threshold)
