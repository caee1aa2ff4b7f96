"""Measures of single trains and of populations, against plain loops, closed forms and Elephant."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from spikeram import statistics
from spikeram.recording import concatenate, members, raster, select, spike_times

from recordings import DT, random_spikes, recording_of

quick = settings(max_examples=25, deadline=None, derandomize=True)
EXACT = dict(rtol=1e-10, atol=1e-10)


def example(seed=0, samples=4, steps=60, widths=(5, 3), **options):
    return recording_of(random_spikes(seed, samples, steps, widths), **options)


def trains(*patterns):
    rows = [[mark == "|" for mark in pattern] for pattern in patterns]
    return recording_of([np.array(rows, dtype=np.int8).T[np.newaxis]])


def every_train(ds):
    for s in range(ds.sizes["trial"]):
        for j in range(ds.sizes["neuron"]):
            yield s, j, spike_times(ds, s, j)


def with_intervals(intervals):
    """Return a recording of one train for each row of intervals, whose first spike is at 0."""
    steps = np.concatenate([np.zeros((len(intervals), 1)), np.cumsum(intervals, axis=1)], axis=1)
    last = int(steps.max()) + 1
    pattern = np.zeros((1, last, len(intervals)), np.int8)
    for j, row in enumerate(steps.astype(int)):
        pattern[0, row, j] = 1
    return recording_of([pattern])


# Intervals.


def test_local_measures_are_those_of_a_plain_loop():
    ds = example()
    found = statistics.interval_measures(ds, refractoriness=2 * DT)
    for s, j, times in every_train(ds):
        gaps = np.diff(times)
        a, b = gaps[:-1], gaps[1:]
        here = found.isel(trial=s, neuron=j)
        np.testing.assert_allclose(here["mean_interval"], gaps.mean(), **EXACT)
        np.testing.assert_allclose(here["variance"] / DT**2, gaps.var() / DT**2, **EXACT)
        np.testing.assert_allclose(here["cv2"], np.mean(2 * np.abs(b - a) / (a + b)), **EXACT)
        contrast = ((b - a) / (a + b)) ** 2
        np.testing.assert_allclose(here["lv"], 3 * contrast.mean(), **EXACT)
        revised = (1 - 4 * a * b / (a + b) ** 2) * (1 + 4 * 2 * DT / (a + b))
        np.testing.assert_allclose(here["lvr"], 3 * revised.mean(), **EXACT)
        assert (here["n"], here["n_pairs"]) == (gaps.size, gaps.size - 1)


def test_a_regular_train_has_no_variation_and_two_spikes_are_none():
    found = statistics.interval_measures(trains("|..|..|..|", "|..|......", "|.........", "." * 10))
    for name in ("cv", "cv2", "lv", "lvr"):
        np.testing.assert_allclose(found[name][0], [0, np.nan, np.nan, np.nan], atol=1e-12)
    assert found["n"].values.tolist() == [[3, 1, 0, 0]]
    assert found["n_pairs"].values.tolist() == [[2, 0, 0, 0]]


@pytest.mark.parametrize("shape", [1.0, 4.0])
def test_gamma_trains_have_the_variation_of_the_closed_form(shape):
    # Renewal trains with gamma intervals of shape k: CV^2 = 1/k and LV = 3 / (2 k + 1).
    rng = np.random.default_rng(0)
    ds = with_intervals(np.ceil(rng.gamma(shape, 400 / shape, (4, 4000))))
    found = statistics.interval_measures(ds)
    # Four trains of 4000 intervals: standard errors near 1 %; four of them are allowed.
    np.testing.assert_allclose(found["cv"].mean(), 1 / np.sqrt(shape), rtol=0.04)
    np.testing.assert_allclose(found["lv"].mean(), 3 / (2 * shape + 1), rtol=0.04)
    if shape == 1:
        np.testing.assert_allclose(found["cv2"].mean(), 1, rtol=0.04)


@quick
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_streaming_gives_what_the_whole_gives_however_it_is_cut(seed, cuts):
    ds = example(seed, samples=1)
    expected = statistics.interval_measures(ds).isel(trial=0)
    order = np.argsort(ds["t"].values, kind="stable")
    train = np.repeat(np.arange(8), ds["row_size"].values[0])[order]
    t = ds["t"].values[order]
    measures = statistics.StreamingMeasures(8)
    for part in np.split(np.arange(t.size), sorted(min(cut, t.size) for cut in cuts)):
        measures.add(t[part], train[part])
    found = measures.result(duration=ds.attrs["duration"])
    for name in ("mean_interval", "cv", "cv2", "lv", "lvr"):
        np.testing.assert_allclose(found[name].values, expected[name].values, **EXACT)
    np.testing.assert_array_equal(found["n_spikes"], statistics.spike_counts(ds)[0])
    np.testing.assert_allclose(found["rate"], statistics.rate(ds)[0], **EXACT)


def test_streaming_refuses_spikes_that_go_back_in_time():
    measures = statistics.StreamingMeasures(2)
    measures.add([0.1, 0.3], [0, 1])
    with pytest.raises(ValueError, match=r"train 1 has 0.2 s after 0.3 s"):
        measures.add([0.2, 0.2], [0, 1])
    assert measures.result()["n_spikes"].values.tolist() == [2, 1]
    with pytest.raises(ValueError, match="trains from 0 to 1, got 0 to 2"):
        measures.add([0.5, 0.5], [0, 2])
    with pytest.raises(ValueError, match="a time and a train for each spike"):
        measures.add([0.5], [0, 1])


# Counts over time.


def test_binned_spikes_are_the_raster_added_up():
    ds = example()
    found = statistics.binned(ds, 5 * DT)
    stop = round(ds.attrs["t_stop"] / DT)
    assert found.sizes["time"] == -(-stop // 5)
    for s, j, times in every_train(ds):
        steps = np.rint(times / DT).astype(int)
        expected = np.bincount(steps // 5, minlength=found.sizes["time"])
        np.testing.assert_array_equal(found[s, j], expected)
    np.testing.assert_array_equal(found.sum("time"), statistics.spike_counts(ds))


def test_one_bin_for_each_step_is_the_raster():
    ds = example()
    found = statistics.binned(ds, DT, layer="b")
    start = round(float(ds["window_start"].values[-1]) / DT)
    inside = found.values[:, :, start : start + 60]
    np.testing.assert_array_equal(np.swapaxes(inside, 1, 2), raster(ds, "b"))


def test_a_psth_is_the_mean_rate_of_trials_in_bins():
    ds = example()
    counts = statistics.binned(ds, 7 * DT)
    found = statistics.psth(ds, 7 * DT)
    expected = counts.values.mean(axis=0) / counts["bin_width"].values
    np.testing.assert_allclose(found, expected, **EXACT)
    assert found["n"] == 4
    # The last bin is shorter: rates are per its own width.
    assert float(found["bin_width"][-1]) < float(found["bin_width"][0])
    assert np.isnan(statistics.psth(select(ds, trial=[]), 7 * DT)).all()


def test_a_population_rate_is_the_mean_rate_of_its_neurons():
    ds = example()
    found = statistics.population_rate(ds, 5 * DT)
    counts = statistics.binned(ds, 5 * DT)
    for name in ("a", "b"):
        expected = counts.values[:, members(ds, name)].mean(axis=1) / counts["bin_width"].values
        np.testing.assert_allclose(found.sel(layer=name), expected, **EXACT)


def test_an_instantaneous_rate_is_the_sum_of_its_kernels():
    ds = example(samples=2)
    sigma = 3 * DT
    found = statistics.instantaneous_rate(ds, sigma)
    time = found["time"].values
    for j in range(8):
        times = np.concatenate([spike_times(ds, s, j) for s in range(2)])
        kernels = np.exp(-0.5 * (np.subtract.outer(time, times) / sigma) ** 2)
        expected = kernels.sum(axis=1) / (sigma * np.sqrt(2 * np.pi)) / 2
        # Cut off after six sigmas: exp(-18) of a kernel's height for each of some spikes.
        np.testing.assert_allclose(found[j] * DT, expected * DT, atol=1e-7)


def test_neurons_that_fire_together_are_in_synchrony():
    together = trains(*["|..||...|.|.|..."] * 4)
    assert float(statistics.synchrony(together, DT)[0, 0]) == pytest.approx(1)
    alone = example(seed=1, samples=1, steps=20_000, widths=(16,))
    # Golomb: 1 / sqrt(N) for independent neurons; the spread of a variance over 20,000 bins is 1 %.
    assert float(statistics.synchrony(alone, DT)[0, 0]) == pytest.approx(1 / 4, rel=0.03)
    assert np.isnan(statistics.synchrony(trains("....", "...."), DT)).all()


def test_the_fano_factor_over_windows_is_variance_by_mean():
    ds = example()
    found = statistics.fano_over_windows(ds, 7 * DT)
    assert found["n"] == 8
    for s, j, times in every_train(ds):
        steps = np.rint((times - float(ds["window_start"][j])) / DT).astype(int)
        counts = np.bincount(steps // 7, minlength=9)[:8]
        np.testing.assert_allclose(found[s, j], counts.var() / counts.mean(), **EXACT)
    assert np.isnan(statistics.fano_over_windows(ds, 31 * DT)).all()


def test_a_poisson_process_has_a_fano_factor_of_one_in_any_window():
    rng = np.random.default_rng(3)
    pattern = (rng.random((1, 60_000, 4)) < 0.02).astype(np.int8)
    found = statistics.fano_over_windows(recording_of([pattern]), 200 * DT)
    # Bernoulli trials: 1 - p. A variance over 300 windows spreads by sqrt(2 / 300) = 8 %.
    np.testing.assert_allclose(found.mean(), 0.98, atol=4 * 0.08 / 2)


# Bursts.


def bursts_by_hand(times, begin, end, gap, shortest, fewest):
    runs, k = [], 0
    while k + 1 < len(times):
        if times[k + 1] - times[k] < begin:
            run = [times[k]]
            while k + 1 < len(times) and times[k + 1] - times[k] <= (end if len(run) > 1 else 1e9):
                k += 1
                run.append(times[k])
            runs.append(run)
        k += 1
    merged = []
    for run in runs:
        if merged and run[0] - merged[-1][-1] < gap:
            inside = [t for t in times if merged[-1][-1] < t < run[0]]
            merged[-1] = merged[-1] + inside + run
        else:
            merged.append(run)
    return [r for r in merged if r[-1] - r[0] >= shortest and len(r) >= fewest]


@quick
@given(
    seed=st.integers(0, 2**32),
    limits=st.tuples(st.integers(2, 4), st.integers(0, 3)),
    gap=st.integers(0, 8),
    shortest=st.integers(0, 6),
    fewest=st.integers(2, 5),
)
def test_bursts_are_those_of_a_plain_loop(seed, limits, gap, shortest, fewest):
    begin, more = limits
    ds = example(seed, samples=2)
    found = statistics.bursts(
        ds,
        max_interval_to_begin=begin * DT,
        max_interval_to_end=(begin + more) * DT,
        min_gap=gap * DT,
        min_duration=shortest * DT,
        min_spikes=fewest,
    )
    expected = []
    for s, j, times in every_train(ds):
        steps = np.rint(times / DT).astype(int).tolist()
        for run in bursts_by_hand(steps, begin, begin + more, gap, shortest, fewest):
            expected.append((s, j, run[0], run[-1] - run[0], len(run)))
    got = list(
        zip(
            found["trial"].values.tolist(),
            found["neuron"].values.tolist(),
            np.rint(found["start"].values / DT).astype(int).tolist(),
            np.rint(found["duration"].values / DT).astype(int).tolist(),
            found["spikes"].values.tolist(),
        )
    )
    assert got == expected


def test_a_summary_of_bursts_counts_them_by_train():
    ds = trains("|||.....||||", "|..|..|..|..", "............")
    found = statistics.bursts(ds, max_interval_to_begin=2 * DT)
    table = statistics.burst_summary(ds, found)
    assert table["n_bursts"].values.tolist() == [[2, 0, 0]]
    np.testing.assert_allclose(table["spikes_in_bursts"], [[1, 0, np.nan]])
    np.testing.assert_allclose(table["mean_duration"] / DT, [[2.5, np.nan, np.nan]])
    np.testing.assert_allclose(table["burst_rate"] * 12 * DT, [[2, 0, 0]])


def test_the_valley_of_the_histogram_parts_short_from_long_intervals():
    rng = np.random.default_rng(0)
    # Bursts of six spikes 2 to 5 steps apart, 300 to 900 steps from each other; a Poisson train.
    gaps = rng.integers(2, 6, (1, 600))
    gaps[:, 5::6] = rng.integers(300, 900, (1, 100))
    ds = with_intervals(gaps)
    limit = statistics.log_interval_threshold(ds)
    assert 6 * DT < float(limit[0]) < 300 * DT
    found = statistics.bursts_by_log_interval(ds)
    assert found.sizes["burst"] == 100
    assert (found["spikes"] == 6).sum() == 100
    few = with_intervals(rng.integers(1, 9, (1, 20)))
    assert np.isnan(statistics.log_interval_threshold(few)).all()
    assert statistics.bursts_by_log_interval(few).sizes["burst"] == 0


def test_a_single_peak_has_no_valley():
    rng = np.random.default_rng(1)
    ds = with_intervals(np.ceil(rng.gamma(20.0, 20.0, (1, 2000))))
    assert np.isnan(statistics.log_interval_threshold(ds)).all()


def test_limits_of_bursts_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="max_interval_to_end to be no shorter"):
        statistics.bursts(example(), max_interval_to_begin=2 * DT, max_interval_to_end=DT)
    with pytest.raises(ValueError, match="min_spikes >= 2, got 1"):
        statistics.bursts(example(), max_interval_to_begin=2 * DT, min_spikes=1)


# Sparseness, dead and saturated neurons.


def test_hoyer_runs_from_0_for_equal_to_1_for_single_neurons():
    assert float(statistics.hoyer(trains("||..", "|.|.", ".||."))[0, 0]) == pytest.approx(0)
    assert float(statistics.hoyer(trains("||..", "....", "...."))[0, 0]) == pytest.approx(1)
    # Counts 2, 1, 0: (sqrt 3 - 3 / sqrt 5) / (sqrt 3 - 1).
    expected = (np.sqrt(3) - 3 / np.sqrt(5)) / (np.sqrt(3) - 1)
    assert float(statistics.hoyer(trains("||", "|.", ".."))[0, 0]) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [statistics.hoyer, statistics.treves_rolls])
def test_lifetime_sparseness_is_population_sparseness_of_trials(measure):
    ds = example(samples=6, widths=(6,))
    turned = ds["row_size"].values.T
    lifetime = measure(ds, over="trial")
    other = ds.assign(row_size=(("trial", "neuron"), turned.astype(np.int32)))
    np.testing.assert_allclose(lifetime, measure(other)[:, 0], **EXACT)
    assert np.isnan(measure(select(ds, trial=[0]), over="trial")).all()
    with pytest.raises(ValueError, match="over 'neuron' or 'trial', got 'time'"):
        measure(ds, over="time")


def test_dead_neurons_never_fire_and_saturated_ones_always():
    spikes = np.zeros((2, 5, 4), np.int8)
    spikes[0, :, 0] = 1
    spikes[1, 2, 1] = 1
    ds = recording_of([spikes])
    assert statistics.dead(ds).values.tolist() == [0.5]
    assert statistics.saturated(ds)[:, 0].values.tolist() == [0.25, 0]
    assert np.isnan(statistics.dead(select(ds, trial=[]))).all()


# Information.


def counted(counts):
    """Return a recording with these counts, of shape (trial, neuron)."""
    counts = np.asarray(counts)
    steps = int(counts.max(initial=1))
    pattern = np.arange(steps)[np.newaxis, :, np.newaxis] < counts[:, np.newaxis]
    return recording_of([pattern.astype(np.int8)])


def test_information_is_that_of_sklearn():
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    stimulus = rng.integers(0, 4, 300)
    counts = np.stack([rng.poisson(1 + stimulus), rng.poisson(2, 300)], axis=1)
    found = statistics.mutual_information(counted(counts), stimulus, corrected=False)
    expected = [mutual_info_score(stimulus, column) / np.log(2) for column in counts.T]
    np.testing.assert_allclose(found["mutual_information"], expected, **EXACT)


def test_a_neuron_that_tells_the_stimulus_has_all_of_its_information():
    stimulus = np.tile(np.arange(4), 50)
    found = statistics.mutual_information(
        counted(np.stack([stimulus, 0 * stimulus], axis=1)), stimulus
    )
    # Two bits, and no bias: each stimulus has a single count. Constant counts tell nothing:
    # R_s = R = 1.
    bias = (0 - (4 - 1)) / (2 * 200 * np.log(2))
    np.testing.assert_allclose(found["mutual_information"], [2 - bias, 0], **EXACT)


def test_the_correction_takes_off_what_chance_adds():
    rng = np.random.default_rng(1)
    stimulus = np.repeat(np.arange(4), 20)
    ds = counted(rng.integers(0, 4, (80, 400)))
    plain = statistics.mutual_information(ds, stimulus, corrected=False)["mutual_information"]
    mended = statistics.mutual_information(ds, stimulus)["mutual_information"]
    # (4 - 1)(4 - 1) / (2 K ln 2) = 0.081 bit is the bias; of 400 neurons its mean has an
    # error of 0.002.
    assert float(plain.mean()) == pytest.approx(0.081, abs=0.01)
    assert abs(float(mended.mean())) < 0.01


def test_shuffling_tells_information_from_chance():
    rng = np.random.default_rng(2)
    stimulus = np.repeat(np.arange(2), 40)
    counts = np.concatenate([rng.poisson(1 + 3 * stimulus)[:, np.newaxis],
                             rng.poisson(2, (80, 200))], axis=1)  # fmt: skip
    ds = counted(counts)
    found = statistics.mutual_information(ds, stimulus, shuffles=99, seed=0)
    p = found["p_value"].values
    assert p[0] == 0.01
    # Under chance p is uniform, or a little larger where counts tie.
    assert 0.4 < p[1:].mean() < 0.65
    xr.testing.assert_identical(
        found, statistics.mutual_information(ds, stimulus, shuffles=99, seed=0)
    )


def test_levels_merge_counts():
    stimulus = np.repeat(np.arange(2), 50)
    counts = np.arange(100)[:, np.newaxis]
    found = statistics.mutual_information(counted(counts), stimulus, levels=2, corrected=False)
    # Half of the counts are below the median: the level is the stimulus.
    assert float(found["mutual_information"][0]) == pytest.approx(1)


def test_information_needs_two_stimuli_and_a_seed_to_shuffle():
    ds = example()
    assert np.isnan(statistics.mutual_information(ds, [1, 1, 1, 1])["mutual_information"]).all()
    with pytest.raises(ValueError, match="at random: give a seed"):
        statistics.mutual_information(ds, [0, 1, 0, 1], shuffles=5)
    with pytest.raises(ValueError, match=r"stimulus of shape \(4,\), got \(3,\)"):
        statistics.mutual_information(ds, [0, 1, 0])


# Latency and decisions.


def test_the_latency_counts_from_the_start_of_the_layers_window():
    ds = recording_of([np.zeros((1, 6, 2), np.int8), np.eye(6, 2, k=-3, dtype=np.int8)[np.newaxis]])
    found = statistics.first_spike_latency(ds)
    np.testing.assert_allclose(found[0] / DT, [np.nan, np.nan, 3, 4])


def test_spikes_to_a_decision_end_with_the_step_it_falls_in():
    values = np.zeros((2, 6, 2), np.float32)
    values[0, 2:, 1] = 9
    values[1, 4:, 0] = 9
    ds = recording_of([np.ones((2, 6, 3), np.int8), np.ones((2, 6, 2), np.int8)], output=values)
    found = statistics.spikes_to_decision(ds)
    # Decided in steps 3 and 5 of the output's window; the first layer runs one step ahead.
    assert found.sel(layer="b").values.tolist() == [6, 10]
    assert found.sel(layer="a").values.tolist() == [12, 18]


# Merging and splitting recordings.


@quick
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 5))
def test_what_is_counted_of_a_whole_is_the_sum_of_its_parts(seed, cut):
    whole = example(seed, samples=6)
    parts = [select(whole, trial=slice(cut)), select(whole, trial=slice(cut, None))]
    merged = concatenate(parts)
    for measure in (
        lambda ds: statistics.isi_histogram(ds),
        lambda ds: statistics.cross_correlogram(ds, DT, 4 * DT),
        lambda ds: statistics.autocorrelogram(ds, DT, 4 * DT),
        lambda ds: statistics.spike_counts(ds).sum("trial"),
        lambda ds: statistics.psth(ds, 5 * DT) * ds.sizes["trial"],
    ):
        total = sum(measure(part).values for part in parts)
        np.testing.assert_allclose(measure(whole).values, total, **EXACT)
        np.testing.assert_array_equal(measure(merged).values, measure(whole).values)


# Silence is data, and every measure says what it is. Warnings are errors in this suite.

MEASURES = {
    "cv2": lambda ds: statistics.cv2(ds),
    "lv": lambda ds: statistics.lv(ds),
    "lvr": lambda ds: statistics.lvr(ds),
    "fano_over_windows": lambda ds: statistics.fano_over_windows(ds, 2 * DT),
    "binned": lambda ds: statistics.binned(ds, 2 * DT),
    "psth": lambda ds: statistics.psth(ds, 2 * DT),
    "population_rate": lambda ds: statistics.population_rate(ds, 2 * DT),
    "instantaneous_rate": lambda ds: statistics.instantaneous_rate(ds, 2 * DT),
    "synchrony": lambda ds: statistics.synchrony(ds, 2 * DT),
    "correlation": lambda ds: statistics.correlation(ds, 2 * DT),
    "cross_correlogram": lambda ds: statistics.cross_correlogram(ds, DT, 3 * DT),
    "autocorrelogram": lambda ds: statistics.autocorrelogram(ds, DT, 3 * DT),
    "sttc": lambda ds: statistics.sttc(ds, DT),
    "van_rossum": lambda ds: statistics.van_rossum(ds, DT),
    "victor_purpura": lambda ds: statistics.victor_purpura(ds, 1 / DT),
    "log_interval_threshold": lambda ds: statistics.log_interval_threshold(ds),
    "hoyer": lambda ds: statistics.hoyer(ds),
    "dead": lambda ds: statistics.dead(ds),
    "saturated": lambda ds: statistics.saturated(ds),
    "first_spike_latency": lambda ds: statistics.first_spike_latency(ds),
    "spikes_to_decision": lambda ds: statistics.spikes_to_decision(ds),
}


@pytest.mark.parametrize("name", MEASURES)
def test_silence_and_no_trials_make_no_warning(name):
    silent = recording_of([np.zeros((3, 5, 3), np.int8), np.zeros((3, 5, 2), np.int8)])
    for ds in (silent, select(silent, trial=[])):
        found = MEASURES[name](ds)
        assert found.name == name
        assert set(found.attrs) == {"units", "long_name"}


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"lvr"}))
def test_the_accessor_has_every_measure(name):
    import spikeram.accessor  # noqa: F401

    arguments = {
        "fano_over_windows": (2 * DT,), "binned": (2 * DT,), "psth": (2 * DT,),
        "population_rate": (2 * DT,), "instantaneous_rate": (2 * DT,), "synchrony": (2 * DT,),
        "correlation": (2 * DT,), "cross_correlogram": (DT, 3 * DT),
        "autocorrelogram": (DT, 3 * DT), "sttc": (DT,), "van_rossum": (DT,),
        "victor_purpura": (1 / DT,),
    }  # fmt: skip
    ds = example()
    found = getattr(ds.spk, name)(*arguments.get(name, ()))
    xr.testing.assert_identical(found, MEASURES[name](ds))


@pytest.mark.filterwarnings("ignore")
def test_local_measures_are_elephants():
    pytest.importorskip(
        "elephant", reason="the elephant extra is not installed", exc_type=ImportError
    )
    from elephant import statistics as oracle

    ds = example(seed=3)
    found = statistics.interval_measures(ds, refractoriness=5 * DT)
    for s, j, times in every_train(ds):
        gaps, here = np.diff(times), found.isel(trial=s, neuron=j)
        np.testing.assert_allclose(here["cv2"], oracle.cv2(gaps), **EXACT)
        np.testing.assert_allclose(here["lv"], oracle.lv(gaps), **EXACT)
        # Elephant takes plain numbers as milliseconds.
        np.testing.assert_allclose(here["lvr"], oracle.lvr(gaps * 1e3, R=5 * DT * 1e3), **EXACT)
