"""Time and temperature: one axis for both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from spikeram.device import aged, barrier, equivalent_delay

YEAR = 31557600.0


def test_room_temperature_is_the_reference():
    assert np.array_equal(equivalent_delay(np.array([0.0, 1.0, 1e5]), 298.15), [0.0, 1.0, 1e5])


@pytest.mark.parametrize("kelvin", [250.0, 298.15, 373.15, 453.15])
def test_equivalent_delays_run_off_the_same_processes(kelvin):
    # The oracle: processes of barrier E, run off after t with 1 - exp(-nu t exp(-E / kT)). Their
    # number up to high barriers is that of an equal step at E*, but for a constant times kT.
    def run_off(t, kelvin):
        kt = 8.617333262e-5 * kelvin

        def done(e):
            return -np.expm1(-1e13 * t * np.exp(-e / kt))

        return quad(done, 0.0, 3.0, points=[float(barrier(t, kelvin))], limit=200)[0] / kt

    euler = 0.5772156649
    t = 1e4
    # E* / kT lacks Euler's constant in a flat spectrum.
    energy = float(barrier(t, kelvin)) / (8.617333262e-5 * kelvin)
    assert run_off(t, kelvin) == pytest.approx(energy + euler, rel=1e-6)
    same = float(equivalent_delay(t, kelvin))
    assert float(barrier(same)) == pytest.approx(float(barrier(t, kelvin)), rel=1e-12)


def test_ten_years_at_room_temperature_are_hours_at_100_celsius():
    hours = 13588.0 / 3600
    assert 8 < float(equivalent_delay(f"{hours} h", "373.15 K")) / YEAR < 10


def test_heat_ages_faster_and_cold_slower():
    cold, room, warm = (float(equivalent_delay("1 day", t)) for t in (273.15, 298.15, 358.15))
    assert cold < room < warm


def test_a_delay_in_two_parts_is_one_delay():
    for kelvin in (298.15, 373.15):
        parts = aged(aged(0.0, 600.0, kelvin), 3000.0, kelvin)
        assert float(parts) == pytest.approx(float(equivalent_delay(3600.0, kelvin)), rel=1e-12)


def test_a_short_warm_spell_after_years_of_cold_hardly_counts():
    old = aged(np.array([YEAR]), 1.0, 310.0)
    assert YEAR < old[0] < 1.001 * YEAR


@pytest.mark.parametrize("kelvin", [25.0, 1000.0, np.nan])
def test_a_temperature_is_given_in_kelvin(kelvin):
    with pytest.raises(ValueError, match=r"expects 200 to 600 K, got .*85 C is 358.15 K"):
        equivalent_delay(1.0, kelvin)
