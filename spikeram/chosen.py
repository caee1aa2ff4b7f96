"""Some neurons of some layers: which are recorded, and their spikes while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.errors import meant
from spikeram.recording import Activity, Counts

Chosen: TypeAlias = Mapping[str, ArrayLike | slice]
"""Neurons to record, by layer: their numbers, or a slice of them."""

Units: TypeAlias = Mapping[str, NDArray[np.int64]]


def checked_units(chosen: Chosen, widths: Mapping[str, int]) -> Units:
    """Return the numbers of the neurons that are to be recorded, or say what is wrong with them.

    Parameters
    ----------
    chosen : mapping of str to array_like of int or slice
        Neurons of each layer.
    widths : mapping of str to int
        How many neurons each layer has that can be recorded.
    """
    there = ", ".join(widths)
    if not chosen:
        raise ValueError(f"record expects neurons of the layers {there}, got no layer.")
    for name in map(str, chosen):
        if name not in widths:
            raise ValueError(
                f"record expects neurons of the layers {there}, got {name!r}."
                f"{meant(name, list(widths))}"
            )
    return {name: _numbers(name, some, widths[name]) for name, some in chosen.items()}


def _numbers(name: str, some: ArrayLike | slice, width: int) -> NDArray[np.int64]:
    if isinstance(some, slice):
        return np.arange(width)[some]
    found = np.asarray(some)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(
            f"record expects a list of whole numbers, or a slice, of layer {name!r}, got "
            f"{found.dtype} of shape {found.shape}."
        )
    if found.size and not (0 <= found.min() and found.max() < width):
        raise ValueError(
            f"record expects numbers from 0 to {width - 1} of layer {name!r}, got {found.min()} to "
            f"{found.max()}."
        )
    if np.unique(found).size < found.size:
        raise ValueError(f"record expects each neuron of layer {name!r} once, got some twice.")
    return found.astype(np.int64)


class Trains:
    """The spike trains of a batch, or of some of its neurons, filled in piece by piece.

    Parameters
    ----------
    widths : mapping of str to int
        Neurons of each layer, in the order of the layers.
    units : mapping of str to int64 ndarray of shape (neuron,), or None
        Which are kept; None for all.
    n_samples, steps : int
        Number of samples and of steps.
    """

    def __init__(
        self, widths: Mapping[str, int], units: Units | None, n_samples: int, steps: int
    ) -> None:
        nothing = np.zeros(0, np.int64)
        self._units = {
            name: slice(None) if units is None else units.get(name, nothing) for name in widths
        }
        kept = [
            width if units is None else units.get(name, nothing).size
            for name, width in widths.items()
        ]
        # A sample that stops early is silent from then on.
        self._spikes = [np.zeros((n_samples, steps, width), np.int8) for width in kept]
        self._start = 0

    def take(self, spikes: Sequence[NDArray[np.int8]], samples: NDArray[np.int64]) -> None:
        """Keep the next steps.

        Parameters
        ----------
        spikes : sequence of int8 ndarray of shape (sample, step, neuron)
            Of each layer.
        samples : int64 ndarray of shape (sample,)
            Which samples they are.
        """
        steps = slice(self._start, self._start + spikes[0].shape[1])
        for kept, trains, units in zip(self._spikes, spikes, self._units.values()):
            if kept.shape[2]:
                kept[samples, steps] = trains[:, :, units]
        self._start = steps.stop

    def activity(self) -> Activity:
        """Return the spikes so far, without membranes."""
        samples = self._spikes[0].shape[0]
        return Activity(spikes=tuple(self._spikes), membrane=np.zeros((samples, 0, 0), np.int32))

    def of(self, counts: Counts) -> Counts:
        """Return the counts of the neurons that are kept."""
        kept = tuple(own[:, units] for own, units in zip(counts.spikes, self._units.values()))
        return Counts(spikes=kept, any_negative=counts.any_negative)


def bytes_of_a_step(widths: Mapping[str, int], units: Units | None) -> int:
    """Return the bytes that the kept spikes of one sample take in a step."""
    if units is None:
        return sum(widths.values())
    return sum(found.size for found in units.values())
