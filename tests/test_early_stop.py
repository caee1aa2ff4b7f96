"""Samples that stop when they are sure, in a run and after it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spikeram as sr
from spikeram import recording, statistics
from spikeram.clocked import Clocked
from spikeram.conversion import convert
from spikeram.energy import energy, latency
from spikeram.errors import EngineError
from spikeram.simulation import simulate
from spikeram.statistics import early_decision
from spikeram.stopping import EarlyStop

from networks import branching, inputs, trained

STEPS = 12


@pytest.fixture(scope="module")
def network():
    return convert(trained(), inputs(0, 60), steps=STEPS)


@pytest.fixture(scope="module")
def x():
    return inputs(1, 80)


RULES = [
    {"margin": 0.3},
    {"margin": 0.4, "min_steps": 3},
    {"confidence": 0.6},
    {"confidence": 0.4, "min_steps": 2},
    {"margin": 1e9},
    {"margin": 0.0},
]


def same_decisions(stopped, whole, **rule):
    expected = early_decision(whole, **rule)
    np.testing.assert_array_equal(stopped["stopped"], expected["steps"])
    np.testing.assert_array_equal(statistics.prediction(stopped), expected["category"])
    again = early_decision(stopped, **rule)
    np.testing.assert_array_equal(again["steps"], expected["steps"])
    return expected["steps"].values


def same_as_shorter_runs(stopped, run):
    """Check each sample to be that of a run of as many steps as it had."""
    for steps in np.unique(stopped["stopped"]):
        some = np.flatnonzero(stopped["stopped"] == steps)
        short = run(int(steps)).isel(trial=some)
        for name in ("row_size", "active_rows", "active_steps"):
            np.testing.assert_array_equal(stopped[name].isel(trial=some), short[name])
        np.testing.assert_array_equal(
            stopped["output"].isel(trial=some)[:, :steps], short["output"]
        )


@pytest.mark.parametrize("rule", RULES)
def test_samples_decide_as_they_do_after_a_full_run(network, x, rule):
    whole = simulate(network, x, record="counts")
    stopped = simulate(network, x, record="counts", stop=EarlyStop(**rule))
    steps = same_decisions(stopped, whole, **rule)
    if rule in RULES[:4]:
        assert 1 < np.unique(steps).size
    same_as_shorter_runs(stopped, lambda k: simulate(network, x, record="counts", steps=k))


@pytest.mark.parametrize("encoding", ["rate", "poisson"])
def test_input_spikes_stop_too(network, x, encoding):
    rule = {"margin": 0.5}

    def run(steps=STEPS, **options):
        return simulate(
            network, x, steps=steps, encoding=encoding, seed=3, record="counts", **options
        )

    stopped = run(stop=EarlyStop(**rule))
    assert np.unique(same_decisions(stopped, run(), **rule)).size > 2
    same_as_shorter_runs(stopped, run)


def test_noise_of_those_that_go_on_is_what_it_was(network, x):
    programmed = sr.program(network, chip="neurram_analog", seed=2)
    assert any(layer.read is not None for layer in programmed.charge_layers())
    rule = {"margin": 0.2}

    def run(steps=STEPS, **options):
        return simulate(programmed, x, steps=steps, seed=4, record="counts", **options)

    stopped = run(stop=EarlyStop(**rule))
    assert np.unique(same_decisions(stopped, run(), **rule)).size > 2
    same_as_shorter_runs(stopped, run)


def test_branches_pools_and_the_first_spike_stop_too():
    network, x = branching(), np.random.default_rng(5).random((40, 72))
    for decoding, rule in (("membrane", {"margin": 1.0}), ("first", {})):
        whole = simulate(network, x, record="counts", decoding=decoding)
        stopped = simulate(network, x, record="counts", decoding=decoding, stop=EarlyStop(**rule))
        assert np.unique(same_decisions(stopped, whole, **rule)).size > 2


def test_recorded_spikes_end_where_a_sample_stops(network, x):
    stop = EarlyStop(margin=0.5)
    stopped, whole = simulate(network, x, stop=stop), simulate(network, x)
    recording.validate(stopped)
    for name in recording.layer_names(whole):
        expected = whole.spk.raster(name).values.copy()
        for trial, steps in zip(expected, stopped["stopped"].values):
            trial[steps:] = 0
        np.testing.assert_array_equal(stopped.spk.raster(name), expected)


def test_outputs_of_some_steps_hold_the_decision(network, x):
    stop = EarlyStop(margin=0.5)
    full = simulate(network, x, record="counts", stop=stop)
    some = simulate(network, x, record="counts", stop=stop, outputs_at=[2, 5])
    np.testing.assert_array_equal(some["output"], full["output"].sel(step=[2, 5, STEPS]))
    np.testing.assert_array_equal(some["stopped"], full["stopped"])


def test_samples_that_stopped_are_not_simulated(network, x, monkeypatch):
    simulated = []
    run = Clocked.run

    def counted(self, *args, **options):
        for (activity,) in run(self, *args, **options):
            simulated.append(activity.membrane.shape[:2])
            yield [activity]

    monkeypatch.setattr(Clocked, "run", counted)
    found = simulate(network, x, record="counts", stop=EarlyStop(margin=0.2, min_steps=2))
    assert sum(samples * steps for samples, steps in simulated) == found["stopped"].sum()
    assert found["stopped"].sum() < 0.8 * STEPS * len(x)


def test_energies_latencies_and_rates_are_those_of_the_steps_that_ran(network, x):
    stopped = simulate(network, x, record="counts", stop=EarlyStop(margin=0.5))
    for steps in np.unique(stopped["stopped"]):
        some = np.flatnonzero(stopped["stopped"] == steps)
        short = simulate(network, x, record="counts", steps=int(steps)).isel(trial=some)
        part = stopped.isel(trial=some)
        np.testing.assert_array_equal(energy(part).values, energy(short).values)
        np.testing.assert_allclose(latency(part), latency(short), rtol=1e-12)
        np.testing.assert_allclose(statistics.rate(part), statistics.rate(short), rtol=1e-12)


def test_stores_and_batches_hold_where_samples_stopped(network, x, tmp_path):
    stop = EarlyStop(margin=0.5)
    whole = simulate(network, x, record="counts", stop=stop)
    assert len(x) > 64
    stored = simulate(network, x, record="counts", stop=stop, to=tmp_path / "run.zarr")
    np.testing.assert_array_equal(stored["stopped"], whole["stopped"])
    assert json.loads(whole.attrs["provenance"])["stop"]["margin"] == 0.5
    recording.save(whole, tmp_path / "run.nc")
    np.testing.assert_array_equal(sr.load(tmp_path / "run.nc")["stopped"], whole["stopped"])


@pytest.mark.parametrize("engine", ["event", "brian2"])
def test_an_engine_that_cannot_stop_says_so(network, x, engine):
    with pytest.raises(EngineError, match="cannot stop it early. Use engine='clocked'"):
        simulate(network, x[:2], engine=engine, stop=EarlyStop())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"confidence": 1.5}, "confidence from 0 to 1, got 1.5"),
        ({"margin": -1.0}, "margin >= 0, got -1"),
        ({"margin": np.nan}, "margin >= 0, got nan"),
        ({"min_steps": 1.5}, "whole number min_steps"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        EarlyStop(**rule)


def test_rules_that_do_not_fit_the_run_are_refused(network, x):
    with pytest.raises(ValueError, match=f"min_steps from 1 to {STEPS}, got 0"):
        simulate(network, x, stop=EarlyStop(min_steps=0))
    with pytest.raises(ValueError, match=f"min_steps from 1 to {STEPS}, got 13"):
        simulate(network, x, stop=EarlyStop(min_steps=STEPS + 1))
    with pytest.raises(ValueError, match="knows no margin"):
        simulate(network, x, decoding="first", stop=EarlyStop(margin=1.0))
