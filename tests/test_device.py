"""The cell: closed forms, published curves, addresses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spikeram.device import Cells, GaussianDevice, PulseResponse
from spikeram.errors import UnitError
from spikeram.models.devices import gaussian, ideal, neurram
from spikeram.seeds import Purpose

DEVICE = neurram()
EVERY = [DEVICE, ideal(), gaussian()]
HEALTHY = replace(DEVICE, stuck_low=0.0, stuck_high=0.0)
LEVELS = np.array([2, 5, 12, 20, 30, 40]) * 1e-6


def one_cell(**changes):
    constants = {
        "threshold": np.array([[0.9], [1.1]]),
        "rate": np.array([[3e5], [2e5]]),
        "exponent": np.array([3.0, 2.5]),
        "g_low": np.array([1e-6]),
        "g_high": np.array([50e-6]),
        "formed": np.array([10e-6]),
        "sigma_cycle": 0.0,
    }
    return PulseResponse(**(constants | changes))


# Pulse response.


@pytest.mark.parametrize("v", [1.0, 1.6, 2.4, -1.2, -1.7, -2.5])
@pytest.mark.parametrize("g", [1.5e-6, 20e-6, 48e-6])
def test_a_pulse_follows_the_vteam_equation(v, g):
    response = one_cell()
    polarity = 0 if v > 0 else 1
    threshold, rate = response.threshold[polarity, 0], response.rate[polarity, 0]
    speed = rate * (abs(v) / threshold - 1) ** response.exponent[polarity]

    def vteam(t, x):
        return speed * (1 - x) if v > 0 else -speed * x

    x = solve_ivp(vteam, (0, 1e-6), [(g - 1e-6) / 49e-6], rtol=1e-10, atol=1e-14).y[0, -1]
    # The integrator's own tolerance, with room for its accumulation over some steps.
    assert response.pulse([g], v, 1e-6)[0] == pytest.approx(1e-6 + 49e-6 * x, rel=1e-8)


@pytest.mark.parametrize("v", [0.0, 0.5, 0.9, -0.5, -1.1])
def test_a_pulse_up_to_the_threshold_changes_nothing(v):
    assert one_cell().pulse([20e-6], v, 1e-3)[0] == 20e-6


def test_two_pulses_are_one_of_twice_the_width():
    response = one_cell()
    twice = response.pulse(response.pulse([20e-6], 1.5, 1e-6), 1.5, 1e-6)
    assert twice == pytest.approx(response.pulse([20e-6], 1.5, 2e-6), rel=1e-12)


def test_a_cycle_to_cycle_factor_multiplies_the_rate():
    slow, fast = one_cell(), one_cell(rate=3 * one_cell().rate)
    assert slow.pulse([20e-6], 1.5, 1e-6, factor=3.0) == pytest.approx(
        fast.pulse([20e-6], 1.5, 1e-6), rel=1e-12
    )


def test_long_pulses_end_at_the_ends_of_the_range():
    response = one_cell()
    assert response.pulse([20e-6], 3.0, 1.0)[0] == pytest.approx(50e-6)
    assert response.pulse([20e-6], -3.0, 1.0)[0] == pytest.approx(1e-6)


# Device to device.


def test_cells_differ_as_their_spreads_say():
    n = 20_000
    response = HEALTHY.pulse_response(Cells.of((n,), seed=1))
    # The standard error of a standard deviation is sigma / sqrt(2 n); allow four of them.
    tolerance = 4 / np.sqrt(2 * n)
    assert response.threshold.std(axis=1) == pytest.approx(0.1, rel=tolerance)
    assert response.g_high.std() == pytest.approx(6e-6, rel=tolerance)
    assert np.log(response.rate).std(axis=1) == pytest.approx(0.5, rel=tolerance)
    assert response.threshold.mean(axis=1) == pytest.approx([0.9, 1.1], abs=4 * 0.1 / np.sqrt(n))


def test_constants_of_a_cell_are_independent():
    n = 20_000
    response = HEALTHY.pulse_response(Cells.of((n,), seed=1))
    constants = np.stack(
        [*response.threshold, *np.log(response.rate), response.g_high, response.formed]
    )
    r = np.corrcoef(constants)
    # The state after forming scales with g_high; all other correlations are N(0, 1/n).
    r[4, 5] = r[5, 4] = 0
    assert np.abs(r - np.eye(6)).max() < 4.5 / np.sqrt(n)


def test_stuck_cells_are_as_many_as_said_and_never_respond():
    n = 50_000
    device = replace(DEVICE, stuck_low=0.02, stuck_high=0.01)
    response = device.pulse_response(Cells.of((n,), seed=4))
    low = response.stuck & (response.formed == response.g_low)
    high = response.stuck & (response.formed == response.g_high)
    # Counts are binomial.
    assert low.sum() == pytest.approx(0.02 * n, abs=4 * np.sqrt(0.02 * n))
    assert high.sum() == pytest.approx(0.01 * n, abs=4 * np.sqrt(0.01 * n))
    after = response.pulse(response.formed, 4.0, 1.0)
    assert np.array_equal(after[response.stuck], response.formed[response.stuck])


def test_stuck_cells_do_not_relax():
    cells = Cells.of((1000,), seed=4)
    device = replace(DEVICE, stuck_low=0.1, stuck_high=0.1)
    stuck = device.pulse_response(cells).stuck
    change = device.relax(np.full(1000, 20e-6), "1 day", cells) - 20e-6
    assert np.array_equal(change == 0, stuck)


# Relaxation.


@pytest.mark.parametrize(("delay", "mean"), [(1.0, 1.76e-6), (86400.0, 3.36e-6), (1800.0, 2.8e-6)])
def test_mean_deviation_is_the_published_one(delay, mean):
    g = np.linspace(1e-6, 40e-6, 400)
    # Published to two digits.
    assert DEVICE.relaxation.deviation(g, delay).mean() == pytest.approx(mean, rel=0.02)


@pytest.mark.parametrize(("delay", "peak"), [(1.0, 2.3e-6), (86400.0, 4.0e-6)])
def test_the_largest_deviation_is_the_published_one_at_a_third_of_the_window(delay, peak):
    g = np.linspace(1e-6, 40e-6, 400)
    deviation = DEVICE.relaxation.deviation(g, delay)
    assert deviation.max() == pytest.approx(peak, rel=0.02)
    assert 11e-6 < g[deviation.argmax()] < 17e-6


@pytest.mark.parametrize("delay", [1e-2, 1.0, 1800.0, 86400.0, 172800.0])
@pytest.mark.parametrize("g", [0.2e-6, 1e-6, 2e-6, 5e-6, 20e-6])
def test_the_spread_after_clipping_is_that_of_the_law(g, delay):
    n = 20_000
    relaxed = HEALTHY.relax(np.full(n, g), delay, Cells.of((n,), seed=2))
    # A clipped normal has a kurtosis up to 6, at a mean of 0, and so a relative standard error
    # of its standard deviation up to sqrt(5 / 4 / n); allow four of them.
    assert relaxed.std() == pytest.approx(
        float(DEVICE.relaxation.sigma(g, delay)), rel=4 * np.sqrt(1.25 / n)
    )
    assert relaxed.min() >= 0


def test_nothing_relaxes_at_once():
    cells = Cells.of(LEVELS.shape, seed=2)
    assert np.array_equal(DEVICE.relax(LEVELS, 0.0, cells), LEVELS)


def test_spread_never_shrinks_in_time():
    sigma = [DEVICE.relaxation.sigma(LEVELS, t) for t in np.logspace(-5, 7, 100)]
    assert np.all(np.diff(sigma, axis=0) >= 0)


def test_beyond_two_days_the_variance_grows_on_with_the_logarithm_of_time():
    law = DEVICE.relaxation
    first, last, late = (law.deviation(LEVELS, t) ** 2 for t in (1.0, 172800.0, 315576000.0))
    rate = (last - first) / np.log10(172800.0)
    assert late == pytest.approx(last + rate * np.log10(315576000.0 / 172800.0), rel=1e-12)


def test_nothing_is_extrapolated_forever():
    cells = Cells.of(LEVELS.shape, seed=2)
    assert np.array_equal(DEVICE.relax(LEVELS, np.inf, cells), DEVICE.relax(LEVELS, 1e15, cells))


def test_a_trajectory_is_continuous_in_time():
    cells = Cells.of((300,), seed=2)
    g = np.full(300, 20e-6)
    # Around knots and within decades: a relative step of 1e-9 in time changes the variance of an
    # increment of up to (4 uS)^2 by less than 1e-8 of it, and the increment by its root.
    for t in (*DEVICE.relaxation.knots, 0.5, 42.0, 1800.0, 1e5):
        step = HEALTHY.relax(g, t * (1 + 1e-9), cells) - HEALTHY.relax(g, t * (1 - 1e-9), cells)
        assert np.abs(step).max() < 5 * 4e-6 * 1e-4


def test_later_delays_share_the_past_of_earlier_ones():
    n = 20_000
    cells = Cells.of((n,), seed=2)
    g = np.full(n, 20e-6)
    early, late = (HEALTHY.relax(g, t, cells) - g for t in (1.0, 86400.0))
    sigma_early, sigma_late = (DEVICE.relaxation.sigma(20e-6, t) for t in (1.0, 86400.0))
    # Independent increments correlate by the ratio of the spreads; a correlation r of normals has
    # the standard error (1 - r^2) / sqrt(n).
    assert np.corrcoef(early, late)[0, 1] == pytest.approx(
        sigma_early / sigma_late, abs=4 / np.sqrt(n)
    )


def test_each_programming_relaxes_in_its_own_way():
    cells = Cells.of((5000,), seed=2)
    g = np.full(5000, 20e-6)
    first, second = (HEALTHY.relax(g, "1 day", cells, episode=n) for n in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(5000)


def test_delays_may_differ_from_cell_to_cell():
    cells = Cells.of((2,), seed=2)
    g = np.array([20e-6, 20e-6])
    mixed = DEVICE.relax(g, np.array([1.0, 86400.0]), cells)
    assert mixed[0] == DEVICE.relax(g, 1.0, cells)[0]
    assert mixed[1] == DEVICE.relax(g, 86400.0, cells)[1]


def test_the_time_law_is_that_of_measured_cells():
    folder = os.environ.get("SPIKERAM_DATA")
    if folder is None:
        pytest.skip("SPIKERAM_DATA does not name a folder with rram_measured/relaxation_techC.npz")
    path = Path(folder) / "rram_measured" / "relaxation_techC.npz"
    if not path.exists():
        pytest.skip(f"no rram_measured/relaxation_techC.npz in {folder}")
    with np.load(path) as measured:
        g, delay = measured["g_uS"], measured["time_nominal_s"]
    spread = np.nanstd(g - g[:, :1], axis=0)
    levels = np.linspace(1e-6, 40e-6, 400)
    law = np.array([DEVICE.relaxation.sigma(levels, t).mean() for t in delay])
    # Another technology, so only the shape in time is comparable. Before 1 s the straight line in
    # log t misses the slightly bent measurement (0.45, 0.76 of the value at 1 s) by up to 0.031.
    # To 1 day its spread grows to 1.78 times, NeuRRAM's to 1.97 times: 11 %.
    assert (law / law[3])[:3] == pytest.approx((spread / spread[3])[:3], abs=0.04)
    assert law[4] / law[3] == pytest.approx(spread[4] / spread[3], rel=0.15)
    assert law[5] / law[3] == pytest.approx(spread[5] / spread[3], rel=0.15)


# Read.


@pytest.mark.parametrize("n_reads", [1, 5])
def test_read_noise_averages_down(n_reads):
    n = 50_000
    noise = DEVICE.read(np.full(n, 5e-6), Cells.of((n,), seed=2), n_reads=n_reads) - 5e-6
    sigma = 0.4e-6 / np.sqrt(n_reads)
    assert noise.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))
    assert abs(noise.mean()) < 4 * sigma / np.sqrt(n)


def test_each_visit_reads_with_its_own_noise():
    cells = Cells.of((5000,), seed=2)
    first, second = (DEVICE.read(np.full(5000, 5e-6), cells, visit=n) for n in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(5000)


# Addresses.


def test_a_cell_is_the_same_alone_and_in_an_array():
    array = Cells.of((8, 8), seed=3, chip=1, array=2)
    g = np.linspace(1e-6, 40e-6, 64).reshape(8, 8)
    alone = Cells(index=array.index[5:6, 6], seed=3, chip=1, array=2)
    assert DEVICE.relax(g, 60.0, array)[5, 6] == DEVICE.relax(g[5:6, 6], 60.0, alone)[0]
    assert DEVICE.read(g, array)[5, 6] == DEVICE.read(g[5:6, 6], alone)[0]
    together, single = DEVICE.pulse_response(array), DEVICE.pulse_response(alone)
    assert np.array_equal(together.threshold[:, 46], single.threshold[:, 0])
    assert together.formed[46] == single.formed[0]


@pytest.mark.parametrize("other", [{"seed": 4}, {"chip": 1}, {"array": 1}])
def test_another_seed_chip_or_array_has_other_cells(other):
    address = {"seed": 3, "chip": 0, "array": 0}
    first = DEVICE.pulse_response(Cells.of((100,), **address))
    second = DEVICE.pulse_response(Cells.of((100,), **(address | other)))
    assert not np.any(first.g_high == second.g_high)


def test_purposes_draw_their_own_numbers():
    cells = Cells.of((100,), seed=3)
    drawn = [cells.normals(p, 1)[0] for p in (Purpose.RELAXATION, Purpose.READ_NOISE)]
    assert not np.any(drawn[0] == drawn[1])


# Ideal.


def test_an_ideal_cell_neither_relaxes_nor_is_noisy():
    cells = Cells.of(LEVELS.shape, seed=0)
    assert np.array_equal(ideal().relax(LEVELS, "1 day", cells), LEVELS)
    assert np.array_equal(ideal().read(LEVELS, cells), LEVELS)


# Gaussian.


def test_gaussian_errors_have_the_spread_that_was_asked_for():
    n = 20_000
    g = np.full(n, 30e-6)
    error = gaussian(0.1).relax(g, "1 day", Cells.of((n,), seed=0)) - g
    # Standard errors of a mean and of a standard deviation; allow four of them. Zero is
    # 7.5 standard deviations away, so nothing is cut off.
    assert abs(error.mean()) < 4 * 4e-6 / np.sqrt(n)
    assert abs(error.std() - 4e-6) < 4 * 4e-6 / np.sqrt(2 * n)


def test_gaussian_errors_are_the_same_at_every_delay():
    cells = Cells.of(LEVELS.shape, seed=0)
    now, later = (gaussian().relax(LEVELS, delay, cells) for delay in (0.0, "2 days"))
    np.testing.assert_array_equal(now, later)


def test_a_gaussian_cell_takes_its_window_and_error_in_any_unit():
    device = GaussianDevice(sigma="3 uS", g_max="30 uS")
    assert (device.sigma, device.g_max) == (pytest.approx(3e-6), pytest.approx(30e-6))
    with pytest.raises(ValueError, match=r"GaussianDevice.sigma expects a value >= 0, got -1.0 S"):
        GaussianDevice(sigma=-1.0)
    with pytest.raises(ValueError, match=r"gaussian expects a share >= 0 of g_max.* got -0.1"):
        gaussian(-0.1)


# What every device does.


@pytest.mark.parametrize("device", EVERY)
def test_a_cell_ends_at_the_same_place_alone_and_in_an_array(device):
    cells = Cells.of(LEVELS.shape, seed=3)
    some = np.array([1, 4])
    np.testing.assert_array_equal(
        device.relax(LEVELS, "1 day", cells)[some],
        device.relax(LEVELS[some], "1 day", cells.take(some)),
    )


@pytest.mark.parametrize("device", EVERY)
def test_conductances_never_end_below_zero(device):
    g = np.zeros(10_000)
    assert device.relax(g, "1 day", Cells.of(g.shape, seed=0)).min() == 0


@pytest.mark.parametrize("device", EVERY)
def test_conductances_and_cells_agree_in_shape(device):
    for act in (lambda g, c: device.relax(g, 1.0, c), device.read):
        with pytest.raises(ValueError, match=r"shape of the cells, \(3,\), got \(2,\)"):
            act(np.array([1e-6, 2e-6]), Cells.of((3,), seed=0))


@pytest.mark.parametrize("device", EVERY)
@pytest.mark.parametrize("g", [20e-6, 35e-6])
def test_the_expected_deviation_is_that_of_the_cells(device, g):
    n = 20_000
    cells = Cells.of((n,), seed=5)
    whole = replace(device, stuck_low=0.0, stuck_high=0.0) if device is DEVICE else device
    spread = whole.relax(np.full(n, g), "1 day", cells).std()
    # The published deviation contains that of the verify window, which was not written here.
    verified = DEVICE.relaxation.sigma_verify if device is DEVICE else 0.0
    expected = float(device.deviation(g, "1 day"))
    # The standard error of a standard deviation is sigma / sqrt(2 n); allow four of them.
    assert np.hypot(spread, verified) == pytest.approx(expected, rel=4 / np.sqrt(2 * n), abs=1e-15)


# Errors.


def test_quantities_are_read_in_their_units():
    assert replace(DEVICE, g_max="30 uS").g_max == pytest.approx(30e-6)
    with pytest.raises(UnitError, match=r"RRAMDevice.g_max is a conductance in S, got '30 uV'"):
        replace(DEVICE, g_max="30 uV")


@pytest.mark.parametrize("delay", [-1.0, np.nan, np.array([1.0, np.nan])])
@pytest.mark.parametrize("device", EVERY)
def test_a_delay_is_never_negative_nor_nan(device, delay):
    with pytest.raises(ValueError, match=r"relax expects a delay >= 0 s"):
        device.relax(np.array([1e-6, 2e-6]), delay, Cells.of((2,), seed=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g_min": 50e-6}, r"RRAMDevice expects g_min < g_max, got 5e-05 and 4e-05 S"),
        ({"sigma_threshold": 0.5}, r"expects thresholds above 4 sigma_threshold.* got 0.9 V"),
        ({"sigma_g_high": 20e-6}, r"expects g_low <= g_formed < g_high - 4 sigma_g_high"),
        ({"rate_set": 0.0}, r"RRAMDevice.rate_set expects a value > 0, got 0.0"),
        ({"sigma_cycle": np.nan}, r"RRAMDevice.sigma_cycle expects a value >= 0, got nan"),
        ({"stuck_low": -0.1}, r"expects stuck fractions >= 0, got -0.1 low"),
        ({"stuck_low": 0.6, "stuck_high": 0.6}, r"at most all cells to be stuck"),
        ({"sigma_read": -1e-6}, r"RRAMDevice.sigma_read expects a value >= 0, got -1e-06 S"),
    ],
)
def test_a_device_says_what_it_expects(change, message):
    with pytest.raises(ValueError, match=message):
        replace(DEVICE, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delays": (0.0, 1.0, 2.0)}, r"finite times > 0"),
        ({"delays": (2.0, 1.0, 3.0)}, r"ascending times"),
        ({"delays": (1.0, 2.0)}, r"one curve for each of 2 delays, got 3"),
        ({"g_range": (1e-6, 80e-6)}, r"standard deviations >= 0 within g_range"),
        ({"g_range": (4e-6, 1e-6)}, r"ascending g_range"),
        ({"early": 0.0}, r"Relaxation.early expects a fraction > 0"),
    ],
)
def test_relaxation_says_what_it_expects(change, message):
    with pytest.raises(ValueError, match=message):
        replace(DEVICE.relaxation, **change)


def test_cells_say_what_they_expect():
    with pytest.raises(ValueError, match=r"Cells.index expects integers from 0"):
        Cells(index=np.array([-1]), seed=0)
    with pytest.raises(ValueError, match=r"Cells.chip expects an integer >= 0, got -1"):
        Cells.of((2,), seed=0, chip=-1)
    with pytest.raises(ValueError, match=r"of the shape of the cells, \(3,\), got \(2,\)"):
        DEVICE.read([1e-6, 2e-6], Cells.of((3,), seed=0))
    with pytest.raises(ValueError, match=r"one delay or one for each cell, \(2,\), got \(3,\)"):
        DEVICE.relax([1e-6, 2e-6], np.ones(3), Cells.of((2,), seed=0))
    with pytest.raises(ValueError, match=r"n_reads >= 1, got 0"):
        DEVICE.read([1e-6], Cells.of((1,), seed=0), n_reads=0)
