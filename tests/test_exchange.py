"""Spikes to other tools and back, and what other tools' own readers make of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram import exchange, recording, statistics
from spikeram.errors import RecordingError
from spikeram.exchange.distances import pyspike_matrix

from recordings import DT, random_spikes, recording_of

quick = settings(max_examples=25, deadline=None, derandomize=True)


def example(seed=0, samples=3, steps=20, widths=(4, 3), **options):
    return recording_of(random_spikes(seed, samples, steps, widths, **options))


def assert_same_spikes(found, expected, *, signs=True, atol=0.0):
    np.testing.assert_array_equal(found["row_size"], expected["row_size"])
    # Files in milliseconds, or with trials one after the other, round times.
    np.testing.assert_allclose(found["t"], expected["t"], rtol=0, atol=atol)
    np.testing.assert_array_equal(found["layer"], expected["layer"])
    np.testing.assert_array_equal(found["unit"], expected["unit"])
    if signs:
        np.testing.assert_array_equal(recording.signs(found), recording.signs(expected))
    recording.validate(found)


def test_events_come_back_in_any_order():
    ds = example(signed=True)
    spikes = exchange.events_of(ds)
    order = np.random.default_rng(0).permutation(spikes.t.size)
    found = exchange.from_events(
        spikes.t[order],
        spikes.neuron[order],
        trial=spikes.trial[order],
        sign=spikes.sign[order],
        layers={"a": 4, "b": 3},
        n_trials=3,
        duration=ds.attrs["t_stop"],
        dt=DT,
    )
    assert_same_spikes(found, ds)


@quick
@given(seed=st.integers(0, 2**32), samples=st.integers(1, 4))
def test_a_data_frame_comes_back(seed, samples):
    ds = example(seed, samples, signed=True)
    assert_same_spikes(exchange.from_pandas(exchange.to_pandas(ds)), ds)


def test_silence_comes_back():
    ds = recording_of([np.zeros((2, 5, 3), np.int8), np.zeros((2, 5, 2), np.int8)])
    found = exchange.from_pandas(exchange.to_pandas(ds))
    assert_same_spikes(found, ds)
    assert (statistics.rate(found) == 0).all()


def test_a_recording_of_foreign_spikes_can_be_saved_and_measured(tmp_path):
    found = exchange.from_events([0.25, 0.5, 0.125], [1, 0, 1], layers=2, duration="1 s", dt="1 ms")
    for name in ("run.nc", "run.zarr"):
        recording.save(found, tmp_path / name)
        assert_same_spikes(recording.load(tmp_path / name), found)
    assert statistics.rate(found).values.tolist() == [[1, 2]]
    assert statistics.summary(found)["spikes"].values.tolist() == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": [0.5, 1.0]}, "times from 0 to before 1.0 s, got 0.5 to 1.0 s"),
        ({"neuron": [0, 2]}, "neurons from 0 to 1, got 0 to 2"),
        ({"trial": [0, -1]}, "trials from 0 to 0, got -1 to 0"),
        ({"sign": [1, 0]}, "signs of -1 or 1"),
        ({"neuron": [0]}, "as many neurons, trials and signs as times"),
        ({"dt": 2.0}, "0 < dt <= duration, got 2.0 and 1.0 s"),
    ],
)
def test_spikes_that_do_not_fit_are_refused(change, message):
    given = {"t": [0.5, 0.6], "neuron": [0, 1], "layers": 2, "duration": 1.0, "dt": 1e-3}
    given |= change
    with pytest.raises(ValueError, match=message):
        exchange.from_events(given.pop("t"), given.pop("neuron"), n_trials=1, **given)


def test_a_data_frame_that_tells_too_little_is_refused():
    frame = exchange.to_pandas(example())
    frame.attrs = {}
    with pytest.raises(ValueError, match="does not tell layers, duration, dt: give them"):
        exchange.from_pandas(frame)
    with pytest.raises(ValueError, match=r"missing: \['t'\]"):
        exchange.from_pandas(frame.drop(columns="t"))


# SONATA.


def test_a_sonata_file_comes_back(tmp_path):
    ds = example()
    exchange.to_sonata(ds, tmp_path / "spikes.h5", trial=1)
    found = exchange.from_sonata(tmp_path / "spikes.h5")
    # Times in milliseconds are rounded to 1e-16 of them.
    assert_same_spikes(found, recording.select(ds, trial=[1]), atol=1e-12 * DT)


def test_a_sonata_file_of_another_tool_needs_what_it_does_not_tell(tmp_path):
    import h5py

    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        group = file.create_group("spikes/v1")
        group.create_dataset("timestamps", data=[1.0, 2.0])
        group.create_dataset("node_ids", data=np.array([3, 1], np.uint64))
    with pytest.raises(ValueError, match="does not tell its duration and dt"):
        exchange.from_sonata(tmp_path / "spikes.h5")
    found = exchange.from_sonata(tmp_path / "spikes.h5", duration="10 ms", dt="0.1 ms")
    assert found["row_size"].values.tolist() == [[0, 1, 0, 1]]
    (tmp_path / "broken.h5").write_bytes(b"no file")
    with pytest.raises(RecordingError, match="is damaged, or no SONATA spike file"):
        exchange.from_sonata(tmp_path / "broken.h5", duration=1, dt=1)


# Address events.


def test_address_events_come_back():
    rng = np.random.default_rng(0)
    samples = []
    for n in (50, 0, 80):
        events = np.empty(n, exchange.address_events.DTYPE)
        events["x"], events["y"] = rng.integers(0, 34, n), rng.integers(0, 30, n)
        # One pixel fires at most once in a microsecond here, so that the order is told.
        events["t"], events["p"] = (
            np.sort(rng.choice(10_000, n, replace=False)),
            rng.random(n) < 0.5,
        )
        samples.append(events)
    ds = exchange.from_address_events(samples, width=34, height=30, duration="20 ms")
    assert ds.sizes["neuron"] == 2 * 34 * 30
    for found, expected in zip(exchange.to_address_events(ds, width=34, height=30), samples):
        np.testing.assert_array_equal(found, expected)


def test_addresses_outside_the_sensor_are_refused():
    events = np.zeros(2, exchange.address_events.DTYPE)
    events["x"] = [3, 40]
    with pytest.raises(ValueError, match="Sample 0 expects x from 0 to 33, got 3 to 40"):
        exchange.from_address_events(events, width=34, height=34)
    with pytest.raises(ValueError, match="expects the fields x, y, t and p, but has none"):
        exchange.from_address_events(np.zeros(3), width=34, height=34)


# Brian2.


def test_monitors_of_brian2_come_back_through_a_generator():
    brian2 = pytest.importorskip("brian2")
    brian2.prefs.codegen.target = "numpy"
    ds = exchange.from_events(
        [1e-3, 5e-3, 2e-3, 9e-3], [0, 0, 2, 1], layers=3, duration="10 ms", dt="1 ms"
    )
    n, indices, times = exchange.to_generator(ds)
    brian2.start_scope()
    clock = brian2.Clock(1 * brian2.ms)
    group = brian2.SpikeGeneratorGroup(n, indices, times * brian2.second, clock=clock)
    monitor = brian2.SpikeMonitor(group)
    network = brian2.Network(group, monitor)
    network.run(10 * brian2.ms)
    found = exchange.from_monitors(monitor, duration=10 * brian2.ms)
    assert_same_spikes(found, ds, atol=1e-12)
    assert found.attrs["dt"] == pytest.approx(1e-3)


class Monitor:
    """What `from_monitors` reads of Brian2's."""

    def __init__(self, size, i, t):
        self.source, self.i, self.t = range(size), np.array(i), np.array(t)


def test_samples_side_by_side_become_trials():
    monitors = {"a": Monitor(6, [0, 4, 5], [0.0, 1e-3, 2e-3]), "b": Monitor(2, [1], [3e-3])}
    found = exchange.from_monitors(monitors, duration=5e-3, dt=1e-3, n_trials=2)
    assert found["row_size"].values.tolist() == [[1, 0, 0, 0], [0, 1, 1, 1]]
    with pytest.raises(ValueError, match="'b' has 2 neurons, which are not those of 3 trials"):
        exchange.from_monitors(monitors, duration=5e-3, dt=1e-3, n_trials=3)


# Neo, NWB and PySpike.


@pytest.mark.filterwarnings("ignore")
def test_a_neo_block_comes_back():
    pytest.importorskip("neo", reason="the elephant extra is not installed")
    ds = example(signed=True)
    block = exchange.to_neo(ds)
    found = exchange.from_neo(block)
    assert_same_spikes(found, ds)
    assert len(block.segments) == 3
    block.segments[0].spiketrains.pop()
    with pytest.raises(ValueError, match=r"as many spike trains in each segment, got \[6, 7\]"):
        exchange.from_neo(block)


@pytest.mark.filterwarnings("ignore")
def test_an_nwb_file_comes_back(tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="the nwb extra is not installed")
    ds = example()
    exchange.to_nwb(ds, tmp_path / "spikes.nwb")
    found = exchange.from_nwb(tmp_path / "spikes.nwb")
    # Trials lie one after the other in the file: times are rounded there.
    assert_same_spikes(found, ds, atol=1e-9 * DT)
    with pynwb.NWBHDF5IO(str(tmp_path / "spikes.nwb"), "r") as io:
        file = io.read()
        assert len(file.units) == 7
        assert pynwb.validate(io=io) == []
    (tmp_path / "broken.nwb").write_bytes(b"no file")
    with pytest.raises(RecordingError, match="is damaged, or no NWB file"):
        exchange.from_nwb(tmp_path / "broken.nwb")


@pytest.mark.filterwarnings("ignore")
def test_distances_are_pyspikes():
    spk = pytest.importorskip("pyspike", reason="the distances extra is not installed")
    ds = example(samples=1)
    found = pyspike_matrix(ds, "isi_distance", layer="a")
    start, length = float(ds["window_start"][0]), ds.attrs["duration"]
    a, b = (
        spk.SpikeTrain(recording.spike_times(ds, 0, j), (start, start + length)) for j in (0, 1)
    )
    assert float(found[0, 0, 1]) == pytest.approx(spk.isi_distance(a, b))
    with pytest.raises(ValueError, match="one of isi_distance, spike_distance, spike_sync"):
        pyspike_matrix(ds, "sync")
