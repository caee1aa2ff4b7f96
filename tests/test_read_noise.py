from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.analog import AnalogTerms
from spikeram.brian import run_network, sampling_neurons
from spikeram.clocked import clocked
from spikeram.conversion import convert
from spikeram.errors import CapacityError
from spikeram.gather import Gather, convolution
from spikeram.models import chips
from spikeram.pool import MaxPool
from spikeram.programming import program
from spikeram.read_noise import Reading, ReadNoise, read_noise
from spikeram.simulation import simulate
from spikeram.wiring import INPUT, Wiring

from networks import branching, convolutional, inputs, random_graph, trained
from reference import fluctuations_by_hand, read_units_by_hand

NOISY = dataclasses.replace(chips.neurram(), analog=AnalogTerms(read_noise=True))
N = 10_000


def programmed(network, chip=NOISY, **options):
    return program(network, chip=chip, seed=0, **options)


def one_matrix(seed, rows=64, columns=6, **options):
    """Return a programmed layer, its always-on row last."""
    rng = np.random.default_rng(seed)
    net = trained(seed, (rows, columns))
    network = convert(net, rng.random((40, rows)), steps=8)
    return programmed(network, dataclasses.replace(NOISY, **options)), network


@pytest.mark.parametrize("n_active", [0, 1, 8, 32, 64])
@pytest.mark.parametrize("graded", [False, True])
def test_the_variance_is_that_of_cells_that_fluctuate_one_by_one(n_active, graded):
    chip, network = one_matrix(n_active)
    layer = chip.layers[0]
    crossbar = layer.crossbar
    if graded:
        # From 0.1 uS for an empty cell up to 2 uS for a full one.
        sigma = 0.1e-6 + 0.05 * crossbar.conductance
        layer = dataclasses.replace(layer, sigma_read=sigma)
    charge = layer.charge(network.layers[0], 1)
    rng = np.random.default_rng(1)
    active = rng.permutation(64)[:n_active]
    spikes = np.zeros((1, 1, 64), np.int8)
    spikes[0, 0, active] = rng.choice([-1, 1], n_active)
    driven = np.concatenate([spikes[0, 0], np.ones(layer.n_bias)])
    found = fluctuations_by_hand(
        crossbar.conductance, layer.sigma_read, driven * crossbar.v_read, rng, N
    )
    noise = charge.read
    units = noise.squares(spikes)[0, 0, :, 0] * noise.unit + noise.base()[0, :, 0]
    sigma = np.sqrt(units * noise.worth) * charge.quantum / crossbar.neuron.gain
    difference = (crossbar.conductance[0] - crossbar.conductance[1]).T @ driven
    share = (
        np.abs(difference) / np.abs(driven).sum() / crossbar.conductance.sum(axis=0).mean(axis=0)
    )
    # Four standard errors, sigma / sqrt(2 n) each; the neglected denominator, half the share of
    # the variance that the module states (twice that where cells differ); 12 bits of variance.
    neglected = 0.5 * np.abs(driven).mean() * share**2 * (2 if graded else 1)
    tolerance = 4 / math.sqrt(2 * N) + neglected + (1e-3 if graded else 0)
    assert np.all(np.abs(found.std(axis=0) / sigma - 1) < tolerance)


def draws(noise, spikes, levels=None, n=4000, key=5):
    """Return noise of the same spikes in n steps, of shape (step, output)."""
    repeated = None if spikes is None else np.repeat(spikes[np.newaxis, np.newaxis], n, axis=1)
    reading = Reading(noise=noise, key=np.uint64(key), base=noise.base(levels, 4))
    charge = np.zeros((1, n, noise.n_outputs), np.int32)
    reading.add_to(charge, repeated)
    return charge[0]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["dense", "convolution", "pooled"]),
    graded=st.booleans(),
    constant=st.booleans(),
)
def test_driven_rows_are_counted_as_integers_by_hand_count_them(seed, kind, graded, constant):
    rng = np.random.default_rng(seed)
    noise = random_noise(rng, 18 if kind != "dense" else 7, 3, gathered(rng, kind), graded=graded)
    n_inputs = 7 if kind == "dense" else 72
    most = int(rng.integers(1, 4))  # several spikes in a step are several pulses
    spikes = rng.integers(-most, most + 1, (2, 3, n_inputs)).astype(np.int8)
    levels = rng.integers(-4, 5, (2, n_inputs)).astype(np.int16) if constant else None
    found = noise.squares(spikes) * noise.unit + noise.base(levels, 4)[:, np.newaxis]
    found = np.broadcast_to(found, (2, 3, 3, noise.n_positions))
    for s in range(2):
        for k in range(3):
            expected = read_units_by_hand(
                noise, spikes[s, k], None if levels is None else levels[s], 4
            )
            np.testing.assert_allclose(found[s, k], expected, rtol=1e-13)


def gathered(rng, kind):
    if kind == "dense":
        return None
    gather, _ = convolution((2, 6, 6), (3, 3), padding=(1, 1))
    if kind == "convolution":
        return gather
    index = rng.integers(-1, 72, (4, 18, 4))
    return Gather(index.astype(np.int32), 72)


def random_noise(rng, rows, columns, gather=None, *, graded):
    weight = rng.integers(0, 2048, (rows, columns)).astype(np.int16) if graded else None
    scale = 1000.0 if graded else 1.0
    return ReadNoise(
        weight=weight,
        always_on=rng.integers(0, 3, columns if graded else 1) * scale,
        worth=rng.uniform(1e4, 1e6, columns) / scale,
        gather=gather,
    )


@pytest.mark.parametrize("kind", ["dense", "convolution", "pooled"])
def test_the_draws_are_normal_with_that_variance(kind):
    rng = np.random.default_rng(3)
    noise = random_noise(rng, 7 if kind == "dense" else 18, 3, gathered(rng, kind), graded=True)
    spikes = rng.integers(-1, 2, 7 if kind == "dense" else 72).astype(np.int8)
    drawn = draws(noise, spikes, n=N)
    units = noise.squares(spikes[np.newaxis, np.newaxis])[0, 0] * noise.unit + noise.base()[0]
    sigma = np.sqrt(units * noise.worth[:, np.newaxis]).reshape(-1)
    some = sigma > 0
    z = drawn[:, some] / sigma[some]
    # Standard errors of mean, deviation and fourth moment: 1, sqrt(1/2), sqrt(96) over sqrt(n);
    # rounding to quanta adds 1/12 to a variance of 1e4 and more. Five of them, for 300 neurons.
    assert np.abs(z.mean(axis=0)).max() < 5 / math.sqrt(N)
    assert np.abs(z.std(axis=0) - 1).max() < 5 / math.sqrt(2 * N) + 1e-5
    assert np.abs((z**4).mean(axis=0) - 3).max() < 5 * math.sqrt(96 / N)
    assert not drawn[:, ~some].any()


def test_neurons_steps_and_samples_draw_independently():
    noise = random_noise(np.random.default_rng(0), 7, 6, graded=False)
    spikes = np.ones((2, N, 7), np.int8)
    reading = Reading(noise=noise, key=np.uint64(1), base=noise.base())
    charge = np.zeros((2, N, 6), np.int32)
    reading.add_to(charge, spikes)
    drawn = charge.astype(float)
    series = [drawn[s, :-1, j] for s in range(2) for j in range(6)]
    series += [drawn[s, 1:, j] for s in range(2) for j in range(6)]
    correlation = np.corrcoef(series) - np.eye(24)
    # 276 pairs: five standard errors, 1 / sqrt(n) each.
    assert np.abs(correlation).max() < 5 / math.sqrt(N)


def with_reading(rng, nodes, drive):
    """Return nodes of which some have fluctuating cells, and what draws for them."""
    wiring = Wiring(nodes)
    noisy, readings = [], {}
    for node in nodes:
        if not isinstance(node, MaxPool) and rng.random() < 0.7:
            graded = bool(rng.random() < 0.5)
            noise = random_noise(rng, node.n_inputs, node.n_outputs, graded=graded)
            node = dataclasses.replace(node, read=noise)
            levels = None
            if drive is not None and INPUT in wiring.sources[node.name]:
                levels = rng.integers(-4, 5, (2, node.n_inputs)).astype(np.int16)
            readings[node.name] = Reading(
                noise=noise, key=np.uint64(rng.integers(2**60)), base=noise.base(levels, 4)
            )
        noisy.append(node)
    return noisy, readings


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_nodes=st.integers(1, 6), current=st.booleans())
def test_brian2_fires_the_spikes_of_the_clocked_engine(seed, n_nodes, current):
    rng = np.random.default_rng(seed)
    plain, drive = random_graph(rng, n_nodes, current=current, noisy=bool(rng.random() < 0.5))
    nodes, readings = with_reading(rng, plain, drive if current else None)
    n_inputs = Wiring(nodes).widths[INPUT]
    spikes = None if current else rng.integers(-1, 2, (2, 9, n_inputs)).astype(np.int8)
    options = {
        "steps": 9,
        "first_sample": 3,
        "keys": [np.uint64(n) for n in range(n_nodes)][: len(Wiring(nodes).layers)],
        "readings": readings,
    }
    one = clocked(nodes, drive if current else None, spikes, **options)
    other = run_network(nodes, drive if current else None, spikes, **options)
    for a, b in zip(one.spikes, other.spikes):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.membrane, other.membrane)


@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_pools_branches_and_convolutions_on_a_chip_fire_alike_in_both_engines(encoding):
    pooled = convert(convolutional(), inputs(0, 20, 84), steps=6)
    for network, n_inputs in ((branching(), 72), (pooled, 84)):
        chip = programmed(network)
        x = inputs(1, 3, n_inputs)
        runs = [
            simulate(chip, x, steps=6, encoding=encoding, engine=engine, seed=2)
            for engine in ("clocked", "brian2")
        ]
        np.testing.assert_array_equal(runs[0]["t"], runs[1]["t"])
        np.testing.assert_array_equal(runs[0]["output"], runs[1]["output"])


def test_results_do_not_depend_on_batches_or_threads(monkeypatch):
    chip = programmed(convert(trained(), inputs(0, 50), steps=16))
    x = inputs(1, 70)
    whole = simulate(chip, x, seed=4)
    monkeypatch.setattr("spikeram.simulation.SAMPLES_AT_A_TIME", 9)
    monkeypatch.setattr("spikeram.clocked._BLOCKS_OF_A_THREAD", 16)
    parts = simulate(chip, x, seed=4)
    np.testing.assert_array_equal(whole["output"], parts["output"])
    np.testing.assert_array_equal(whole["t"], parts["t"])


def test_without_read_noise_nothing_is_drawn_and_nothing_changes():
    network = convert(trained(), inputs(0, 50), steps=16)
    quiet = program(network, seed=0)
    assert all(layer.read is None for layer in quiet.charge_layers())
    noisy = programmed(network)
    for a, b in zip(quiet.charge_layers(), noisy.charge_layers()):
        assert b.read is not None
        assert b.quiet.read is None
        for name in ("weight", "bias", "threshold", "initial"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_read_noise_leaves_the_noise_of_sampling_as_it_was():
    network = convert(trained(0, (6, 3)), inputs(0, 50), steps=16)
    neuron = dataclasses.replace(chips.neurram().neuron, temperature=300.0)
    cold = programmed(network)
    warm = programmed(network, dataclasses.replace(NOISY, neuron=neuron))
    quiet = programmed(network, dataclasses.replace(NOISY, neuron=neuron, analog=AnalogTerms()))
    x = inputs(1, 5)
    # One layer, read by its charge: noises of two kinds add up.
    at_end = {
        name: simulate(chip, x, seed=1)["output"].values[:, -1].astype(float)
        for name, chip in (("both", warm), ("read", cold), ("sampling", quiet))
    }
    none = simulate(program(network, seed=0), x)["output"].values[:, -1].astype(float)
    both = at_end["read"] + at_end["sampling"] - none
    np.testing.assert_allclose(at_end["both"], both, rtol=1e-5, atol=1e-6)
    assert np.abs(at_end["read"] - none).min() > 0


def test_pairs_that_hold_one_weight_share_its_noise():
    # Each of two pairs fluctuates by itself and carries half of the column: half the variance.
    deviation = []
    for pairs in (1, 2):
        chip, _ = one_matrix(2, pairs_per_weight=pairs)
        layer = chip.charge_layers()[0]
        deviation.append(np.sqrt(layer.read.worth) * layer.quantum / chip.layers[0].unit)
        np.testing.assert_allclose(layer.read.always_on, 1)
    # The conductance of a column is off its target by what 130 relaxed cells make of theirs.
    np.testing.assert_allclose(deviation[1] / deviation[0], math.sqrt(0.5), rtol=0.1)


def test_a_run_that_draws_needs_a_seed():
    chip = programmed(convert(trained(), inputs(0, 50), steps=4))
    with pytest.raises(
        ValueError, match="The cells draw random numbers in every step: give a seed"
    ):
        simulate(chip, inputs(1, 2))


def test_engines_refuse_to_leave_read_noise_out():
    layers = programmed(convert(trained(), inputs(0, 50), steps=4)).charge_layers()
    drive = {layers[0].name: np.zeros((1, 8), np.int32)}
    for engine in (clocked, run_network):
        with pytest.raises(ValueError, match="has none for dense_1, dense_2, output"):
            engine(layers, drive, None, steps=2)
    with pytest.raises(ValueError, match="Read noise of layer 'dense_1' depends on the rows"):
        sampling_neurons(8, layers[0], seed=0)


def test_noise_that_could_wrap_around_is_refused():
    with pytest.raises(CapacityError, match="Read noise of layer 'x' can bring"):
        read_noise(
            np.ones((4, 2)),
            always_on=np.zeros(2),
            worth=np.full(2, 1e18),
            gather=None,
            name="x",
            limit=2**30,
        )


def test_cells_that_are_read_without_noise_have_none():
    chip = dataclasses.replace(chips.ideal(), analog=AnalogTerms(read_noise=True))
    layers = program(convert(trained(), inputs(0, 50), steps=4), chip=chip, seed=0).charge_layers()
    assert all(layer.read is None for layer in layers)
