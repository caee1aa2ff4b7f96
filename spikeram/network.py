r"""SpikingNetwork: layers of integrate-and-fire neurons, independent of where they came from.

One output spike of neuron :math:`i` in layer :math:`l` stands for the value
:math:`\theta_i^l` of the trained network's activation, so that a count :math:`N` in :math:`T`
steps decodes to :math:`\theta N / T`. A layer integrates

.. math:: V_j \leftarrow V_j + \sum_i W_{ij}\,\theta_i s_i + b_j

over the spikes of all its sources, fires at :math:`\theta_j^l` and subtracts it, from
:math:`V_j(0) = \theta_j^l / 2`: with constant input the count rounds to nearest. Biases carry no
:math:`\theta_i`, because the inputs do. Branches that meet, as in a residual addition, are rows of
one matrix. Bu et al., ICLR 2022; Rueckauer et al., Front. Neurosci. 11, 682 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field

from spikeram.charge import ChargeLayer, charge_layer
from spikeram.files import Header, read_npz, take, write_npz
from spikeram.gather import Gather
from spikeram.layer import Layer as Layer
from spikeram.neuron import SamplingNeuron, Spikes
from spikeram.pool import MaxPool as MaxPool
from spikeram.units import Second
from spikeram.wiring import INPUT as INPUT, Wiring

Node: TypeAlias = Layer | MaxPool
"""What a network is made of."""

_FORMAT = "spikeram-network"
_VERSION = 3


@dataclass(frozen=True, eq=False, init=False)
class SpikingNetwork:
    """Layers and max pools, each driven by some before it, with the scale of the input.

    Parameters
    ----------
    nodes : sequence of Layer and MaxPool
        From input to output, every node after its sources. The last one, a layer, is read out and
        not rectified.
    layers : sequence of Layer
        The layers of a network without pools; or, besides `nodes`, layers that take the places of
        theirs, one by one, as in ``dataclasses.replace(network, layers=...)``.
    input_scale : float
        Input value that full drive, or a spike in every step, stands for; > 0.
    steps : int or None
        Number of steps that the thresholds were chosen for; None for any.
    classes : ndarray of shape (class,) or None
        Labels of the outputs of a classifier; two for a single output. None for regression.
    method : str
        How the thresholds were chosen.
    origin : mapping of str to object
        What else is known of where it came from: plain values, kept in files and recordings.
    """

    nodes: tuple[Node, ...]
    input_scale: float
    steps: int | None
    classes: NDArray[np.generic] | None
    method: str
    origin: Mapping[str, object]

    def __init__(
        self,
        *,
        nodes: Sequence[Node] = (),
        layers: Sequence[Layer] | None = None,
        input_scale: float = 1.0,
        steps: int | None = None,
        classes: NDArray[np.generic] | None = None,
        method: str = "",
        origin: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        given = tuple(nodes)
        if layers is not None:
            given = _in_place(given, layers) if given else tuple(layers)
        if classes is not None and given:
            check_classes(classes, given[-1].n_outputs)
        if not 0 < input_scale < math.inf:
            raise ValueError(f"input_scale expects a number > 0, got {input_scale}.")
        values = {
            "nodes": given,
            "input_scale": input_scale,
            "steps": None if steps is None else checked_steps(steps),
            "classes": classes,
            "method": method,
            "origin": MappingProxyType(dict(origin)),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.wiring.check_sizes()

    @cached_property
    def wiring(self) -> Wiring[Layer]:
        """What drives each node."""
        return Wiring(self.nodes)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, one crossbar each, in order and without the pools."""
        return self.wiring.layers

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.wiring.widths[INPUT]

    @property
    def network(self) -> SpikingNetwork:
        """The network itself: on ideal hardware it is what runs."""
        return self

    @property
    def dt(self) -> Second:
        """Duration of one step [s]: that of the published chip's, so that rates compare."""
        return SamplingNeuron().dt

    @property
    def index(self) -> int:
        """Number of the chip, by which noise is addressed: that of ideal hardware is 0."""
        return 0

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run."""
        return {
            "chip": "none",
            "method": self.method,
            "converted_for_steps": self.steps,
            "origin": dict(self.origin),
        }

    def told(self, **origin: object) -> SpikingNetwork:
        """Return the network with more, or other, plain values in its `origin`."""
        return replace(self, origin={**self.origin, **origin})

    def steps_or(self, steps: int | None) -> int:
        """Return `steps`, or where it is None the number the network was converted for."""
        if steps is None and self.steps is None:
            raise ValueError("The network was converted for any number of steps: give steps.")
        return checked_steps(self.steps if steps is None else steps)

    def worth(self, n: int) -> NDArray[np.float64]:
        """Return what one input spike of layer `n` stands for, of shape (input,)."""
        sources = self.wiring.sources[self.layers[n].name]
        return np.concatenate([self._worths[name] for name in sources])

    @cached_property
    def _worths(self) -> Mapping[str, NDArray[np.float64]]:
        """What one spike of each output of each node stands for."""
        worths = {INPUT: np.full(self.n_inputs, self.input_scale)}
        for node in self.nodes:
            if isinstance(node, MaxPool):
                (source,) = self.wiring.sources[node.name]
                worths[node.name] = node.worth(worths[source])
            else:
                worths[node.name] = node.worth
        return worths

    def charge_layer(self, n: int) -> ChargeLayer:
        """Return layer `n` on ideal hardware, in charge quanta; one unit is one volt."""
        layer = self.layers[n]
        return charge_layer(
            layer.name,
            layer.row_weight(self.worth(n)) / layer.n_taps,
            bias=layer.bias,
            threshold=layer.threshold,
            initial=layer.initial * layer.threshold,
            scale=layer.threshold,
            slope=layer.slope,
            neuron=SamplingNeuron(v_rail=math.inf, spikes=layer.spikes, burst=layer.burst),
            rows=2 * (layer.weight.shape[0] + 1),
            cores=0,
            always_on=1,
            gather=layer.gather,
            sources=self.wiring.sources[layer.name],
        )

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        """Return the network on ideal hardware, in charge quanta; one unit is one volt.

        They are made once, and with them the tables that engines take from them.
        """
        return self._charge_layers

    @cached_property
    def _charge_layers(self) -> tuple[ChargeLayer, ...]:
        return tuple(self.charge_layer(n) for n in range(len(self.layers)))

    def with_layers(self, layers: Sequence[Layer]) -> SpikingNetwork:
        """Return the network with other layers in place of its own, one by one."""
        return replace(self, nodes=_in_place(self.nodes, layers))

    def charged(self, layers: Sequence[ChargeLayer]) -> tuple[ChargeLayer | MaxPool, ...]:
        """Return the nodes as engines run them: the pools, and these in place of the layers."""
        return _in_place(self.nodes, layers)

    def preactivations(self, x: ArrayLike) -> list[NDArray[np.float64]]:
        """Return what each layer of the trained network computes before rectification.

        Parameters
        ----------
        x : array_like of shape (sample, input)
            Inputs in the trained network's units.
        """
        values = {INPUT: self.checked_input(x)}
        results = []
        done = self.wiring.last_readers()
        for node in self.nodes:
            sources = [values[name] for name in self.wiring.sources[node.name]]
            if isinstance(node, MaxPool):
                values[node.name] = node.maxima(sources[0])
            else:
                joined = sources[0] if len(sources) == 1 else np.concatenate(sources, axis=1)
                results.append(node.forward(joined))
                values[node.name] = node.activation(results[-1])
            for name in done[node.name]:
                del values[name]
        return results

    def checked_input(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return `x` as floats of shape (sample, input), or say what is wrong with it."""
        return checked_samples(x, self.n_inputs, "The input")

    def save(self, path: str | Path) -> None:
        """Write the network to an ``.npz`` file: plain arrays and one JSON header."""
        header = _NetworkHeader(
            format=_FORMAT,
            version=_VERSION,
            input_scale=self.input_scale,
            steps=self.steps,
            method=self.method,
            origin=dict(self.origin),
            layers=[
                _LayerHeader(
                    name=layer.name,
                    initial=layer.initial,
                    spikes=layer.spikes,
                    gathered=None if layer.gather is None else layer.gather.n_inputs,
                    sources=layer.sources,
                    burst=layer.burst,
                )
                for layer in self.layers
            ],
            pools=tuple(
                _PoolHeader(name=node.name, source=node.source, place=place)
                for place, node in enumerate(self.nodes)
                if isinstance(node, MaxPool)
            ),
        )
        arrays: dict[str, NDArray[np.generic]] = {}
        if self.classes is not None:
            arrays["classes"] = self.classes
        for n, layer in enumerate(self.layers):
            for name in ("weight", "bias", "threshold"):
                arrays[f"{name}_{n}"] = getattr(layer, name)
            if layer.gather is not None:
                arrays[f"gather_{n}"] = layer.gather.index
            if layer.spikes == "signed":
                arrays[f"slope_{n}"] = np.asarray(layer.slope)
        for n, pool in enumerate(node for node in self.nodes if isinstance(node, MaxPool)):
            arrays[f"pool_{n}"] = pool.index
        write_npz(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> SpikingNetwork:
        """Read a network that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, foreign or from a newer version.
        """
        arrays, header = read_npz(path, _NetworkHeader, kind=_FORMAT, version=_VERSION)
        nodes: list[Node] = [
            Layer(
                name=layer.name,
                weight=take(arrays, f"weight_{n}", path),
                bias=take(arrays, f"bias_{n}", path),
                threshold=take(arrays, f"threshold_{n}", path),
                initial=layer.initial,
                spikes=layer.spikes,
                slope=take(arrays, f"slope_{n}", path) if layer.spikes == "signed" else 0.0,
                gather=take_gather(arrays, n, layer.gathered, path),
                sources=layer.sources,
                burst=layer.burst,
            )
            for n, layer in enumerate(header.layers)
        ]
        for n, pool in enumerate(header.pools):
            index = take(arrays, f"pool_{n}", path).astype(np.int32)
            nodes.insert(pool.place, MaxPool(pool.name, pool.source, index))
        return cls(
            nodes=nodes,
            input_scale=header.input_scale,
            steps=header.steps,
            classes=arrays.get("classes"),
            method=header.method,
            origin=header.origin,
        )


_InPlace = TypeVar("_InPlace", Layer, ChargeLayer)


def _in_place(nodes: Sequence[Node], layers: Sequence[_InPlace]) -> tuple[_InPlace | MaxPool, ...]:
    """Return `nodes` with other layers in place of theirs."""
    expected = sum(isinstance(node, Layer) for node in nodes)
    if len(layers) != expected:
        raise ValueError(f"The network expects {expected} layers, got {len(layers)}.")
    left = iter(layers)
    return tuple(node if isinstance(node, MaxPool) else next(left) for node in nodes)


def checked_samples(x: ArrayLike, n_inputs: int, what: str) -> NDArray[np.float64]:
    """Return samples as floats of shape (sample, input), or say what is wrong with them.

    Parameters
    ----------
    x : array_like of shape (sample, ...)
        Samples; axes after the first are flattened.
    n_inputs : int
        Number of inputs of the network.
    what : str
        What the samples are, for the message.
    """
    try:
        if np.iscomplexobj(x):
            raise TypeError
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} expects real numbers, got something else.") from None
    if values.ndim < 2 or math.prod(values.shape[1:]) != n_inputs:
        raise ValueError(
            f"{what} expects shape (sample, {n_inputs}), as the network has {n_inputs} inputs, "
            f"got {values.shape}."
        )
    if values.shape[0] == 0:
        raise ValueError(f"{what} expects at least one sample, got none.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{what} expects finite values, got NaN or infinity.")
    return values.reshape(values.shape[0], -1)


def checked_steps(steps: object) -> int:
    """Return a number of time steps, or say what is wrong with it."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps expects an integer >= 1, got {steps!r}.")
    return int(steps)


def check_classes(classes: NDArray[np.generic], n_outputs: int) -> None:
    """Refuse labels that do not fit the outputs: one for each, or two for a single one."""
    expected = max(n_outputs, 2)
    if classes.shape != (expected,):
        raise ValueError(
            f"A classifier of {n_outputs} outputs expects {expected} classes, got {classes.shape}."
        )


def take_gather(
    arrays: Mapping[str, NDArray[np.generic]], n: int, n_inputs: int | None, path: str | Path
) -> Gather | None:
    """Return the gather of layer `n` in a file; None where `n_inputs` is."""
    if n_inputs is None:
        return None
    return Gather(take(arrays, f"gather_{n}", path).astype(np.int32), n_inputs)


class _LayerHeader(BaseModel, extra="forbid", strict=True):
    name: str
    initial: float
    spikes: Spikes
    gathered: int | None = None
    sources: tuple[str, ...] = ()
    burst: int = 1


class _PoolHeader(BaseModel, extra="forbid", strict=True):
    name: str
    source: str
    place: int


class _NetworkHeader(Header):
    input_scale: float
    steps: int | None
    method: str
    origin: dict[str, Any] = Field(default_factory=dict)
    layers: list[_LayerHeader]
    pools: tuple[_PoolHeader, ...] = ()
