from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram import recording, simulation
from spikeram.clocked import Clocked
from spikeram.conversion import convert
from spikeram.encoding import encode, input_levels
from spikeram.errors import SimulationInterrupted
from spikeram.programming import program
from spikeram.simulation import charge_of, clocked, decode, membrane, simulate
from spikeram.wiring import Wiring

from networks import inputs, random_graph, random_layer, single, trained
from reference import first_class_by_hand, run_by_hand

KEYS = [np.uint64(n) for n in range(5)]


def random_case(seed, n_samples, steps, *, current, **options):
    """Return layers and a stimulus for them."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, rng.integers(2, 5))
    layers = [random_layer(rng, a, b, **options) for a, b in zip(sizes[:-1], sizes[1:])]
    if current:
        drive = rng.integers(-3000, 3000, (n_samples, sizes[1])).astype(np.int32)
        return layers, {layers[0].name: drive}, None
    return layers, None, rng.integers(-1, 2, (n_samples, steps, sizes[0])).astype(np.int8)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    current=st.booleans(),
    spikes=st.sampled_from(["unipolar", "ternary"]),
    reset=st.sampled_from(["subtract", "zero"]),
    rail=st.sampled_from([2**30, 4000]),
)
def test_the_clocked_engine_does_what_integers_by_hand_do(seed, current, spikes, reset, rail):
    layers, drive, incoming = random_case(
        seed, 3, 12, current=current, spikes=spikes, reset=reset, rail=rail
    )
    activity = clocked(layers, drive, incoming, steps=12)
    fired, trace = run_by_hand(layers, drive, incoming, 12)
    for found, expected in zip(activity.spikes, fired):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(activity.membrane, trace)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), n_nodes=st.integers(1, 7), current=st.booleans())
def test_a_graph_run_node_by_node_does_what_one_run_step_by_step_does(seed, n_nodes, current):
    rng = np.random.default_rng(seed)
    nodes, drive = random_graph(rng, n_nodes, current=current)
    n_inputs = Wiring(nodes).widths["input"]
    stimulus = (
        (drive, None) if current else (None, rng.integers(-1, 2, (2, 9, n_inputs)).astype(np.int8))
    )
    activity = clocked(nodes, *stimulus, steps=9)
    fired, trace = run_by_hand(nodes, *stimulus, 9)
    assert len(activity.spikes) == len(fired)
    for found, expected in zip(activity.spikes, fired):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(activity.membrane, trace)


@pytest.mark.parametrize("noisy", [{}, {"sigma_noise": 300.0, "kick": 40, "decay": 0.9}])
@pytest.mark.parametrize("current", [True, False])
def test_spikes_do_not_depend_on_threads_or_batches(noisy, current):
    layers, drive, incoming = random_case(5, 40, 9, current=current, **noisy)

    def some(array, part):
        if isinstance(array, dict):
            return {name: values[part] for name, values in array.items()}
        return None if array is None else array[part]

    whole = clocked(layers, drive, incoming, steps=9, keys=KEYS[: len(layers)], threads=1)
    for threads in (2, 5):
        other = clocked(layers, drive, incoming, steps=9, keys=KEYS[: len(layers)], threads=threads)
        np.testing.assert_array_equal(whole.membrane, other.membrane)
    for part in (slice(0, 7), slice(7, 40)):
        one = clocked(
            layers, some(drive, part), some(incoming, part), steps=9,
            keys=KEYS[: len(layers)], first_sample=part.start,
        )  # fmt: skip
        for a, b in zip(whole.spikes, one.spikes):
            np.testing.assert_array_equal(a[part], b)


def test_adding_rows_and_the_matrix_product_bring_the_same_charge():
    rng = np.random.default_rng(0)
    layer = random_layer(rng, 512, 512)
    # Steps from silent to saturated, on both sides of the crossover.
    activity = np.linspace(0, 1, 12)[:, np.newaxis]
    spikes = (rng.random((1, 12, 512)) < activity).astype(np.int8)
    assert layer.exact_in_float32
    both = charge_of(layer, spikes)
    assert "weight_float32" in vars(layer)
    np.testing.assert_array_equal(both[0], spikes[0].astype(int) @ layer.weight.astype(int))


def test_layers_too_large_for_exact_float32_sums_add_rows():
    layer = random_layer(np.random.default_rng(0), 2, 2)
    huge = np.full((8300, 40), 2047, np.int16)
    large = dataclasses.replace(layer, weight=huge)
    assert not large.exact_in_float32
    spikes = np.ones((1, 1, 8300), np.int8)
    np.testing.assert_array_equal(charge_of(large, spikes), 8300 * 2047)
    assert "weight_float32" not in vars(large)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.37, 0.5, 0.99, 1.0])
def test_one_neuron_counts_its_drive_rounded_to_nearest(value):
    network = single(1.0, 0.0, 1.0)
    run = simulate(network, [[value]], steps=50, record="counts")
    level = np.rint(value * 256) / 256
    # 12-bit weights: the effective weight of 1.0 is exact, a power of two.
    assert int(run["row_size"][0, 0]) == int(np.floor(50 * level + 0.5))


def test_the_decoded_output_converges_to_the_trained_networks():
    ann, x = trained(1), inputs(2, 40)
    network = convert(ann, x, steps=None, method="percentile")
    run = simulate(network, x, steps=2048, record="counts")
    expected = ann.forward(x)
    scale = np.abs(expected).max()
    error = np.abs(run["output"].isel(step=-1).values - expected) / scale
    # What stays: 0.1 % of activations clipped, 8-bit inputs, 12-bit weights, 1/T of a spike.
    assert error.max() < 0.02
    early = np.abs(run["output"].sel(step=8).values - expected) / scale
    assert error.mean() < early.mean() / 5


def test_counts_alone_decode_to_whole_spikes():
    network = convert(trained(1), inputs(2, 40), steps=16)
    run = simulate(network, inputs(3, 5), decoding="counts")
    threshold = network.layers[-1].threshold
    spikes = run["output"].isel(step=-1).values * 16 / threshold
    np.testing.assert_allclose(spikes, np.rint(spikes), atol=1e-4)


def test_the_recording_counts_every_spike_and_row():
    network = convert(trained(), inputs(0, 50), steps=8)
    x = inputs(1, 70)
    run = simulate(network, x, encoding="rate")
    assert run.sizes["trial"] == 70
    assert list(dict.fromkeys(run["layer"].values)) == ["input", "dense_1", "dense_2", "output"]
    assert int(run["row_size"].sum()) == run.sizes["event"]
    by_layer = run["row_size"].groupby("layer").sum("neuron")
    always_on = 8
    for crossbar, before in (("dense_1", "input"), ("dense_2", "dense_1"), ("output", "dense_2")):
        rows = run["active_rows"].sel(crossbar=crossbar).values
        np.testing.assert_array_equal(rows, by_layer.sel(layer=before).values + always_on)


def test_labels_of_classes_travel_with_the_recording():
    ann = dataclasses.replace(trained(), classes=np.array(["cat", "dog", "fox"]))
    x = inputs(0, 60)
    run = simulate(convert(ann, x, steps=64), x)
    assert float(run.spk.accuracy(ann.predict(x))[-1]) > 0.9


def test_a_single_output_decides_between_two_classes():
    ann = trained(3, (6, 8, 1), classes=[10, 20])
    x = inputs(0, 200)
    run = simulate(convert(ann, x, steps=64), x)
    assert set(ann.predict(x)) == {10, 20}
    assert float(run.spk.accuracy(ann.predict(x))[-1]) > 0.9


def test_noisy_chips_repeat_with_their_seed_and_differ_without():
    x = inputs(0, 30)
    network = convert(trained(), x, steps=8)
    chip = program(network, seed=0)
    neuron = dataclasses.replace(chip.chip.neuron, temperature=300.0, v_lfsr=0.01)
    noisy = program(network, chip=dataclasses.replace(chip.chip, neuron=neuron), seed=0)
    with pytest.raises(ValueError, match="draw random numbers in every step: give a seed"):
        simulate(noisy, x)
    first, again, other = (simulate(noisy, x, seed=seed) for seed in (1, 1, 2))
    assert first.identical(again)
    assert not np.array_equal(first["output"], other["output"])


def test_the_membrane_of_a_layer_is_what_its_spikes_leave():
    network = convert(trained(), inputs(0, 50), steps=16)
    x = inputs(1, 1)
    layers = network.charge_layers()
    trace = membrane(network, x[0], layer=0)
    run = simulate(network, x)
    counts = run["row_size"].values[0, : layers[0].n_outputs]
    drive = network.preactivations(x)[0][0]
    left = 16 * drive + 0.5 * network.layers[0].threshold - counts * network.layers[0].threshold
    # Inputs have 8 bits and weights 12: each step may be off by half a level of each.
    np.testing.assert_allclose(trace.isel(step=-1), left, atol=16 * 6 * (1 / 512 + 1 / 1024))


@pytest.mark.parametrize("steps", [0, -3, 2.5, True, "8"])
def test_steps_that_are_no_count_are_refused(steps):
    with pytest.raises(ValueError, match="steps expects an integer >= 1"):
        simulate(single(1, 0, 1), [[0.5]], steps=steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "converted for any number of steps: give steps"),
        ({"steps": 2, "engine": "cloked"}, "No engine is called 'cloked'.*Did you mean 'clocked'"),
        ({"steps": 2, "encoding": "morse"}, "got 'morse'"),
        ({"steps": 2, "decoding": "guess"}, "one of membrane, counts, first, got 'guess'"),
        ({"steps": 2, "record": "all"}, "'spikes', 'counts' or neurons of layers .*got 'all'"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(single(1, 0, 1), [[0.5]], **options)


def test_an_interrupted_run_keeps_the_samples_that_were_finished():
    def stop(done, asked):
        if done >= 128:
            raise KeyboardInterrupt

    x = inputs(0, 200)
    network = convert(trained(), x, steps=4)
    with pytest.raises(SimulationInterrupted) as caught:
        simulate(network, x, progress=stop)
    part = caught.value.recording
    assert part.sizes["trial"] == 128
    assert (part.attrs["complete"], part.attrs["n_trials_requested"]) == (0, 200)
    whole = simulate(network, x)
    np.testing.assert_array_equal(whole["row_size"][:128], part["row_size"])


def test_an_interruption_before_the_first_samples_keeps_nothing(monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "encode", stop)
    with pytest.raises(SimulationInterrupted) as caught:
        simulate(single(1, 0, 1), [[0.5]], steps=2)
    assert caught.value.recording is None


def test_decoding_follows_the_charge_after_every_step():
    layers, drive, _ = random_case(7, 3, 10, current=True)
    last = layers[-1:]
    drive = np.random.default_rng(0).integers(0, 900, (3, last[0].n_outputs)).astype(np.int32)
    activity = clocked(last, {last[0].name: drive}, None, steps=10)
    expected = (drive + last[0].bias) / last[0].threshold
    for k in (0, 4, 9):
        np.testing.assert_allclose(decode(activity, last[0])[:, k], expected, rtol=1e-6)


def random_output(seed, *, kind, reset="subtract", slope=0.0):
    """Return an output layer that takes some steps to fire, and its activity for random spikes."""
    rng = np.random.default_rng(seed)
    layer = random_layer(rng, 6, 4, spikes=kind, reset=reset, slope=slope)
    layer = dataclasses.replace(layer, bias=layer.bias - 400, initial=layer.initial * 0)
    spikes = rng.integers(-1, 2, (3, 12, 6)).astype(np.int8)
    return layer, clocked([layer], None, spikes, steps=12)


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["unipolar", "ternary", "signed"]),
    reset=st.sampled_from(["subtract", "zero"]),
)
def test_the_first_output_to_fire_wins_for_ever_and_charge_breaks_ties(seed, kind, reset):
    signed = kind == "signed"
    layer, activity = random_output(
        seed, kind=kind, reset="subtract" if signed else reset, slope=0.5 if signed else 0.0
    )
    score = decode(activity, layer, "first")
    for s in range(3):
        count = np.cumsum(activity.spikes[-1][s], axis=0, dtype=int)
        worth = np.where((count < 0) & signed, layer.negative, layer.threshold)
        arrived = activity.membrane[s] - layer.initial + count * worth
        charge = [
            [Fraction(*map(int, pair)) for pair in zip(now, layer.threshold)] for now in arrived
        ]
        expected = first_class_by_hand(activity.spikes[-1][s], charge)
        assert score[s].argmax(axis=-1).tolist() == expected


@given(seed=st.integers(0, 2**32 - 1))
def test_scores_rise_above_zero_with_the_first_spike(seed):
    layer, activity = random_output(seed, kind="ternary")
    score = decode(activity, layer, "first")
    fired = np.cumsum(activity.spikes[-1] > 0, axis=1) > 0
    assert score.dtype == np.float32
    np.testing.assert_array_equal(score > 0, fired)
    assert score.min() > -1
    assert score.max() <= 1


def test_scores_are_those_of_the_formula():
    spikes = np.array([[[0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]]], np.int8)
    membrane = np.array([[[2, 3, 5], [1, 4, 2], [1, 1, 2], [1, 1, 2]]], np.int32)
    layer = dataclasses.replace(
        random_layer(np.random.default_rng(0), 1, 3),
        threshold=np.full(3, 6, np.int32),
        initial=np.zeros(3, np.int32),
    )
    score = decode(recording.Activity(spikes=(spikes,), membrane=membrane), layer, "first")
    # Output 2 has 8 quanta in step 2, output 0 has 7; output 1 fires in step 3 with 7 of 7, 7, 8.
    expected = [
        [-2 / 3, -1 / 3, 0],
        [(1 - 1 / 3) / 2, -2 / 3, 1 / 2],
        [(2 - 1 / 3) / 3, (1 - 2 / 3) / 3, 2 / 3],
        [(3 - 1 / 3) / 4, (2 - 2 / 3) / 4, 3 / 4],
    ]
    np.testing.assert_allclose(score[0], expected, rtol=1e-6)


def test_outputs_that_cannot_fire_are_no_first():
    x = inputs(0, 20)
    chip = program(convert(trained(), x, steps=8), chip="ideal", seed=0)

    class OutOfReach:
        network, dt, index, provenance = chip.network, chip.dt, chip.index, chip.provenance

        def charge_layers(self):
            *hidden, last = chip.charge_layers()
            return (*hidden, dataclasses.replace(last, rail=int(last.threshold.min()) - 1))

    with pytest.raises(ValueError, match="3 of 3 outputs have thresholds beyond the rails"):
        simulate(OutOfReach(), x, decoding="first")


def test_given_spikes_run_as_those_that_are_encoded():
    x = inputs(0, 70)
    network = convert(trained(), x, steps=8)
    levels = input_levels(x, network.input_scale)
    trains = encode(levels, network.charge_layers(), steps=11, encoding="rate").spikes
    given_ones = simulate(network, trains, encoding="spikes")
    encoded = simulate(network, x, steps=11, encoding="rate")
    assert given_ones.attrs["steps"] == 11
    np.testing.assert_array_equal(given_ones["t"], encoded["t"])
    np.testing.assert_array_equal(given_ones["output"], encoded["output"])
    np.testing.assert_array_equal(given_ones["active_rows"], encoded["active_rows"])
    with pytest.raises(ValueError, match="the 11 steps that x has, got steps=8"):
        simulate(network, trains, encoding="spikes", steps=8)


def test_latencies_bring_the_charge_of_rates_by_the_last_step():
    x = np.random.default_rng(0).uniform(-1, 1, (20, 6))
    network = convert(trained(0, (6, 3)), x, steps=25)
    late, even = (simulate(network, x, encoding=encoding) for encoding in ("ttfs", "rate"))
    np.testing.assert_array_equal(late["output"][:, -1], even["output"][:, -1])
    assert not np.array_equal(late["output"][:, 5], even["output"][:, 5])


def test_a_recording_of_latencies_holds_the_steps_in_which_rows_are_driven():
    network = convert(trained(), inputs(0, 50), steps=16)
    run = simulate(network, inputs(1, 5), encoding="ttfs")
    driven = run.spk.raster("input").values
    # Driven from the event on, and to the end.
    assert np.all(np.diff(driven, axis=1) >= 0)
    events = run["row_size"].values[:, :6] > 0
    np.testing.assert_array_equal(driven[:, -1] > 0, events)


@pytest.mark.parametrize("decoding", ["membrane", "first"])
@pytest.mark.parametrize("encoding", ["ttfs", "spikes"])
def test_both_engines_give_the_same_spikes_for_every_encoding(encoding, decoding):
    pytest.importorskip("brian2")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (5, 6))
    network = convert(trained(), x, steps=7)
    if encoding == "spikes":
        x = rng.integers(-1, 2, (5, 7, 6))
    one, other = (
        simulate(network, x, encoding=encoding, decoding=decoding, engine=engine)
        for engine in ("clocked", "brian2")
    )
    assert one.sizes["event"] > 100
    for name in ("t", "sign", "row_size", "output", "active_rows"):
        np.testing.assert_array_equal(one[name], other[name])


def test_noise_differs_from_chip_to_chip():
    x = inputs(0, 20)
    network = convert(trained(), x, steps=8)
    ideal = program(network, chip="ideal", seed=0).chip
    noisy = dataclasses.replace(ideal, neuron=dataclasses.replace(ideal.neuron, v_lfsr=0.02))
    runs = [
        simulate(program(network, chip=noisy, seed=0, index=index), x, seed=1)
        for index in (0, 1, 0)
    ]
    assert not np.array_equal(runs[0]["output"], runs[1]["output"])
    np.testing.assert_array_equal(runs[0]["output"], runs[2]["output"])


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"leak": 5e-6}])
def test_charge_that_does_not_add_up_is_decoded_from_counts(change):
    x = inputs(0, 20)
    network = convert(trained(), x, steps=8)
    chip = program(network, chip="ideal", seed=0).chip
    other = dataclasses.replace(chip, neuron=dataclasses.replace(chip.neuron, **change))
    run = simulate(program(network, chip=other, seed=0), x)
    assert '"decoding": "counts"' in run.attrs["provenance"]
    with pytest.raises(ValueError, match="Use decoding='counts'"):
        simulate(program(network, chip=other, seed=0), x, decoding="membrane")


def test_a_recording_says_which_chip_ran():
    x = inputs(0, 20)
    chip = program(convert(trained(), x, steps=8), delay="1 s", seed=7, index=3)
    found = json.loads(simulate(chip, x).attrs["provenance"])
    assert (found["chip"], found["chip_seed"], found["chip_index"]) == ("neurram", "7", 3)
    assert (found["delay_s"], found["recalibrated"]) == (1.0, False)


def test_energy_and_latency_are_those_of_the_chip_that_ran():
    x = inputs(0, 20)
    network = convert(trained(), x, steps=8)
    chip = program(network, chip="ideal", seed=0).chip
    slow = dataclasses.replace(chip.energy, step_time=1e-3, word_lines=0.0)
    run = simulate(program(network, chip=dataclasses.replace(chip, energy=slow), seed=0), x)
    assert float(run.spk.latency()[0]) == pytest.approx((8 + 2) * 1e-3)
    assert float(run.spk.energy().sel(component="word_lines").sum()) == 0
    assert float(run.spk.latency("neurram")[0]) == pytest.approx(10 * 0.82e-6)


def test_an_ideal_network_costs_what_an_ideal_chip_does():
    x = inputs(0, 4, 300)
    network = convert(trained(0, (300, 40, 10)), x, steps=4)
    for component in ("sample", "compare"):
        ideal, chip = (
            simulate(model, x).spk.energy().sel(component=component).values
            for model in (network, program(network, chip="ideal", seed=0))
        )
        np.testing.assert_allclose(ideal, chip)


def test_batches_shrink_where_there_are_many_steps():
    layers = convert(trained(), inputs(0, 50), steps=4).charge_layers()
    assert Clocked().most_samples([layers], 4, spiking_input=False) == 64
    neurons = 8 + 5 + 3 + 6
    for chips in ([layers], [layers] * 2):
        most = Clocked().most_samples(chips, 2**18, spiking_input=False)
        assert 1 < most * 2**18 * neurons * len(chips) <= 2**27
    assert Clocked().most_samples([layers], 2**40, spiking_input=False) == 1


def test_a_trained_network_has_to_be_converted_first():
    with pytest.raises(TypeError, match="got TrainedNetwork. Convert a trained network first"):
        simulate(trained(), inputs(0, 2))
    with pytest.raises(TypeError, match="program expects a SpikingNetwork, got TrainedNetwork"):
        program(trained(), seed=0)


@pytest.mark.parametrize("x", [inputs(0, 3).tolist(), np.asfortranarray(inputs(0, 3)).copy("F")])
def test_lists_and_arrays_of_any_layout_give_the_same(x):
    network = convert(trained(), inputs(0, 50), steps=8)
    np.testing.assert_array_equal(
        simulate(network, x)["output"], simulate(network, inputs(0, 3))["output"]
    )
