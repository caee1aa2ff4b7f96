"""What this core can do at most: rows of int16 added from its caches, bytes read from memory."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from engine_parts.timing import best

KIB = 1024


def _summing(_: Any, rows: Any, n: Any, out: Any) -> Any:
    """Add `n` rows of 128 in registers: nothing but loads and additions."""
    lanes = ir.VectorType(ir.IntType(16), 128)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, out = (
            context.make_array(signature.args[n])(context, builder, args[n]).data for n in (0, 2)
        )
        total: Any = cgutils.alloca_once_value(builder, ir.Constant(lanes, None))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, args[1]) as loop:
            place = builder.gep(rows, [builder.mul(loop.index, ir.IntType(64)(128))])
            row = builder.load(builder.bitcast(place, lanes.as_pointer()), align=2)
            builder.store(builder.add(builder.load(total), row), total)
        target = builder.bitcast(out, lanes.as_pointer())
        builder.store(builder.load(total), target, align=2)
        return context.get_dummy_value()

    return types.void(rows, types.int64, out), write


_sum_up: Any = intrinsic(_summing)


@numba.njit(nogil=True)
def _added(rows: NDArray[np.int16], out: NDArray[np.int16], repeats: int) -> None:
    """Add up all rows, again and again."""
    for _ in range(repeats):
        _sum_up(rows, rows.shape[0], out)


def floor() -> dict[str, float]:
    """Return additions of int16 per second by where the rows are, and bytes read per second."""
    found = {}
    for name, size in (("L1", 16 * KIB), ("L2", 256 * KIB), ("L3", 4096 * KIB)):
        rows = np.ones((size // 256, 128), np.int16)
        out = np.empty(128, np.int16)
        repeats = 64 * KIB * KIB // size
        found[name] = rows.size * repeats / best(_added, rows, out, repeats)
    large = np.ones(2**25)
    found["memory [B/s]"] = large.nbytes / best(large.sum)
    return found
