"""Products of whole-number codes and charge weights: two rows multiplied and added at a time.

Processors multiply int16 by int16 and add neighbouring products in one instruction; LLVM finds it
where neighbours of one vector are products to be added. Two rows of weights therefore lie column by
column beside each other, in tiles of columns whose sums stay in vector registers.
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

from spikeram._kernels.rows import I16, I32, I64, arrays, vector

_AT_ONCE = 8
"""Sums of one vector: those of a 256-bit register."""


def pairs_of(weight: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return a matrix by pairs of rows, in tiles of columns.

    Parameters
    ----------
    weight : int16 ndarray of shape (row, column)
        The matrix.

    Returns
    -------
    int16 ndarray of shape (tile, pair, 2 * column of the tile)
        The two rows of a pair take turns; what the matrix does not have is 0.
    """
    rows, columns = weight.shape
    width = 16 if columns <= 16 else 64
    n_tiles, n_pairs = -(-columns // width), -(-rows // 2)
    padded = np.zeros((2 * n_pairs, n_tiles * width), np.int16)
    padded[:rows, :columns] = weight
    by_tile = padded.reshape(n_pairs, 2, n_tiles, width).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(by_tile).reshape(n_tiles, n_pairs, 2 * width)


def _multiplying(width: int) -> Any:
    """Return the intrinsic that writes the product of one tile."""
    half = ir.VectorType(I16, 2 * _AT_ONCE)
    whole = ir.VectorType(I32, 2 * _AT_ONCE)
    sums = ir.VectorType(I32, _AT_ONCE)
    lanes = ir.VectorType(I32, _AT_ONCE)
    first = ir.Constant(lanes, [I32(n) for n in range(0, 2 * _AT_ONCE, 2)])
    second = ir.Constant(lanes, [I32(n) for n in range(1, 2 * _AT_ONCE, 2)])

    @intrinsic
    def multiplied(_: Any, tile: Any, codes: Any, out: Any, column: Any) -> Any:
        # The types say what the kernels give: C arrays of int16, int16 and int32.
        signature = types.void(tile, codes, out, types.int64)

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            """Emit the loop over pairs of rows."""
            tile, codes, out = arrays(context, builder, signature, args, 0, 1, 2)
            n_pairs = cgutils.unpack_tuple(builder, tile.shape)[0]
            totals = [
                cgutils.alloca_once_value(builder, ir.Constant(sums, None))
                for _ in range(width // _AT_ONCE)
            ]
            pairs = builder.bitcast(codes.data, I32.as_pointer())
            nothing = ir.Constant(sums, ir.Undefined)
            with cgutils.for_range(builder, n_pairs) as loop:
                pair = builder.load(builder.gep(pairs, [loop.index]), align=2)
                lane = builder.insert_element(nothing, pair, I32(0))
                spread = builder.shuffle_vector(lane, nothing, ir.Constant(lanes, None))
                factors = builder.sext(builder.bitcast(spread, half), whole)
                row = builder.mul(loop.index, I64(2 * width))
                for n, total in enumerate(totals):
                    place = builder.add(row, I64(2 * _AT_ONCE * n))
                    weights = builder.load(vector(builder, tile.data, place, half), align=2)
                    products = builder.mul(builder.sext(weights, whole), factors)
                    undefined = ir.Constant(whole, ir.Undefined)
                    both = builder.add(
                        builder.shuffle_vector(products, undefined, first),
                        builder.shuffle_vector(products, undefined, second),
                    )
                    builder.store(builder.add(builder.load(total), both), total)
            for n, total in enumerate(totals):
                place = builder.add(args[3], I64(_AT_ONCE * n))
                target = vector(builder, out.data, place, sums)
                builder.store(builder.load(total), target, align=4)
            return context.get_dummy_value()

        return signature, write

    return multiplied


_multiplied_16, _multiplied_64 = _multiplying(16), _multiplying(64)


@numba.njit(nogil=True, cache=True)
def multiply_codes(codes, tiles, out, edge):
    """Write the product of codes and a matrix.

    codes (2 * pair,) int16; tiles (tile, pair, 2 * column) int16, from `pairs_of`; out (column,)
    int32; edge (64,) int32 is scratch.
    """
    width = tiles.shape[2] // 2
    for t in range(tiles.shape[0]):
        column = t * width
        inside = min(width, out.size - column)
        target, at = out, column
        if inside < width:
            target, at = edge, 0
        if width == 16:
            _multiplied_16(tiles[t], codes, target, at)
        else:
            _multiplied_64(tiles[t], codes, target, at)
        for j in range(inside if inside < width else 0):
            out[column + j] = edge[j]
