"""The files of N-MNIST, one sample each: MNIST's digits as an event camera saw them.

A file is a list of records of five bytes: x, y, and 24 bits, of which the first is the polarity and
the others are the time in microseconds. Orchard, Jayawant, Cohen and Thakor, Front. Neurosci. 9,
437 (2015).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import FileFormatError
from spikeram.exchange.address_events import DTYPE

SIDE = 34
"""Pixels along each side of the sensor."""

_RECORD = 5


def read_n_mnist(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the events of one .bin file: a structured array of x, y, t [us] and p.

    Raises
    ------
    FileFormatError
        If the file is cut off, or holds pixels outside the sensor.
    """
    raw = np.fromfile(Path(path), dtype=np.uint8)
    if raw.size % _RECORD:
        raise FileFormatError(
            f"{path} is truncated, or no N-MNIST file: records have {_RECORD} bytes, but "
            f"{raw.size % _RECORD} of its {raw.size} bytes are left over."
        )
    x, y, first, second, third = raw.reshape(-1, _RECORD).T.astype(np.int64)
    beyond = np.maximum(x, y) >= SIDE
    if beyond.any():
        n = int(np.argmax(beyond))
        raise FileFormatError(
            f"{path} is damaged, or no N-MNIST file: event {n} is at pixel ({x[n]}, {y[n]}), but "
            f"the sensor has {SIDE} x {SIDE}."
        )
    events = np.empty(x.size, DTYPE)
    events["x"], events["y"] = x, y
    events["t"] = (first & 0x7F) << 16 | second << 8 | third
    events["p"] = first >> 7
    return events
