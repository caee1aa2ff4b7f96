r"""From a NIR graph to a SpikingNetwork, where both mean the same.

Weights and integrate-and-fire neurons that subtract their threshold, without loops, are a
SpikingNetwork: neurons that integrate :math:`V \leftarrow V + g\,(M s + c)` and fire at
:math:`\theta` become a layer of weights :math:`W_{ij} = g_j M_{ji} / \theta_i`, with the threshold
of the neurons that an input comes from, and biases :math:`g_j c_j`. What does not fit is named,
all of it at once.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.assume import Conventions, NIRAssumption, Settled, settle
from spikeram.conversion.nir.file import read
from spikeram.conversion.nir.graph import Leaf, NIRGraph
from spikeram.conversion.nir.parameters import Array, Metadata
from spikeram.conversion.nir.sections import Path, Section, sections
from spikeram.conversion.nir.stages import Stage
from spikeram.conversion.nir.weights import Weights, joined, matrix_of, weights_of
from spikeram.errors import ConversionError
from spikeram.gather import Gather
from spikeram.network import Layer, SpikingNetwork
from spikeram.neuron import Spikes
from spikeram.wiring import INPUT


def to_network(
    source: NIRGraph | str | FilePath, *, conventions: Conventions | None = None
) -> SpikingNetwork:
    """Return the spiking network that a NIR graph is.

    Parameters
    ----------
    source : NIRGraph, str or Path
        A graph, or its file.
    conventions : Conventions, optional
        What the graph does not say; ``reset="subtract"`` for files whose neurons subtract their
        threshold without saying so. What had to be assumed is said in a warning.

    Returns
    -------
    SpikingNetwork

    Raises
    ------
    ConversionError
        If there are loops, neurons that leak or reset to a value, or other nodes without a
        counterpart; the message names all that does not fit.
    FileFormatError
        If the file is damaged.
    """
    graph = (source if isinstance(source, NIRGraph) else read(source)).flattened()
    settled = settle(graph, conventions or Conventions())
    found = sections(graph, settled)
    said = [*settled.assumed]
    if settled.conventions.fires == "above":
        said.append("A membrane equal to its threshold fires here, and not in the file.")
    layers = _Layers(graph, settled).of(found)
    if said:
        warnings.warn(" ".join(said), NIRAssumption, stacklevel=2)
    about = graph.metadata
    steps, scale, classes = (about.get(name) for name in ("steps", "input_scale", "classes"))
    return SpikingNetwork(
        layers=layers,
        input_scale=scale if isinstance(scale, float) and 0 < scale < math.inf else 1.0,
        steps=steps if isinstance(steps, int) and steps > 0 else None,
        classes=classes if isinstance(classes, np.ndarray) else None,
        method=str(about.get("method", "nir")),
        origin=_origin(about),
    )


def _origin(about: Metadata) -> dict[str, object]:
    try:
        found = json.loads(str(about.get("origin", "{}")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, eq=False)
class _Layers:
    """Layers from the sections of a graph.

    Parameters
    ----------
    graph : NIRGraph
        The graph, flat.
    settled : Settled
        Its conventions.
    """

    graph: NIRGraph
    settled: Settled

    def of(self, found: list[Section]) -> list[Layer]:
        """Return the layers, each with the names of its sources where it is no chain."""
        layers: list[Layer] = []
        name_of = {self.graph.named(nodes.Input)[0]: INPUT}
        worth: dict[str, Array | None] = {INPUT: None}
        before = INPUT
        for section in found:
            sources = [name_of[path.source] for path in section.paths]
            layer = self._layer(section, [worth[source] for source in sources])
            if sources != [before]:
                layer = replace(layer, sources=tuple(sources))
            layers.append(layer)
            name_of[section.name] = before = layer.name
            worth[layer.name] = layer.worth
        return layers

    def _layer(self, section: Section, worths: list[Array | None]) -> Layer:
        neuron = section.neuron
        about = neuron.metadata if neuron is not None else _metadata(section)
        paths, worths = _without_worths(section.paths, worths)
        weights = (
            _kept(paths, about)
            or joined([weights_of(path.linear, path.shape) for path in paths])
            or self._dense(paths)
        )
        made = self._columns(neuron, weights, paths, worths)
        if made is None:
            # Neurons of one channel differ: each has columns of its own.
            weights = self._dense(paths)
            made = self._columns(neuron, weights, paths, worths)
        if made is None:
            raise ConversionError(f"Neurons {section.name!r} have parameters of another shape.")
        weight, bias, threshold = made
        if neuron is None:
            threshold = _of_output(about, weight, bias)
        spikes, slope, burst = _kinds(neuron is None, about)
        return Layer(
            name=str(about.get("name", section.name)),
            weight=weight,
            bias=bias,
            threshold=threshold,
            initial=self._initial(section, about),
            spikes=spikes,
            slope=slope,
            burst=burst,
            gather=weights.gather,
        )

    def _dense(self, paths: list[Path]) -> Weights:
        parts = [matrix_of(path.linear, path.shape) for path in paths]
        weight = np.vstack([part.weight for part in parts])
        bias = np.asarray(sum(part.bias for part in parts), dtype=np.float64)
        return Weights(weight=weight, bias=bias, gather=None)

    def _columns(
        self,
        neuron: neurons.IF | neurons.LIF | None,
        weights: Weights,
        paths: list[Path],
        worths: list[Array | None],
    ) -> tuple[Array, Array, Array] | None:
        """Return weights, biases and thresholds by column; None where a channel has several."""
        n = len(weights.bias)
        one = np.ones(1)
        parameters = (one, one) if neuron is None else (self._gain(neuron), neuron.v_threshold)
        gain, threshold, bias = (
            _by_column(values, n, weights.n_positions) for values in (*parameters, weights.bias)
        )
        parts = [
            np.ones(math.prod(path.shape)) if worth is None else worth
            for path, worth in zip(paths, worths)
        ]
        rows = _at_rows(np.concatenate(parts), weights.gather)
        if gain is None or threshold is None or bias is None or rows is None:
            return None
        return weights.weight * gain / rows[:, np.newaxis], gain * bias, threshold

    def _gain(self, neuron: neurons.IF | neurons.LIF) -> Array:
        """Return what an input of 1 adds to a membrane in a step."""
        if self.settled.conventions.resistance == "per_step":
            return neuron.r
        gain = neuron.r * self.settled.dt
        return gain / neuron.tau if isinstance(neuron, neurons.LIF) else gain

    def _initial(self, section: Section, about: Metadata) -> float:
        """Return the membrane before the first step as a share of the threshold."""
        share, given = about.get("initial"), about.get("v_initial")
        if self.settled.conventions.initial != "from metadata":
            return 0.0
        if section.neuron is None:
            return float(share) if isinstance(share, float) else 0.0
        if given is None:
            return 0.0
        shares = np.asarray(given, dtype=np.float64) / section.neuron.v_threshold
        if isinstance(share, float) and np.allclose(shares, share, rtol=1e-12, atol=0):
            return share
        if np.ptp(shares) > 1e-6:
            raise ConversionError(
                f"Neurons of {section.name!r} begin with different shares of their thresholds; a "
                "SpikingNetwork has one for each layer."
            )
        return float(shares.ravel()[0])


def _kinds(last: bool, about: Metadata) -> tuple[Spikes, Array | float, int]:
    """Return the kind of spikes, the slope below zero and the longest burst that metadata say."""
    if last:
        return "ternary", 0.0, 1
    said, slope, burst = (about.get(name) for name in ("spikes", "slope", "burst"))
    longest = burst if isinstance(burst, int) else 1
    if said == "signed":
        return "signed", slope if isinstance(slope, np.ndarray) else 0.0, longest
    return "ternary" if said == "ternary" else "unipolar", 0.0, longest


def _metadata(section: Section) -> Metadata:
    """Return the metadata of the weights before the output: our own files keep the layer's."""
    for path in section.paths:
        if path.linear and "threshold" in path.linear[-1].metadata:
            return path.linear[-1].metadata
    return {}


def _without_worths(
    paths: tuple[Path, ...], worths: list[Array | None]
) -> tuple[list[Path], list[Array | None]]:
    """Return paths without a first scale by the worth of a spike, which a network does itself."""
    left: list[Path] = []
    due: list[Array | None] = []
    for path, worth in zip(paths, worths):
        first = path.linear[0] if path.linear else None
        if (
            worth is not None
            and isinstance(first, nodes.Scale)
            and np.array_equal(first.scale.ravel(), worth)
        ):
            left.append(Path(source=path.source, shape=path.shape, linear=path.linear[1:]))
            due.append(None)
        else:
            left.append(path)
            due.append(worth)
    return left, due


def _kept(paths: list[Path], about: Metadata) -> Weights | None:
    """Return weights and gather that our own files keep in metadata, if they are the nodes'."""
    index, weight, inputs = (about.get(name) for name in ("gather", "weight", "gather_inputs"))
    if not isinstance(index, np.ndarray) or not isinstance(weight, np.ndarray):
        return None
    bare = [[n for n in path.linear if not isinstance(n, nodes.Flatten)] for path in paths]
    if not isinstance(inputs, int) or any(len(linear) != 1 for linear in bare):
        return None
    sources = {f"{n}": math.prod(path.shape) for n, path in enumerate(paths)}
    zero = np.zeros(1)
    try:
        gather = Gather(index.astype(np.int32), inputs)
        bias = np.asarray(sum(_bias(linear[0], gather) for linear in bare), dtype=np.float64)
        stage = Stage(
            name="", weight=weight / gather.n_taps, bias=zero, threshold=zero, initial=zero,
            scale=zero, spikes="", reset="", gather=gather, sources=sources,
        )  # fmt: skip
        if isinstance(bare[0][0], nodes.Affine):
            stage = stage.unrolled()
        for path, linear, branch in zip(paths, bare, stage.branches()):
            made: Any = branch.convolution(path.shape)
            again = branch.matrix().T if made is None else made.weight
            if not np.array_equal(again, linear[0].weight):  # type: ignore[union-attr]
                return None
    except (ValueError, IndexError, AttributeError):
        return None
    return Weights(weight=weight, bias=bias, gather=gather)


def _bias(node: Leaf, gather: Gather) -> Array:
    if isinstance(node, nodes.Conv2d):
        return np.repeat(node.bias, gather.n_positions)
    if isinstance(node, nodes.Affine):
        return node.bias
    raise ValueError("Our own files have convolutions and matrices with biases only.")


def _at_rows(worth: Array, gather: Gather | None) -> Array | None:
    if gather is None:
        return worth
    try:
        rows = gather.row_values(worth)
    except ValueError:
        return None
    # A row that meets nothing but padding has no worth.
    return np.where(rows == 0, 1.0, rows)


def _by_column(values: Array, n_outputs: int, positions: int) -> Array | None:
    """Return one value for each column where its positions agree, or None."""
    if values.size not in (1, n_outputs):
        return None
    columns = np.broadcast_to(values.ravel(), n_outputs).reshape(-1, positions)
    return columns[:, 0].copy() if np.all(columns == columns[:, :1]) else None


def _of_output(about: Metadata, weight: Array, bias: Array) -> Array:
    """Return thresholds of an output that only counts charge: what could arrive in a step."""
    kept = about.get("threshold")
    if isinstance(kept, np.ndarray) and kept.ndim == 1 and kept.size % len(bias) == 0:
        columns = kept.reshape(len(bias), -1)[:, 0]
        if np.all(columns > 0) and np.all(np.isfinite(columns)):
            return np.asarray(columns, dtype=np.float64)
    largest = np.abs(weight).sum(axis=0) + np.abs(bias)
    return np.where(largest > 0, largest, float(largest.max()) or 1.0)
