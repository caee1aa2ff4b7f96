"""From scikit-learn, PyTorch and files to a `TrainedNetwork`.

Each importer is one function that recognises its models and reads them; `read` tries them in
turn. Files are read without ever running code from them.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.from_torch import from_torch
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError, FileFormatError, MissingExtraError


def read(model: Any, *, input_shape: tuple[int, ...] | None = None) -> TrainedNetwork:
    """Return the trained network that `model` holds.

    Parameters
    ----------
    model : TrainedNetwork, MLPClassifier, MLPRegressor, torch.nn.Sequential, str or Path
        A fitted scikit-learn perceptron with ReLU, a ``Sequential`` of layers that `from_torch`
        reads, or a file: ``.npz`` by `TrainedNetwork.save`, ``.pt``/``.pth`` with a state
        dictionary of Linear layers.
    input_shape : tuple of int, optional
        Shape of one sample, (channel, y, x); a model that begins with a convolution needs it.

    Raises
    ------
    ConversionError
        If the model is unfitted, or holds what cannot be converted; all such layers are named.
    FileFormatError
        If a file is missing, damaged or foreign.
    """
    if isinstance(model, TrainedNetwork):
        return model
    if isinstance(model, (str, Path)):
        return _from_file(Path(model))
    origin = type(model).__module__.partition(".")[0]
    if origin == "sklearn":
        return from_sklearn(model)
    # A subclass of a torch module lives in the user's own package.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return from_torch(model, input_shape=input_shape)
    raise ConversionError(
        f"convert expects a fitted scikit-learn MLPClassifier or MLPRegressor, a "
        f"torch.nn.Sequential of Linear and ReLU, a TrainedNetwork or a file, "
        f"got {type(model).__name__}."
    )


def from_sklearn(model: Any) -> TrainedNetwork:
    """Return the trained network of a fitted ``MLPClassifier`` or ``MLPRegressor``."""
    name = type(model).__name__
    if name not in ("MLPClassifier", "MLPRegressor"):
        raise ConversionError(
            f"Of scikit-learn, convert reads MLPClassifier and MLPRegressor, got {name}."
        )
    if not hasattr(model, "coefs_"):
        raise ConversionError(f"This {name} is not fitted. Call its fit(x, y) first.")
    if model.activation != "relu" and len(model.coefs_) > 1:
        raise ConversionError(
            f"{name} expects activation='relu', got {model.activation!r}, which has no rate-coded "
            "form. Train it with ReLU."
        )
    if model.out_activation_ not in ("identity", "softmax", "logistic"):
        raise ConversionError(
            f"{name} expects an output activation that leaves decisions and values as they are, "
            f"got {model.out_activation_!r}."
        )
    classes = None
    if name == "MLPClassifier":
        classes = np.asarray(model.classes_)
        if model.out_activation_ == "logistic" and model.coefs_[-1].shape[1] > 1:
            raise ConversionError("A multilabel MLPClassifier cannot be converted: one label only.")
    return TrainedNetwork(
        weights=tuple(np.asarray(w, np.float64) for w in model.coefs_),
        biases=tuple(np.asarray(b, np.float64) for b in model.intercepts_),
        classes=classes,
    )


def _array(tensor: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values


def _from_file(path: Path) -> TrainedNetwork:
    if path.suffix == ".npz":
        return TrainedNetwork.load(path)
    if path.suffix in (".pt", ".pth"):
        return _from_state_dict(path)
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        raise FileFormatError(
            f"{path} is a pickle, which can run code when it is opened. Save the model from Python "
            "with spikeram.conversion.read(model).save('model.npz') and convert that."
        )
    raise FileFormatError(f"{path} expects a name that ends in .npz, .pt or .pth.")


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
        raise ConversionError(f"{path} expects Linear layers only, got {', '.join(strange)}.")
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
    return TrainedNetwork(
        weights=weights, biases=biases, classes=np.arange(max(weights[-1].shape[1], 2))
    )
