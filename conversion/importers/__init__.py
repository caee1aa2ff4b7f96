"""What convert can read: one importer for each framework, one graph behind them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from spikeram.conversion.graph import Graph
from spikeram.conversion.importers.files import read_file
from spikeram.conversion.importers.from_sklearn import from_sklearn as from_sklearn
from spikeram.conversion.lowering import lower
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError


def read(
    model: Any, *, input_shape: tuple[int, ...] | None = None, regression: bool = False
) -> TrainedNetwork:
    """Return a trained network, from whatever holds it.

    Parameters
    ----------
    model : Graph, TrainedNetwork, model of a framework, str or Path
        See `graph_of`.
    input_shape : tuple of int, optional
        Shape of one sample, (channel, y, x) for images, where the model leaves it open.
    regression : bool
        Whether the outputs of a model that does not say so are values instead of classes.

    Raises
    ------
    ConversionError
        If the model has parts that cannot be converted: all of them, with their places.
    FileFormatError
        If a file is missing, damaged or could run code.
    MissingExtraError
        If the framework of a file is not installed.
    """
    found = graph_of(model, input_shape=input_shape, regression=regression)
    return found if isinstance(found, TrainedNetwork) else lower(found)


def graph_of(
    model: Any, *, input_shape: tuple[int, ...] | None = None, regression: bool = False
) -> Graph | TrainedNetwork:
    """Return the graph of a model: operations that cannot be converted keep their place in it.

    Parameters
    ----------
    model : Graph, TrainedNetwork, model of a framework, str or Path
        A fitted scikit-learn ``MLPClassifier`` or ``MLPRegressor``, a ``torch.nn.Module``, a
        ``keras.Model``, an ``onnx.ModelProto``, or a file: see
        `spikeram.conversion.importers.files`. A `TrainedNetwork` is passed on.
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves it open.
    regression : bool
        Whether the outputs of a model that does not say so are values instead of classes.
    """
    if isinstance(model, (Graph, TrainedNetwork)):
        return model
    if isinstance(model, (str, Path)):
        return read_file(Path(model), input_shape=input_shape, regression=regression)
    if type(model).__module__.startswith("sklearn"):
        return from_sklearn(model)
    # A model of a framework is there only where its framework is loaded. Keras on PyTorch
    # makes models that are both: the more special one counts.
    if _is_a(model, "keras", "Model"):
        from spikeram.conversion.importers.from_keras import from_keras

        return from_keras(model, regression=regression)
    if _is_a(model, "torch.nn", "Module"):
        from spikeram.conversion.importers.from_torch import from_torch

        return from_torch(model, input_shape=input_shape, regression=regression)
    if _is_a(model, "onnx", "ModelProto"):
        from spikeram.conversion.importers.from_onnx import from_onnx

        return from_onnx(model, input_shape=input_shape, regression=regression)
    raise ConversionError(
        "convert expects a torch.nn.Module, a keras.Model, an ONNX model, a fitted scikit-learn "
        "MLPClassifier or MLPRegressor, a Graph, a TrainedNetwork or a file, "
        f"got {type(model).__name__}."
    )


def is_module(model: Any) -> bool:
    """Return whether a model is one of PyTorch."""
    return _is_a(model, "torch.nn", "Module")


def is_onnx(model: Any) -> bool:
    """Return whether a model is an ``onnx.ModelProto``."""
    return _is_a(model, "onnx", "ModelProto")


def _is_a(model: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    kind = getattr(loaded, name, None)
    return kind is not None and isinstance(model, kind)
