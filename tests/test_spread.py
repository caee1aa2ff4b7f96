"""Weights over several pairs of cells: the same spikes, and smaller errors where one stood out."""

from __future__ import annotations

import numpy as np
import pytest

from spikeram import Layer, SpikingNetwork, program, simulate
from spikeram.conversion import spread_weights
from spikeram.models import chips


def network(weight):
    columns = weight.shape[1]
    layer = Layer(
        name="only", weight=weight, bias=np.zeros(columns), threshold=np.full(columns, 8.0)
    )
    return SpikingNetwork(layers=[layer])


def standing_out(columns):
    """Return columns of 64 weights of up to a tenth of the one that stands out."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(-0.1, 0.1, (65, columns))
    weight[1] = 0.1
    weight[0] = 1.0
    return weight


def test_ideal_cells_fire_the_same_spikes():
    # Whole sixteenths of the largest: the parts are whole quanta, too.
    weight = np.array([[16.0, 0.5], [2.0, 4.0], [-1.0, 1.0]])
    plain = network(weight)
    spread = spread_weights(plain)
    np.testing.assert_array_equal(spread.layers[0].weight.max(axis=0), [2.0, 1.0])
    x = np.random.default_rng(0).random((20, 3))
    one, other = (simulate(model, x, steps=16, encoding="rate") for model in (plain, spread))
    np.testing.assert_array_equal(one["t"], other["t"])
    np.testing.assert_array_equal(one["output"], other["output"])


def test_errors_of_a_column_fall_several_times():
    def error(model):
        """Return the standard deviation over columns of the sum of all weights."""
        chip = program(model, chip=chips.gaussian(), seed=0)
        (real,), (ideal,) = chip.charge_layers(), model.charge_layers()
        found = real.weight.sum(axis=0) * real.quantum / (real.threshold * real.quantum)
        wanted = ideal.weight.sum(axis=0) * ideal.quantum / (ideal.threshold * ideal.quantum)
        return np.std(found - wanted)

    plain = network(standing_out(240))
    spread = spread_weights(plain)
    assert spread.layers[0].weight.shape == (74, 240)
    # Cells near the lower end of the window, as small weights have, err less than the formula says.
    assert 4 < error(plain) / error(spread) < np.sqrt(65) / (np.sqrt(74) / 10)


def test_no_more_rows_than_asked_for():
    spread = spread_weights(network(standing_out(4)), most=3)
    assert spread.layers[0].weight.shape == (67, 4)
    assert spread_weights(network(standing_out(4)), most=1).layers[0].gather is None


def test_weights_that_are_alike_stay_as_they_are():
    plain = network(np.random.default_rng(0).uniform(-1, 1, (60, 20)))
    assert spread_weights(plain).layers[0] is plain.layers[0]


def test_less_than_one_row_is_refused():
    with pytest.raises(ValueError, match="most >= 1, got 0"):
        spread_weights(network(np.ones((2, 2))), most=0)
