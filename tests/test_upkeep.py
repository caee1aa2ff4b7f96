"""Ageing and reprogramming: the same chip, later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikeram.conversion import convert
from spikeram.faults import Faults
from spikeram.models import chips
from spikeram.programming import program
from spikeram.upkeep import age, reprogram, wear

from networks import inputs, trained

X = inputs(0, 60)
NETWORK = convert(trained(2, (6, 60, 40, 3)), X, steps=32)
CHIP = program(NETWORK, delay="1 day", seed=0)


def conductances(chip):
    return np.concatenate([layer.crossbar.conductance.ravel() for layer in chip.layers])


def pulses(chip):
    return np.concatenate([layer.n_pulses.ravel() for layer in chip.layers])


def spread(chip):
    error = np.concatenate(
        [(layer.crossbar.conductance - layer.target)[~layer.timed_out] for layer in chip.layers]
    )
    return error.std()


def test_an_aged_chip_is_the_one_that_was_programmed_for_that_long():
    aged = age(program(NETWORK, delay="1 h", seed=0), "23 h")
    assert np.array_equal(conductances(aged), conductances(CHIP))
    assert aged.delay == CHIP.delay


def test_spread_grows_over_the_years():
    one, ten = age(CHIP, "1 year"), age(CHIP, "10 years")
    assert spread(CHIP) < spread(one) < spread(ten)
    assert np.array_equal(pulses(ten), pulses(CHIP))


def test_reprogramming_narrows_the_spread_and_costs_pulses():
    old = age(CHIP, "1 year")
    fresh = reprogram(old, delay=0.0)
    # Cells outside the window come back into it; it is uniform within 1 uS, and what was inside
    # stays: less than half of the spread of 3 uS.
    assert spread(fresh) < 0.5 * spread(old)
    assert np.all(pulses(fresh) >= pulses(old))
    assert fresh.mean_pulses > old.mean_pulses + 1
    assert fresh.reprogrammed == 1


def test_cells_within_the_window_are_left_alone():
    old = age(CHIP, "1 year")
    fresh = reprogram(old, delay=0.0)
    same = pulses(fresh) == pulses(old)
    assert 0.05 < same.mean() < 0.9
    assert np.array_equal(conductances(fresh)[same], conductances(old)[same])


def test_each_reprogramming_is_another_and_can_be_repeated():
    first, again = (reprogram(CHIP, delay="1 day") for _ in range(2))
    second = reprogram(first, delay="1 day")
    assert np.array_equal(conductances(first), conductances(again))
    written = (pulses(first) > pulses(CHIP)) & (pulses(second) > pulses(first))
    written &= ~np.concatenate([layer.timed_out.ravel() for layer in second.layers])
    assert written.sum() > 500
    change = [conductances(chip)[written] for chip in (first, second)]
    # Independent relaxations: correlations of the errors are N(0, 1/n).
    target = np.concatenate([layer.target.ravel() for layer in CHIP.layers])[written]
    r = np.corrcoef(change[0] - target, change[1] - target)[0, 1]
    assert abs(r) < 5 / np.sqrt(written.sum())


def test_iterative_programming_is_reprogramming_after_the_interval():
    once = program(NETWORK, delay=chips.neurram().verify.interval, seed=0, rounds=0)
    again = reprogram(once, delay="1 day")
    rounds = program(NETWORK, delay="1 day", seed=0, rounds=1)
    assert np.array_equal(conductances(again), conductances(rounds))
    assert np.array_equal(pulses(again), pulses(rounds))


def test_heat_ages_a_chip_as_its_equivalent_time_does():
    from spikeram.device import equivalent_delay

    new = program(NETWORK, delay=0.0, seed=0, rounds=0)
    warm = age(new, "10 h", temperature="358.15 K")
    room = age(new, float(equivalent_delay("10 h", "358.15 K")))
    assert conductances(warm) == pytest.approx(conductances(room), rel=1e-9)
    assert warm.delay == 36000.0
    kept = replace(chips.neurram(), temperature="358.15 K", rounds=0)
    oven = program(NETWORK, chip=kept, delay="10 h", seed=0)
    assert np.array_equal(conductances(oven), conductances(warm))
    assert spread(oven) > spread(program(NETWORK, delay="10 h", seed=0, rounds=0))


def test_worn_cells_get_no_more_pulses():
    device = replace(chips.neurram().device, endurance=12)
    chip = program(NETWORK, chip=replace(chips.neurram(), device=device), delay="1 year", seed=0)
    fresh = reprogram(chip, delay=0.0)
    worn = pulses(chip) >= 12
    assert 0.05 < worn.mean() < 0.95
    assert chip.worn == pytest.approx(worn.mean())
    assert np.array_equal(pulses(fresh)[worn], pulses(chip)[worn])
    assert np.array_equal(conductances(fresh)[worn], conductances(chip)[worn])
    assert fresh.timed_out > chip.timed_out
    assert fresh.most_pulses >= chip.most_pulses


def test_wear_lists_what_programming_has_cost():
    table = wear(reprogram(CHIP, delay="1 day"))
    assert table["layer"].values.tolist() == [layer.name for layer in NETWORK.layers]
    assert int(table["cells"].sum()) == CHIP.n_cells
    assert np.all(table["mean_pulses"] > wear(CHIP)["mean_pulses"])
    assert not np.any(table["worn"])
    device = replace(chips.neurram().device, endurance=12)
    worn = wear(replace(CHIP, chip=replace(CHIP.chip, device=device)))
    assert float((worn["worn"] * worn["cells"]).sum() / CHIP.n_cells) == pytest.approx(
        np.mean(pulses(CHIP) >= 12)
    )


def test_open_rows_stay_open():
    faulty = replace(chips.neurram(), faults=Faults(dead_rows={0: [0]}))
    chip = program(NETWORK, chip=faulty, delay="1 day", seed=0)
    for other in (age(chip, "1 year"), reprogram(chip, delay="1 day")):
        layer = other.layers[0]
        assert not np.any(layer.crossbar.conductance[0, 0])
        assert not np.any(layer.n_pulses[0, 0])


def test_an_ideal_chip_does_not_age():
    chip = program(NETWORK, chip="ideal", seed=0)
    old = reprogram(age(chip, "10 years"), delay="1 day")
    assert np.array_equal(conductances(old), conductances(chip))
    assert old.most_pulses == 0


def test_delays_and_temperatures_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"age expects a delay >= 0 s, got -1.0 s"):
        age(CHIP, -1.0)
    with pytest.raises(ValueError, match=r"expects 200 to 600 K, got 85 K"):
        age(CHIP, "1 day", temperature=85.0)
    with pytest.raises(ValueError, match=r"Chip.temperature expects 200 to 600 K, got 25 K"):
        replace(chips.neurram(), temperature=25.0)
    with pytest.raises(ValueError, match=r"RRAMDevice.endurance expects .* got 0"):
        replace(chips.neurram().device, endurance=0)
