"""The component model against the measured table of NeuRRAM, row by row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from spikeram.energy import CORE, counted_events, price, product_events
from spikeram.models.energies import CORES, MEASURED, ONE_PHASE, OPERATIONS, fit, neurram
from spikeram.precision import Precision

MODEL = neurram()
PARTS = {
    "word_lines": ["word_lines", "start"],
    "input_pulses": ["input_pulses"],
    "neurons": ["sample", "integrate", "compare", "decrement", "shift_add", "control"],
}


def femtojoule(row, part=None):
    """Return the energy of one operation of a full core [fJ]."""
    joules = price(product_events(MODEL, row.precision, rows=256, columns=256), MODEL)
    names = list(CORE) if part is None else PARTS[part]
    return float(joules.sel(component=names).sum()) / OPERATIONS * 1e15


def named(row):
    return f"{row.input_bits} in, {row.output_bits} out, {len(row.precision.phases)} phases"


# What no model of this kind meets within 5 %:
# - Inputs of 1 and of 2 bits have one magnitude bit, the same pulses. Digitised, they differ by
#   15 %; word lines and pulses together differ by 2 %, so the line between the two is misread.
# - With 5 bits the digitised parts add up to 89.2 fJ, while 11.03 TOPS/W are 90.7 fJ. Were the
#   missing 1.5 fJ of input pulses, these would be within 1 % of the model.
# - With 6 bits the parts add up to 108.9 fJ, which is 9.18 TOPS/W, but 8.26 were read.
MISSED = {
    ("input_pulses", 1): 0.115,
    ("input_pulses", 5): 0.096,
    ("tops_per_watt", 6): 0.112,
}


def allowed(quantity, row):
    """Return the residual that is known, where it is above 5 %, and a tenth of a point."""
    return MISSED.get((quantity, row.input_bits), 0.049) + 0.001


@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_throughput_is_that_measured_within_5_percent(row):
    tops = OPERATIONS * CORES / MODEL.product_time(row.precision) / 1e12
    assert tops == pytest.approx(row.tops, rel=0.05)


@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_efficiency_is_that_measured_within_5_percent(row):
    efficiency = 1e3 / femtojoule(row)
    assert efficiency == pytest.approx(row.tops_per_watt, rel=allowed("tops_per_watt", row))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_each_part_is_that_measured_within_5_percent(row, part):
    assert femtojoule(row, part) == pytest.approx(getattr(row, part), rel=allowed(part, row))


def within(counts, measured):
    """Return rows of constraints: a sum of constants lies within 5 %, or its flag is set.

    `counts` (figure, constant), `measured` (figure,): the matrix, the lower and the upper bounds.
    """
    far = 1e3 * np.eye(len(counts))
    no_limit = np.full(len(counts), np.inf)
    rows = np.block([[counts, far], [counts, -far]])
    lower, upper = np.concatenate([0.95 * measured, -no_limit]), 1.05 * measured
    return rows, lower, np.concatenate([no_limit, upper])


def test_no_constants_of_the_model_meet_more_than_these_45_figures():
    # A mixed-integer programme over the seven energies, with one flag for each figure missed. All
    # eight throughputs are met besides.
    table = [row.precision for row in MEASURED]
    bits = np.array([p.magnitude_bits for p in table])
    phases = np.array([len(p.phases) for p in table])
    steps = np.array([[p.integrations, p.adc_steps] for p in table])
    zero = np.zeros((8, 1))
    lines = np.column_stack([bits, phases, *[zero] * 5])
    neurons = np.column_stack([zero, zero, bits, steps, phases, zero])
    pulses = np.column_stack([*[zero] * 6, bits])
    parts = [[getattr(row, part) for row in MEASURED] for part in PARTS]
    counts = np.concatenate([lines, pulses, neurons, *[lines + pulses + neurons] * 2])
    figures = np.concatenate([*parts, np.sum(parts, axis=0), np.zeros(8)])
    rows, lower, upper = within(counts, figures)
    # Efficiencies are inverses: 1e3 / sum within 5 % of TOPS/W.
    efficiency = np.array([row.tops_per_watt for row in MEASURED])
    lower[32:40], upper[-8:] = 1e3 / efficiency / 1.05, 1e3 / efficiency / 0.95
    flags = np.r_[np.zeros(7), np.ones(40)]
    found = milp(
        flags,
        constraints=LinearConstraint(rows, lower, upper),
        integrality=flags,
        bounds=Bounds(0, np.r_[np.full(7, np.inf), np.ones(40)]),
    )
    assert found.success
    assert round(found.fun) == len(MISSED) == 3


def test_the_measured_table_contradicts_itself_by_more_than_5_percent():
    one, two, six = MEASURED[0], MEASURED[1], MEASURED[5]
    assert one.precision.phases == two.precision.phases == (1,)
    # One value for both is at best 6.9 % off.
    assert two.input_pulses / one.input_pulses > 1.05 / 0.95
    # Were every part 5 % more, the efficiency would still be 5.9 % above the one measured.
    most = 1.05 * (six.word_lines + six.neurons + six.input_pulses)
    assert 1e3 / most > 1.05 * six.tops_per_watt


@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_parts_add_up_to_what_was_measured_within_2_percent(row):
    measured = row.word_lines + row.neurons + row.input_pulses
    assert femtojoule(row) == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_word_lines_and_pulses_together_are_those_measured_within_3_percent(row):
    both = femtojoule(row, "word_lines") + femtojoule(row, "input_pulses")
    assert both == pytest.approx(row.word_lines + row.input_pulses, rel=0.03)


@pytest.mark.parametrize("row", MEASURED, ids=named)
def test_a_product_takes_the_measured_time_within_3_percent(row):
    # Those of two phases took no part in the fit.
    assert MODEL.product_time(row.precision) == pytest.approx(row.time, rel=0.03)


@pytest.mark.parametrize("row", ONE_PHASE, ids=named)
def test_one_phase_of_more_than_three_bits_is_predicted_within_5_percent(row):
    assert 1e3 / femtojoule(row) == pytest.approx(row.tops_per_watt, rel=0.05)
    assert MODEL.product_time(row.precision) == pytest.approx(row.time, rel=0.01)


def test_the_constants_are_those_of_the_fit():
    found = fit()
    adc = MODEL.compare + MODEL.decrement + MODEL.shift_add
    held = {
        "word_lines": MODEL.word_lines,
        "start": MODEL.start,
        "input_pulse": MODEL.input_pulse,
        "sample": MODEL.sample,
        "integrate": MODEL.integrate,
        "adc": adc,
        "control": MODEL.control,
        "phase_time": MODEL.phase_time,
        "integrate_time": MODEL.integrate_time,
        "adc_time": MODEL.compare_time,
    }
    # Written down with three or four digits.
    for name, value in held.items():
        assert value == pytest.approx(getattr(found, name), rel=3e-3), name


def test_times_are_those_of_the_published_regression():
    # t = 0.197 + 0.300 (2^m - 1) + 0.321 N_out us for one phase of m magnitude bits.
    for m, out in ((1, 3), (2, 5), (3, 6)):
        expected = 0.197e-6 + 0.300e-6 * (2**m - 1) + 0.321e-6 * out
        assert MODEL.product_time(Precision(m + 1, out)) == pytest.approx(expected)


def test_a_decrement_costs_what_an_integration_does():
    assert MODEL.decrement == MODEL.integrate


def test_a_word_line_takes_the_charge_of_its_capacitance():
    # 48 fF, and 1.5 + 0.6 fF for each of 256 cells, swing by 1.3 V from a supply of 2.2 V.
    joules = (48e-15 + 256 * 2.1e-15) * 1.3 * 2.2
    assert MODEL.word_lines / 256 == pytest.approx(joules, rel=0.02)


def test_a_spiking_step_is_a_one_bit_product_with_a_one_step_converter():
    spiking = MODEL.full_core_step + 256 * MODEL.decrement
    one_bit = price(product_events(MODEL, Precision(2, 3), rows=256, columns=256), MODEL).sel(
        component=list(CORE)
    )
    started = MODEL.start + 256 * MODEL.control
    rest = 256 * (2 * (MODEL.compare + MODEL.decrement) + 3 * MODEL.shift_add)
    assert float(one_bit.sum()) == pytest.approx(spiking + started + rest)


@pytest.mark.parametrize(
    ("bits", "phases", "integrations", "steps"),
    [
        ((1, 3), (1,), 1, 3),
        ((2, 4), (1,), 1, 4),
        ((4, 6), (3,), 7, 6),
        ((5, 7), (2, 2), 6, 12),
        ((8, 10), (4, 3), 22, 16),
        ((8, 3), (4, 3), 22, 3),
    ],
)
def test_inputs_of_more_than_four_bits_are_split_in_two(bits, phases, integrations, steps):
    found = Precision(*bits)
    assert (found.phases, found.integrations, found.adc_steps) == (phases, integrations, steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(input_bits=9, output_bits=8), "input_bits expects 1 to 8 bits.*got 9"),
        (dict(input_bits=4, output_bits=2), "output_bits expects 3 to 10 bits.*got 2"),
        (
            dict(input_bits=4, output_bits=6, split=(2, 2)),
            "phases of 3 bits in all, got \\(2, 2\\)",
        ),
    ],
)
def test_precisions_out_of_reach_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Precision(**values)


def test_a_tall_matrix_is_added_up_and_a_wide_one_is_not():
    one = product_events(MODEL, Precision(4, 6), rows=256, columns=256)
    tall = product_events(MODEL, Precision(4, 6), rows=512, columns=256)
    wide = product_events(MODEL, Precision(4, 6), rows=256, columns=512)
    assert (one.partial_sums, tall.partial_sums, wide.partial_sums) == (0, 256, 0)
    assert tall.sample == wide.sample == 2 * one.sample
    assert tall.input_pulses == wide.input_pulses == 2 * one.input_pulses


def test_counts_of_a_simulation_are_priced_as_the_products_that_they_are():
    bits = Precision(5, 7)
    counted = counted_events(
        MODEL, rows=512, columns=10, products=3, planes=3 * 4, phases=3 * 2, cycles=3 * 6,
        adc_steps=3 * 2 * 10 * 12, pulses=3 * 4 * 256,
    )  # fmt: skip
    expected = product_events(MODEL, bits, rows=512, columns=10, products=3)
    core = list(CORE)
    np.testing.assert_array_equal(
        price(counted, MODEL).sel(component=core), price(expected, MODEL).sel(component=core)
    )


def test_steps_that_an_early_stop_saves_are_not_priced():
    whole = product_events(MODEL, Precision(4, 6), rows=256, columns=256)
    early = dataclasses.replace(whole, compare=100, decrement=100, shift_add=100)
    saved = float((price(whole, MODEL) - price(early, MODEL)).sum())
    step = MODEL.compare + MODEL.decrement + MODEL.shift_add
    assert saved == pytest.approx((6 * 256 - 100) * step)


def test_measured_rows_have_every_part():
    for row in MEASURED:
        assert np.isfinite(dataclasses.astuple(row)[:7]).all()
