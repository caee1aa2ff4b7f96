from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

import spikeram.accessor  # noqa: F401
from spikeram import registry, statistics
from spikeram.energy import (
    COMPONENTS,
    CORE,
    EnergyModel,
    Events,
    address_bits,
    energy,
    latency,
    price,
    resolve,
)
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


def one_crossbar(
    *, rows, columns, cores=1, active, steps=4, samples=1, always_on=0, active_steps=None
):
    spikes = np.zeros((samples, steps, columns), np.int8)
    if active_steps is not None:
        active_steps = np.full((samples, 1), active_steps)
    return recording_of(
        [spikes],
        layers=[charge_layer("a", columns, rows=rows, cores=cores, always_on=always_on)],
        active_rows=np.full((samples, 1), active),
        active_steps=active_steps,
    )


def whole(ds, model=MODEL):
    return float(energy(ds, model).sum())


def of_component(ds, component):
    return float(energy(ds, MODEL).sel(component=component).sum())


def test_a_full_core_of_neurram_takes_what_was_estimated_from_its_measurements():
    # 475 to 590 pJ of word lines, 226 to 259 pJ of input and 448 pJ of neurons: their middle is
    # 1.22 nJ, and the ends lie within 0.08 nJ.
    ds = one_crossbar(rows=256, columns=256, active=128, steps=1)
    joules = float(energy(ds, "neurram").sel(component=list(CORE)).sum())
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
    expected = {
        "word_lines": 4 * 64,
        "input_pulses": 25 * 10.0,
        "sample": 4 * 10 * 1,
        "integrate": 4 * 10 * 2,
        "compare": 4 * 10 * 3,
    }
    found = energy(ds, MODEL)
    assert tuple(found["component"].values) == COMPONENTS
    assert found.values.tolist() == [[[expected.get(name, 0.0) for name in COMPONENTS]]]


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
    assert float(steady.sum()) > 0
    np.testing.assert_array_equal(steady, np.broadcast_to(steady[:1], steady.shape))


FULL = dataclasses.replace(
    MODEL,
    start=512.0,
    decrement=5.0,
    control=7.0,
    partial_sum=11.0,
    traffic=13.0,
    off_chip=17.0,
    partial_bits=2,
)


def test_an_idle_step_costs_comparisons_alone():
    ds = one_crossbar(rows=64, columns=10, active=25, steps=9, active_steps=4)
    found = energy(ds, FULL).sel(component=list(CORE)).sum(("trial", "crossbar"))
    expected = {
        "word_lines": 4 * 64,
        "start": 64 * 2,
        "input_pulses": 25 * 10.0,
        "sample": 4 * 10 * 1,
        "integrate": 4 * 10 * 2,
        "compare": 9 * 10 * 3,
        "control": 10 * 7,
    }
    assert dict(zip(CORE, found.values)) == {name: expected.get(name, 0.0) for name in CORE}


def test_a_crossbar_that_is_never_driven_costs_comparisons_alone():
    ds = one_crossbar(rows=64, columns=10, active=0, steps=9, active_steps=0)
    assert float(energy(ds, FULL).sum()) == 9 * 10 * 3


def test_always_on_rows_keep_a_crossbar_from_idling():
    shape = dict(rows=64, columns=10, active=25 + 9 * 2, steps=9, always_on=2)
    never = energy(one_crossbar(**shape, active_steps=9), FULL)
    xr.testing.assert_equal(energy(one_crossbar(**shape, active_steps=4), FULL), never)


def test_skipping_biases_saves_their_steps_and_their_pulses():
    ds = one_crossbar(rows=64, columns=10, active=25 + 9 * 2, steps=9, always_on=2, active_steps=4)
    found = energy(ds, FULL, idle="skip_biases").sum(("trial", "crossbar"))
    assert float(found.sel(component="input_pulses")) == (25 + 4 * 2) * 10.0
    assert float(found.sel(component="sample")) == 4 * 10


def test_without_skipping_every_step_costs_the_same():
    idle = one_crossbar(rows=64, columns=10, active=25, steps=9, active_steps=4)
    busy = one_crossbar(rows=64, columns=10, active=25, steps=9, active_steps=9)
    xr.testing.assert_identical(energy(idle, FULL, idle="run"), energy(busy, FULL, idle="run"))


def test_recordings_that_do_not_say_which_steps_are_idle_skip_none():
    old = one_crossbar(rows=64, columns=10, active=25, steps=9)
    assert "active_steps" not in old
    busy = one_crossbar(rows=64, columns=10, active=25, steps=9, active_steps=9)
    np.testing.assert_array_equal(energy(old, FULL), energy(busy, FULL))
    older = old.drop_vars("always_on")
    np.testing.assert_array_equal(energy(older, FULL), energy(busy, FULL))


def test_word_lines_that_stay_open_switch_once():
    ds = one_crossbar(rows=64, columns=10, active=25, steps=9, active_steps=4)
    pulsed, held = (energy(ds, FULL, word_lines=mode) for mode in ("pulsed", "held"))
    assert float(held.sel(component="word_lines").sum()) == 64
    assert float(pulsed.sel(component="word_lines").sum()) == 4 * 64
    rest = [name for name in COMPONENTS if name != "word_lines"]
    np.testing.assert_array_equal(pulsed.sel(component=rest), held.sel(component=rest))


def test_each_spike_takes_one_decrement():
    spikes = random_spikes(0, 2, 7, (3, 4))
    found = energy(recording_of(spikes), FULL).sel(component="decrement")
    expected = [[5.0 * np.count_nonzero(train[s]) for train in spikes] for s in range(2)]
    np.testing.assert_array_equal(found, expected)


def test_spikes_travel_as_addresses_to_what_they_drive():
    spikes = random_spikes(0, 2, 7, (6, 3, 4))
    ds = recording_of(spikes)
    n = [np.count_nonzero(train, axis=(1, 2)) for train in spikes]
    found = energy(ds, FULL).sel(component="traffic")
    # 6 neurons take 3 bits, 3 take 2.
    np.testing.assert_array_equal(found, 13.0 * np.stack([0 * n[0], 3 * n[0], 2 * n[1]], axis=1))


def test_a_spike_that_drives_two_crossbars_is_sent_twice():
    spikes = random_spikes(0, 2, 7, (6, 3, 4))
    wires = '{"sources": {"a": ["input"], "b": ["a"], "c": ["a", "b"]}}'
    ds = recording_of(spikes).assign_attrs(provenance=wires)
    n = [np.count_nonzero(train, axis=(1, 2)) for train in spikes]
    found = energy(ds, FULL).sel(component="traffic", crossbar="c")
    np.testing.assert_array_equal(found, 13.0 * (3 * n[0] + 2 * n[1]))


def test_spikes_of_the_input_and_the_output_cross_the_edge_of_the_chip():
    spikes = random_spikes(0, 2, 7, (6, 3, 4))
    ds = recording_of(spikes, has_input=True)
    n = [np.count_nonzero(train, axis=(1, 2)) for train in spikes]
    found = energy(ds, FULL).sel(component="off_chip")
    np.testing.assert_array_equal(found, 17.0 * np.stack([3 * n[0], 2 * n[2]], axis=1))


def test_spikes_with_signs_take_a_bit_more():
    spikes = random_spikes(0, 2, 7, (3,), signed=True)
    found = energy(recording_of(spikes), FULL).sel(component="off_chip")
    np.testing.assert_array_equal(found[:, 0], 17.0 * 3 * np.count_nonzero(spikes[0], axis=(1, 2)))


def test_only_layers_that_spike_with_signs_send_them():
    (hidden,) = random_spikes(0, 2, 7, (3,))
    (output,) = random_spikes(1, 2, 7, (3,), signed=True)
    ds = recording_of((hidden, output))
    sent = energy(ds, FULL).sum("trial")
    assert sent.sel(component="traffic", crossbar="b") == 13.0 * 2 * np.count_nonzero(hidden)
    assert sent.sel(component="off_chip", crossbar="b") == 17.0 * 3 * np.count_nonzero(output)


@pytest.mark.parametrize(("neurons", "bits"), [(1, 1), (2, 1), (3, 2), (256, 8), (257, 9)])
def test_addresses_tell_all_neurons(neurons, bits):
    assert address_bits(neurons) == bits


def test_parts_of_a_column_are_digitised_sent_and_added():
    ds = one_crossbar(rows=3 * 256, columns=10, cores=3, active=25, steps=4)
    found = energy(ds, FULL).sum(("trial", "crossbar"))
    assert float(found.sel(component="partial_sums")) == 4 * 10 * 2 * 11
    assert float(found.sel(component="traffic")) == 4 * 10 * 2 * 2 * 13
    # One comparison of the neuron and two of the converter, in each part.
    assert float(found.sel(component="compare")) == 4 * 10 * 3 * (1 + 2) * 3


def test_events_add_up():
    some, more = Events(sample=2, traffic=1), Events(sample=3, compare=4)
    assert some + more == Events(sample=5, traffic=1, compare=4)
    np.testing.assert_array_equal(price(some + more, FULL), price(some, FULL) + price(more, FULL))


def test_a_recording_of_some_neurons_prices_what_does_not_depend_on_them():
    ds = recording_of(random_spikes(0, 2, 7, (3, 4)))
    some = ds.spk.select(neuron=ds["layer"].values == "b")
    steady = [name for name in CORE if name != "decrement"]
    np.testing.assert_array_equal(
        energy(some, FULL).sel(component=steady), energy(ds, FULL).sel(component=steady)
    )


def test_figures_carry_their_node_and_source():
    found = energy(recording_of(random_spikes(0, 2, 7, (3,))), "neurram")
    assert found.attrs["node"] == "130 nm"
    assert "Extended Data Fig. 12" in found.attrs["source"]


@pytest.mark.parametrize("option", [{"idle": "never"}, {"word_lines": "gated"}])
def test_unknown_options_are_refused(option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name} expects one of .*, got '{value}'"):
        energy(recording_of(random_spikes(0, 2, 7, (3,))), MODEL, **option)


def convolved(*positions):
    ds = recording_of(random_spikes(0, 2, 7, tuple(3 for _ in positions)))
    return ds.assign(positions=("crossbar", np.array(positions)))


def test_positions_follow_each_other_and_copies_share_them():
    ds = convolved(42, 4, 1)
    assert latency(ds, MODEL)[0] == 7 * (42 + 4 + 1) * 0.5
    assert latency(ds, MODEL, copies={"a": 4})[0] == 7 * (11 + 4 + 1) * 0.5


def test_copies_of_what_there_is_not_are_refused():
    with pytest.raises(ValueError, match="copies expects counts >= 1 of the crossbars a, b, got 2"):
        latency(convolved(3, 4), MODEL, copies={"z": 2})


def test_crossbars_that_share_a_core_take_turns():
    ds = recording_of(random_spikes(0, 2, 7, (3, 3)))
    assert latency(ds, MODEL)[0] == (7 + 1) * 0.5
    assert latency(ds, MODEL, merged=[("a", "b")])[0] == 2 * 7 * 0.5


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
        ({"phase_time": -1.0}, r"phase_time expects a time >= 0, got -1\.0 s"),
        ({"partial_bits": -1}, "partial_bits >= 0, got 256, 256 and -1"),
        ({"core_columns": 0}, "core_columns >= 1 and partial_bits >= 0, got 256, 0 and 0"),
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
