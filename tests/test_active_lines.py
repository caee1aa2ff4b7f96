from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.conversion import TrainedNetwork, convert
from spikeram.crossbar import Crossbar
from spikeram.errors import CircuitError
from spikeram.parasitics import LineSolver, Wires, active_lines, interleaved, line_solver, transfer
from spikeram.programming import program
from spikeram.simulation import simulate

from nodal import sensed, solved

MICRO = 1e-6
FULL = Wires(r_row=1.0, r_column=1.5, r_driver=100.0, r_sense=50.0, r_on=1000.0)
WIRES = [
    FULL,
    Wires(),
    Wires(r_row=2.5),
    Wires(r_column=3.0),
    Wires(r_driver=1000.0),
    Wires(r_row=500.0, r_column=300.0, r_driver=1e4, r_sense=1e3),
]


def random_cells(shape, seed=0):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0.1, 40, shape) * MICRO
    g[rng.random(shape) < 0.1] = 0.0
    return g


def random_spikes(n, rows, share, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.random((n, rows)) < share) * rng.choice([-0.5, 0.5], (n, rows))


@pytest.mark.parametrize("termination", ["floating", "virtual_ground"])
@pytest.mark.parametrize("wires", WIRES)
@pytest.mark.parametrize(("shape", "share"), [((1, 1), 1.0), ((9, 5), 0.4), ((24, 24), 0.1)])
def test_gated_rows_settle_as_the_nodal_solution_without_the_silent_ones(
    shape, share, wires, termination
):
    g = random_cells(shape)
    volts = random_spikes(4, shape[0], share)
    found, _ = line_solver(g, wires).settle(volts, volts != 0, termination=termination)
    for v, out in zip(volts, found):
        expected = sensed(g, wires, v, termination=termination, active=v != 0)
        # The promised error is one in a million of the largest output.
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


resistance = st.sampled_from([0.0, 0.01, 1.0, 30.0, 1e3, 1e5])


@given(
    st.builds(
        Wires, r_row=resistance, r_column=resistance, r_driver=resistance, r_sense=resistance
    ),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["floating", "virtual_ground"]),
    st.sampled_from([1e-3, 1e-6, 1e-9]),
)
@settings(max_examples=60)
def test_the_error_stays_below_the_tolerance(wires, shape, seed, termination, tolerance):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0.1, 40, shape) * MICRO
    volts = rng.normal(size=(1, shape[0])) * (rng.random(shape[0]) < 0.5)
    solver = line_solver(g, wires)
    found, _ = solver.settle(volts, volts != 0, termination=termination, tolerance=tolerance)
    expected = sensed(g, wires, volts[0], termination=termination, active=volts[0] != 0)
    np.testing.assert_allclose(
        found[0], expected, rtol=0, atol=(tolerance + 1e-10) * np.abs(expected).max()
    )


@pytest.mark.parametrize(
    ("direction", "termination"),
    list(product(["forward", "backward"], ["floating", "virtual_ground"])),
)
def test_with_all_lines_active_it_is_the_exact_map(direction, termination):
    g = random_cells((10, 14))
    passed = transfer(g, FULL, direction=direction, termination=termination)
    volts = np.random.default_rng(2).normal(size=(3, len(passed)))
    found, _ = line_solver(g, FULL, direction=direction).settle(
        volts, np.ones(volts.shape, bool), termination=termination, tolerance=1e-10
    )
    np.testing.assert_allclose(found, volts @ passed, rtol=0, atol=1e-9 * np.abs(found).max())


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_drivers_deliver_the_currents_of_the_nodal_solution(direction):
    g = random_cells((6, 6))
    volts = random_spikes(3, 6, 0.5)
    _, current = line_solver(g, FULL, direction=direction).settle(
        volts, volts != 0, tolerance=1e-10
    )
    for v, found in zip(volts, current):
        _, expected = solved(g, FULL, v, direction, active=v != 0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * 0.5 * g.sum())


def test_a_vector_without_a_spike_settles_at_the_reference():
    found, current = line_solver(random_cells((4, 3)), FULL).settle(
        np.zeros((1, 4)), np.zeros((1, 4), bool)
    )
    assert not found.any()
    assert not current.any()


@pytest.mark.slow
def test_five_percent_of_a_full_array_settles_within_one_in_a_million():
    g = np.random.default_rng(0).uniform(1, 40, (256, 256)) * MICRO
    volts = np.zeros((1, 256))
    volts[0, [3, 40, 41, 77, 120, 121, 150, 190, 222, 230, 240, 255]] = 0.5
    volts[0, ::2] *= -1
    found, _ = line_solver(g, FULL).settle(volts, volts != 0)
    expected = sensed(g, FULL, volts[0], active=volts[0] != 0)
    assert np.linalg.norm(found[0] - expected) < 1e-6 * np.linalg.norm(expected)


@pytest.mark.slow
def test_the_cost_goes_with_the_number_of_active_rows():
    g = np.random.default_rng(0).uniform(1, 40, (256, 256)) * MICRO
    solver = line_solver(g, FULL)
    seconds = {}
    for k in (4, 64):
        volts = np.zeros((20, 256))
        volts[:, :: 256 // k] = 0.5
        solver.settle(volts, volts != 0)
        times = []
        for _ in range(5):
            start = time.process_time()
            solver.settle(volts, volts != 0)
            times.append(time.process_time() - start)
        seconds[k] = min(times)
    # Sixteen times the rows: neither as dear as the whole array, nor as its square. The bounds
    # allow for caches and for a machine that does other work.
    assert 4 < seconds[64] / seconds[4] < 64


def crossbar(rows=6, columns=5, **options):
    g = np.random.default_rng(0).uniform(1, 40, (2, rows, columns)) * MICRO
    return Crossbar(conductance=g, **options)


def test_disconnected_rows_do_not_count_in_the_denominator():
    gated = crossbar(silent="disconnected")
    spikes = np.array([1, 0, 0, -1, 0, 0])
    g = gated.conductance[:, [0, 3]]
    expected = 0.5 * np.array([1, -1]) @ (g[0] - g[1]) / g.sum(axis=(0, 1))
    np.testing.assert_allclose(gated.settle(spikes), expected, rtol=1e-12)


def test_a_gated_crossbar_settles_through_its_wires_as_kirchhoff_says():
    gated = crossbar(silent="disconnected", wires=FULL)
    spikes = np.array([[1, 0, 0, -1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, -1, 1, 1, 1]])
    g = interleaved(gated.conductance)
    for row, found in zip(spikes, gated.settle(spikes)):
        volts = 0.5 * np.stack([row, -row], axis=1).ravel()
        expected = sensed(g, FULL, volts, active=volts != 0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_held_and_disconnected_rows_are_different_circuits_unless_all_spike():
    spikes = np.array([[1, 0, 0, -1, 0, 0], [1, 1, -1, 1, -1, 1]])
    held = crossbar(wires=FULL).settle(spikes)
    gated = crossbar(wires=FULL, silent="disconnected").settle(spikes)
    assert np.abs(gated[0]).max() > 2 * np.abs(held[0]).max()
    np.testing.assert_allclose(gated[1], held[1], rtol=0, atol=1e-6 * np.abs(held[1]).max())


def test_gated_cores_add_up_with_their_shares_of_conductance():
    cut = crossbar(silent="disconnected", wires=FULL, pairs_per_core=4, columns_per_core=3)
    spikes = np.array([1, 0, 1, 0, -1, 0])
    expected = np.zeros(5)
    for rows, columns in product((slice(0, 4), slice(4, 6)), (slice(0, 3), slice(3, 5))):
        g = cut.conductance[:, rows, columns]
        part = Crossbar(conductance=g, silent="disconnected", wires=FULL)
        share = g.sum(axis=(0, 1)) / cut.conductance[:, :, columns].sum(axis=(0, 1))
        expected[columns] += share * part.settle(spikes[rows])
    np.testing.assert_allclose(cut.settle(spikes), expected, rtol=1e-12)


def test_engines_refuse_disconnected_rows_before_the_run():
    message = "silent='disconnected' has no effective weights, .* Use Crossbar.settle"
    with pytest.raises(ValueError, match=message):
        crossbar(silent="disconnected").charge()
    trained = TrainedNetwork.chain(weights=(np.eye(3),), biases=(np.zeros(3),))
    x = np.full((2, 3), 0.5)
    chip = program(convert(trained, x, steps=4), seed=0)
    layer = chip.layers[0]
    gated = replace(layer, crossbar=replace(layer.crossbar, silent="disconnected"))
    with pytest.raises(ValueError, match=message):
        simulate(replace(chip, layers=(gated,)), x)


def test_disconnected_rows_cannot_be_sensed():
    with pytest.raises(ValueError, match="expects direction 'forward': word lines cut rows off"):
        _ = crossbar(silent="disconnected").T
    with pytest.raises(ValueError, match="expects 'held' or 'disconnected', got 'floating'"):
        crossbar(silent="floating")


def test_voltages_of_the_wrong_shape_are_refused():
    solver = line_solver(random_cells((4, 3)), FULL)
    with pytest.raises(ValueError, match=r"shape \(sample, 4\), got \(1, 3\) and \(1, 3\)"):
        solver.settle(np.ones((1, 3)), np.ones((1, 3), bool))


def test_a_circuit_that_does_not_settle_is_an_error(monkeypatch):
    monkeypatch.setattr(active_lines, "MAX_SWEEPS", 1)
    solver = line_solver(random_cells((8, 8)), Wires(r_row=500.0, r_driver=1e4))
    assert isinstance(solver, LineSolver)
    with pytest.raises(CircuitError, match="1 of 1 vectors did not settle to 1e-06 in 1 sweeps"):
        solver.settle(np.ones((1, 8)), np.eye(8, dtype=bool)[:1] | True)
