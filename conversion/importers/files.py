"""From a file to a trained network. Nothing in a file ever runs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import Graph
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError, FileFormatError, MissingExtraError


def read_file(
    path: Path, *, input_shape: tuple[int, ...] | None = None, regression: bool = False
) -> Graph | TrainedNetwork:
    """Return the trained network in a file.

    Parameters
    ----------
    path : Path
        ``.npz`` as `TrainedNetwork.save` writes it, ``.onnx``, ``.keras``, ``.h5`` of Keras,
        or a PyTorch state dictionary of Linear layers alone, ``.pt`` or ``.pth``.
    input_shape : tuple of int, optional
        Shape of one sample, where the file leaves it open.
    regression : bool
        Whether the outputs of a model that does not say so are values instead of classes.
    """
    if path.suffix == ".npz":
        return TrainedNetwork.load(path)
    if path.suffix == ".onnx":
        from spikeram.conversion.importers.from_onnx import from_onnx

        return from_onnx(path, input_shape=input_shape, regression=regression)
    if path.suffix in (".keras", ".h5", ".hdf5"):
        from spikeram.conversion.importers.from_keras import from_keras

        return from_keras(path, regression=regression)
    if path.suffix in (".pt", ".pth"):
        return _from_state_dict(path)
    if path.suffix == ".nir":
        raise FileFormatError(
            f"{path} already holds a spiking network. Read it with "
            "spikeram.conversion.nir.read, and run it or turn it into a SpikingNetwork from there."
        )
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        raise FileFormatError(
            f"{path} is a pickle, which can run code when it is opened. Save the model from Python "
            "with spikeram.conversion.read(model).save('model.npz') and convert that."
        )
    raise FileFormatError(
        f"{path} expects a name that ends in .npz, .onnx, .keras, .h5, .pt or .pth."
    )


def _from_state_dict(path: Path) -> TrainedNetwork:
    """Read Linear layers from a saved state dictionary; tensors only, no code runs."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch", f"Reading {path}") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileFormatError(f"There is no file {path}.") from None
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileFormatError(
            f"{path} is not a state dictionary that loads with weights_only=True: {line} "
            "Save it with torch.save(model.state_dict(), path)."
        ) from None
    if not isinstance(state, dict) or not all(hasattr(value, "detach") for value in state.values()):
        raise FileFormatError(f"{path} expects a state dictionary of tensors.")
    strange = [k for k, v in state.items() if k.rpartition(".")[2] not in ("weight", "bias")]
    strange += [k for k, v in state.items() if k.endswith("weight") and v.ndim != 2]
    if strange:
        raise ConversionError(
            f"{path} expects Linear layers only, got {', '.join(strange)}. Weights do not tell how "
            "they are joined: convert the model itself from Python, or export it to ONNX."
        )
    places = [k.removesuffix("weight") for k in state if k.endswith("weight")]
    weights = tuple(_array(state[f"{place}weight"]).T for place in places)
    biases = tuple(
        _array(state[f"{place}bias"]) if f"{place}bias" in state else np.zeros(w.shape[1])
        for place, w in zip(places, weights)
    )
    if not weights:
        raise ConversionError(f"{path} holds no Linear layer.")
    warnings.warn(
        f"{path} holds weights alone: ReLU is taken to stand between the layers, and nothing but "
        "a softmax after the last.",
        stacklevel=2,
    )
    classes = np.arange(max(weights[-1].shape[1], 2))
    return TrainedNetwork.chain(weights, biases, classes=classes)


def _array(tensor: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values
