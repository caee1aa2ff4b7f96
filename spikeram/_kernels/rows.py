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

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


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
    tiles = aligned((-(-columns // width), rows + 1, width))
    for n, tile in enumerate(tiles):
        some = weight[:, n * width : (n + 1) * width]
        tile[:rows, : some.shape[1]] = some
    return tiles


def aligned(shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Return zeros that begin where a line of the cache does: rows then lie in as few as can be."""
    size = int(np.prod(shape))
    room = np.zeros(size + LINE // 2, np.int16)
    first = -room.ctypes.data % LINE // 2
    return room[first : first + size].reshape(shape)


def arrays(context: Any, builder: Any, signature: Any, args: Any, *places: int) -> list[Any]:
    """Return those arguments of an intrinsic that are arrays, by their places."""
    return [context.make_array(signature.args[n])(context, builder, args[n]) for n in places]


def vector(builder: Any, pointer: Any, at: Any, lanes: Any) -> Any:
    """Return a pointer to the lanes that begin at an element of an array."""
    return builder.bitcast(builder.gep(pointer, [at]), lanes.as_pointer())


def _summing(width: int, *, taken: bool) -> Any:
    """Return the intrinsic for tiles of a width: sums written, or taken from what is there."""
    narrow, wide = ir.VectorType(I16, width), ir.VectorType(I32, width)

    @intrinsic
    def sums(_: Any, tile: Any, places: Any, first: Any, last: Any, out: Any, column: Any) -> Any:
        # The types say what the kernels give: C arrays of int16, int32 and int32, and int64.
        signature = types.void(tile, places, types.int64, types.int64, out, types.int64)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit the loop over groups of rows."""
            tile, places, out = (
                array.data for array in arrays(context, builder, signature, args, 0, 1, 4)
            )
            target = vector(builder, out, args[5], wide)
            total = cgutils.alloca_once_value(builder, ir.Constant(wide, None))

            def row(at: Any) -> Any:
                """Load the row that an entry of the list stands for."""
                place = builder.zext(builder.load(builder.gep(places, [at])), I64)
                return builder.load(vector(builder, tile, place, narrow), align=2)

            with cgutils.for_range_slice(builder, args[2], args[3], I64(AT_ONCE), I64) as loop:
                summed = row(loop[0])
                for n in range(1, AT_ONCE):
                    summed = builder.add(summed, row(builder.add(loop[0], I64(n))))
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
    narrow, wide = ir.VectorType(I16, width), ir.VectorType(I32, width)

    @intrinsic
    def adds(_: Any, tile: Any, row: Any, number: Any, out: Any, column: Any) -> Any:
        signature = types.void(tile, types.int64, types.int32, out, types.int64)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit one load, one product and one sum."""
            tile, out = (array.data for array in arrays(context, builder, signature, args, 0, 3))
            target = vector(builder, out, args[4], wide)
            source = builder.load(vector(builder, tile, args[1], narrow), align=2)
            more = builder.sext(source, wide)
            lane = builder.insert_element(ir.Constant(wide, ir.Undefined), args[2], I32(0))
            mask = ir.Constant(ir.VectorType(I32, width), None)
            times = builder.shuffle_vector(lane, ir.Constant(wide, ir.Undefined), mask)
            more = builder.mul(more, times)
            builder.store(builder.add(builder.load(target, align=4), more), target, align=4)
            return context.get_dummy_value()

        return signature, write

    return adds


_sum_8, _take_8 = _summing(8, taken=False), _summing(8, taken=True)
_sum_16, _take_16 = _summing(16, taken=False), _summing(16, taken=True)
_sum_32, _take_32 = _summing(32, taken=False), _summing(32, taken=True)
_sum_64, _take_64 = _summing(64, taken=False), _summing(64, taken=True)
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
