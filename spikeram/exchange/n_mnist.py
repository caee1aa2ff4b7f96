"""The files of N-MNIST, one sample each: MNIST's digits as an event camera saw them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.datasets.event_records import RECORD, SIDE as SIDE, decoded
from spikeram.errors import FileFormatError
from spikeram.exchange.address_events import DTYPE


def read_n_mnist(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the events of one .bin file: a structured array of x, y, t [us] and p.

    Raises
    ------
    FileFormatError
        If the file is cut off, or holds pixels outside the sensor.
    """
    raw = np.fromfile(Path(path), dtype=np.uint8)
    if raw.size % RECORD:
        raise FileFormatError(
            f"{path} is truncated, or no N-MNIST file: records have {RECORD} bytes, but "
            f"{raw.size % RECORD} of its {raw.size} bytes are left over."
        )
    x, y, p, t = decoded(raw)
    beyond = np.maximum(x, y) >= SIDE
    if beyond.any():
        n = int(np.argmax(beyond))
        raise FileFormatError(
            f"{path} is damaged, or no N-MNIST file: event {n} is at pixel ({x[n]}, {y[n]}), but "
            f"the sensor has {SIDE} x {SIDE}."
        )
    events = np.empty(x.size, DTYPE)
    events["x"], events["y"], events["p"], events["t"] = x, y, p, t
    return events
