from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import ndtri
from scipy.stats import kstest

from spikeram._kernels.adc import count_steps, normal, search_steps
from spikeram.adc import ADC, bent, break_points, normal_quantiles


def counted_by_hand(u, plus, minus, most):
    """Return the signed count of whole decrements until the comparator flips."""
    positive = u > 0
    n = 0
    while (u > 0) == positive and n <= most:
        u += -plus if positive else minus
        n += 1
    return n if positive else -n


def counts(kernel, held, plus, minus, most):
    charge = np.array(held, dtype=np.float64)
    constants = np.ones((7, charge.size))
    constants[2], constants[3] = plus, minus
    found = np.empty(charge.size, np.int32)
    kernel(charge, constants, float(most), found)
    return found.tolist()


@given(
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=9),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([4, 16, 100]),
)
def test_a_linear_count_is_that_of_single_decrements(held, plus, minus, most):
    expected = [counted_by_hand(u, plus, minus, most) for u in held]
    assert counts(count_steps, held, plus, minus, most) == expected


@given(
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=9),
    st.integers(1, 300),
    st.sampled_from([4, 16, 64, 512]),
)
def test_binary_search_finds_what_a_linear_count_does(held, step, most):
    linear = counts(count_steps, held, step, step, most)
    assert counts(search_steps, held, step, step, most) == linear


def test_b_bits_make_two_to_the_b_readings_a_step_apart():
    inside = np.delete(ADC(bits=5).readings[1:-1], 16)
    np.testing.assert_array_equal(inside, np.arange(32) - 15.5)


def test_a_line_that_does_not_flip_reads_the_largest_value_or_zero():
    assert ADC(bits=4).readings[[0, -1]].tolist() == [-7.5, 7.5]
    assert ADC(bits=4, never_flipped="zero").readings[[0, -1]].tolist() == [0.0, 0.0]
    assert ADC(bits=8, step_limit=100).readings[-1] == 99.5


def test_a_rectifier_reads_zero_below_zero():
    readings = ADC(bits=4, activation="relu").readings
    np.testing.assert_array_equal(readings[:10], 0)
    np.testing.assert_array_equal(readings[10:18], np.arange(8) + 0.5)


# The counter starts with the tangent's own slope and keeps it until the slope has fallen to
# 1 / sqrt(2): there it is x - tanh(x) = 0.065 ahead; a step is 1 / 64 of the unit.
def test_a_counter_that_slows_down_follows_the_tangent_within_seven_hundredths():
    steps = np.arange(0, 400) + 0.5
    content = bent(steps, 64.0)
    ahead = break_points()[0] - math.tanh(break_points()[0])
    assert np.abs(content - np.tanh(steps / 64)).max() < ahead + 1 / 64
    assert np.all(np.diff(content) >= 0)
    assert content[-1] == 1


def test_the_counter_advances_with_every_step_then_every_second_fourth_and_eighth():
    assert [1 / np.cosh(x) ** 2 for x in break_points()] == pytest.approx(
        [2.0 ** (-m - 0.5) for m in range(4)]
    )
    advances = np.diff(bent(np.arange(0, 130, dtype=float), 64.0)) * 64
    points = np.rint(np.array(break_points()) * 64).astype(int)
    for start, stop, every in zip([0, *points[:2]], points, (1, 2, 4)):
        part = advances[start:stop]
        assert part.sum() == len(part) // every
        assert set(part) <= {0.0, 1.0}


def test_a_sigmoid_is_the_tangent_of_half_the_argument():
    adc = ADC(bits=7, activation="sigmoid", unit_steps=16.0)
    steps = np.arange(1, 65) - 0.5
    np.testing.assert_allclose(
        adc.readings[66:130], 0.5 + 0.5 * bent(steps, 32.0), rtol=0, atol=1e-12
    )
    logistic = 1 / (1 + np.exp(-steps / 16.0))
    assert np.abs(adc.readings[66:130] - logistic).max() < 0.05
    np.testing.assert_allclose(adc.readings[64::-1], 1 - adc.readings[66:], atol=1e-12)


def test_quantiles_that_are_interpolated_make_standard_normals():
    table = normal_quantiles()
    words = (np.arange(200_000, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    z = np.array([normal(word, table) for word in words])
    assert kstest(z, "norm").pvalue > 0.01
    # Between knots the quantile is convex: at most a tenth of a percent of variance is added.
    assert np.var(z) == pytest.approx(1.0, abs=2e-3)
    for p in (1e-6, 1e-4, 0.3, 0.9, 1 - 1e-5):
        assert normal(np.uint64(p * 2**32), table) == pytest.approx(ndtri(p), abs=2e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 2}, "ADC.bits expects 3 to 10, got 2"),
        ({"bits": 11}, "ADC.bits expects 3 to 10, got 11"),
        ({"bits": 6.0}, "ADC.bits expects an integer, got 6.0"),
        ({"bits": 8}, "needs 128 decrements, but a linear count ends after 100"),
        ({"step_limit": 128}, "ADC.step_limit expects 1 to 127, got 128"),
        ({"step_limit": -5}, "ADC.step_limit expects 1 to 127, got -5"),
        ({"v_decrement": -0.08}, "expects voltages > 0, got -0.08 and -0.08 V"),
        ({"v_decrement": (0.1, 0.0)}, "expects voltages > 0, got 0.1 and 0.0 V"),
        ({"v_decrement": (0.1, 0.1, 0.1)}, "one voltage or two, got 3"),
        ({"v_decrement": "3 uS"}, "is a voltage in V, got '3 uS'"),
        ({"conversion": "ramp"}, "expects one of linear_count, binary_search, got 'ramp'"),
        ({"activation": "softmax"}, "got 'softmax'"),
        ({"unit_steps": 0}, "expects a number > 0, got 0"),
        ({"conversion": "binary_search", "step_limit": 9}, "belong to the linear count"),
        ({"kicks": 33}, "ADC.kicks expects 0 to 32, got 33"),
    ],
)
def test_converters_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ADC(**options)
