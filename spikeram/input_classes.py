"""Inputs of a convolution that stand at the same positions, as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class InputClasses:
    """The inputs of a convolution by where they stand.

    Parameters
    ----------
    runs : int32 ndarray of shape (run, 3)
        First input of a run, how many it has, and the class of the first; inputs and classes of a
        run both grow by one. An input that stands nowhere is in none.
    at : uint32 ndarray of shape (position, tap)
        Classes at each position, `n_classes` for none.
    n_classes : int
        Number of classes.
    """

    runs: NDArray[np.int32]
    at: NDArray[np.uint32]
    n_classes: int


def classes_of(
    places: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    n_inputs: int,
    n_positions: int,
) -> InputClasses:
    """Return the classes of inputs.

    Parameters
    ----------
    places : tuple of ndarray
        Where each input stands; see `spikeram.gather.Gather.places`.
    n_inputs, n_positions : int
        Numbers of inputs and positions.

    Examples
    --------
    Two channels of two pixels, and a kernel over one pixel:

    >>> start, row = np.arange(5), np.array([0, 0, 1, 1], np.int32)
    >>> found = classes_of((start, np.array([0, 1, 0, 1], np.int32), row), 4, 2)
    >>> found.runs.tolist(), found.at.tolist()
    ([[0, 2, 0], [2, 2, 0]], [[0], [1]])
    """
    start, position, _ = places
    label = _labels(np.diff(start), position, n_positions)
    used = np.flatnonzero(np.diff(start))
    # Numbered in the order of the inputs, so that the pixels of each channel count up.
    _, first, own = np.unique(label[used], return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    number = rank[own]
    broken = (np.diff(used) != 1) | (np.diff(number) != 1)
    begin = np.flatnonzero(np.concatenate([[True], broken]))[: used.size]
    length = np.diff(np.concatenate([begin, [used.size]]))
    runs = np.stack([used[begin], length, number[begin]], axis=1).astype(np.int32)
    ones = np.sort(used[first])
    return InputClasses(runs, _at_positions(start, position, ones, n_positions), first.size)


def _labels(
    n_places: NDArray[np.int64], position: NDArray[np.int32], n_positions: int
) -> NDArray[np.int64]:
    """Return equal numbers for inputs that have equal lists of positions."""
    start = np.cumsum(n_places) - n_places
    label = np.zeros(n_places.size, np.int64)
    for nth in range(int(n_places.max(initial=0))):
        there = nth < n_places
        place = np.full(n_places.size, n_positions, np.int64)
        place[there] = position[start[there] + nth]
        _, label = np.unique(label * (n_positions + 1) + place, return_inverse=True)
    return label


def _at_positions(
    start: NDArray[np.int64], position: NDArray[np.int32], ones: NDArray[np.int64], n_positions: int
) -> NDArray[np.uint32]:
    """Return the classes at each position, of which `ones` are an input each."""
    sizes = start[ones + 1] - start[ones]
    number = np.repeat(np.arange(ones.size), sizes)
    entry = np.repeat(start[ones] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    # An input may stand at several rows of one position.
    found = np.unique(position[entry].astype(np.int64) * ones.size + number)
    at, number = np.divmod(found, max(1, ones.size))
    n_taps = np.bincount(at, minlength=n_positions)
    tap = np.arange(at.size) - np.repeat(np.cumsum(n_taps) - n_taps, n_taps)
    classes = np.full((n_positions, max(1, int(n_taps.max(initial=0)))), ones.size, np.uint32)
    classes[at, tap] = number
    return classes
