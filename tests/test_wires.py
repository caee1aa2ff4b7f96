from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.crossbar import Crossbar
from spikeram.models import chips
from spikeram.parasitics import Wires, interleaved, transfer
from spikeram.programming import program
from spikeram.simulation import simulate

from nodal import array_circuit, sensed

MICRO = 1e-6
MODES = list(product(["forward", "backward"], ["floating", "virtual_ground"]))
FULL = Wires(r_row=1.0, r_column=1.5, r_driver=100.0, r_sense=50.0, r_on=1000.0)
WIRES = {
    "full": FULL,
    "rows only": Wires(r_row=2.5),
    "columns only": Wires(r_column=3.0),
    "drivers only": Wires(r_driver=1000.0),
    "terminals only": Wires(r_sense=200.0),
    "transistors only": Wires(r_on=5000.0),
    "strong": Wires(r_row=500.0, r_column=300.0, r_driver=1e4, r_sense=1e3),
}


def random_cells(shape, seed=0):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0.1, 40, shape) * MICRO
    g[rng.random(shape) < 0.1] = 0.0
    return g


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(("direction", "termination"), MODES)
@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 4), (12, 24)])
def test_the_exact_map_is_the_nodal_solution(shape, name, direction, termination):
    g = random_cells(shape)
    passed = transfer(g, WIRES[name], direction=direction, termination=termination)
    volts = np.random.default_rng(1).normal(size=passed.shape[0])
    expected = sensed(g, WIRES[name], volts, direction=direction, termination=termination)
    assert relative_error(volts @ passed, expected) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(("direction", "termination"), MODES)
def test_the_exact_map_of_64_rows_and_columns_is_the_nodal_solution(direction, termination):
    g = random_cells((64, 64))
    passed = transfer(g, FULL, direction=direction, termination=termination)
    volts = np.random.default_rng(1).normal(size=64)
    expected = sensed(g, FULL, volts, direction=direction, termination=termination)
    assert relative_error(volts @ passed, expected) < 1e-10


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_line_without_cells_stays_at_the_reference(direction):
    g = random_cells((5, 5))
    g[:, 2] = 0.0
    g[3] = 0.0
    passed = transfer(g, FULL, direction=direction)
    assert not passed[:, 2 if direction == "forward" else 3].any()
    volts = np.arange(1.0, 6.0)
    assert relative_error(volts @ passed, sensed(g, FULL, volts, direction=direction)) < 1e-10


resistance = st.sampled_from([0.0, 0.01, 1.0, 30.0, 1e3])
wires_drawn = st.builds(
    Wires,
    r_row=resistance,
    r_column=resistance,
    r_driver=resistance,
    r_sense=resistance,
    r_on=resistance,
)
shapes_drawn = st.tuples(st.integers(1, 8), st.integers(1, 8))


@given(wires_drawn, shapes_drawn, st.integers(0, 2**32 - 1), st.sampled_from(MODES))
@settings(max_examples=60)
def test_currents_balance_at_every_node(wires, shape, seed, mode):
    # Terminals are set to what the map says; then no current may have to be added anywhere.
    direction, termination = mode
    rng = np.random.default_rng(seed)
    g = rng.uniform(0.1, 40, shape) * MICRO
    passed = transfer(g, wires, direction=direction, termination=termination)
    volts = rng.normal(size=passed.shape[0])
    out = volts @ passed
    circuit = array_circuit(g, wires, direction)
    drivers = {("driver", n, None): v for n, v in enumerate(volts)}
    set_to = np.zeros(len(out)) if termination == "virtual_ground" else out
    terminals = {("terminal", n, None): v for n, v in enumerate(set_to)}
    _, current = circuit.solve(drivers | terminals)
    drawn = -np.array([current[node] for node in terminals])
    expected = out if termination == "virtual_ground" else np.zeros(len(out))
    # 1e-10 of what the cells conduct is the promise. The best wire turns the rounding of a
    # voltage, a few 1e-16 of it, into a current.
    best = max(each for _, _, each in circuit.resistors)
    scale = np.abs(volts).max()
    np.testing.assert_allclose(drawn, expected, atol=scale * (1e-10 * g.sum() + 1e-15 * best))


@given(wires_drawn, shapes_drawn, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_power_from_the_drivers_is_what_resistors_burn(wires, shape, seed):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0.1, 40, shape) * MICRO
    volts = rng.normal(size=shape[0])
    out = volts @ transfer(g, wires)
    circuit = array_circuit(g, wires, "forward")
    drivers = {("driver", n, None): v for n, v in enumerate(volts)}
    terminals = {("terminal", n, None): v for n, v in enumerate(out)}
    voltage, current = circuit.solve(drivers | terminals)
    burnt = sum(
        each * (voltage[circuit.same(a)] - voltage[circuit.same(b)]) ** 2
        for a, b, each in circuit.resistors
    )
    # Floating terminals bring no power.
    delivered = sum(v * current[node] for node, v in drivers.items())
    assert delivered == pytest.approx(burnt, rel=1e-9)


def test_both_directions_are_reciprocal_where_drivers_and_terminals_are_equal():
    # Each line has one terminal, so the transfer admittances of both directions are transposes.
    g = random_cells((9, 6))
    wires = Wires(r_row=2.0, r_column=3.0, r_driver=70.0, r_sense=70.0)
    forward = transfer(g, wires, termination="virtual_ground")
    backward = transfer(g, wires, direction="backward", termination="virtual_ground")
    np.testing.assert_allclose(backward, forward.T, rtol=1e-11)


def test_ideal_wires_settle_at_the_mean_and_conduct_the_sum():
    g = random_cells((6, 4))
    ideal = Wires()
    np.testing.assert_allclose(transfer(g, ideal), g / g.sum(axis=0), rtol=1e-14)
    current = transfer(g, ideal, termination="virtual_ground")
    np.testing.assert_allclose(current, g, rtol=1e-14)


def test_a_driver_and_one_cell_divide_a_voltage():
    g = np.array([[20 * MICRO]])
    wires = Wires(r_driver=10e3, r_row=5.0, r_on=20e3, r_sense=20e3)
    current = transfer(g, wires, termination="virtual_ground")
    assert current[0, 0] == pytest.approx(1 / (10e3 + 50e3 + 20e3 + 20e3), rel=1e-14)


def crossbar(rows=6, columns=5, seed=0, **options):
    g = np.random.default_rng(seed).uniform(1, 40, (2, rows, columns)) * MICRO
    return Crossbar(conductance=g, **options)


def test_a_crossbar_settles_through_its_wires_as_kirchhoff_says():
    wired = crossbar(wires=FULL)
    spikes = np.array([1, 0, -1, 1, 1, 0])
    g = interleaved(wired.conductance)
    volts = 0.5 * np.stack([spikes, -spikes], axis=1).ravel()
    np.testing.assert_allclose(wired.settle(spikes), sensed(g, FULL, volts), rtol=1e-10)


def test_a_crossbar_is_read_differentially_through_its_wires_in_the_backward_direction():
    wired = crossbar(wires=FULL).T
    spikes = np.array([1, 0, -1, 1, 1])
    lines = sensed(interleaved(wired.conductance), FULL, 0.5 * spikes, direction="backward")
    np.testing.assert_allclose(wired.settle(spikes), lines[0::2] - lines[1::2], rtol=1e-10)


def test_resistances_of_zero_change_nothing_but_rounding():
    ideal, wired = crossbar(), crossbar(wires=Wires())
    np.testing.assert_allclose(wired.settled, ideal.settled, rtol=0, atol=1e-15)
    np.testing.assert_allclose(wired.T.settled, ideal.T.settled, rtol=0, atol=1e-15)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_cores_have_wires_of_their_own_and_add_up_as_digital_partial_sums_do(direction):
    cut = crossbar(rows=7, columns=5, wires=FULL, pairs_per_core=3, columns_per_core=2)
    g = cut.conductance
    forward = direction == "forward"
    cut = cut if forward else cut.T
    expected = np.zeros(cut.shape)
    for rows, columns in product((slice(0, 3), slice(3, 6), slice(6, 7)), range(0, 5, 2)):
        part = g[:, rows, columns : columns + 2]
        lines = transfer(interleaved(part), FULL, direction=direction)
        if forward:
            share = part.sum(axis=(0, 1)) / g[:, :, columns : columns + 2].sum(axis=(0, 1))
            expected[rows, columns : columns + 2] = (lines[0::2] - lines[1::2]) * share
        else:
            share = part.sum(axis=2) / g[:, rows].sum(axis=2)
            upper, lower = lines[:, 0::2] * share[0], lines[:, 1::2] * share[1]
            expected[columns : columns + 2, rows] += upper - lower
    np.testing.assert_allclose(cut.settled, expected, rtol=1e-12)


def test_cores_side_by_side_are_as_one_where_wires_are_ideal():
    whole = crossbar(wires=Wires())
    cut = replace(whole, pairs_per_core=2, columns_per_core=2)
    np.testing.assert_allclose(cut.settled, whole.settled, rtol=1e-12)
    np.testing.assert_allclose(cut.T.settled, whole.T.settled, rtol=1e-12, atol=1e-16)


def test_a_programmed_chip_runs_on_the_weights_that_its_wires_leave(small_network):
    network, x = small_network
    ideal = program(network, chip=chips.neurram(), seed=0)
    wires = Wires(r_row=5.0, r_column=5.0, r_driver=1000.0)
    wired = program(network, chip=replace(chips.neurram(), wires=wires), seed=0)
    for before, after in zip(ideal.layers, wired.layers):
        np.testing.assert_array_equal(before.crossbar.conductance, after.crossbar.conductance)
        expected = replace(before.crossbar, wires=wires).charge().weight
        np.testing.assert_array_equal(after.crossbar.charge().weight, expected)
    assert simulate(wired, x).sizes["trial"] == len(x)


def test_a_recording_says_what_wires_the_chip_had(small_network):
    network, _ = small_network
    wires = Wires(r_row=5.0)
    wired = program(network, chip=replace(chips.neurram(), wires=wires), seed=0)
    assert wired.provenance["wires_ohm"]["r_row"] == 5.0
    assert "wires_ohm" not in program(network, chip="neurram", seed=0).provenance


@pytest.fixture
def small_network():
    from spikeram.conversion import TrainedNetwork, convert

    rng = np.random.default_rng(0)
    weights = (rng.normal(size=(8, 6)), rng.normal(size=(6, 3)))
    trained = TrainedNetwork.chain(weights=weights, biases=(np.zeros(6), np.zeros(3)))
    x = rng.random((4, 8))
    return convert(trained, x, steps=8), x


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"r_row": -1.0}, r"Wires.r_row expects a finite resistance >= 0 ohm, got -1.0 ohm"),
        ({"r_on": np.inf}, "Wires.r_on expects a finite resistance"),
        ({"r_sense": "1 uS"}, "Wires.r_sense is a resistance in ohm, got '1 uS', a conductance"),
    ],
)
def test_resistances_that_are_none_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Wires(**wrong)


def test_what_is_not_wires_is_refused():
    with pytest.raises(TypeError, match="Crossbar.wires expects Wires or None, got float"):
        crossbar(wires=1.0)
    with pytest.raises(ValueError, match="Crossbar.columns_per_core expects a count >= 1"):
        crossbar(columns_per_core=0)
