from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram._kernels.crossbar import charge_of_spikes, scatter_spikes
from spikeram._kernels.rows import tiles_of
from spikeram.crossbar import Crossbar, conductance_from_weight, weight_from_conductance
from spikeram.neuron import SamplingNeuron

MICRO = 1e-6


def settled_by_nodal_analysis(conductance, v_lines, sensed):
    """Return the voltages of floating lines from Kirchhoff's current law on all nodes.

    conductance (line, line) [S]; v_lines: known voltages of driven lines; sensed: floating ones.
    """
    laplacian = np.diag(conductance.sum(axis=1)) - conductance
    driven = [n for n in range(len(laplacian)) if n not in sensed]
    known = np.array([v_lines[n] for n in driven])
    system = laplacian[np.ix_(sensed, sensed)]
    return np.linalg.solve(system, -laplacian[np.ix_(sensed, driven)] @ known)


def random_crossbar(seed=0, rows=5, columns=4, **options):
    g = np.random.default_rng(seed).uniform(1, 40, (2, rows, columns)) * MICRO
    return Crossbar(conductance=g, **options)


def test_columns_settle_as_kirchhoff_says():
    crossbar = random_crossbar()
    rows, columns = crossbar.shape
    spikes = np.array([1.0, 0.0, -1.0, 0.5, 0.0])
    # Nodes: word lines of G+, then of G-, then columns.
    graph = np.zeros((2 * rows + columns,) * 2)
    both = crossbar.conductance.reshape(2 * rows, columns)
    graph[: 2 * rows, 2 * rows :] = both
    graph += graph.T
    volts = dict(enumerate(np.concatenate([spikes, -spikes]) * crossbar.v_read))
    expected = settled_by_nodal_analysis(graph, volts, list(range(2 * rows, 2 * rows + columns)))
    np.testing.assert_allclose(crossbar.settle(spikes), expected, rtol=1e-12)


def test_rows_settle_as_kirchhoff_says_in_the_backward_direction():
    crossbar = random_crossbar(1)
    rows, columns = crossbar.shape
    spikes = np.array([1.0, -1.0, 0.0, 1.0])
    graph = np.zeros((2 * rows + columns,) * 2)
    graph[: 2 * rows, 2 * rows :] = crossbar.conductance.reshape(2 * rows, columns)
    graph += graph.T
    volts = {2 * rows + j: spikes[j] * crossbar.v_read for j in range(columns)}
    lines = settled_by_nodal_analysis(graph, volts, list(range(2 * rows)))
    expected = lines[:rows] - lines[rows:]
    np.testing.assert_allclose(crossbar.T.settle(spikes), expected, rtol=1e-12)


def test_a_silent_row_counts_in_the_denominator():
    g = np.full((2, 2, 1), 10 * MICRO)
    g[1] = 0
    crossbar = Crossbar(conductance=g, v_read=1.0)
    assert crossbar.settle([1, 0]) == pytest.approx([0.5])


def test_segments_add_up_as_digital_partial_sums_do():
    whole = random_crossbar(2, rows=10)
    cut = random_crossbar(2, rows=10, pairs_per_core=4)
    spikes = np.array([1, 0, 0, 1, -1, 0, 1, 1, 0, -1])
    total = np.zeros(4)
    for rows, load in zip(cut.segments, cut.line_conductance):
        part = Crossbar(conductance=cut.conductance[:, rows])
        total += part.settle(spikes[rows]) * load
    expected = total / cut.line_conductance.sum(axis=0)
    assert [rows.stop - rows.start for rows in cut.segments] == [4, 4, 2]
    np.testing.assert_allclose(cut.settle(spikes), expected, rtol=1e-12)
    np.testing.assert_allclose(whole.settle(spikes), expected, rtol=1e-12)


def test_turning_an_array_round_copies_nothing():
    crossbar = random_crossbar()
    assert np.shares_memory(crossbar.conductance, crossbar.T.conductance)
    assert crossbar.T.shape == crossbar.shape[::-1]
    np.testing.assert_array_equal(crossbar.T.T.effective_weight, crossbar.effective_weight)


def test_a_crossbar_does_not_change_with_the_array_it_was_made_from():
    g = np.full((2, 2, 2), 1e-5)
    crossbar = Crossbar(conductance=g)
    g[:] = 0
    assert crossbar.conductance.min() == 1e-5


def test_sensing_backwards_puts_as_many_cells_on_a_line_as_there_are_columns():
    crossbar = random_crossbar()
    assert (crossbar.charge().rows, crossbar.T.charge().rows) == (10, 4)


def test_one_spike_moves_the_membrane_by_the_effective_weight():
    crossbar = random_crossbar(neuron=SamplingNeuron(c_sample="17 fF", c_integ="104 fF"))
    spike = np.eye(5)[2]
    expected = crossbar.settle(spike) * 17 / 104
    np.testing.assert_allclose(crossbar.effective_weight[2], expected, rtol=1e-12)


def test_weights_come_back_from_conductances():
    weight = np.random.default_rng(0).normal(size=(20, 6))
    window = {"g_min": "1 uS", "g_max": "40 uS"}
    g = conductance_from_weight(weight, **window)
    back = weight_from_conductance(g, **window, w_max=np.abs(weight).max(axis=0))
    np.testing.assert_allclose(back, weight, atol=1e-14)
    assert g.min() == 1e-6


def test_weights_beyond_the_largest_saturate():
    g = conductance_from_weight([[3.0, -3.0]], g_min=0, g_max=4e-5, w_max=2.0)
    np.testing.assert_allclose(g[:, 0], [[4e-5, 0], [0, 4e-5]])


def test_every_column_uses_the_whole_window():
    weight = np.random.default_rng(0).normal(size=(20, 6)) * [1, 10, 100, 0.1, 5, 0]
    g = conductance_from_weight(weight, g_min="1 uS", g_max="40 uS")
    np.testing.assert_allclose(g.max(axis=(0, 1)), [40e-6] * 5 + [1e-6])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 17, 64]),
    st.sampled_from([1, 8, 9, 17, 33, 64, 65, 200]),
    st.floats(0, 1),
)
def test_added_rows_are_the_matrix_product(seed, n_inputs, n_outputs, activity):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-2047, 2048, (n_inputs, n_outputs)).astype(np.int16)
    fired = rng.random((5, n_inputs)) < activity
    spikes = (fired * rng.choice([-1, 1], (5, n_inputs))).astype(np.int8)
    out = np.empty((5, n_outputs), np.int32)
    charge_of_spikes(spikes, tiles_of(weight), n_inputs, out, np.empty(5, bool))
    np.testing.assert_array_equal(out, spikes.astype(np.int64) @ weight.astype(np.int64))


def test_sixteen_of_the_largest_weights_do_not_wrap_around():
    weight = np.full((64, 3), 2047, np.int16)
    out = np.empty((1, 3), np.int32)
    charge_of_spikes(np.ones((1, 64), np.int8), tiles_of(weight), 64, out, np.empty(1, bool))
    np.testing.assert_array_equal(out, 64 * 2047)


def test_scattered_spikes_reach_their_own_sample():
    rng = np.random.default_rng(0)
    weight = rng.integers(-2047, 2048, (7, 4)).astype(np.int16)
    spikes = rng.integers(-1, 2, (3, 7)).astype(np.int8)
    flat = np.flatnonzero(spikes).astype(np.int32)
    membrane = np.zeros((3, 4))
    scatter_spikes(flat, spikes.ravel()[flat], 7, tiles_of(weight), 2.0**-20, membrane)
    expected = spikes.astype(np.int64) @ weight.astype(np.int64) * 2.0**-20
    np.testing.assert_array_equal(membrane, expected)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([[1.0, np.nan]], "expects finite values, got 1 that are NaN or infinite"),
        ([], "expects shape"),
        (np.zeros((0, 3)), "at least one of each, got \\(0, 3\\)"),
        ([1.0, 2.0], "got \\(2,\\)"),
    ],
)
def test_weights_that_are_no_matrix_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        Crossbar.from_weights(weight)


def test_wrong_windows_voltages_and_spikes_are_refused():
    with pytest.raises(ValueError, match="0 <= g_min < g_max"):
        conductance_from_weight([[1.0]], g_min="50 uS", g_max="40 uS")
    with pytest.raises(ValueError, match="g_max is a conductance in S, got '40 uV'"):
        conductance_from_weight([[1.0]], g_min=0, g_max="40 uV")
    with pytest.raises(ValueError, match="Crossbar.v_read expects a voltage > 0"):
        random_crossbar(v_read=0)
    with pytest.raises(ValueError, match=r"spikes of shape \(..., 5\), got \(3,\)"):
        random_crossbar().settle([1, 0, 1])
    with pytest.raises(ValueError, match="finite conductances >= 0"):
        Crossbar(conductance=np.full((2, 1, 1), -1e-6))
