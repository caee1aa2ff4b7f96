r"""What a crossbar does: settle its lines at a conductance-weighted mean of the inputs.

A signed weight is a pair of cells on adjacent rows, :math:`G^+` driven with :math:`+v_i` and
:math:`G^-` with :math:`-v_i`. Every row is driven: one without a spike is held at the reference
and counts in the denominator. A floating column then settles at

.. math:: \Delta V_j = \frac{\sum_i v_i\,(G^+_{ij} - G^-_{ij})}{\sum_i (G^+_{ij} + G^-_{ij})},
          \qquad v_i \in \{+V_{read}, 0, -V_{read}\},

which is linear in the inputs, so that all that is static folds into effective weights. In the
backward direction the columns are the inputs and each row settles on its own; the two rows of a
pair are read differentially. Wan et al., Nature 608, 504 (2022), Fig. 3.

Wires change the weights, not the linearity; a core's lines are its own (`spikeram.parasitics`). Two
options do away with linearity, and with it with effective weights: rows that are disconnected
without a spike, where sums run over the active rows alone, and cells that are not ohmic.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.arrays import frozen
from spikeram.charge import ChargeLayer, charge_layer
from spikeram.neuron import SamplingNeuron
from spikeram.parasitics import (
    LineSolver,
    SinhCell,
    Wires,
    interleaved,
    line_solver,
    settle_cells,
    transfer,
)
from spikeram.units import Quantity, Siemens, Volt, as_si


def conductance_from_weight(
    weight: ArrayLike, *, g_min: Quantity, g_max: Quantity, w_max: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Return the target conductances of signed weights.

    .. math:: G^\pm = g_{min} + (g_{max} - g_{min})\,\mathrm{clip}(\pm W / w_{max},\ 0,\ 1)

    The cell of a pair that is off stays at `g_min`, so that the difference is proportional to
    the weight. (The published chip's software takes ``max(g_min, g_max W / w_max)``, which
    loses `g_min` of every weight and all weights below it.)

    Parameters
    ----------
    weight : array_like of shape (input, output)
        Signed weights, finite.
    g_min, g_max : Siemens
        The conductance window [S].
    w_max : array_like of shape () or (output,), optional
        Weight that maps to `g_max`, larger ones saturate; by default the largest magnitude of
        each column, so that every column uses the whole window.

    Returns
    -------
    ndarray of shape (polarity, row, column) [S]
        Polarity 0 is G+, 1 is G-; a row here is one pair.
    """
    w = _checked_weight(weight)
    low, high = _window(g_min, g_max)
    top = column_maximum(w) if w_max is None else np.asarray(w_max, dtype=np.float64)
    if not np.all(top > 0):
        raise ValueError(f"w_max expects values > 0, got {top!r}.")
    share = np.clip(np.stack([w, -w]) / top, 0.0, 1.0)
    return low + (high - low) * share


def weight_from_conductance(
    conductance: ArrayLike, *, g_min: Quantity, g_max: Quantity, w_max: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Return the weights that conductances stand for, ``(G+ - G-) w_max / (g_max - g_min)``.

    Parameters
    ----------
    conductance : array_like of shape (polarity, row, column)
        Conductances [S].
    g_min, g_max : Siemens
        The conductance window [S].
    w_max : array_like of shape () or (output,)
        The largest weight, for all columns or for each.
    """
    g = np.asarray(conductance, dtype=np.float64)
    if g.ndim != 3 or g.shape[0] != 2:
        raise ValueError(f"conductance expects shape (2, row, column), got {g.shape}.")
    low, high = _window(g_min, g_max)
    weight: NDArray[np.float64] = (g[0] - g[1]) * (np.asarray(w_max, np.float64) / (high - low))
    return weight


def column_maximum(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest magnitude of each column; 1 for a column of zeros."""
    top = np.max(np.abs(weight), axis=0)
    return np.where(top > 0, top, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Crossbar:
    """One programmed matrix of differential pairs with its neurons.

    Parameters
    ----------
    conductance : ndarray of shape (polarity, row, column) [S]
        Polarity 0 is G+, 1 is G-. One row is a pair of word lines.
    neuron : SamplingNeuron
        The neurons at the ends of the sensed lines.
    v_read : Volt
        Read voltage of a spike, above or below the reference [V].
    pairs_per_core : int or None
        Rows of pairs that one core holds. A taller matrix is cut into segments that settle
        separately; their sums are weighted by their total conductance and added, as digital
        partial sums are. None for one array of any height.
    direction : {"forward", "backward"}
        Which lines are inputs; `T` turns it round.
    columns_per_core : int or None
        Columns that one core holds, for its wires; a wider matrix is cut likewise.
    wires : Wires or None
        Resistances of lines, drivers and transistors; None for ideal ones.
    silent : {"held", "disconnected"}
        Whether rows without a spike are held at the reference, as on the published chip, or cut
        off by their word lines, which only `settle` can do.
    cell : SinhCell or None
        Current over voltage of the cells, which only `settle` can do; None for ohmic cells.

    Attributes
    ----------
    shape : tuple of int
        Inputs and outputs in the present direction.
    """

    conductance: NDArray[np.float64]
    neuron: SamplingNeuron = field(default_factory=SamplingNeuron)
    v_read: Volt = 0.5
    pairs_per_core: int | None = None
    direction: Literal["forward", "backward"] = "forward"
    columns_per_core: int | None = None
    wires: Wires | None = None
    silent: Literal["held", "disconnected"] = "held"
    cell: SinhCell | None = None

    def __post_init__(self) -> None:
        g = frozen(self.conductance)
        if g.ndim != 3 or g.shape[0] != 2 or 0 in g.shape:
            raise ValueError(
                f"Crossbar expects conductances of shape (2, row, column), none of them 0, "
                f"got {g.shape}."
            )
        if not np.all(np.isfinite(g)) or np.any(g < 0):
            raise ValueError("Crossbar expects finite conductances >= 0 S, got others.")
        v_read = as_si(self.v_read, "V", "Crossbar.v_read")
        if not v_read > 0:
            raise ValueError(f"Crossbar.v_read expects a voltage > 0, got {v_read} V.")
        for name in ("pairs_per_core", "columns_per_core"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"Crossbar.{name} expects a count >= 1 or None, got {count}.")
        if self.direction not in ("forward", "backward"):
            raise ValueError(
                f"Crossbar.direction expects 'forward' or 'backward', got {self.direction!r}."
            )
        for name, kind in (("wires", Wires), ("cell", SinhCell)):
            value = getattr(self, name)
            if not isinstance(value, (kind, type(None))):
                raise TypeError(
                    f"Crossbar.{name} expects {kind.__name__} or None, got {type(value).__name__}."
                )
        if self.silent not in ("held", "disconnected"):
            raise ValueError(
                f"Crossbar.silent expects 'held' or 'disconnected', got {self.silent!r}."
            )
        if self.silent == "disconnected" and self.direction == "backward":
            raise ValueError(
                "Crossbar.silent 'disconnected' expects direction 'forward': word lines cut rows "
                "off, and backward all rows are sensed. Use replace(crossbar, silent='held').T."
            )
        object.__setattr__(self, "conductance", g)
        object.__setattr__(self, "v_read", v_read)

    @classmethod
    def from_weights(
        cls,
        weight: ArrayLike,
        *,
        g_min: Quantity = 1e-6,
        g_max: Quantity = 40e-6,
        w_max: ArrayLike | None = None,
        neuron: SamplingNeuron | None = None,
        v_read: Quantity = 0.5,
        pairs_per_core: int | None = None,
    ) -> Crossbar:
        """Return an ideally programmed crossbar for signed weights of shape (input, output).

        Examples
        --------
        >>> crossbar = Crossbar.from_weights([[1.0, -0.5], [0.25, 1.0]])
        >>> crossbar.shape
        (2, 2)
        """
        return cls(
            conductance=conductance_from_weight(weight, g_min=g_min, g_max=g_max, w_max=w_max),
            neuron=SamplingNeuron() if neuron is None else neuron,
            v_read=v_read,
            pairs_per_core=pairs_per_core,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of inputs and of outputs in the present direction."""
        rows, columns = self.conductance.shape[1:]
        return (rows, columns) if self.direction == "forward" else (columns, rows)

    @property
    def T(self) -> Crossbar:
        """The same programmed array sensed the other way: a view, nothing is copied."""
        other: Literal["forward", "backward"] = (
            "backward" if self.direction == "forward" else "forward"
        )
        return replace(self, direction=other)

    @property
    def segments(self) -> list[slice]:
        """The rows of pairs that each core holds."""
        rows = self.conductance.shape[1]
        height = self.pairs_per_core or rows
        return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]

    def segment(self, n: int) -> Crossbar:
        """Return the rows of segment `n`, counted from 0, as the crossbar of one core."""
        return replace(self, conductance=self.conductance[:, self.segments[n]], pairs_per_core=None)

    @cached_property
    def line_conductance(self) -> NDArray[np.float64]:
        """Total conductance of each sensed line [S].

        Shape (segment, column) in the forward direction, (polarity, row) in the backward one.
        """
        if self.direction == "forward":
            return np.stack([self.conductance[:, rows].sum(axis=(0, 1)) for rows in self.segments])
        total: NDArray[np.float64] = self.conductance.sum(axis=2)
        return total

    @cached_property
    def settled(self) -> NDArray[np.float64]:
        """Settled line voltage for each volt of each input, of shape (input, output) [1].

        Segments of a tall matrix are weighted by their share of the column's conductance, so
        that the whole settles as one undivided column would.
        """
        if not self.linear:
            reason = "silent='disconnected'" if self.silent == "disconnected" else "a SinhCell"
            raise ValueError(
                f"A Crossbar with {reason} has no effective weights, which engines need: its "
                "outputs are not linear in the spikes. Use Crossbar.settle, or replace(crossbar, "
                "silent='held', cell=None)."
            )
        if self.wires is not None:
            return self._settled_through_wires()
        total = self.line_conductance
        if self.direction == "forward":
            difference = self.conductance[0] - self.conductance[1]
            return _divide(difference, total.sum(axis=0)[np.newaxis, :])
        each = _divide(self.conductance, total[:, :, np.newaxis])
        return np.ascontiguousarray((each[0] - each[1]).T)

    @property
    def linear(self) -> bool:
        """Whether outputs are a fixed linear map of the spikes."""
        return self.silent == "held" and self.cell is None

    @property
    def _cores(self) -> list[tuple[slice, slice]]:
        """The pairs of rows and the columns of each core."""
        n = self.conductance.shape[2]
        width = self.columns_per_core or n
        columns = [slice(start, min(start + width, n)) for start in range(0, n, width)]
        return [(rows, each) for rows in self.segments for each in columns]

    def _shares(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return a core's share in the conductance of each line that it senses."""
        g = self.conductance
        if self.direction == "forward":
            part, whole = g[:, rows, columns].sum(axis=(0, 1)), g[:, :, columns].sum(axis=(0, 1))
        else:
            part, whole = g[:, rows, columns].sum(axis=2).T, g[:, rows].sum(axis=2).T
        return _divide(part.ravel(), whole.ravel())

    def _settled_through_wires(self) -> NDArray[np.float64]:
        settled = np.zeros(self.shape)
        for rows, columns in self._cores:
            g = interleaved(self.conductance[:, rows, columns])
            lines = transfer(g, self.wires or Wires(), direction=self.direction)
            part = self.read_lines(lines * self._shares(rows, columns))
            if self.direction == "forward":
                settled[rows, columns] = part[0::2] - part[1::2]
            else:
                settled[columns, rows] += part
        return settled

    @cached_property
    def _solvers(self) -> list[LineSolver]:
        wires = self.wires or Wires()
        return [
            line_solver(interleaved(self.conductance[:, i, j]), wires, direction=self.direction)
            for i, j in self._cores
        ]

    @property
    def line_solver(self) -> LineSolver:
        """The circuit of a crossbar that is one core of ohmic cells, for any choice of rows."""
        if len(self._cores) > 1 or self.cell is not None:
            raise ValueError(
                f"Crossbar.line_solver expects one core of ohmic cells, got {len(self._cores)} "
                f"cores and cell={self.cell!r}. Take each core's part of the conductances."
            )
        return self._solvers[0]

    def lines_driven(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values on the driven lines as they lie on the chip: + and - on a pair of rows."""
        if self.direction == "backward":
            return values
        driven = np.repeat(values, 2, axis=-1)
        driven[..., 1::2] *= -1.0
        return driven

    def read_lines(self, lines: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return outputs from the sensed lines as they lie on the chip: a pair's difference."""
        if self.direction == "forward":
            return lines
        difference: NDArray[np.float64] = lines[..., 0::2] - lines[..., 1::2]
        return difference

    def _settle_one_by_one(self, volts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the settled voltages of samples whose circuits differ."""
        settled = np.zeros((len(volts), self.shape[1]))
        for n, (rows, columns) in enumerate(self._cores):
            inputs, outputs = (rows, columns) if self.direction == "forward" else (columns, rows)
            v = self.lines_driven(volts[:, inputs])
            active = v != 0 if self.silent == "disconnected" else np.ones(v.shape, np.bool_)
            if self.cell is None:
                lines, _ = self._solvers[n].settle(v, active)
            else:
                lines = settle_cells(
                    interleaved(self.conductance[:, rows, columns]),
                    self.cell,
                    self.wires or Wires(),
                    volts=v,
                    active=active,
                    direction=self.direction,
                )
            settled[:, outputs] += self.read_lines(lines * self._shares(rows, columns))
        return settled

    @property
    def effective_weight(self) -> NDArray[np.float64]:
        """Membrane change that one input spike causes, of shape (input, output) [V on C_i]."""
        return self.settled * (self.v_read * self.neuron.gain)

    def settle(self, spikes: ArrayLike) -> NDArray[np.float64]:
        """Return the settled line voltages for given inputs.

        Parameters
        ----------
        spikes : array_like of shape (..., input)
            Inputs in units of `v_read`: -1, 0, 1, or analog values between.

        Returns
        -------
        ndarray of shape (..., output) [V]
            Voltages above the reference.
        """
        s = np.asarray(spikes, dtype=np.float64)
        if s.shape[-1:] != self.shape[:1]:
            raise ValueError(
                f"Crossbar.settle expects spikes of shape (..., {self.shape[0]}), got {s.shape}."
            )
        volts = s * self.v_read
        if not self.linear:
            flat = self._settle_one_by_one(volts.reshape(-1, self.shape[0]))
            return flat.reshape(*s.shape[:-1], self.shape[1])
        settled: NDArray[np.float64] = volts @ self.settled
        return settled

    def charge(self, name: str = "crossbar") -> ChargeLayer:
        """Return this crossbar with its own neurons as a layer in charge quanta."""
        n = self.shape[1]
        return charge_layer(
            name,
            self.effective_weight,
            bias=np.zeros(n),
            threshold=np.full(n, self.neuron.threshold),
            initial=np.zeros(n),
            scale=np.ones(n),
            neuron=self.neuron,
            rows=2 * self.shape[0] if self.direction == "forward" else self.shape[0],
            cores=len(self.segments),
        )


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    # A line without any conductance stays at the reference.
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _checked_weight(weight: ArrayLike) -> NDArray[np.float64]:
    w = np.asarray(weight, dtype=np.float64)
    if w.ndim != 2 or 0 in w.shape:
        raise ValueError(
            f"weight expects shape (input, output) with at least one of each, got {w.shape}."
        )
    if not np.all(np.isfinite(w)):
        bad = int(np.size(w) - np.isfinite(w).sum())
        raise ValueError(f"weight expects finite values, got {bad} that are NaN or infinite.")
    return w


def _window(g_min: Quantity, g_max: Quantity) -> tuple[Siemens, Siemens]:
    low, high = as_si(g_min, "S", "g_min"), as_si(g_max, "S", "g_max")
    if not 0 <= low < high:
        raise ValueError(f"The window expects 0 <= g_min < g_max, got {low} and {high} S.")
    return low, high
