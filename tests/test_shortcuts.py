"""Shortcuts that are added digitally: found where they are, and the same sums with fewer cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikeram import Layer
from spikeram.adc import ADC
from spikeram.chip_file import load_chip, save_chip
from spikeram.errors import FileFormatError
from spikeram.inference import activations, calibrate, infer, operating_points
from spikeram.mapping import map_network
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.product import OperatingPoint
from spikeram.programming import program
from spikeram.shortcuts import shortcut_rows
from spikeram.simulation import simulate

import networks

X = networks.inputs(1, 60, 72)
NETWORK = networks.branching()
RESIDUAL = 2
ADC_9 = ADC(bits=9, conversion="binary_search")


def settings_of(chip):
    return operating_points(
        chip, X, input_bits=7, activation_bits=7, adc=ADC_9, point=OperatingPoint(phases=1)
    )


def test_a_sum_of_a_residual_block_has_shortcuts_and_other_layers_none():
    found = [shortcut_rows(NETWORK, n).tolist() for n in range(len(NETWORK.layers))]
    assert found == [[], [], [4, 5, 6, 7], []]


@pytest.mark.parametrize(
    "weight",
    [
        np.vstack([np.ones((2, 2)), np.array([[1.0, 0.5], [0.0, 1.0]])]),
        np.vstack([np.ones((2, 2)), np.array([[1.0, 0.0], [1.0, 0.0]])]),
        np.vstack([np.eye(2), np.eye(2)]),
    ],
    ids=["two weights in a row", "two rows in a column", "nothing else"],
)
def test_what_is_no_mere_addition_stays_on_the_array(weight):
    first = Layer(name="a", weight=np.eye(2), bias=np.zeros(2), threshold=np.ones(2))
    both = Layer(
        name="b",
        weight=weight,
        bias=np.zeros(2),
        threshold=np.ones(2),
        sources=("a", "input"),
    )
    assert shortcut_rows(SpikingNetwork(layers=[first, both]), 1).size == 0


def test_sums_are_those_of_the_trained_network_with_fewer_rows():
    exact = NETWORK.preactivations(X)[-1]
    errors, rows = [], []
    for shortcuts in ("array", "digital"):
        chip = program(NETWORK, chip=chips.ideal(), seed=0, shortcuts=shortcuts)
        output = infer(chip, X, settings_of(chip))["output"].values
        errors.append(np.sqrt(np.mean((output - exact) ** 2) / np.var(exact)))
        rows.append([layer.target.shape[1] for layer in chip.layers])
    # Seven bits of input and nine of output in each layer, as in test_inference.
    assert max(errors) < 0.05
    assert np.subtract(*rows)[RESIDUAL] >= 4
    assert np.delete(np.subtract(*rows), RESIDUAL).tolist() == [0, 0, 0]


def test_cells_err_less_where_a_shortcut_leaves_them_the_window():
    """The shortcut's weight of 1 of a spike is ten times as large as what else is in its column."""
    nodes = list(NETWORK.nodes)
    weight = nodes[3].weight.copy()
    weight[:4] /= 10
    nodes[3] = replace(nodes[3], weight=weight)
    network = replace(NETWORK, nodes=tuple(nodes))
    exact = [
        layer.activation(z).astype(np.float32)
        for layer, z in zip(network.layers, network.preactivations(X))
    ]
    known = {layer.name: a for layer, a in zip(network.layers[:RESIDUAL], exact)}
    errors = {}
    for shortcuts in ("array", "digital"):
        off = []
        for index in range(5):
            chip = program(network, delay="1 day", seed=0, index=index, shortcuts=shortcuts)
            settings = calibrate(chip, X, settings_of(chip))
            found = activations(chip, X, settings, "sum", known=known)
            off.append(np.mean((found - exact[RESIDUAL]) ** 2))
        errors[shortcuts] = np.sqrt(np.mean(off))
    assert errors["digital"] < 0.5 * errors["array"]


def test_what_infer_does_in_one_piece_activations_does_layer_by_layer():
    chip = program(NETWORK, delay="1 day", seed=0, shortcuts="digital")
    settings = settings_of(chip)
    run = infer(chip, X, settings)
    np.testing.assert_array_equal(
        run["output"].values, activations(chip, X, settings, NETWORK.layers[-1].name)
    )


def test_several_pairs_of_cells_for_a_weight_leave_the_same_rows_out():
    chip = program(
        NETWORK, chip=replace(chips.ideal(), pairs_per_weight=3), seed=0, shortcuts="digital"
    )
    exact = NETWORK.preactivations(X)[-1]
    output = infer(chip, X, settings_of(chip))["output"].values
    assert np.sqrt(np.mean((output - exact) ** 2) / np.var(exact)) < 0.05


def test_a_network_is_mapped_with_the_same_choice():
    chip = chips.neurram()
    mapping = map_network(NETWORK, chip, shortcuts="digital")
    programmed = program(NETWORK, chip=chip, seed=0, mapping=mapping, shortcuts="digital")
    assert programmed.mapping is mapping
    with pytest.raises(ValueError, match="mapping"):
        program(NETWORK, chip=chip, seed=0, mapping=mapping)


def test_spikes_are_refused_in_words():
    chip = program(NETWORK, seed=0, shortcuts="digital")
    with pytest.raises(ValueError, match="'sum' has 4 shortcuts .* shortcuts='array'"):
        simulate(chip, X, steps=4)


def test_a_choice_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'array' or 'digital', got 'none'"):
        program(NETWORK, seed=0, shortcuts="none")


def test_a_file_of_a_chip_keeps_its_shortcuts(tmp_path):
    chip = program(NETWORK, seed=0, shortcuts="digital")
    save_chip(chip, tmp_path / "chip.npz")
    again = load_chip(tmp_path / "chip.npz")
    settings = settings_of(chip)
    np.testing.assert_array_equal(
        infer(again, X, settings)["output"].values, infer(chip, X, settings)["output"].values
    )


@pytest.mark.parametrize("rows", [[4, 5, 6, 99], [4, 99, 5, 6], [4, 4, 5, 6], [4, 5]])
def test_a_file_whose_shortcuts_do_not_fit_is_refused(tmp_path, rows):
    chip = program(NETWORK, seed=0, shortcuts="digital")
    layers = list(chip.layers)
    layers[RESIDUAL] = replace(layers[RESIDUAL], digital=np.array(rows))
    save_chip(replace(chip, layers=tuple(layers)), tmp_path / "chip.npz")
    with pytest.raises(FileFormatError, match="sum"):
        load_chip(tmp_path / "chip.npz")


def test_digital_sums_are_counted():
    chip = program(NETWORK, seed=0, shortcuts="digital")
    run = infer(chip, X[:3], settings_of(chip))
    assert run["shortcut_additions"].values.tolist() == [0, 0, 4 * 9, 0]
