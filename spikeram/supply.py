r"""The supply rail that cores share: what they draw together, the later ones lack.

Spikes drive lines from two rails, :math:`\pm V_{read}` around the reference, along which cores
follow each other; silent lines are held at the reference, whose own rail is ideal. Between supply
and first core a rail has :math:`r_{supply}`, between neighbours :math:`r_{segment}`. For given
spikes core :math:`c` is a matrix of conductances :math:`G_c` from the voltages of its two rails to
the currents it draws from them, and with
:math:`R_{cd} = r_{supply} + \min(c, d)\, r_{segment}` for each rail

.. math:: V = E - R\,I, \qquad I = G\,V \quad\Rightarrow\quad (1 + R\,G)\,V = E,

with :math:`E` the supplies. It is exact for ohmic cells, and linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.crossbar import Crossbar
from spikeram.units import Ohm, Volt, as_si


@dataclass(frozen=True, kw_only=True)
class SupplyRail:
    """Two equal rails, above and below the reference, that several cores share.

    Parameters
    ----------
    r_segment : Ohm
        Resistance of a rail from one core to the next [ohm].
    r_supply : Ohm
        Resistance of a rail from the supply to the first core [ohm].
    v_supply : Volt
        Largest voltage that the supply can put on a rail, above or below the reference [V].
    """

    r_segment: Ohm
    r_supply: Ohm = 0.0
    v_supply: Volt = 0.9

    def __post_init__(self) -> None:
        for name, unit in (("r_segment", "ohm"), ("r_supply", "ohm"), ("v_supply", "V")):
            value = as_si(getattr(self, name), unit, f"SupplyRail.{name}")
            if not 0 <= value < math.inf or (name == "v_supply" and value == 0):
                rule = "> 0" if name == "v_supply" else ">= 0"
                raise ValueError(
                    f"SupplyRail.{name} expects a finite value {rule}, got {value} {unit}."
                )
            object.__setattr__(self, name, value)

    def resistance(self, n_cores: int) -> NDArray[np.float64]:
        """Return the drop at each core for an ampere drawn by each, of shape (core, core) [ohm]."""
        core = np.arange(n_cores)
        shared: NDArray[np.float64] = self.r_supply + self.r_segment * np.minimum.outer(core, core)
        return shared


@dataclass(frozen=True, eq=False)
class RailState:
    """What cores on one rail settle at.

    Parameters
    ----------
    settled : tuple of ndarray of shape (sample, output) [V]
        Line voltages of each core.
    rail : ndarray of shape (sample, core, polarity) [V]
        Voltage of the upper and of the lower rail at each core, both as distances from the
        reference: `v_read` without any drop.
    """

    settled: tuple[NDArray[np.float64], ...]
    rail: NDArray[np.float64]


def settle_together(
    crossbars: Sequence[Crossbar], spikes: Sequence[ArrayLike], *, rail: SupplyRail
) -> RailState:
    """Return what crossbars settle at when they are switched together.

    Parameters
    ----------
    crossbars : sequence of Crossbar
        One for each core, in their order from the supply, all with the same `v_read`.
    spikes : sequence of array_like of shape (sample, input)
        Inputs of each: -1, 0 or 1.
    rail : SupplyRail
        What they share.

    Examples
    --------
    >>> crossbar = Crossbar.from_weights([[1.0, -0.5], [0.25, 1.0]])
    >>> state = settle_together([crossbar] * 3, [[[1, 1]]] * 3, rail=SupplyRail(r_segment="1 kohm"))
    >>> state.rail[0, :, 0].round(3)
    array([0.5  , 0.47 , 0.456])
    """
    cores = tuple(crossbars)
    if not cores or len(cores) != len(spikes):
        raise ValueError(
            f"settle_together expects spikes for each crossbar and at least one, got "
            f"{len(cores)} crossbars and spikes for {len(spikes)}."
        )
    v_read = _common_voltage(cores, rail)
    loads = [_load(core, s) for core, s in zip(cores, spikes)]
    n, samples = len(cores), {len(conductance) for conductance, _ in loads}
    if len(samples) != 1:
        raise ValueError(
            f"settle_together expects as many samples for each crossbar, got {sorted(samples)}."
        )
    # Unknowns are ordered (core, polarity); the lower rail's voltage counts downwards, so that
    # both supplies are + v_read and both currents are drawn.
    conductance = np.zeros((*samples, n, 2, n, 2))
    for c, (each, _) in enumerate(loads):
        conductance[:, c, :, c, :] = each
    resistance = np.kron(rail.resistance(n), np.eye(2))
    system = np.eye(2 * n) + resistance @ conductance.reshape(-1, 2 * n, 2 * n)
    supply = np.full((len(system), 2 * n, 1), v_read)
    volts = np.linalg.solve(system, supply).reshape(-1, n, 2)
    settled = tuple(
        np.einsum("sp,spo->so", volts[:, c], outputs) for c, (_, outputs) in enumerate(loads)
    )
    return RailState(settled=settled, rail=volts)


def _common_voltage(cores: tuple[Crossbar, ...], rail: SupplyRail) -> Volt:
    voltages = {core.v_read for core in cores}
    if len(voltages) != 1:
        raise ValueError(
            f"Crossbars on one rail are read at one voltage, got v_read of {sorted(voltages)} V."
        )
    v_read = voltages.pop()
    if v_read > rail.v_supply:
        raise ValueError(
            f"A rail cannot stand above its supply: v_read is {v_read} V, SupplyRail.v_supply "
            f"{rail.v_supply} V. Read at a lower voltage, or raise v_supply."
        )
    return v_read


def _load(crossbar: Crossbar, spikes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a core's conductance to its rails (sample, 2, 2) [S], and outputs (sample, 2, output).

    Outputs are those for one volt on one rail, the other being at the reference.
    """
    s = np.asarray(spikes, dtype=np.float64)
    if s.ndim != 2 or s.shape[1] != crossbar.shape[0] or not np.all(np.isin(s, (-1, 0, 1))):
        raise ValueError(
            f"settle_together expects spikes of -1, 0 or 1 and shape (sample, "
            f"{crossbar.shape[0]}), got shape {s.shape}."
        )
    sign = crossbar.lines_driven(s)
    sides = [np.where(sign > 0, 1.0, 0.0), np.where(sign < 0, -1.0, 0.0)]
    solver = crossbar.line_solver
    # Only silent rows that are held stay in the circuit.
    active = np.ones(sign.shape, bool) if crossbar.silent == "held" else sign != 0
    conductance = np.empty((len(s), 2, 2))
    outputs = []
    for n, volts in enumerate(sides):
        lines, current = solver.settle(volts, active, tolerance=1e-9)
        outputs.append(crossbar.read_lines(lines))
        for m, side in enumerate(sides):
            conductance[:, m, n] = np.sum(current * side, axis=1)
    return conductance, np.stack(outputs, axis=1)
