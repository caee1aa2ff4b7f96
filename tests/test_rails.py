from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram._kernels.rails import count_clipped
from spikeram.charge import ChargeLayer
from spikeram.clocked import charge_of, clocked
from spikeram.conversion import convert
from spikeram.models import chips
from spikeram.programming import program
from spikeram.rails import clipped
from spikeram.simulation import simulate

from networks import branching, inputs, random_layer, trained
from reference import signed_by_hand


def retraced(layer: ChargeLayer, arriving, spikes, sample, key):
    """Return counts and last membranes of one sample, from the spikes it fired."""
    charge = charge_of(layer, arriving[np.newaxis])[0]
    u, met = layer.initial.copy(), np.zeros(layer.n_outputs, np.int64)
    count_clipped(
        charge, layer.bias, layer.threshold, layer.negative, layer.rail,
        layer.spikes == "signed", layer.reset == "subtract", layer.decay, key, sample,
        layer.sigma_noise, layer.kick, spikes, u, met,
    )  # fmt: skip
    return met, u


def met_by_hand(layer, arriving):
    """Return how often each membrane met a rail, in Python integers, without noise or leak."""
    met = []
    for j in range(layer.n_outputs):
        u, count, times = int(layer.initial[j]), 0, 0
        for incoming in arriving:
            u += int(layer.bias[j]) + sum(
                int(w) * int(s) for w, s in zip(layer.weight[:, j], incoming)
            )
            times += abs(u) > layer.rail
            u = max(-layer.rail, min(layer.rail, u))
            threshold = int(layer.threshold[j])
            if layer.spikes == "signed":
                spike, charge = signed_by_hand(u, count, threshold, int(layer.negative[j]))
            else:
                spike, charge = int(u >= threshold), threshold
                if layer.spikes == "ternary" and u <= -threshold:
                    spike = -1
            u = 0 if spike and layer.reset == "zero" else u - spike * charge
            count += spike
        met.append(times)
    return met


kinds = given(
    seed=st.integers(0, 2**32 - 1),
    spikes=st.sampled_from(["unipolar", "ternary", "signed"]),
    zero=st.booleans(),
    slope=st.sampled_from([0.0, 0.25, 1.0]),
)


def a_layer(seed, spikes, zero, slope, **options):
    signed = spikes == "signed"
    return random_layer(
        np.random.default_rng(seed), 6, 5, spikes=spikes, rail=4000,
        reset="zero" if zero and not signed else "subtract", slope=slope if signed else 0.0,
        **options,
    )  # fmt: skip


@settings(max_examples=50)
@kinds
def test_steps_at_a_rail_are_those_that_integers_by_hand_find(seed, spikes, zero, slope):
    layer = a_layer(seed, spikes, zero, slope)
    arriving = np.random.default_rng(seed).integers(-1, 2, (15, 6)).astype(np.int8)
    fired = clocked([layer], None, arriving[np.newaxis], steps=15).spikes[0][0]
    met, _ = retraced(layer, arriving, fired, 0, np.uint64(0))
    assert met.tolist() == met_by_hand(layer, arriving)


@settings(max_examples=50)
@kinds
def test_retraced_membranes_end_where_the_engine_left_them(seed, spikes, zero, slope):
    leak = {} if spikes == "signed" else {"decay": 0.9}
    layer = a_layer(seed, spikes, zero, slope, sigma_noise=400.0, kick=100, **leak)
    arriving = np.random.default_rng(seed).integers(-1, 2, (3, 15, 6)).astype(np.int8)
    run = clocked([layer], None, arriving, steps=15, first_sample=4, keys=[np.uint64(9)])
    for s in range(3):
        _, membrane = retraced(layer, arriving[s], run.spikes[0][s], 4 + s, np.uint64(9))
        np.testing.assert_array_equal(membrane, run.membrane[s, -1])


def test_narrow_rails_are_met_and_wide_ones_are_not():
    network = convert(trained(), inputs(0, 50), steps=16)
    x = inputs(1, 70)
    published = chips.neurram()
    assert float(clipped(program(network, seed=0), x).max()) == 0
    narrow = dataclasses.replace(published.neuron, v_rail=0.025)
    chip = program(network, chip=dataclasses.replace(published, neuron=narrow), seed=0)
    share = clipped(chip, x)
    assert share.dims == ("trial", "layer")
    assert share.shape == (70, 3)
    assert share["layer"].values.tolist() == ["dense_1", "dense_2", "output"]
    assert 0 < float(share.sel(layer="dense_1").mean()) < 1


@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_rails_of_a_noisy_branching_chip_are_met_as_often_in_any_batches(monkeypatch, encoding):
    published = chips.neurram_analog().without("leak")
    narrow = dataclasses.replace(published.neuron, v_rail=0.03)
    chip = program(branching(), chip=dataclasses.replace(published, neuron=narrow), seed=0)
    x = inputs(1, 5, 72)
    options = {"steps": 8, "encoding": encoding, "seed": 3}
    whole = clipped(chip, x, **options)
    monkeypatch.setattr("spikeram.rails.SAMPLES_AT_A_TIME", 2)
    np.testing.assert_array_equal(whole, clipped(chip, x, **options))
    assert whole.values.max() > 0
    # The same noise as in the run itself: a run with rails at infinity fires otherwise.
    assert not np.array_equal(
        simulate(chip, x, **options)["row_size"],
        simulate(program(branching(), chip=published.without("rails"), seed=0), x, **options)[
            "row_size"
        ],
    )


def test_spikes_that_are_given_serve_as_inputs():
    chip = program(convert(trained(), inputs(0, 50), steps=8), seed=0)
    x = np.ones((2, 8, 6), np.int8)
    assert clipped(chip, x, encoding="spikes").shape == (2, 3)
