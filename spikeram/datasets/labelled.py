"""Samples with their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledSet:
    """Samples of one part of a data set, and the class of each.

    Parameters
    ----------
    name : str
        Set and part: ``"MNIST, test"``.
    x : ndarray of shape (sample, ...)
        Samples.
    y : ndarray of shape (sample,)
        Class of each sample, an index into `classes`.
    classes : tuple of str
        Names of the classes.
    note : str
        Where this is not the whole published part, how much of it there is; results say so.

    Raises
    ------
    ValueError
        If there is not one class for each sample.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        _check_labels(self.name, len(self.x), self.y, self.classes)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False, kw_only=True)
class EventSet:
    """Recordings of an event camera, one after the other, and the class of each.

    Recording ``s`` is the events ``offsets[s]:offsets[s + 1]``, in the order of their times.

    Parameters
    ----------
    name : str
        Set and part.
    x, y : ndarray of shape (event,)
        Column and row of the pixel.
    p : ndarray of shape (event,)
        Polarity: 1 where it grew brighter, 0 where darker.
    t : ndarray of shape (event,)
        Time since the recording began [us].
    offsets : ndarray of shape (sample + 1,)
        Where each recording begins, and the number of events.
    labels : ndarray of shape (sample,)
        Class of each recording, an index into `classes`.
    classes : tuple of str
        Names of the classes.
    note : str
        As in `LabelledSet`.

    Raises
    ------
    ValueError
        If there is not one class for each recording, or not one of everything for each event.
    """

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.uint8]
    p: NDArray[np.uint8]
    t: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        sizes = [len(self.x), len(self.y), len(self.p), len(self.t), int(self.offsets[-1])]
        if self.offsets[0] != 0 or np.any(np.diff(self.offsets) < 0) or len(set(sizes)) > 1:
            raise ValueError(
                f"{self.name} expects x, y, p and t of each event and offsets from 0 to their "
                f"number, got sizes {sizes[:4]} and offsets up to {sizes[4]}."
            )
        _check_labels(self.name, len(self.offsets) - 1, self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.labels)


def check_part(function: str, part: str, parts: Sequence[str]) -> None:
    """Check that a data set has a part."""
    if part not in parts:
        raise ValueError(f"{function} expects a part out of {', '.join(parts)}; got {part!r}.")


def _check_labels(
    name: str, n_samples: int, labels: NDArray[np.int64], classes: tuple[str, ...]
) -> None:
    if labels.shape != (n_samples,):
        raise ValueError(
            f"{name} expects one class for each of its {n_samples} samples, "
            f"got labels of shape {labels.shape}."
        )
    if n_samples and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(
            f"{name} expects labels from 0 to {len(classes) - 1}, one for each of its classes; "
            f"got {labels.min()} to {labels.max()}."
        )
