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
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from typing import Literal, TypeAlias

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
    """

    max_pairs: int | None = None
    max_columns: int | None = None
    merge: Merge = "as_needed"

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
        parts = [part for footprint in footprints for part in _cut(footprint, limits, rules)]
        placed = _place(parts, stack, rules.merge)
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


@dataclass(eq=False)
class _Core:
    """A core that is being filled: pairs used by each stage, and columns used."""

    number: int
    pairs: int
    columns: int
    used_pairs: dict[int, int] = field(default_factory=dict)
    used_columns: int = 0
    n_cells: int = 0

    def fits(self, part: _Part) -> bool:
        below = self.used_pairs.get(part.footprint.stage, 0)
        return below + part.height <= self.pairs and self.used_columns + part.width <= self.columns

    def add(self, part: _Part) -> Placement:
        below = self.used_pairs.get(part.footprint.stage, 0)
        placement = Placement(
            layer=part.footprint.name,
            copy=part.copy,
            pairs=part.pairs,
            columns=part.columns,
            bias_pairs=part.footprint.bias_pairs,
            core=self.number,
            row=2 * below,
            column=self.used_columns,
        )
        self.used_pairs[part.footprint.stage] = below + part.height
        self.used_columns += part.width
        self.n_cells += part.n_cells
        return placement


def _limits(stack: Stack) -> Iterator[tuple[int, int]]:
    """Yield the largest parts to try: what some cores hold, then what more of them hold."""
    usable = {stack.usable(core) for core in stack.bad_cores}
    if len(stack.bad_cores) < stack.n_chips * stack.n_cores:
        usable.add((stack.rows // 2, stack.columns))
    for pairs in sorted({pairs for pairs, columns in usable if pairs and columns}, reverse=True):
        yield pairs, min(columns for have, columns in usable if have >= pairs and columns)


def _cut(footprint: Footprint, limits: tuple[int, int], rules: MappingRules) -> list[_Part]:
    pairs, columns = limits[0] - footprint.bias_pairs, limits[1]
    if pairs < 1:
        raise CapacityError(
            f"The {footprint.bias_pairs} bias pairs of matrix {footprint.name!r} leave no room in "
            f"a core of {limits[0]} pairs of rows. Use fewer of them or a Chip with larger cores."
        )
    tall = _spans(footprint.n_pairs, min(pairs, rules.max_pairs or pairs))
    wide = _spans(footprint.n_columns, min(columns, rules.max_columns or columns))
    return [
        _Part(footprint, copy, rows, across)
        for copy in range(footprint.copies)
        for rows in tall
        for across in wide
    ]


def _spans(length: int, limit: int) -> list[Span]:
    """Return equal spans of at most `limit`; the last one may be shorter."""
    each = -(-length // -(-length // limit))
    return [(start, min(start + each, length)) for start in range(0, length, each)]


def _place(parts: Sequence[_Part], stack: Stack, merge: Merge) -> list[Placement] | None:
    """Return the placements of all parts, or None where they do not fit."""
    apart = None if merge == "always" else _over_chips(parts, stack, "never")
    return _over_chips(parts, stack, merge) if apart is None and merge != "never" else apart


def _over_chips(parts: Sequence[_Part], stack: Stack, merge: Merge) -> list[Placement] | None:
    """Return the placements of all parts, chip by chip."""
    placed: list[Placement] = []
    for chip in range(stack.n_chips):
        left = parts[len(placed) :]
        numbers = range(chip * stack.n_cores, (chip + 1) * stack.n_cores)
        some = left[: _most_parts(left, stack)]
        whole = _pack(left, stack, numbers, merge) if len(some) == len(left) else None
        if whole is not None:
            return placed + whole
        if chip == stack.n_chips - 1:
            return None
        placed += _first_layers(some, stack, numbers, merge)
    return None


def _most_parts(parts: Sequence[_Part], stack: Stack) -> int:
    """Return how many parts from the front have no more columns than a chip."""
    widths = accumulate(part.width for part in parts)
    return sum(1 for _ in takewhile(lambda total: total <= stack.n_cores * stack.columns, widths))


def _first_layers(
    parts: Sequence[_Part], stack: Stack, numbers: range, merge: Merge
) -> list[Placement]:
    """Return the placements of the first layers that fit on a chip, or of parts of the first."""
    names = [part.footprint.name for part in parts]
    ends = [n for n in range(1, len(parts)) if names[n] != names[n - 1]] + [len(parts)]
    for counts in (ends, range(1, len(parts) + 1)):
        most: list[Placement] = []
        low, high = 0, len(counts)
        while low < high:
            middle = (low + high) // 2
            packed = _pack(parts[: counts[middle]], stack, numbers, merge)
            if packed is None:
                high = middle
            else:
                most, low = packed, middle + 1
        if most:
            return most
    return []


def _pack(
    parts: Sequence[_Part], stack: Stack, numbers: range, merge: Merge
) -> list[Placement] | None:
    """Return the placements of all parts on the cores of one chip, or None."""
    in_order = list(range(len(parts)))
    largest_first = sorted(in_order, key=lambda n: -parts[n].n_cells)
    if merge == "never":
        if len(parts) > len(numbers):
            return None
        tries = [(in_order, _first_empty), (largest_first, _first_empty)]
    elif merge == "always":
        tries = [(largest_first, _first_that_fits)]
    else:
        tries = [(largest_first, _emptiest), (largest_first, _first_that_fits)]
    for order, choose in tries:
        cores = [_Core(number, *stack.usable(number)) for number in numbers]
        placed = _fill(parts, order, cores, choose)
        if placed is not None:
            return placed
    return None


_Choice: TypeAlias = Callable[[Sequence[_Core], _Part], _Core | None]


def _fill(
    parts: Sequence[_Part], order: Sequence[int], cores: Sequence[_Core], choose: _Choice
) -> list[Placement] | None:
    found: dict[int, Placement] = {}
    for n in order:
        core = choose(cores, parts[n])
        if core is None:
            return None
        found[n] = core.add(parts[n])
    return [found[n] for n in range(len(parts))]


def _first_empty(cores: Sequence[_Core], part: _Part) -> _Core | None:
    return next((core for core in cores if not core.n_cells and core.fits(part)), None)


def _first_that_fits(cores: Sequence[_Core], part: _Part) -> _Core | None:
    return next((core for core in cores if core.fits(part)), None)


def _emptiest(cores: Sequence[_Core], part: _Part) -> _Core | None:
    fitting = (core for core in cores if core.fits(part))
    return min(fitting, key=lambda core: core.n_cells, default=None)


def _needed(footprints: Sequence[Footprint], stack: Stack, rules: MappingRules) -> tuple[int, int]:
    """Return the flawless cores and the chips that matrices take."""
    whole = (stack.rows // 2, stack.columns)
    parts = [part for footprint in footprints for part in _cut(footprint, whole, rules)]
    # Each chip takes at least one part.
    ample = replace(stack, n_chips=len(parts), bad_rows={}, bad_columns={})
    placed = _over_chips(parts, ample, "never" if rules.merge == "never" else "always") or []
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
