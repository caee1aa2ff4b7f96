from __future__ import annotations

import numpy as np
import pytest

from spikeram.encoding import LEVELS, encode, input_levels

from networks import random_layer

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
    with pytest.raises(ValueError, match="one of current, rate, poisson, got 'morse'"):
        encode(levels([1, 1, 1]), [LAYER], steps=2, encoding="morse")
