"""Run a NIR graph in numpy: any nodes, loops, graphs inside, delays; in float64."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.apply import apply
from spikeram.conversion.nir.assume import Conventions, NIRAssumption, Settled, settle
from spikeram.conversion.nir.graph import Leaf, NIRGraph, loop_order
from spikeram.conversion.nir.membrane import Membrane, membrane
from spikeram.conversion.nir.parameters import Array, Shape
from spikeram.errors import ConversionError


@dataclass(frozen=True, eq=False, kw_only=True)
class NIRRun:
    """What left a graph, and what was assumed to run it.

    Parameters
    ----------
    outputs : mapping of str to ndarray of shape (sample, step, ...)
        What entered each output node.
    recorded : mapping of str to ndarray of shape (sample, step, ...)
        What left the nodes that were asked for.
    assumed : tuple of str
        What the file left open, and what was taken.
    """

    outputs: Mapping[str, Array]
    recorded: Mapping[str, Array]
    assumed: tuple[str, ...]

    @property
    def output(self) -> Array:
        """The only output, of shape (sample, step, ...)."""
        if len(self.outputs) != 1:
            raise ValueError(f"The graph has outputs {', '.join(self.outputs)}: choose one.")
        return next(iter(self.outputs.values()))

    @property
    def counts(self) -> Array:
        """Sum over the steps of the only output, of shape (sample, ...)."""
        total: Array = self.output.sum(axis=1)
        return total


def run(
    graph: NIRGraph,
    x: ArrayLike | Mapping[str, ArrayLike],
    *,
    conventions: Conventions | None = None,
    record: Sequence[str] = (),
) -> NIRRun:
    """Run a graph on inputs given step by step.

    In a loop, an edge that leads back arrives one step later; before the first step neurons were
    silent.

    Parameters
    ----------
    graph : NIRGraph
        The graph.
    x : array_like of shape (sample, step, ...), or mapping of such
        What enters in each step; by the input's name where there are several.
    conventions : Conventions, optional
        What the file does not say. What had to be assumed is said in a warning.
    record : sequence of str
        Nodes to record; those of graphs inside are called ``graph/node``.

    Returns
    -------
    NIRRun

    Raises
    ------
    ConversionError
        If the shapes of the graph do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeram.conversion.nir import IF, Conventions, Input, NIRGraph, Output, run
    >>> graph = NIRGraph(
    ...     nodes={"in": Input(shape=1), "if": IF(r=1, v_threshold=1), "out": Output(shape=1)},
    ...     edges=[("in", "if"), ("if", "out")],
    ... )
    >>> soft = Conventions(resistance="per_step", reset="subtract")
    >>> run(graph, np.full((1, 8, 1), 0.75), conventions=soft).counts
    array([[5.]])
    """
    flat = graph.flattened()
    _check_kinds(flat)
    settled = settle(flat, conventions or Conventions())
    if settled.assumed:
        warnings.warn(" ".join(settled.assumed), NIRAssumption, stacklevel=2)
    simulation = _Simulation(flat, settled)
    unknown = [name for name in record if name not in flat.nodes]
    if unknown:
        raise ValueError(
            f"record expects nodes of {', '.join(flat.nodes)}, got {', '.join(unknown)}."
        )
    trains = simulation.run(_inputs(flat, x))
    return NIRRun(
        outputs={name: trains[name] for name in flat.named(nodes.Output)},
        recorded={name: trains[name] for name in record},
        assumed=settled.assumed,
    )


def _check_kinds(graph: NIRGraph) -> None:
    """Refuse neurons of our own that only the metadata of a node tell from those of NIR."""
    strange = [
        name
        for name, node in graph.leaves().items()
        if node.metadata.get("spikes") == "signed" or node.metadata.get("burst", 1) != 1
    ]
    if strange:
        raise ConversionError(
            f"Neurons of {', '.join(map(repr, strange))} take spikes back or fire bursts, which "
            "nodes of NIR do not. Read the file with to_network, and simulate that."
        )


class _Simulation:
    def __init__(self, graph: NIRGraph, settled: Settled) -> None:
        self.graph = graph
        self.leaves = graph.leaves()
        self.settled = settled
        self.shapes = graph.shapes
        self.fires = settled.conventions.fires

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what leaves each node, of shape (sample, step, ...)."""
        trains: dict[str, Array] = {}
        first = next(iter(inputs.values()))
        for part in self.graph.components():
            if len(part) == 1 and (part[0],) * 2 not in self.graph.edges:
                name = part[0]
                node = self.leaves[name]
                sources = [trains[source] for source in self.graph.sources(name)]
                entering = [inputs[name]] if name in inputs else []
                trains[name] = self._whole(name, node, _added([*entering, *sources]))
            else:
                trains.update(self._loop(part, trains, first.shape[:2]))
        return trains

    def _whole(self, name: str, node: Leaf, x: Array) -> Array:
        """Return what leaves a node outside loops: all steps at once where it keeps no state."""
        if isinstance(node, nodes.Delay):
            return _delayed(x, self._steps(node), self.shapes[name])
        if isinstance(node, neurons.NEURONS):
            state = self._membrane(name, node, len(x))
            return np.stack([state.step(x[:, k]) for k in range(x.shape[1])], axis=1)
        flat = apply(node, x.reshape(-1, *x.shape[2:]), self.fires)
        return flat.reshape(*x.shape[:2], *flat.shape[1:])

    def _loop(
        self, part: list[str], trains: Mapping[str, Array], size: tuple[int, ...]
    ) -> dict[str, Array]:
        """Return what leaves the nodes of a loop, step by step."""
        n_samples, steps = size
        lines = {n: node for n, node in self.leaves.items() if isinstance(node, nodes.Delay)}
        lines = {n: node for n, node in lines.items() if n in part}
        early = [n for n, node in lines.items() if self._steps(node).min() >= 1]
        order, late = loop_order(self.graph, part, early)
        states = {
            name: self._membrane(name, node, n_samples)
            for name, node in self.leaves.items()
            if name in part and isinstance(node, neurons.NEURONS)
        }
        out = {name: np.zeros((n_samples, steps, *self.shapes[name])) for name in part}
        into = {name: np.zeros_like(out[name]) for name in lines}
        before = self._silence(order, late, states, n_samples)
        for k in range(steps):
            now: dict[str, Array] = {}
            for name in order:
                if name in early:
                    now[name] = self._tap(name, into[name], k)
                    out[name][:, k] = now[name]
                    continue
                x = self._sum(name, now, before, late, trains, k)
                if name in states:
                    now[name] = states[name].step(x)
                elif name in lines:
                    into[name][:, k] = x
                    now[name] = self._tap(name, into[name], k)
                else:
                    now[name] = apply(self.leaves[name], x, self.fires)  # type: ignore[arg-type]
                out[name][:, k] = now[name]
            for name in early:
                into[name][:, k] = self._sum(name, now, before, late, trains, k)
            before = now
        return out

    def _silence(
        self,
        order: list[str],
        late: list[tuple[str, str]],
        states: Mapping[str, Membrane],
        n_samples: int,
    ) -> dict[str, Array]:
        """Return what left the nodes of a loop before the first step, when no neuron fired."""
        before = {name: np.zeros((n_samples, *self.shapes[name])) for name in order}
        for name in order:
            node = self.leaves[name]
            if name not in states and not isinstance(node, nodes.Delay):
                inside = [source for source in self.graph.sources(name) if source in before]
                total = _added([before[source] for source in inside])
                before[name] = apply(node, total, self.fires)  # type: ignore[arg-type]
        return before

    def _sum(
        self,
        name: str,
        now: Mapping[str, Array],
        before: Mapping[str, Array],
        late: list[tuple[str, str]],
        trains: Mapping[str, Array],
        k: int,
    ) -> Array:
        return _added(
            [
                trains[source][:, k]
                if source in trains
                else before[source]
                if (source, name) in late
                else now[source]
                for source in self.graph.sources(name)
            ]
        )

    def _membrane(self, name: str, node: Leaf, n_samples: int) -> Membrane:
        return membrane(
            node,  # type: ignore[arg-type]
            (n_samples, *self.shapes[name]),
            settled=self.settled,
            reset=self.settled.reset.get(name, "v_reset"),
        )

    def _steps(self, node: nodes.Delay) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.rint(node.delay / self.settled.dt).astype(np.int64)

    def _tap(self, name: str, into: Array, k: int) -> Array:
        node = self.leaves[name]
        return _delayed_step(into, self._steps(node), self.shapes[name], k)  # type: ignore[arg-type]


def _delayed(
    x: Array, steps: np.ndarray[tuple[int, ...], np.dtype[np.int64]], shape: Shape
) -> Array:
    return np.stack([_delayed_step(x, steps, shape, k) for k in range(x.shape[1])], axis=1)


def _delayed_step(
    x: Array, steps: np.ndarray[tuple[int, ...], np.dtype[np.int64]], shape: Shape, k: int
) -> Array:
    """Return step `k` of values delayed by a number of steps each; nothing was there before."""
    source = k - np.broadcast_to(steps, shape).ravel()
    flat = x.reshape(*x.shape[:2], -1)
    taken = flat[:, np.maximum(source, 0), np.arange(flat.shape[2])]
    return np.where(source >= 0, taken, 0.0).reshape(len(x), *shape)


def _added(values: Sequence[Array]) -> Array:
    if not values:
        raise ConversionError("A node has no input.")
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _inputs(graph: NIRGraph, x: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Array]:
    names = graph.named(nodes.Input)
    if not names:
        raise ConversionError("The graph has no Input node.")
    if not isinstance(x, Mapping):
        if len(names) != 1:
            raise ValueError(f"The graph has inputs {', '.join(names)}: give one array for each.")
        x = {names[0]: x}
    if set(x) != set(names):
        raise ValueError(f"x expects inputs {', '.join(names)}, got {', '.join(x)}.")
    values = {name: np.asarray(value, dtype=np.float64) for name, value in x.items()}
    for name, value in values.items():
        shape = graph.shapes[name]
        if value.ndim < 3 or math.prod(value.shape[2:]) != math.prod(shape):
            expected = ", ".join(map(str, shape))
            raise ValueError(
                f"Input {name!r} expects shape (sample, step, {expected}), got {value.shape}."
            )
        values[name] = value.reshape(*value.shape[:2], *shape)
    if len({value.shape[:2] for value in values.values()}) > 1:
        raise ValueError("Inputs expect the same number of samples and steps.")
    return values
