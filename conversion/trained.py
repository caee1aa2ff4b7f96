"""A trained multilayer perceptron, free of the framework that trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.errors import ConversionError
from spikeram.files import Header, read_npz, take, write_npz

_FORMAT = "spikeram-trained"
_VERSION = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedNetwork:
    """Fully connected layers with ReLU between them.

    Parameters
    ----------
    weights : tuple of ndarray of shape (input, output)
        One matrix for each layer.
    biases : tuple of ndarray of shape (output,)
        One vector for each layer.
    classes : ndarray of shape (class,) or None
        Labels of a classifier's outputs; None for regression.
    """

    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]
    classes: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        if not self.weights or len(self.weights) != len(self.biases):
            raise ConversionError(
                f"A trained network expects a bias vector for each of its weight matrices, got "
                f"{len(self.weights)} matrices and {len(self.biases)} vectors."
            )
        n_inputs = self.weights[0].shape[0] if self.weights[0].ndim == 2 else 0
        for n, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            if weight.ndim != 2 or 0 in weight.shape or weight.shape[0] != n_inputs:
                raise ConversionError(
                    f"Layer {n} expects weights of shape (input, output) with {n_inputs or 'some'} "
                    f"inputs and at least one output, got {weight.shape}."
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
            n_inputs = weight.shape[1]

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.weights[0].shape[0])

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs before any softmax, of shape (sample, output)."""
        activation = np.asarray(x, dtype=np.float64)
        for n, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            z = activation @ weight + bias
            activation = z if n == len(self.weights) - 1 else np.maximum(z, 0.0)
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
        header = _TrainedHeader(format=_FORMAT, version=_VERSION, n_layers=len(self.weights))
        arrays: dict[str, NDArray[np.generic]] = {}
        if self.classes is not None:
            arrays["classes"] = self.classes
        for n, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            arrays[f"weight_{n}"], arrays[f"bias_{n}"] = weight, bias
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
        return cls(
            weights=tuple(take(arrays, f"weight_{n}", path) for n in numbers),
            biases=tuple(take(arrays, f"bias_{n}", path) for n in numbers),
            classes=arrays.get("classes"),
        )


class _TrainedHeader(Header):
    n_layers: int
