"""Section: the neurons of one layer of a NIR graph, and the weights that lead to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.assume import Settled
from spikeram.conversion.nir.graph import Leaf, NIRGraph
from spikeram.conversion.nir.parameters import Shape
from spikeram.errors import ConversionError

LINEAR = (
    nodes.Affine, nodes.Linear, nodes.Scale, nodes.Conv1d, nodes.Conv2d, nodes.SumPool2d,
    nodes.AvgPool2d, nodes.Flatten,
)  # fmt: skip
"""The types of nodes that a matrix can stand for."""

# A membrane that keeps all but this in a step is taken to keep all.
_NO_LEAK = 1e-5


@dataclass(frozen=True, eq=False, kw_only=True)
class Path:
    """Weights from one source to a section.

    Parameters
    ----------
    source : str
        The neurons, or the input node, that it leads from.
    shape : tuple of int
        Shape of what leaves the source.
    linear : tuple of node
        Nodes without state, in order.
    """

    source: str
    shape: Shape
    linear: tuple[Leaf, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """Neurons, or the output, and what leads to them.

    Parameters
    ----------
    name : str
        Name of the neurons' node, or of the last weights before the output.
    neuron : node or None
        None at the output.
    paths : tuple of Path
        Weights from each source; what they bring is added.
    """

    name: str
    neuron: neurons.IF | neurons.LIF | None
    paths: tuple[Path, ...]


def sections(graph: NIRGraph, settled: Settled) -> list[Section]:
    """Return the sections of a flat graph, each after its sources.

    Raises
    ------
    ConversionError
        If anything does not fit a SpikingNetwork; the message names all of it.
    """
    leaves = graph.leaves()
    problems = [f"{name!r} is part of a loop" for part in graph.loops() for name in part]
    problems += [text for name, node in leaves.items() if (text := _problem(name, node, settled))]
    problems += [
        f"{kind.__name__} nodes are {len(graph.named(kind))}, not one"
        for kind in (nodes.Input, nodes.Output)
        if len(graph.named(kind)) != 1
    ]
    if problems:
        raise ConversionError(f"The graph is no SpikingNetwork: {'; '.join(problems)}.")
    order = [part[0] for part in graph.components()]
    shapes = graph.shapes
    found = [
        Section(name=name, neuron=node, paths=_paths(graph, name, shapes))
        for name in order
        if isinstance(node := leaves[name], neurons.IF | neurons.LIF)
    ]
    output = graph.named(nodes.Output)[0]
    ends = _paths(graph, output, shapes)
    # Where neurons are what leaves the graph, the last section is theirs.
    if [path for path in ends if path.linear] or not found:
        last = graph.sources(output)[0]
        return [*found, Section(name=last, neuron=None, paths=ends)]
    if len(ends) != 1 or ends[0].source != found[-1].name:
        raise ConversionError(
            "The graph is no SpikingNetwork: its output is not that of its last neurons alone."
        )
    return found


def _paths(graph: NIRGraph, name: str, shapes: dict[str, Shape]) -> tuple[Path, ...]:
    """Return the ways back from a node to neurons or the input."""
    leaves = graph.leaves()
    found: list[Path] = []
    for before in graph.sources(name):
        linear: list[Leaf] = []
        while isinstance(node := leaves[before], (*LINEAR, nodes.Input, nodes.Output)):
            sources = graph.sources(before)
            if isinstance(node, nodes.Input) and not sources:
                break
            if len(sources) != 1:
                raise ConversionError(
                    f"The graph is no SpikingNetwork: node {before!r} has {len(sources)} inputs, "
                    "which only neurons may have."
                )
            if isinstance(node, LINEAR):
                linear.insert(0, node)
            before = sources[0]
        found.append(Path(source=before, shape=shapes[before], linear=tuple(linear)))
    if not found:
        raise ConversionError(f"The graph is no SpikingNetwork: node {name!r} has no input.")
    return tuple(found)


def _problem(name: str, node: Leaf, settled: Settled) -> str:
    """Return why a node fits no SpikingNetwork, or nothing."""
    who = f"{name!r} of type {type(node).__name__}"
    if isinstance(node, (nodes.Input, nodes.Output, *LINEAR)):
        return ""
    if not isinstance(node, neurons.IF | neurons.LIF):
        return f"{who} has no counterpart"
    if isinstance(node, neurons.LIF):
        leak = float(np.max(settled.dt / node.tau))
        if leak > _NO_LEAK:
            return f"{who} leaks {leak:.2g} of its membrane in a step"
        if np.any(node.v_leak != 0):
            return f"{who} has a rest other than 0"
    if not np.all(node.v_threshold > 0):
        return f"{who} has thresholds that are not > 0"
    if settled.reset[name] != "subtract":
        return (
            f"{who} resets to v_reset, where a SpikingNetwork subtracts the threshold (give "
            "Conventions(reset='subtract') to take it so)"
        )
    return ""
