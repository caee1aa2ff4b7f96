from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram._kernels.neuron import integrate, integrate_noisy, integrate_signed, noise
from spikeram.neuron import SamplingNeuron

from reference import count_by_hand, signed_by_hand


def fire(charge, *, threshold=100, rail=10**6, ternary=False, subtract=True, u=0):
    """Return spikes and membranes of one neuron for a list of charges."""
    n = len(charge)
    membrane = np.array([u], np.int32)
    spikes, trace = np.zeros((n, 1), np.int8), np.zeros((n, 1), np.int32)
    charges = np.array(charge, np.int32)[:, np.newaxis]
    zero = np.zeros(1, np.int32)
    limit = np.array([threshold], np.int32)
    integrate(charges, zero, limit, rail, ternary, subtract, membrane, spikes, trace)
    return spikes[:, 0].tolist(), trace[:, 0].tolist()


def test_a_membrane_at_the_threshold_fires_and_loses_one_threshold():
    assert fire([99, 1, 250, 0]) == ([0, 1, 1, 1], [99, 0, 150, 50])


def test_a_full_reset_takes_everything():
    assert fire([99, 1, 250, 0], subtract=False) == ([0, 1, 1, 0], [99, 0, 0, 0])


def test_ternary_neurons_fire_in_both_directions():
    assert fire([-100, -250, 0, 300], ternary=True) == ([-1, -1, -1, 1], [0, -150, -50, 150])


def test_unipolar_neurons_keep_negative_charge():
    assert fire([-500, 500, 100]) == ([0, 0, 1], [-500, 0, 0])


def test_the_membrane_stops_at_the_rails_before_it_is_compared():
    assert fire([-500, 500, 900], rail=300) == ([0, 1, 1], [-300, 100, 200])


def fire_signed(charge, *, threshold, negative, u, rail=2**30):
    """Return the spikes of one signed neuron for a list of charges."""
    spikes = np.zeros((len(charge), 1), np.int8)
    integrate_signed(
        np.array(charge, np.int32)[:, np.newaxis], np.zeros(1, np.int32),
        np.array([threshold], np.int32), np.array([negative], np.int32), rail, np.uint64(0), 0,
        0, 0.0, 0, np.array([u], np.int32), np.zeros(1, np.int32), spikes,
        np.zeros((0, 1), np.int32),
    )  # fmt: skip
    return spikes[:, 0].tolist()


signed = given(
    charge=st.lists(st.integers(-700, 700), max_size=20),
    order=st.randoms(use_true_random=False),
    threshold=st.integers(1, 300),
    slope=st.sampled_from([0.0, 0.1, 0.25, 0.9, 1.0]),
)


@signed
def test_a_signed_neuron_comes_to_rest_at_its_charge_in_whatever_order_it_came(
    charge, order, threshold, slope
):
    negative = max(threshold, round(threshold / slope)) if slope else 0
    initial = threshold // 2
    rest = count_by_hand(sum(charge), initial, threshold, negative)
    # One spike a step: silence enough to pay all of it out.
    silence = [0] * (sum(map(abs, charge)) // threshold + 2 * len(charge) + 2)
    order.shuffle(charge)
    spikes = fire_signed(charge + silence, threshold=threshold, negative=negative, u=initial)
    assert sum(spikes) == rest
    if slope == 0 and threshold % 2 == 0:
        assert rest == max(0, math.floor(sum(charge) / threshold + 0.5))
    if slope > 0 and sum(charge) < 0:
        # Half a spike, and a quantum for each threshold that is rounded.
        error = abs(threshold * rest - slope * sum(charge))
        assert error <= threshold / 2 + 1 + abs(rest)


@signed
def test_a_signed_neuron_does_what_integers_by_hand_do(charge, order, threshold, slope):
    negative = max(threshold, round(threshold / slope)) if slope else 0
    u, count, expected = threshold // 2, 0, []
    for one in charge:
        u = min(max(u + one, -900), 900)
        spike, amount = signed_by_hand(u, count, threshold, negative)
        u, count = u - spike * amount, count + spike
        expected.append(spike)
    found = fire_signed(charge, threshold=threshold, negative=negative, u=threshold // 2, rail=900)
    assert found == expected


def test_a_signed_neuron_never_counts_below_zero_where_its_slope_is_zero():
    assert fire_signed([-900, 0, 950, 0], threshold=100, negative=0, u=50) == [0, 0, 1, 0]


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"leak": 1e-6}])
def test_signed_neurons_have_to_keep_their_charge(change):
    with pytest.raises(ValueError, match="expects reset 'subtract' and no leak"):
        SamplingNeuron(spikes="signed", **change)


@pytest.mark.parametrize("drive", [0, 1, 7, 33, 50, 99, 100])
def test_half_a_threshold_of_charge_rounds_counts_to_nearest(drive):
    steps = 64
    spikes, _ = fire([drive] * steps, u=50)
    assert sum(spikes) == math.floor(steps * drive / 100 + 0.5)


def test_noise_has_the_asked_spread_and_a_fair_kick():
    n = 40_000
    drawn = np.array([noise(np.uint64(7), k, 3, 5, 50.0, 20) for k in range(n)])
    expected = math.hypot(50, 20)
    # The standard error of a standard deviation is sigma / sqrt(2 n); allow four of them.
    assert drawn.std() == pytest.approx(expected, abs=4 * expected / math.sqrt(2 * n))
    assert drawn.mean() == pytest.approx(0, abs=4 * expected / math.sqrt(n))


def test_noise_is_addressed_by_step_sample_and_neuron():
    address = [(k, s, j) for k in range(3) for s in range(3) for j in range(3)]
    values = {noise(np.uint64(1), *where, 1e6, 0) for where in address}
    assert len(values) == len(address)
    assert noise(np.uint64(1), 2, 1, 0, 1e6, 0) == noise(np.uint64(1), 2, 1, 0, 1e6, 0)


def test_a_leak_follows_the_exponential():
    neuron = SamplingNeuron(leak="10 us", dt="1 us")
    u = np.array([1_000_000], np.int32)
    spikes, trace = np.zeros((30, 1), np.int8), np.zeros((30, 1), np.int32)
    none, zero = np.zeros((0, 1), np.int32), np.zeros(1, np.int32)
    limit = np.array([2**30], np.int32)
    integrate_noisy(
        none, zero, limit, 2**30, False, True, neuron.decay(), np.uint64(0), 0, 0, 0.0, 0, u,
        spikes, trace,
    )  # fmt: skip
    expected = 1_000_000 * np.exp(-np.arange(1, 31) / 10)
    # Rounding to a quantum in every step adds at most half of 1 / (1 - decay) quanta.
    np.testing.assert_allclose(trace[:, 0], expected, atol=0.5 / (1 - neuron.decay()))


def test_kt_over_c_noise_is_that_of_the_sampling_capacitor():
    neuron = SamplingNeuron(c_sample=17e-15, c_integ=104e-15, temperature=300)
    # 0.49 mV on 17 fF, attenuated by 17 / 104.
    assert neuron.sigma_noise == pytest.approx(0.4936e-3 * 17 / 104, rel=1e-3)


def test_parameters_take_strings_and_refuse_other_units():
    assert SamplingNeuron(c_sample="17 fF").c_sample == pytest.approx(17e-15)
    with pytest.raises(ValueError, match="SamplingNeuron.threshold is a voltage in V"):
        SamplingNeuron(threshold="3 uS")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0),
        ("c_integ", -1e-15),
        ("v_rail", math.nan),
        ("leak", 0),
        ("temperature", -1),
        ("spikes", "binary"),
        ("reset", "half"),
        ("threshold", math.inf),
        ("threshold", 1.0),
    ],
)
def test_impossible_parameters_are_refused(field, value):
    with pytest.raises(ValueError, match=f"SamplingNeuron.{field} expects"):
        SamplingNeuron(**{field: value})
