"""Engines that run several chips at once, and time piece by piece.

An engine of one chip is a function like `spikeram.clocked.clocked`. One that takes several chips
goes through the steps piece by piece, and keeps the membranes of all of them in between: what it
holds at a time grows neither with the number of steps nor with that of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.pool import MaxPool
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.wiring import Wiring

Nodes: TypeAlias = Sequence[ChargeLayer | MaxPool]

Pieces: TypeAlias = Iterable[tuple[int, NDArray[np.int8] | None]]
"""Numbers of steps, each with the input spikes of shape (sample, step, input), if there are any."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ChipBatch:
    """One chip on a batch of samples, as an engine runs it.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        From input to output, every node after its sources.
    drive : mapping of str to int32 ndarray of shape (sample, output), or None
        Constant charge of every step into each layer that reads the input [quanta]; None where
        the input is spikes.
    keys : sequence of numpy.uint64
        Key of each layer's noise; may be empty when no layer draws.
    readings : mapping of str to Reading
        Of each layer whose cells fluctuate, what draws its read noise.
    """

    nodes: Nodes
    drive: Mapping[str, NDArray[np.int32]] | None = None
    keys: Sequence[np.uint64] = ()
    readings: Mapping[str, Reading] = field(default_factory=lambda: MappingProxyType({}))


class ChipEngine(Protocol):
    """An engine of several chips."""

    def most_samples(self, chips: Sequence[Nodes], steps: int, *, spiking_input: bool) -> int:
        """Return how many samples of each chip run at a time.

        Parameters
        ----------
        chips : sequence of nodes
            The chips.
        steps : int
            Steps of a piece.
        spiking_input : bool
            Whether the input is spikes, which take memory too.

        Raises
        ------
        CapacityError
            If not even one sample fits into memory.
        """

    def run(
        self, chips: Sequence[ChipBatch], pieces: Pieces, *, first_sample: int = 0
    ) -> Iterator[list[Activity]]:
        """Yield the activity of each chip in each piece.

        Parameters
        ----------
        chips : sequence of ChipBatch
            Chips of one network, on the same samples.
        pieces : iterable of (int, ndarray or None)
            Steps, in order, with their input spikes, which the chips share.
        first_sample : int
            Number of the first sample in the whole run: noise is addressed by it.
        """


def check_same_network(chips: Sequence[Nodes]) -> None:
    """Refuse chips that do not hold the same network: one's nodes must be wired as another's."""
    told = [_told(nodes) for nodes in chips]
    for n, one in enumerate(told):
        if one != told[0]:
            wrong = next((a, b) for a, b in zip([*told[0], None], [*one, None]) if a != b)
            raise ValueError(
                "Chips that run at once expect the same network on each, but chip number "
                f"{n} has {_words(wrong[1])} where the first has {_words(wrong[0])}. Run them one "
                "by one."
            )


def _told(nodes: Nodes) -> list[tuple[object, ...]]:
    wiring = Wiring(nodes)
    return [
        (node.name, wiring.sources[node.name], node.n_outputs, *_kind(node))
        for node in wiring.nodes
    ]


def _kind(node: ChargeLayer | MaxPool) -> tuple[object, ...]:
    if isinstance(node, MaxPool):
        return ("pool",)
    return (node.n_inputs, node.spikes, node.reset, node.burst, node.digits)


def _words(told: tuple[object, ...] | None) -> str:
    return "nothing" if told is None else f"the node {told[0]!r} of {told[2]} outputs"


class OneByOne:
    """An engine of one chip as one of several; it runs all steps in one piece.

    Parameters
    ----------
    run : callable
        The engine, called like `spikeram.clocked.clocked`.
    most : int
        Most samples at a time.
    most_bytes : int
        Most bytes of spike trains at a time.
    """

    def __init__(self, run: Callable[..., Activity], most: int, most_bytes: int) -> None:
        self._run = run
        self._most = most
        self._most_bytes = most_bytes

    def most_samples(self, chips: Sequence[Nodes], steps: int, *, spiking_input: bool) -> int:
        """Return how many samples of each chip run at a time."""
        return most_by_bytes(chips, steps, self._most, self._most_bytes)

    def run(
        self, chips: Sequence[ChipBatch], pieces: Pieces, *, first_sample: int = 0
    ) -> Iterator[list[Activity]]:
        """Yield the activity of each chip."""
        ((steps, spikes),) = pieces
        yield [
            self._run(
                chip.nodes,
                chip.drive,
                spikes,
                steps=steps,
                first_sample=first_sample,
                keys=chip.keys,
                **({"readings": chip.readings} if chip.readings else {}),
            )
            for chip in chips
        ]


def most_by_bytes(chips: Sequence[Nodes], steps: int, most: int, most_bytes: int) -> int:
    """Return how many samples have trains within so many bytes: at least 1, at most `most`."""
    return max(1, min(most, most_bytes // (steps * bytes_of_a_step(chips))))


def bytes_of_a_step(chips: Sequence[Nodes]) -> int:
    """Return the bytes that one step of one sample brings: spikes, and membranes of outputs."""
    wiring = Wiring(chips[0])
    outputs = wiring.layers[-1].n_outputs
    return len(chips) * (sum(wiring.widths.values()) + 4 * outputs)
