"""Stochastic decisions: a value compared with zero after random kicks, or drawn with a law."""

from __future__ import annotations

import math

import numba
import numpy as np

from spikeram._kernels.random import philox, uniform

_ONE = np.uint64(1)


@numba.njit(nogil=True, cache=True)
def fire_kicked(value, kick, n_kicks, key, visit, first_sample, out):
    """Write draws that are 1 where value + kicks >= 0.

    value (sample, neuron) float64; out (sample, neuron, draw) int8, written. Every draw adds
    n_kicks, at most 32, coins of +-kick: bits of one word at counter (neuron, sample, visit, draw).
    """
    for s in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                word, _, _, _ = philox(key, j, first_sample + s, visit, k)
                up = np.int64(0)
                for n in range(n_kicks):
                    up += np.int64((word >> np.uint64(n)) & _ONE)
                out[s, j, k] = value[s, j] + kick * (2 * up - n_kicks) >= 0.0


@numba.njit(nogil=True, cache=True)
def fire_logistic(value, key, visit, first_sample, out):
    """Write draws that are 1 with probability 1 / (1 + exp(-value)); arrays as above."""
    for s in range(out.shape[0]):
        for j in range(out.shape[1]):
            odds = math.exp(-value[s, j])
            for k in range(out.shape[2]):
                out[s, j, k] = uniform(key, j, first_sample + s, visit, k) * (1.0 + odds) < 1.0
