"""Recordings that grow on the disk: the same as in memory, resumable, read piece by piece."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

import spikeram as sr
from spikeram import recording, statistics
from spikeram.errors import RecordingError, SimulationInterrupted
from spikeram.recorder import Recorder, open_lazily, trial_blocks

from networks import branching, inputs
from recordings import random_spikes, recording_of

SAMPLES, STEPS = 150, 6
X = inputs(0, SAMPLES, 72)


def run(to=None, **options):
    return sr.simulate(branching(), X, steps=STEPS, to=to, **options)


def content(ds):
    """Return a recording in memory, without what it was to be: parts of a run differ in that."""
    return ds.load().assign_attrs(n_trials_requested=0, complete=1)


def test_a_run_written_as_it_goes_is_the_run_in_memory(tmp_path):
    on_disk = run(tmp_path / "run.zarr")
    xr.testing.assert_identical(content(on_disk), content(run()))
    assert on_disk.attrs["complete"] == 1
    loaded = recording.load(tmp_path / "run.zarr")
    xr.testing.assert_identical(content(loaded), content(run()))


def interrupted_after(batches):
    calls = []

    def progress(done, _):
        calls.append(done)
        if len(calls) == batches:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("batches", [1, 2])
def test_a_run_cut_off_and_resumed_is_the_run(tmp_path, batches):
    path = tmp_path / "run.zarr"
    with pytest.raises(SimulationInterrupted) as stopped:
        run(path, progress=interrupted_after(batches))
    part = stopped.value.recording
    assert 0 < part.sizes["trial"] < SAMPLES
    assert part.attrs["complete"] == 0
    seen = []
    whole = run(path, progress=lambda done, _: seen.append(done))
    # Only what was missing was run.
    assert seen[0] > part.sizes["trial"]
    xr.testing.assert_identical(content(whole), content(run()))


def test_a_store_cut_off_in_the_middle_of_a_write_holds_what_was_whole(tmp_path):
    path = tmp_path / "run.zarr"
    with pytest.raises(SimulationInterrupted):
        run(path, progress=interrupted_after(1))
    group = zarr.open_group(path, mode="r+")
    # Killed after the events of the next batch and before their trials.
    group["t"].append(np.array([1, 2, 3], group["t"].dtype))
    group["sign"].append(np.array([1, 1, 1], group["sign"].dtype))
    lazy = open_lazily(path)
    assert lazy.sizes["event"] == int(lazy["row_size"].sum())
    xr.testing.assert_identical(content(run(path)), content(run()))


def test_a_store_of_another_run_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "run.zarr"
    with pytest.raises(SimulationInterrupted):
        run(path, progress=interrupted_after(1))
    with pytest.raises(RecordingError, match="encoding is 'current' there, not 'rate'"):
        run(path, encoding="rate")
    with pytest.raises(RecordingError, match="another run: inputs is"):
        sr.simulate(branching(), X[::-1], steps=STEPS, to=path)
    xr.testing.assert_identical(content(run(path)), content(run()))
    with pytest.raises(RecordingError, match="holds a complete recording"):
        run(path)


def test_a_name_that_cannot_grow_is_refused_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.zarr, got 'run.nc'"):
        run(tmp_path / "run.nc")
    with pytest.raises(ValueError, match="There is no folder"):
        run(tmp_path / "nowhere" / "run.zarr")


def test_foreign_and_damaged_stores_are_refused(tmp_path):
    foreign = tmp_path / "foreign.zarr"
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(foreign, zarr_format=2)
    with pytest.raises(RecordingError, match="is no recording: it has no complete"):
        run(foreign)
    path = tmp_path / "run.zarr"
    run(path)
    shutil.rmtree(path / "row_size")
    with pytest.raises(RecordingError, match="lacks the variable 'row_size'"):
        open_lazily(path)
    with pytest.raises(RecordingError, match="There is no recording at"):
        open_lazily(tmp_path / "none.zarr")


def test_negative_spikes_that_come_late_are_kept(tmp_path):
    signed = recording_of(random_spikes(0, 3, 5, (4,), signed=True))
    plain = recording_of(random_spikes(1, 2, 5, (4,)))
    with Recorder(tmp_path / "run.zarr", n_trials=5, provenance={}) as recorder:
        recorder.append(plain)
        recorder.append(signed)
        found = recorder.result()
    expected = recording.concatenate([plain, signed])
    np.testing.assert_array_equal(found["sign"], expected["sign"])
    np.testing.assert_array_equal(found["t"], expected["t"])


def test_a_run_of_counts_keeps_no_events(tmp_path):
    found = run(tmp_path / "run.zarr", record="counts")
    assert "t" not in found.variables
    np.testing.assert_array_equal(found["row_size"], run()["row_size"])


@pytest.mark.parametrize("events", [1, 50, 10**6])
def test_blocks_of_trials_are_the_recording(events):
    ds = recording_of(random_spikes(0, 7, 20, (5, 3)))
    blocks = list(trial_blocks(ds, events=events))
    xr.testing.assert_identical(content(recording.concatenate(blocks)), content(ds))
    if events == 50:
        assert 1 < len(blocks) <= 7


def test_a_lazy_recording_has_the_summary_of_one_in_memory(tmp_path):
    run(tmp_path / "run.zarr")
    lazy = open_lazily(tmp_path / "run.zarr")
    xr.testing.assert_allclose(statistics.summary(lazy), statistics.summary(run()))
