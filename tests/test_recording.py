from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings, strategies as st

from spikeram import recording
from spikeram.errors import RecordingError
from spikeram.recording import concatenate, load, raster, save, select, spike_times, validate

from recordings import DT, charge_layer, random_spikes, recording_of

SIZES = (3, 7, (4, 2, 5))
FORMATS = pytest.mark.parametrize("suffix", [".nc", ".zarr"])
# Examples differ by their seed alone; a deadline would measure the machine.
quick = settings(max_examples=25, deadline=None, derandomize=True)


def example(*, signed=False, **options):
    return recording_of(random_spikes(0, *SIZES, signed=signed), **options)


def silent(samples=2):
    return recording_of([np.zeros((samples, 5, 3), np.int8), np.zeros((samples, 5, 2), np.int8)])


def broken(ds, **values):
    copy = ds.copy(deep=True)
    for name, value in values.items():
        copy[name] = copy[name].copy(data=value)
    return copy


@quick
@given(
    seed=st.integers(0, 2**32),
    samples=st.integers(1, 4),
    steps=st.integers(1, 9),
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    signed=st.booleans(),
)
def test_the_raster_gives_back_the_spikes(seed, samples, steps, widths, signed):
    spikes = random_spikes(seed, samples, steps, widths, signed=signed)
    ds = recording_of(spikes)
    validate(ds)
    for name, given_spikes in zip("abcdef", spikes):
        np.testing.assert_array_equal(raster(ds, name), given_spikes)


def test_spike_times_are_those_of_a_plain_loop():
    spikes = random_spikes(1, *SIZES)
    ds = recording_of(spikes)
    for s in range(3):
        column = 0
        for n, layer in enumerate(spikes):
            for unit in range(layer.shape[2]):
                expected = [(n + k) * DT for k in range(7) if layer[s, k, unit]]
                assert spike_times(ds, s, column).tolist() == expected
                column += 1


def test_encoded_inputs_come_one_step_before_the_first_crossbar():
    ds = recording_of(random_spikes(0, 2, 4, (3, 2)), has_input=True)
    assert recording.layer_names(ds) == ["input", "a"]
    np.testing.assert_allclose(ds["window_start"], [0, 0, 0, DT, DT])
    assert ds["crossbar"].values.tolist() == ["a"]


def test_sign_is_kept_only_where_a_spike_is_negative():
    assert "sign" not in example()
    assert set(np.unique(example(signed=True)["sign"])) == {-1, 1}


def test_counts_alone_keep_the_numbers_and_drop_the_times():
    whole, counts = example(), example(record="counts")
    validate(counts)
    assert "event" not in counts.dims
    np.testing.assert_array_equal(counts["row_size"], whole["row_size"])
    with pytest.raises(RecordingError, match="record='spikes'"):
        raster(counts, "a")


def test_attributes_are_numbers_and_strings_and_provenance_is_json():
    ds = example(provenance={"seed": np.int64(3), "chip": "neurram"})
    assert all(isinstance(value, (str, int, float)) for value in ds.attrs.values())
    provenance = json.loads(ds.attrs["provenance"])
    assert provenance["seed"] == 3
    assert provenance["numpy"] == np.__version__
    assert ds.attrs["duration"] == 7 * DT
    assert ds.attrs["t_stop"] == pytest.approx(9 * DT)


@FORMATS
@pytest.mark.parametrize("signed", [False, True])
def test_a_file_gives_back_the_recording_to_the_bit(tmp_path, suffix, signed):
    ds = example(signed=signed)
    save(ds, tmp_path / f"run{suffix}")
    xr.testing.assert_identical(load(tmp_path / f"run{suffix}"), ds)


@FORMATS
def test_a_file_gives_back_counts_and_silence(tmp_path, suffix):
    for ds in (example(record="counts"), silent(), silent(samples=1)):
        save(ds, tmp_path / f"run{suffix}")
        xr.testing.assert_identical(load(tmp_path / f"run{suffix}"), ds)


def test_a_million_steps_come_back_to_the_bit(tmp_path):
    # A rounded quotient finds the step again as long as it is far below 2**52.
    steps = np.unique(np.random.default_rng(0).integers(0, 10**6, 2000))
    spikes = np.zeros((1, 10**6, 1), np.int8)
    spikes[0, steps, 0] = 1
    ds = recording_of([spikes], output=np.zeros((1, 10**6, 0), np.float32))
    save(ds, tmp_path / "run.nc")
    np.testing.assert_array_equal(load(tmp_path / "run.nc")["t"], steps * DT)


@FORMATS
def test_times_lie_in_files_as_whole_steps(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    save(example(), path)
    engine = "h5netcdf" if suffix == ".nc" else "zarr"
    with xr.open_dataset(path, engine=engine, mask_and_scale=False, decode_times=False) as raw:
        assert raw["t"].dtype == np.int32
        assert raw["t"].attrs["scale_factor"] == DT


@FORMATS
def test_times_between_steps_are_kept_as_they_are(tmp_path, suffix):
    ds = example()
    ds = broken(ds, t=ds["t"].values + 0.3 * DT)
    save(ds, tmp_path / f"run{suffix}")
    xr.testing.assert_identical(load(tmp_path / f"run{suffix}"), ds)


@FORMATS
def test_saving_replaces_an_older_file_and_leaves_nothing_else(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    save(silent(), path)
    save(example(), path)
    xr.testing.assert_identical(load(path), example())
    assert os.listdir(tmp_path) == [path.name]


@FORMATS
def test_an_interrupted_write_leaves_the_older_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"run{suffix}"
    save(silent(), path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf" if suffix == ".nc" else "to_zarr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(example(), path)
    xr.testing.assert_identical(load(path), silent())
    assert os.listdir(tmp_path) == [path.name]


def test_a_failed_rename_puts_the_older_store_back(tmp_path, monkeypatch):
    path = tmp_path / "run.zarr"
    save(silent(), path)
    rename = os.replace

    def refuses_the_new_one(source, target):
        if os.path.basename(source) == "new.zarr":
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuses_the_new_one)
    with pytest.raises(OSError, match="no"):
        save(example(), path)
    xr.testing.assert_identical(load(path), silent())


def test_saving_changes_nothing_in_the_recording(tmp_path):
    ds = example()
    save(ds, tmp_path / "run.nc")
    assert all(not variable.encoding for variable in ds.variables.values())


@FORMATS
def test_a_missing_file_is_refused(tmp_path, suffix):
    with pytest.raises(RecordingError, match="no recording at"):
        load(tmp_path / f"none{suffix}")


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.nc or \.zarr, got 'run.csv'"):
        save(example(), tmp_path / "run.csv")


def test_a_folder_that_is_not_there_is_refused_before_the_run(tmp_path):
    recording.check_path(tmp_path / "run.nc")
    with pytest.raises(ValueError, match=r"There is no folder .*none to save run\.nc in"):
        recording.check_path(tmp_path / "none" / "run.nc")


@FORMATS
def test_labels_of_trials_stay_with_them(tmp_path, suffix):
    whole = example().assign_coords(label=("trial", ["x", "y", "x"]), image=("trial", [7, 8, 9]))
    joined = concatenate([select(whole, trial=[0]), select(whole, trial=[1, 2])])
    save(joined, tmp_path / f"run{suffix}")
    xr.testing.assert_identical(load(tmp_path / f"run{suffix}"), whole)


@FORMATS
def test_a_text_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"notes{suffix}"
    path.write_text("These are not spikes.")
    with pytest.raises(RecordingError, match="damaged, or no recording"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "run.nc"
    save(example(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RecordingError, match="damaged, or no recording"):
        load(path)


@pytest.mark.parametrize("lost", ["t/0", "row_size/0.0", "output/0.0.0", "output"])
def test_a_store_that_lost_a_part_is_refused(tmp_path, lost):
    path = tmp_path / "run.zarr"
    save(example(), path)
    part = path / lost
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(RecordingError):
        load(path)


@pytest.mark.parametrize("name", ["t", "row_size", "output"])
def test_one_flipped_bit_is_noticed(tmp_path, name):
    path = tmp_path / "run.nc"
    save(example(), path)
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="damaged"):
        load(path)


def test_a_damaged_file_loads_or_is_refused_and_prints_nothing(tmp_path, capfd):
    # What fails while it is thrown away is a warning, and warnings are errors in this suite.
    path = tmp_path / "run.nc"
    save(recording_of(random_spikes(0, 2, 3, (2,))), path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    used = np.flatnonzero(whole)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        copy = whole.copy()
        copy[rng.choice(used, 20)] = rng.integers(256, size=20)
        path.write_bytes(copy.tobytes())
        try:
            load(path)
        except RecordingError:
            refused += 1
    gc.collect()
    assert refused > 30
    assert capfd.readouterr().err == ""


def test_a_text_file_prints_nothing_when_it_is_refused(tmp_path):
    path = tmp_path / "run.nc"
    path.write_text("These are not spikes.")
    code = f"from spikeram import recording\nrecording.load({str(path)!r})"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "RecordingError" in failed.stderr
    assert "Exception ignored" not in failed.stderr


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_run(tmp_path):
    (tmp_path / "run.nc").mkdir()
    with pytest.raises(ValueError, match=r"run\.nc is a folder"):
        recording.check_path(tmp_path / "run.nc")
    (tmp_path / "run.zarr").mkdir()
    recording.check_path(tmp_path / "run.zarr")


@FORMATS
def test_another_dataset_is_refused(tmp_path, suffix):
    path = tmp_path / f"weather{suffix}"
    weather = xr.Dataset({"temperature": ("time", [280.0, 281.0])})
    weather.to_netcdf(path, engine="h5netcdf") if suffix == ".nc" else weather.to_zarr(
        path, zarr_format=2
    )
    with pytest.raises(RecordingError, match="no spikeram recording"):
        load(path)


def test_a_future_schema_is_refused(tmp_path):
    ds = example().assign_attrs(spikeram_schema="2")
    ds.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with pytest.raises(RecordingError, match="schema '2', but this version reads '1'"):
        load(tmp_path / "run.nc")


@pytest.mark.parametrize("name", ["t", "row_size", "layer", "output", "active_rows", "cores"])
def test_a_missing_variable_is_named(name):
    with pytest.raises(RecordingError, match=f"lacks the variable '{name}'"):
        validate(example().drop_vars(name))


@pytest.mark.parametrize("name", ["dt", "steps", "duration", "complete"])
def test_a_missing_number_is_named(name):
    ds = example()
    del ds.attrs[name]
    with pytest.raises(RecordingError, match=f"expects a number as {name}, got None"):
        validate(ds)


def test_inconsistent_contents_are_named():
    ds = example()
    t, sizes = ds["t"].values, ds["row_size"].values
    cases = {
        "row_size counts": broken(ds, row_size=sizes + 1),
        "expects finite spike times": broken(ds, t=np.where(t == t[3], np.nan, t)),
        "ascend": broken(ds, t=np.full_like(t, 2 * DT)),
        "outside the window": broken(ds, t=t + 20 * DT),
        "finite outputs": broken(ds, output=ds["output"].values * np.nan),
        "counts >= 0 as 'cores'": broken(ds, cores=-ds["cores"].values),
        "8 steps": ds.assign_attrs(steps=8),
        "'unit' with dims": ds.drop_vars("unit").assign(unit=("event", np.zeros(t.size))),
        "numbers as 't'": broken(ds, t=t.astype(str)),
        "signs of -1 or 1": ds.assign(sign=("event", np.zeros(t.size, np.int8))),
        "record 'spikes' or 'counts'": ds.assign_attrs(record="all"),
        "above 0": ds.assign_attrs(dt=0.0),
    }
    for message, wrong in cases.items():
        with pytest.raises(RecordingError, match=message):
            validate(wrong)


def test_plain_isel_is_noticed_and_select_is_the_remedy():
    ds = example()
    with pytest.raises(RecordingError, match=r"spikeram\.recording\.select"):
        validate(ds.isel(trial=[0]))
    validate(select(ds, trial=[0]))


@quick
@given(seed=st.integers(0, 2**32), data=st.data())
def test_select_takes_the_same_spikes_as_indexing_the_raster(seed, data):
    ds = recording_of(random_spikes(seed, 4, 6, (5,), signed=True))
    trials = data.draw(st.lists(st.integers(0, 3), max_size=6))
    neurons = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=7, unique=True))
    part = select(ds, trial=trials, neuron=neurons)
    validate(part)
    expected = raster(ds, "a").values[trials][:, :, neurons]
    np.testing.assert_array_equal(raster(part, "a"), expected)


def test_select_takes_masks_and_slices_and_leaves_the_whole_as_it_was():
    ds = example()
    mask = np.array([True, False, True])
    xr.testing.assert_identical(select(ds, trial=mask), select(ds, trial=slice(0, None, 2)))
    xr.testing.assert_identical(ds, example())


@quick
@given(cut=st.integers(0, 3), signed=st.booleans())
def test_concatenating_the_parts_gives_the_whole(cut, signed):
    whole = example(signed=signed)
    parts = [select(whole, trial=slice(cut)), select(whole, trial=slice(cut, None))]
    xr.testing.assert_identical(concatenate(parts), whole)


def test_chunks_with_and_without_negative_spikes_join():
    spikes = random_spikes(0, *SIZES)
    negative = tuple(-layer for layer in spikes)
    both = concatenate([recording_of(spikes), recording_of(negative, first_trial=3)])
    validate(both)
    np.testing.assert_array_equal(both["trial"], np.arange(6))
    np.testing.assert_array_equal(raster(both, "b"), np.concatenate([spikes[1], negative[1]]))


def test_counts_join():
    both = concatenate([example(record="counts")] * 2)
    validate(both)
    assert both["row_size"].shape == (6, 11)


def test_a_run_with_fewer_trials_than_requested_is_incomplete():
    assert concatenate([example()], n_trials_requested=5).attrs["complete"] == 0
    whole = concatenate([example(), example()])
    assert (whole.attrs["complete"], whole.attrs["n_trials_requested"]) == (1, 6)


def test_recordings_of_different_runs_do_not_join():
    other = recording_of(random_spikes(0, 3, 7, (4, 2, 4)))
    with pytest.raises(RecordingError, match="the same layer"):
        concatenate([example(), other])
    with pytest.raises(RecordingError, match="record = 'spikes' and 'counts'"):
        concatenate([example(), example(record="counts")])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


def test_a_name_or_position_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="No layer is called 'z': there are a, b, c"):
        raster(example(), "z")
    with pytest.raises(ValueError, match="a trial below 3 and a neuron below 11, got 3 and 0"):
        spike_times(example(), 3, 0)


def test_what_does_not_fit_together_is_refused_when_building():
    spikes = random_spikes(0, 2, 4, (3,))
    twice = [charge_layer("a", 3), charge_layer("a", 3)]
    cases = {
        r"spikes of 2 layers \(input, a\), got 1": dict(has_input=True, layers=twice[:1]),
        r"layer 'a' of shape \(2, 4, 9\), got \(2, 4, 3\)": dict(layers=[charge_layer("a", 9)]),
        r"output of shape \(2, 4\)": dict(output=np.zeros((2, 3, 1), np.float32)),
        r"active_rows of shape \(2, 1\)": dict(active_rows=np.zeros((2, 2), np.int64)),
        "record 'spikes' or 'counts', got 'all'": dict(record="all"),
    }
    for message, options in cases.items():
        with pytest.raises(ValueError, match=message):
            recording_of(spikes, **options)
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        recording_of([2 * spikes[0]])
    with pytest.raises(ValueError, match="a name of its own for each layer, got a twice"):
        recording_of(spikes * 2, layers=twice)


@settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(seed=st.integers(0, 2**32), signed=st.booleans())
def test_any_recording_survives_a_file(tmp_path, seed, signed):
    ds = recording_of(random_spikes(seed, 2, 5, (3, 1), signed=signed))
    save(ds, tmp_path / "run.nc")
    xr.testing.assert_identical(load(tmp_path / "run.nc"), ds)
