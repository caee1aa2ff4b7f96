r"""What the spikes and membranes of the output layer say, after each step.

``membrane``: the charge that has arrived by step k is what is on the membrane plus one threshold
for each spike; divided by the steps it is the mean drive, in the trained network's units.
``counts``: the spikes alone, without the rest.

``first``: which output is the first to reach its threshold, as a score. With the step :math:`t_j`,
counted from 1, of the first positive spike of output j, and the number :math:`q_j(k) < J` of the J
outputs whose charge, read as for ``membrane``, is larger after step k (of equals, all but the first
have a larger one),

.. math::

    o_j(k) = \frac{k - t_j + 1 - q_j(t_j)/J}{k} \quad (k \ge t_j), \qquad
    o_j(k) = -\frac{q_j(k)}{J} \quad (k < t_j).

The largest score is for ever that of the output that fired first, ties going to the larger charge
in that step; until one has fired, it is that of the largest charge. Scores are above 0 from the
first spike on and never before. Negative spikes count for nothing, and spikes that signed neurons
take back stay. Ties are told apart while J k < 2**22, in float32. With ``encoding="ttfs"`` the
first outputs have seen only the largest inputs, which makes them poor judges; prefer a constant
current.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.recording import Activity

Decoding: TypeAlias = Literal["membrane", "counts", "first"]


class Decoder:
    """Decodes the output of a batch piece by piece, each going on where the last one ended.

    Parameters
    ----------
    layer : ChargeLayer
        The output layer.
    decoding : {"membrane", "counts", "first"}
        How it is read.
    n_samples : int
        Number of samples.
    """

    def __init__(self, layer: ChargeLayer, decoding: Decoding, n_samples: int) -> None:
        self._layer = layer
        self._decoding = decoding
        shape = (n_samples, 1, layer.n_outputs)
        self._steps = 0
        self._count = np.zeros(shape, np.int64)
        self._fired = np.zeros(shape, bool)
        self._first = np.zeros(shape, np.int64)
        self._behind = np.zeros(shape, np.int64)

    def take(self, spikes: NDArray[np.int8], membrane: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the output after each of the next steps, of shape (sample, step, output).

        Parameters
        ----------
        spikes : int8 ndarray of shape (sample, step, output)
            Spikes of the output layer.
        membrane : int32 ndarray of shape (sample, step, output)
            Its membranes after each step's reset [quanta].
        """
        layer = self._layer
        count = self._count + np.cumsum(spikes, axis=1, dtype=np.int64)
        whole = self._decoding != "counts"
        charge = _arrived(count, membrane, layer) if whole else count * layer.threshold
        steps = np.arange(self._steps + 1, self._steps + spikes.shape[1] + 1)[:, np.newaxis]
        if self._decoding == "first":
            found = self._first_to_fire(spikes > 0, charge, steps)
        else:
            found = (charge * (layer.scale / layer.threshold) / steps).astype(np.float32)
        self._steps += spikes.shape[1]
        self._count = count[:, -1:].copy()
        return found

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Go on with some of the samples, of which a mask of shape (sample,) tells."""
        self._count, self._fired = self._count[chosen], self._fired[chosen]
        self._first, self._behind = self._first[chosen], self._behind[chosen]

    def _first_to_fire(
        self, positive: NDArray[np.bool_], charge: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        layer = self._layer
        # Divided first, one threshold of charge is one in every output: equals stay equal.
        order = np.argsort(-(charge / layer.threshold * layer.scale), axis=-1, kind="stable")
        outputs = layer.n_outputs
        behind = np.empty_like(order)
        np.put_along_axis(behind, order, np.arange(outputs)[np.newaxis, np.newaxis], axis=-1)
        now = positive.argmax(axis=1)[:, np.newaxis]
        then = np.take_along_axis(behind, now, axis=1)
        self._first = np.where(self._fired, self._first, now + steps[0, 0])
        self._behind = np.where(self._fired, self._behind, then)
        fired = self._fired | np.maximum.accumulate(positive, axis=1)
        early = (steps - self._first + 1 - self._behind / outputs) / steps
        self._fired = fired[:, -1:].copy()
        return np.where(fired, early, -behind / outputs).astype(np.float32)


def decode(
    activity: Activity, layer: ChargeLayer, decoding: Decoding = "membrane"
) -> NDArray[np.float32]:
    """Return the output after each step, of shape (sample, step, output).

    Parameters
    ----------
    activity : Activity
        A whole run.
    layer : ChargeLayer
        The output layer.
    decoding : {"membrane", "counts", "first"}
        How it is read.
    """
    decoder = Decoder(layer, decoding, activity.membrane.shape[0])
    return decoder.take(activity.spikes[-1], activity.membrane)


def checked_decoding(decoding: Decoding | None, layer: ChargeLayer) -> Decoding:
    """Return how an output layer is read, or say why it cannot be read so.

    Parameters
    ----------
    decoding : {"membrane", "counts", "first"} or None
        As asked for; None for the charge where it adds up, else the spikes.
    layer : ChargeLayer
        The output layer.
    """
    adds_up = layer.reset == "subtract" and layer.decay == 1
    if decoding is None:
        return "membrane" if adds_up else "counts"
    if decoding not in get_args(Decoding):
        raise ValueError(
            f"decoding expects one of {', '.join(get_args(Decoding))}, got {decoding!r}."
        )
    silent = int(np.count_nonzero(layer.threshold > layer.rail))
    if decoding == "first" and silent:
        raise ValueError(
            f"decoding='first' waits for output spikes, but {silent} of {layer.n_outputs} outputs "
            "have thresholds beyond the rails and cannot fire. Use decoding='membrane'."
        )
    if decoding == "membrane" and not adds_up:
        raise ValueError(
            "decoding='membrane' adds up charge, which a reset to zero or a leak takes away. Use "
            "decoding='counts'."
        )
    return decoding


def _arrived(
    count: NDArray[np.int64], membrane: NDArray[np.int32], layer: ChargeLayer
) -> NDArray[np.int64]:
    """Return the charge of each output so far [quanta]."""
    charge = count * layer.threshold
    # Below zero a spike of a signed neuron takes other charge.
    if layer.spikes == "signed":
        charge = np.where(count < 0, count * layer.negative, charge)
    return np.asarray(charge + (membrane.astype(np.int64) - layer.initial), dtype=np.int64)
