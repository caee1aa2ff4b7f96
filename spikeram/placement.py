"""What lies where: footprints of matrices, the cores there are, and the placements of the parts.

A matrix of signed weights takes a pair of word lines for each row and a column for each output.
What does not fit into one core is cut into parts of equal size. Word lines and columns that are
known to be bad are skipped: a core's usable lines are numbered without them, and neighbours among
the usable word lines make a pair, as in the published chip's software.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Span: TypeAlias = tuple[int, int]
"""Start and stop of consecutive lines."""

BadLines: TypeAlias = MappingOf[int, ArrayLike]
"""Lines that are not to be used, by core."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """A matrix to be placed, as far as its size and its use go.

    Parameters
    ----------
    name : str
        The layer's name.
    n_pairs, n_columns : int
        Pairs of word lines and columns.
    bias_pairs : int
        Always-on pairs that every segment has besides, as in the published chip's software.
        Always-on pairs that a matrix has once are among its `n_pairs`.
    n_positions : int
        Positions at which a convolution uses it, one after the other.
    uses : int
        How often an inference uses it at each position: steps of a recurrent network, products of
        a sampler.
    copies : int
        How often it is held.
    stage : int
        Matrices of one stage are used at the same time, those of others at other times.
    sources : tuple of (str, int)
        Which matrices' spikes drive it, and how many trains of each; not those of the input.
    pairs_per_weight : int
        How many of its pairs hold one weight.
    """

    name: str
    n_pairs: int
    n_columns: int
    bias_pairs: int = 0
    n_positions: int = 1
    uses: int = 1
    copies: int = 1
    stage: int = 0
    sources: tuple[tuple[str, int], ...] = ()
    pairs_per_weight: int = 1

    def __post_init__(self) -> None:
        least = {"n_pairs": 1, "n_columns": 1, "bias_pairs": 0, "n_positions": 1, "copies": 1}
        for name, lowest in {**least, "uses": 1, "pairs_per_weight": 1}.items():
            _check_count(f"Footprint {self.name!r}", name, getattr(self, name), lowest)

    @property
    def n_outputs(self) -> int:
        """Neurons that it drives."""
        return self.n_columns * self.n_positions


@dataclass(frozen=True, eq=False, kw_only=True)
class Stack:
    """The cores that there are: those of one chip, or of several.

    Parameters
    ----------
    chip : str
        Name of the chip.
    n_chips, n_cores, rows, columns : int
        Chips, cores of each, and word lines and columns of each core.
    bad_rows, bad_columns : mapping of int to array_like of int
        Word lines and columns that are not to be used, by core. Core n of chip c has the number
        ``c * n_cores + n``.
    max_bytes : float
        Most that may travel between the chips for one inference [bytes].
    spike_bytes, sum_bytes : float
        What one spike's address, and one partial sum, take on the way [bytes]; assumed.

    Examples
    --------
    >>> stack = Stack(n_cores=2, rows=8, columns=4, bad_rows={1: [0, 5, 6]})
    >>> stack.usable(1)
    (2, 4)
    """

    chip: str = "neurram"
    n_chips: int = 1
    n_cores: int = 48
    rows: int = 256
    columns: int = 256
    bad_rows: BadLines = field(default_factory=dict)
    bad_columns: BadLines = field(default_factory=dict)
    max_bytes: float = math.inf
    spike_bytes: float = 4.0
    sum_bytes: float = 2.0

    def __post_init__(self) -> None:
        least_counts = {"n_chips": 1, "n_cores": 1, "rows": 2, "columns": 1}
        for name, least in least_counts.items():
            _check_count("Stack", name, getattr(self, name), least)
        for name in ("max_bytes", "spike_bytes", "sum_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"Stack.{name} expects bytes > 0, got {getattr(self, name)}.")
        for name, limit in (("bad_rows", self.rows), ("bad_columns", self.columns)):
            lines = {
                core: _checked_lines(f"Stack.{name}[{core}]", bad, limit)
                for core, bad in getattr(self, name).items()
            }
            strange = [core for core in lines if core not in range(self.n_chips * self.n_cores)]
            if strange:
                raise ValueError(
                    f"Stack.{name} expects cores 0 to {self.n_chips * self.n_cores - 1}, "
                    f"got {strange[0]!r}."
                )
            object.__setattr__(self, name, MappingProxyType(lines))

    @property
    def bad_cores(self) -> frozenset[int]:
        """Cores with lines that are not to be used."""
        return frozenset(
            core
            for lines in (self.bad_rows, self.bad_columns)
            for core, bad in lines.items()
            if np.size(bad)
        )

    def good_rows(self, core: int) -> NDArray[np.int64]:
        """Return the word lines of a core that are not bad."""
        return np.delete(np.arange(self.rows), np.asarray(self.bad_rows.get(core, ()), np.int64))

    def good_columns(self, core: int) -> NDArray[np.int64]:
        """Return the columns of a core that are not bad."""
        bad = np.asarray(self.bad_columns.get(core, ()), np.int64)
        return np.delete(np.arange(self.columns), bad)

    def usable(self, core: int) -> tuple[int, int]:
        """Return the pairs of word lines and the columns of a core that can be used."""
        bad_rows, bad_columns = self.bad_rows.get(core, ()), self.bad_columns.get(core, ())
        return (self.rows - np.size(bad_rows)) // 2, self.columns - np.size(bad_columns)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One part of a layer's matrix on its core.

    Parameters
    ----------
    layer : str
        The layer's name.
    copy : int
        Which of its copies.
    pairs, columns : tuple of int
        Which of the matrix's pairs of rows and columns it holds: start and stop.
    bias_pairs : int
        Always-on pairs that it has besides, below the others.
    core : int
        Core, counted over all chips of the stack.
    row, column : int
        Where it begins, among the usable word lines and columns of the core.
    """

    layer: str
    copy: int
    pairs: Span
    columns: Span
    bias_pairs: int
    core: int
    row: int
    column: int

    @property
    def height(self) -> int:
        """Pairs of word lines that it takes."""
        return self.pairs[1] - self.pairs[0] + self.bias_pairs

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return self.columns[1] - self.columns[0]

    @property
    def n_cells(self) -> int:
        """Cells that it takes, two of each pair."""
        return 2 * self.height * self.width


@dataclass(frozen=True, eq=False, kw_only=True)
class Mapping:
    """Where each part of each matrix lies.

    Parameters
    ----------
    footprints : tuple of Footprint
        What was placed.
    placements : tuple of Placement
        Its parts: layer by layer, copy by copy, columns within pairs of rows.
    stack : Stack
        The cores that there are.
    """

    footprints: tuple[Footprint, ...]
    placements: tuple[Placement, ...]
    stack: Stack

    @cached_property
    def parts(self) -> MappingOf[str, tuple[Placement, ...]]:
        """The placements of each layer."""
        found: dict[str, list[Placement]] = {footprint.name: [] for footprint in self.footprints}
        for part in self.placements:
            found[part.layer].append(part)
        return {name: tuple(parts) for name, parts in found.items()}

    def height(self, layer: str) -> int:
        """Return the pairs of rows of a layer's segments, the last of which may be shorter."""
        return self.segment(layer)[0]

    def segment(self, layer: str) -> tuple[int, int]:
        """Return the pairs of rows and the columns of a layer's parts; the last may be smaller."""
        parts = self.parts[layer]
        return max(p.pairs[1] - p.pairs[0] for p in parts), max(p.width for p in parts)

    def word_lines(self, part: Placement) -> NDArray[np.int64]:
        """Return the word lines of a part, of shape (2 * height,): G+ and G- of each pair."""
        return self.stack.good_rows(part.core)[part.row : part.row + 2 * part.height]

    def columns(self, part: Placement) -> NDArray[np.int64]:
        """Return the columns of the core that a part takes, of shape (width,)."""
        return self.stack.good_columns(part.core)[part.column : part.column + part.width]

    @cached_property
    def taking_turns(self) -> tuple[tuple[str, ...], ...]:
        """Groups of layers of which some share word lines, and so cannot be used at once."""
        group = {footprint.name: {footprint.name} for footprint in self.footprints}
        lines: dict[tuple[int, int], str] = {}
        for part in self.placements:
            for line in range(part.row, part.row + 2 * part.height):
                other = lines.setdefault((part.core, line), part.layer)
                if other not in group[part.layer]:
                    joined = group[part.layer] | group[other]
                    group.update(dict.fromkeys(joined, joined))
        found = {id(names): names for names in group.values() if len(names) > 1}
        in_order = [footprint.name for footprint in self.footprints]
        return tuple(tuple(sorted(names, key=in_order.index)) for names in found.values())

    @cached_property
    def used_in_turn(self) -> tuple[str, ...]:
        """Layers of which parts share word lines, so that they are used one after the other."""
        seen: set[tuple[str, int, int]] = set()
        found: dict[str, None] = {}
        for part in self.placements:
            lines = {
                (part.layer, part.core, line)
                for line in range(part.row, part.row + 2 * part.height)
            }
            if seen & lines:
                found[part.layer] = None
            seen |= lines
        return tuple(found)

    @property
    def n_cells(self) -> int:
        """Cells that hold weights."""
        return sum(part.n_cells for part in self.placements)

    @cached_property
    def powered(self) -> NDArray[np.bool_]:
        """Which cores hold anything; the others are off. Of shape (chip, core)."""
        on = np.zeros(self.stack.n_chips * self.stack.n_cores, np.bool_)
        on[[part.core for part in self.placements]] = True
        return on.reshape(self.stack.n_chips, self.stack.n_cores)

    @property
    def n_powered(self) -> int:
        """Number of cores that are not off."""
        return int(self.powered.sum())

    def utilisation(self) -> xr.DataArray:
        """Return the share of each core's cells that hold weights, of dims (chip, core)."""
        cells = np.zeros(self.powered.size)
        np.add.at(
            cells,
            [part.core for part in self.placements],
            [part.n_cells for part in self.placements],
        )
        share = cells.reshape(self.powered.shape) / (self.stack.rows * self.stack.columns)
        return xr.DataArray(
            share,
            dims=("chip", "core"),
            coords={"powered": (("chip", "core"), self.powered)},
            name="utilisation",
            attrs={"units": "1", "long_name": "share of cells that hold weights"},
        )

    def table(self) -> xr.Dataset:
        """Return the placements as a table, one entry of dim ``placement`` for each."""
        words = {
            "layer": "layer",
            "copy": "copy of the layer",
            "first_pair": "first pair of the layer",
            "n_pairs": "pairs of the layer",
            "bias_pairs": "always-on pairs besides",
            "first_column": "first column of the layer",
            "n_columns": "columns",
            "chip": "chip of the stack",
            "core": "core of the chip",
            "row": "first word line on the core",
            "column": "first column on the core",
            "cells": "cells",
        }
        entries = zip(*(self._entry(part) for part in self.placements))
        return xr.Dataset(
            {
                name: (("placement",), np.asarray(values), {"long_name": words[name]})
                for name, values in zip(words, entries)
            },
            attrs={
                "chip_name": self.stack.chip,
                "n_chips": self.stack.n_chips,
                "n_cores": self.stack.n_cores,
                "powered": self.n_powered,
                "cells": self.n_cells,
            },
        )

    def _entry(self, part: Placement) -> tuple[str | int, ...]:
        """Return what the table says of a part."""
        return (
            part.layer,
            part.copy,
            part.pairs[0],
            part.pairs[1] - part.pairs[0],
            part.bias_pairs,
            part.columns[0],
            part.width,
            *divmod(part.core, self.stack.n_cores),
            int(self.word_lines(part)[0]),
            int(self.columns(part)[0]),
            part.n_cells,
        )


def _check_count(who: str, name: str, count: object, least: int) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < least:
        raise ValueError(f"{who} expects {name} to be a count >= {least}, got {count!r}.")


def _checked_lines(who: str, lines: ArrayLike, limit: int) -> NDArray[np.int64]:
    """Return the numbers of bad lines, sorted and each once."""
    given = np.asarray(lines)
    if given.size and given.dtype.kind not in "iu":
        raise ValueError(f"{who} expects numbers of lines, got {given.dtype}.")
    found: NDArray[np.int64] = np.unique(given.astype(np.int64))
    if found.size and not (found[0] >= 0 and found[-1] < limit):
        raise ValueError(f"{who} expects lines 0 to {limit - 1}, got {found[0]} to {found[-1]}.")
    found.flags.writeable = False
    return found
