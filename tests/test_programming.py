from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeram.conversion import TrainedNetwork, convert
from spikeram.errors import CapacityError
from spikeram.models import chips
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import inputs, trained

X = inputs(0, 200)
NETWORK = convert(trained(2, (6, 20, 12, 3)), X, steps=64)


def test_an_ideal_chip_does_what_the_network_does():
    ideal = simulate(NETWORK, X, record="counts")["output"].isel(step=-1)
    chip = program(NETWORK, chip="ideal", seed=0)
    found = simulate(chip, X, record="counts")["output"].isel(step=-1)
    # 12-bit weights on either side, rounded to other quanta, and with them a spike more or less
    # of 64 in every layer.
    assert float(np.sqrt(((found - ideal) ** 2).mean()) / ideal.std()) < 2 / 64


def test_one_seed_programs_one_chip_and_numbers_make_others():
    first, again = (program(NETWORK, seed=1) for _ in range(2))
    other, elsewhere = program(NETWORK, seed=1, index=1), program(NETWORK, seed=2)
    g = [chip.layers[0].crossbar.conductance for chip in (first, again, other, elsewhere)]
    np.testing.assert_array_equal(g[0], g[1])
    assert not np.array_equal(g[0], g[2])
    assert not np.array_equal(g[0], g[3])
    assert not np.array_equal(g[2], g[3])


def test_adding_a_layer_leaves_the_others_as_they_were():
    longer = trained(2, (6, 20, 12, 3, 4))
    short = convert(trained(2, (6, 20, 12, 3)), X, steps=64, method="percentile")
    weights = [*(n.weight for n in trained(2, (6, 20, 12, 3)).layers), longer.layers[-1].weight]
    biases = [*(n.bias for n in trained(2, (6, 20, 12, 3)).layers), longer.layers[-1].bias]
    long = convert(
        TrainedNetwork.chain(weights=weights, biases=biases), X, steps=64, method="percentile"
    )
    a, b = program(short, seed=0), program(long, seed=0)
    for n in (0, 1):
        np.testing.assert_array_equal(
            a.layers[n].crossbar.conductance, b.layers[n].crossbar.conductance
        )


def test_cells_move_on_with_the_delay():
    now, later = program(NETWORK, delay="1 s", seed=0), program(NETWORK, delay="1 day", seed=0)
    target = now.layers[1].target
    errors = [float(np.std(chip.layers[1].crossbar.conductance - target)) for chip in (now, later)]
    assert errors[0] < errors[1]


def test_a_large_bias_gets_several_always_on_rows():
    weights = [layer.weight for layer in trained().layers]
    ann = TrainedNetwork.chain(weights, [np.full(8, 9.0), np.zeros(5), np.zeros(3)])
    chip = program(convert(ann, X, steps=None, method="percentile"), chip="ideal", seed=0)
    assert 1 < chip.layers[0].n_bias <= 8
    assert chip.layers[1].n_bias == 1
    layer = chip.charge_layers()[0]
    assert layer.always_on == chip.layers[0].n_bias
    np.testing.assert_allclose(layer.bias / layer.threshold * layer.scale, 9.0, rtol=1e-3)


def test_cores_are_counted_as_they_are_cut():
    chip = chips.neurram()
    assert chip.cores_for(128, 256) == 1
    assert chip.cores_for(129, 256) == 2
    assert chip.cores_for(300, 600) == 9


def test_a_network_larger_than_the_chip_is_refused_before_anything_is_written():
    rng = np.random.default_rng(0)
    wide = TrainedNetwork.chain(weights=(rng.normal(size=(6, 30_000)),), biases=(np.zeros(30_000),))
    network = convert(wide, X, steps=None, method="percentile")
    with pytest.raises(CapacityError, match="needs 118 cores, but chip 'neurram' has 48"):
        program(network, seed=0)


def test_bad_delays_chips_and_seeds_are_refused():
    with pytest.raises(ValueError, match="delay is a time in s, got '3 V', a voltage"):
        program(NETWORK, delay="3 V", seed=0)
    with pytest.raises(ValueError, match="No chip is called 'neuro'"):
        program(NETWORK, chip="neuro", seed=0)
    with pytest.raises(ValueError, match="seed expects"):
        program(NETWORK, seed=-1)
    with pytest.raises(ValueError, match="Chip expects 0 <= g_min < g_max"):
        dataclasses.replace(chips.neurram(), g_max="0.5 uS")
    for count in (0, 2.5):
        with pytest.raises(ValueError, match=f"Chip.n_cores expects a count >= 1, got {count}"):
            dataclasses.replace(chips.neurram(), n_cores=count)


def test_a_chip_takes_its_device_by_name():
    assert dataclasses.replace(chips.neurram(), device="ideal").device == chips.ideal().device


def test_iterative_programming_narrows_the_errors():
    once, more = (program(NETWORK, seed=0, rounds=rounds) for rounds in (0, 3))
    target = once.layers[1].target
    # Quartiles: cells that nothing moves would rule a standard deviation.
    once_error, more_error = (
        np.subtract(*np.percentile(chip.layers[1].crossbar.conductance - target, [75, 25]))
        for chip in (once, more)
    )
    assert more_error < 0.85 * once_error
    assert more.mean_pulses > once.mean_pulses
