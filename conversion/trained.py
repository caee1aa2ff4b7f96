"""A trained feed-forward network as the crossbars that it takes, free of its framework."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field

from spikeram.arrays import frozen
from spikeram.errors import ConversionError
from spikeram.files import Header, read_npz, take, write_npz
from spikeram.gather import Gather, weighted_sums
from spikeram.network import check_classes, checked_samples
from spikeram.pool import MaxPool
from spikeram.wiring import INPUT, Wiring

_FORMAT = "spikeram-trained"
_VERSION = 2
_SAMPLES_AT_A_TIME = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedLayer:
    """One matrix with its biases and its activation.

    Parameters
    ----------
    name : str
        The layer's name.
    sources : tuple of str
        Names of the nodes that it reads, in the order in which its inputs are numbered.
    weight : ndarray of shape (row, column)
        The matrix. Rows are inputs and columns outputs, unless there is a `gather`.
    bias : ndarray of shape (column,)
        The biases.
    gather : Gather or None
        Of a convolution, the inputs at its rows; None for a fully connected layer.
    slope : ndarray of shape (column,)
        Slope of the activation below zero: 0 for ReLU, 1 for none.
    limit : float
        Largest activation.
    threshold : float or None
        Learned threshold of a clip-floor-shift activation.
    levels : int or None
        Number of its levels.
    """

    name: str
    sources: tuple[str, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    gather: Gather | None = None
    slope: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    limit: float = np.inf
    threshold: float | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        who = f"Layer {self.name!r}"
        for name in ("weight", "bias", "slope"):
            try:
                object.__setattr__(self, name, frozen(getattr(self, name)))
            except (TypeError, ValueError):
                raise ConversionError(f"{who} expects numbers as its {name}.") from None
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise ConversionError(
                f"{who} expects weights of shape (input, output) with at least one of each, "
                f"got {self.weight.shape}."
            )
        if self.gather is not None and self.gather.n_rows != self.weight.shape[0]:
            raise ConversionError(
                f"{who} expects a gather of {self.weight.shape[0]} rows, got {self.gather.n_rows}."
            )
        if self.bias.shape != self.weight.shape[1:]:
            raise ConversionError(
                f"{who} expects biases of shape ({self.weight.shape[1]},), got {self.bias.shape}."
            )
        object.__setattr__(self, "slope", frozen(np.broadcast_to(self.slope, self.bias.shape)))
        for what, values in (("weights", self.weight), ("biases", self.bias)):
            bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
            if bad:
                raise ConversionError(
                    f"{who} expects finite {what}, got {bad} that are NaN or infinite. "
                    "Did the training diverge?"
                )

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.weight.shape[0]) if self.gather is None else self.gather.n_inputs

    @property
    def n_positions(self) -> int:
        """Number of positions at which the matrix is used."""
        return 1 if self.gather is None else self.gather.n_positions

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[1]) * self.n_positions

    def preactivation(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted sums with biases, of shape (sample, output)."""
        sums = weighted_sums(values, self.weight, self.gather)
        sums += np.repeat(self.bias, self.n_positions)
        return sums

    def activation(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the activations of `preactivation`, of the same shape.

        A clip-floor-shift activation is given without its levels: clipped, not rounded.
        """
        top = min(self.limit, np.inf if self.threshold is None else self.threshold)
        if not np.any(self.slope):
            return np.clip(z, 0.0, top)
        slope = np.repeat(self.slope, self.n_positions)
        leaky: NDArray[np.float64] = np.where(z > 0, np.minimum(z, top), slope * z)
        return leaky


TrainedNode: TypeAlias = TrainedLayer | MaxPool


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedNetwork:
    """Matrices with activations, and maxima between them, in the order of computation.

    Parameters
    ----------
    nodes : tuple of (TrainedLayer or MaxPool)
        Every node comes after those it reads; the last is the output, a layer of which the
        weighted sums are read.
    classes : ndarray of shape (class,) or None
        Labels of a classifier's outputs; None for regression.
    input_shape : tuple of int
        Shape of one sample; empty where any shape of the right size serves.
    fates : tuple of (str, str, str)
        For each operation of the model that this was read from: its name, what it is, and what
        became of it.
    """

    nodes: tuple[TrainedNode, ...]
    classes: NDArray[np.generic] | None = None
    input_shape: tuple[int, ...] = ()
    fates: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        try:
            self.wiring.check_sizes()
        except ValueError as error:
            raise ConversionError(str(error)) from None
        if self.input_shape and math.prod(self.input_shape) != self.n_inputs:
            raise ConversionError(
                f"A trained network of {self.n_inputs} inputs cannot have samples of shape "
                f"{self.input_shape}."
            )
        if self.classes is not None:
            labels = np.asarray(self.classes)
            # Objects could hold anything; files hold plain values alone.
            labels = labels.astype(str) if labels.dtype == object else labels
            check_classes(labels, self.n_outputs)
            object.__setattr__(self, "classes", labels)

    @cached_property
    def wiring(self) -> Wiring[TrainedLayer]:
        """What each node reads."""
        return Wiring(self.nodes)

    @property
    def layers(self) -> tuple[TrainedLayer, ...]:
        """The layers of weights, from input to output."""
        return self.wiring.layers

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.wiring.widths[INPUT]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.nodes[-1].n_outputs

    def checked_input(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return samples as floats of shape (sample, input), or say what is wrong with them.

        Parameters
        ----------
        x : array_like of shape (sample, ...)
            Samples in the shape that the model takes, or flattened.
        """
        shape = np.shape(x)[1:]
        if len(shape) > 1 and self.input_shape and shape != self.input_shape:
            hint = ""
            if (shape[-1], *shape[:-1]) == self.input_shape:
                hint = " The channels seem to come last: use numpy.moveaxis(x, -1, 1)."
            elif (*shape[1:], shape[0]) == self.input_shape:
                hint = " The channels seem to come first: use numpy.moveaxis(x, 1, -1)."
            raise ConversionError(
                f"The model takes samples of shape {self.input_shape}, got {shape}.{hint}"
            )
        return checked_samples(x, self.n_inputs, "The trained network")

    def values(self, x: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return what each node gives on: activations and maxima, by name, (sample, output).

        Parameters
        ----------
        x : array_like of shape (sample, ...)
            Inputs; axes after the first are flattened.
        """
        found = {INPUT: self.checked_input(x)}
        for node in self.nodes:
            read = [found[name] for name in self.wiring.sources[node.name]]
            inputs = read[0] if len(read) == 1 else np.concatenate(read, axis=1)
            if isinstance(node, MaxPool):
                found[node.name] = node.maxima(inputs)
            else:
                z = node.preactivation(inputs)
                found[node.name] = z if node is self.nodes[-1] else node.activation(z)
        return found

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs before any softmax, of shape (sample, output).

        Parameters
        ----------
        x : array_like of shape (sample, ...)
            Inputs; axes after the first are flattened.
        """
        samples = self.checked_input(x)
        # The activations of all samples at once could fill the memory.
        parts = [
            self.values(samples[first : first + _SAMPLES_AT_A_TIME])[self.nodes[-1].name]
            for first in range(0, samples.shape[0], _SAMPLES_AT_A_TIME)
        ]
        return np.concatenate(parts)

    def predict(self, x: ArrayLike) -> NDArray[np.generic]:
        """Return the class of each sample, or the outputs of a regression."""
        return self.decided(self.forward(x))

    def decided(self, output: NDArray[np.float64]) -> NDArray[np.generic]:
        """Return the class that each output decides for, or the outputs of a regression.

        Parameters
        ----------
        output : ndarray of shape (sample, output)
            As `forward` returns them.
        """
        if self.classes is None:
            return output
        if output.shape[1] == 1:
            index = (output[:, 0] > 0).astype(np.intp)
        else:
            index = np.argmax(output, axis=1)
        labels: NDArray[np.generic] = self.classes[index]
        return labels

    @classmethod
    def chain(
        cls,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        classes: NDArray[np.generic] | None = None,
    ) -> TrainedNetwork:
        """Return fully connected layers one after the other, with ReLU between them.

        Parameters
        ----------
        weights : sequence of array_like of shape (input, output)
            One matrix for each layer.
        biases : sequence of array_like of shape (output,)
            One vector for each layer.
        classes : ndarray of shape (class,), optional
            Labels of a classifier's outputs.

        Examples
        --------
        >>> TrainedNetwork.chain([[[1.0], [-1.0]]], [[0.5]]).forward([[2.0, 1.0]]).tolist()
        [[1.5]]
        """
        if not weights or len(weights) != len(biases):
            raise ConversionError(
                f"A trained network expects a bias vector for each of its weight matrices, got "
                f"{len(weights)} matrices and {len(biases)} vectors."
            )
        names = [f"dense_{n}" for n in range(1, len(weights))] + ["output"]
        sources = [INPUT, *names[:-1]]
        layers = tuple(
            TrainedLayer(name=name, sources=(source,), weight=weight, bias=bias)  # type: ignore[arg-type]
            for name, source, weight, bias in zip(names, sources, weights, biases)
        )
        return cls(nodes=layers, classes=classes)

    def save(self, path: str | Path) -> None:
        """Write the network to an ``.npz`` file: plain arrays and one JSON header."""
        arrays: dict[str, NDArray[np.generic]] = {}
        if self.classes is not None:
            arrays["classes"] = self.classes
        headers = []
        for n, node in enumerate(self.nodes):
            if isinstance(node, MaxPool):
                arrays[f"index_{n}"] = node.index
                headers.append(_NodeHeader(name=node.name, sources=[node.source], kind="max_pool"))
                continue
            arrays |= {f"weight_{n}": node.weight, f"bias_{n}": node.bias, f"slope_{n}": node.slope}
            if node.gather is not None:
                arrays[f"gather_{n}"] = node.gather.index
            headers.append(
                _NodeHeader(
                    name=node.name,
                    sources=list(node.sources),
                    kind="layer",
                    gathered=None if node.gather is None else node.gather.n_inputs,
                    limit=node.limit if np.isfinite(node.limit) else None,
                    threshold=node.threshold,
                    levels=node.levels,
                )
            )
        header = _TrainedHeader(
            format=_FORMAT,
            version=_VERSION,
            nodes=headers,
            input_shape=list(self.input_shape),
            fates=list(self.fates),
        )
        write_npz(path, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> TrainedNetwork:
        """Read a network that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, foreign or from a newer version.
        """
        arrays, header = read_npz(path, _TrainedHeader, kind=_FORMAT, version=_VERSION)
        headers = header.nodes or _chained(header)
        for n in range(header.n_layers):
            # Version 1 knew ReLU alone.
            arrays[f"slope_{n}"] = np.zeros(arrays.get(f"bias_{n}", np.zeros(0)).shape)
        nodes = tuple(_node(n, node, arrays, path) for n, node in enumerate(headers))
        return cls(
            nodes=nodes,
            classes=arrays.get("classes"),
            input_shape=tuple(header.input_shape),
            fates=tuple(header.fates),
        )


class _NodeHeader(BaseModel, extra="forbid", strict=True):
    name: str
    sources: list[str]
    kind: Literal["layer", "max_pool"]
    gathered: int | None = None
    limit: float | None = None
    threshold: float | None = None
    levels: int | None = None


class _TrainedHeader(Header):
    nodes: list[_NodeHeader] = Field(default_factory=list)
    input_shape: list[int] = Field(default_factory=list)
    fates: list[tuple[str, str, str]] = Field(default_factory=list)
    # Of version 1, a chain of layers:
    n_layers: int = 0
    gathered: list[int | None] | None = None


def _chained(header: _TrainedHeader) -> list[_NodeHeader]:
    """Return the nodes of a file of version 1."""
    gathered = header.gathered or [None] * header.n_layers
    kinds = ["dense" if n_inputs is None else "conv" for n_inputs in gathered]
    names = [f"{kind}_{n + 1}" for n, kind in enumerate(kinds[:-1])] + ["output"]
    return [
        _NodeHeader(name=name, sources=[before], kind="layer", gathered=n_inputs)
        for name, before, n_inputs in zip(names, [INPUT, *names], gathered)
    ]


def _node(
    n: int, header: _NodeHeader, arrays: Mapping[str, NDArray[np.generic]], path: str | Path
) -> TrainedNode:
    if header.kind == "max_pool":
        index = take(arrays, f"index_{n}", path).astype(np.int32)
        return MaxPool(header.name, header.sources[0], index)
    gather = None
    if header.gathered is not None:
        gather = Gather(take(arrays, f"gather_{n}", path).astype(np.int32), header.gathered)
    return TrainedLayer(
        name=header.name,
        sources=tuple(header.sources),
        weight=take(arrays, f"weight_{n}", path),
        bias=take(arrays, f"bias_{n}", path),
        slope=take(arrays, f"slope_{n}", path),
        gather=gather,
        limit=np.inf if header.limit is None else header.limit,
        threshold=header.threshold,
        levels=header.levels,
    )
