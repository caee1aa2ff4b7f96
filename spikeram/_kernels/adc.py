"""Sums of charge to digital readings: noise at the output, rails, charge decrement.

Charge is a whole number of quanta held in floating point, so that no result depends on the order of
additions. Constants of the lines lie in one array (constant, line):

0 charge that the offsets of samples add, 1 offset of the comparator, 2 and 3 decrement of positive
and of negative charge [quanta], 4 variance of the noise for each unit of the inputs' total
[quanta**2], 5 and 6 factor and summand that turn a reading into a value.

Settings lie in another: 0 cycles of one unit of input, 1 variance of the noise that does not depend
on inputs [quanta**2], 2 rail [quanta], 3 most counts, 4 number of the array, 5 number of the visit,
6 pseudo-random charge of one kick [quanta], 7 number of kicks, 8 the inputs' total where it is the
same for all samples, or 0.

A signed count c has the reading ``table[c + n + 1]``, where n is the most counts; -n - 1 and n + 1
say that a line did not flip. Statistics of a sample: 0 charge decrements until the last line
flipped, 1 lines clipped at the rails, 2 lines that did not flip.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.codes import multiply_codes
from spikeram._kernels.random import philox

_WORD = np.uint64(0xFFFFFFFF)
_TO_BIN = np.uint64(20)
_IN_BIN = np.uint64(0xFFFFF)
_TO_TAIL_BIN = np.uint64(8)
_TAIL_BIN = np.uint64(0xFFF)
_IN_TAIL_BIN = np.uint64(0xFF)
_LAST_BIN = 4095
_BIN_STEP = 2.0**-20
_TAIL_STEP = 2.0**-8
_ONE = np.uint64(1)
_KICKS = 2.0**31


@numba.njit(nogil=True, cache=True, inline="always")
def normal(word, quantile):
    """Return a standard normal of a uniform 32-bit word: its quantile, interpolated.

    quantile (2, 4097) holds the normal quantiles of n / 4096, and of n / 4096**2, which divides
    the outermost bins again.
    """
    n = np.int64(word >> _TO_BIN)
    if n != 0 and n != _LAST_BIN:
        share = (np.int64(word & _IN_BIN) + 0.5) * _BIN_STEP
        return quantile[0, n] + share * (quantile[0, n + 1] - quantile[0, n])
    bits = word if n == 0 else word ^ _WORD
    m = np.int64((bits >> _TO_TAIL_BIN) & _TAIL_BIN)
    share = (np.int64(bits & _IN_TAIL_BIN) + 0.5) * _TAIL_STEP
    z = quantile[1, m] + share * (quantile[1, m + 1] - quantile[1, m])
    return z if n == 0 else -z


@numba.njit(nogil=True, cache=True)
def fill_words(key, c1, c2, c3, words):
    """Write random words of lines: line ``w * block + n`` has word w of counter n, words[w, n]."""
    for n in range(words.shape[1]):
        x0, x1, x2, x3 = philox(key, n, c1, c2, c3)
        words[0, n] = x0
        words[1, n] = x1
        words[2, n] = x2
        words[3, n] = x3


@numba.njit(nogil=True, cache=True)
def fill_normals(key, c1, c2, c3, quantile, words, out):
    """Write the normals of lines into `out` (line,); words (4, block) uint64 is scratch."""
    fill_words(key, c1, c2, c3, words)
    flat = words.reshape(words.size)
    for j in range(out.size):
        out[j] = normal(flat[j], quantile)


@numba.njit(nogil=True, cache=True)
def hold(charge, constants, settings, magnitudes, z, noisy, held):
    """Write what one sample leaves on the lines into `held` (line,); return how many clipped."""
    cycles = settings[0]
    fixed = settings[1]
    rail = settings[2]
    total = settings[8] if settings[8] > 0.0 else magnitudes
    if noisy:
        for j in range(held.size):
            held[j] = (
                charge[j] * cycles
                + constants[0, j]
                + np.rint(math.sqrt(total * constants[4, j] + fixed) * z[j])
            )
    else:
        for j in range(held.size):
            held[j] = charge[j] * cycles + constants[0, j]
    clipped = np.int32(0)
    for j in range(held.size):
        clipped += np.int32(abs(held[j]) > rail)
        held[j] = min(max(held[j], -rail), rail) + constants[1, j]
    return clipped


@numba.njit(nogil=True, cache=True, error_model="numpy")
def count_steps(held, constants, most, count):
    """Write signed linear counts of the charge `held` (line,) into `count` (line,) int32.

    Positive charge flips at zero, other charge above it: q decrements of charge make ceil(q), or
    floor(-q) + 1 = -(ceil(q) - 1).
    """
    for j in range(held.size):
        u = held[j]
        # Both are loaded, so that the loop stays in vector registers.
        plus = constants[2, j]
        minus = constants[3, j]
        steps = np.ceil(u / (plus if u > 0.0 else minus)) - (0.0 if u > 0.0 else 1.0)
        count[j] = np.int32(max(min(steps, most + 1.0), -most - 1.0))


@numba.njit(nogil=True, cache=True)
def search_steps(held, constants, most, count):
    """Write signed counts found by halving decrements, as `count_steps` does; most is 2**k."""
    for j in range(held.size):
        count[j] = 0
    size = np.int32(most) // 2
    while size > 0:
        for j in range(held.size):
            if held[j] > 0.0:
                held[j] -= size * constants[2, j]
                count[j] += size
            else:
                held[j] += size * constants[3, j]
                count[j] -= size
        size //= 2
    for j in range(held.size):
        # Halfway between two counts of one sign; of the two, the one away from zero.
        positive = held[j] > 0.0
        inside = held[j] <= constants[2, j] if positive else held[j] > -constants[3, j]
        up = count[j] > 0
        found = count[j] + np.int32(up and positive) - np.int32(not up and not positive)
        count[j] = found if inside else found + (1 if positive else -1)


@numba.njit(nogil=True, cache=True)
def _longest_and_stuck(count, most):
    limit = np.int32(most)
    longest = np.int32(0)
    stuck = np.int32(0)
    for j in range(count.size):
        steps = abs(count[j])
        longest = max(longest, steps)
        stuck += np.int32(steps > limit)
    return min(longest, limit), stuck


@numba.njit(nogil=True, cache=True)
def _read(count, table, most, constants, reading, out):
    """Add the values of counts to `out`; reading (line,) float64 is scratch."""
    first = np.int32(most) + 1
    # Unsigned places are looked up faster: they cannot count from the end.
    for j in range(out.size):
        reading[j] = table[np.uint32(count[j] + first)]
    for j in range(out.size):
        out[j] += reading[j] * constants[5, j] + constants[6, j]


@numba.njit(nogil=True, cache=True)
def count_batch(
    charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
):
    """Digitise a batch by linear count.

    charge (sample, line) [quanta of one cycle]; total (sample,) of the inputs' magnitudes; values
    are added to `out` (sample, line) float32 and counts to `statistics` (sample, 3) int64.
    """
    n_lines = out.shape[1]
    most = settings[3]
    words = np.empty((4, (n_lines + 3) // 4), np.uint64)
    z = np.empty(n_lines)
    held = np.empty(n_lines)
    count = np.empty(n_lines, np.int32)
    noisy = settings[1] > 0.0 or constants[4, 0] > 0.0
    for s in range(out.shape[0]):
        if noisy:
            fill_normals(key, first_sample + s, settings[4], settings[5], quantile, words, z)
        statistics[s, 1] += hold(charge[s], constants, settings, total[s], z, noisy, held)
        count_steps(held, constants, most, count)
        longest, stuck = _longest_and_stuck(count, most)
        statistics[s, 0] += longest
        statistics[s, 2] += stuck
        _read(count, table, most, constants, held, out[s])


@numba.njit(nogil=True, cache=True)
def search_batch(
    charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
):
    """Digitise a batch by binary search; arrays as for `count_batch`."""
    n_lines = out.shape[1]
    most = settings[3]
    words = np.empty((4, (n_lines + 3) // 4), np.uint64)
    z = np.empty(n_lines)
    held = np.empty(n_lines)
    count = np.empty(n_lines, np.int32)
    noisy = settings[1] > 0.0 or constants[4, 0] > 0.0
    decisions = np.int64(np.rint(np.log2(most)))
    for s in range(out.shape[0]):
        if noisy:
            fill_normals(key, first_sample + s, settings[4], settings[5], quantile, words, z)
        statistics[s, 1] += hold(charge[s], constants, settings, total[s], z, noisy, held)
        search_steps(held, constants, most, count)
        _, stuck = _longest_and_stuck(count, most)
        statistics[s, 0] += decisions
        statistics[s, 2] += stuck
        _read(count, table, most, constants, held, out[s])


@numba.njit(nogil=True, cache=True)
def flip_batch(
    charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
):
    """Compare a batch with zero after random kicks; arrays as for `count_batch`."""
    n_lines = out.shape[1]
    kick = settings[6]
    n_kicks = np.int64(settings[7])
    words = np.empty((4, (n_lines + 3) // 4), np.uint64)
    coins = words.reshape(words.size)
    z = np.empty(n_lines)
    held = np.empty(n_lines)
    noisy = settings[1] > 0.0 or constants[4, 0] > 0.0
    for s in range(out.shape[0]):
        if noisy:
            fill_normals(key, first_sample + s, settings[4], settings[5], quantile, words, z)
        statistics[s, 1] += hold(charge[s], constants, settings, total[s], z, noisy, held)
        fill_words(key, first_sample + s, settings[4] + _KICKS, settings[5], words)
        for j in range(n_lines):
            up = np.int64(0)
            for n in range(n_kicks):
                up += np.int64((coins[j] >> np.uint64(n)) & _ONE)
            positive = held[j] + kick * (2 * up - n_kicks) > 0.0
            out[s, j] += table[3 if positive else 1] * constants[5, j] + constants[6, j]


@numba.njit(nogil=True, cache=True)
def multiply(codes, tiles, least, most, charge, total):
    """Write the charge of one cycle of a few samples; return how many codes are strange.

    codes (sample, input) float32, integers from `least` to `most`; tiles (tile, pair, 2 * line)
    int16 of the weights, from `spikeram._kernels.codes`; charge (sample, line) int32; total
    (sample,) float64 of the magnitudes.
    """
    strange = 0
    n_inputs = codes.shape[1]
    whole = np.zeros(2 * tiles.shape[1], np.int16)
    edge = np.empty(64, np.int32)
    for s in range(codes.shape[0]):
        row = codes[s]
        strange += _check_row(row, least, most, total, s)
        for i in range(n_inputs):
            whole[i] = np.int16(row[i])
        multiply_codes(whole, tiles, charge[s], edge)
    return strange


@numba.njit(nogil=True, cache=True)
def _check_row(row, least, most, total, s):
    strange = np.int32(0)
    # In whole numbers, which vector registers may add in any order.
    magnitudes = np.int32(0)
    for i in range(row.size):
        x = row[i]
        strange += np.int32(not (x >= least and x <= most and x == np.rint(x)))
        magnitudes += np.int32(abs(x))
    total[s] = magnitudes
    return strange


@numba.njit(nogil=True, cache=True)
def check_codes(codes, least, most, total):
    """Write the totals of magnitudes (sample,); return how many codes are strange."""
    strange = 0
    for s in range(codes.shape[0]):
        strange += _check_row(codes[s], least, most, total, s)
    return strange


@numba.njit(nogil=True, cache=True)
def count_few(
    codes, tiles, least, most, key, first_sample, constants, settings, quantile, table, out,
    statistics,
):  # fmt: skip
    """Multiply and digitise a few samples by linear count; return how many codes are strange."""
    charge = np.empty(out.shape, np.int32)
    total = np.empty(out.shape[0])
    strange = multiply(codes, tiles, least, most, charge, total)
    if strange == 0:
        count_batch(
            charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
        )
    return strange


@numba.njit(nogil=True, cache=True)
def search_few(
    codes, tiles, least, most, key, first_sample, constants, settings, quantile, table, out,
    statistics,
):  # fmt: skip
    """Multiply and digitise a few samples by binary search; return how many codes are strange."""
    charge = np.empty(out.shape, np.int32)
    total = np.empty(out.shape[0])
    strange = multiply(codes, tiles, least, most, charge, total)
    if strange == 0:
        search_batch(
            charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
        )
    return strange


@numba.njit(nogil=True, cache=True)
def flip_few(
    codes, tiles, least, most, key, first_sample, constants, settings, quantile, table, out,
    statistics,
):  # fmt: skip
    """Multiply and compare a few samples after random kicks; return how many codes are strange."""
    charge = np.empty(out.shape, np.int32)
    total = np.empty(out.shape[0])
    strange = multiply(codes, tiles, least, most, charge, total)
    if strange == 0:
        flip_batch(
            charge, total, key, first_sample, constants, settings, quantile, table, out, statistics
        )
    return strange


@numba.njit(nogil=True, cache=True)
def cycle_batch(charge, driven, key, first_sample, constants, settings, quantile, held, statistics):
    """Integrate cycle by cycle, clipping at the rails in each.

    charge (plane, pulse, sample, line) float32, lowest plane first, of which each has one pulse
    (ternary) or two (bipolar); driven (plane, pulse, sample) float64 pairs driven; `constants` and
    `settings` are those of one sample-and-integrate cycle. What is left on the lines is written
    into `held` (sample, line) float64, without the comparator's offset.
    """
    n_planes, n_pulses, n_samples, n_lines = charge.shape
    rail = settings[2]
    words = np.empty((4, (n_lines + 3) // 4), np.uint64)
    z = np.zeros(n_lines)
    noisy = settings[1] > 0.0 or constants[4, 0] > 0.0
    clipped = np.empty(n_lines, np.bool_)
    for s in range(n_samples):
        u = held[s]
        u[:] = 0.0
        clipped[:] = False
        cycle = 0
        for plane in range(n_planes):
            for _ in range(np.int64(settings[0]) << plane):
                for pulse in range(n_pulses):
                    if noisy:
                        counter = settings[5] * 65536.0 + cycle
                        fill_normals(
                            key, first_sample + s, settings[4], counter, quantile, words, z
                        )
                    for j in range(n_lines):
                        variance = driven[plane, pulse, s] * constants[4, j] + settings[1]
                        u[j] += charge[plane, pulse, s, j] + constants[0, j]
                        u[j] += np.rint(math.sqrt(variance) * z[j])
                        clipped[j] |= abs(u[j]) > rail
                        u[j] = min(max(u[j], -rail), rail)
                    cycle += 1
        for j in range(n_lines):
            statistics[s, 1] += clipped[j]
