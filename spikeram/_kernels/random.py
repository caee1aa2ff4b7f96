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


@numba.njit(nogil=True, cache=True, inline="always")
def _ratio(r, a, b):
    top = a[7]
    bottom = b[7]
    for n in range(6, -1, -1):
        top = top * r + a[n]
        bottom = bottom * r + b[n]
    return top / bottom


# Coefficients of algorithm AS 241 (Wichura, Appl. Statist. 37, 477, 1988), PPND16: rational
# functions for the middle of the distribution, for its tails, and for what lies beyond them.
_MIDDLE = (
    (3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
     3.64784832476320460504, 1.27045825245236838258, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


@numba.njit(nogil=True, cache=True, inline="always")
def inverse_normal(p):
    """Return where the standard normal distribution reaches `p`, in (0, 1): one number, no pair."""
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(0.180625 - q * q, _MIDDLE[0], _MIDDLE[1])
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        z = _ratio(r - 1.6, _TAIL[0], _TAIL[1])
    else:
        z = _ratio(r - 5.0, _FAR[0], _FAR[1])
    return -z if q < 0.0 else z


@numba.njit(nogil=True, cache=True)
def fill_inverse_normal(p, out):
    """Write `inverse_normal` of `p` (n,) into `out` (n,)."""
    for n in range(p.size):
        out[n] = inverse_normal(p[n])
