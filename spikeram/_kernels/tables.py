"""Sums from tables: which of a group of rows are added chooses an entry, the sum of them all.

Tables are those of four or eight rows of a matrix in tiles (`spikeram._kernels.rows`). Two steps go
through the positions together where their sums fit into the registers: a list of groups is read
once for both, and the second finds entries of the first in the cache.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikeram._kernels.rows import AT_ONCE, I16, I32, I64, aligned, arrays, tiles_of, vector

_KINDS = ((8, 4), (16, 4), (32, 4), (64, 4), (8, 8), (16, 8))
"""Columns of a tile, and rows of a table."""


def tables_of(weight: NDArray[np.int16], rows: NDArray[np.int32]) -> NDArray[np.int16]:
    """Return the sums of every choice among the rows of each group.

    Parameters
    ----------
    weight : int16 ndarray of shape (row, column)
        The matrix.
    rows : int32 ndarray of shape (table, size)
        Rows of each table, four or eight; -1 for none.

    Returns
    -------
    int16 ndarray of shape (tile, table, 2**size, column of the tile)
        Entry m is the sum of the rows at which m has a bit.
    """
    tiles = tiles_of(weight)
    size = rows.shape[1]
    found = aligned((len(tiles), len(rows), 2**size, tiles.shape[2]))
    for q in range(size):
        # Row -1 is the last of a tile, which is 0.
        half = found[:, :, : 2**q]
        found[:, :, 2**q : 2 ** (q + 1)] = half + tiles[:, rows[:, q]][:, :, np.newaxis]
    return found


def _looking_up(steps: int, *, taken: bool) -> Any:
    """Return the intrinsic that adds sums from tables at every position, or takes them away."""

    @intrinsic
    def adds(_: Any, table: Any, masks: Any, first: Any, at: Any, out: Any) -> Any:
        # The types say what the kernels give: C arrays of int16, uint8, int32 and int32, and int64.
        signature = types.void(table, masks, types.int64, at, out)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit the loops of each kind of table."""
            table, masks, at, out = arrays(context, builder, signature, args, 0, 1, 3, 4)
            _, n_groups = cgutils.unpack_tuple(builder, masks.shape)
            _, room = cgutils.unpack_tuple(builder, out.shape)
            numbers = [builder.add(args[2], I64(s)) for s in range(steps)]
            chosen = [builder.gep(masks.data, [builder.mul(k, n_groups)]) for k in numbers]
            written = [builder.gep(out.data, [builder.mul(k, room)]) for k in numbers]
            _, n_entries, columns = cgutils.unpack_tuple(builder, table.shape)
            for width, size in _KINDS:
                same = builder.icmp_signed("==", columns, I64(width))
                same = builder.and_(same, builder.icmp_signed("==", n_entries, I64(2**size)))
                with builder.if_then(same):
                    _emit(builder, width, size, table.data, chosen, at, written, taken=taken)
            return context.get_dummy_value()

        return signature, write

    return adds


def _emit(
    builder: Any, width: int, size: int, table: Any, masks: list[Any], at: Any, out: list[Any],
    *, taken: bool,
) -> None:  # fmt: skip
    """Emit the loops over positions and their tables, in which all steps take part."""
    narrow, wide = ir.VectorType(I16, width), ir.VectorType(I32, width)
    n_positions, n_tables = cgutils.unpack_tuple(builder, at.shape)
    combine = builder.sub if taken else builder.add
    totals = [cgutils.alloca_once(builder, wide) for _ in out]

    def entries(position: Any, n: Any) -> list[Any]:
        """Load the sums of those rows of a group whose inputs spiked, step by step."""
        group = builder.load(builder.gep(at.data, [builder.add(position, n)]))
        group = builder.zext(group, I64)
        of_table = builder.mul(n, I64(2**size * width))
        found = []
        for own in masks:
            mask = builder.zext(builder.load(builder.gep(own, [group])), I64)
            place = builder.add(of_table, builder.mul(mask, I64(width)))
            found.append(builder.load(vector(builder, table, place, narrow), align=2))
        return found

    with cgutils.for_range(builder, n_positions) as positions:
        position = builder.mul(positions.index, n_tables)
        place = builder.mul(positions.index, I64(width))
        targets = [vector(builder, own, place, wide) for own in out]
        for total, target in zip(totals, targets):
            builder.store(builder.load(target, align=4), total)
        at_once = AT_ONCE // size
        whole = builder.sub(n_tables, builder.srem(n_tables, I64(at_once)))
        for first, last, some in ((I64(0), whole, at_once), (whole, n_tables, 1)):
            with cgutils.for_range_slice(builder, first, last, I64(some), I64) as tables:
                summed = entries(position, tables[0])
                for n in range(1, some):
                    more = entries(position, builder.add(tables[0], I64(n)))
                    summed = [builder.add(a, b) for a, b in zip(summed, more)]
                for total, found in zip(totals, summed):
                    builder.store(combine(builder.load(total), builder.sext(found, wide)), total)
        for total, target in zip(totals, targets):
            builder.store(builder.load(total), target, align=4)


_add, _add_twice = _looking_up(1, taken=False), _looking_up(2, taken=False)
_take, _take_twice = _looking_up(1, taken=True), _looking_up(2, taken=True)


@numba.njit(nogil=True, cache=True)
def add_entries(table, masks, first, n, at, out, removed):
    """Add the sums that masks choose from tables to each position, or take them away.

    table (table, entry, width) int16, with 16 entries or, up to a width of 16, 256; masks (step,
    group) uint8; `n` steps, one or two, from `first` on; at (position, table) int32: which mask
    chooses; out (step, position * width) int32.
    """
    if n == 2:
        if removed:
            _take_twice(table, masks, first, at, out)
        else:
            _add_twice(table, masks, first, at, out)
    elif removed:
        _take(table, masks, first, at, out)
    else:
        _add(table, masks, first, at, out)
