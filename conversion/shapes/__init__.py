"""A network's matrices from shapes alone: no weight is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spikeram.conversion.importers import is_module, is_onnx
from spikeram.conversion.shapes.listed import from_list, from_toml, from_trained
from spikeram.conversion.shapes.matrix import MatrixShape as MatrixShape, Shapes as Shapes
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError, FileFormatError


def shapes_of(
    model: Any,
    *,
    input_shape: tuple[int, ...] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Shapes:
    """Return the matrices of a model.

    Parameters
    ----------
    model : Shapes, TrainedNetwork, torch.nn.Module, onnx.ModelProto, str, Path or list
        A file is ``.onnx``, of which external weights are not even opened, ``.npz`` of a
        `TrainedNetwork`, or ``.toml``; a list is as for
        `spikeram.conversion.shapes.listed.from_list`.
    input_shape : tuple of int, optional
        Of a torch module, the shape of one sample; of an ONNX model with one input, its shape with
        the batch.
    shapes : mapping of str to tuple of int, optional
        Shapes of inputs of an ONNX model, with the batch.

    Raises
    ------
    ConversionError
        If the model holds no weights, or lengths stay open.
    FileFormatError
        If a file is missing, damaged or of another kind.
    """
    if isinstance(model, Shapes):
        return model
    if isinstance(model, TrainedNetwork):
        return from_trained(model)
    if is_module(model):
        from spikeram.conversion.shapes.torch_shapes import from_torch

        return from_torch(model, input_shape)
    path = Path(model) if isinstance(model, (str, Path)) else None
    if is_onnx(model) or (path is not None and path.suffix == ".onnx"):
        from spikeram.conversion.shapes.onnx_shapes import from_onnx

        return from_onnx(model, dict(shapes or {}), input_shape)
    if path is not None:
        return _of_file(path)
    if isinstance(model, Iterable):
        return from_list(model)
    raise ConversionError(
        "plan expects a file (.onnx, .npz, .toml), a torch.nn.Module, an onnx.ModelProto, a "
        f"TrainedNetwork or a list of layers, got {type(model).__name__}."
    )


def _of_file(path: Path) -> Shapes:
    if path.suffix == ".toml":
        return from_toml(path)
    if path.suffix == ".npz":
        return from_trained(TrainedNetwork.load(path), str(path))
    raise FileFormatError(
        f"plan reads .onnx, .npz and .toml files, got {path}. Export the model to ONNX, or list "
        "its layers in a TOML file."
    )
