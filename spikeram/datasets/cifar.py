"""CIFAR-10: small colour images of ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images" (2009). Read from the binary
archive, or from two packed files: the test images, and the first 20,000 training images.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeram.datasets.labelled import LabelledSet, check_part
from spikeram.datasets.published import PublishedFile, at_hand, obtain, reading
from spikeram.errors import FileFormatError
from spikeram.files import read_arrays

_ARCHIVE = PublishedFile(
    folder="cifar10",
    name="cifar-10-binary.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
)
_MEMBERS = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{n}.bin" for n in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# A record is the class and then the red, green and blue planes.
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32

_PACKED = {
    "train": (
        "cifar10_train20k.npz",
        "the first 20,000 of the 50,000 training images, 15 of them JPEG copies",
    ),
    "test": ("cifar10_test.npz", "21 of the 10,000 test images are JPEG copies"),
}


def cifar10(part: Literal["train", "test"]) -> LabelledSet:
    """Return colour images, of shape (sample, 3, 32, 32) in [0, 1].

    Where ``$SPIKERAM_DATA/cifar10`` holds the packed files and not the archive, they are taken,
    and the note of the set says what it lacks.

    Raises
    ------
    DataError
        If the files are nowhere and cannot be fetched.
    FileFormatError
        If a file is damaged or not the published one.
    """
    check_part("cifar10", part, tuple(_MEMBERS))
    name, note = _PACKED[part]
    packed = at_hand(_ARCHIVE.folder, name)
    if packed is not None and at_hand(_ARCHIVE.folder, _ARCHIVE.name) is None:
        pixels, labels = _unpack(packed)
    else:
        pixels, labels = _read_archive(obtain(_ARCHIVE), _MEMBERS[part])
        note = ""
    x = pixels.astype(np.float32)
    x /= np.float32(255)
    return LabelledSet(
        name=f"CIFAR-10, {part}", x=x, y=labels.astype(np.int64), classes=_CLASSES, note=note
    )


def _read_archive(
    path: Path, members: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    blocks = {}
    with reading(path), tarfile.open(path, "r:gz") as archive:
        # In the archive's own order: going back would unpack all of it again.
        for member in archive:
            content = archive.extractfile(member) if member.name in members else None
            if content is not None:
                records = np.frombuffer(content.read(), np.uint8)
                blocks[member.name] = records.reshape(-1, _RECORD)
    missing = [name for name in members if name not in blocks]
    if missing:
        raise FileFormatError(f"{path} is damaged: it has no {', '.join(missing)}.")
    every = np.concatenate([blocks[name] for name in members])
    return every[:, 1:].reshape(-1, *_SHAPE), every[:, 0]


def _unpack(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with reading(path):
        arrays = read_arrays(path)
        labels = arrays["labels"].astype(np.uint8, casting="safe")
        if "images" in arrays:
            images = arrays["images"].astype(np.uint8, casting="safe", copy=False)
            return images.transpose(0, 3, 1, 2), labels
        # Rows hold differences to the row above; red and blue are stored less green.
        planes = np.cumsum(arrays["delta"], axis=2, dtype=np.uint8)
        green = planes[:, 0].copy()
        planes[:, 0] = planes[:, 1] + green
        planes[:, 1] = green
        planes[:, 2] += green
        return planes, labels
