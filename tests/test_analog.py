from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spikeram.analog import TERMS, AnalogTerms, Column, ColumnErrors, draw_columns, with_errors
from spikeram.charge import charge_layer
from spikeram.chip import Chip
from spikeram.clocked import clocked, fire
from spikeram.conversion import convert, recalibrate
from spikeram.models import chips
from spikeram.neuron import SamplingNeuron
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import inputs, single, trained
from reference import column_by_hand, coupled_by_hand

ALL = chips.neurram_analog().analog
V_DECR = 0.08
"""One step of the converter in inference mode [V]: neurram.md quotes 0.12 and 0.04, their mean."""


def a_chip(base=None, **terms) -> Chip:
    return dataclasses.replace(base or chips.ideal(), analog=AnalogTerms(**terms))


def errors(*, offset=0.0, injection=0.0, comparator=0.0):
    return ColumnErrors(
        offset=np.array([offset]),
        injection=np.array([injection]),
        comparator=np.array([comparator]),
        word_line=0.0,
        bit_coupling=0.0,
    )


def counts(found: Column, drive: float, steps: int, neuron: SamplingNeuron) -> int:
    """Return how often a column fires that gets `drive` volts in every step."""
    layer = charge_layer(
        "column", np.full((1, 1), 2.0**-9), bias=found.bias + drive, threshold=found.threshold,
        initial=found.initial, scale=np.ones(1), neuron=neuron,
    )  # fmt: skip
    spikes = np.zeros((1, steps, 1), np.int8)
    return int(clocked([layer], None, spikes, steps=steps).spikes[0].sum())


STEP = 2.0**-10  # volts; thresholds and drives are multiples, so that quanta are exact
NEURON = SamplingNeuron(c_sample=2.0**-45, c_integ=2.0**-43, v_rail=math.inf)  # a gain of 1 / 4
IDEAL = Column(bias=np.zeros(1), threshold=np.array([64 * STEP]), initial=np.array([32 * STEP]))


@pytest.mark.parametrize("offset", [-3, 0, 1, 5, 40])
def test_an_offset_on_every_sample_raises_the_rate_by_gain_times_offset_over_threshold(offset):
    column = with_errors(IDEAL, errors(offset=4 * offset * STEP), NEURON)
    # Rounded to nearest from half a threshold: exactly T (I + gain o) / theta spikes.
    expected = max(0, math.floor(100 * (20 + offset) / 64 + 0.5))
    assert counts(column, 20 * STEP, 100, NEURON) == expected


@pytest.mark.parametrize("injected", [-16, 0, 8, 24])
def test_injected_charge_comes_with_every_sample_and_makes_every_decrement_smaller(injected):
    column = with_errors(IDEAL, errors(injection=4 * injected * STEP), NEURON)
    # The spike number n needs a charge of 64 + (n - 1) (64 - q), of which 32 are there.
    expected = max(0, 1 + math.floor((32 + (20 + injected) * 100 - 64) / (64 - injected)))
    assert counts(column, 20 * STEP, 100, NEURON) == min(100, expected)


@pytest.mark.parametrize("late", [-40, -8, 0, 8, 40])
def test_a_late_comparator_costs_a_part_of_one_spike_however_long_the_run(late):
    column = with_errors(IDEAL, errors(comparator=late * STEP), NEURON)
    for steps in (10, 100, 1000):
        expected = max(0, math.floor((32 - late + 20 * steps) / 64))
        assert counts(column, 20 * STEP, steps, NEURON) == expected


@pytest.mark.parametrize("mismatch", [-0.05, 0.02, 0.1])
@pytest.mark.parametrize("drive", [3, 20, 63])
def test_a_mismatch_of_the_capacitors_cancels_but_for_one_spike(mismatch, drive):
    membrane, spikes = 32 * (1 + mismatch), 0
    for _ in range(1000):
        membrane += drive * (1 + mismatch)
        if membrane >= 64:
            membrane, spikes = membrane - 64 * (1 + mismatch), spikes + 1
    # That is why there is no such term: the neuron of the model counts the same.
    assert abs(spikes - counts(IDEAL, drive * STEP, 1000, NEURON)) <= 1


@given(
    charges=st.lists(st.integers(-80, 160), min_size=1, max_size=30),
    comparator=st.integers(-30, 30),
    injected=st.integers(-30, 30),
    spikes=st.sampled_from(["unipolar", "ternary"]),
)
def test_folded_columns_fire_as_comparators_and_decrements_by_hand_do(
    charges, comparator, injected, spikes
):
    neuron = dataclasses.replace(NEURON, spikes=spikes)
    column = with_errors(
        IDEAL, errors(injection=4 * injected * STEP, comparator=comparator * STEP), neuron
    )
    layer = charge_layer(
        "column", np.full((1, 1), 2.0**-9), bias=column.bias, threshold=column.threshold,
        initial=column.initial, scale=np.ones(1), neuron=neuron,
    )  # fmt: skip
    step = round(STEP / layer.quantum)
    charge = np.array(charges, np.int32)[np.newaxis, :, np.newaxis] * step
    fired = fire(layer, charge)[0][0, :, 0]
    expected = column_by_hand(
        charges, 64, 32, comparator=comparator, injected=injected, ternary=spikes == "ternary"
    )
    assert fired.tolist() == expected


def test_a_leak_pulls_towards_the_true_zero_and_not_towards_the_shifted_one():
    neuron = dataclasses.replace(NEURON, leak="20 us", dt="1 us")
    late = 16 * STEP
    column = with_errors(IDEAL, errors(comparator=late), neuron)
    decay = neuron.decay()
    shifted, true = column.initial[0], IDEAL.initial[0]
    for _ in range(200):
        shifted, true = decay * shifted + column.bias[0], decay * true
        assert shifted == pytest.approx(true - late, abs=1e-12)


def test_lines_that_switch_move_a_floating_column_as_its_capacitances_share_charge():
    rng = np.random.default_rng(0)
    network = convert(trained(0, (12, 5)), inputs(0, 40, 12), steps=8)
    word, bit, own = 0.4e-15, 0.7e-15, 300e-15
    plain = program(network, chip=chips.ideal(), seed=0)
    n_pairs = plain.layers[0].crossbar.shape[0]
    total = n_pairs * (2 * word + bit) + own
    coupled = program(
        network,
        chip=a_chip(
            word_coupling=2 * n_pairs * word / total, bit_coupling=n_pairs * bit / total, v_word=1.2
        ),
        seed=0,
    )
    one, two = plain.charge_layers()[0], coupled.charge_layers()[0]
    gain = plain.chip.neuron.gain
    for spikes in rng.integers(-1, 2, (20, 12)):
        driven = np.append(spikes, np.ones(n_pairs - 12)) * plain.chip.v_read
        expected = gain * coupled_by_hand(driven, word, bit, own, v_word=1.2)
        before, after = (
            (spikes @ layer.weight.astype(int) + layer.bias) * layer.quantum for layer in (one, two)
        )
        # Each of the 13 numbers of either layer is rounded to a quantum.
        np.testing.assert_allclose(after - before, expected, atol=13 * one.quantum)


def test_pools_share_what_a_row_couples():
    chip = a_chip(bit_coupling=0.1)
    layer = single(1.0, 0.0, 1.0)
    plain, coupled = (program(layer, chip=c, seed=0) for c in (chips.ideal(), chip))
    weight = [c.charge_layers()[0] for c in (plain, coupled)]
    volts = [w.weight[0, 0] * w.quantum for w in weight]
    # One of two pairs, the other being the bias: half of 10 % of 0.5 V on C_s.
    assert volts[0] - volts[1] == pytest.approx(0.05 * 0.5 * chip.neuron.gain, rel=1e-3)


def test_columns_draw_the_spreads_that_were_asked_for():
    n = 20_000
    drawn = draw_columns(ALL, n, seed=0, chip=0, layer=0)
    sample = math.hypot(ALL.sigma_offset, ALL.sigma_injection)
    spreads = {"sample": sample, "injection": 1.5e-3, "comparator": 1.0e-3}
    for name, sigma in spreads.items():
        # The standard error of a standard deviation is sigma / sqrt(2 n); allow four of them.
        assert getattr(drawn, name).std() == pytest.approx(sigma, rel=4 / math.sqrt(2 * n))
    assert drawn.sample.mean() == pytest.approx(-0.003 * 1.3, abs=4 * sample / math.sqrt(n))
    assert abs(np.corrcoef(drawn.comparator, drawn.injection)[0, 1]) < 4 / math.sqrt(n)


def test_the_measured_chip_has_offsets_of_two_to_four_converter_steps():
    drawn = draw_columns(ALL, 10_000, seed=1, chip=0, layer=0)
    # ResNet-20 on the published chip: 84 samples to a conversion, 3.6 steps between columns.
    steps = 84 * drawn.sample / V_DECR
    assert 2 < steps.std() < 4
    assert steps.std() == pytest.approx(3.6, rel=0.05)


def test_switching_a_term_off_leaves_the_others_as_they_were():
    with_all = draw_columns(ALL, 50, seed=0, chip=1, layer=2)
    without = draw_columns(
        dataclasses.replace(ALL, sigma_comparator=0.0), 50, seed=0, chip=1, layer=2
    )
    np.testing.assert_array_equal(with_all.offset, without.offset)
    np.testing.assert_array_equal(with_all.injection, without.injection)
    assert not without.comparator.any()
    other = draw_columns(ALL, 50, seed=0, chip=2, layer=2)
    assert not np.isclose(other.offset, with_all.offset).any()


def test_every_term_can_be_named_and_switched_off_alone():
    chip = chips.neurram_analog()
    assert set(chip.terms) == set(TERMS) - {"kick"}
    for name in chip.terms:
        assert set(chip.without(name).terms) == set(chip.terms) - {name}
        assert chip.only(name).terms == (name,)
    assert chip.only().terms == ()


def test_a_chip_whose_terms_are_all_off_runs_as_one_that_never_had_them():
    network = convert(trained(), inputs(0, 50), steps=16)
    off = chips.neurram_analog().without(*(t for t in TERMS if t != "rails"))
    runs = [
        simulate(program(network, chip=chip, seed=0), inputs(1, 20))
        for chip in (chips.neurram(), off)
    ]
    np.testing.assert_array_equal(runs[0]["t"], runs[1]["t"])
    np.testing.assert_array_equal(runs[0]["output"], runs[1]["output"])


@pytest.mark.parametrize("name", chips.neurram_analog().terms)
def test_a_programmed_chip_without_a_term_is_the_one_programmed_without_it(name):
    network = convert(trained(), inputs(0, 50), steps=16)
    chip = chips.neurram_analog()
    switched = program(network, chip=chip, seed=0).without(name)
    x = inputs(1, 10)
    runs = [
        simulate(model, x, seed=1, decoding="counts")
        for model in (switched, program(network, chip=chip.without(name), seed=0))
    ]
    assert switched.chip.terms == chip.without(name).terms
    np.testing.assert_array_equal(runs[0]["t"], runs[1]["t"])
    alone = program(network, chip=chip, seed=0).only(name)
    assert alone.chip.terms == (name,)


def test_recordings_name_the_terms_of_their_chip():
    chip = program(convert(trained(), inputs(0, 50), steps=4), chip="neurram_analog", seed=0)
    assert chip.provenance["analog_terms"] == list(chips.neurram_analog().terms)


@pytest.mark.parametrize("term", ["offset", "comparator", "injection", "word_coupling"])
def test_recalibration_takes_a_static_term_up(term):
    # Ten times what the chip was measured to have, on cells without errors: the term alone.
    large = AnalogTerms(
        sigma_offset=30e-3, sigma_comparator=10e-3, injection=0.0, sigma_injection=15e-3,
        word_coupling=0.03,
    )  # fmt: skip
    chip = dataclasses.replace(chips.ideal(), analog=large).only(term, "rails")
    network = convert(trained(4, (20, 30, 5)), inputs(0, 200, 20), steps=32)
    x = inputs(1, 100, 20)
    wanted = simulate(network, x)["output"].values[:, -1]
    programmed = program(network, chip=chip, seed=0)
    error = {}
    for name, model in (
        ("none", program(network, chip=chips.ideal(), seed=0)),
        ("as programmed", programmed),
        ("recalibrated", recalibrate(programmed, inputs(0, 200, 20))),
    ):
        error[name] = np.abs(simulate(model, x)["output"].values[:, -1] - wanted).mean()
    assert error["as programmed"] > 3 * error["none"]
    assert error["recalibrated"] < error["as programmed"] / 3


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"sigma_offset": -1e-3}, "AnalogTerms.sigma_offset expects a voltage >= 0"),
        ({"sigma_comparator": math.nan}, "AnalogTerms.sigma_comparator expects a voltage >= 0"),
        ({"injection": math.inf}, "AnalogTerms.injection expects a finite voltage"),
        ({"v_word": "3 uS"}, "AnalogTerms.v_word is a voltage in V"),
        ({"word_coupling": 1.5}, "AnalogTerms.word_coupling expects a share from -1 to 1"),
    ],
)
def test_impossible_terms_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        AnalogTerms(**terms)


def test_read_noise_is_a_switch_and_not_a_size():
    with pytest.raises(TypeError, match="its size is the sigma_read of the chip's device"):
        AnalogTerms(read_noise=0.4e-6)


def test_unknown_terms_and_full_discharge_are_refused():
    with pytest.raises(ValueError, match="No analog term is called 'noise': there are read_noise"):
        chips.neurram().without("noise")
    with pytest.raises(ValueError, match="No analog term is called 'noise'"):
        chips.neurram().only("noise")
    with pytest.raises(ValueError, match="got reset 'zero'. Leave sigma_comparator at 0"):
        Chip(
            name="x",
            device="ideal",
            neuron=SamplingNeuron(reset="zero"),
            energy=chips.ideal().energy,
            analog=AnalogTerms(sigma_comparator=1e-3),
        )
