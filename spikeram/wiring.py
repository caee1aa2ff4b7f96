"""Which node drives which: sources by name, and when the steps of each node begin.

The nodes of a network are layers and max pools, in an order in which every node comes after its
sources. The inputs of a node are the outputs of its sources, one source after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from spikeram.pool import MaxPool

INPUT = "input"
"""Name of the network's input among the sources of a node, and in recordings."""


class LayerNode(Protocol):
    """A layer, as far as its place in the network goes."""

    @property
    def name(self) -> str:
        """The layer's name."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what drives it; none for the node before it."""

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""


_Layer = TypeVar("_Layer", bound=LayerNode)


@dataclass(frozen=True, eq=False)
class Wiring(Generic[_Layer]):
    """The nodes of a network and what drives each.

    Parameters
    ----------
    nodes : sequence of layers and MaxPool
        Every node after its sources. A node that names none follows the node before it, the first
        one the input.

    Raises
    ------
    ValueError
        If names repeat, sources are unknown or come later, or the last node is a pool.
    """

    nodes: Sequence[_Layer | MaxPool]

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        if not names:
            raise ValueError("A network expects at least one layer, got none.")
        if len({INPUT, *names}) <= len(names):
            raise ValueError(
                f"A network expects nodes of different names, none of them {INPUT!r}, got {names}."
            )
        known = {INPUT}
        for node in self.nodes:
            strange = [name for name in self.sources[node.name] if name not in known]
            if strange:
                raise ValueError(
                    f"Node {node.name!r} expects sources among those before it "
                    f"({', '.join(sorted(known))}), got {', '.join(strange)}."
                )
            known.add(node.name)
        if isinstance(self.nodes[-1], MaxPool):
            raise ValueError(
                f"The last node of a network is its output layer, got the pool {names[-1]!r}."
            )

    def check_sizes(self) -> None:
        """Refuse nodes that expect other inputs than the outputs of their sources."""
        for node in self.nodes:
            self._check_size(node)

    def _check_size(self, node: _Layer | MaxPool) -> None:
        sources = self.sources[node.name]
        total = sum(self.widths[name] for name in sources)
        pool = isinstance(node, MaxPool)
        expected = node.least_inputs if isinstance(node, MaxPool) else node.n_inputs
        fits = total >= expected if pool else total == expected
        if not fits or self.widths[INPUT] < 1:
            raise ValueError(
                f"{'MaxPool' if pool else 'Layer'} {node.name!r} expects "
                f"{'at least ' if pool else ''}{expected} inputs, but "
                f"{' and '.join(map(repr, sources))} {'has' if len(sources) == 1 else 'have'} "
                f"{total} outputs."
            )

    @cached_property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """The sources of each node, by name; that of a node that named none is filled in."""
        before = (INPUT, *(node.name for node in self.nodes))
        return {
            node.name: node.sources or (previous,) for node, previous in zip(self.nodes, before)
        }

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """The number of outputs of each node, and of the input."""
        widths = {node.name: node.n_outputs for node in self.nodes}
        pooled = 1
        for node in self.nodes:
            sources = self.sources[node.name]
            if INPUT not in sources:
                continue
            if isinstance(node, MaxPool):
                pooled = max(pooled, node.least_inputs)
                continue
            # What the other sources do not bring is the input's; checked for every node later.
            rest = node.n_inputs - sum(widths[name] for name in sources if name != INPUT)
            return {INPUT: rest // sources.count(INPUT), **widths}
        return {INPUT: pooled, **widths}

    @property
    def layers(self) -> tuple[_Layer, ...]:
        """The layers without the pools, in order."""
        return tuple(node for node in self.nodes if not isinstance(node, MaxPool))

    def parts(self, name: str) -> list[tuple[str, slice]]:
        """Return the sources of a node, each with its place among the node's inputs."""
        found, start = [], 0
        for source in self.sources[name]:
            found.append((source, slice(start, start + self.widths[source])))
            start += self.widths[source]
        return found

    def starts(self, *, constant_input: bool) -> Mapping[str, int]:
        """Return the step in which the window of each node begins, from 0.

        A layer's begins one step after the latest of its sources', a pool's with its source's.
        A constant input has no steps; spikes of the input begin in step 0.
        """
        starts = {INPUT: -1 if constant_input else 0}
        for node in self.nodes:
            latest = max(starts[source] for source in self.sources[node.name])
            starts[node.name] = latest + (0 if isinstance(node, MaxPool) else 1)
        return starts

    def last_readers(self) -> Mapping[str, list[str]]:
        """Return, for each node, the sources that no later node reads."""
        found: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        seen: set[str] = set()
        for node in reversed(self.nodes):
            for source in self.sources[node.name]:
                if source not in seen:
                    seen.add(source)
                    found[node.name].append(source)
        return found
