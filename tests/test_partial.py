from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeram import demo, recording, simulation
from spikeram.conversion import convert, recalibrate
from spikeram.conversion.calibration import fit_quanta, segment_drives
from spikeram.energy import energy, latency
from spikeram.errors import CapacityError, ConversionError
from spikeram.models import chips
from spikeram.network import Layer, SpikingNetwork
from spikeram.partial import PartialSums
from spikeram.programming import program
from spikeram.recording import raster, without_parts
from spikeram.simulation import clocked, membrane, nodes_of, simulate
from spikeram.statistics import accuracy, summary, synaptic_operations
from spikeram.wiring import Wiring

from networks import branching, convolutional, inputs, trained
from reference import cut_layer_by_hand

X = inputs(0, 60, 20)
NETWORK = convert(trained(2, (20, 12, 3)), X, steps=16)
IMAGES = inputs(1, 60, 2 * 6 * 7)
CNN = convert(convolutional(), IMAGES, steps=16)


def small(rows=16, name="ideal", **options):
    """Return a chip of small cores; 16 rows hold 8 signed inputs."""
    return dataclasses.replace(getattr(chips, name)(), rows=rows, **options)


def one_layer(seed=0, n_inputs=20, n_outputs=5, *, spikes="unipolar"):
    rng = np.random.default_rng(seed)
    layer = Layer(
        name="only",
        weight=rng.normal(0, 0.3, (n_inputs, n_outputs)),
        bias=rng.normal(0, 0.1, n_outputs),
        threshold=rng.uniform(0.8, 1.6, n_outputs),
        spikes=spikes,
    )
    return SpikingNetwork(layers=(layer,), steps=24)


def by_hand(chip, spikes, **how):
    """Return what a chip's only layer sends and fires, computed from its conductances alone."""
    programmed, layer = chip.layers[0], chip.network.layers[0]
    w_max = np.maximum(np.abs(layer.weight).max(axis=0), np.abs(layer.bias) / programmed.n_bias)
    volts = chip.chip.v_read * chip.chip.neuron.c_sample / chip.chip.neuron.c_integ
    window = chip.chip.g_max - chip.chip.g_min
    return cut_layer_by_hand(
        {
            "g": programmed.crossbar.conductance,
            "target": programmed.target,
            "height": programmed.crossbar.pairs_per_core,
            "n_bias": programmed.n_bias,
            "volts": volts,
            "worth": layer.threshold * volts * window / (w_max * programmed.target.sum((0, 1))),
            "initial": layer.initial,
            "ternary": layer.spikes == "ternary",
        },
        spikes,
        **how,
    )


@pytest.mark.parametrize("spikes", ["unipolar", "ternary"])
@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_partial_neurons_and_soma_fire_what_they_do_by_hand(spikes, share):
    chip = program(
        one_layer(spikes=spikes),
        chip=small(name="neurram", partial_sums=PartialSums(kind="spiking", share=share)),
        seed=1,
    )
    x = np.random.default_rng(0).integers(-1, 2, (1, 24, 20))
    run = simulate(chip, x, encoding="spikes")
    sent, soma = by_hand(chip, x[0], kind="spiking", step=share)
    assert np.any(sent < 0)
    assert np.any(soma)
    for n, part in enumerate(sent, 1):
        np.testing.assert_array_equal(raster(run, f"only/{n}")[0], part)
    np.testing.assert_array_equal(raster(run, "only")[0], soma)


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_converters_and_soma_do_what_they_do_by_hand(bits):
    sums = PartialSums(kind="digital", bits=bits, reach=2.0)
    chip = program(one_layer(), chip=small(name="neurram", partial_sums=sums), seed=1)
    x = np.random.default_rng(0).integers(-1, 2, (1, 24, 20))
    run = simulate(chip, x, encoding="spikes")
    sent, soma = by_hand(chip, x[0], kind="digital", step=2.0 / 2 ** (bits - 1), bits=bits)
    assert np.any(sent < 0)
    assert np.any(soma)
    for n, part in enumerate(sent, 1):
        digits = raster(run, f"only/{n}").values[0].reshape(24, bits - 1, 5)
        np.testing.assert_array_equal(
            np.einsum("kpj,p->kj", digits, 2 ** np.arange(bits - 1)), part
        )
    np.testing.assert_array_equal(raster(run, "only")[0], soma)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["spiking", "digital"])
@pytest.mark.parametrize("encoding", ["current", "rate"])
@pytest.mark.parametrize("net", ["perceptron", "convolution", "branching"])
def test_brian2_fires_the_same_spikes(net, encoding, kind):
    network, x = {
        "perceptron": (NETWORK, X),
        "convolution": (CNN, IMAGES),
        "branching": (branching(), inputs(2, 4, 72)),
    }[net]
    sums = PartialSums(kind=kind, bits=4)
    chip = program(network, chip=small(32, n_cores=500, partial_sums=sums), seed=0)
    runs = [
        simulate(chip, x[:2], steps=5, encoding=encoding, engine=engine)
        for engine in ("clocked", "brian2")
    ]
    assert runs[0]["part"].values.any()
    for name in ("t", "row_size", "output", "active_rows"):
        np.testing.assert_array_equal(runs[0][name], runs[1][name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["spiking", "digital"])
def test_brian2_draws_the_same_noise(kind):
    quiet = small(name="ideal", partial_sums=PartialSums(kind=kind, bits=4))
    noisy = dataclasses.replace(
        quiet, neuron=dataclasses.replace(quiet.neuron, temperature=300.0, v_lfsr=0.02)
    )
    chip = program(NETWORK, chip=noisy, seed=0)
    runs = [simulate(chip, X[:3], steps=6, engine=e, seed=7) for e in ("clocked", "brian2")]
    np.testing.assert_array_equal(runs[0]["t"], runs[1]["t"])
    np.testing.assert_array_equal(runs[0]["row_size"], runs[1]["row_size"])
    silent = simulate(program(NETWORK, chip=quiet, seed=0), X[:3], steps=6)
    assert not np.array_equal(silent["row_size"], runs[0]["row_size"])


def test_cutting_a_layer_leaves_the_noise_of_the_others_as_it_was(monkeypatch):
    neuron = dataclasses.replace(chips.ideal().neuron, temperature=300.0, v_lfsr=0.02)
    # Eleven pairs hold the ten inputs and the bias of the last layer, but not the first's twenty.
    network = convert(trained(2, (20, 10, 3)), X, steps=16)
    chip = program(network, chip=small(22, neuron=neuron), seed=0)
    cut = chip.with_partial_sums("spiking")
    seen = []

    def spy(nodes, drive, spikes, *, keys, **options):
        seen.append(dict(zip((layer.name for layer in Wiring(nodes).layers), keys)))
        return clocked(nodes, drive, spikes, keys=keys, **options)

    monkeypatch.setattr(simulation.registry, "lookup", lambda kind, name: spy)
    for one in (chip, cut):
        simulate(one, X[:1], engine="spy", seed=3)
    whole, parts = seen
    assert parts["output"] == whole["output"]
    assert len(set(map(int, parts.values()))) == len(parts)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_what_has_not_been_sent_is_half_a_quantum_of_each_segment(share):
    chip = program(one_layer(spikes="ternary"), chip=small(), seed=0)
    # Weak inputs, so that no segment brings more than a quantum in a step.
    x = inputs(3, 20, 20) * 0.2
    whole, cut = (
        simulate(chip.with_partial_sums(sums), x, steps=64, record="counts")["output"]
        for sums in ("ideal", PartialSums(kind="spiking", share=share))
    )
    steps = np.arange(1, 65)[:, np.newaxis]
    missing = np.abs(cut - whole).values * steps / chip.network.layers[0].threshold
    n_segments = len(chip.layers[0].crossbar.segments)
    assert n_segments == 3
    # Half a quantum of each; and in each step 12 bits of weights and of drive, rounded: with 21
    # rows of at most 2**-11 of the largest weight, here a third of the threshold, below 0.002.
    assert np.all(missing <= n_segments * share / 2 + 0.002 * steps)
    assert missing.max() > share / 2


def difference(chip, sums, steps):
    """Return how far outputs are from those of ideal partial sums, in standard deviations."""
    whole, cut = (
        simulate(chip.with_partial_sums(one), X, steps=steps, record="counts")["output"][:, -1]
        for one in ("ideal", sums)
    )
    return float(np.sqrt(((cut - whole) ** 2).mean()) / whole.std())


def test_many_bits_are_the_ideal_limit():
    chip = program(NETWORK, chip=small(), seed=0)
    four, six, eight, ten = (
        difference(chip, PartialSums(kind="digital", bits=bits, reach=8.0), 64)
        for bits in (4, 6, 8, 10)
    )
    # Two bits more are a quarter of the error, until single spikes are what is left of it; with
    # the fewest nothing is left of the signal.
    assert four > 1
    assert six > 3 * eight > 6 * ten
    # One spike of 64 in a hidden neuron.
    assert ten < 2 / 64


def test_the_error_of_spiking_partial_sums_falls_as_one_over_time():
    chip = program(NETWORK, chip=small(), seed=0)
    wide = PartialSums(kind="spiking", share=4.0)
    errors = [difference(chip, wide, steps) for steps in (4, 16, 64, 256)]
    # What is left on the membranes does not grow with the number of steps.
    assert all(late < early / 3 for early, late in zip(errors, errors[1:]))


def test_a_quantum_below_the_drive_of_a_segment_loses_charge_for_ever():
    chip = program(NETWORK, chip=small(), seed=0)
    needed = segment_drives(chip, X, quantile=1.0).max()
    assert needed > 2
    narrow, wide = (
        [difference(chip, PartialSums(kind="spiking", share=share), t) for t in (64, 256)]
        for share in (0.5, needed)
    )
    assert narrow[1] > 0.9 * narrow[0]
    assert wide[1] < 0.35 * wide[0]


def test_measured_quanta_lose_less_than_too_small_and_too_large_ones():
    chip = program(NETWORK, chip=small(), seed=0)
    fitted = fit_quanta(chip, X)
    drives = segment_drives(chip, X, quantile=0.99)
    assert [layer.share for layer in fitted.layers] == pytest.approx(drives)
    assert fit_quanta(program(NETWORK, chip="ideal", seed=0), X).layers[0].share is None
    own = difference(fitted, "spiking", 64)
    for share in (0.5, 16.0):
        assert own < difference(chip, PartialSums(kind="spiking", share=share), 64) / 2


def test_layers_on_one_core_are_left_alone():
    chip = program(NETWORK, chip=small(256), seed=0)
    whole, cut = (simulate(chip.with_partial_sums(k), X[:5]) for k in ("ideal", "spiking"))
    assert "part" not in cut.variables
    assert whole.drop_attrs(deep=False).identical(cut.drop_attrs(deep=False))


@pytest.mark.parametrize("kind", ["spiking", "digital"])
def test_a_cut_layer_keeps_its_name_and_takes_a_step_more(kind):
    chip = program(NETWORK, chip=small(32), seed=0)
    whole, cut = (simulate(chip.with_partial_sums(k), X[:5]) for k in ("ideal", kind))
    own = without_parts(cut)
    assert own["layer"].values.tolist() == whole["layer"].values.tolist()
    delay = np.rint((own["window_start"] - whole["window_start"]).values / chip.dt)
    # Twenty inputs and a bias lie on two cores of sixteen pairs, twelve on one.
    assert set(delay[own["layer"].values == "dense_1"]) == {1}
    assert set(delay[own["layer"].values == "output"]) == {1}
    np.testing.assert_allclose(latency(cut) - latency(whole), chip.dt, rtol=1e-6)


def test_a_recording_tells_partial_neurons(tmp_path):
    chip = program(NETWORK, chip=small(32, partial_sums="spiking"), seed=0)
    run = simulate(chip, X[:5])
    assert run["crossbar"].values.tolist() == ["dense_1/1", "dense_1/2", "dense_1", "output"]
    assert run["part_of"].values.tolist() == ["dense_1", "dense_1", "dense_1", "output"]
    assert np.unique(run["part"].values[run["layer"].values == "dense_1/2"]).tolist() == [2]
    assert run["rows"].values.tolist()[:3] == [22, 20, 0]
    assert run["columns"].values.tolist() == [12, 12, 0, 3]
    recording.save(run, tmp_path / "run.nc")
    assert recording.load(tmp_path / "run.nc").identical(run)
    again = recording.concatenate([run, run])
    np.testing.assert_array_equal(again["part"], run["part"])
    assert summary(run)["neurons"].values.tolist() == [12, 12, 12, 3]


def test_a_soma_counts_the_partial_spikes_that_it_adds():
    chip = program(NETWORK, chip=small(32, partial_sums="spiking"), seed=0)
    run = simulate(chip, X[:5])
    partial = run["row_size"].where(run["part"] > 0, 0).sum("neuron")
    np.testing.assert_array_equal(run["active_rows"].sel(crossbar="dense_1"), partial)
    assert not synaptic_operations(run).sel(crossbar="dense_1").any()


def test_partial_neurons_cost_what_those_of_a_cut_column_cost():
    # With one column of cores, what the first layer does in the array, which a constant current
    # drives, is equal; added as digits it converts besides, as spikes it compares once.
    energies = dataclasses.replace(chips.ideal().energy, core_rows=32)
    chip = program(NETWORK, chip=small(32, energy=energies), seed=0)
    whole, cut = (energy(simulate(chip.with_partial_sums(k), X[:5])) for k in ("ideal", "spiking"))
    parts = cut.sel(crossbar=["dense_1/1", "dense_1/2"]).sum("crossbar")
    whole, soma = whole.sel(crossbar="dense_1"), cut.sel(crossbar="dense_1")
    array = ["word_lines", "start", "input_pulses", "sample", "integrate", "control"]
    np.testing.assert_allclose(parts.sel(component=array), whole.sel(component=array), rtol=1e-12)
    assert (parts.sel(component="compare") < whole.sel(component="compare")).all()
    # Partial spikes are sent to the soma, which is outside the cores.
    assert (soma.sel(component="traffic") > 0).all()
    assert not soma.drop_sel(component="traffic").any()


def test_parts_of_a_convolution_work_at_once():
    chip = program(CNN, chip=small(32, n_cores=100), seed=0)
    whole, cut = (simulate(chip.with_partial_sums(k), IMAGES[:2]) for k in ("ideal", "spiking"))
    np.testing.assert_allclose(latency(cut), latency(whole))


@pytest.mark.parametrize("kind", ["spiking", "digital"])
def test_recalibration_corrects_the_sum_of_the_segments(kind):
    chip = program(NETWORK, chip=small(name="neurram", partial_sums=kind), seed=3, rounds=0)
    again = recalibrate(chip, X)
    ideal = simulate(NETWORK, X, record="counts")["output"].isel(step=-1)
    errors = [
        float(((simulate(c, X, record="counts")["output"].isel(step=-1) - ideal) ** 2).mean())
        for c in (chip, again)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("pairs", [1, 3])
def test_a_cut_may_part_the_pairs_of_one_weight(pairs):
    chip = program(NETWORK, chip=small(pairs_per_weight=pairs, n_cores=99), seed=0)
    nodes = chip.with_partial_sums("spiking").charge_nodes()
    segments = chip.layers[0].segments(NETWORK.layers[0].threshold)
    # Each segment in units of its own threshold: together they are the weights of the network.
    total = np.zeros(NETWORK.layers[0].weight.shape)
    for one in segments:
        total[one.rows] += one.weight / one.threshold
    wanted = NETWORK.layers[0].row_weight(NETWORK.worth(0)) / NETWORK.layers[0].threshold
    if pairs == 1:
        np.testing.assert_allclose(total, wanted, rtol=1e-9)
    else:
        # A parted weight has its share in each segment's own mean, of all but equal sums.
        assert np.abs(total - wanted).max() < 0.15 * np.abs(wanted).max()
    assert sum(one.pairs for one in segments) == chip.layers[0].target.shape[1]
    assert [node.part for node in nodes][: len(segments) + 1] == [*range(1, len(segments) + 1), 0]


def test_a_core_of_biases_alone_sends_them_too():
    # Sixteen inputs fill two cores; their biases lie on a third.
    network = one_layer(n_inputs=16)
    chip = program(network, chip=small(), seed=0)
    assert len(chip.layers[0].crossbar.segments) == 3
    runs = [
        simulate(chip.with_partial_sums(k), np.zeros((1, 16)), steps=64, record="counts")
        for k in ("ideal", "spiking")
    ]
    np.testing.assert_allclose(*(run["output"][0, -1] for run in runs), atol=1.5 / 64 * 1.6)


def test_a_membrane_is_that_of_the_networks_layer():
    chip = program(NETWORK, chip=small(partial_sums="spiking"), seed=0)
    assert membrane(chip, X[0], layer=0, steps=4).shape == (4, 12)
    assert membrane(chip, X[0], layer=1, steps=4).shape == (4, 3)


def test_columns_balanced_by_dummies_share_one_threshold_in_each_core():
    chip = program(NETWORK, chip=small(32, column_gain="balanced", n_cores=99), seed=0)
    for programmed, layer in zip(chip.layers, NETWORK.layers):
        assert programmed.n_held > 0
        target = programmed.target
        for rows in programmed.crossbar.segments:
            sums = target[:, rows].sum(axis=(0, 1))
            np.testing.assert_allclose(sums, sums[0], rtol=1e-12)
            held = target[:, rows][:, -programmed.n_held :]
            assert held.min() >= chip.chip.g_min * (1 - 1e-9)
            assert held.max() <= chip.chip.g_max * (1 + 1e-9)
        for one in programmed.segments(layer.threshold):
            np.testing.assert_allclose(one.threshold, one.threshold[0], rtol=1e-12)
    for node in nodes_of(chip.with_partial_sums("spiking")):
        assert np.unique(node.threshold).size == 1


def test_no_fewer_dummies_would_do():
    chip = program(NETWORK, chip=small(32, column_gain="balanced", n_cores=99), seed=0)
    window = chip.chip.g_max - chip.chip.g_min
    for programmed in chip.layers:
        worst = 0.0
        for rows in programmed.crossbar.segments:
            weights = programmed.target[:, rows][:, : -programmed.n_held].sum(axis=(0, 1))
            worst = max(worst, np.ptp(weights))
        assert 2 * (programmed.n_held - 1) * window < worst <= 2 * programmed.n_held * window


def test_dummies_are_counted_in_cells_rows_and_cores():
    plain, balanced = (
        program(NETWORK, chip=small(32, column_gain=g, n_cores=99), seed=0)
        for g in ("none", "balanced")
    )
    held = [
        2 * layer.n_held * len(layer.crossbar.segments) * layer.target.shape[2]
        for layer in balanced.layers
    ]
    assert balanced.n_cells == plain.n_cells + sum(held)
    run = simulate(balanced, X[:2])
    assert run["rows"].values.tolist() == [2 * one.target.shape[1] for one in balanced.layers]
    run = simulate(balanced.with_partial_sums("spiking"), X[:2])
    cells = int((run["rows"] * run["columns"]).sum())
    assert cells == balanced.n_cells
    # They are held at the reference: in both, the same rows are driven.
    same = simulate(plain.with_partial_sums("spiking"), X[:2])
    driven = [
        sum(
            one["active_rows"].sel(crossbar=name).values
            for name in one["crossbar"].values
            if str(name).startswith("dense_1/")
        )
        for one in (run, same)
    ]
    np.testing.assert_array_equal(driven[0], driven[1])


def test_dummies_have_the_errors_of_cells():
    chip = program(NETWORK, chip=small(32, "neurram", column_gain="balanced", n_cores=99), seed=0)
    layer = chip.layers[0]
    last = layer.crossbar.segments[0].stop
    held = slice(last - layer.n_held, last)
    assert np.any(layer.crossbar.conductance[:, held] != layer.target[:, held])


@pytest.mark.parametrize("kind", ["ideal", "spiking"])
def test_an_ideal_balanced_chip_does_what_thresholds_of_their_own_do(kind):
    sums = PartialSums(kind=kind, share=4.0)
    outputs = []
    for gain in ("threshold", "balanced", "none"):
        chip = program(
            NETWORK, chip=small(32, column_gain=gain, n_cores=99, partial_sums=sums), seed=0
        )
        outputs.append(simulate(chip, X, steps=256, record="counts")["output"][:, -1])
    balanced, none = (
        float(np.sqrt(((one - outputs[0]) ** 2).mean()) / outputs[0].std()) for one in outputs[1:]
    )
    # Some spikes of 256; uncorrected, columns differ by many percent.
    assert balanced < 10 / 256
    assert none > 2 * balanced


def test_columns_that_share_a_threshold_share_a_measured_gain():
    chip = program(NETWORK, chip=small(256, "neurram", column_gain="none"), seed=0)
    again = recalibrate(chip, X)
    assert np.unique(again.layers[0].gain).size == 1
    assert np.unique(again.layers[0].offset).size == 12
    assert all(np.unique(node.threshold).size == 1 for node in nodes_of(again))
    # A soma has a number for each column.
    cut = program(NETWORK, chip=small(32, "neurram", column_gain="none"), seed=0)
    cut = recalibrate(cut.with_partial_sums("spiking"), X)
    assert np.unique(cut.layers[0].gain).size > 1
    assert all(np.unique(n.threshold).size == 1 for n in nodes_of(cut) if n.part)


@pytest.mark.parametrize("full_scale", ["column", "layer", "least_squares"])
def test_columns_that_share_a_threshold_have_windows_in_proportion_to_it(full_scale):
    kind = small(256, "neurram", column_gain="none", full_scale=full_scale)
    chip = program(one_layer(), chip=kind, seed=0, rounds=0)
    programmed, layer = chip.layers[0], chip.network.layers[0]
    # u_j is a constant / (w_max,j times the sum of conductances).
    ratio = programmed.unit * programmed.target.sum(axis=(0, 1)) * layer.threshold
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_a_silent_neuron_does_not_widen_the_window_of_the_others():
    network = one_layer()
    layer = network.layers[0]
    faint = dataclasses.replace(layer, threshold=np.append(layer.threshold[:-1], 1e-6))
    columns = []
    for one in (layer, faint):
        chip = program(network.with_layers([one]), chip=small(256, column_gain="balanced"), seed=0)
        driven = (
            chip.layers[0].target[:, :-1]
            if not chip.layers[0].n_held
            else (chip.layers[0].target[:, : -chip.layers[0].n_held])
        )
        columns.append(driven[..., :4].max())
    assert columns[1] > 0.5 * columns[0]


def test_balancing_says_where_no_room_is_left():
    # A core of one pair has no room for a dummy beside a weight.
    with pytest.raises(CapacityError, match="Use larger cores or column_gain='threshold'"):
        program(NETWORK, chip=small(2, column_gain="balanced", n_cores=999), seed=0)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="kind expects 'ideal', 'digital' or 'spiking', got 'x'"):
        small(partial_sums="x")
    with pytest.raises(ValueError, match="bits expects an integer from 2 to 12, got 13"):
        PartialSums(kind="digital", bits=13)
    with pytest.raises(ValueError, match="share expects a number of thresholds > 0, got 0"):
        PartialSums(kind="spiking", share=0)
    with pytest.raises(ValueError, match="column_gain expects 'threshold', 'balanced' or 'none'"):
        small(column_gain="x")


def test_partial_spikes_need_neurons_that_keep_their_charge():
    neuron = dataclasses.replace(chips.ideal().neuron, reset="zero")
    chip = program(NETWORK, chip=small(neuron=neuron, partial_sums="spiking"), seed=0)
    with pytest.raises(ValueError, match="'dense_1' is cut over 3 cores, whose spiking partial"):
        simulate(chip, X[:1])


def test_partial_neurons_are_no_nir_nodes(tmp_path):
    from spikeram.conversion.nir import to_nir

    chip = program(NETWORK, chip=small(partial_sums="spiking"), seed=0)
    with pytest.raises(ConversionError, match="partial neurons .*with_partial_sums\\('ideal'\\)"):
        to_nir(chip, tmp_path / "x.nir")


@pytest.mark.slow
def test_digits_on_cores_of_sixteen_rows_lose_little():
    data = demo.digits()
    network = convert(demo.train(data, seed=0), data.x_train, steps=32)
    chip = program(network, chip=small(n_cores=999), seed=0)
    # Nine and seventeen segments of eight signed inputs each.
    assert [len(one.crossbar.segments) for one in chip.layers] == [9, 17, 9]
    right = {}
    for kind in ("ideal", "digital", "spiking"):
        run = simulate(chip.with_partial_sums(kind), data.x_test, record="counts")
        right[kind] = float(accuracy(run, data.y_test)[-1])
    # Of 360 images one is 0.28 points.
    assert right["digital"] > right["ideal"] - 0.01
    assert right["spiking"] > right["ideal"] - 0.02
