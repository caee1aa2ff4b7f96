from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeram.conversion import convert
from spikeram.energy import energy, latency
from spikeram.programming import program
from spikeram.simulation import clocked, nodes_of, simulate
from spikeram.unrolling import accounts, scheduled

from networks import branching, convolutional, inputs
from reference import run_by_hand

X = inputs(0, 60, 2 * 6 * 7)
NETWORK = convert(convolutional(), X, steps=16)
SCHEDULES = ("pixel", "unrolled")


def both(model, x, **options):
    return tuple(simulate(model, x, schedule=schedule, **options) for schedule in SCHEDULES)


@pytest.mark.parametrize("encoding", ["current", "rate"])
@pytest.mark.filterwarnings("ignore")
def test_schedules_fire_the_same_spikes(encoding):
    pixel, unrolled = both(NETWORK, X[:4], encoding=encoding)
    for name in ("t", "row_size", "output"):
        np.testing.assert_array_equal(pixel[name], unrolled[name])
    # Brian2 has a column for each neuron.
    columns = simulate(NETWORK, X[:2], encoding=encoding, steps=5, engine="brian2")
    np.testing.assert_array_equal(
        columns["row_size"],
        simulate(NETWORK, X[:2], encoding=encoding, steps=5, schedule="unrolled")["row_size"],
    )


def test_one_pixel_after_the_other_is_what_neurons_that_are_cleared_between_pixels_do():
    # The schedule itself: one small matrix, T steps at one position, cleared, the next position.
    layer = nodes_of(program(NETWORK, seed=0))[0]
    spikes = np.random.default_rng(0).integers(0, 2, (2, 6, layer.n_inputs)).astype(np.int8)
    whole = clocked([layer], None, spikes, steps=6).spikes[0].reshape(2, 6, 4, layer.n_positions)
    for position in range(layer.n_positions):
        rows = layer.gather.index[position]
        arriving = np.where(rows >= 0, spikes[..., np.maximum(rows, 0)], 0).sum(axis=-1)
        of_one = slice(position, None, layer.n_positions)
        column = dataclasses.replace(
            layer,
            gather=None,
            sources=(),
            **{
                name: getattr(layer, name)[of_one]
                for name in ("bias", "threshold", "initial", "scale", "negative")
            },
        )
        fired, _ = run_by_hand([column], None, arriving, 6)
        np.testing.assert_array_equal(whole[..., position], fired[0])


def test_a_pixel_schedule_takes_all_positions_one_after_the_other():
    pixel, unrolled = both(NETWORK, X[:2], steps=16)
    np.testing.assert_allclose(latency(pixel), 16 * (42 + 4 + 1) * 0.82e-6)
    np.testing.assert_allclose(latency(unrolled), (16 + 2) * 0.82e-6)


def test_an_unrolled_array_has_a_column_for_each_neuron_and_a_row_for_each_input():
    chip = program(NETWORK, chip="ideal", seed=0)
    pixel, unrolled = (accounts(run) for run in both(chip, X[:2]))
    kernels = [2 * (layer.weight.shape[0] + 1) * layer.n_columns for layer in NETWORK.layers]
    assert pixel["cells"].values.tolist() == kernels
    assert chip.n_cells == sum(kernels)
    # 84 inputs of 4 x 42 neurons; of 3 x 4 the 4 x 36 that the pool reads, each with its own row.
    columns = [2 * 85 * 168, 2 * 145 * 12, 2 * 13 * 3]
    assert unrolled["cells"].values.tolist() == columns
    assert unrolled["cores"].values.tolist() == [1, 2, 1]


def test_an_unrolled_array_drives_a_row_once_for_each_spike():
    pixel, unrolled = both(NETWORK, X[:5], steps=4, encoding="rate")
    counts = pixel["row_size"].values
    np.testing.assert_array_equal(unrolled["active_rows"][:, 0], counts[:, :84].sum(1) + 4)
    # The pool leaves out the last of seven pixels of each line.
    pooled = counts[:, 84:252].reshape(5, 4, 6, 7)[..., :6].sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(unrolled["active_rows"][:, 1], pooled + 4)
    reuse = NETWORK.layers[0].gather.reuse
    np.testing.assert_array_equal(pixel["active_rows"][:, 0], counts[:, :84] @ reuse + 4 * 42)


def test_the_energy_of_a_schedule_is_that_of_its_rows_columns_and_steps():
    chip = program(NETWORK, chip="ideal", seed=0)
    pixel, unrolled = both(chip, X[:3], steps=4)
    costs = chip.chip.energy
    for run, uses, rows, columns in ((pixel, 42, 19, 4), (unrolled, 1, 85, 168)):
        neurons = 4 * uses * columns
        expected = {
            "word_lines": 4 * uses * 2 * rows / 256 * costs.word_lines,
            "input_pulses": run["active_rows"][:, 0] * costs.input_pulse,
            "sample": neurons * costs.sample,
            "integrate": neurons * costs.integrate,
            "compare": neurons * costs.compare,
        }
        for component, joules in expected.items():
            found = energy(run).sel(component=component)[:, 0]
            np.testing.assert_allclose(found, np.broadcast_to(joules, 3), err_msg=component)
        whole = energy(run).sum("component")[:, 0].mean()
        np.testing.assert_allclose(accounts(run)["energy"][0], whole)


def test_whole_trains_wait_between_pixels():
    pixel, unrolled = (accounts(run) for run in both(NETWORK, X[:2], steps=16))
    assert pixel["buffer"].values[:2].tolist() == [16 * 168, 16 * 12]
    assert unrolled["buffer"].values[:2].tolist() == [168, 12]


def test_pools_and_branches_have_schedules_too():
    network = branching()
    pixel, unrolled = both(network, inputs(1, 3, 72), steps=8)
    np.testing.assert_array_equal(pixel["row_size"], unrolled["row_size"])
    assert pixel["positions"].values.tolist() == [36, 9, 9, 1]
    assert unrolled["positions"].values.tolist() == [1, 1, 1, 1]


def test_bad_schedules_are_refused():
    with pytest.raises(ValueError, match="schedule expects 'pixel' or 'unrolled', got 'x'"):
        scheduled((), "x")  # type: ignore[arg-type]
    chip = program(
        NETWORK,
        chip=dataclasses.replace(program(NETWORK, chip="ideal", seed=0).chip, rows=32),
        seed=0,
    )
    with pytest.raises(ValueError, match="'conv_1' is cut into parts. Use partial_sums='ideal'"):
        simulate(chip.with_partial_sums("spiking"), X[:1], schedule="unrolled")
