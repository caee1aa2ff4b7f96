"""Stage: one layer of what runs, in the numbers that NIR nodes take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spikeram.charge import ChargeLayer
from spikeram.conversion.nir import nodes
from spikeram.conversion.nir.lattice import lattice, spread
from spikeram.conversion.nir.parameters import Array, Shape
from spikeram.errors import ConversionError
from spikeram.gather import Gather
from spikeram.network import MaxPool, SpikingNetwork
from spikeram.simulation import Model, nodes_of
from spikeram.wiring import INPUT

MAX_UNROLLED = 2**27
"""Most weights of a convolution written as one matrix."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Branch:
    """Weights from one source to a layer.

    Parameters
    ----------
    source : str
        Name of the layer, or "input".
    weight : ndarray of shape (row, column)
        Membrane for one unit at each row.
    gather : Gather or None
        Of a convolution; a row is the sum of its taps here.
    """

    source: str
    weight: Array
    gather: Gather | None

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return len(self.weight) if self.gather is None else self.gather.n_inputs

    def matrix(self) -> Array:
        """Return one weight for each input and output, of shape (input, output).

        Raises
        ------
        ConversionError
            If a convolution is too large to be written as a matrix.
        """
        if self.gather is None:
            return self.weight
        n_outputs = self.weight.shape[1] * self.gather.n_positions
        if self.n_inputs * n_outputs > MAX_UNROLLED:
            raise ConversionError(
                f"Weights from {self.source!r} make a matrix of {self.n_inputs} x {n_outputs}; at "
                f"most {MAX_UNROLLED} entries are written. Choose a dialect with convolutions."
            )
        whole = np.zeros((self.n_inputs, n_outputs))
        position, row, tap = np.nonzero(self.gather.index >= 0)
        inputs = self.gather.index[position, row, tap]
        for column in range(self.weight.shape[1]):
            outputs = column * self.gather.n_positions + position
            np.add.at(whole, (inputs, outputs), self.weight[row, column])
        return whole

    def convolution(self, shape: Shape | None) -> nodes.Conv2d | None:
        """Return the weights as a convolution without biases, or None where they are none.

        Parameters
        ----------
        shape : tuple of int or None
            Shape of what enters, where it is known.
        """
        if self.gather is None or self.gather.n_positions == 1:
            return None
        if shape is not None and len(shape) != 3:
            return None
        rows = np.arange(len(self.weight))
        for gather, row in (
            [(self.gather, rows)] if self.gather.n_taps == 1 else spread(self.gather)
        ):
            found = lattice(gather, shape)
            if found is not None:
                kernel = self.weight[row].T.reshape(-1, found.shape[0], *found.kernel)
                return nodes.Conv2d(
                    weight=kernel,
                    bias=np.zeros(len(kernel)),
                    input_shape=found.shape[1:],
                    stride=found.stride,
                    padding=found.padding,
                    dilation=found.dilation,
                )
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """Weights and neurons of one layer.

    Parameters
    ----------
    name : str
        Of the layer.
    weight : ndarray of shape (row, column)
        Membrane for one unit of input at each row: a unit of the trained network's input, or a
        spike.
    bias, threshold, initial : ndarray of shape (output,)
        Membrane of every step, threshold, and membrane before the first.
    scale : ndarray of shape (output,)
        Worth of a spike in the trained network's units.
    spikes, reset : str
        As of the layer.
    gather : Gather or None
        Of a convolution; a row is the sum of its taps here.
    sources : mapping of str to int
        What drives the layer, in the order of its inputs, and how many inputs each is.
    slope : ndarray of shape (column,) or None
        Of signed neurons, the slope below zero.
    burst : int
        Most spikes of a neuron in a step.
    """

    name: str
    weight: Array
    bias: Array
    threshold: Array
    initial: Array
    scale: Array
    spikes: str
    reset: str
    gather: Gather | None
    sources: dict[str, int]
    slope: Array | None = None
    burst: int = 1

    @property
    def n_outputs(self) -> int:
        """Number of neurons."""
        return len(self.bias)

    @property
    def n_columns(self) -> int:
        """Number of columns: channels of a convolution, neurons otherwise."""
        return int(self.weight.shape[1])

    def by_column(self, values: Array) -> Array | None:
        """Return one value for each column, or None where the neurons of a channel differ."""
        columns = values.reshape(self.n_columns, -1)
        return columns[:, 0] if np.all(columns == columns[:, :1]) else None

    def normalised(self) -> Stage:
        """Return the stage with thresholds of 1."""
        threshold = self.by_column(self.threshold)
        if threshold is None:
            return self.unrolled().normalised()
        return replace(
            self,
            weight=self.weight / threshold,
            bias=self.bias / self.threshold,
            threshold=np.ones(self.n_outputs),
            initial=self.initial / self.threshold,
        )

    def unrolled(self) -> Stage:
        """Return the stage with one column for each neuron."""
        whole = Branch(source=self.name, weight=self.weight, gather=self.gather).matrix()
        return replace(self, weight=whole, gather=None)

    def branches(self) -> list[Branch]:
        """Return the weights from each source."""
        if len(self.sources) == 1:
            return [Branch(source=next(iter(self.sources)), weight=self.weight, gather=self.gather)]
        start, found = 0, []
        for source, width in self.sources.items():
            inputs = slice(start, start + width)
            if self.gather is None:
                found.append(Branch(source=source, weight=self.weight[inputs], gather=None))
            else:
                branch = _rows_of(self.gather, self.weight, inputs, source)
                if branch is None:
                    return self.unrolled().branches()
                found.append(branch)
            start += width
        return found


def _rows_of(gather: Gather, weight: Array, inputs: slice, source: str) -> Branch | None:
    """Return the rows that stand on one source, or None where rows stand on several."""
    inside = (gather.index >= inputs.start) & (gather.index < inputs.stop)
    rows = inside.any(axis=(0, 2))
    if not rows.any() or np.any((gather.index >= 0) & ~inside & rows[:, np.newaxis]):
        return None
    index = gather.index[:, rows]
    shifted = np.where(index >= 0, index - inputs.start, -1).astype(np.int32)
    part = Gather(shifted, inputs.stop - inputs.start)
    return Branch(source=source, weight=weight[rows], gather=part)


def trained_stages(network: SpikingNetwork) -> list[Stage]:
    """Return the layers in the trained network's units: inputs of any layer are values.

    A spike must be scaled by its worth before it enters the next stage. Neurons that NIR has no
    node for are among them, for whoever keeps `spikes`, `slope` and `burst` besides.
    """
    _refuse(_pools(network))
    return [
        Stage(
            name=layer.name,
            weight=layer.weight / layer.n_taps,
            bias=np.repeat(layer.bias, layer.n_positions),
            threshold=layer.worth,
            initial=layer.initial * layer.worth,
            scale=layer.worth,
            spikes=layer.spikes,
            reset="subtract",
            gather=layer.gather,
            sources=_sources(network, layer.name),
            slope=np.asarray(layer.slope) if layer.spikes == "signed" else None,
            burst=layer.burst,
        )
        for layer in network.layers
    ]


def strange_neurons(network: SpikingNetwork) -> list[str]:
    """Return, layer by layer, what its neurons do that those of NIR do not."""
    found = [
        f"neurons of {layer.name!r} take spikes back"
        for layer in network.layers
        if layer.spikes == "signed"
    ]
    found += [
        f"neurons of {layer.name!r} fire bursts" for layer in network.layers if layer.burst > 1
    ]
    return found + [
        f"neurons of {layer.name!r} fire below zero"
        for layer in network.layers[:-1]
        if layer.spikes == "ternary"
    ]


def running_stages(model: Model) -> list[Stage]:
    """Return the layers as they run: weights in whole quanta, of a chip the programmed ones.

    Raises
    ------
    ConversionError
        If there is what NIR has no node for: leaks, max pools, bursts and signed neurons.
    """
    layers = model.charge_layers()
    cut = [node.name for node in nodes_of(model) if getattr(node, "part", 0)]
    if cut:
        raise ConversionError(
            f"NIR has no node for partial neurons ({', '.join(cut)}). Export the chip "
            "with_partial_sums('ideal')."
        )
    leaky = [f"neurons of {layer.name!r} leak" for layer in layers if layer.decay < 1]
    _refuse([*_pools(model.network), *strange_neurons(model.network), *leaky])
    return [_of_charge(layer, model.network) for layer in layers]


def _pools(network: SpikingNetwork) -> list[str]:
    return [
        f"pool {node.name!r} takes maxima" for node in network.nodes if isinstance(node, MaxPool)
    ]


def _refuse(problems: list[str]) -> None:
    """Refuse what NIR has no node for, all of it at once."""
    if problems:
        raise ConversionError(
            f"NIR has no node for what is in the network: {'; '.join(problems)}. Convert it with "
            "average pools and another method, or save it as .npz, which holds every network."
        )


def _sources(network: SpikingNetwork, name: str) -> dict[str, int]:
    return {source: network.wiring.widths[source] for source in network.wiring.sources[name]}


def _of_charge(layer: ChargeLayer, network: SpikingNetwork) -> Stage:
    quantum = np.float64(layer.quantum)
    sources = _sources(network, layer.name)
    # Weights are those of full drive, and the graph's input is in the trained network's units.
    drive = np.concatenate(
        [np.full(n, network.input_scale if name == INPUT else 1.0) for name, n in sources.items()]
    )
    at_rows = drive if layer.gather is None else layer.gather.row_values(drive)
    unit = np.where(at_rows == 0, 1.0, at_rows)[:, np.newaxis]
    return Stage(
        name=layer.name,
        weight=layer.weight * quantum / unit,
        bias=layer.bias * quantum,
        threshold=layer.threshold * quantum,
        initial=layer.initial * quantum,
        scale=layer.scale,
        spikes=layer.spikes,
        reset="subtract" if layer.reset == "subtract" else "v_reset",
        gather=layer.gather,
        sources=sources,
    )
