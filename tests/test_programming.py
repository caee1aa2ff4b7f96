from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeram.conversion import TrainedNetwork, convert, recalibrate
from spikeram.errors import CapacityError
from spikeram.models import chips
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import convolutional, inputs, trained

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


# Several pairs for each weight.

GAUSSIAN = chips.gaussian(0.1)


def with_pairs(n, chip=GAUSSIAN, **changes):
    return dataclasses.replace(chip, pairs_per_weight=n, **changes)


def weight_errors(chip):
    """Return the errors of all weights of the chip, as shares of the end of the window."""
    errors = []
    for layer in chip.layers:
        g = layer.crossbar.conductance - layer.target
        each = (g[0] - g[1]).reshape(-1, layer.pairs_per_weight, g.shape[2])
        errors.append(each.mean(axis=1).ravel())
    return np.concatenate(errors) / (chip.chip.g_max - chip.chip.g_min)


@pytest.mark.parametrize(
    "network", [NETWORK, convert(convolutional(), inputs(0, 50, 84), steps=64)]
)
def test_pairs_change_nothing_on_an_ideal_chip(network):
    one, four = (program(network, chip=with_pairs(n, chips.ideal()), seed=0) for n in (1, 4))
    for a, b in zip(one.charge_layers(), four.charge_layers()):
        assert a.quantum == b.quantum
        # Summed from four parts, a value between two quanta may fall to the other.
        for name in ("weight", "bias", "threshold", "initial"):
            assert np.abs(getattr(a, name) - getattr(b, name)).max() <= 1


def test_errors_of_weights_fall_with_the_root_of_the_pairs():
    # Wide, for many weights; with the window's lower end far enough from zero that no error is
    # cut off there: five standard deviations of 4 uS.
    network = convert(trained(2, (6, 100, 60, 3)), X, steps=64)
    device = dataclasses.replace(GAUSSIAN.device, g_max=60e-6)
    away = dataclasses.replace(GAUSSIAN, device=device, g_min=20e-6, g_max=60e-6)
    for k in (1, 4, 9):
        errors = weight_errors(program(network, chip=with_pairs(k, away), seed=0))
        expected = np.sqrt(2 / k) * 4 / 40
        # The standard error of a standard deviation is sigma / sqrt(2 n); allow four of them.
        assert errors.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * errors.size))


def test_pairs_bring_the_outputs_closer_to_the_network():
    network = convert(trained(5, (6, 32, 32, 3)), X, steps=64)
    ideal = simulate(network, X, record="counts")["output"].isel(step=-1)
    errors = []
    for k in (1, 16):
        found = [
            simulate(recalibrate(program(network, chip=with_pairs(k), seed=0, index=n), X), X,
                     record="counts")["output"].isel(step=-1)
            for n in range(3)
        ]  # fmt: skip
        errors.append(np.sqrt(np.mean([((one - ideal) ** 2).mean() for one in found])))
    # A quarter of the noise; rate coding and rounding are the rest.
    assert errors[1] < 0.4 * errors[0]


def test_pairs_take_rows_cells_and_cores():
    one, three = (program(NETWORK, chip=with_pairs(k, rows=32), seed=0) for k in (1, 3))
    assert three.n_cells == 3 * one.n_cells
    for a, b in zip(one.layers, three.layers):
        assert b.crossbar.shape == (3 * a.crossbar.shape[0], a.crossbar.shape[1])
        assert b.n_bias == 3 * a.n_bias
        assert a.weight_shape == b.weight_shape
    # 16 pairs of rows in each core.
    rows = [layer.crossbar.shape[0] for layer in three.layers]
    assert three.cores == tuple(-(-n // 16) for n in rows)
    assert [layer.rows for layer in three.charge_layers()] == [2 * n for n in rows]


@pytest.mark.parametrize(
    ("trained_network", "x"), [(trained(), inputs(1, 9)), (convolutional(), inputs(1, 9, 84))]
)
@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_every_pair_that_a_spike_drives_is_counted(trained_network, x, encoding):
    network = convert(trained_network, x, steps=8)
    one, three = (
        simulate(program(network, chip=with_pairs(k, chips.ideal()), seed=0), x, encoding=encoding)
        for k in (1, 3)
    )
    # The same spikes, or the rows they drive could not be compared.
    np.testing.assert_array_equal(one["row_size"], three["row_size"])
    np.testing.assert_array_equal(3 * one["active_rows"], three["active_rows"])
    np.testing.assert_array_equal(3 * one["rows"], three["rows"])


def test_rows_are_written_side_by_side_with_errors_of_their_own():
    layer = program(NETWORK, chip=with_pairs(2), seed=0).layers[0]
    np.testing.assert_array_equal(layer.target[:, 0::2], layer.target[:, 1::2])
    g = layer.crossbar.conductance
    # All errors differ but those that were cut off at zero.
    assert not np.any((g[:, 0::2] == g[:, 1::2]) & (g[:, 0::2] > 0))


def test_recalibration_corrects_columns_of_several_pairs():
    network = convert(trained(5, (6, 32, 32, 3)), X, steps=64)
    ideal = simulate(network, X, record="counts")["output"].isel(step=-1)
    chip = program(network, chip=with_pairs(2), seed=0)
    errors = [
        float(((simulate(c, X, record="counts")["output"].isel(step=-1) - ideal) ** 2).mean())
        for c in (chip, recalibrate(chip, X))
    ]
    assert errors[1] < 0.5 * errors[0]


def test_too_many_pairs_are_refused_with_their_remedy():
    with pytest.raises(CapacityError, match="Use a smaller network, fewer pairs_per_weight, or"):
        program(NETWORK, chip=with_pairs(300, n_cores=2), seed=0)
    with pytest.raises(ValueError, match="Chip.pairs_per_weight expects a count >= 1, got 0"):
        with_pairs(0)


# What takes the end of the window.


def scaled(full_scale, network=NETWORK, chip=GAUSSIAN):
    return program(network, chip=dataclasses.replace(chip, full_scale=full_scale), seed=0)


def test_every_column_has_a_weight_at_the_end_of_its_window():
    for layer in scaled("column").layers:
        np.testing.assert_allclose(layer.target.max(axis=(0, 1)), 40e-6)


def test_columns_of_one_window_keep_the_ratio_of_their_weights():
    chip = scaled("layer")
    for n, (layer, mapped) in enumerate(zip(NETWORK.layers, chip.layers)):
        rows = layer.weight.shape[0]
        matrix = layer.row_weight(NETWORK.worth(n))
        stored = (mapped.target[0] - mapped.target[1])[:rows]
        assert mapped.target.max() == pytest.approx(40e-6)
        np.testing.assert_allclose(stored / matrix, (stored / matrix).mean(), rtol=1e-9)


@pytest.mark.parametrize("full_scale", ["layer", "column"])
def test_ideal_cells_compute_the_same_in_any_window(full_scale):
    ideal = simulate(NETWORK, X, record="counts")["output"].isel(step=-1)
    chip = scaled(full_scale, chip=chips.ideal())
    found = simulate(chip, X, record="counts")["output"].isel(step=-1)
    # As on an ideal chip of its own: a spike more or less of 64 in every layer.
    assert float(np.sqrt(((found - ideal) ** 2).mean()) / ideal.std()) < 2 / 64


def test_least_squares_saturates_nothing_where_there_are_no_errors():
    column, least = (scaled(name, chip=chips.ideal()) for name in ("column", "least_squares"))
    for a, b in zip(column.layers, least.layers):
        np.testing.assert_array_equal(a.target, b.target)


def test_least_squares_leaves_the_least_error_of_weights():
    rng = np.random.default_rng(0)
    # Many rows with few large weights, so that there is something to gain.
    ann = TrainedNetwork.chain((rng.normal(size=(400, 30)),), (np.zeros(30),))
    network = convert(ann, inputs(0, 50, 400), steps=None, method="percentile")
    weight = network.layers[0].row_weight(network.worth(0))

    def error(full_scale):
        layer = scaled(full_scale, network).layers[0]
        g = layer.crossbar.conductance[:, :400]
        # What a siemens of the difference stands for: V_read C_s / C_i over the column's sum and
        # the worth of a unit, as `program` takes it.
        per_weight = 0.5 * 17 / 104 / (layer.unit * layer.target.sum(axis=(0, 1)))
        return np.sqrt(np.mean(((g[0] - g[1]) * per_weight - weight) ** 2))

    # Of normal weights the largest of 400 is 3 standard deviations and least squares takes 1.7:
    # noise falls by their ratio, saturation and cut-off at zero give some of it back.
    assert error("least_squares") < 0.75 * error("column")
    assert error("column") < error("layer")


def test_biases_never_saturate():
    ann = TrainedNetwork.chain((np.full((6, 2), 0.01) + np.eye(6, 2),), (np.array([5.0, -3.0]),))
    layer = scaled("least_squares", convert(ann, X, steps=8)).layers[0]
    bias = (layer.target[0] - layer.target[1])[-layer.n_bias :].sum(axis=0)
    worth = 0.5 * 17 / 104 * bias / layer.target.sum(axis=(0, 1)) / layer.unit
    np.testing.assert_allclose(worth, [5.0, -3.0], rtol=0.05)


def test_a_chip_says_what_can_take_the_end_of_its_window():
    with pytest.raises(ValueError, match="full_scale expects 'column', 'layer' or 'least_squares'"):
        dataclasses.replace(GAUSSIAN, full_scale="row")


def test_frozen_errors_do_not_depend_on_rounds_or_delay():
    chips_found = [
        program(NETWORK, chip=GAUSSIAN, seed=0, rounds=rounds, delay=delay)
        for rounds, delay in ((0, "1 s"), (3, "1 day"))
    ]
    g = [chip.layers[0].crossbar.conductance for chip in chips_found]
    np.testing.assert_array_equal(*g)
