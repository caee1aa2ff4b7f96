from __future__ import annotations

import pytest

from spikeram.errors import UnitError
from spikeram.units import as_si


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (4e-5, "S", 4e-5),
        ("40 uS", "S", 40e-6),
        ("40uS", "S", 40e-6),
        ("1.5e2 mV", "V", 0.15),
        ("17 fF", "F", 17e-15),
        ("1 day", "s", 86400.0),
        ("2 days", "s", 172800.0),
        ("30 min", "s", 1800.0),
        ("10 years", "s", 315576000.0),
        ("3 ms", "s", 3e-3),
        ("-0.5", "V", -0.5),
        ("300 K", "K", 300.0),
        ("2 kHz", "Hz", 2000.0),
        ("5 kohm", "ohm", 5000.0),
        ("1.5 ohm", "ohm", 1.5),
    ],
)
def test_numbers_and_strings_become_si(value, unit, expected):
    assert as_si(value, unit, "x") == pytest.approx(expected, rel=1e-15)


@pytest.mark.filterwarnings("ignore")
def test_brian2_quantities_become_si_and_keep_their_dimension():
    brian2 = pytest.importorskip("brian2")
    assert as_si(40 * brian2.usiemens, "S", "g") == pytest.approx(40e-6, rel=1e-15)
    with pytest.raises(UnitError, match="g_max is a conductance in S, got .* a voltage"):
        as_si(2 * brian2.volt, "S", "g_max")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2 V", "g_max is a conductance in S, got '2 V', a voltage."),
        ("2 parsec", "unknown unit"),
        ("lots", "Write a number and a unit"),
        (None, "got None"),
        ([1, 2], r"got \[1, 2\]"),
    ],
)
def test_what_is_not_a_conductance_is_refused(value, message):
    with pytest.raises(UnitError, match=message):
        as_si(value, "S", "g_max")
