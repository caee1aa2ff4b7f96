"""Which inputs spike: 64 of them as the bits of a word, and words as lists of rows.

Comparing inputs one by one costs more than adding the rows of the few that spike. LLVM compares
64 bytes in a few instructions, and the places of a word's bits are found without a branch for each.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spikeram._kernels.rows import I64, arrays, vector

WORD = 64
"""Inputs of a word."""

_BYTES = ir.VectorType(ir.IntType(8), WORD)
_ONE = np.uint64(1)

ROOM = 4
"""Entries that `list_spikes` may write after the last of a list."""


def _emit_signs(_: Any, spikes: Any, first: Any) -> Any:
    """Return the bits of those of 64 bytes that are above and below zero."""
    # The types say what the kernels give: a C array of int8, and int64.
    signature = types.UniTuple(types.uint64, 2)(spikes, types.int64)

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        """Emit one load and two comparisons."""
        (array,) = arrays(context, builder, signature, args, 0)
        found = builder.load(vector(builder, array.data, args[1], _BYTES), align=1)
        zeros = ir.Constant(_BYTES, None)
        words = [
            builder.bitcast(builder.icmp_signed(than, found, zeros), I64) for than in (">", "<")
        ]
        return context.make_tuple(builder, signature.return_type, words)

    return signature, write


_signs_of_64: Any = intrinsic(_emit_signs)


def _emit_count(_: Any, word: Any) -> Any:
    """Return how many bits of a word are one."""
    signature = types.int64(types.uint64)
    return signature, lambda _, builder, __, args: builder.ctpop(args[0])


count_ones: Any = intrinsic(_emit_count)


def _emit_lowest(_: Any, word: Any) -> Any:
    """Return the place of the lowest bit of a word that is one, 64 if none is."""
    signature = types.int64(types.uint64)
    return signature, lambda _, builder, __, args: builder.cttz(args[0], cgutils.false_bit)


lowest: Any = intrinsic(_emit_lowest)


@numba.njit(nogil=True, cache=True)
def signs(spikes, first):
    """Return which of 64 spikes from `first` on are positive, and which negative, as bits.

    spikes (input,) int8; inputs after the last have no bit.
    """
    n = spikes.size
    if first + WORD <= n:
        return _signs_of_64(spikes, first)
    if n >= WORD:
        up, down = _signs_of_64(spikes, n - WORD)
        after = np.uint64(first + WORD - n)
        return up >> after, down >> after
    up = np.uint64(0)
    down = np.uint64(0)
    for i in range(first, n):
        bit = _ONE << np.uint64(i - first)
        up |= bit if spikes[i] > 0 else np.uint64(0)
        down |= bit if spikes[i] < 0 else np.uint64(0)
    return up, down


@numba.njit(nogil=True, cache=True)
def count_signs(spikes):
    """Return how many spikes are positive, and how many negative."""
    n_up = 0
    n_down = 0
    for first in range(0, spikes.size, WORD):
        up, down = signs(spikes, first)
        n_up += count_ones(up)
        n_down += count_ones(down)
    return n_up, n_down


@numba.njit(nogil=True, cache=True)
def _enter(word, first, width, places, n):
    """Enter the place of each bit into a list, times the width; return its end."""
    end = n + count_ones(word)
    while n < end:
        # Four at a time: how many there are cannot be foretold, and what is too much is no loss.
        for q in range(ROOM):
            places[n + q] = (first + lowest(word)) * width
            word &= word - _ONE
        n += ROOM
    return end


@numba.njit(nogil=True, cache=True)
def list_spikes(spikes, width, added, n_added, removed, n_removed):
    """Enter the inputs that spike into two lists by sign, times the width; return their ends.

    spikes (input,) int8; added, removed int32, which go on at `n_added` and `n_removed` and have
    `ROOM` more entries than all inputs take.
    """
    for first in range(0, spikes.size, WORD):
        up, down = signs(spikes, first)
        n_added = _enter(up, first, width, added, n_added)
        if down != 0:
            n_removed = _enter(down, first, width, removed, n_removed)
    return n_added, n_removed
