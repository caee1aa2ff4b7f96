from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikeram import inference
from spikeram.adc import ADC
from spikeram.conversion import convert
from spikeram.inference import calibrate, infer, line_errors, operating_points, predictions
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.product import LineErrors, OperatingPoint
from spikeram.programming import program

import networks

FINE = ADC(bits=10, conversion="binary_search")
ONE_PHASE = OperatingPoint(phases=1)


def converted(kind: str = "perceptron") -> tuple[SpikingNetwork, np.ndarray]:
    if kind == "perceptron":
        x = networks.inputs(1, 200)
        return convert(networks.trained(), x, steps=32), x
    if kind == "convolutional":
        x = networks.inputs(1, 60, 84)
        return convert(networks.convolutional(), x, steps=32), x
    return networks.branching(), networks.inputs(1, 60, 72)


def ideal(network: SpikingNetwork, **options: object):
    return program(network, chip=replace(chips.ideal(), **options), seed=0)


def relative_error(run, network, x):
    exact = network.preactivations(x)[-1]
    return np.sqrt(np.mean((run["output"].values - exact) ** 2) / np.var(exact))


# Seven bits of input and nine of output in each layer; joined inputs share one full scale.
@pytest.mark.parametrize(
    ("kind", "limit"), [("perceptron", 0.02), ("convolutional", 0.02), ("branching", 0.05)]
)
def test_an_ideal_chip_computes_what_the_trained_network_does(kind, limit):
    network, x = converted(kind)
    chip = ideal(network)
    settings = operating_points(chip, x, input_bits=7, activation_bits=7, adc=FINE, point=ONE_PHASE)
    assert relative_error(infer(chip, x, settings), network, x) < limit


def test_a_matrix_over_several_cores_computes_the_same():
    network, x = converted("convolutional")
    whole, cut = ideal(network), ideal(network, rows=12, n_cores=100)
    errors = []
    for chip in (whole, cut):
        settings = operating_points(
            chip, x, input_bits=7, activation_bits=7, adc=FINE, point=ONE_PHASE
        )
        errors.append(relative_error(infer(chip, x, settings), network, x))
    assert [len(layer.crossbar.segments) for layer in cut.layers] == [4, 3, 3]
    # Partial sums are larger than their sum, and so is their rounding.
    assert errors[1] < 0.03


def test_several_pairs_for_each_weight_compute_the_same():
    network, x = converted()
    chip = ideal(network, pairs_per_weight=3)
    settings = operating_points(chip, x, input_bits=7, activation_bits=7, adc=FINE, point=ONE_PHASE)
    assert relative_error(infer(chip, x, settings), network, x) < 0.02


def test_the_formula_is_the_slope_of_an_ideal_chip():
    network, x = converted()
    chip = ideal(network)
    settings = operating_points(chip, x, input_bits=7, activation_bits=7, adc=FINE, point=ONE_PHASE)
    measured = calibrate(chip, x, settings)
    for before, after in zip(settings, measured):
        np.testing.assert_allclose(after.correction.slope, before.correction.slope, rtol=0.01)
        # In decrements, of which the converter has 512 on either side.
        np.testing.assert_allclose(after.correction.intercept, before.correction.intercept, atol=3)


def test_outputs_of_training_activations_fill_the_converter_and_stay_off_the_rails():
    network, x = converted("convolutional")
    chip = ideal(network)
    settings = operating_points(chip, x, adc=ADC(bits=6))
    run = infer(chip, x, settings)
    assert run["clipped"].sum() == 0
    # A thousandth of the conversions of the larger phase, and of small layers one or two more.
    assert float((run["stuck"].sum("trial") / run["conversions"]).max()) < 0.01 * len(x)
    drive = inference._drive(network, 0, x.astype(np.float32))
    product = inference._product(chip, 0, settings[0], None, None)
    readings = product.readings(inference._codes(chip.layers[0], settings[0], drive))
    assert np.quantile(np.abs(readings), 0.9995) > 0.8 * settings[0].point.adc.most


def test_weak_charge_takes_more_pulses_and_strong_charge_a_lower_read_voltage():
    neuron = chips.neurram().neuron
    point = OperatingPoint(adc=ADC(bits=6))
    weak = inference.filling(point, (0.5,), neuron)
    strong = inference.filling(point, (50.0,), neuron)
    full = 0.9 * 32 * 0.08
    assert weak.pulse_multiplier == 10
    assert strong.pulse_multiplier == 1
    for chosen, settled in ((weak, 0.5), (strong, 50.0)):
        assert chosen.pulse_multiplier * chosen.v_read * settled == pytest.approx(full)
        assert chosen.adc.decrements == pytest.approx((0.08, 0.08))
    hopeless = inference.filling(point, (0.001,), neuron)
    assert hopeless.pulse_multiplier * 4 <= 255 < (hopeless.pulse_multiplier + 1) * 4
    assert hopeless.adc.mean_decrement < 0.08


def test_calibration_takes_back_most_of_what_programming_and_offsets_did():
    network, x = converted("convolutional")
    chip = program(network, delay="1 day", seed=0)
    errors = line_errors(
        chip, sigma_read="0.4 uS", sigma_sample="3 mV", sigma_comparator="5 mV", seed=0
    )
    settings = operating_points(chip, x[:40], adc=ADC(bits=6))
    calibrated = calibrate(chip, x[:40], settings, errors=errors, seed=1)
    before, after = (
        relative_error(infer(chip, x[40:], s, errors=errors, seed=2), network, x[40:])
        for s in (settings, calibrated)
    )
    assert after < 0.6 * before


def test_calibration_chooses_read_voltages_at_which_few_readings_are_out_of_range():
    network, x = converted("convolutional")
    chip = program(network, delay="1 day", seed=3)
    settings = operating_points(chip, x, adc=ADC(bits=6))
    calibrated = calibrate(chip, x, settings)
    stuck = [
        infer(chip, x, one)["stuck"].sum("trial") / infer(chip, x, one)["conversions"] / len(x)
        for one in (settings, calibrated)
    ]
    assert float(stuck[0].max()) > 0.01
    assert float(stuck[1].max()) < 0.005


def test_biases_that_no_code_meets_are_made_up_digitally():
    network, x = converted()
    chip = ideal(network)
    settings = operating_points(chip, x, input_bits=3, activation_bits=3, adc=FINE, point=ONE_PHASE)
    assert any(abs(one.bias_share - 1) > 0.01 for one in settings)
    silent = infer(chip, np.zeros((1, 6)), settings)
    exact = network.preactivations(np.zeros((1, 6)))[0]
    first = inference._product(chip, 0, settings[0], None, None)
    codes = inference._codes(chip.layers[0], settings[0], np.zeros((1, 6), np.float32))
    step = 1 / np.abs(settings[0].correction.slope)
    np.testing.assert_array_less(np.abs(first(codes) - exact), 0.6 * step)
    assert np.all(np.isfinite(silent["output"]))


def test_counts_are_those_of_the_operating_points_and_codes():
    network, x = converted("convolutional")
    chip = ideal(network)
    settings = operating_points(chip, x, input_bits=5, activation_bits=3, adc=ADC(bits=6))
    run = infer(chip, x[:5], settings)
    assert run["products"].values.tolist() == [42, 4, 1]
    assert run["bit_planes"].values.tolist() == [5, 3, 3]
    assert run["phases"].values.tolist() == [2, 1, 1]
    cycles = [one.point.pulse_multiplier * n for one, n in zip(settings, (3 + 7, 7, 7))]
    assert run["integrate_cycles"].values.tolist() == cycles
    rows = [2 * layer.crossbar.shape[0] for layer in chip.layers]
    toggles = [2 * n * p * r for n, p, r in zip((42, 4, 1), (5, 3, 3), rows)]
    assert run["word_line_toggles"].values.tolist() == toggles
    assert run["conversions"].values.tolist() == [42 * 2 * 4, 4 * 3, 3]
    drive = inference._drive(network, 0, x[:5].astype(np.float32))
    codes = inference._codes(chip.layers[0], settings[0], drive).astype(int)
    pulses = [sum(bin(q).count("1") for q in np.abs(rows).ravel()) for rows in codes.reshape(5, -1)]
    assert run["input_pulses"].values[:, 0].tolist() == pulses
    # Between one decrement and all of them, in every conversion.
    limits = np.array([42 * 2 * 16, 4 * 32, 32])
    assert np.all(
        (run["adc_steps"] >= run["products"] * run["phases"]) & (run["adc_steps"] <= limits)
    )


def test_results_do_not_depend_on_batches(monkeypatch):
    network, x = converted("convolutional")
    chip = program(network, delay="1 day", seed=0)
    errors = line_errors(chip, sigma_read="1 uS", seed=0)
    settings = operating_points(chip, x, adc=ADC(bits=7))
    whole = infer(chip, x[:9], settings, errors=errors, seed=4)
    monkeypatch.setattr(inference, "BATCH_VALUES", 2000)
    seen = []
    parts = infer(
        chip, x[:9], settings, errors=errors, seed=4, progress=lambda done, _: seen.append(done)
    )
    assert len(seen) > 2
    assert whole.identical(parts)
    other = infer(chip, x[:9], settings, errors=errors, seed=5)
    assert not whole["output"].equals(other["output"])


def test_predictions_are_classes():
    network, x = converted()
    chip = ideal(network)
    settings = operating_points(chip, x, input_bits=7, activation_bits=7, adc=FINE)
    run = infer(chip, x, settings)
    exact = network.preactivations(x)[-1].argmax(axis=1)
    assert np.mean(predictions(run) == exact) > 0.97


def test_settings_and_seeds_that_are_missing_are_asked_for():
    network, x = converted()
    chip = ideal(network)
    settings = operating_points(chip, x)
    with pytest.raises(ValueError, match="settings for 3 layers, got 2"):
        infer(chip, x, settings[:2])
    with pytest.raises(ValueError, match="give a seed"):
        infer(chip, x, settings, errors=[LineErrors(sigma_read=1e-6)] * 3)
    with pytest.raises(ValueError, match="input_bits expects 1 to 8, got 9"):
        operating_points(chip, x, input_bits=9)
    with pytest.raises(ValueError, match="full_scale expects a number > 0, got 0"):
        replace(settings[0], full_scale=0)
