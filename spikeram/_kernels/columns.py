"""Charge of positions, a row for each, to the order of neurons: a column for each channel."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikeram._kernels.rows import I32, I64, arrays, vector

_SIDE = 8
_LANES = ir.VectorType(I32, _SIDE)
_PAIRS = ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15))
_FOURS = ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
_EIGHTS = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
"""What a round takes of two registers; within their halves first, which is cheaper."""


def _emit_transpose(
    _: Any, rows: Any, first: Any, width: Any, out: Any, place: Any, length: Any
) -> Any:
    """Write eight numbers of eight rows as eight of eight columns."""
    # The types say what the kernels give: C arrays of int32, and int64.
    signature = types.void(rows, types.int64, types.int64, out, types.int64, types.int64)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """Emit loads, three rounds of shuffles, and stores."""
        source, target = (array.data for array in arrays(context, builder, signature, args, 0, 3))

        def line(data: Any, begin: Any, stride: Any, n: int) -> Any:
            return vector(builder, data, builder.add(begin, builder.mul(stride, I64(n))), _LANES)

        def mixed(a: Any, b: Any, order: tuple[int, ...]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(_LANES, order))

        found = [builder.load(line(source, args[1], args[2], n), align=4) for n in range(_SIDE)]
        pairs = [mixed(found[n], found[n + 1], order) for n in (0, 2, 4, 6) for order in _PAIRS]
        fours = [mixed(pairs[n], pairs[n + 2], order) for n in (0, 1, 4, 5) for order in _FOURS]
        eights = [mixed(fours[n], fours[n + 4], order) for order in _EIGHTS for n in range(4)]
        for n, column in enumerate(eights):
            builder.store(column, line(target, args[4], args[5], n), align=4)
        return context.get_dummy_value()

    return signature, write


_transpose: Any = intrinsic(_emit_transpose)


@numba.njit(nogil=True, cache=True)
def write_columns(charge, width, out, first, last):
    """Write a charge of one row for each position by columns.

    charge (position * width,) int32; out (column * position,) int32, of which the columns from
    `first` to `last`, at most `width` many, are written.
    """
    n_positions = charge.size // width
    whole = n_positions - n_positions % _SIDE
    squares = last - (last - first) % _SIDE
    for column in range(first, squares, _SIDE):
        for p in range(0, whole, _SIDE):
            place = column * n_positions + p
            _transpose(charge, p * width + column - first, width, out, place, n_positions)
    for column in range(first, last):
        for p in range(whole if column < squares else 0, n_positions):
            out[column * n_positions + p] = charge[p * width + column - first]
