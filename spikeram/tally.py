"""What a run counts, piece by piece of time: spikes, rows and steps driven, decoded outputs.

Sums over steps are all that a recording of counts holds, so that it takes no more memory for more
steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.encoding import driven_positions, driven_steps, weighted_counts
from spikeram.burst import most_spikes
from spikeram.charge import ChargeLayer
from spikeram.clocked import incoming
from spikeram.decoding import Decoder, Decoding
from spikeram.pool import MaxPool
from spikeram.recording import Activity, Counts, add_spikes
from spikeram.wiring import INPUT, Wiring


class Tally:
    """The counts of one chip on a batch of samples.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        The chip.
    levels : int16 ndarray of shape (sample, input), or None
        Levels of a constant input; None where the input is spikes.
    n_samples : int
        Number of samples.
    decoding : {"membrane", "counts", "first"}
        How the output layer is read.
    kept : int64 ndarray of shape (step,)
        After which steps the output is kept, ascending.
    """

    def __init__(
        self,
        nodes: Sequence[ChargeLayer | MaxPool],
        levels: NDArray[np.int16 | np.int8] | None,
        *,
        n_samples: int,
        decoding: Decoding,
        kept: NDArray[np.int64],
    ) -> None:
        self._wiring = Wiring(nodes)
        self._driven_inputs = None if levels is None else (levels != 0).astype(np.int8)
        self._driven_now = self._driven_inputs
        self._decoder = Decoder(self._wiring.layers[-1], decoding, n_samples)
        self._kept = kept
        self._n_samples = n_samples
        self._samples = np.arange(n_samples)
        self._stopped = np.zeros(n_samples, np.int64)
        self._most = most_spikes(self._wiring)
        self._names = [layer.name for layer in self._wiring.layers]
        self._counted = self._names if levels is not None else [INPUT, *self._names]
        outputs = self._wiring.layers[-1].n_outputs
        self._output = np.zeros((n_samples, kept.size, outputs), np.float32)
        self._spikes = {
            name: np.zeros((n_samples, width), np.int32)
            for name, width in self._wiring.widths.items()
            if name != INPUT or levels is None
        }
        self._negative = dict.fromkeys(self._counted, False)
        self._active = {name: np.zeros(n_samples, np.int64) for name in self._names}
        self._counters = {
            node.name: node.counters(
                n_samples, self._wiring.widths[self._wiring.sources[node.name][0]]
            )
            for node in nodes
            if isinstance(node, MaxPool)
        }
        self.steps = 0

    def take(self, activity: Activity, spikes: NDArray[np.int8] | None) -> NDArray[np.float32]:
        """Count the next steps, and return the output after each, (sample, step, class).

        Parameters
        ----------
        activity : Activity
            What the chip did in them.
        spikes : int8 ndarray of shape (sample, step, input), or None
            The input's spikes, if there are any.

        Returns
        -------
        float32 ndarray of shape (sample, step, class)
            Of the samples that have not stopped, of which alone all arrays tell.
        """
        steps = activity.membrane.shape[1]
        whole = with_input(activity, spikes)
        for name, trains in zip(self._counted, whole.spikes):
            self._negative[name] |= self._count(name, trains)
        output = self._decoder.take(activity.spikes[-1], activity.membrane)
        here = slice(*np.searchsorted(self._kept, [self.steps + 1, self.steps + steps + 1]))
        self._output[self._samples, here] = output[:, self._kept[here] - self.steps - 1]
        self._add_active(activity, spikes, steps)
        self.steps += steps
        self._stopped[self._samples] = self.steps
        return output

    def keep(self, chosen: NDArray[np.bool_], output: NDArray[np.float32]) -> None:
        """Go on with some of the samples; the others keep their output.

        Parameters
        ----------
        chosen : bool ndarray of shape (sample,)
            Which go on, of those that have not stopped.
        output : float32 ndarray of shape (sample, class)
            The output of all of them.
        """
        later = slice(int(np.searchsorted(self._kept, self.steps + 1)), None)
        self._output[self._samples[~chosen], later] = output[~chosen, np.newaxis]
        self._samples = self._samples[chosen]
        self._decoder.keep(chosen)
        if self._driven_now is not None:
            self._driven_now = self._driven_now[chosen]

    @property
    def stopped(self) -> NDArray[np.int64]:
        """After how many steps each sample stopped, or how many there were, of shape (sample,)."""
        return self._stopped

    def counts(self) -> Counts:
        """Return the spikes of each layer so far, of the input first where it has any."""
        return Counts(
            spikes=tuple(self._spikes[name] for name in self._counted),
            any_negative=tuple(self._negative.values()),
        )

    def output(self) -> NDArray[np.float32]:
        """Return the output after each step that is kept, of shape (sample, step, class)."""
        return self._output

    def active_rows(self) -> NDArray[np.int64]:
        """Return how often pairs of rows were driven, always-on ones too; (sample, crossbar)."""
        found = []
        for layer in self._wiring.layers:
            driven = layer.always_on * layer.n_uses * self._stopped
            reuse = layer.reuse
            for source, part in self._wiring.parts(layer.name):
                if source == INPUT and self._driven_inputs is not None:
                    driven += self._stopped * (self._driven_inputs @ reuse[part])
                else:
                    weighted_counts(self._spikes[source], reuse[part], driven)
            found.append(driven)
        return np.stack(found, axis=1)

    def active_steps(self) -> NDArray[np.int64]:
        """Return in how many steps, at all positions, any input drove; (sample, crossbar).

        A step in which always-on rows alone are driven does not count.
        """
        return np.stack([self._active[name] for name in self._names], axis=1)

    def _count(self, name: str, trains: NDArray[np.int8]) -> bool:
        """Count spikes of a node, and return whether any is negative."""
        return add_spikes(trains, self._most[name], self._samples, self._spikes[name])

    def _pooled(
        self, pool: MaxPool, activity: Activity, trains: Mapping[str, NDArray[np.int8]]
    ) -> NDArray[np.int8]:
        if pool.name in activity.pooled:
            return activity.pooled[pool.name]
        (source,) = self._wiring.sources[pool.name]
        return pool.spikes(trains[source], self._counters[pool.name])

    def _add_active(self, activity: Activity, spikes: NDArray[np.int8] | None, steps: int) -> None:
        wiring = self._wiring
        trains = dict(zip(self._names, activity.spikes))
        if spikes is not None:
            trains[INPUT] = spikes
        elif self._driven_now is not None:
            # A constant current drives the same rows in every step.
            one = self._driven_now[:, np.newaxis]
            trains[INPUT] = np.broadcast_to(one, (one.shape[0], steps, one.shape[2]))
        for node in wiring.nodes:
            if isinstance(node, MaxPool):
                trains[node.name] = self._pooled(node, activity, trains)
                # Pools leave no trace in recordings, but drive rows.
                self._count(node.name, trains[node.name])
                continue
            arriving = incoming(wiring, node.name, trains)
            if arriving is not None:
                self._active[node.name][self._samples] += _active_steps(node, arriving)


def with_input(activity: Activity, spikes: NDArray[np.int8] | None) -> Activity:
    """Return an activity with the input's spikes, if there are any, as its first layer's."""
    return activity if spikes is None else replace(activity, spikes=(spikes, *activity.spikes))


def _active_steps(layer: ChargeLayer, spikes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return in how many steps, over all positions, any input drives a layer; shape (sample,)."""
    n_samples, steps, _ = spikes.shape
    # A constant current is the same array in every step: one stands for all.
    times = steps if spikes.strides[1] == 0 else 1
    some = np.ascontiguousarray(spikes[:, : steps // times])
    counts = np.empty(n_samples, np.int64)
    if layer.gather is None:
        driven_steps(some, counts)
    else:
        classes = layer.gather.classes
        driven_positions(some, classes.runs, classes.at, classes.n_classes, counts)
    return times * counts
