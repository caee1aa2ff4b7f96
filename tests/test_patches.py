"""Convolutions by rows and by tables: exact sums, however many inputs spike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram._kernels.columns import write_columns
from spikeram._kernels.patches import charge_of_patches
from spikeram._kernels.rows import tiles_of
from spikeram._kernels.tables import tables_of
from spikeram.gather import Gather, convolution
from spikeram.groups import groups_of, size_of


def gathers():
    """Return convolutions of all kinds, by name."""
    pooled = np.arange(64, dtype=np.int32).reshape(4, 2, 4, 2).transpose(0, 2, 1, 3)
    return {
        "padded": convolution((3, 6, 5), (3, 3), padding=(1, 1))[0],
        "strided": convolution((8, 7, 7), (3, 3), stride=(2, 2), padding=(1, 1))[0],
        "dilated": convolution((4, 9, 9), (2, 3), dilation=(2, 2))[0],
        "pointwise": convolution((6, 4, 4), (1, 1), stride=(2, 2))[0],
        "one channel": convolution((1, 8, 8), (3, 3), padding=(1, 1))[0],
        "after an average pool": Gather(pooled.reshape(4, 4, 4), 64),
        "irregular": Gather(np.random.default_rng(0).integers(-1, 30, (11, 7, 1)), 30),
        "with a shortcut": Gather(
            np.concatenate(
                [
                    convolution((5, 6, 6), (3, 3), padding=(1, 1))[0].index,
                    convolution((5, 6, 6), (1, 1))[0].index + 180,
                ],
                axis=1,
            ),
            360,
        ),
        "a single row": Gather(np.array([[[0]], [[-1]]]), 1),
    }


def charge(gather, weight, spikes, limit, size):
    out = np.empty((spikes.shape[0], weight.shape[1] * gather.n_positions), np.int32)
    groups = groups_of(gather.index, gather.n_inputs, size)
    tables = tables_of(weight, groups.rows)
    charge_of_patches(
        spikes, tiles_of(weight), *gather.places, tables, groups.runs, groups.at, limit, out
    )
    return out.reshape(spikes.shape[0], -1, gather.n_positions)


def expected(gather, weight, spikes):
    """Sum over the taps of each row, position by position."""
    padded = np.concatenate([spikes, np.zeros_like(spikes[:, :1])], axis=1).astype(np.int64)
    rows = padded[:, gather.index].sum(axis=3)
    return np.einsum("kpr,rc->kcp", rows, weight.astype(np.int64))


@pytest.mark.parametrize("name", gathers())
@pytest.mark.parametrize("columns", [1, 8, 16, 17, 64, 70])
def test_rows_and_tables_give_the_sum_over_each_patch(name, columns):
    gather = gathers()[name]
    rng = np.random.default_rng(1)
    weight = rng.integers(-2047, 2048, (gather.n_rows, columns)).astype(np.int16)
    spikes = rng.choice([-1, 0, 1], (6, gather.n_inputs), p=[0.1, 0.6, 0.3]).astype(np.int8)
    spikes[0], spikes[1], spikes[2] = 0, 1, -1
    wanted = expected(gather, weight, spikes)
    sizes = (4, 8) if columns <= 16 else (4,)
    for size in sizes:
        for limit in (0, 2, gather.n_inputs):
            np.testing.assert_array_equal(charge(gather, weight, spikes, limit, size), wanted)


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_weights_do_not_wrap_around(size, sign):
    gather = convolution((8, 5, 5), (3, 3), padding=(1, 1))[0]
    weight = np.full((72, 8), sign * 2047, np.int16)
    spikes = np.ones((1, 200), np.int8)
    for limit in (0, 200):
        found = charge(gather, weight, spikes, limit, size)
        assert found[0, 0, 12] == sign * 72 * 2047
        np.testing.assert_array_equal(found, expected(gather, weight, spikes))


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8]))
def test_every_entry_is_the_sum_of_its_rows(seed, size):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-2047, 2048, (9, 10)).astype(np.int16)
    rows = rng.integers(-1, 9, (3, size)).astype(np.int32)
    tables = tables_of(weight, rows)
    assert tables.shape == (1, 3, 2**size, 16)
    entry = int(rng.integers(2**size))
    chosen = [r for q, r in enumerate(rows[1]) if entry >> q & 1 and r >= 0]
    np.testing.assert_array_equal(tables[0, 1, entry, :10], weight[chosen].sum(axis=0))


def test_channels_of_a_pixel_share_their_group():
    gather = convolution((8, 6, 6), (3, 3), padding=(1, 1))[0]
    groups = groups_of(gather.index, gather.n_inputs, 4)
    # Two groups of four channels for each pixel, and the one of no inputs at the border.
    assert groups.n_groups == 2 * 36 + 1


def test_a_shortcut_leaves_the_channels_of_a_pixel_together():
    gather = convolution((8, 6, 6), (3, 3), padding=(1, 1))[0]
    direct = convolution((8, 6, 6), (1, 1))[0]
    index = np.concatenate([gather.index, direct.index + gather.n_inputs], axis=1)
    groups = groups_of(index, 2 * gather.n_inputs, 4)
    # Two groups for each pixel of either source, and no more tables than rows need.
    assert groups.n_groups == 4 * 36 + 1
    assert groups.rows.shape == (18 + 2, 4)
    assert len(groups.runs) < 8


@pytest.mark.parametrize(("channels", "n_groups"), [(1, 96), (3, 144), (6, 144)])
def test_few_channels_take_few_runs(channels, n_groups):
    gather = convolution((channels, 12, 12), (5, 5))[0]
    groups = groups_of(gather.index, gather.n_inputs, 8)
    # The pixels; of one channel, those of five rows in a column, which five positions share.
    assert groups.n_groups == n_groups
    assert len(groups.runs) == 1


@pytest.mark.parametrize("positions", [1, 7, 8, 49])
@pytest.mark.parametrize("columns", [(0, 8), (8, 21), (16, 64), (64, 66)])
def test_charges_are_written_by_columns(positions, columns):
    first, last = columns
    rng = np.random.default_rng(2)
    charge = rng.integers(-(2**30), 2**30, (positions, 64)).astype(np.int32)
    out = np.zeros((70, positions), np.int32)
    write_columns(charge.reshape(-1), 64, out.reshape(-1), first, last)
    np.testing.assert_array_equal(out[first:last], charge[:, : last - first].T)
    assert not out[:first].any()
    assert not out[last:].any()


def test_groups_of_eight_are_for_tables_that_stay_in_the_cache():
    assert size_of(72, 8) == 8
    assert size_of(576, 64) == size_of(144, 16) == 4
