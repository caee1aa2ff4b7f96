"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC11, 2011).

A draw is a pure function of a 64-bit key and a 128-bit counter, so that it can be addressed
by (step, sample, neuron, purpose) instead of being taken from a stream.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_HALF_STEP = 2.0**-33
_STEP = 2.0**-32


@numba.njit(nogil=True, cache=True, inline="always")
def philox(key, c0, c1, c2, c3):
    """Return four uniform 32-bit words, as uint64, at counter (c0, c1, c2, c3) of `key`."""
    k0 = np.uint64(key) & _LOW
    k1 = np.uint64(key) >> _SHIFT
    x0 = np.uint64(c0) & _LOW
    x1 = np.uint64(c1) & _LOW
    x2 = np.uint64(c2) & _LOW
    x3 = np.uint64(c3) & _LOW
    for _ in range(10):
        p0 = _M0 * x0
        p1 = _M1 * x2
        x0 = (p1 >> _SHIFT) ^ x1 ^ k0
        x1 = p1 & _LOW
        x2 = (p0 >> _SHIFT) ^ x3 ^ k1
        x3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return x0, x1, x2, x3


@numba.njit(nogil=True, cache=True)
def uniform(key, c0, c1, c2, c3):
    """Return a uniform number in (0, 1), never 0 nor 1, at a counter of `key`."""
    x0, _, _, _ = philox(key, c0, c1, c2, c3)
    return x0 * _STEP + _HALF_STEP


@numba.njit(nogil=True, cache=True)
def normal_pair(key, c0, c1, c2, c3):
    """Return two independent standard normals at a counter of `key` (Box and Muller, 1958)."""
    x0, x1, _, _ = philox(key, c0, c1, c2, c3)
    radius = math.sqrt(-2.0 * math.log(x0 * _STEP + _HALF_STEP))
    angle = 2.0 * math.pi * (x1 * _STEP + _HALF_STEP)
    return radius * math.cos(angle), radius * math.sin(angle)


@numba.njit(nogil=True, cache=True)
def fill_philox(key, counters, out):
    """Write the four words at each row of `counters` (n, 4) into `out` (n, 4), both uint64."""
    for n in range(counters.shape[0]):
        words = philox(key, counters[n, 0], counters[n, 1], counters[n, 2], counters[n, 3])
        for word in range(4):
            out[n, word] = words[word]


@numba.njit(nogil=True, cache=True)
def fill_normal(key, c1, c2, c3, out):
    """Write standard normals into `out` (n,); the cell index n is the first counter word."""
    for n in range(out.size):
        out[n], _ = normal_pair(key, n, c1, c2, c3)


@numba.njit(nogil=True, cache=True)
def fill_uniform(key, c1, c2, c3, out):
    """Write uniform numbers into `out` (n,); the cell index n is the first counter word."""
    for n in range(out.size):
        out[n] = uniform(key, n, c1, c2, c3)
