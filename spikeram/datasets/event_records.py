"""The records of N-MNIST's files: five bytes an event.

x, y, and 24 bits, of which the first is the polarity and the others are the time in microseconds.
Orchard, Jayawant, Cohen and Thakor, Front. Neurosci. 9, 437 (2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RECORD = 5
"""Bytes of an event."""

SIDE = 34
"""Pixels along each side of the sensor."""


def decoded(raw: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
    """Return x, y, polarity and time [us] of each event of whole records.

    Parameters
    ----------
    raw : uint8 ndarray
        The bytes of a file, a multiple of five.
    """
    x, y, first, second, third = raw.reshape(-1, RECORD).T.astype(np.int64)
    return x, y, first >> 7, (first & 0x7F) << 16 | second << 8 | third
