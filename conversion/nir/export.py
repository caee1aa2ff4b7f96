r"""From a spiking network, or a programmed chip, to a NIR file that a framework reads.

A soft reset and an initial membrane are words in the metadata only: NIR has no place for them.
:math:`V(0)` can still reach any framework as an input: with ``start="input"`` the graph has one
input more, which must be 1 in the first step and 0 afterwards, and whose weights are
:math:`V(0)`; a neuron of each layer passes it on. For a framework that resets to zero there is no
exact form of a network that subtracts; `spikeram.conversion.nir.verify` shows what is left of it
there.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from spikeram.conversion.nir import nodes
from spikeram.conversion.nir.assume import NIRAssumption
from spikeram.conversion.nir.dialects import DIALECTS, Dialect, DialectName, Readout
from spikeram.conversion.nir.file import write
from spikeram.conversion.nir.graph import Edge, Leaf, NIRGraph
from spikeram.conversion.nir.parameters import Shape
from spikeram.conversion.nir.stages import (
    Branch,
    Stage,
    running_stages,
    strange_neurons,
    trained_stages,
)
from spikeram.encoding import LEVELS
from spikeram.network import SpikingNetwork
from spikeram.simulation import Model
from spikeram.wiring import INPUT

Start: TypeAlias = Literal["metadata", "input"]

# Above a threshold of 1, so that it fires where equality does not.
_PASSING = 1.25


def to_nir(
    model: Model,
    path: str | Path,
    *,
    dialect: DialectName = "spikeram",
    readout: Readout | None = None,
    start: Start = "metadata",
    steps: int | None = None,
) -> NIRGraph:
    """Write a network, or a chip with its programmed weights, to a NIR file.

    Inputs of the graph are those of the trained network, the same in every step. Sums over the
    steps of a ``current`` readout, divided by their number, are its outputs.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What is written. Of a chip these are the weights as programmed, with their errors, so that
        another framework runs the degraded network.
    path : str or Path
        The file, by convention ``.nir``.
    dialect : str
        Who is to read it. ``spikeram`` keeps a `SpikingNetwork` to the bit, for `to_network`,
        neurons that take spikes back or fire bursts in metadata alone, of which it warns; all
        others have thresholds of 1 and weights in the charge quanta that simulations run on.
    readout : {"current", "spikes"}, optional
        Whether the last layer's weighted sums leave the graph, or spikes of neurons, which drop
        what is negative. By default what suits the dialect.
    start : {"metadata", "input"}
        Where the initial membrane goes. ``input``: an input more, at the end, that is 1 in the
        first step and 0 afterwards; all layers are written as matrices then.
    steps : int, optional
        Number of steps it is meant for; by default that of the network.

    Returns
    -------
    NIRGraph
        What was written.

    Raises
    ------
    ConversionError
        If there is what the file cannot hold (leaks, max pools, and but in the dialect
        ``spikeram`` neurons below zero and bursts), or a layer as a matrix is too large.
    """
    if dialect not in DIALECTS:
        raise ValueError(f"dialect expects one of {', '.join(DIALECTS)}, got {dialect!r}.")
    chosen = DIALECTS[dialect]
    if readout is not None and readout not in get_args(Readout):
        raise ValueError(f"readout expects 'current' or 'spikes', got {readout!r}.")
    if start not in get_args(Start):
        raise ValueError(f"start expects 'metadata' or 'input', got {start!r}.")
    lossless = dialect == "spikeram" and isinstance(model, SpikingNetwork)
    if lossless and isinstance(model, SpikingNetwork):
        stages = trained_stages(model)
        strange = strange_neurons(model)
        if strange:
            warnings.warn(
                f"Only the metadata say, and only spikeram reads, that {'; '.join(strange)}.",
                NIRAssumption,
                stacklevel=2,
            )
    else:
        stages = running_stages(model)
    if dialect != "spikeram":
        stages = [stage.normalised() for stage in stages]
    noisy = [] if lossless else [layer.name for layer in model.charge_layers() if layer.noisy]
    if noisy:
        warnings.warn(
            f"Neurons of {', '.join(map(repr, noisy))} are noisy; the file has them without noise.",
            NIRAssumption,
            stacklevel=2,
        )
    if not chosen.branches and any(len(stage.sources) > 1 for stage in stages):
        warnings.warn(
            f"The network has branches, which {dialect} loads without an error and runs wrongly: "
            "see what verify says.",
            NIRAssumption,
            stacklevel=2,
        )
    writer = _Writer(chosen, readout or chosen.readout, start, lossless)
    graph = writer.graph(stages, _about(model, writer, steps, stages[0].reset))
    write(path, graph, dtype="float64" if dialect == "spikeram" else "float32")
    return graph


class _Writer:
    def __init__(self, dialect: Dialect, readout: Readout, start: Start, lossless: bool) -> None:
        self.dialect = dialect
        self.readout: Readout = readout
        self.start = start
        self.lossless = lossless
        self.extra = (start == "input") + (not dialect.biased)
        self.nodes: dict[str, Leaf | NIRGraph] = {}
        self.edges: list[Edge] = []
        self.leaving: dict[str, tuple[str, Shape]] = {}
        self.ends: list[str] = []
        self.shape: Shape = ()

    def graph(self, stages: list[Stage], metadata: dict[str, Any]) -> NIRGraph:
        """Return the graph of layers."""
        shape = self._input_shape(stages)
        self._add("input", nodes.Input(shape=shape))
        self.leaving[INPUT] = ("input", shape)
        for stage in stages:
            self._layer(stage, stage is stages[-1])
        self._add("output", nodes.Output(shape=self.shape), *self.ends)
        return NIRGraph(nodes=self.nodes, edges=tuple(self.edges), metadata=metadata)

    def _input_shape(self, stages: list[Stage]) -> Shape:
        first = next(branch for branch in stages[0].branches() if branch.source == INPUT)
        node = self._connection(first, None)
        if isinstance(node, nodes.Affine) or node.input_shape is None:
            return (first.n_inputs + self.extra,)
        return (node.weight.shape[1], *node.input_shape)

    def _layer(self, stage: Stage, last: bool) -> None:
        """Add one layer, and note where it leaves."""
        bare = last and self.readout == "current"
        forwarded = 0 if last else self.extra
        connections = self._connections(stage, last)
        scale = self._scale([node for _, node in connections])
        about = self._about_neurons(stage, scale if self.dialect.whole else 1.0)
        names: list[str] = []
        shape: Shape = (stage.n_outputs + forwarded,)
        for n, (source, node) in enumerate(connections):
            before, entering = self.leaving[source]
            if isinstance(node, nodes.Affine) and len(entering) > 1:
                before = self._flattened(source)
                entering = (node.weight.shape[1],)
            shape = node.output_shape(entering)
            node = replace(self._rounded(node, scale), metadata=about if bare and not n else {})
            name = (
                f"{stage.name}_weight"
                if len(connections) == 1
                else (f"{stage.name}_weight_of_{source}")
            )
            names.append(self._add(name, node, before))
        self.ends, self.shape = names, shape
        if bare:
            return
        scale = scale if self.dialect.whole else 1.0
        threshold = np.concatenate([stage.threshold, np.ones(forwarded)]) * scale
        threshold = np.rint(threshold) if self.dialect.whole else threshold
        if self.start == "metadata":
            initial = np.concatenate([stage.initial, np.zeros(forwarded)]) * scale
            about["v_initial"] = initial.reshape(shape)
        neuron = self.dialect.neuron(shape, threshold=threshold, metadata=about)
        before = self._add(f"{stage.name}_spikes", neuron, *names)
        if self.lossless and not last:
            worth = np.concatenate([stage.scale, np.ones(forwarded)])
            node_of_worth = nodes.Scale(scale=worth.reshape(shape))
            before = self._add(f"{stage.name}_worth", node_of_worth, before)
        self.leaving[stage.name] = (before, shape)
        self.ends = [before]

    def _add(self, name: str, node: Leaf, *before: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in before]
        return name

    def _flattened(self, source: str) -> str:
        """Return the node that flattens what leaves a source, once for all that read it."""
        before, shape = self.leaving[source]
        name = f"{source}_flatten"
        if name not in self.nodes:
            self._add(name, nodes.Flatten(start_dim=0, end_dim=-1, input_type=shape), before)
        return name

    def _connections(
        self, stage: Stage, last: bool
    ) -> list[tuple[str, nodes.Affine | nodes.Conv2d]]:
        """Return the weights from each source; the first carries the biases."""
        bias = stage.by_column(stage.bias)
        made = []
        for n, branch in enumerate(stage.branches()):
            shape = self.leaving[branch.source][1]
            node = self._connection(branch, shape) if bias is not None else _dense(branch)
            made.append((branch.source, node))
            if isinstance(node, nodes.Affine):
                biases = np.zeros(stage.n_outputs) if n else stage.bias
                node = self._with_extra(replace(node, bias=biases), stage, last, first=not n)
            elif bias is not None and not n:
                node = replace(node, bias=bias)
            made[-1] = (branch.source, node)
        if len({isinstance(node, nodes.Affine) for _, node in made}) > 1:
            # What is added at the neurons has one shape.
            return self._connections(stage.unrolled(), last)
        return made

    def _connection(self, branch: Branch, shape: Shape | None) -> nodes.Affine | nodes.Conv2d:
        """Return weights as a convolution where they are one, or else as a matrix."""
        if not (self.dialect.dense or self.extra):
            found = branch.convolution(shape)
            if found is not None:
                return found
        return _dense(branch)

    def _with_extra(
        self, node: nodes.Affine, stage: Stage, last: bool, first: bool
    ) -> nodes.Affine:
        """Return the matrix with the inputs that the dialect needs more, and what passes them on.

        In each hidden layer a neuron fires when such an input does: the graph needs no other paths.
        """
        if not self.extra:
            return node
        columns = [] if self.dialect.biased else [stage.bias]
        columns += [stage.initial] if self.start == "input" else []
        extra = np.stack(columns, axis=1)
        weight = np.hstack([node.weight, extra if first else np.zeros_like(extra)])
        bias = node.bias if self.dialect.biased else np.zeros_like(node.bias)
        if not last:
            passing = np.zeros((self.extra, weight.shape[1]))
            passing[:, -self.extra :] = (_PASSING if first else 0.0) * np.eye(self.extra)
            weight = np.vstack([weight, passing])
            bias = np.concatenate([bias, np.zeros(self.extra)])
        return replace(node, weight=weight, bias=bias)

    def _scale(self, made: list[nodes.Affine | nodes.Conv2d]) -> float:
        """Return by what weights are multiplied to fill the dialect's bits."""
        if not self.dialect.bits:
            return 1.0
        largest = max(float(np.max(np.abs(node.weight))) for node in made)
        return float(2 ** (self.dialect.bits - 1) - 1) / (largest or 1.0)

    def _rounded(
        self, node: nodes.Affine | nodes.Conv2d, scale: float
    ) -> nodes.Affine | nodes.Conv2d:
        if not self.dialect.bits:
            return node
        weight = np.rint(node.weight * scale)
        return replace(node, weight=weight if self.dialect.whole else weight / scale)

    def _about_neurons(self, stage: Stage, scale: float) -> dict[str, Any]:
        """Return the metadata of a layer's neurons, or of its weights where these come last."""
        about: dict[str, Any] = {
            "name": stage.name,
            "reset": stage.reset,
            "spikes": stage.spikes,
            "initial": float(stage.initial[0] / stage.threshold[0]),
            "threshold": stage.threshold,
            "theta": stage.scale.reshape(stage.n_columns, -1)[:, 0],
            "weight_scale": scale,
        }
        if self.lossless and stage.slope is not None:
            about["slope"] = stage.slope
        if self.lossless and stage.burst > 1:
            about["burst"] = stage.burst
        if self.lossless and stage.gather is not None:
            about["gather"] = stage.gather.index
            about["gather_inputs"] = stage.gather.n_inputs
            about["weight"] = stage.weight * stage.gather.n_taps
        return about


def _dense(branch: Branch) -> nodes.Affine:
    weight = branch.matrix().T
    return nodes.Affine(weight=weight, bias=np.zeros(len(weight)))


def _about(model: Model, writer: _Writer, steps: int | None, reset: str) -> dict[str, Any]:
    """Return the metadata of the graph: all that NIR has no place for."""
    network, dialect = model.network, writer.dialect
    extra = [] if dialect.biased else ["always 1"]
    extra += ["1 in the first step, 0 afterwards"] if writer.start == "input" else []
    return {
        "writer": "spikeram",
        "spikeram_version": _version(),
        "dialect": dialect.name,
        "reset": reset,
        "reset_of_reader": dialect.reset,
        "fires": "at",
        "resistance": "continuous"
        if dialect.dt * dialect.resistance == 1 or dialect.leaky
        else "per_step",
        "dt": dialect.dt,
        "dt_of_chip": float(model.dt),
        "steps": network.steps if steps is None else steps,
        "input": f"constant in every step, in {LEVELS} levels up to input_scale",
        "input_scale": float(network.input_scale),
        "extra_inputs": "; ".join(extra),
        "readout": writer.readout,
        "method": network.method,
        "origin": json.dumps(dict(network.origin), default=str),
        "caveat": dialect.caveat,
        "classes": None if network.classes is None else np.asarray(network.classes),
        **{
            f"provenance_{key}": _plain(value)
            for key, value in model.provenance.items()
            if key != "origin"
        },
    }


def _plain(value: object) -> Any:
    if value is None or isinstance(value, str | bool | int | float | np.ndarray):
        return value
    return str(value)


def _version() -> str:
    try:
        return version("spikeram")
    except PackageNotFoundError:
        return "unknown"
