"""N-MNIST: the digits of MNIST before an event camera that moves.

Orchard, Jayawant, Cohen, Thakor, Front. Neurosci. 9:437 (2015). Each digit is seen for 300 ms
by 34 x 34 pixels. A recording is a file of events of five bytes: x, y, and 24 bits of which the
first is the polarity and the others the time in microseconds.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikeram.datasets.event_records import RECORD, SIDE, decoded
from spikeram.datasets.labelled import EventSet, check_part
from spikeram.datasets.published import PublishedFile, at_hand, obtain, reading
from spikeram.errors import FileFormatError
from spikeram.files import read_arrays

_HOME = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
_ARCHIVES = {
    "train": PublishedFile(
        folder="n_mnist",
        name="Train.zip",
        url=f"{_HOME}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        checksum="md5:20959b8e626244a1b502305a9e6e2031",
    ),
    "test": PublishedFile(
        folder="n_mnist",
        name="Test.zip",
        url=f"{_HOME}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        checksum="md5:69ca8762b2fe404d9b9bad1103e97832",
    ),
}
_MEMBER = re.compile(r"(?:Train|Test)/([0-9])/([0-9]{5})\.bin")

_PACKED = "n_mnist_1000train_100test.npz"
_NOTES = {
    "train": "the first 1,000 of the 60,000 training samples",
    "test": "the first 100 of the 10,000 test samples",
}


def n_mnist(part: Literal["train", "test"]) -> EventSet:
    """Return recordings of moving digits, in the order of MNIST.

    Where ``$SPIKERAM_DATA/n_mnist`` holds the packed file and not the archive of the part, it is
    taken, and the note of the set says how much of the part it is. The whole training part takes
    3 GB of memory.

    Raises
    ------
    DataError
        If the files are nowhere and cannot be fetched.
    FileFormatError
        If a file is damaged or not the published one.
    """
    check_part("n_mnist", part, tuple(_ARCHIVES))
    archive = _ARCHIVES[part]
    packed = at_hand(archive.folder, _PACKED)
    if packed is not None and at_hand(archive.folder, archive.name) is None:
        return _unpack(packed, part)
    return _read_archive(obtain(archive), part)


def _event_set(part: str, note: str = "", **arrays: NDArray[Any]) -> EventSet:
    outside = max(int(arrays[axis].max(initial=0)) for axis in "xy")
    if outside >= SIDE:
        raise ValueError(f"there is an event at pixel {outside}, of {SIDE} in a row.")
    return EventSet(name=f"N-MNIST, {part}", classes=tuple("0123456789"), note=note, **arrays)


def _read_archive(path: Path, part: str) -> EventSet:
    with reading(path), zipfile.ZipFile(path) as archive:
        found = [(m[2], m[1], m[0]) for m in map(_MEMBER.fullmatch, archive.namelist()) if m]
        if not found:
            raise FileFormatError(f"{path} is damaged: it has no recordings.")
        found.sort()
        sizes = [archive.getinfo(name).file_size for _, _, name in found]
        offsets = np.concatenate([[0], np.cumsum(sizes)]) // RECORD
        x, y, p = np.empty((3, offsets[-1]), np.uint8)
        t = np.empty(offsets[-1], np.int64)
        for (_, _, name), start, stop in zip(found, offsets[:-1], offsets[1:]):
            raw = np.frombuffer(archive.read(name), np.uint8)
            some = slice(start, stop)
            x[some], y[some], p[some], t[some] = decoded(raw)
        labels = np.array([int(label) for _, label, _ in found], np.int64)
        return _event_set(part, x=x, y=y, p=p, t=t, offsets=offsets, labels=labels)


def _unpack(path: Path, part: str) -> EventSet:
    with reading(path):
        arrays = read_arrays(path)
        chosen = np.flatnonzero(arrays["split"] == ("train", "test").index(part))
        first, last = chosen[0], chosen[-1] + 1
        if len(chosen) != last - first:
            raise ValueError("its parts are mixed.")
        every = arrays["offsets"].astype(np.int64, casting="safe")
        events = slice(every[first], every[last])
        offsets = every[first : last + 1] - every[first]
        # Only differences of times are stored, beginning anew in each recording.
        t = np.cumsum(arrays["dt"][events], dtype=np.int64)
        before = np.where(offsets[:-1] > 0, t[offsets[:-1] - 1], 0)
        t -= np.repeat(before, np.diff(offsets))
        return _event_set(
            part,
            _NOTES[part],
            x=arrays["x"][events].astype(np.uint8, casting="safe"),
            y=arrays["y"][events].astype(np.uint8, casting="safe"),
            p=arrays["p"][events].astype(np.uint8, casting="safe"),
            t=t,
            offsets=offsets,
            labels=arrays["labels"][chosen].astype(np.int64, casting="safe"),
        )
