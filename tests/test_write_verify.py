"""Write-verify programming: the oracle, published figures, addresses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikeram._kernels.write_verify import write_verify as kernel
from spikeram.device import Cells
from spikeram.errors import UnitError
from spikeram.models.devices import ideal, neurram
from spikeram.seeds import Purpose
from spikeram.write_verify import WriteVerify, write_and_relax, write_verify

from reference import write_verify_by_hand

DEVICE = neurram()
HEALTHY = replace(DEVICE, stuck_low=0.0, stuck_high=0.0)
UNIFORM = np.random.default_rng(0).uniform(1e-6, 40e-6, 40_000)


# The oracle.


@pytest.mark.parametrize(
    "verify",
    [
        WriteVerify(),
        WriteVerify(window=0.1e-6, max_reversals=3),
        WriteVerify(v_end=2.0, max_end_pulses=2, v_start_set=1.0),
    ],
)
def test_the_kernel_does_what_the_obvious_version_does(verify):
    device = replace(DEVICE, stuck_low=0.05, stuck_high=0.05)
    target = np.random.default_rng(3).uniform(0, 40e-6, 200)
    cells = Cells.of(target.shape, seed=5)
    response = device.pulse_response(cells)
    g, pulses, reversals, timed_out = write_verify_by_hand(
        target, response.formed, response, cells, device=device, verify=verify
    )
    written = write_verify(target, device, seed=5, verify=verify)
    assert np.array_equal(written.n_pulses, pulses)
    assert np.array_equal(written.n_reversals, reversals)
    assert np.array_equal(written.timed_out, timed_out)
    assert 0 < timed_out.sum() < 200
    # Rounding of up to a few hundred pulses, each some 1e-16.
    assert written.conductance == pytest.approx(g, rel=1e-12)


# Published figures.


def test_cells_take_the_published_number_of_pulses():
    # Wan et al.: 8.52 pulses on average over all cells, for targets over the whole window.
    assert write_verify(UNIFORM, DEVICE, seed=1).n_pulses.mean() == pytest.approx(8.5, abs=1.0)


def test_about_one_percent_of_the_cells_time_out():
    assert 0.005 < write_verify(UNIFORM, DEVICE, seed=1).timed_out.mean() < 0.015


@pytest.mark.parametrize("delay", [1.0, 86400.0])
@pytest.mark.parametrize("level", [2e-6, 5e-6, 12e-6, 20e-6, 30e-6, 40e-6])
def test_deviation_from_target_is_that_of_the_published_curve(level, delay):
    n = 10_000
    target = np.full(n, level)
    written = write_and_relax(target, DEVICE, delay=delay, seed=3)
    deviation = (written.conductance - target)[~written.timed_out]
    # 10 % against the fit to Extended Data Fig. 3d; sampling adds 1 / sqrt(2 n) = 0.7 %.
    assert deviation.std() == pytest.approx(
        float(DEVICE.relaxation.deviation(level, delay)), rel=0.1
    )


def test_iterative_programming_narrows_the_deviation_as_published():
    levels = np.repeat(np.arange(1, 41) * 1e-6, 500)

    def mean_deviation(rounds):
        written = write_and_relax(levels, DEVICE, delay="30 min", seed=3, rounds=rounds)
        error = np.where(written.timed_out, np.nan, written.conductance - levels)
        return np.nanstd(error.reshape(40, 500), axis=1).mean()

    once, thrice = mean_deviation(0), mean_deviation(3)
    # Recalled from the paper: 2.8 uS, and 2.0 uS (-29 %) after three rounds. The interval between
    # rounds is not published; from a minute to four hours this model reaches 2.06 to 1.93 uS
    # (-26 to -31 %), and each mean of 40 standard deviations of 500 is good to 0.5 %.
    assert once == pytest.approx(2.8e-6, rel=0.04)
    assert thrice == pytest.approx(2.0e-6, rel=0.1)


# What a cell ends at.


def test_accepted_cells_lie_within_the_window_but_for_read_noise():
    written = write_verify(UNIFORM, DEVICE, seed=1)
    error = np.abs(written.conductance - UNIFORM)[~written.timed_out]
    # A mean of five reads has a noise of 0.18 uS; five standard deviations beyond the window.
    assert error.max() < 1e-6 + 5 * 0.4e-6 / np.sqrt(5)


def test_without_read_noise_accepted_cells_lie_within_the_window():
    quiet = replace(HEALTHY, sigma_read=0.0)
    written = write_verify(UNIFORM, quiet, seed=1)
    assert np.all((np.abs(written.conductance - UNIFORM) <= 1e-6) | written.timed_out)


def test_targets_that_are_off_end_anywhere_below_the_window():
    quiet = replace(HEALTHY, sigma_read=0.0)
    written = write_verify(np.zeros(1000), quiet, seed=1)
    assert not np.any(written.timed_out)
    assert written.conductance.max() <= 2e-6
    assert written.conductance.max() > 1.5e-6


def test_a_cell_that_reads_its_target_gets_no_pulse():
    quiet = replace(HEALTHY, sigma_read=0.0)
    written = write_verify(UNIFORM, quiet, seed=1, start=UNIFORM)
    assert not np.any(written.n_pulses)
    assert np.array_equal(written.conductance, UNIFORM)


def test_a_stuck_cell_times_out_where_it_is():
    device = replace(DEVICE, stuck_low=0.5, stuck_high=0.5)
    written = write_verify(np.full(1000, 20e-6), device, seed=1, start=np.full(1000, 20e-6))
    stuck_at = device.pulse_response(Cells.of((1000,), seed=1)).formed
    assert np.all(written.timed_out)
    assert np.array_equal(written.conductance, stuck_at)
    # From 1.2 V (SET) or 1.5 V (RESET) in steps of 0.1 V up to 4.0 V, then 30 pulses there.
    assert set(written.n_pulses[stuck_at < 1e-6]) == {28 + 30}
    assert set(written.n_pulses[stuck_at > 1e-6]) == {25 + 30}


def test_an_ideal_device_is_written_exactly_and_without_pulses():
    written = write_and_relax(UNIFORM, ideal(), delay="1 day", seed=0, rounds=2)
    assert np.array_equal(written.conductance, UNIFORM)
    assert not np.any(written.n_pulses)
    assert not np.any(written.timed_out)


def test_no_delay_leaves_what_was_programmed():
    written = write_and_relax(UNIFORM, DEVICE, delay=0.0, seed=1)
    assert np.array_equal(written.conductance, written.programmed)
    assert np.array_equal(written.programmed, write_verify(UNIFORM, DEVICE, seed=1).conductance)


def test_rounds_leave_cells_within_the_window_undisturbed():
    target = np.full(2000, 20e-6)
    once = write_and_relax(target, DEVICE, delay=0.0, seed=1)
    again = write_and_relax(target, DEVICE, delay=0.0, seed=1, rounds=1)
    undisturbed = once.n_pulses == again.n_pulses
    assert 0.1 < undisturbed.mean() < 0.6
    assert np.array_equal(once.programmed[undisturbed], again.programmed[undisturbed])


# Addresses.


def test_the_same_seed_gives_the_same_chip():
    first, second = (write_and_relax(UNIFORM, DEVICE, delay="1 h", seed=1) for _ in range(2))
    assert np.array_equal(first.conductance, second.conductance)


def test_another_chip_or_array_is_written_otherwise():
    target = np.full(100, 20e-6)
    conductance = [
        write_verify(target, DEVICE, seed=1, chip=chip, array=array).conductance
        for chip, array in [(0, 0), (1, 0), (0, 1)]
    ]
    assert not np.any(conductance[0] == conductance[1])
    assert not np.any(conductance[0] == conductance[2])


def test_a_cell_does_not_depend_on_the_others():
    target = UNIFORM[:400]
    others = target.copy()
    others[::2] = 40e-6
    first, second = (
        write_and_relax(g, DEVICE, delay=60.0, seed=1, rounds=1) for g in (target, others)
    )
    assert np.array_equal(first.conductance[1::2], second.conductance[1::2])
    assert np.array_equal(first.n_pulses[1::2], second.n_pulses[1::2])


def test_a_larger_array_begins_with_the_same_cells():
    small, large = (
        write_and_relax(UNIFORM[:n], DEVICE, delay="1 day", seed=1, rounds=2) for n in (100, 500)
    )
    assert np.array_equal(small.conductance, large.conductance[:100])


def test_the_order_of_cells_does_not_matter():
    order = np.random.default_rng(1).permutation(300)
    cells = Cells.of((300,), seed=1)
    in_order = run_kernel(UNIFORM[:300], cells)
    shuffled = run_kernel(UNIFORM[:300][order], cells.take(order))
    assert np.array_equal(in_order, write_verify(UNIFORM[:300], DEVICE, seed=1).conductance)
    assert np.array_equal(in_order[order], shuffled)


def run_kernel(target, cells):
    response, verify, n = DEVICE.pulse_response(cells), WriteVerify(), target.size
    g = response.formed.copy()
    kernel(
        cells.key(Purpose.PROGRAMMING),
        cells.counter,
        cells.episodes(0),
        target - verify.window,
        target + verify.window,
        response.threshold,
        response.exponent,
        response.rate * verify.width,
        response.g_low,
        response.g_high,
        response.sigma_cycle,
        DEVICE.sigma_read / np.sqrt(verify.n_reads),
        np.array([verify.v_start_set, verify.v_start_reset]),
        verify.v_step,
        verify.v_end,
        verify.max_end_pulses,
        verify.max_reversals,
        g,
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.bool_),
    )
    return g


def test_targets_keep_their_shape():
    target = UNIFORM[:24].reshape(2, 3, 4)
    written = write_and_relax(target, DEVICE, delay=1.0, seed=1, rounds=1)
    flat = write_and_relax(target.ravel(), DEVICE, delay=1.0, seed=1, rounds=1)
    assert written.conductance.shape == written.n_pulses.shape == (2, 3, 4)
    assert np.array_equal(written.conductance.ravel(), flat.conductance)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_one_cell_or_none_can_be_written(shape):
    written = write_and_relax(np.full(shape, 5e-6), DEVICE, delay=1.0, seed=1, rounds=2)
    assert written.conductance.shape == written.timed_out.shape == shape


# Errors and units.


# Importing Brian2 runs pyparsing functions that newer pyparsing versions call deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_targets_may_carry_units():
    import brian2

    plain = write_verify(np.array([5e-6, 20e-6]), DEVICE, seed=1).conductance
    brian = write_verify(np.array([5, 20]) * brian2.usiemens, DEVICE, seed=1).conductance
    assert brian == pytest.approx(plain)
    assert write_verify("5 uS", DEVICE, seed=1).conductance == pytest.approx(plain[0])
    with pytest.raises(UnitError, match=r"target is a conductance in S, got .* a voltage"):
        write_verify(np.array([5, 20]) * brian2.volt, DEVICE, seed=1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([1e-6, np.nan], r"target expects finite conductances, got 1 that are NaN or infinite"),
        ([-1e-6, 2e-6], r"target expects conductances >= 0 S, got down to -1e-06 S"),
        ([20.0], r"up to the device's g_max = 4e-05 S, got up to 20 S.* 20 uS is 20e-6"),
    ],
)
def test_a_target_that_cannot_be_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        write_verify(target, DEVICE, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0.0}, r"WriteVerify.window expects a value > 0, got 0.0 S"),
        ({"n_reads": 0}, r"WriteVerify.n_reads expects a count >= 1, got 0"),
        ({"max_reversals": 2.5}, r"WriteVerify.max_reversals expects a count >= 0, got 2.5"),
        ({"v_end": 1.0}, r"expects start voltages up to v_end = 1.0 V, got 1.2 and 1.5 V"),
        ({"width": "1 V"}, r"WriteVerify.width is a time in s, got '1 V', a voltage"),
    ],
)
def test_write_verify_says_what_it_expects(change, message):
    with pytest.raises(ValueError, match=message):
        WriteVerify(**change)


def test_arguments_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"start expects the shape of target, \(2,\), got \(3,\)"):
        write_verify([1e-6, 2e-6], DEVICE, seed=1, start=np.ones(3) * 1e-6)
    with pytest.raises(ValueError, match=r"expects a delay >= 0 s, got -1.0 s"):
        write_and_relax([1e-6], DEVICE, delay=-1.0, seed=1)
    with pytest.raises(ValueError, match=r"rounds >= 0, got -1"):
        write_and_relax([1e-6], DEVICE, delay=1.0, seed=1, rounds=-1)
