"""Lines and neurons that do not work: dead rows and columns, unformed rows, dead neurons.

A word line that never rises (a dead row) keeps the transistors of its cells shut, a row whose
filaments were never formed hardly conducts, and a dead column is an open line: in all three the
cells carry no current and weigh nothing in the mean that a column settles at. A dead neuron never
fires. Single cells that are stuck belong to the device (`spikeram.device.RRAMDevice`).

Faults are those of cores. The published chip's software skips such rows, 19 of 256 in one core
(github.com/weierwan/Neurram_48core); rates have no published figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.charge import ChargeLayer
from spikeram.device import Cells
from spikeram.seeds import Purpose, Seed

KINDS = ("dead_rows", "unformed_rows", "dead_columns", "dead_neurons")
"""Fields of `Faults`; their order is part of the addresses of random numbers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Faults:
    """Which lines and neurons of which cores do not work.

    Parameters
    ----------
    dead_rows, unformed_rows : mapping of int to array_like of int
        Word lines of each core, from 0: a pair of cells takes lines 2k and 2k + 1.
    dead_columns, dead_neurons : mapping of int to array_like of int
        Columns of each core, from 0, and neurons, one at the end of each column.

    Examples
    --------
    >>> faults = Faults(dead_rows={0: [3]}, unformed_rows={0: [7, 3], 2: [0]})
    >>> {core: rows.tolist() for core, rows in faults.bad_rows.items()}
    {0: [3, 7], 2: [0]}
    """

    dead_rows: Mapping[int, ArrayLike] = field(default_factory=dict)
    unformed_rows: Mapping[int, ArrayLike] = field(default_factory=dict)
    dead_columns: Mapping[int, ArrayLike] = field(default_factory=dict)
    dead_neurons: Mapping[int, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in KINDS:
            by_core = {}
            for core, lines in getattr(self, kind).items():
                index = np.unique(np.asarray(lines))
                if index.size == 0:
                    continue
                if isinstance(core, bool) or not isinstance(core, (int, np.integer)) or core < 0:
                    raise ValueError(f"Faults.{kind} expects cores from 0, got {core!r}.")
                if index.dtype.kind not in "iu" or index[0] < 0:
                    raise ValueError(
                        f"Faults.{kind} expects numbers of lines from 0, got {lines!r} in core "
                        f"{core}."
                    )
                by_core[int(core)] = index.astype(np.int64)
            object.__setattr__(self, kind, MappingProxyType(dict(sorted(by_core.items()))))

    @classmethod
    def draw(
        cls,
        rates: Mapping[str, float],
        *,
        seed: Seed,
        index: int = 0,
        n_cores: int = 48,
        rows: int = 256,
        columns: int = 256,
    ) -> Faults:
        """Return faults drawn one by one, each line for itself.

        Parameters
        ----------
        rates : mapping of str to float
            Shares of lines, by the names of the fields, 0 to 1.
        seed : int or numpy.random.SeedSequence
            The root seed. A higher rate adds faults to those of a lower one.
        index : int
            Number of the chip.
        n_cores, rows, columns : int
            Cores, and the word lines and columns of each.

        Examples
        --------
        >>> faults = Faults.draw({"unformed_rows": 19 / 256}, seed=0)
        >>> round(sum(len(rows) for rows in faults.bad_rows.values()) / 48)
        19
        """
        found = {}
        for kind, rate in rates.items():
            if kind not in KINDS or not 0 <= rate <= 1:
                raise ValueError(
                    f"Faults.draw expects rates from 0 to 1 of {', '.join(KINDS)}, got "
                    f"{kind!r}: {rate}."
                )
            n = rows if kind.endswith("rows") else columns
            found[kind] = {
                core: np.flatnonzero(_uniforms(seed, index, core, kind, n) < rate)
                for core in range(n_cores)
            }
        return cls(**found)

    @property
    def bad_rows(self) -> dict[int, NDArray[np.int64]]:
        """Word lines of each core that a mapper has to leave out."""
        return _union(self.dead_rows, self.unformed_rows)

    @property
    def bad_columns(self) -> dict[int, NDArray[np.int64]]:
        """Columns of each core that a mapper has to leave out."""
        return _union(self.dead_columns, self.dead_neurons)

    def open_cells(
        self, core: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which cells carry no current, of shape (row, column), on given lines of a core."""
        row = np.isin(rows, self.bad_rows.get(core, ()))
        column = np.isin(columns, self.dead_columns.get(core, ()))
        return row[:, np.newaxis] | column

    def silent(self, core: int, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which neurons never fire, of shape (column,), at given columns of a core."""
        silent: NDArray[np.bool_] = np.isin(columns, self.dead_neurons.get(core, ()))
        return silent


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerFaults:
    """What the faults of its cores are for one layer.

    Parameters
    ----------
    open : bool ndarray of shape (polarity, row, column)
        Cells that carry no current.
    silent : bool ndarray of shape (column,)
        Columns whose neuron never fires.
    """

    open: NDArray[np.bool_]
    silent: NDArray[np.bool_]

    def of_cells(self, conductance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return conductances of shape (polarity, row, column) with those of open cells 0 [S]."""
        return np.where(self.open, 0.0, conductance)

    def of_neurons(self, layer: ChargeLayer) -> ChargeLayer:
        """Return a layer whose dead neurons get no charge and have a threshold beyond the rails."""
        if not np.any(self.silent):
            return layer
        deaf = replace(layer, weight=np.where(self.silent, np.int16(0), layer.weight))
        return _never_firing(deaf, np.repeat(self.silent, layer.n_positions))

    def of_soma(self, layer: ChargeLayer) -> ChargeLayer:
        """Return the soma of a cut layer; what its dead neurons would send has no cells."""
        if not np.any(self.silent):
            return layer
        return _never_firing(layer, np.repeat(self.silent, layer.n_outputs // self.silent.size))


def _never_firing(layer: ChargeLayer, silent: NDArray[np.bool_]) -> ChargeLayer:
    none = np.int32(0)
    return replace(
        layer,
        bias=np.where(silent, none, layer.bias),
        initial=np.where(silent, none, layer.initial),
        negative=np.where(silent, none, layer.negative),
        threshold=np.where(silent, np.int32(layer.rail + 1), layer.threshold),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Where a part of a matrix lies.

    Parameters
    ----------
    core : int
        Its core.
    pairs, columns : tuple of int
        Which of the matrix's pairs of rows and columns it holds: start and stop.
    word_lines : ndarray of shape (2 * pair,)
        Lines of the core that they take: G+ and G- of each pair.
    bit_lines : ndarray of shape (column,)
        Columns of the core that they take.
    """

    core: int
    pairs: tuple[int, int]
    columns: tuple[int, int]
    word_lines: NDArray[np.int64]
    bit_lines: NDArray[np.int64]


def layer_faults(faults: Faults, shape: tuple[int, int], parts: Sequence[Part]) -> LayerFaults:
    """Return what faults of cores are for one layer.

    Parameters
    ----------
    faults : Faults
        The faults of the chip.
    shape : tuple of int
        Pairs of rows and columns of the matrix.
    parts : sequence of Part
        Where it lies. Of a column that is cut over several cores a dead neuron loses the part it
        sums; where all its neurons are dead it never fires.
    """
    opened = np.zeros((2, *shape), np.bool_)
    silent = np.ones(shape[1], np.bool_)
    for part in parts:
        rows, columns = slice(*part.pairs), slice(*part.columns)
        dead = faults.silent(part.core, part.bit_lines)
        lost = dead & (part.pairs != (0, shape[0]))
        for polarity in range(2):
            lines = part.word_lines[polarity::2]
            cells = faults.open_cells(part.core, lines, part.bit_lines)
            opened[polarity, rows, columns] = cells | lost
        silent[columns] &= dead
    return LayerFaults(open=opened, silent=silent)


def _union(
    one: Mapping[int, ArrayLike], other: Mapping[int, ArrayLike]
) -> dict[int, NDArray[np.int64]]:
    none = np.zeros(0, np.int64)
    return {
        core: np.union1d(one.get(core, none), other.get(core, none)).astype(np.int64)
        for core in sorted({*one, *other})
    }


def _uniforms(seed: Seed, index: int, core: int, kind: str, n: int) -> NDArray[np.float64]:
    address = len(KINDS) * core + KINDS.index(kind)
    return Cells.of((n,), seed=seed, chip=index, array=address).uniforms(Purpose.LINE_FAULTS)
