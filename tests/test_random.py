"""The counter-based generator: published vectors, moments, addresses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from spikeram._kernels.random import (
    fill_inverse_normal,
    fill_normal,
    fill_philox,
    fill_uniform,
)
from spikeram._kernels.write_verify import fill_normals_at, fill_uniforms_at

# Known-answer vectors of Philox4x32-10 from the authors' Random123 library (kat_vectors):
# counter, key with its first word in the low half, words.
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        0xFFFFFFFFFFFFFFFF,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        0x299F31D0A4093822,
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
N = 200_000


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(counter, key, words):
    out = np.empty((1, 4), np.uint64)
    fill_philox(np.uint64(key), np.array([counter], np.uint64), out)
    assert out[0].tolist() == words


def test_normals_have_the_moments_of_a_standard_normal():
    z = np.empty(N)
    fill_normal(np.uint64(1), 0, 0, 0, z)
    # The means of z, z^2, z^3 and z^4 have standard errors sqrt(1, 2, 15, 96) / sqrt(N).
    moments = [np.mean(z**k) for k in (1, 2, 3, 4)]
    errors = np.sqrt(np.array([1, 2, 15, 96]) / N)
    assert np.all(np.abs(np.array(moments) - [0, 1, 0, 3]) < 4 * errors)


def test_the_two_normals_of_a_pair_are_independent():
    z = np.empty((2, N))
    fill_normals_at(np.uint64(1), np.arange(N, dtype=np.uint64), np.zeros(N, np.uint64), z)
    # The correlation of independent normals, and of their squares, is N(0, 1/N).
    assert abs(np.corrcoef(z)[0, 1]) < 4 / np.sqrt(N)
    assert abs(np.corrcoef(z**2)[0, 1]) < 4 / np.sqrt(N)


def test_uniforms_have_the_moments_of_a_uniform_and_stay_inside():
    u = np.empty(N)
    fill_uniform(np.uint64(1), 0, 0, 0, u)
    # Variance 1/12, and that of (u - 1/2)^2 is 1/180.
    assert abs(u.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / N)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / N)
    assert u.min() > 0
    assert u.max() < 1


def test_draws_are_the_same_whatever_is_drawn_beside_them():
    cell = np.array([40, 7, 7, 3], np.uint64)
    episode = np.array([0, 0, 2, 0], np.uint64)
    together, alone = np.empty((5, 4)), np.empty((5, 1))
    fill_normals_at(np.uint64(9), cell, episode, together)
    fill_normals_at(np.uint64(9), cell[2:3], episode[2:3], alone)
    assert np.array_equal(together[:, 2], alone[:, 0])
    assert not np.any(together[:, 1] == together[:, 2])


def test_uniforms_are_addressed_by_cell():
    forward, backward = np.empty(50), np.empty(50)
    cell = np.arange(50, dtype=np.uint64)
    fill_uniforms_at(np.uint64(9), cell, forward)
    fill_uniforms_at(np.uint64(9), cell[::-1].copy(), backward)
    assert np.array_equal(forward, backward[::-1])


def test_the_inverse_of_the_normal_distribution_is_that_of_scipy_to_the_far_tails():
    tails = 2.0 ** -np.arange(1, 34)
    p = np.concatenate([np.random.default_rng(0).random(100_000), tails, 1 - tails])
    found = np.empty_like(p)
    fill_inverse_normal(p, found)
    # AS 241 states 1 part in 1e16; a few roundings of the last place come on top.
    np.testing.assert_allclose(found, ndtri(p), rtol=2e-15, atol=2e-15)
