"""What a network would take, against counts by hand and against runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.chip import Chip
from spikeram.conversion import convert
from spikeram.conversion.shapes import MatrixShape
from spikeram.energy import COMPONENTS, CORE, energy, latency
from spikeram.models.chips import neurram
from spikeram.planning import WRITE_ON_BENCH, WRITE_ON_CHIP, cores_of, plan
from spikeram.precision import Precision
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import inputs, trained

quick = settings(max_examples=50, deadline=None, derandomize=True)
CHIP = neurram()


def small(rows=8, columns=4, n_cores=2):
    return dataclasses.replace(CHIP, rows=rows, columns=columns, n_cores=n_cores)


def test_cells_cores_and_chips_are_those_of_a_hand_count():
    found = plan([(784, 512), (512, 10)])
    # 785 pairs take 7 cores of 128, and 512 columns 2; 513 pairs take 5.
    assert found.table["cores"].values.tolist() == [7 * 2, 5]
    assert found.cells == 2 * (785 * 512 + 513 * 10)
    assert (found.chips, found.weights) == (1, 784 * 512 + 512 * 10)
    assert found.utilisation == pytest.approx(found.cells / (19 * 65536))
    assert found.area == pytest.approx(19 * 1270e-12 * 256 / 0.28)


def test_a_programmed_chip_has_the_cells_and_cores_of_its_plan():
    ann = trained(0, (300, 40, 10))
    chip = program(convert(ann, inputs(0, 20, 300), steps=4), seed=0)
    # How many rows hold biases depends on their size, which a plan does not know.
    rows = {layer.n_bias for layer in chip.layers}
    found = plan(ann, bias_rows=rows.pop())
    assert not rows
    assert (found.cells, found.cores) == (chip.n_cells, sum(chip.cores))


def test_rows_of_several_pairs_take_as_many_times_the_cells():
    one, three = (
        plan([(100, 50)], chip=dataclasses.replace(CHIP, pairs_per_weight=k)) for k in (1, 3)
    )
    assert three.cells == 3 * one.cells
    assert three.cores == 3


@quick
@given(rows=st.integers(1, 12), columns=st.integers(1, 9), groups=st.integers(1, 30))
def test_small_groups_lie_on_the_diagonals_of_cores(rows, columns, groups):
    chip = small(rows=16, columns=8)
    matrix = MatrixShape(name="m", rows=rows, columns=columns, groups=groups)
    # By hand: put blocks down one after the other until rows or columns run out.
    cores, pairs, used = 0, chip.pairs, chip.columns
    for _ in range(groups):
        if rows > chip.pairs or columns > chip.columns:
            cores += -(-rows // chip.pairs) * -(-columns // chip.columns)
            continue
        if pairs + rows > chip.pairs or used + columns > chip.columns:
            cores, pairs, used = cores + 1, 0, 0
        pairs, used = pairs + rows, used + columns
    assert cores_of(matrix, chip, bias_rows=0) == cores


def test_a_planned_run_costs_what_a_run_with_these_rates_does():
    ann = trained(0, (60, 40, 10))
    network = convert(ann, inputs(0, 50, 60), steps=8)
    chip = program(network, seed=0)
    assert all(layer.n_bias == 1 for layer in chip.layers)
    run = simulate(chip, (np.random.default_rng(0).random((4, 8, 60)) < 0.3), encoding="spikes")
    # Plan with the rates that the run had.
    first, second = run["crossbar"].values
    rates = [
        float(run["row_size"].values[:, run["layer"].values == name].mean()) / 8
        for name in ("input", first, second)
    ]
    shapes = [
        {"inputs": 60, "outputs": 40, "rate": rates[0]},
        {"inputs": 40, "outputs": 10, "rate": rates[1]},
    ]
    found = plan(shapes, steps=8, rate=rates[2])
    ran = energy(run).mean("trial")
    # A matrix's own neurons are taken to spike as its inputs do: decrements differ.
    rest = [name for name in COMPONENTS if name != "decrement"]
    np.testing.assert_allclose(
        found.table["energy"].sel(component=rest), ran.sel(component=rest), rtol=1e-9
    )
    assert found.latency == pytest.approx(float(latency(run)[0]) - CHIP.energy.step_time)


def test_positions_follow_each_other_and_tokens_of_a_stream_overlap():
    found = plan([(9, 16, 196), (144, 10)], steps=4)
    step = CHIP.energy.step_time
    assert found.latency == pytest.approx(4 * 197 * step)
    assert found.interval == pytest.approx(4 * 196 * step)
    assert plan([(9, 16), (16, 10)], steps=4).latency == pytest.approx((4 + 1) * step)


def test_products_take_the_time_and_energy_of_inference_mode():
    bits = Precision(4, 6)
    found = plan([(127, 256, 3)], precision=bits)
    assert found.product_latency == pytest.approx(3 * CHIP.energy.product_time(bits))
    # One full core: 62.1 fJ for each of 65,536 operations of the measured table, 1 % apart.
    joules = float(found.product_energy.sel(component=list(CORE)).sum())
    assert joules == pytest.approx(3 * 65536 * 62.4e-15, rel=0.01)


def test_programming_takes_its_time_for_each_cell():
    found = plan([(127, 256)] * 96)
    assert found.chips == 2
    assert found.programming_time == pytest.approx(48 * 65536 * WRITE_ON_CHIP)
    assert found.bench_time == pytest.approx(96 * 65536 * WRITE_ON_BENCH)


def test_without_biases_steps_may_be_idle():
    biased = plan([(4, 3)], rate=0.1)
    bare = plan([(4, 3)], rate=0.1, bias_rows=0)
    sampled = [float(p.energy.sel(component="sample")) for p in (bare, biased)]
    assert sampled[0] / sampled[1] == pytest.approx(1 - 0.9**4)
    silent = plan([(4, 3)], rate=0.0, bias_rows=0).energy
    assert float(silent.sum()) == float(silent.sel(component="compare"))


def test_spikes_cross_to_the_chips_that_hold_the_next_matrix():
    chip = small(n_cores=2)
    # Cores of 4 pairs and 4 columns, two to a chip: a lies on chip 0, b on chips 1 and 2.
    found = plan([(4, 8), (8, 8)], chip=chip, bias_rows=0, steps=10, rate=0.5)
    assert found.table["cores"].values.tolist() == [2, 4]
    sums = found.table["bits_between_chips"].values
    # 8 neurons of 3 bits spike in 5 of 10 steps, to two chips. Parts lie side by side on one.
    assert sums.tolist() == [0, 8 * 3 * 5 * 2]


def test_matrices_on_the_same_chip_send_nothing_between_chips():
    assert plan([(4, 8), (8, 4)], chip=small(n_cores=8), bias_rows=0).bits_between_chips == 0


def test_parts_of_a_column_on_other_chips_send_their_sums():
    chip = small(n_cores=2)
    # Three parts for each of two blocks of columns: cores 0 1 | 2 3 | 4 5, parts 0 1 2 and 3 4 5.
    found = plan([(12, 7)], chip=chip, bias_rows=0, steps=10, rate=0.0)
    # Part 2 of four columns, and parts 4 and 5 of three.
    away = 1 * 4 + 2 * 3
    assert found.bits_between_chips == 10 * away * CHIP.energy.partial_bits


def test_repeated_names_are_told_apart():
    found = plan([{"name": "a", "inputs": 2, "outputs": 2}] * 2)
    assert found.table["matrix"].values.tolist() == ["a", "a (2)"]


def test_billions_of_weights_are_planned():
    block = [(8192, 8192)] * 4 + [(8192, 28672)] * 2 + [(28672, 8192)]
    found = plan([{"inputs": i, "outputs": o, "count": 80} for i, o in block])
    assert found.weights == 80 * (4 * 8192**2 + 3 * 8192 * 28672) > 77e9
    assert found.chips == -(-found.cores // 48)
    # Full cores but for the biases and the last row of cores.
    assert 0.9 < found.utilisation < 1


def test_the_workload_is_that_of_the_matrices():
    work = plan([(9, 16, 196), (144, 10)], steps=4, rate=0.5, bias_rows=0).workload
    assert work.macs == 9 * 16 * 196 + 1440
    assert work.weights == 9 * 16 + 1440
    assert work.synaptic_operations == 4 * 0.5 * work.macs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "plan expects steps >= 1, got 0"),
        ({"rate": 1.5}, "a rate from 0 to 1 spikes a step, got 1.5"),
        ({"bias_rows": -1}, "bias_rows >= 0, got -1"),
        ({"chip": "neuram"}, "No chip is called 'neuram'"),
    ],
)
def test_values_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        plan([(3, 2)], **options)


def test_another_chip_may_hold_it():
    assert isinstance(plan([(3, 2)], chip=small()).chip, Chip)
