"""NIRGraph: nodes and edges, which graphs inside it become when it is flattened, and its order."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.nodes import Input, Output
from spikeram.conversion.nir.parameters import Metadata, Shape
from spikeram.errors import ConversionError

Neuron: TypeAlias = (
    neurons.I | neurons.IF | neurons.LI | neurons.LIF | neurons.CubaLI | neurons.CubaLIF
)
Stateless: TypeAlias = (
    nodes.Input
    | nodes.Output
    | nodes.Affine
    | nodes.Linear
    | nodes.Scale
    | nodes.Conv1d
    | nodes.Conv2d
    | nodes.SumPool2d
    | nodes.AvgPool2d
    | nodes.Flatten
    | nodes.Threshold
)
Leaf: TypeAlias = Neuron | Stateless | nodes.Delay
Edge: TypeAlias = tuple[str, str]


@dataclass(frozen=True, eq=False, kw_only=True)
class NIRGraph:
    """Nodes with names, and which node's output enters which.

    Parameters
    ----------
    nodes : mapping of str to node
        Nodes; a graph may stand among them. What enters a node by several edges is added.
    edges : sequence of (str, str)
        From, to.
    metadata : mapping
        Whatever a writer added.
    version : str
        Version of nir that the file says it was written by; empty for none.

    Examples
    --------
    >>> from spikeram.conversion.nir import IF, Input, NIRGraph, Output
    >>> graph = NIRGraph(
    ...     nodes={"in": Input(shape=2), "if": IF(r=1, v_threshold=1), "out": Output(shape=2)},
    ...     edges=[("in", "if"), ("if", "out")],
    ... )
    >>> graph.shapes["if"]
    (2,)
    """

    nodes: Mapping[str, Leaf | NIRGraph]
    edges: tuple[Edge, ...]
    metadata: Metadata = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        # A file may name an edge twice; NIR calls that an error, and one edge is what is meant.
        edges = tuple(dict.fromkeys((str(a), str(b)) for a, b in self.edges))
        object.__setattr__(self, "edges", edges)
        unknown = sorted({name for edge in edges for name in edge} - set(self.nodes))
        if unknown:
            raise ValueError(
                f"Edges name {', '.join(map(repr, unknown))}, but the nodes are "
                f"{', '.join(map(repr, self.nodes))}."
            )

    def leaves(self) -> dict[str, Leaf]:
        """Return the nodes of a flat graph, or say that it holds graphs."""
        inner = [name for name, node in self.nodes.items() if isinstance(node, NIRGraph)]
        if inner:
            raise ConversionError(f"A flat graph expects no graph inside, got {', '.join(inner)}.")
        return {name: node for name, node in self.nodes.items() if not isinstance(node, NIRGraph)}

    def sources(self, name: str) -> list[str]:
        """Return the nodes whose output enters a node."""
        return [before for before, after in self.edges if after == name]

    def named(self, kind: type[Input] | type[Output]) -> list[str]:
        """Return the names of the graph's own inputs, or outputs: nothing is beyond them."""
        inner = {edge[1] if kind is Input else edge[0] for edge in self.edges}
        return [
            name
            for name, node in self.nodes.items()
            if isinstance(node, kind) and name not in inner
        ]

    def flattened(self) -> NIRGraph:
        """Return the graph with graphs inside replaced by their nodes, named ``graph/node``.

        Raises
        ------
        ConversionError
            If a graph inside has several inputs or outputs: edges do not say which is meant.
        """
        flat: dict[str, Leaf | NIRGraph] = {}
        edges: list[Edge] = []
        entry: dict[str, str] = {}
        leave: dict[str, str] = {}
        for name, node in self.nodes.items():
            if not isinstance(node, NIRGraph):
                flat[name] = node
                entry[name] = leave[name] = name
                continue
            inner = node.flattened()
            ends = [inner.named(nodes.Input), inner.named(nodes.Output)]
            if any(len(names) != 1 for names in ends):
                raise ConversionError(
                    f"Graph {name!r} inside expects one input and one output, got "
                    f"{len(ends[0])} and {len(ends[1])}."
                )
            flat.update({f"{name}/{part}": leaf for part, leaf in inner.nodes.items()})
            edges += [(f"{name}/{a}", f"{name}/{b}") for a, b in inner.edges]
            entry[name], leave[name] = f"{name}/{ends[0][0]}", f"{name}/{ends[1][0]}"
        edges += [(leave[a], entry[b]) for a, b in self.edges]
        return NIRGraph(
            nodes=flat, edges=tuple(edges), metadata=self.metadata, version=self.version
        )

    def components(self) -> list[list[str]]:
        """Return the nodes of a flat graph in order, those of one loop together."""
        names = list(self.nodes)
        place = {name: n for n, name in enumerate(names)}
        rows = [place[a] for a, _ in self.edges]
        columns = [place[b] for _, b in self.edges]
        matrix = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
        count, label = connected_components(matrix, directed=True, connection="strong")
        before: dict[int, set[int]] = {n: set() for n in range(count)}
        for a, b in zip(rows, columns):
            if label[a] != label[b]:
                before[int(label[b])].add(int(label[a]))
        order = graphlib.TopologicalSorter(before).static_order()
        return [[names[n] for n in np.flatnonzero(label == part)] for part in order]

    def loops(self) -> list[list[str]]:
        """Return the components of a flat graph that feed back to themselves."""
        return [part for part in self.components() if len(part) > 1 or (part[0],) * 2 in self.edges]

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of what leaves each node of a flat graph, at one time.

        Raises
        ------
        ConversionError
            If shapes do not fit, or a node has no input.
        """
        leaves = self.leaves()
        found: dict[str, Shape] = {}
        for part in self.components():
            waiting = list(part)
            while waiting:
                # In a loop some node has an input from outside, which tells its shape.
                ready = [name for name in waiting if self._known(name, found)]
                if not ready:
                    raise ConversionError(
                        f"Nodes {', '.join(map(repr, waiting))} have no input that tells the shape."
                    )
                for name in ready:
                    found[name] = self._shape(name, leaves[name], found)
                    waiting.remove(name)
        self._check_sums(leaves, found)
        return found

    def _known(self, name: str, found: Mapping[str, Shape]) -> bool:
        return isinstance(self.nodes[name], nodes.Input) or any(
            source in found for source in self.sources(name)
        )

    def _shape(self, name: str, node: Leaf, found: Mapping[str, Shape]) -> Shape:
        shapes = [found[source] for source in self.sources(name) if source in found]
        if isinstance(node, nodes.Input) and not shapes:
            return node.shape
        try:
            return node.output_shape(shapes[0])
        except ValueError as error:
            raise ConversionError(f"Node {name!r}: {error}") from None

    def _check_sums(self, leaves: Mapping[str, Leaf], found: Mapping[str, Shape]) -> None:
        for name in leaves:
            shapes = {source: found[source] for source in self.sources(name)}
            if len(set(shapes.values())) > 1:
                got = ", ".join(f"{source!r} {shape}" for source, shape in shapes.items())
                raise ConversionError(f"Node {name!r} adds inputs of different shapes: {got}.")


def loop_order(
    graph: NIRGraph, part: Iterable[str], early: Iterable[str] = ()
) -> tuple[list[str], list[Edge]]:
    """Return the order of a loop's nodes within one step, and the edges that take a step.

    Nodes are visited from those that have inputs from outside, each after what it needs; an edge
    that leads back to a node on the way arrives one step later.

    Parameters
    ----------
    graph : NIRGraph
        A flat graph.
    part : iterable of str
        The nodes of one loop.
    early : iterable of str
        Nodes whose output does not need the input of the same step: delays.
    """
    inside, first = list(part), set(early)
    after: dict[str, list[str]] = {name: [] for name in inside}
    for a, b in graph.edges:
        if a in after and b in after and b not in first:
            after[a].append(b)
    entries = [n for n in inside if any(s not in after for s in graph.sources(n))]
    done: list[str] = []
    seen: set[str] = set()
    for root in [*(n for n in inside if n in first), *entries, *inside]:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(after[root]))]
        while stack:
            name, rest = stack[-1]
            following = next((n for n in rest if n not in seen), None)
            if following is None:
                done.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(after[following])))
    order = done[::-1]
    place = {name: n for n, name in enumerate(order)}
    late = [(a, b) for a in inside for b in after[a] if place[b] <= place[a]]
    return order, late
