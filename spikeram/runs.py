"""Lists of places that grow evenly, kept as runs, which kernels walk without looking places up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def even_runs(places: NDArray[np.int32], nothing: int) -> NDArray[np.int32]:
    """Return places in runs.

    Parameters
    ----------
    places : int32 ndarray of shape (entry, tap)
        Places of each entry; all places of the entries of a run grow by the same number from one
        entry to the next, and where one has no place, none has.
    nothing : int
        What stands for no place.

    Returns
    -------
    int32 ndarray of shape (run, 3 + tap)
        The first entry of a run, how many it has, by how much places grow, and those of the first.

    Examples
    --------
    >>> even_runs(np.array([[0, 4], [2, 6], [4, 9], [5, 9]], np.int32), nothing=9).tolist()
    [[0, 2, 2, 0, 4], [2, 2, 1, 4, 9]]
    """
    there = places != nothing
    grown = np.diff(places, axis=0)
    # By how much the first place grows that there is.
    by = np.take_along_axis(grown, there[1:].argmax(axis=1)[:, np.newaxis], axis=1)
    even = (there[1:] == there[:-1]).all(axis=1) & ((grown == by) | ~there[1:]).all(axis=1)
    found: list[list[int]] = []
    for entry, own in enumerate(places.tolist()):
        if entry and even[entry - 1]:
            run, stride = found[-1], int(by[entry - 1, 0])
            if run[1] == 1 or run[2] == stride:
                run[1:3] = [run[1] + 1, stride]
                continue
        found.append([entry, 1, 0, *own])
    return np.array(found, np.int32)
