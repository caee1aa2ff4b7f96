from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from spikeram import exchange
from spikeram.errors import FileFormatError, MissingExtraError
from spikeram.event_stream import EventStream


def test_files_of_n_mnist_are_read_bit_by_bit(tmp_path):
    # x, y, polarity and 23 bits of time, written out by hand.
    (tmp_path / "0.bin").write_bytes(bytes([33, 2, 0x80, 0x00, 0x05, 0, 33, 0x04, 0x01, 0x02]))
    (tmp_path / "1.bin").write_bytes(b"")
    paths = [tmp_path / "0.bin", tmp_path / "1.bin"]
    stream = EventStream.from_n_mnist(paths)
    assert stream.t.tolist() == [5, 0x040102]
    assert stream.address.tolist() == [34 * 34 + 2 * 34 + 33, 33 * 34]
    assert stream.offsets.tolist() == [0, 2, 2]
    assert stream.n_addresses == 2 * 34 * 34
    signed = EventStream.from_n_mnist(paths[0], polarity="sign")
    assert signed.sign.tolist() == [1, -1]
    assert signed.n_addresses == 34 * 34


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(14), "is truncated.*4 of its 14 bytes are left over"),
        (bytes([0, 0, 0, 0, 0, 3, 34, 0, 0, 0]), r"event 1 is at pixel \(3, 34\)"),
    ],
)
def test_damaged_files_of_n_mnist_are_refused(tmp_path, content, message):
    (tmp_path / "bad.bin").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        EventStream.from_n_mnist(tmp_path / "bad.bin")


def test_the_events_of_real_files_are_in_order(measured_data, tmp_path):
    with np.load(measured_data / "n_mnist" / "n_mnist_1000train_100test.npz") as packed:
        end = int(packed["offsets"][1])
        x, y, p = (packed[name][:end].astype(np.int64) for name in "xyp")
        t = np.cumsum(packed["dt"][:end])
    columns = [x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]
    np.stack(columns, axis=1).astype(np.uint8).tofile(tmp_path / "00001.bin")
    stream = EventStream.from_n_mnist(tmp_path / "00001.bin")
    np.testing.assert_array_equal(stream.t, t)
    np.testing.assert_array_equal(stream.address, (p * 34 + y) * 34 + x)


@pytest.mark.parametrize("fields", ["xytp", "tpyx"])
def test_fields_come_in_any_order_and_polarities_in_any_kind(fields):
    kinds = {"x": "i2", "y": "u2", "t": "u8", "p": "i1"}
    events = np.zeros(2, [(name, kinds[name]) for name in fields])
    events["x"], events["y"], events["t"], events["p"] = [1, 2], [0, 1], [3, 9], [-1, 1]
    stream = EventStream.from_camera(events, width=4, height=2)
    assert stream.address.tolist() == [1, 8 + 4 + 2]
    assert EventStream.from_camera(
        events, width=4, height=2, polarity="ignore"
    ).address.tolist() == [1, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": [0, 2, 1]}, "Sample 0 expects polarities 0 and 1, or -1 and 1, got 0, 1, 2"),
        ({"t": [0, 7, 5]}, "Event 2 of sample 0 is at 5 ticks, before the event ahead of it at 7"),
        ({"t": [-1, 7, 9]}, "Event 0 of sample 0 expects a finite time >= 0, got -1"),
        ({"x": [0, 0, 9]}, "Sample 0 expects x from 0 to 3, got 0 to 9"),
    ],
)
def test_camera_events_that_cannot_be_are_refused(change, message):
    events = np.zeros(3, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    for name, values in change.items():
        events[name] = values
    with pytest.raises(ValueError, match=message):
        EventStream.from_camera([events], width=4, height=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": [0.0, 1.0, np.nan, 2.0]}, "Event 0 of sample 1 expects a finite time >= 0, got nan"),
        ({"t": [0, 3, 2, 1]}, "Event 1 of sample 1 is at 1 ticks"),
        ({"address": [0, 4, 0, 0]}, "Event 1 of sample 0 expects an address from 0 to 3, got 4"),
        ({"address": [0, 0.5, 0, 0]}, "whole numbers as addresses"),
        ({"sign": [1, 1, 0, 1]}, "Event 0 of sample 1 expects a sign of 1 or -1, got 0"),
        ({"offsets": [0, 5]}, "offsets that ascend from 0 to the 4 events"),
        ({"address": [0]}, "as many addresses and signs as times"),
        ({"duration": 2e-6}, "a time beyond the last event at 3e-06 s, got 2e-06 s"),
        ({"tick": 0}, "tick expects a time > 0"),
        ({"t": ["a", "b", "c", "d"]}, "numbers as times"),
    ],
)
def test_events_that_cannot_be_are_refused(change, message):
    good = {"t": [0, 3, 0, 1], "address": [0, 1, 2, 3], "offsets": [0, 2, 4], "n_addresses": 4}
    with pytest.raises(ValueError, match=message):
        EventStream(**{**good, **change})


def test_times_may_run_back_from_one_sample_to_the_next():
    stream = EventStream(t=[5, 9, 0], address=[0, 1, 2], offsets=[0, 2, 3], n_addresses=3)
    assert stream.samples(slice(1, 2)).t.tolist() == [0]
    assert stream.samples(slice(0, 1)).duration == pytest.approx(10e-6)


def test_bins_hold_the_sign_of_their_sum():
    stream = EventStream(
        t=[0, 4, 5, 6, 9], address=[0, 0, 1, 1, 1], sign=[1, 1, 1, -1, -1], n_addresses=2
    )
    assert stream.binned(2)[0].tolist() == [[1, 0], [0, -1]]
    with pytest.raises(ValueError, match="at most .* values"):
        stream.binned(2**31)


def test_recordings_of_other_tools_are_streams():
    ds = exchange.from_events(
        [0.2, 0.1, 0.3], [1, 0, 2], trial=[0, 0, 1], sign=[1, -1, 1],
        layers={"a": 1, "b": 2}, duration=1.0, dt=1e-3,
    )  # fmt: skip
    stream = EventStream.from_recording(ds)
    assert stream.t.tolist() == [0.1, 0.2, 0.3]
    assert stream.address.tolist() == [0, 1, 2]
    assert stream.sign.tolist() == [-1, 1, 1]
    assert stream.offsets.tolist() == [0, 2, 3]
    assert stream.duration == 1.0
    assert EventStream.from_recording(ds, "b").address.tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore")
def test_nwb_files_are_streams(tmp_path):
    pytest.importorskip("pynwb")
    ds = exchange.from_events([0.5, 0.25], [1, 0], layers=2, duration=1.0, dt=0.25)
    exchange.to_nwb(ds, tmp_path / "spikes.nwb")
    stream = EventStream.from_recording(exchange.from_nwb(tmp_path / "spikes.nwb"))
    assert stream.t.tolist() == [0.25, 0.5]
    assert stream.address.tolist() == [0, 1]


def test_aedat_files_are_read_by_their_package(tmp_path, monkeypatch):
    """A stand-in for the package, which gives packets as its documentation says."""
    kind = [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")]
    packets = [
        {"stream_id": 1, "frame": None},
        {"stream_id": 0, "events": np.array([(1_000_007, 3, 1, True)], kind)},
        {"stream_id": 0, "events": np.array([(1_000_009, 0, 0, False)], kind)},
    ]

    class Decoder:
        def __init__(self, path):
            if not str(path).endswith("good.aedat4"):
                raise Exception("wrong magic")

        def id_to_stream(self):
            return {0: {"type": "events", "width": 4, "height": 2}, 1: {"type": "frame"}}

        def __iter__(self):
            return iter(packets)

    monkeypatch.setitem(sys.modules, "aedat", SimpleNamespace(Decoder=Decoder))
    for name in ("good.aedat4", "bad.aedat4"):
        (tmp_path / name).touch()
    stream = EventStream.from_aedat(tmp_path / "good.aedat4")
    assert stream.t.tolist() == [0, 2]
    assert stream.address.tolist() == [8 + 4 + 3, 0]
    with pytest.raises(FileFormatError, match="is damaged, or no AEDAT 4 file: wrong magic"):
        EventStream.from_aedat(tmp_path / "bad.aedat4")
    with pytest.raises(FileFormatError, match="There is no file"):
        EventStream.from_aedat(tmp_path / "none.aedat4")
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(MissingExtraError, match="pip install 'spikeram\\[aedat\\]'"):
        EventStream.from_aedat(tmp_path / "good.aedat4")
