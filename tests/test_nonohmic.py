from __future__ import annotations

import math

import numpy as np
import pytest

from spikeram.crossbar import Crossbar
from spikeram.parasitics import SinhCell, Wires, interleaved, line_solver, settle_cells

from nodal import nonohmic

MICRO = 1e-6
FULL = Wires(r_row=50.0, r_column=80.0, r_driver=1000.0, r_sense=300.0, r_on=5000.0)


def random_cells(shape, seed=0):
    g = np.random.default_rng(seed).uniform(1, 40, shape) * MICRO
    g[0, -1] = 0.0
    return g


@pytest.mark.parametrize("termination", ["floating", "virtual_ground"])
@pytest.mark.parametrize("wires", [FULL, Wires(), Wires(r_on=2e4), Wires(r_row=100, r_column=100)])
@pytest.mark.parametrize("v_scale", [0.1, 0.3, 0.92])
def test_cells_settle_as_the_roots_of_kirchhoffs_law(v_scale, wires, termination):
    g = random_cells((4, 3))
    volts = np.array([0.5, -0.5, 0.0, 0.4])
    found = settle_cells(
        g,
        SinhCell(v_scale=v_scale),
        wires,
        volts=volts[np.newaxis],
        active=np.ones((1, 4), bool),
        termination=termination,
        tolerance=1e-8,
    )[0]
    expected = nonohmic(g, v_scale, wires, volts, termination=termination)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_disconnected_rows_are_not_in_the_circuit():
    g, volts = random_cells((5, 3)), np.array([0.5, 0.0, -0.5, 0.0, 0.5])
    found = settle_cells(
        g, SinhCell(v_scale=0.3), FULL, volts=volts[np.newaxis], active=[volts != 0]
    )[0]
    expected = nonohmic(g, 0.3, FULL, volts, active=volts != 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_backward_direction_is_the_array_turned_round():
    g = random_cells((4, 3))
    cell, wires = SinhCell(v_scale=0.2), Wires(r_row=30.0, r_column=70.0, r_driver=500.0)
    turned = Wires(r_row=70.0, r_column=30.0, r_driver=500.0)
    volts = np.array([[0.5, -0.5, 0.2]])
    found = settle_cells(
        g, cell, wires, volts=volts, active=np.ones((1, 3), bool), direction="backward"
    )[0]
    expected = nonohmic(g[::-1, ::-1].T, 0.2, turned, volts[0, ::-1])[::-1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_at_a_large_scale_cells_are_ohmic():
    g, volts = random_cells((9, 7)), np.random.default_rng(1).normal(size=(2, 9))
    active = np.ones(volts.shape, bool)
    found = settle_cells(g, SinhCell(v_scale=1e6), FULL, volts=volts, active=active)
    expected, _ = line_solver(g, FULL).settle(volts, active, tolerance=1e-9)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_one_cell_between_a_driver_and_ground_carries_its_law():
    current = settle_cells(
        np.array([[20 * MICRO]]),
        SinhCell(v_scale=0.25),
        Wires(),
        volts=[[0.5]],
        active=[[True]],
        termination="virtual_ground",
    )
    assert current[0, 0] == pytest.approx(20 * MICRO * 0.25 * math.sinh(2.0), rel=1e-12)


def test_an_excess_current_sets_the_scale():
    cell = SinhCell.from_excess(0.05, at="0.5 V")
    ratio = cell.v_scale * math.sinh(0.5 / cell.v_scale) / 0.5
    assert ratio == pytest.approx(1.05, rel=1e-12)


@pytest.mark.parametrize("silent", ["held", "disconnected"])
def test_a_crossbar_of_such_cells_settles_as_kirchhoff_says(silent):
    g = np.random.default_rng(0).uniform(1, 40, (2, 3, 2)) * MICRO
    crossbar = Crossbar(conductance=g, cell=SinhCell(v_scale=0.3), wires=FULL, silent=silent)
    spikes = np.array([1.0, 0.0, -1.0])
    volts = 0.5 * np.stack([spikes, -spikes], axis=1).ravel()
    active = volts != 0 if silent == "disconnected" else None
    expected = nonohmic(interleaved(g), 0.3, FULL, volts, active=active)
    found = crossbar.settle(spikes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_engines_refuse_cells_that_are_not_ohmic():
    g = np.full((2, 3, 2), 10 * MICRO)
    crossbar = Crossbar(conductance=g, cell=SinhCell(v_scale=0.3))
    with pytest.raises(ValueError, match="a SinhCell has no effective weights"):
        crossbar.charge()
    with pytest.raises(ValueError, match="a SinhCell has no effective weights"):
        _ = crossbar.T.effective_weight


def test_scales_that_are_none_are_refused():
    with pytest.raises(ValueError, match="SinhCell.v_scale expects a finite voltage > 0, got 0.0"):
        SinhCell(v_scale=0)
    with pytest.raises(ValueError, match="expects an excess and a voltage > 0, got -0.1 and 0.5 V"):
        SinhCell.from_excess(-0.1, at=0.5)
