from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

import spikeram.accessor  # noqa: F401
from spikeram import registry, statistics
from spikeram.energy import COMPONENTS, EnergyModel, energy, latency, resolve
from spikeram.errors import UnitError

from recordings import charge_layer, random_spikes, recording_of

MODEL = EnergyModel(
    word_lines=256.0,
    input_pulse=10.0,
    sample=1.0,
    integrate=2.0,
    compare=3.0,
    step_time=0.5,
)
quick = settings(max_examples=25, deadline=None, derandomize=True)


def one_crossbar(*, rows, columns, cores=1, active, steps=4, samples=1):
    spikes = np.zeros((samples, steps, columns), np.int8)
    return recording_of(
        [spikes],
        layers=[charge_layer("a", columns, rows=rows, cores=cores)],
        active_rows=np.full((samples, 1), active),
    )


def whole(ds, model=MODEL):
    return float(energy(ds, model).sum())


def of_component(ds, component):
    return float(energy(ds, MODEL).sel(component=component).sum())


def test_a_full_core_of_neurram_takes_what_was_estimated_from_its_measurements():
    # 475 to 590 pJ of word lines, 226 to 259 pJ of input and 448 pJ of neurons: their middle is
    # 1.22 nJ, and the ends lie within 0.08 nJ.
    ds = one_crossbar(rows=256, columns=256, active=128, steps=1)
    joules = whole(ds, "neurram")
    assert joules == pytest.approx(1.22e-9, abs=0.08e-9)
    operations = float(statistics.synaptic_operations(ds).sum())
    assert operations == 32768
    # 37 fJ for each synaptic operation is quoted to two digits.
    assert joules / operations == pytest.approx(37e-15, abs=0.5e-15)


def test_a_step_of_neurram_takes_820_ns():
    assert resolve("neurram").step_time == pytest.approx(0.82e-6)


def test_a_full_core_step_is_the_energy_of_a_full_core_for_one_step():
    ds = one_crossbar(rows=256, columns=256, active=128, steps=1)
    assert whole(ds) == MODEL.full_core_step == 256 + 1280 + 6 * 256


def test_the_components_are_those_of_a_hand_count():
    ds = one_crossbar(rows=64, columns=10, active=25, steps=4)
    expected = [4 * 64, 25 * 10.0, 4 * 10 * 1, 4 * 10 * 2, 4 * 10 * 3]
    found = energy(ds, MODEL)
    assert tuple(found["component"].values) == COMPONENTS
    assert found.values.tolist() == [[expected]]


def test_each_part_of_a_tall_column_has_neurons_of_its_own():
    one = one_crossbar(rows=256, columns=10, active=25)
    two = one_crossbar(rows=512, columns=10, active=25)
    for component in ("sample", "integrate", "compare", "word_lines"):
        assert of_component(two, component) == 2 * of_component(one, component)
    assert of_component(two, "input_pulses") == of_component(one, "input_pulses")


def test_lines_of_a_wide_crossbar_cross_several_cores():
    narrow = one_crossbar(rows=64, columns=256, active=25)
    wide = one_crossbar(rows=64, columns=512, cores=2, active=25)
    for component in COMPONENTS:
        assert of_component(wide, component) == 2 * of_component(narrow, component)


def test_silence_costs_word_lines_and_neurons_but_no_input():
    ds = one_crossbar(rows=64, columns=10, active=0)
    assert of_component(ds, "input_pulses") == 0
    assert of_component(ds, "word_lines") > 0
    assert of_component(ds, "sample") > 0


def test_what_a_sample_costs_depends_on_its_own_activity_alone():
    active = np.array([[5, 9], [0, 2], [7, 7]])
    ds = recording_of(random_spikes(0, 3, 4, (3, 2)), active_rows=active)
    found = energy(ds, MODEL)
    assert found.dims == ("trial", "crossbar", "component")
    np.testing.assert_array_equal(found.sel(component="input_pulses"), 10.0 * active)
    steady = found.drop_sel(component="input_pulses")
    np.testing.assert_array_equal(steady, np.broadcast_to(steady[:1], steady.shape))


@quick
@given(active=st.integers(0, 10**9), steps=st.integers(1, 50), columns=st.integers(1, 600))
def test_energy_is_linear_in_activity(active, steps, columns):
    cores = -(-columns // 256)
    shape = dict(rows=64, columns=columns, cores=cores, steps=steps)
    silent = whole(one_crossbar(active=0, **shape))
    busy = whole(one_crossbar(active=active, **shape))
    assert busy - silent == pytest.approx(active * cores * 10.0, rel=1e-9, abs=1e-6)


def test_layers_work_at_once_each_one_step_behind_its_input():
    ds = recording_of(random_spikes(0, 2, 7, (3, 4, 2)))
    found = latency(ds, MODEL)
    assert found.dims == ("trial",)
    assert found.values.tolist() == [(7 + 2) * 0.5] * 2


def test_encoded_inputs_are_no_crossbar():
    ds = recording_of(random_spikes(0, 2, 7, (3, 4, 2)), has_input=True)
    # One step for the input spikes to arrive, one for the second crossbar to follow.
    assert latency(ds, MODEL)[0] == (7 + 2) * 0.5
    assert energy(ds, MODEL).sizes["crossbar"] == 2


def test_a_recording_of_counts_has_the_same_energy():
    spikes = random_spikes(0, 2, 7, (3, 4))
    xr.testing.assert_identical(
        energy(recording_of(spikes, record="counts"), MODEL), energy(recording_of(spikes), MODEL)
    )


def test_energies_and_latencies_carry_units():
    ds = recording_of(random_spikes(0, 2, 7, (3,)))
    assert energy(ds, MODEL).attrs["units"] == "J"
    assert latency(ds, MODEL).attrs["units"] == "s"


def test_the_accessor_gives_what_the_functions_give():
    ds = recording_of(random_spikes(0, 2, 7, (3, 4)))
    xr.testing.assert_identical(ds.spk.energy(MODEL), energy(ds, MODEL))
    xr.testing.assert_identical(ds.spk.latency(MODEL), latency(ds, MODEL))


def test_units_are_read_and_wrong_ones_refused():
    assert dataclasses.replace(MODEL, sample="1.2 pJ").sample == pytest.approx(1.2e-12)
    with pytest.raises(UnitError, match=r"EnergyModel\.sample is .* in J, got '1 V'"):
        dataclasses.replace(MODEL, sample="1 V")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"compare": -1.0}, r"compare expects an energy >= 0, got -1\.0 J"),
        ({"word_lines": float("nan")}, "word_lines expects an energy >= 0, got nan J"),
        ({"step_time": 0.0}, r"step_time expects a time > 0, got 0\.0 s"),
        ({"core_columns": 0}, "core_columns >= 1, got 256 and 0"),
    ],
)
def test_values_without_meaning_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(MODEL, **wrong)


def test_a_chip_without_an_energy_model_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "lookup", lambda kind, name: SimpleNamespace)
    with pytest.raises(ValueError, match="The chip 'bare' has no energy model"):
        resolve("bare")


def test_an_unknown_chip_is_refused():
    with pytest.raises(ValueError, match=r"No chip is called 'neuram'.*Did you mean 'neurram'"):
        resolve("neuram")
