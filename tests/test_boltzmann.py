import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, chi2, logistic, norm

from spikeram.adc import ADC
from spikeram.boltzmann import (
    BoltzmannMachine,
    Firing,
    Gibbs,
    ReadOut,
    program_machine,
    read_out,
    sample,
    spiking,
)
from spikeram.errors import CapacityError
from spikeram.models import chips
from spikeram.neuron import SamplingNeuron
from spikeram.product import LineErrors

BINARY = Gibbs(cycles=30, levels=1, visible=Firing())


def machine(n_visible=4, n_hidden=3, *, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return BoltzmannMachine(
        weight=scale * rng.normal(size=(n_visible, n_hidden)),
        visible_bias=0.5 * rng.normal(size=n_visible),
        hidden_bias=0.5 * rng.normal(size=n_hidden),
    )


def states(n):
    return np.array(list(itertools.product((0, 1), repeat=n)), dtype=float)


def distribution(rbm):
    """The probability of each visible state, by adding up all states of both layers."""
    weight = np.array(
        [
            [
                math.exp(v @ rbm.weight @ h + v @ rbm.visible_bias + h @ rbm.hidden_bias)
                for h in states(rbm.shape[1])
            ]
            for v in states(rbm.shape[0])
        ]
    )
    return weight.sum(axis=1) / weight.sum()


def number(visible):
    """The number of each visible state in the order of `states`."""
    return visible @ (1 << np.arange(visible.shape[1])[::-1])


def p_value(observed, probability):
    expected = probability * observed.sum()
    return chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


def random_states(n_samples, n_visible, seed=1):
    return np.random.default_rng(seed).integers(0, 2, (n_samples, n_visible)).astype(float)


def ideal(**changes):
    return replace(chips.ideal(), g_max=30e-6, **changes)


FINE = ReadOut(adc=ADC(bits=10, conversion="binary_search", v_decrement="5 mV"))


def test_a_chain_visits_states_as_often_as_the_machine_says():
    rbm = machine()
    chain = sample(rbm, random_states(4000, 4), BINARY, seed=0)
    counts = np.bincount(number(chain.visible[-1]), minlength=16)
    assert p_value(counts, distribution(rbm)) > 0.001


def test_a_chain_on_an_ideal_chip_visits_states_as_often_as_the_machine_says():
    rbm, start = machine(), random_states(4000, 4)
    programmed = program_machine(rbm, chip=ideal(), seed=0, cores=2)
    fields = read_out(programmed, start[:200], FINE, seed=0)
    counts = np.bincount(number(sample(fields, start, BINARY, seed=0).visible[-1]), minlength=16)
    assert p_value(counts, distribution(rbm)) > 0.001


def test_a_spiking_chain_is_close_to_the_machine_s_distribution():
    # Binomial kicks are not logistic: the law differs by less than 2 points of each unit, and the
    # distribution of the states by little more. Uniform states would be 0.27 away.
    rbm, start = machine(), random_states(4000, 4)
    programmed = program_machine(rbm, chip=ideal(), seed=0, cores=2)
    spikes = spiking(programmed, start[:200], steps=1, seed=0)
    law = Firing(kicks=32)
    chain = sample(spikes, start, Gibbs(cycles=30, levels=1, hidden=law, visible=law), seed=0)
    share = np.bincount(number(chain.visible[-1]), minlength=16) / len(start)
    assert 0.5 * np.abs(share - distribution(rbm)).sum() < 0.06
    assert 0.5 * np.abs(1 / 16 - distribution(rbm)).sum() > 0.2


@pytest.mark.parametrize("direction", ["hidden", "visible"])
def test_fields_of_an_ideal_chip_are_those_of_the_machine(direction):
    rbm = machine(20, 9, scale=0.5)
    programmed = program_machine(rbm, chip=ideal(), seed=0, cores=3)
    x = random_states(100, 20)
    fields, spikes = read_out(programmed, x, FINE, seed=0), spiking(programmed, x, seed=0)
    if direction == "hidden":
        codes = (7 * x).astype(np.int16)
        wanted, read = rbm.to_hidden(codes, 7), fields.to_hidden(codes, 7)
        charge = spikes.to_hidden(codes, 7) / spikes.units(7)[0]
    else:
        hidden = random_states(100, 9).astype(np.int8)
        wanted, read = rbm.to_visible(hidden), fields.to_visible(hidden)
        charge = spikes.to_visible(hidden) / spikes.units(7)[1]
    # Half a decrement of each part, in units of the field, is below 0.05.
    np.testing.assert_allclose(read, wanted, atol=0.1)
    # Weights are quantised to 12 bits; a sum of 29 of them is off by far less than this.
    np.testing.assert_allclose(charge, wanted, atol=0.02)


def test_both_directions_use_the_same_cells():
    programmed = program_machine(machine(20, 9), chip=chips.neurram(), seed=0, cores=2)
    x = random_states(50, 20)
    fields = read_out(programmed, x, seed=0)
    assert fields.forward.crossbar.conductance is fields.backward.crossbar.conductance
    # One cell that sticks changes its hidden unit forward and its visible unit backward, no other.
    g = programmed.crossbar.conductance.copy()
    g[0, programmed.layout.visible_rows[5], 3] = 60e-6
    other = replace(programmed, crossbar=replace(programmed.crossbar, conductance=g))
    a = spiking(programmed, x, seed=0)
    b = replace(a, programmed=other)
    one, hidden = np.zeros((1, 20), np.int16), np.zeros((1, 9), np.int8)
    one[0, 5], hidden[0, 3] = 7, 1
    forward = (a.to_hidden(one, 7) / a._forward[1]) != (b.to_hidden(one, 7) / b._forward[1])
    assert forward[0, 3]
    changed = np.abs(a.to_visible(hidden) * a._backward[1] - b.to_visible(hidden) * b._backward[1])
    assert np.argmax(changed[0]) == 5


def test_dummy_cells_make_all_lines_of_a_direction_settle_alike():
    programmed = program_machine(machine(40, 12, scale=2.0), chip=ideal(), seed=0, cores=4)
    layout, target = programmed.layout, programmed.target
    rows = target[:, layout.visible_rows].sum(axis=2)
    columns = target.reshape(2, 4, layout.height, layout.width).sum(axis=(0, 2))
    np.testing.assert_allclose(rows, rows.max())
    np.testing.assert_allclose(columns[:, :12], columns[:, :12].max())


@pytest.mark.parametrize("kicks", [None, 0, 1, 8, 32])
def test_neurons_fire_as_often_as_their_law_says(kicks):
    law, n = Firing(kicks=kicks), 20_000
    z = np.array([-4.0, -1.5, -0.3, 0.0, 0.3, 2.0])
    fired = law.fire(
        np.tile(z, (1, 1)), n, unit=1.0, key=np.uint64(5), visit=0, first_sample=0
    ).mean(axis=2)[0]
    p = law.probability(z)
    np.testing.assert_allclose(fired, p, atol=4 * math.sqrt(0.25 / n))


def test_kicks_are_a_binomial_staircase_within_2_points_of_the_logistic_function():
    z = np.linspace(-8, 8, 1601) + 1e-6
    for kicks in (8, 16, 32):
        law = Firing(kicks=kicks)
        up = np.ceil((kicks - z / law.size) / 2)
        np.testing.assert_allclose(law.probability(z), binom.sf(up - 1, kicks, 0.5))
        # The normal envelope is 0.0095 away; a stair is half its largest step to either side.
        stair = 0.5 * binom.pmf(kicks // 2, kicks, 0.5)
        assert np.abs(law.probability(z) - expit(z)).max() < 0.0095 + 1.15 * stair
    assert np.abs(norm.cdf(z / 1.702) - logistic.cdf(z)).max() < 0.0095


def test_a_chain_does_not_depend_on_batches():
    rbm = machine(20, 9)
    warm = chips.neurram()
    warm = replace(warm, neuron=SamplingNeuron(temperature=300.0))
    programmed = program_machine(rbm, chip=warm, seed=0, cores=2)
    x = random_states(12, 20)
    noisy = ReadOut(errors=(LineErrors(sigma_read="0.4 uS"),) * 2)
    law = Firing(kicks=8)
    gibbs = Gibbs(cycles=3, hidden=law, visible=law)
    for fields in (rbm, read_out(programmed, x, noisy, seed=0), spiking(programmed, x, seed=0)):
        whole = sample(fields, x, gibbs, seed=3)
        parts = [sample(fields, x[n : n + 5], gibbs, seed=3, first_sample=n) for n in (0, 5, 10)]
        joined = np.concatenate([part.visible for part in parts], axis=1)
        np.testing.assert_array_equal(whole.visible, joined)
        again = sample(fields, x, gibbs, seed=4)
        assert np.any(again.visible != whole.visible)


def test_clamped_units_stay_and_evidence_shifts_the_others():
    rbm, x = machine(), random_states(500, 4)
    clamped = np.array([True, False, False, False])
    chain = sample(rbm, x, BINARY, seed=0, clamped=clamped)
    assert np.all(chain.visible[:, :, 0] == x[:, 0])
    # Given the first unit, the others follow the conditional distribution.
    ones = chain.visible[-1][x[:, 0] == 1]
    conditional = distribution(rbm)[8:] / distribution(rbm)[8:].sum()
    assert p_value(np.bincount(number(ones) - 8, minlength=8), conditional) > 0.001
    evidence = np.array([0.0, 1.5, 0.0, 0.0])
    shifted = replace(rbm, visible_bias=rbm.visible_bias + evidence)
    np.testing.assert_array_equal(
        sample(rbm, x, BINARY, seed=0, evidence=evidence).visible,
        sample(shifted, x, BINARY, seed=0).visible,
    )


def test_calibration_takes_up_the_offsets_of_lines():
    rbm, x = machine(40, 12, scale=0.5), random_states(300, 40)
    programmed = program_machine(rbm, chip=ideal(), seed=0, cores=2)
    rng, layout = np.random.default_rng(0), programmed.layout
    settings = ReadOut(
        errors=tuple(
            LineErrors(sample=3e-3 * rng.standard_normal((2, n)))
            for n in (layout.width, layout.n_rows)
        )
    )
    codes, mean = (7 * x).astype(np.int16), []
    for calibrated in (True, False):
        fields = read_out(programmed, x, settings, seed=0, calibrated=calibrated)
        error = fields.to_hidden(codes, 7) - rbm.to_hidden(codes, 7)
        mean.append(np.abs(error.mean(axis=0)).max())
    # The fit leaves no mean error, but for the rounding of float32.
    assert mean[0] < 1e-3 < 0.05 < mean[1]


def test_bad_input_is_named():
    rbm = machine()
    with pytest.raises(ValueError, match=r"visible_bias expects shape \(4,\) .* got \(3,\)"):
        BoltzmannMachine(weight=np.ones((4, 2)), visible_bias=np.ones(3), hidden_bias=np.ones(2))
    with pytest.raises(ValueError, match="weight expects finite numbers"):
        BoltzmannMachine(weight=[[np.nan]], visible_bias=[0], hidden_bias=[0])
    with pytest.raises(ValueError, match=r"expects visible units of shape \(sample, 4\), got"):
        sample(rbm, np.ones((2, 5)), BINARY, seed=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        sample(rbm, np.full((2, 4), 255.0), BINARY, seed=0)
    with pytest.raises(ValueError, match="clamped expects booleans of shape"):
        sample(rbm, np.ones((2, 4)), BINARY, seed=0, clamped=[1, 0, 0, 0])
    with pytest.raises(ValueError, match="evidence expects finite fields of shape"):
        sample(rbm, np.ones((2, 4)), BINARY, seed=0, evidence=[1.0])
    with pytest.raises(ValueError, match=r"Firing.kicks expects 0 to 32, got 33"):
        Firing(kicks=33)
    spikes = spiking(program_machine(rbm, chip=ideal(), seed=0), np.ones((9, 4)), seed=0)
    with pytest.raises(ValueError, match="expects as many levels as steps, 7, got 1"):
        sample(spikes, np.ones((2, 4)), BINARY, seed=0)
    with pytest.raises(CapacityError, match="takes 8.. rows .* Use another number of cores"):
        program_machine(machine(400, 10), chip=ideal(), seed=0)
    low = program_machine(rbm, chip=ideal(neuron=SamplingNeuron(v_rail=0.1)), seed=0)
    with pytest.raises(CapacityError, match="beyond its rails of 0.1 V"):
        spiking(low, np.ones((9, 4)), steps=100, seed=0)
