from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram.charge import ChargeLayer
from spikeram.conversion import (
    TrainedNetwork,
    calibrate_bias,
    convert,
    read,
    recalibrate,
    report,
    thresholds,
)
from spikeram.errors import ConversionError, FileFormatError
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import inputs, trained

X = inputs(0, 300)


def fitted(kind="MLPClassifier", **options):
    from sklearn import neural_network
    from sklearn.exceptions import ConvergenceWarning

    y = (X.sum(axis=1) > 3) + (X[:, 0] > 0.5) * 1
    model = getattr(neural_network, kind)(
        hidden_layer_sizes=(8, 5), max_iter=15, random_state=0, **options
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    return model


def test_a_scikit_learn_classifier_predicts_the_same():
    model = fitted()
    network = read(model)
    np.testing.assert_array_equal(network.predict(X), model.predict(X))


def test_a_scikit_learn_regressor_predicts_the_same_and_decodes_to_its_units():
    model = fitted("MLPRegressor")
    network = read(model)
    np.testing.assert_allclose(network.predict(X)[:, 0], model.predict(X), rtol=1e-12)
    run = simulate(convert(model, X, steps=256), X, record="counts")
    error = run["output"].isel({"step": -1, "class": 0}).values - model.predict(X)
    assert np.sqrt(np.mean(error**2)) < 0.05 * model.predict(X).std() + 0.01


def test_labels_of_any_type_survive():
    from sklearn.neural_network import MLPClassifier

    y = np.array(["no", "yes"], dtype=object)[(X[:, 0] > 0.5).astype(int)]
    model = MLPClassifier((6,), max_iter=2000, random_state=0).fit(X, y)
    run = simulate(convert(model, X), X, record="counts")
    assert float(run.spk.accuracy(model.predict(X).astype(str))[-1]) > 0.97


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: fitted(activation="tanh"), "expects activation='relu', got 'tanh'"),
        (lambda: __import__("sklearn.svm").svm.SVC(), "MLPClassifier and MLPRegressor, got SVC"),
        (lambda: object(), "got object"),
        (
            lambda: __import__("sklearn.neural_network").neural_network.MLPClassifier(),
            r"This MLPClassifier is not fitted. Call its fit\(x, y\) first",
        ),
    ],
)
def test_models_that_cannot_be_converted_are_refused(model, message):
    with pytest.raises(ConversionError, match=message):
        read(model())


def test_weights_that_are_not_finite_are_refused():
    weights = (np.full((2, 2), np.nan),)
    with pytest.raises(ConversionError, match="'output' expects finite weights, got 4"):
        TrainedNetwork.chain(weights=weights, biases=(np.zeros(2),))


def test_matrices_that_do_not_chain_are_refused():
    with pytest.raises(
        ConversionError, match=r"'output' expects 4 inputs, but 'dense_1' has 3 outputs"
    ):
        TrainedNetwork.chain(
            weights=(np.ones((2, 3)), np.ones((4, 2))), biases=(np.zeros(3), np.zeros(2))
        )


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 4)), r"shape \(sample, 6\), as the network has 6 inputs, got \(5, 4\)"),
        (np.zeros((0, 6)), "at least one sample, got none"),
        (np.full((2, 6), np.inf), "finite values"),
        ([["a"] * 6], "expects real numbers"),
    ],
)
def test_calibration_sets_that_do_not_match_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        convert(trained(), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps expects an integer >= 1, got 0"),
        ({"steps": None}, "least_squares chooses thresholds for a number of steps"),
        ({"method": "magic"}, "method expects one of max, .*, auto, got 'magic'"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        convert(trained(), X, **options)


def test_a_saved_trained_network_comes_back_and_is_read_by_its_path(tmp_path):
    path = tmp_path / "trained.npz"
    trained().save(path)
    np.testing.assert_array_equal(read(path).forward(X), trained().forward(X))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="not a readable"):
        read(path)


def test_pickles_are_refused_with_a_way_out(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(FileFormatError, match=r"is a pickle.*save\('model.npz'"):
        read(path)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4, 32]))
def test_least_squares_finds_the_best_of_its_candidates(seed, steps):
    activation = np.maximum(np.random.default_rng(seed).normal(size=(50, 3)), 0)
    chosen = thresholds.least_squares(activation, steps)
    best = thresholds.expected_error(activation, chosen, steps)
    for factor in (0.2, 0.35, 0.5, 0.8, 1.0):
        other = factor * activation.max(axis=0)
        assert np.all(best <= thresholds.expected_error(activation, other, steps) + 1e-15)


def test_thresholds_do_not_depend_on_the_order_of_the_data():
    activation = np.maximum(np.random.default_rng(0).normal(size=(500, 4)), 0)
    shuffled = np.random.default_rng(1).permutation(activation)
    for method in (thresholds.percentile, lambda a: thresholds.least_squares(a, 4)):
        np.testing.assert_array_equal(method(activation), method(shuffled))


def test_silent_channels_and_layers_keep_finite_thresholds():
    activation = np.zeros((10, 3))
    assert np.all(thresholds.percentile(activation) == 1.0)
    activation[:, 0] = 5.0
    np.testing.assert_allclose(thresholds.percentile(activation), [5.0, 0.1, 0.1])
    assert np.all(thresholds.least_squares(activation, 4) > 0)


def test_bias_calibration_takes_up_the_mean_error_of_every_layer():
    ann = trained(4)
    plain = convert(ann, X, steps=4, method="percentile")
    calibrated = calibrate_bias(plain, X, steps=4)

    def mean_error(network):
        """Largest mean error of a hidden layer's decoded activation, in thresholds."""
        run = simulate(network, X, record="counts")
        counts = run["row_size"].values
        errors, start = [], 0
        for layer, z in zip(network.layers[:-1], plain.preactivations(X)):
            stop = start + layer.n_outputs
            decoded = counts[:, start:stop].mean(axis=0) / 4
            errors.append(np.abs(decoded - np.maximum(z, 0).mean(axis=0) / layer.threshold).max())
            start = stop
        return max(errors)

    assert mean_error(calibrated) < 0.5 * mean_error(plain)


def test_converting_twice_gives_the_same_network():
    first, second = (convert(trained(), X, steps=8) for _ in range(2))
    for a, b in zip(first.layers, second.layers):
        np.testing.assert_array_equal(a.bias, b.bias)
        np.testing.assert_array_equal(a.threshold, b.threshold)


@pytest.mark.parametrize(("method", "longest"), [("least_squares", 1), ("burst", 4)])
def test_the_report_says_what_rounding_every_activation_by_hand_does(method, longest):
    ann, steps = trained(2), 4
    network = convert(ann, X, steps=steps, method=method)
    found = report(network, X)[0]
    layer = network.layers[0]
    clipped, error, power = 0, 0.0, 0.0
    for z in X @ layer.weight + layer.bias:
        for a, threshold in zip(np.maximum(z, 0), layer.threshold):
            count = min(np.floor(a * steps / threshold + 0.5), longest * steps)
            clipped += a > longest * threshold
            error += (count * threshold / steps - a) ** 2
            power += a**2
    assert found.clipped == pytest.approx(clipped / (300 * 8))
    assert found.error == pytest.approx(np.sqrt(error / power))
    assert found.threshold == pytest.approx(np.median(layer.threshold))


def test_the_report_names_each_rectified_layer_with_its_error():
    network = convert(trained(), X, steps=8)
    rows = report(network, X)
    assert [row.name for row in rows] == ["dense_1", "dense_2"]
    assert all(0 <= row.clipped < 0.5 and 0 < row.error < 0.5 for row in rows)
    assert report(network, X, steps=64)[0].error < rows[0].error


def test_recalibration_measures_gains_that_were_put_in():
    network = convert(trained(), X, steps=64, method="percentile")
    chip = program(network, chip="ideal", seed=0)
    straight = recalibrate(chip, X).layers[0]
    gain = np.random.default_rng(0).uniform(0.8, 1.25, 8)
    bent = dataclasses.replace(chip.layers[0], unit=chip.layers[0].unit * gain)
    found = recalibrate(dataclasses.replace(chip, layers=(bent, *chip.layers[1:])), X).layers[0]
    # A threshold is some hundred quanta: rounding moves it, and so the gain, by some thousandths.
    np.testing.assert_allclose(found.gain, gain * straight.gain, rtol=5e-3)
    np.testing.assert_allclose(straight.gain, 1, rtol=5e-3)


def test_recalibration_measures_offsets_that_were_put_in():
    network = convert(trained(), X, steps=64, method="percentile")
    shift = np.random.default_rng(0).uniform(-0.1, 0.1, 8)
    first = dataclasses.replace(network.layers[0], bias=network.layers[0].bias + shift)
    wanted = dataclasses.replace(network, layers=(first, *network.layers[1:]))
    chip = dataclasses.replace(program(network, chip="ideal", seed=0), network=wanted)
    # 8-bit inputs and 12-bit weights are off by up to some thousandths each.
    np.testing.assert_allclose(recalibrate(chip, X).layers[0].offset, shift, atol=5e-3)


def test_recalibrating_twice_changes_nothing():
    once = recalibrate(program(convert(trained(), X, steps=8), seed=0), X)
    for a, b in zip(once.layers, recalibrate(once, X).layers):
        np.testing.assert_array_equal(a.gain, b.gain)
        np.testing.assert_array_equal(a.offset, b.offset)


def test_recalibration_brings_a_bad_chip_closer_to_the_network():
    network = convert(trained(5, (6, 32, 32, 3)), X, steps=64)
    ideal = simulate(network, X, record="counts")["output"].isel(step=-1)
    errors = []
    for index in range(3):
        chip = program(network, seed=1, index=index, rounds=0)
        for model in (chip, recalibrate(chip, X)):
            output = simulate(model, X, record="counts")["output"].isel(step=-1)
            errors.append(float(np.sqrt(((output - ideal) ** 2).mean())))
    programmed, recalibrated = errors[::2], errors[1::2]
    assert np.mean(recalibrated) < 0.6 * np.mean(programmed)


def test_recalibration_leaves_the_cells_and_the_network_alone():
    network = convert(trained(), X, steps=8)
    chip = program(network, seed=0)
    again = recalibrate(chip, X)
    assert again.recalibrated
    assert again.network is network
    for a, b in zip(chip.layers, again.layers):
        assert a.crossbar is b.crossbar
        assert np.all(a.gain == 1)


def test_a_column_that_never_varies_keeps_its_gain():
    ann = TrainedNetwork.chain(weights=(np.zeros((6, 2)),), biases=(np.ones(2),))
    chip = recalibrate(program(convert(ann, X, steps=8), seed=0), X)
    assert np.all(np.isfinite(chip.layers[0].gain))
    assert all(isinstance(layer, ChargeLayer) for layer in chip.charge_layers())


def test_recalibrating_a_noisy_chip_measures_its_columns_and_not_the_noise():
    network = convert(trained(), X, steps=16)
    quiet = program(network, seed=0)
    neuron = dataclasses.replace(quiet.chip.neuron, v_lfsr=0.05)
    noisy = program(network, chip=dataclasses.replace(quiet.chip, neuron=neuron), seed=0)
    for a, b in zip(recalibrate(quiet, X).layers, recalibrate(noisy, X).layers):
        np.testing.assert_array_equal(a.gain, b.gain)


def test_too_few_samples_for_two_numbers_of_each_column_are_refused():
    chip = program(convert(trained(), X, steps=8), seed=0)
    with pytest.raises(ValueError, match="at least 10 samples .* got 2. Use 100 to 300"):
        recalibrate(chip, X[:2])


@pytest.mark.parametrize("steps", [0, -3, 2.0, np.inf, True])
def test_steps_are_checked_alike_everywhere(steps):
    network = convert(trained(), X, steps=8)
    chip = program(network, seed=0)
    for call in (
        lambda: convert(trained(), X, steps=steps),
        lambda: calibrate_bias(network, X, steps=steps),
        lambda: recalibrate(chip, X, steps=steps),
        lambda: report(network, X, steps=steps),
    ):
        with pytest.raises(ValueError, match="steps expects an integer >= 1"):
            call()


def test_numpy_integers_serve_as_steps(tmp_path):
    network = convert(trained(), X, steps=np.int64(8))
    network.save(tmp_path / "network.npz")
    assert type(network.steps) is int


def test_an_output_activation_that_changes_values_is_refused():
    model = fitted("MLPRegressor")
    model.out_activation_ = "exp"
    with pytest.raises(ConversionError, match="got 'exp'"):
        read(model)


@pytest.mark.parametrize("scale", [1e-7, 0.0])
def test_a_layer_that_nothing_excites_can_be_converted_and_programmed(scale):
    weights = (np.full((6, 4), -scale), np.ones((4, 2)))
    silent = TrainedNetwork.chain(weights=weights, biases=(np.full(4, -scale), np.zeros(2)))
    run = simulate(program(convert(silent, X, steps=8), chip="ideal", seed=0), X[:3])
    assert int(run["row_size"][:, :4].sum()) == 0


def test_labels_that_do_not_fit_the_outputs_are_refused():
    with pytest.raises(ValueError, match=r"3 outputs expects 3 classes, got \(2,\)"):
        dataclasses.replace(trained(), classes=np.arange(2))


def test_a_network_does_not_change_with_the_arrays_it_was_made_from():
    weight = np.ones((2, 2))
    network = TrainedNetwork.chain(weights=(weight,), biases=(np.zeros(2),))
    weight[:] = 7
    assert network.layers[0].weight.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].weight[0, 0] = 7
