r"""Time and temperature: what heat does in hours, room temperature does in years.

A filament relaxes by many processes with a broad spectrum of activation energies. After a time
:math:`t` at temperature :math:`T` those up to

.. math:: E^*(t, T) = k T \ln(\nu_0 t)

have run off (Primak, Phys. Rev. 100, 1677, 1955; Gibbs, Evetts and Leake, J. Mater. Sci. 18, 278,
1983), and the state of a cell depends on time and temperature through this one energy. Hence
laws linear in :math:`\log t`, and the equivalent time at a reference temperature :math:`T_0`,

.. math:: t_0 = \frac{1}{\nu_0} (\nu_0 t)^{T / T_0}.

The attempt frequency :math:`\nu_0` is that of a lattice vibration, :math:`10^{13}` Hz: assumed.
Of three measured technologies one agrees: the variance of its relaxation, from 10 ms to a day at
room temperature and after hours at 100 C, lies on one straight line in :math:`E^*`. A second nearly
does, a third does not (``docs/relaxation.md``). A single activation energy describes none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.device.checks import as_delay
from spikeram.neuron import BOLTZMANN
from spikeram.units import Kelvin, Quantity, as_si

ROOM: Kelvin = 298.15
"""Temperature at which the laws of relaxation hold as they stand [K]."""

ATTEMPT_FREQUENCY = 1e13
"""Attempts of a process to overcome its barrier [1/s]."""

ELECTRON_VOLT = 1.602176634e-19
"""One electron volt [J], exact in the SI since 2019."""


def equivalent_delay(delay: Quantity, temperature: Quantity) -> NDArray[np.float64]:
    """Return the time at room temperature that does as much as a delay at another one.

    Parameters
    ----------
    delay : Second
        Time at `temperature`, one or one for each cell [s].
    temperature : Kelvin
        Temperature of the cells [K].

    Returns
    -------
    ndarray of the shape of `delay` [s]

    Examples
    --------
    >>> float(equivalent_delay("1 day", "298.15 K"))
    86400.0
    >>> years = equivalent_delay("4 hours", "373.15 K") / 31557600
    >>> round(float(years))
    9
    """
    t = as_delay(delay, "equivalent_delay")
    return _scaled(t, as_temperature(temperature) / ROOM)


def aged(age: ArrayLike, delay: ArrayLike, temperature: Kelvin = ROOM) -> NDArray[np.float64]:
    """Return the equivalent age of cells that stay another `delay` at a temperature.

    Parameters
    ----------
    age : array_like [s]
        Time since programming, as if all of it had passed at room temperature.
    delay : array_like [s]
        Time that passes now, one for all or one for each cell.
    temperature : Kelvin
        Temperature at which it passes [K].

    Returns
    -------
    ndarray of the shape of `age` [s]
        Warm after cold counts as warm from when it would have done as much.
    """
    present, passed = np.asarray(age, dtype=np.float64), np.asarray(delay, dtype=np.float64)
    warm = as_temperature(temperature)
    if warm == ROOM:
        return np.asarray(present + passed)
    return _scaled(_scaled(present, ROOM / warm) + passed, warm / ROOM)


def barrier(delay: Quantity, temperature: Quantity = ROOM) -> NDArray[np.float64]:
    """Return the energy up to which processes have run off, in electron volts.

    Parameters
    ----------
    delay : Second
        Time, > 1 / `ATTEMPT_FREQUENCY` [s].
    temperature : Kelvin
        Temperature [K].

    Examples
    --------
    >>> round(float(barrier("1 s")), 3)
    0.769
    """
    t = as_delay(delay, "barrier")
    with np.errstate(divide="ignore"):
        attempts = np.log(ATTEMPT_FREQUENCY * t)
    return np.asarray(BOLTZMANN * as_temperature(temperature) / ELECTRON_VOLT * attempts)


def _scaled(t: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    # The law holds from the first attempt on; before it, nothing has happened at any temperature.
    attempts = ATTEMPT_FREQUENCY * t
    if power == 1.0:
        return t
    scaled: NDArray[np.float64] = np.where(attempts > 1.0, attempts**power, attempts)
    return scaled / ATTEMPT_FREQUENCY


def as_temperature(value: Quantity, name: str = "temperature") -> Kelvin:
    """Return a temperature in kelvin; refuse those at which no chip is kept."""
    kelvin = as_si(value, "K", name)
    if not 200.0 <= kelvin <= 600.0:
        raise ValueError(
            f"{name} expects 200 to 600 K, got {kelvin:g} K. Temperatures are in kelvin: "
            "85 C is 358.15 K."
        )
    return kelvin
