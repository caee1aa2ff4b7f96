"""Faults: what is drawn, where it lies, what it does to a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikeram.conversion import TrainedNetwork, convert, recalibrate
from spikeram.faults import KINDS, Faults, Part, layer_faults
from spikeram.models import chips
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import convolutional, inputs, trained

X = inputs(0, 60)
NETWORK = convert(trained(2, (6, 20, 12, 3)), X, steps=32)


def cores_in_turn(shape, *, first_core, pairs_per_core, columns_per_core):
    """Return the parts of a matrix that fills cores one after the other."""

    def cuts(size, most):
        return [(start, min(start + most, size)) for start in range(0, size, most)]

    places = [
        (p, c) for p in cuts(shape[0], pairs_per_core) for c in cuts(shape[1], columns_per_core)
    ]
    return [
        Part(
            core=first_core + n,
            pairs=pairs,
            columns=columns,
            word_lines=np.arange(2 * (pairs[1] - pairs[0])),
            bit_lines=np.arange(columns[1] - columns[0]),
        )
        for n, (pairs, columns) in enumerate(places)
    ]


def with_faults(chip=None, **faults):
    return replace(chips.ideal() if chip is None else chip, faults=Faults(**faults))


def counts(chip, x=X, **options):
    run = simulate(chip, x, record="counts", **options)
    return run["row_size"].values, run["output"].isel(step=-1).values


# What is drawn.


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_lines_are_drawn_as_the_rate_says(kind):
    lines = getattr(Faults.draw({kind: 0.1}, seed=1), kind)
    n = 48 * 256
    # Counts are binomial.
    assert sum(map(len, lines.values())) == pytest.approx(0.1 * n, abs=4 * np.sqrt(0.09 * n))


def test_a_higher_rate_adds_faults_and_moves_none():
    few, many = (Faults.draw({"dead_rows": rate}, seed=1).dead_rows for rate in (0.02, 0.2))
    assert all(np.isin(few[core], many[core]).all() for core in few)


def test_kinds_cores_and_chips_have_faults_of_their_own():
    one = Faults.draw(dict.fromkeys(KINDS, 0.2), seed=1)
    other = Faults.draw({"dead_rows": 0.2}, seed=1, index=1)
    drawn = [
        *(getattr(one, kind)[0].tolist() for kind in KINDS),
        one.dead_rows[1].tolist(),
        other.dead_rows[0].tolist(),
    ]
    assert len({tuple(lines) for lines in drawn}) == len(drawn)


def test_the_mapper_learns_of_all_bad_lines():
    faults = Faults(
        dead_rows={0: [5]}, unformed_rows={0: [1, 5], 3: [0]}, dead_columns={1: [2]},
        dead_neurons={1: [7], 2: []},
    )  # fmt: skip
    assert {core: rows.tolist() for core, rows in faults.bad_rows.items()} == {0: [1, 5], 3: [0]}
    assert {core: rows.tolist() for core, rows in faults.bad_columns.items()} == {1: [2, 7]}


# Where they lie.


def test_lines_of_cores_meet_the_cells_of_a_layer_that_fills_them():
    faults = Faults(dead_rows={4: [0], 6: [3]}, dead_columns={5: [1]})
    parts = cores_in_turn((5, 6), first_core=4, pairs_per_core=3, columns_per_core=4)
    found = layer_faults(faults, (5, 6), parts)
    wanted = np.zeros((2, 5, 6), bool)
    # Cores 4 and 5 hold the upper three pairs, 6 and 7 the lower two; columns 0 to 3 and 4 to 5.
    wanted[0, 0, :4] = True
    wanted[1, 4, :4] = True
    wanted[:, :3, 5] = True
    assert np.array_equal(found.open, wanted)
    assert not np.any(found.silent)


def test_a_dead_neuron_loses_its_part_of_a_column_that_is_cut():
    faults = Faults(dead_neurons={0: [1], 1: [0, 1]})
    parts = cores_in_turn((5, 2), first_core=0, pairs_per_core=3, columns_per_core=4)
    found = layer_faults(faults, (5, 2), parts)
    assert found.silent.tolist() == [False, True]
    assert not np.any(found.open[:, :3, 0])
    assert np.all(found.open[:, 3:, 0])


def test_a_part_that_lies_elsewhere_meets_the_faults_there():
    faults = Faults(dead_rows={2: [0, 7]}, dead_columns={2: [5]}, dead_neurons={2: [4]})
    part = Part(
        core=2, pairs=(0, 2), columns=(0, 2),
        word_lines=np.array([1, 2, 6, 7]), bit_lines=np.array([4, 5]),
    )  # fmt: skip
    found = layer_faults(faults, (2, 2), [part])
    assert found.open.tolist() == [[[False, True], [False, True]], [[False, True], [True, True]]]
    assert found.silent.tolist() == [True, False]


# What they do.


def test_no_faults_change_nothing():
    g = [program(NETWORK, chip=chip, seed=0).layers[0].crossbar.conductance
         for chip in ("neurram", with_faults(chips.neurram(), dead_rows={40: [1]}))]  # fmt: skip
    assert np.array_equal(*g)


@pytest.mark.parametrize("kind", ["dead_rows", "unformed_rows"])
def test_an_open_row_conducts_nothing_and_gets_no_pulses(kind):
    chip = program(NETWORK, chip=with_faults(chips.neurram(), **{kind: {1: [4]}}), seed=0)
    layer = chip.layers[1]
    assert not np.any(layer.crossbar.conductance[0, 2])
    assert not np.any(layer.n_pulses[0, 2])
    assert np.all(layer.timed_out[0, 2])
    assert np.all(layer.crossbar.conductance[1, 2][layer.written[1, 2] > 5e-6] > 0)


def test_an_open_row_takes_its_weights_away_and_weighs_nothing_in_the_column():
    faulty = program(NETWORK, chip=with_faults(dead_rows={0: [2, 3]}), seed=0).layers[0]
    whole = program(NETWORK, chip="ideal", seed=0).layers[0]
    g = np.delete(whole.crossbar.conductance, 1, axis=1)
    settled = (g[0] - g[1]) / g.sum(axis=(0, 1))
    assert np.delete(faulty.crossbar.settled, 1, axis=0) == pytest.approx(settled)
    assert not np.any(faulty.crossbar.settled[1])


def test_a_dead_column_and_a_dead_neuron_never_fire():
    for kind in ("dead_columns", "dead_neurons"):
        chip = program(NETWORK, chip=with_faults(**{kind: {0: [3]}}), seed=0)
        spikes, _ = counts(chip)
        assert not np.any(spikes[:, 3])
        assert np.any(spikes[:, [2, 4]])


@pytest.mark.parametrize("spikes", ["unipolar", "signed", "ternary"])
@pytest.mark.filterwarnings("ignore")
def test_a_dead_neuron_is_silent_on_every_engine(spikes):
    layers = [replace(NETWORK.layers[0], spikes=spikes,
                      slope=0.5 if spikes == "signed" else 0.0), *NETWORK.layers[1:]]  # fmt: skip
    network = replace(NETWORK, layers=layers)
    chip = program(network, chip=with_faults(dead_neurons={0: [3, 7]}), seed=0)
    clocked, brian = (counts(chip, X[:4], engine=name)[0] for name in ("clocked", "brian2"))
    assert np.array_equal(clocked, brian)
    assert not np.any(clocked[:, [3, 7]])


def test_recalibration_does_not_wake_a_dead_neuron():
    chip = program(NETWORK, chip=with_faults(dead_neurons={0: [3]}), seed=0)
    assert not np.any(counts(recalibrate(chip, X))[0][:, 3])


def test_a_dead_neuron_of_a_convolution_silences_its_channel_everywhere():
    x = inputs(1, 5, 84)
    network = convert(convolutional(), x, steps=8)
    chip = program(network, chip=with_faults(dead_neurons={0: [1]}), seed=0)
    spikes, _ = counts(chip, x)
    n = network.layers[0].n_positions
    assert not np.any(spikes[:, n : 2 * n])


def test_going_around_bad_rows_brings_the_outputs_back():
    # Rows 0 and 1 are bad. As it lies, the network loses its first input; with a row of zeros
    # above its weights, as a mapper that skips the pair would place it, it loses nothing.
    weights, biases = [np.eye(4) + 0.1], [np.zeros(4)]
    x = inputs(3, 40, 4)
    moved = TrainedNetwork.chain([np.vstack([np.zeros(4), weights[0]])], biases)
    ideal = counts(program(convert(TrainedNetwork.chain(weights, biases), x, steps=64),
                           chip="ideal", seed=0), x)[1]  # fmt: skip
    faulty = with_faults(dead_rows={0: [0, 1]})
    lost = convert(TrainedNetwork.chain(weights, biases), x, steps=64)
    padded = np.hstack([np.zeros((40, 1)), x])
    kept = convert(moved, padded, steps=64)
    errors = [
        np.abs(counts(program(network, chip=faulty, seed=0), values)[1] - ideal).max()
        for network, values in ((lost, x), (kept, padded))
    ]
    assert errors[0] > 0.3
    # The padded row weighs in the means that thresholds are made from: some percent.
    assert errors[1] < 0.2 * errors[0]


# What is refused.


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"dead_rows": {-1: [0]}}, r"dead_rows expects cores from 0, got -1"),
        (
            {"dead_rows": {0: [-2]}},
            r"expects numbers of lines from 0, got \[-2\] in core 0",
        ),
        ({"dead_neurons": {0: [0.5]}}, r"numbers of lines from 0, got \[0.5\]"),
    ],
)
def test_faults_say_what_they_expect(faults, message):
    with pytest.raises(ValueError, match=message):
        Faults(**faults)


def test_rates_are_shares_of_known_kinds():
    for rates in ({"dead_rows": 1.5}, {"dead_cells": 0.1}):
        with pytest.raises(ValueError, match=r"expects rates from 0 to 1 of dead_rows, .* got"):
            Faults.draw(rates, seed=0)
