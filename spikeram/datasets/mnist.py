"""MNIST and Fashion-MNIST: small grey images in the IDX format.

MNIST: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 2278 (1998). Fashion-MNIST: Xiao, Rasul,
Vollgraf, arXiv:1708.07747. Both are 60,000 training and 10,000 test images in four files, each a
big-endian header (a magic number, the sizes of all axes) and then bytes, packed by gzip.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikeram.datasets.labelled import LabelledSet, check_part
from spikeram.datasets.published import PublishedFile, obtain, reading
from spikeram.errors import FileFormatError

# What the names of the files call the parts.
_STEMS = {"train": "train", "test": "t10k"}

# An IDX file begins with two zeros, the type of its numbers (8: bytes) and the number of axes.
_BYTES = 0x0800

# The home page, yann.lecun.com/exdb/mnist, no longer hands the files out; this mirror does.
_MNIST = ("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/")
_MNIST_MD5 = {
    "train-images-idx3": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1": "ec29112dd5afa0611ce80d1b7f02629c",
}
_FASHION = ("fashion_mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")
_FASHION_MD5 = {
    "train-images-idx3": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1": "bb300cfdad3c16e7a12a480ee83cd310",
}
_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def mnist(part: Literal["train", "test"]) -> LabelledSet:
    """Return handwritten digits, of shape (sample, 1, 28, 28) in [0, 1].

    Raises
    ------
    DataError
        If the files are nowhere and cannot be fetched.
    FileFormatError
        If a file is damaged or not the published one.
    """
    check_part("mnist", part, tuple(_STEMS))
    x, y = _read(_MNIST, _MNIST_MD5, part)
    return LabelledSet(name=f"MNIST, {part}", x=x, y=y, classes=tuple("0123456789"))


def fashion_mnist(part: Literal["train", "test"]) -> LabelledSet:
    """Return pictures of clothes, of shape (sample, 1, 28, 28) in [0, 1].

    Raises
    ------
    DataError, FileFormatError
        As `mnist`.
    """
    check_part("fashion_mnist", part, tuple(_STEMS))
    x, y = _read(_FASHION, _FASHION_MD5, part)
    return LabelledSet(name=f"Fashion-MNIST, {part}", x=x, y=y, classes=_FASHION_CLASSES)


def _read(
    home: tuple[str, str], checksums: dict[str, str], part: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    folder, url = home
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        stem = f"{_STEMS[part]}-{kind}"
        name = f"{stem}-ubyte.gz"
        file = PublishedFile(
            folder=folder, name=name, url=url + name, checksum=f"md5:{checksums[stem]}"
        )
        arrays.append(_idx(obtain(file), n_axes=int(kind[-1])))
    pixels, labels = arrays
    return pixels[:, np.newaxis].astype(np.float32) / np.float32(255), labels.astype(np.int64)


def _idx(path: Path, *, n_axes: int) -> NDArray[np.uint8]:
    with reading(path), gzip.open(path) as file:
        content = file.read()
        magic, *shape = struct.unpack_from(f">{1 + n_axes}I", content)
    start = 4 * (1 + n_axes)
    size = len(content) - start
    if magic != _BYTES + n_axes or size != np.prod(shape, dtype=np.int64):
        raise FileFormatError(
            f"{path} is damaged: expects the magic number {_BYTES + n_axes} and a byte for each "
            f"point of {n_axes} axes, got {magic}, axes {tuple(shape)} and {size} bytes."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
