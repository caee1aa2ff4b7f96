from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram.charge import RAIL_LIMIT, WEIGHT_LIMIT, charge_layer, quantise, quantum_of
from spikeram.errors import CapacityError
from spikeram.neuron import SamplingNeuron


@given(st.floats(1e-9, 1e9))
def test_the_largest_weight_fills_twelve_bits(largest):
    quantum = quantum_of([largest, -largest / 3])
    assert math.frexp(quantum)[0] == 0.5  # a power of two
    assert WEIGHT_LIMIT / 2 < largest / quantum <= WEIGHT_LIMIT * (1 + 1e-12)


def test_a_layer_of_zeros_has_a_quantum():
    assert quantum_of(np.zeros(3)) > 0


def layer(**changes):
    values = {
        "weight": np.array([[0.01, -0.02], [0.005, 0.0]]),
        "bias": np.array([0.001, 0.0]),
        "threshold": np.array([0.02, 0.03]),
        "initial": np.array([0.01, 0.0]),
        "scale": np.ones(2),
        "neuron": SamplingNeuron(),
    }
    return charge_layer("x", values.pop("weight"), **{**values, **changes})


def test_weights_come_back_within_half_a_quantum():
    made = layer()
    np.testing.assert_allclose(
        made.weight * made.quantum, [[0.01, -0.02], [0.005, 0.0]], atol=made.quantum / 2
    )


def test_a_chip_rail_is_kept_and_an_ideal_one_is_the_largest_integer():
    assert layer().rail == int(0.9 / layer().quantum)
    assert layer(neuron=SamplingNeuron(v_rail=math.inf)).rail == RAIL_LIMIT


def test_what_does_not_fit_is_refused_before_it_can_wrap_around():
    with pytest.raises(CapacityError, match="The threshold of layer 'x' reaches 1e\\+06 V"):
        layer(threshold=np.array([1e6, 1.0]))
    with pytest.raises(CapacityError, match="Rescale the layer"):
        quantise([np.nan], 1.0, 10, "A weight")


def test_a_silent_neuron_keeps_a_threshold_of_at_least_one_quantum():
    assert layer(threshold=np.array([1e-9, 0.02])).threshold.min() == 1


def test_a_step_that_could_wrap_around_is_refused():
    # A million rows of the largest weight exceed 2**30 quanta.
    wide = np.full((1_000_000, 1), 1.999)
    with pytest.raises(CapacityError, match="Split the layer"):
        charge_layer(
            "x",
            wide,
            bias=np.zeros(1),
            threshold=np.ones(1),
            initial=np.zeros(1),
            scale=np.ones(1),
            neuron=SamplingNeuron(),
        )


def test_weights_must_be_finite():
    with pytest.raises(ValueError, match="must be finite"):
        quantum_of([1.0, np.inf])


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"decay": 0.5}])
def test_layers_of_signed_neurons_have_to_keep_their_charge(change):
    with pytest.raises(ValueError, match="expect reset 'subtract' and no leak"):
        dataclasses.replace(layer(), spikes="signed", **change)


def test_a_spike_below_zero_takes_a_threshold_at_least():
    made = layer(neuron=SamplingNeuron(spikes="signed"), slope=np.array([1.0, 0.25]))
    assert made.negative[0] == made.threshold[0]
    assert made.negative[1] == pytest.approx(4 * made.threshold[1], abs=2)
