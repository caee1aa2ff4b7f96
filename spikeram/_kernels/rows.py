"""Sums of rows of charge weights, held in vector registers: what every other kernel waits for.

Weights hold 12 bits, so sixteen rows are added in int16, which doubles the lanes of every addition,
before the sum is widened to int32. Numba gives arrays no registers; the sums are written as LLVM
vectors of a fixed number of lanes, which LLVM cuts into those of the processor. Matrices come in
tiles of so many columns, whose rows follow each other: a tile of 1,000 rows stays in the second
cache, where the columns of a wide matrix would fall into few of its sets.
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

AT_ONCE = 16
"""Rows that are added in int16: 16 * 2047 is less than 2**15."""

WIDTHS = (8, 16, 32, 64)
"""Columns of a tile. 64 sums of int16 and of int32 fill twelve of sixteen 256-bit registers."""

LINE = 64
"""Bytes of a line of the cache."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def width_of(n_columns: int) -> int:
    """Return the columns of the tiles that hold a matrix with so many."""
    return next((width for width in WIDTHS if n_columns <= width), WIDTHS[-1])


def tiles_of(weight: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return a matrix in tiles of columns.

    Parameters
    ----------
    weight : int16 ndarray of shape (row, column)
        The matrix.

    Returns
    -------
    int16 ndarray of shape (tile, row + 1, column of the tile)
        Columns that the matrix does not have are 0, and so is the last row, by which lists of rows
        are filled up.
    """
    rows, columns = weight.shape
    width = width_of(columns)
    tiles = _aligned((-(-columns // width), rows + 1, width))
    for n, tile in enumerate(tiles):
        some = weight[:, n * width : (n + 1) * width]
        tile[:rows, : some.shape[1]] = some
    return tiles


def _aligned(shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Return zeros that begin where a line of the cache does: rows then lie in as few as can be."""
    size = int(np.prod(shape))
    room = np.zeros(size + LINE // 2, np.int16)
    first = -room.ctypes.data % LINE // 2
    return room[first : first + size].reshape(shape)


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
    found = _aligned((len(tiles), len(rows), 2**size, tiles.shape[2]))
    for q in range(size):
        # Row -1 is the last of a tile, which is 0.
        half = found[:, :, : 2**q]
        found[:, :, 2**q : 2 ** (q + 1)] = half + tiles[:, rows[:, q]][:, :, np.newaxis]
    return found


def _vector(builder: Any, pointer: Any, at: Any, lanes: Any) -> Any:
    """Return a pointer to the lanes that begin at an element of an array."""
    return builder.bitcast(builder.gep(pointer, [at]), lanes.as_pointer())


def _summing(width: int, *, taken: bool) -> Any:
    """Return the intrinsic for tiles of a width: sums written, or taken from what is there."""
    narrow, wide = ir.VectorType(_I16, width), ir.VectorType(_I32, width)

    @intrinsic
    def sums(_: Any, tile: Any, places: Any, first: Any, last: Any, out: Any, column: Any) -> Any:
        # The types say what the kernels give: C arrays of int16, int32 and int32, and int64.
        signature = types.void(tile, places, types.int64, types.int64, out, types.int64)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit the loop over groups of rows."""
            tile, places, out = (
                context.make_array(signature.args[n])(context, builder, args[n]).data
                for n in (0, 1, 4)
            )
            target = _vector(builder, out, args[5], wide)
            total = cgutils.alloca_once_value(builder, ir.Constant(wide, None))

            def row(at: Any) -> Any:
                """Load the row that an entry of the list stands for."""
                place = builder.zext(builder.load(builder.gep(places, [at])), _I64)
                return builder.load(_vector(builder, tile, place, narrow), align=2)

            with cgutils.for_range_slice(builder, args[2], args[3], _I64(AT_ONCE), _I64) as loop:
                summed = row(loop[0])
                for n in range(1, AT_ONCE):
                    summed = builder.add(summed, row(builder.add(loop[0], _I64(n))))
                more = builder.add(builder.load(total), builder.sext(summed, wide))
                builder.store(more, total)
            found = builder.load(total)
            if taken:
                found = builder.sub(builder.load(target, align=4), found)
            builder.store(found, target, align=4)
            return context.get_dummy_value()

        return signature, write

    return sums


def _adding(width: int) -> Any:
    """Return the intrinsic that adds one row of a width, times a number, to another in int32."""
    narrow, wide = ir.VectorType(_I16, width), ir.VectorType(_I32, width)

    @intrinsic
    def adds(_: Any, tile: Any, row: Any, number: Any, out: Any, column: Any) -> Any:
        signature = types.void(tile, types.int64, types.int32, out, types.int64)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit one load, one product and one sum."""
            tile, out = (
                context.make_array(signature.args[n])(context, builder, args[n]).data
                for n in (0, 3)
            )
            target = _vector(builder, out, args[4], wide)
            source = builder.load(_vector(builder, tile, args[1], narrow), align=2)
            more = builder.sext(source, wide)
            lane = builder.insert_element(ir.Constant(wide, ir.Undefined), args[2], _I32(0))
            mask = ir.Constant(ir.VectorType(_I32, width), None)
            times = builder.shuffle_vector(lane, ir.Constant(wide, ir.Undefined), mask)
            more = builder.mul(more, times)
            builder.store(builder.add(builder.load(target, align=4), more), target, align=4)
            return context.get_dummy_value()

        return signature, write

    return adds


def _looking_up(width: int, size: int, *, taken: bool) -> Any:
    """Return the intrinsic that adds sums from tables at every position, or takes them away."""
    narrow, wide = ir.VectorType(_I16, width), ir.VectorType(_I32, width)

    @intrinsic
    def adds(_: Any, table: Any, masks: Any, at: Any, out: Any) -> Any:
        # The types say what the kernels give: C arrays of int16, uint8, int32 and int32.
        signature = types.void(table, masks, at, out)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit the loops over positions and their tables."""
            table, masks, at, out = (
                context.make_array(kind)(context, builder, array)
                for kind, array in zip(signature.args, args)
            )
            n_positions, n_tables = cgutils.unpack_tuple(builder, at.shape)

            def entry(position: Any, n: Any) -> Any:
                """Load the sum of those rows of a group whose inputs spiked."""
                place = builder.add(builder.mul(position, n_tables), n)
                group = builder.load(builder.gep(at.data, [place]))
                mask = builder.load(builder.gep(masks.data, [builder.zext(group, _I64)]))
                of_table = builder.add(builder.mul(n, _I64(2**size)), builder.zext(mask, _I64))
                sums = _vector(builder, table.data, builder.mul(of_table, _I64(width)), narrow)
                return builder.load(sums, align=2)

            step = _I64(AT_ONCE // size)
            combine = builder.sub if taken else builder.add
            total = cgutils.alloca_once(builder, wide)
            with cgutils.for_range(builder, n_positions) as positions:
                place = builder.mul(positions.index, _I64(width))
                target = _vector(builder, out.data, place, wide)
                builder.store(builder.load(target, align=4), total)
                with cgutils.for_range_slice(builder, _I64(0), n_tables, step, _I64) as tables:
                    summed = entry(positions.index, tables[0])
                    for n in range(1, AT_ONCE // size):
                        more = entry(positions.index, builder.add(tables[0], _I64(n)))
                        summed = builder.add(summed, more)
                    widened = builder.sext(summed, wide)
                    builder.store(combine(builder.load(total), widened), total)
                builder.store(builder.load(total), target, align=4)
            return context.get_dummy_value()

        return signature, write

    return adds


_sum_8, _take_8 = _summing(8, taken=False), _summing(8, taken=True)
_sum_16, _take_16 = _summing(16, taken=False), _summing(16, taken=True)
_sum_32, _take_32 = _summing(32, taken=False), _summing(32, taken=True)
_sum_64, _take_64 = _summing(64, taken=False), _summing(64, taken=True)
_look_8, _look_16 = _looking_up(8, 4, taken=False), _looking_up(16, 4, taken=False)
_look_32, _look_64 = _looking_up(32, 4, taken=False), _looking_up(64, 4, taken=False)
_lack_8, _lack_16 = _looking_up(8, 4, taken=True), _looking_up(16, 4, taken=True)
_lack_32, _lack_64 = _looking_up(32, 4, taken=True), _looking_up(64, 4, taken=True)
_look_8_of_8, _look_16_of_8 = _looking_up(8, 8, taken=False), _looking_up(16, 8, taken=False)
_lack_8_of_8, _lack_16_of_8 = _looking_up(8, 8, taken=True), _looking_up(16, 8, taken=True)
_add_8, _add_16, _add_32, _add_64 = _adding(8), _adding(16), _adding(32), _adding(64)


@numba.njit(nogil=True, cache=True)
def sum_rows(tile, places, first, last, out, column):
    """Write the sum of rows of a tile into ``out[column : column + width]``.

    tile (row + 1, width) int16; places int32: entries from `first` to `last`, a multiple of
    `AT_ONCE` many, each a row times the width; out int32.
    """
    width = tile.shape[1]
    if width == 64:
        _sum_64(tile, places, first, last, out, column)
    elif width == 32:
        _sum_32(tile, places, first, last, out, column)
    elif width == 16:
        _sum_16(tile, places, first, last, out, column)
    else:
        _sum_8(tile, places, first, last, out, column)


@numba.njit(nogil=True, cache=True)
def take_rows(tile, places, first, last, out, column):
    """Subtract the sum of rows of a tile from ``out[column : column + width]``; see `sum_rows`."""
    width = tile.shape[1]
    if width == 64:
        _take_64(tile, places, first, last, out, column)
    elif width == 32:
        _take_32(tile, places, first, last, out, column)
    elif width == 16:
        _take_16(tile, places, first, last, out, column)
    else:
        _take_8(tile, places, first, last, out, column)


@numba.njit(nogil=True, cache=True)
def add_row(tile, place, number, out, column):
    """Add `number` times the row at `place` of a tile to ``out[column : column + width]``.

    `place` is a row times the width; tile and out are as for `sum_rows`.
    """
    width = tile.shape[1]
    if width == 64:
        _add_64(tile, place, number, out, column)
    elif width == 32:
        _add_32(tile, place, number, out, column)
    elif width == 16:
        _add_16(tile, place, number, out, column)
    else:
        _add_8(tile, place, number, out, column)


@numba.njit(nogil=True, cache=True)
def add_entries(table, masks, at, out):
    """Add to each position's row of `out` the sums that masks choose from its tables.

    table (table, entry, width) int16, with 16 entries or, up to a width of 16, 256; masks uint8; at
    (position, table) int32: which mask chooses; its tables are those of `AT_ONCE` rows or of a
    multiple; out (position * width,) int32.
    """
    width = table.shape[2]
    if table.shape[1] == 256:
        if width == 16:
            _look_16_of_8(table, masks, at, out)
        else:
            _look_8_of_8(table, masks, at, out)
    elif width == 64:
        _look_64(table, masks, at, out)
    elif width == 32:
        _look_32(table, masks, at, out)
    elif width == 16:
        _look_16(table, masks, at, out)
    else:
        _look_8(table, masks, at, out)


@numba.njit(nogil=True, cache=True)
def take_entries(table, masks, at, out):
    """Subtract sums from tables; see `add_entries`."""
    width = table.shape[2]
    if table.shape[1] == 256:
        if width == 16:
            _lack_16_of_8(table, masks, at, out)
        else:
            _lack_8_of_8(table, masks, at, out)
    elif width == 64:
        _lack_64(table, masks, at, out)
    elif width == 32:
        _lack_32(table, masks, at, out)
    elif width == 16:
        _lack_16(table, masks, at, out)
    else:
        _lack_8(table, masks, at, out)
