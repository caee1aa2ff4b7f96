"""Where a conversion loses: terms that add up, and each caused on its own."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

import spikeram as sr
from spikeram import registry
from spikeram.conversion.diagnostics import (
    TERMS,
    _layers,
    _terms,
    activation_and_rate,
    diagnose,
    hardware_errors,
    switched_off,
    worst_layer,
)
from spikeram.errors import ConversionError
from spikeram.parasitics import Wires
from spikeram.statistics import accuracy

from networks import convolutional, inputs, trained

STEPS = 16
X = inputs(0, 60)


def converted(method="least_squares", steps=STEPS, network=None):
    return sr.convert(network or trained(), X, steps=steps, method=method)


@pytest.mark.parametrize("method", ["least_squares", "signed", "max"])
def test_the_terms_add_up_to_the_error(method):
    for one in _layers(trained(), converted(method), X, None):
        total = sum(_terms(one)[name] for name in TERMS)
        np.testing.assert_allclose(total, one.decoded - one.activation, atol=1e-9)


def test_the_terms_of_a_chip_and_of_a_convolution_add_up():
    network = convolutional()
    x = inputs(1, 40, 84)
    chip = sr.program(sr.convert(network, x, steps=8), seed=0)
    for one in _layers(network, chip, x, None):
        total = sum(_terms(one)[name] for name in TERMS)
        np.testing.assert_allclose(total, one.decoded - one.activation, atol=1e-9)


def test_the_first_layer_is_driven_evenly():
    found = diagnose(trained(), converted(), X)
    # Charge comes in quanta, 1e-3 of the largest weight: a count may round the other way.
    assert float(found["part"].sel(term="unevenness")[0]) < 1e-2
    assert float(found["part"].sel(term="hardware").max()) == 0


def test_low_thresholds_are_told_as_clipping():
    network = converted("max")
    halved = [replace(one, threshold=one.threshold / 4) for one in network.layers]
    found = diagnose(trained(), network.with_layers(halved), X)
    assert str(found["remedy"][0].values).startswith("Thresholds are too low")
    full = diagnose(trained(), network, X)
    # A threshold of the largest activation clips none.
    assert float(full["part"].sel(term="clipping")[0]) == 0


def test_few_steps_are_told_as_quantisation():
    coarse, fine = (
        diagnose(trained(), converted("max", steps), X)["part"].sel(term="quantisation")[0]
        for steps in (4, 64)
    )
    # Rounding to 1 in T has an error in proportion to 1 / T.
    assert 8 < float(coarse / fine) < 32


def test_programming_is_told_as_hardware():
    ideal = sr.program(converted(), chip="ideal", seed=0)
    rough = sr.program(converted(), chip="neurram", seed=0)
    parts = [diagnose(trained(), chip, X)["part"].sel(term="hardware") for chip in (ideal, rough)]
    assert float(parts[0].max()) < 0.05
    assert float(parts[1].max()) > 0.1


def test_without_relaxation_and_programming_a_chip_is_the_network():
    chip = sr.program(converted(), chip="neurram", seed=0)
    errors = {
        name: float(diagnose(trained(), one, X)["part"].sel(term="hardware")[0])
        for name, one in switched_off(chip).items()
    }
    assert errors["all on"] > errors["relaxation"] > errors["programming and relaxation"]
    # What is left is the rounding of thresholds to quanta.
    assert errors["programming and relaxation"] < 0.02


def test_each_term_of_the_hardware_is_switched_off_on_its_own():
    chip = dataclasses.replace(
        registry.lookup("chips", "neurram")(),
        wires=Wires(r_driver=2e3),
        rows=10,
        n_cores=100,
        partial_sums="spiking",
    )
    programmed = sr.program(converted(), chip=chip, seed=0)
    variants = switched_off(programmed)
    assert list(variants) == [
        "all on", "relaxation", "programming and relaxation", "wires", "partial sums",
        *chip.terms,
    ]  # fmt: skip
    g = programmed.layers[0].crossbar.conductance
    np.testing.assert_array_equal(variants["wires"].layers[0].crossbar.conductance, g)
    assert variants["wires"].layers[0].crossbar.wires is None
    assert variants["partial sums"].partial_sums.kind == "ideal"
    found = hardware_errors(trained(), programmed, X)
    assert float(found["gained"].sel(off="all on")) == 0
    run = sr.simulate(variants["relaxation"], X)
    right = float(accuracy(run, trained().predict(X))[-1])
    assert float(found["accuracy"].sel(off="relaxation")) == pytest.approx(right)


def test_accuracy_falls_from_the_trained_networks_to_the_spiking_ones():
    network = converted(steps=3)
    labels = trained().predict(X)
    found = diagnose(trained(), network, X, labels=labels)
    assert found.attrs["trained_accuracy"] == 1
    run = sr.simulate(network, X, steps=3)
    assert float(found["accuracy"][-1]) == pytest.approx(float(accuracy(run, labels)[-1]))
    assert float(found["loss"].sum()) == pytest.approx(1 - float(found["accuracy"][-1]))
    assert worst_layer(found) in found["layer"].values


def test_rates_follow_activations():
    found = activation_and_rate(trained(), converted("max", 256), X)
    for name, one in found.items():
        # Counts of 256 steps round to 0.4 % of the largest activation.
        error = np.abs(one.rate - one.activation).max()
        assert error < 0.05 * one.activation.max(), name
    table = diagnose(trained(), converted("max", 256), X)
    np.testing.assert_allclose(table["slope"], 1, atol=0.02)
    assert float(table["r2"].min()) > 0.99


def test_another_network_and_wrong_labels_are_refused():
    with pytest.raises(ConversionError, match="Convert the TrainedNetwork itself"):
        diagnose(trained(sizes=(6, 8, 3)), converted(), X)
    with pytest.raises(ValueError, match="expects 60 labels, got 3"):
        diagnose(trained(), converted(), X, labels=[0, 1, 2])
