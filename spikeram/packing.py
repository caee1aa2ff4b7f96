r"""From footprints to a mapping: matrices are cut into parts, and the parts are packed into cores.

*Cutting.* A matrix of n pairs, of which a segment takes at most m, becomes
:math:`s = \lceil n / m \rceil` segments of :math:`\lceil n / s \rceil` pairs, the last of which
may be shorter; columns are cut likewise.

*Merging.* Several parts may share a core. A column belongs to one part alone, because it settles at
a mean over all cells on it: a second matrix above or below, held at the reference, would add its
conductances to the denominator. Word lines may be shared by parts that stand side by side on
columns of their own, but not at the same time: what drives the rows of one would drive those of the
other. So parts that are used at once (those of one stage) share neither, and stand along a
diagonal. What lies off the diagonal was never formed: at the 0.13 GOhm that the published notebooks
read on a row without forming, 128 pairs of such cells add 2 uS to a column's sum, which is left
out here.

The parts of a core therefore follow each other from left to right, each below those of its own
stage.

*In turn.* The segments of a layer that is used once for an inference, as a dense layer behind
convolutions is, may be used one after the other, at little cost of time next to the many positions
of the convolutions. Then they are not used at once, and stand side by side on the same word lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from typing import Literal, NamedTuple, TypeAlias

from spikeram.errors import CapacityError
from spikeram.placement import Footprint, Mapping, Placement, Span, Stack

Merge: TypeAlias = Literal["as_needed", "always", "never"]


@dataclass(frozen=True, kw_only=True)
class MappingRules:
    """How matrices are cut and packed.

    Parameters
    ----------
    max_pairs, max_columns : int, optional
        Most pairs of rows, bias pairs of a segment not counted, and most columns of one part; by
        default what a core holds. The published chip's software took at most 100 inputs.
    merge : {"as_needed", "always", "never"}
        Whether parts share cores: only where there are more parts than cores, wherever they fit so
        that the fewest cores are powered, or not at all.
    used_once_in_turn : bool
        Whether the parts of a matrix that one inference uses once, at one position, stand together,
        whatever `merge` says, and are used one after the other. That is for inference mode: a
        spiking layer needs all of them in each step.
    """

    max_pairs: int | None = None
    max_columns: int | None = None
    merge: Merge = "as_needed"
    used_once_in_turn: bool = False

    def __post_init__(self) -> None:
        for name in ("max_pairs", "max_columns"):
            limit = getattr(self, name)
            if limit is not None and (
                isinstance(limit, bool) or not isinstance(limit, int) or limit < 1
            ):
                raise ValueError(f"MappingRules.{name} expects a count >= 1, got {limit!r}.")
        if self.merge not in ("as_needed", "always", "never"):
            raise ValueError(
                f"MappingRules.merge expects 'as_needed', 'always' or 'never', got {self.merge!r}."
            )


DEFAULT_RULES = MappingRules()
"""Whole cores, merged where it would not fit otherwise."""


def map_footprints(
    footprints: Sequence[Footprint], stack: Stack, rules: MappingRules = DEFAULT_RULES
) -> Mapping:
    """Return where matrices of given footprints lie on a stack of chips.

    Layers stay in their order: each chip takes as many of them as fit before the next one does.

    Parameters
    ----------
    footprints : sequence of Footprint
        What to place, in the order in which it is used.
    stack : Stack
        The cores that there are.
    rules : MappingRules
        How to cut and pack.

    Raises
    ------
    CapacityError
        If they do not fit; the message says by how much, and what would help.

    Examples
    --------
    >>> footprints = [Footprint(name="a", n_pairs=300, n_columns=10)]
    >>> [part.pairs for part in map_footprints(footprints, Stack()).placements]
    [(0, 100), (100, 200), (200, 300)]
    """
    names = [footprint.name for footprint in footprints]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"map_footprints expects footprints of different names, got {names}.")
    for limits in _limits(stack):
        units = [unit for footprint in footprints for unit in _cut(footprint, limits, rules)]
        placed = _place(units, stack, rules.merge)
        if placed is not None:
            return Mapping(footprints=tuple(footprints), placements=tuple(placed), stack=stack)
    raise _too_large(footprints, stack, rules)


def cores_needed(
    footprints: Sequence[Footprint], stack: Stack, rules: MappingRules = DEFAULT_RULES
) -> int:
    """Return on how few flawless cores matrices go, merged unless the rules forbid it.

    Parameters
    ----------
    footprints : sequence of Footprint
        What would be placed.
    stack : Stack
        Size of cores, and how many a chip has; of such chips there are as many as it takes.
    rules : MappingRules
        How to cut and pack. Parts go where they fit first, the largest before the others.
    """
    return _needed(footprints, stack, rules)[0]


@dataclass(frozen=True, eq=False)
class _Part:
    """A part of a matrix, before it has a place."""

    footprint: Footprint
    copy: int
    pairs: Span
    columns: Span

    @property
    def height(self) -> int:
        return self.pairs[1] - self.pairs[0] + self.footprint.bias_pairs

    @property
    def width(self) -> int:
        return self.columns[1] - self.columns[0]

    @property
    def n_cells(self) -> int:
        return 2 * self.height * self.width


class _Unit(NamedTuple):
    """Parts of one matrix that are placed together: one, or several side by side in turn."""

    parts: tuple[_Part, ...]
    name: str
    stage: int
    height: int
    width: int
    n_cells: int


def _together(parts: Sequence[_Part]) -> _Unit:
    return _Unit(
        parts=tuple(parts),
        name=parts[0].footprint.name,
        stage=parts[0].footprint.stage,
        height=max([part.height for part in parts]),
        width=sum([part.width for part in parts]),
        n_cells=sum([part.n_cells for part in parts]),
    )


@dataclass(eq=False)
class _Core:
    """A core that is being filled: pairs used by each stage, and columns used."""

    number: int
    pairs: int
    columns: int
    used_pairs: dict[int, int] = field(default_factory=dict)
    used_columns: int = 0
    n_cells: int = 0

    def fits(self, unit: _Unit) -> bool:
        below = self.used_pairs.get(unit.stage, 0)
        return below + unit.height <= self.pairs and self.used_columns + unit.width <= self.columns

    def add(self, unit: _Unit) -> list[Placement]:
        below = self.used_pairs.get(unit.stage, 0)
        placements = []
        for part in unit.parts:
            placements.append(
                Placement(
                    layer=unit.name,
                    copy=part.copy,
                    pairs=part.pairs,
                    columns=part.columns,
                    bias_pairs=part.footprint.bias_pairs,
                    core=self.number,
                    row=2 * below,
                    column=self.used_columns,
                )
            )
            self.used_columns += part.width
        self.used_pairs[unit.stage] = below + unit.height
        self.n_cells += unit.n_cells
        return placements


def _limits(stack: Stack) -> Iterator[tuple[int, int]]:
    """Yield the largest parts to try: what some cores hold, then what more of them hold."""
    usable = {stack.usable(core) for core in stack.bad_cores}
    if len(stack.bad_cores) < stack.n_chips * stack.n_cores:
        usable.add((stack.rows // 2, stack.columns))
    for pairs in sorted({pairs for pairs, columns in usable if pairs and columns}, reverse=True):
        yield pairs, min(columns for have, columns in usable if have >= pairs and columns)


def _cut(footprint: Footprint, limits: tuple[int, int], rules: MappingRules) -> list[_Unit]:
    pairs, columns = limits[0] - footprint.bias_pairs, limits[1]
    if pairs < 1:
        raise CapacityError(
            f"The {footprint.bias_pairs} bias pairs of matrix {footprint.name!r} leave no room in "
            f"a core of {limits[0]} pairs of rows. Use fewer of them or a Chip with larger cores."
        )
    tall = _spans(footprint.n_pairs, min(pairs, rules.max_pairs or pairs))
    wide = _spans(footprint.n_columns, min(columns, rules.max_columns or columns))
    units = []
    for copy in range(footprint.copies):
        parts = [_Part(footprint, copy, rows, across) for rows in tall for across in wide]
        if rules.used_once_in_turn and footprint.n_positions * footprint.uses == 1:
            units += _side_by_side(parts, columns)
        else:
            units += [_together([part]) for part in parts]
    return units


def _side_by_side(parts: Sequence[_Part], columns: int) -> list[_Unit]:
    """Return parts together, as many as there are columns for."""
    each = columns // parts[0].width
    return [_together(parts[n : n + each]) for n in range(0, len(parts), each)]


def _spans(length: int, limit: int) -> list[Span]:
    """Return equal spans of at most `limit`; the last one may be shorter."""
    each = -(-length // -(-length // limit))
    return [(start, min(start + each, length)) for start in range(0, length, each)]


def _place(units: Sequence[_Unit], stack: Stack, merge: Merge) -> list[Placement] | None:
    """Return the placements of all parts, or None where they do not fit."""
    placed = None if merge == "always" else _over_chips(units, stack, "never")
    if placed is None and merge != "never":
        placed = _over_chips(units, stack, merge)
    return None if placed is None else [part for unit in placed for part in unit]


def _over_chips(units: Sequence[_Unit], stack: Stack, merge: Merge) -> list[list[Placement]] | None:
    """Return the placements of all parts, chip by chip."""
    placed: list[list[Placement]] = []
    for chip in range(stack.n_chips):
        left = units[len(placed) :]
        numbers = range(chip * stack.n_cores, (chip + 1) * stack.n_cores)
        some = left[: _most_units(left, stack)]
        whole = _pack(left, stack, numbers, merge) if len(some) == len(left) else None
        if whole is not None:
            return placed + whole
        if chip == stack.n_chips - 1:
            return None
        placed += _first_layers(some, stack, numbers, merge)
    return None


def _most_units(units: Sequence[_Unit], stack: Stack) -> int:
    """Return how many units from the front have no more columns than a chip."""
    widths = accumulate(unit.width for unit in units)
    return sum(1 for _ in takewhile(lambda total: total <= stack.n_cores * stack.columns, widths))


def _first_layers(
    units: Sequence[_Unit], stack: Stack, numbers: range, merge: Merge
) -> list[list[Placement]]:
    """Return the placements of the first layers that fit on a chip, or of parts of the first."""
    names = [unit.name for unit in units]
    ends = [n for n in range(1, len(units)) if names[n] != names[n - 1]] + [len(units)]
    for counts in (ends, range(1, len(units) + 1)):
        most: list[list[Placement]] = []
        low, high = 0, len(counts)
        while low < high:
            middle = (low + high) // 2
            packed = _pack(units[: counts[middle]], stack, numbers, merge)
            if packed is None:
                high = middle
            else:
                most, low = packed, middle + 1
        if most:
            return most
    return []


def _pack(
    units: Sequence[_Unit], stack: Stack, numbers: range, merge: Merge
) -> list[list[Placement]] | None:
    """Return the placements of all parts on the cores of one chip, or None."""
    in_order = list(range(len(units)))
    largest_first = sorted(in_order, key=lambda n: -units[n].n_cells)
    if merge == "never":
        if len(units) > len(numbers):
            return None
        tries = [(in_order, _first_empty), (largest_first, _first_empty)]
    elif merge == "always":
        tries = [(largest_first, _first_that_fits)]
    else:
        tries = [(largest_first, _emptiest), (largest_first, _first_that_fits)]
    for order, choose in tries:
        cores = [_Core(number, *stack.usable(number)) for number in numbers]
        placed = _fill(units, order, cores, choose)
        if placed is not None:
            return placed
    return None


_Choice: TypeAlias = Callable[[Sequence[_Core], _Unit], _Core | None]


def _fill(
    units: Sequence[_Unit], order: Sequence[int], cores: Sequence[_Core], choose: _Choice
) -> list[list[Placement]] | None:
    found: dict[int, list[Placement]] = {}
    for n in order:
        core = choose(cores, units[n])
        if core is None:
            return None
        found[n] = core.add(units[n])
    return [found[n] for n in range(len(units))]


def _first_empty(cores: Sequence[_Core], unit: _Unit) -> _Core | None:
    return next((core for core in cores if not core.n_cells and core.fits(unit)), None)


def _first_that_fits(cores: Sequence[_Core], unit: _Unit) -> _Core | None:
    return next((core for core in cores if core.fits(unit)), None)


def _emptiest(cores: Sequence[_Core], unit: _Unit) -> _Core | None:
    fitting = (core for core in cores if core.fits(unit))
    return min(fitting, key=lambda core: core.n_cells, default=None)


def _needed(footprints: Sequence[Footprint], stack: Stack, rules: MappingRules) -> tuple[int, int]:
    """Return the flawless cores and the chips that matrices take."""
    whole = (stack.rows // 2, stack.columns)
    units = [unit for footprint in footprints for unit in _cut(footprint, whole, rules)]
    # Each chip takes at least one of them.
    ample = replace(stack, n_chips=len(units), bad_rows={}, bad_columns={})
    placed = _place(units, ample, "never" if rules.merge == "never" else "always") or []
    n_chips = 1 + max(part.core for part in placed) // stack.n_cores
    return len({part.core for part in placed}), n_chips


def _too_large(footprints: Sequence[Footprint], stack: Stack, rules: MappingRules) -> CapacityError:
    """Return the error that says by how much matrices do not fit, and what would help."""
    needed, n_chips = _needed(footprints, stack, rules)
    have = stack.n_chips * stack.n_cores
    one = stack.n_chips == 1
    owner = f"chip {stack.chip!r} has" if one else f"{stack.n_chips} chips {stack.chip!r} have"
    if needed > have:
        amount = f"needs {needed} cores, but {owner} {have}: {needed - have} too many"
    elif stack.bad_cores:
        amount = (
            f"needs {needed} whole cores. Of the {have} that {owner}, {len(stack.bad_cores)} have "
            "bad lines, and what is left does not hold it"
        )
    else:
        amount = f"needs {needed} cores and more chips: layers that are not cut do not fill {have}"
    merged = "" if rules.merge != "never" else "merge='as_needed', "
    fewer = "fewer pairs_per_weight, " if footprints[0].pairs_per_weight > 1 else ""
    more = max(n_chips, stack.n_chips + 1)
    return CapacityError(
        f"The network {amount}. Use a smaller network, {merged}{fewer}or a Chip with "
        f"n_cores={max(needed, have + 1)} or larger cores, or a Stack of n_chips={more}."
    )
