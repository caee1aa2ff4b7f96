from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

import spikeram.accessor  # noqa: F401
from spikeram import statistics
from spikeram.errors import RecordingError
from spikeram.recording import layer_names, raster, select, spike_times

from recordings import DT, charge_layer, random_spikes, recording_of

# Times are multiples of dt with rounding errors near 1e-16 of a window of some tens of steps;
# differences of them, and moments over a few dozen, stay well within this.
CLOSE = dict(rtol=1e-12, atol=1e-13)
quick = settings(max_examples=25, deadline=None, derandomize=True)


def example(seed=0, samples=6, steps=40, widths=(5, 3), **options):
    return recording_of(random_spikes(seed, samples, steps, widths), **options)


def silent(samples=3):
    return recording_of([np.zeros((samples, 5, 3), np.int8), np.zeros((samples, 5, 2), np.int8)])


def trains(*patterns):
    """Return a recording of one trial with one neuron for each pattern of "|" and "."."""
    rows = [[mark == "|" for mark in pattern] for pattern in patterns]
    return recording_of([np.array(rows, dtype=np.int8).T[np.newaxis]])


def every_train(ds):
    for s in range(ds.sizes["trial"]):
        for j in range(ds.sizes["neuron"]):
            yield s, j, spike_times(ds, s, j)


def moved(ds, time):
    """Return the recording with all spikes and windows later by `time`."""
    return ds.assign(t=ds["t"] + time, window_start=ds["window_start"] + time)


# Plain loops and closed forms.


def test_counts_and_rates_are_those_of_a_plain_loop():
    ds = example()
    for s, j, times in every_train(ds):
        assert statistics.spike_counts(ds)[s, j] == times.size
        assert float(statistics.rate(ds)[s, j]) == pytest.approx(times.size / (40 * DT))


def test_the_window_is_the_layers_and_not_the_last_spikes():
    ds = trains("|...")
    assert float(statistics.rate(ds)[0, 0]) == pytest.approx(1 / (4 * DT))


def test_cv_is_that_of_a_plain_loop():
    ds = example()
    found = statistics.cv(ds)
    for s, j, times in every_train(ds):
        intervals = np.diff(times)
        assert found["n"][s, j] == intervals.size
        np.testing.assert_allclose(found[s, j], intervals.std() / intervals.mean(), **CLOSE)


def test_cv_needs_two_intervals():
    found = statistics.cv(trains("......", "..|...", "..|..|", "|..|.|"))[0]
    # Intervals of 3 and 2 steps: mean 2.5, standard deviation 0.5.
    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, 0.2], **CLOSE)
    assert found["n"].values.tolist() == [0, 0, 1, 2]


def test_intervals_are_those_of_a_plain_loop():
    ds = example()
    found = statistics.isi(ds)
    expected = np.concatenate([np.diff(times) for _, _, times in every_train(ds)])
    np.testing.assert_array_equal(found, expected)
    of_b = statistics.isi(ds, layer="b")
    np.testing.assert_array_equal(of_b, found[found["layer"].values == "b"])
    np.testing.assert_array_equal(of_b["unit"], found["unit"][found["layer"].values == "b"])


def test_the_default_histogram_counts_whole_steps():
    ds = trains("|.|..|....", "||........")
    found = statistics.isi_histogram(ds)
    np.testing.assert_allclose(found["interval"], np.arange(1, 10) * DT)
    assert found.sel(layer="a").values.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert found["n"].values.tolist() == [3]


def test_the_histogram_of_a_layer_is_that_of_its_intervals():
    ds, edges = example(), np.array([0.5, 2.5, 3.5, 9.5]) * DT
    found = statistics.isi_histogram(ds, edges)
    for name in ("a", "b"):
        expected, _ = np.histogram(statistics.isi(ds, layer=name), edges)
        np.testing.assert_array_equal(found.sel(layer=name), expected)
    with pytest.raises(ValueError, match="two ascending edges"):
        statistics.isi_histogram(ds, [1.0, 0.0])


def test_a_histogram_of_one_step_is_empty():
    assert statistics.isi_histogram(trains("|", "|")).sum() == 0


def test_fano_factor_is_variance_by_mean():
    ds = example()
    counts = ds["row_size"].values.astype(float)
    for ddof in (0, 1):
        expected = counts.var(axis=0, ddof=ddof) / counts.mean(axis=0)
        np.testing.assert_allclose(statistics.fano_factor(ds, ddof=ddof), expected, **CLOSE)
    assert statistics.fano_factor(ds)["n"] == 6


def test_one_trial_has_no_fano_factor():
    assert np.isnan(statistics.fano_factor(example(samples=1))).all()
    assert np.isnan(statistics.fano_factor(example(samples=2), ddof=2)).all()


def test_sparsity_is_the_share_of_silent_neurons():
    found = statistics.sparsity(trains("....", ".|..", "....", "...."))
    assert found.sel(layer="a").values.tolist() == [0.75]
    assert found["n"].values.tolist() == [4]


def test_treves_rolls_runs_from_0_for_equal_to_1_for_single_neurons():
    equal, alone = trains("||..", "|.|.", ".||."), trains("||..", "....", "....")
    assert float(statistics.treves_rolls(equal)[0, 0]) == pytest.approx(0)
    assert float(statistics.treves_rolls(alone)[0, 0]) == pytest.approx(1)
    # Rates 2, 1, 0: (1 - 1 / (5/3)) / (1 - 1/3).
    assert float(statistics.treves_rolls(trains("||", "|.", ".."))[0, 0]) == pytest.approx(0.6)
    assert np.isnan(statistics.treves_rolls(trains("|.|"))[0, 0])


def test_averages_over_trials_and_layers_are_plain_means():
    ds = example()
    rates = statistics.rate(ds).values
    np.testing.assert_allclose(statistics.rate(ds, average="trial"), rates.mean(axis=0), **CLOSE)
    layers = np.stack([rates[:, :5].mean(axis=1), rates[:, 5:].mean(axis=1)], axis=1)
    np.testing.assert_allclose(statistics.rate(ds, average="layer"), layers, **CLOSE)
    assert statistics.rate(ds, average="trial")["n"] == 6
    assert statistics.rate(ds, average="layer")["n"].values.tolist() == [5, 3]
    with pytest.raises(ValueError, match="'trial', 'layer' or None, got 'time'"):
        statistics.rate(ds, average="time")


def test_spikes_per_layer_add_up_the_raster():
    ds = example()
    for name in ("a", "b"):
        expected = raster(ds, name).sum(["step", "unit"])
        np.testing.assert_array_equal(statistics.spikes_per_layer(ds).sel(layer=name), expected)


def test_a_negative_spike_counts_as_one():
    spikes = random_spikes(0, 2, 9, (4,), signed=True)
    ds = recording_of(spikes)
    np.testing.assert_array_equal(statistics.spike_counts(ds), np.abs(spikes[0]).sum(axis=1))


def test_an_active_pair_of_rows_drives_every_column():
    active = np.array([[10, 3], [0, 7]])
    ds = recording_of(random_spikes(0, 2, 4, (5, 3)), active_rows=active)
    assert statistics.synaptic_operations(ds).values.tolist() == [[50, 9], [0, 21]]


# Decisions.


def outputs(values):
    values = np.asarray(values, dtype=np.float32)
    return recording_of([np.zeros(values.shape, np.int8)], output=values)


def test_the_largest_output_decides_and_the_first_of_equals():
    ds = outputs([[[0, 1, 0], [2, 1, 3]], [[0, 0, 0], [5, 5, 1]]])
    assert statistics.prediction(ds).values.tolist() == [2, 0]
    assert statistics.prediction(ds, step=1).values.tolist() == [1, 0]
    assert statistics.prediction(ds, classes=["x", "y", "z"]).values.tolist() == ["z", "x"]


def test_a_single_output_decides_by_its_sign():
    ds = outputs([[[0.0]], [[0.1]], [[-2.0]]])
    assert statistics.prediction(ds).values.tolist() == [0, 1, 0]
    assert statistics.prediction(ds, classes=[-1, 1]).values.tolist() == [-1, 1, -1]


def test_accuracy_after_each_step_is_the_share_of_correct_predictions():
    ds = outputs([[[0, 1], [1, 0]], [[0, 1], [0, 1]], [[1, 0], [1, 0]], [[1, 0], [0, 1]]])
    found = statistics.accuracy(ds, [1, 1, 1, 1])
    assert found["step"].values.tolist() == [1, 2]
    assert found.values.tolist() == [0.5, 0.5]
    assert statistics.accuracy(ds, ["b"] * 4, classes=["b", "c"]).values.tolist() == [0.5, 0.5]
    assert found["n"] == 4


@pytest.mark.parametrize("step", [1, 7])
def test_accuracy_and_prediction_agree(step):
    ds = example(steps=7)
    labels = np.arange(6) % 3
    share = np.mean(statistics.prediction(ds, step=step).values == labels)
    assert float(statistics.accuracy(ds, labels).sel(step=step)) == pytest.approx(share)


def test_labels_classes_and_steps_that_do_not_fit_are_refused():
    ds = example()
    with pytest.raises(ValueError, match=r"labels of shape \(6,\), got \(5,\)"):
        statistics.accuracy(ds, np.zeros(5))
    with pytest.raises(ValueError, match=r"expects 3 labels, got shape \(2,\)"):
        statistics.prediction(ds, classes=[0, 1])
    with pytest.raises(ValueError, match="a step from 1 to 40, got 0"):
        statistics.prediction(ds, step=0)


def test_labels_that_are_no_classes_are_named():
    ds = example()
    with pytest.raises(ValueError, match=r"labels among the classes 0, 1, 2, got -1, 7\."):
        statistics.accuracy(ds, [0, 7, 1, -1, 2, 7])
    with pytest.raises(ValueError, match=r"among the classes 'x', 'y', 'z', got 'w'\."):
        statistics.accuracy(ds, ["w"] * 6, classes=["x", "y", "z"])
    named = ds.assign_coords(category=("category", [3, 4, 5]))
    with pytest.raises(ValueError, match=r"among the classes 3, 4, 5, got 0\."):
        statistics.accuracy(named, np.zeros(6, dtype=int))
    with pytest.raises(ValueError, match=r"got 'a'\."):
        statistics.accuracy(ds, ["a"] * 6)


# Early decisions.


def decided_by_hand(values, *, sure, min_steps):
    """Return (class, steps) of one trial, from its outputs step by step."""
    for k, now in enumerate(values, start=1):
        if k >= min_steps and sure(now):
            return int(np.argmax(now)), k
    return int(np.argmax(values[-1])), len(values)


@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    confidence=st.floats(0, 1),
    margin=st.none() | st.floats(0, 3),
    min_steps=st.integers(1, 6),
)
def test_early_decisions_are_those_of_a_plain_loop(seed, confidence, margin, min_steps):
    values = np.random.default_rng(seed).normal(0, 2, (5, 6, 4)).astype(np.float32)
    found = statistics.early_decision(
        outputs(values), confidence=confidence, min_steps=min_steps, margin=margin
    )

    def sure(now):
        if margin is not None:
            second, first = sorted(now.astype(float))[-2:]
            return first - second > margin
        shares = np.exp(now.astype(float))
        return shares.max() / shares.sum() > confidence

    for s in range(5):
        expected = decided_by_hand(values[s], sure=sure, min_steps=min_steps)
        assert (int(found["category"][s]), int(found["steps"][s])) == expected


def test_a_decision_that_is_never_sure_takes_all_steps():
    ds = example(steps=7)
    found = statistics.early_decision(ds, confidence=1.0)
    assert found["steps"].values.tolist() == [7] * 6
    np.testing.assert_array_equal(found["category"], statistics.prediction(ds))


def test_a_decision_is_the_prediction_after_its_steps():
    ds = example(steps=9)
    found = statistics.early_decision(ds, margin=0.5, classes=["x", "y", "z"])
    for s, k in enumerate(found["steps"].values):
        predicted = statistics.prediction(ds, step=int(k), classes=["x", "y", "z"])
        assert found["category"][s] == predicted[s]


def test_the_softmax_of_large_outputs_does_not_overflow():
    found = statistics.early_decision(outputs([[[1e5, -1e5]], [[3e38, 3e38]]]), confidence=0.9)
    assert found["category"].values.tolist() == [0, 0]


@pytest.mark.parametrize(("options", "steps"), [({"confidence": 0.9}, 2), ({"margin": 4.0}, 3)])
def test_a_single_output_is_sure_on_either_side_of_zero(options, steps):
    # The softmax of 0 and 2.3 gives the second 0.909, and that of 0 and 2.1 gives it 0.891.
    ds = outputs([[[2.1], [2.3], [4.1], [0.0]], [[-2.1], [-2.3], [-4.1], [0.0]]])
    found = statistics.early_decision(ds, **options)
    assert found["steps"].values.tolist() == [steps, steps]
    assert found["category"].values.tolist() == [1, 0]


def test_labels_give_early_decisions_an_accuracy():
    ds = outputs([[[0, 9], [0, 9]], [[0, 0], [9, 0]], [[9, 0], [0, 9]]])
    found = statistics.early_decision(ds, labels=[1, 0, 1])
    assert found["steps"].values.tolist() == [1, 2, 1]
    assert float(found["accuracy"]) == pytest.approx(2 / 3)
    assert float(found["mean_steps"]) == pytest.approx(4 / 3)
    assert found["n"] == 3
    assert "accuracy" not in statistics.early_decision(ds)
    with pytest.raises(ValueError, match=r"labels of shape \(3,\), got \(2,\)"):
        statistics.early_decision(ds, labels=[0, 1])


def test_early_decisions_of_no_trials_are_none():
    ds = select(example(), trial=[])
    found = statistics.early_decision(ds, labels=[])
    assert found.sizes["trial"] == 0
    assert np.isnan(found["accuracy"])


def by_first(values):
    values = np.asarray(values, dtype=np.float32)
    return recording_of(
        [np.zeros(values.shape, np.int8)], output=values, provenance={"decoding": "first"}
    )


def test_scores_of_the_first_to_fire_decide_with_the_first_spike():
    ds = by_first([[[0, -0.5], [-0.5, 0.25], [-0.5, 0.6]], [[0, -0.5], [-0.5, 0], [0, -0.5]]])
    found = statistics.early_decision(ds)
    assert found["steps"].values.tolist() == [2, 3]
    assert found["category"].values.tolist() == [1, 0]
    assert statistics.early_decision(ds, min_steps=3)["steps"].values.tolist() == [3, 3]


def test_scores_of_the_first_to_fire_have_no_margin_and_no_error():
    ds = by_first([[[0, -0.5]]])
    with pytest.raises(ValueError, match="knows no margin"):
        statistics.early_decision(ds, margin=1.0)
    with pytest.raises(ValueError, match="Simulate with decoding='membrane'"):
        statistics.root_mean_square_error(ds, [[0, 0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.5}, "confidence from 0 to 1, got 1.5"),
        ({"confidence": np.nan}, "confidence from 0 to 1, got nan"),
        ({"margin": -1.0}, "margin >= 0, got -1.0"),
        ({"min_steps": 0}, "min_steps from 1 to 40, got 0"),
        ({"min_steps": 41}, "min_steps from 1 to 40, got 41"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        statistics.early_decision(example(), **options)


def test_the_error_of_a_regression_is_that_of_a_plain_loop():
    values = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    targets = np.random.default_rng(1).normal(size=(4, 2))
    found = statistics.root_mean_square_error(outputs(values), targets)
    for k in range(3):
        expected = np.sqrt(np.mean((values[:, k] - targets) ** 2))
        # Outputs are float32, of which 24 bits count.
        assert float(found[k]) == pytest.approx(expected, rel=1e-6)
    assert found["n"] == 4
    single = statistics.root_mean_square_error(outputs(values[..., :1]), targets[:, 0])
    assert float(single[-1]) == pytest.approx(
        np.sqrt(np.mean((values[:, -1, 0] - targets[:, 0]) ** 2)), rel=1e-6
    )
    with pytest.raises(ValueError, match=r"targets of shape \(4, 2\), got \(4,\)"):
        statistics.root_mean_square_error(outputs(values), targets[:, 0])


def test_what_is_a_regression_follows_from_classes_and_targets():
    ds = example()
    assert statistics.is_regression(ds, np.full(6, 0.5))
    assert statistics.is_regression(ds, np.zeros((6, 3)))
    assert not statistics.is_regression(ds, np.zeros(6, dtype=int))
    named = ds.assign_coords(category=("category", [0, 1, 2]))
    assert not statistics.is_regression(named, np.zeros(6))


# Silence is data. Warnings are errors in this suite.


def test_silence_has_rate_0_and_no_intervals():
    ds = silent()
    assert (statistics.rate(ds) == 0).all()
    assert (statistics.sparsity(ds) == 1).all()
    for measure in (statistics.cv, statistics.fano_factor, statistics.treves_rolls):
        assert np.isnan(measure(ds)).all()
    assert statistics.isi(ds).size == 0
    assert statistics.isi_histogram(ds).sum() == 0


def test_the_summary_of_silence_and_of_no_trials_is_made_without_a_warning():
    for ds in (silent(), silent(samples=1), select(example(), trial=[])):
        assert statistics.summary(ds).sizes == {"layer": 2}


def test_a_recording_of_counts_has_rates_but_no_intervals():
    ds = example(record="counts")
    np.testing.assert_array_equal(statistics.rate(ds), statistics.rate(example()))
    with pytest.raises(RecordingError, match="no times"):
        statistics.cv(ds)
    assert "cv" not in statistics.summary(ds)


# Properties.


@quick
@given(seed=st.integers(0, 2**32), shift=st.floats(-1e-3, 1e-3))
def test_cv_does_not_depend_on_when_a_recording_starts(seed, shift):
    ds = example(seed)
    # Times near 1e-3 s are rounded to 1e-19 s, 1e-13 of a step.
    np.testing.assert_allclose(
        statistics.cv(moved(ds, shift)), statistics.cv(ds), rtol=1e-11, atol=1e-11
    )


@quick
@given(seed=st.integers(0, 2**32), scale=st.floats(1e-6, 1e6))
def test_cv_does_not_depend_on_the_unit_of_time(seed, scale):
    ds = example(seed)
    np.testing.assert_allclose(
        statistics.cv(ds.assign(t=ds["t"] * scale)), statistics.cv(ds), **CLOSE
    )


@quick
@given(seed=st.integers(0, 2**32), order=st.permutations(range(6)))
def test_the_order_of_trials_does_not_matter(seed, order):
    ds = example(seed)
    shuffled = select(ds, trial=order)
    np.testing.assert_array_equal(statistics.cv(shuffled), statistics.cv(ds)[order])
    np.testing.assert_allclose(
        statistics.fano_factor(shuffled), statistics.fano_factor(ds), **CLOSE
    )


@quick
@given(seed=st.integers(0, 2**32), order=st.permutations(range(5)))
def test_the_order_of_neurons_does_not_matter(seed, order):
    ds = example(seed, widths=(5,))
    shuffled = select(ds, neuron=order)
    np.testing.assert_array_equal(statistics.cv(shuffled), statistics.cv(ds)[:, order])
    np.testing.assert_allclose(
        statistics.treves_rolls(shuffled), statistics.treves_rolls(ds), **CLOSE
    )


@quick
@given(seed=st.integers(0, 2**32))
def test_every_interval_falls_into_the_default_histogram(seed):
    ds = example(seed)
    assert statistics.isi_histogram(ds).sum() == statistics.isi(ds).size


# The summary, the labels and the accessor.


def test_the_summary_holds_the_means_of_each_layer():
    ds = example(has_input=True)
    table = statistics.summary(ds)
    assert table["layer"].values.tolist() == layer_names(ds) == ["input", "a"]
    assert table["neurons"].values.tolist() == [5, 3]
    np.testing.assert_allclose(table["spikes"], statistics.spikes_per_layer(ds).mean("trial"))
    np.testing.assert_allclose(table["cv"][1], statistics.cv(ds)[:, 5:].mean(), **CLOSE)
    np.testing.assert_allclose(table["fano_factor"][1], statistics.fano_factor(ds)[5:].mean())
    operations = float(statistics.synaptic_operations(ds).mean())
    np.testing.assert_allclose(table["synaptic_operations"], [np.nan, operations])
    assert list(table.to_dataframe().index) == ["input", "a"]


def test_layers_keep_their_order_whatever_their_names():
    layers = [charge_layer(name, 2) for name in ("hidden", "dense", "conv")]
    ds = recording_of(random_spikes(0, 2, 5, (2, 2, 2)), layers=layers)
    assert statistics.summary(ds)["layer"].values.tolist() == ["hidden", "dense", "conv"]


def test_every_measure_carries_units_and_a_name():
    ds = example()
    measures = [
        statistics.spike_counts(ds),
        statistics.spikes_per_layer(ds),
        statistics.rate(ds),
        statistics.isi(ds),
        statistics.isi_histogram(ds),
        statistics.cv(ds),
        statistics.fano_factor(ds),
        statistics.sparsity(ds),
        statistics.treves_rolls(ds),
        statistics.synaptic_operations(ds),
        statistics.prediction(ds),
        statistics.accuracy(ds, np.zeros(6)),
        statistics.root_mean_square_error(ds, np.zeros((6, 3))),
        *statistics.summary(ds).values(),
        *statistics.early_decision(ds, labels=np.zeros(6)).values(),
    ]
    for measure in measures:
        assert measure.name
        assert set(measure.attrs) == {"units", "long_name"}


def test_no_measure_changes_the_recording():
    ds = example()
    statistics.summary(ds)
    statistics.prediction(ds)
    statistics.isi_histogram(ds)
    xr.testing.assert_identical(ds, example())


def test_the_accessor_gives_what_the_functions_give():
    ds, labels = example(), np.zeros(6)
    pairs = [
        (ds.spk.counts(), statistics.spike_counts(ds)),
        (ds.spk.spikes(), statistics.spikes_per_layer(ds)),
        (ds.spk.rate("layer"), statistics.rate(ds, average="layer")),
        (ds.spk.isi("a"), statistics.isi(ds, layer="a")),
        (ds.spk.isi_histogram(), statistics.isi_histogram(ds)),
        (ds.spk.cv(), statistics.cv(ds)),
        (ds.spk.fano_factor(1), statistics.fano_factor(ds, ddof=1)),
        (ds.spk.sparsity(), statistics.sparsity(ds)),
        (ds.spk.treves_rolls(), statistics.treves_rolls(ds)),
        (ds.spk.synaptic_operations(), statistics.synaptic_operations(ds)),
        (ds.spk.prediction(3), statistics.prediction(ds, step=3)),
        (ds.spk.accuracy(labels), statistics.accuracy(ds, labels)),
        (
            ds.spk.early_decision(margin=0.5, min_steps=2, labels=labels),
            statistics.early_decision(ds, margin=0.5, min_steps=2, labels=labels),
        ),
        (ds.spk.summary(), statistics.summary(ds)),
        (ds.spk.raster("b"), raster(ds, "b")),
        (ds.spk.select(trial=[0]), select(ds, trial=[0])),
    ]
    for found, expected in pairs:
        xr.testing.assert_identical(found, expected)
    np.testing.assert_array_equal(ds.spk.spike_times(1, 2), spike_times(ds, 1, 2))


# Elephant as an oracle. Differences by intent: with one interval its CV is 0, ours NaN, and so
# is our Fano factor of one trial, which it gives as 0.


@pytest.fixture(scope="module")
def elephant():
    pytest.importorskip(
        "elephant", reason="the elephant extra is not installed", exc_type=ImportError
    )
    from elephant import statistics as oracle

    return oracle


@pytest.mark.filterwarnings("ignore")
def test_intervals_cv_and_fano_factor_are_elephants(elephant):
    ds = example(seed=3)
    found, fano = statistics.cv(ds), statistics.fano_factor(ds)
    for s, j, times in every_train(ds):
        np.testing.assert_allclose(found[s, j], elephant.cv(elephant.isi(times)), **CLOSE)
        assert found["n"][s, j] >= 2
    for j in range(ds.sizes["neuron"]):
        same_neuron = [spike_times(ds, s, j) for s in range(ds.sizes["trial"])]
        np.testing.assert_allclose(fano[j], elephant.fanofactor(same_neuron), **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_rates_are_elephants(elephant):
    neo = pytest.importorskip("neo", reason="the elephant extra is not installed")
    ds = example(seed=4, samples=2)
    start = ds["window_start"].values
    for s, j, times in every_train(ds):
        stop = start[j] + ds.attrs["duration"]
        train = neo.SpikeTrain(times, units="s", t_start=start[j], t_stop=stop)
        expected = elephant.mean_firing_rate(train).rescale("Hz").item()
        assert float(statistics.rate(ds)[s, j]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_two_spikes_are_no_regular_train_unlike_elephants(elephant):
    ds = trains("..|..|")
    assert elephant.cv(elephant.isi(spike_times(ds, 0, 0))) == 0
    assert np.isnan(statistics.cv(ds)[0, 0])
