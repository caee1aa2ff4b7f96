"""A trained feed-forward network, free of the framework that trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.arrays import frozen
from spikeram.errors import ConversionError
from spikeram.files import Header, read_npz, take, write_npz
from spikeram.gather import Gather, weighted_sums
from spikeram.network import check_classes, take_gather

_FORMAT = "spikeram-trained"
_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedNetwork:
    """Fully connected and convolutional layers with ReLU between them.

    Parameters
    ----------
    weights : tuple of ndarray of shape (row, column)
        One matrix for each layer; rows are inputs and columns outputs, or channels.
    biases : tuple of ndarray of shape (column,)
        One vector for each layer.
    gathers : tuple of (Gather or None), optional
        Of a convolution, the inputs at its rows; None for a fully connected layer.
    classes : ndarray of shape (class,) or None
        Labels of a classifier's outputs; None for regression.
    """

    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]
    gathers: tuple[Gather | None, ...] = ()
    classes: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "biases"):
            values = getattr(self, name)
            try:
                object.__setattr__(self, name, tuple(frozen(value) for value in values))
            except (TypeError, ValueError):
                raise ConversionError(f"A trained network expects {name} of numbers.") from None
        if not self.gathers:
            object.__setattr__(self, "gathers", (None,) * len(self.weights))
        if not self.weights or not len(self.weights) == len(self.biases) == len(self.gathers):
            raise ConversionError(
                f"A trained network expects a bias vector for each of its weight matrices, got "
                f"{len(self.weights)} matrices and {len(self.biases)} vectors."
            )
        n_inputs: int | None = None
        for n, (weight, bias, gather) in enumerate(zip(self.weights, self.biases, self.gathers)):
            _check_layer(n, weight, bias, gather, n_inputs)
            n_inputs = weight.shape[1] * (1 if gather is None else gather.n_positions)
        if self.classes is not None and n_inputs is not None:
            labels = np.asarray(self.classes)
            # Objects could hold anything; files hold plain values alone.
            labels = labels.astype(str) if labels.dtype == object else labels
            check_classes(labels, n_inputs)
            object.__setattr__(self, "classes", labels)

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        gather = self.gathers[0]
        return int(self.weights[0].shape[0]) if gather is None else gather.n_inputs

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs before any softmax, of shape (sample, output).

        Parameters
        ----------
        x : array_like of shape (sample, ...)
            Inputs; axes after the first are flattened.
        """
        activation = np.asarray(x, dtype=np.float64)
        activation = activation.reshape(activation.shape[0], -1)
        last = len(self.weights) - 1
        for n, (weight, bias, gather) in enumerate(zip(self.weights, self.biases, self.gathers)):
            z = weighted_sums(activation, weight, gather)
            z += np.repeat(bias, z.shape[1] // bias.size)
            activation = z if n == last else np.maximum(z, 0.0)
        return activation

    def predict(self, x: ArrayLike) -> NDArray[np.generic]:
        """Return the class of each sample, or the outputs of a regression."""
        output = self.forward(x)
        if self.classes is None:
            return output
        if output.shape[1] == 1:
            index = (output[:, 0] > 0).astype(np.intp)
        else:
            index = np.argmax(output, axis=1)
        labels: NDArray[np.generic] = self.classes[index]
        return labels

    def save(self, path: str | Path) -> None:
        """Write the network to an ``.npz`` file: plain arrays and one JSON header."""
        header = _TrainedHeader(
            format=_FORMAT,
            version=_VERSION,
            n_layers=len(self.weights),
            gathered=[None if g is None else g.n_inputs for g in self.gathers],
        )
        arrays: dict[str, NDArray[np.generic]] = {}
        if self.classes is not None:
            arrays["classes"] = self.classes
        for n, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            arrays[f"weight_{n}"], arrays[f"bias_{n}"] = weight, bias
        for n, gather in enumerate(self.gathers):
            if gather is not None:
                arrays[f"gather_{n}"] = gather.index
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
        numbers = range(header.n_layers)
        gathered = header.gathered or [None] * header.n_layers
        return cls(
            weights=tuple(take(arrays, f"weight_{n}", path) for n in numbers),
            biases=tuple(take(arrays, f"bias_{n}", path) for n in numbers),
            gathers=tuple(take_gather(arrays, n, g, path) for n, g in enumerate(gathered)),
            classes=arrays.get("classes"),
        )


class _TrainedHeader(Header):
    n_layers: int
    gathered: list[int | None] | None = None


def _check_layer(
    n: int,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    gather: Gather | None,
    n_inputs: int | None,
) -> None:
    """Refuse a layer that is malformed, or does not take `n_inputs` inputs."""
    if weight.ndim != 2 or 0 in weight.shape:
        raise ConversionError(
            f"Layer {n} expects weights of shape (input, output) with at least one of each, "
            f"got {weight.shape}."
        )
    takes = weight.shape[0] if gather is None else gather.n_inputs
    if n_inputs is not None and takes != n_inputs:
        raise ConversionError(
            f"Layer {n} takes {takes} inputs, but the layer before has {n_inputs} outputs: "
            f"its weights have shape {weight.shape}."
        )
    if gather is not None and gather.n_rows != weight.shape[0]:
        raise ConversionError(
            f"Layer {n} expects a gather of {weight.shape[0]} rows, got {gather.n_rows}."
        )
    if bias.shape != weight.shape[1:]:
        raise ConversionError(
            f"Layer {n} expects biases of shape ({weight.shape[1]},), got {bias.shape}."
        )
    for what, values in (("weights", weight), ("biases", bias)):
        bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
        if bad:
            raise ConversionError(
                f"Layer {n} expects finite {what}, got {bad} that are NaN or infinite. "
                "Did the training diverge?"
            )
