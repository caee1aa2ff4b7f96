"""SI floats inside; Brian2 quantities and strings such as "40 uS" accepted at the edge."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from spikeram.errors import UnitError

Siemens: TypeAlias = float
Ohm: TypeAlias = float
Volt: TypeAlias = float
Farad: TypeAlias = float
Second: TypeAlias = float
Joule: TypeAlias = float
Kelvin: TypeAlias = float
Hertz: TypeAlias = float

Quantity: TypeAlias = Any
"""A float in SI units, a string such as ``"40 uS"``, or a Brian2 quantity."""

# Exponents of (metre, kilogram, second, ampere, kelvin, mole, candela): Brian2's own order.
_DIMENSIONS = {
    "S": (-2, -1, 3, 2, 0, 0, 0),
    "ohm": (2, 1, -3, -2, 0, 0, 0),
    "V": (2, 1, -3, -1, 0, 0, 0),
    "F": (-2, -1, 4, 2, 0, 0, 0),
    "s": (0, 0, 1, 0, 0, 0, 0),
    "J": (2, 1, -2, 0, 0, 0, 0),
    "K": (0, 0, 0, 0, 1, 0, 0),
    "Hz": (0, 0, -1, 0, 0, 0, 0),
}
_NAMES = {
    "S": "conductance",
    "ohm": "resistance",
    "V": "voltage",
    "F": "capacitance",
    "s": "time",
    "J": "energy",
    "K": "temperature",
    "Hz": "rate",
}
_PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}
_TIMES = {
    "second": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86400.0,
    "d": 86400.0,
    "week": 604800.0,
    "year": 31557600.0,
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*")


def as_si(value: Quantity, unit: str, name: str) -> float:
    """Return `value` as a float in the SI unit `unit`.

    Parameters
    ----------
    value : float, str or brian2.Quantity
        A plain number is taken to be in `unit` already.
    unit : {"S", "ohm", "V", "F", "s", "J", "K", "Hz"}
        The SI unit that is wanted.
    name : str
        What the value is, for the error message.

    Returns
    -------
    float
        The value in `unit`.

    Raises
    ------
    UnitError
        If the value has another dimension, or cannot be read.

    Examples
    --------
    >>> round(as_si("40 uS", "S", "g_max"), 9)
    4e-05
    >>> as_si("1 day", "s", "delay")
    86400.0
    >>> as_si("2 V", "S", "g_max")
    Traceback (most recent call last):
        ...
    spikeram.errors.UnitError: g_max is a conductance in S, got '2 V', a voltage.
    """
    if isinstance(value, str):
        return _parse(value, unit, name)
    dimension = getattr(value, "dim", None)
    if dimension is not None:
        exponents = tuple(dimension._dims)
        if any(exponents) and exponents != _DIMENSIONS[unit]:
            kind = next((_NAMES[u] for u, e in _DIMENSIONS.items() if e == exponents), None)
            article = f", a {kind}" if kind else ""
            raise UnitError(f"{name} is a {_NAMES[unit]} in {unit}, got {value!s}{article}.")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UnitError(f"{name} is a {_NAMES[unit]} in {unit}, got {value!r}.") from None


def _parse(text: str, unit: str, name: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(
            f"{name} is a {_NAMES[unit]} in {unit}, got {text!r}. Write a number and a unit, "
            f"such as '1 {unit}'."
        )
    number, symbol = float(match[1]), match[2] or unit
    found = _scale(symbol)
    if found is None:
        raise UnitError(f"{name} is a {_NAMES[unit]} in {unit}, got {text!r}: unknown unit.")
    scale, base = found
    if base != unit:
        raise UnitError(f"{name} is a {_NAMES[unit]} in {unit}, got {text!r}, a {_NAMES[base]}.")
    return number * scale


def _scale(symbol: str) -> tuple[float, str] | None:
    if symbol in _TIMES:
        return _TIMES[symbol], "s"
    if symbol.removesuffix("s") in _TIMES and symbol != "s":
        return _TIMES[symbol.removesuffix("s")], "s"
    for base in ("Hz", "ohm", "S", "V", "F", "s", "J", "K"):
        if symbol.endswith(base) and symbol.removesuffix(base) in _PREFIXES:
            return _PREFIXES[symbol.removesuffix(base)], base
    return None
