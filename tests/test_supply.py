from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.parasitics import Wires, interleaved
from spikeram.supply import SupplyRail, settle_together

from nodal import Circuit, array_circuit

MICRO = 1e-6
MEASURED = (5.0, 5.4, 9.7, 15.4, 20.4, 28.0)
"""Mean error norms of six cores of one column switched together (Neurram_48core, notebooks)."""

FULL = Wires(r_row=5.0, r_column=8.0, r_driver=300.0, r_on=1000.0)


def crossbars(n, **options):
    rng = np.random.default_rng(0)
    return [
        Crossbar(conductance=rng.uniform(1, 40, (2, 4, 3)) * MICRO, **options) for _ in range(n)
    ]


def spikes_for(n, samples=2, rows=4):
    rng = np.random.default_rng(1)
    return [rng.integers(-1, 2, (samples, rows)) for _ in range(n)]


def settled_on_one_circuit(cores, spikes, rail):
    """Return outputs and rail voltages from Kirchhoff's law on all cores and both rails at once."""
    circuit = Circuit()
    for side in (1, -1):
        circuit.resistor(("supply", side), ("rail", 0, side), rail.r_supply)
        for c in range(len(cores) - 1):
            circuit.resistor(("rail", c, side), ("rail", c + 1, side), rail.r_segment)
    for c, core in enumerate(cores):
        signs = np.stack([spikes[c], -spikes[c]], axis=1).ravel()
        active = signs != 0 if core.silent == "disconnected" else None
        for n, sign in enumerate(signs):
            node = ("rail", c, int(sign)) if sign else ("reference",)
            circuit.resistor(("driver", n, c), node, 0.0)
        g = interleaved(core.conductance)
        wires = core.wires or Wires()
        array_circuit(g, wires, "forward", active=active, circuit=circuit, tag=c)
    v_read = cores[0].v_read
    sources = {("supply", 1): v_read, ("supply", -1): -v_read, ("reference",): 0.0}
    voltage, _ = circuit.solve(sources)
    out = [[voltage["terminal", j, c] for j in range(3)] for c in range(len(cores))]
    rails = [[abs(voltage["rail", c, side]) for side in (1, -1)] for c in range(len(cores))]
    return np.array(out), np.array(rails)


@pytest.mark.parametrize("silent", ["held", "disconnected"])
@pytest.mark.parametrize("wires", [None, FULL])
def test_cores_on_one_rail_settle_as_kirchhoff_says(wires, silent):
    cores, spikes = crossbars(4, wires=wires, silent=silent), spikes_for(4)
    # Strong enough to cost the last core half of its voltage.
    rail = SupplyRail(r_segment="400 ohm", r_supply="100 ohm")
    state = settle_together(cores, spikes, rail=rail)
    for s in range(2):
        out, rails = settled_on_one_circuit(cores, [each[s] for each in spikes], rail)
        found = np.array([settled[s] for settled in state.settled])
        np.testing.assert_allclose(found, out, rtol=0, atol=1e-8)
        np.testing.assert_allclose(state.rail[s], rails, rtol=0, atol=1e-8)


def test_one_resistance_makes_errors_grow_as_measured_from_the_first_to_the_last_of_six_cores():
    # Measured: 5.0 to 28.0. Each core errs by 10 % alone, the chip's noise in inference.
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 124, 204))
    target = [conductance_from_weight(each, g_min=1e-6, g_max=30e-6, w_max=3.0) for each in weight]
    sigma = 0.1 * np.std(target[0][0] - target[0][1]) / np.sqrt(2)
    cores = [
        Crossbar(conductance=np.maximum(each + rng.normal(0, sigma, each.shape), 0))
        for each in target
    ]
    spikes = [(rng.random((4, 124)) < 0.5).astype(float) for _ in cores]
    state = settle_together(cores, spikes, rail=SupplyRail(r_segment=1.1))
    errors = []
    for settled, each, s in zip(state.settled, target, spikes):
        wanted = Crossbar(conductance=each).settle(s)
        errors.append(np.linalg.norm(settled - wanted) / np.linalg.norm(wanted))
    assert errors[0] == pytest.approx(0.1, rel=0.15)
    assert errors[-1] / errors[0] == pytest.approx(MEASURED[-1] / MEASURED[0], rel=0.15)


def test_an_ideal_rail_leaves_every_core_as_it_is_alone():
    cores, spikes = crossbars(3, wires=FULL), spikes_for(3)
    state = settle_together(cores, spikes, rail=SupplyRail(r_segment=0.0))
    for core, s, settled in zip(cores, spikes, state.settled):
        np.testing.assert_allclose(settled, core.settle(s), rtol=0, atol=1e-9)


def test_later_cores_see_less():
    cores = crossbars(1) * 6
    state = settle_together(cores, spikes_for(1) * 6, rail=SupplyRail(r_segment=50.0))
    assert np.all(np.diff(state.rail, axis=1) < 0)
    np.testing.assert_allclose(state.rail[:, 0], 0.5, rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.01, 3.0), min_size=6, max_size=6), st.integers(0, 1000))
def test_the_sag_grows_less_and_less_along_a_rail_whatever_cores_draw(loads, seed):
    # What flows through a segment flowed through those before it. So of the sag between the first
    # core and the last, core k + 1 has k / 5 or more.
    spikes = np.random.default_rng(seed).integers(0, 2, (3, 4))
    one = crossbars(1)[0]
    cores = [replace(one, conductance=load * one.conductance) for load in loads]
    state = settle_together(cores, [spikes] * 6, rail=SupplyRail(r_segment=100.0, r_supply=30.0))
    sag = np.diff(0.5 - state.rail, axis=1)
    assert np.all(sag >= -1e-12)
    assert np.all(np.diff(sag, axis=1) <= 1e-12)


def test_measured_errors_rise_less_at_the_second_core_than_any_such_rail_allows():
    # Errors of a core by itself are taken to be equal and independent of the sag, so that squares
    # add: a fifth of the sag, or more, is a twenty-fifth of the excess, or more.
    excess = np.square(MEASURED) - MEASURED[0] ** 2
    assert excess[1] / excess[-1] < 1 / 25
    assert np.all(excess[1:-1] < excess[-1] * (np.arange(1, 5) / 5) ** 2)


def test_cores_sensed_backwards_share_a_rail_too():
    cores = [core.T for core in crossbars(2)]
    spikes = spikes_for(2, rows=3)
    state = settle_together(cores, spikes, rail=SupplyRail(r_segment=0.0))
    for core, s, settled in zip(cores, spikes, state.settled):
        np.testing.assert_allclose(settled, core.settle(s), rtol=0, atol=1e-9)


def test_a_rail_above_its_supply_is_refused():
    with pytest.raises(ValueError, match="cannot stand above its supply: v_read is 1.2 V"):
        settle_together(crossbars(1, v_read=1.2), spikes_for(1), rail=SupplyRail(r_segment=1.0))


def test_what_cannot_share_a_rail_is_refused():
    rail = SupplyRail(r_segment=1.0)
    one, spikes = crossbars(1)[0], spikes_for(1)
    with pytest.raises(ValueError, match="spikes for each crossbar and at least one"):
        settle_together([], [], rail=rail)
    with pytest.raises(ValueError, match="read at one voltage"):
        settle_together([one, replace(one, v_read=0.3)], spikes * 2, rail=rail)
    with pytest.raises(ValueError, match="as many samples for each crossbar"):
        settle_together([one, one], [spikes[0], spikes[0][:1]], rail=rail)
    with pytest.raises(ValueError, match="spikes of -1, 0 or 1"):
        settle_together([one], [spikes[0] * 0.5], rail=rail)
    with pytest.raises(ValueError, match="expects one core of ohmic cells, got 2 cores"):
        settle_together([replace(one, pairs_per_core=2)], spikes, rail=rail)


@pytest.mark.parametrize("name", ["r_segment", "r_supply", "v_supply"])
def test_rails_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match=f"SupplyRail.{name} expects a finite value"):
        SupplyRail(**{"r_segment": 1.0} | {name: -1.0})
