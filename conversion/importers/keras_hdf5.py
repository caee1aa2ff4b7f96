"""Files of the older HDF5 format of Keras, rewritten for Keras 3 without running what they bring.

Keras 1 and 2 wrote them, and `model.save("model.h5")` still does. Keras 3 opens most, but not those
with a depthwise convolution or an inner model that Keras 2 wrote.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import h5py  # type: ignore[import-untyped]
import numpy as np

from spikeram.conversion.importers.keras_files import (
    MAX_BYTES,
    MAX_CONFIG_BYTES,
    check_config,
    import_keras,
    one_line,
)
from spikeram.errors import ConversionError, FileFormatError, MissingExtraError

_WEIGHTS = "model_weights"
_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_MODELS = ("Functional", "Model", "Sequential")
# Keras 2 wrote the convolution's number of groups with these too, where it can only be 1.
_WITHOUT_GROUPS = (
    "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D Conv1DTranspose "
    "Conv2DTranspose Conv3DTranspose"
).split()


def load_hdf5(path: Path) -> Any:
    """Return the model in an ``.h5`` file, of Keras 2 or 3.

    Description and weights alone are taken over, into a file for Keras 3; the state of an
    optimizer, losses, initialisers, regularisers and constraints are not, since they change no
    output of the trained model.

    Raises
    ------
    FileFormatError
        If the file is damaged, too large, or holds weights without a model.
    ConversionError
        If it holds code or custom objects, none of which is run.
    """
    try:
        with h5py.File(path) as file, tempfile.TemporaryDirectory() as folder:
            config = _config(path, file)
            keras = import_keras(f"Reading {path}")
            check_config(keras, path, config)
            copied = Path(folder) / "model.h5"
            with h5py.File(copied, "w") as new:
                new.attrs["model_config"] = json.dumps(_modernised(config))
                _copy(path, file, new)
            return keras.saving.load_model(copied, compile=False, safe_mode=True)
    except (ConversionError, FileFormatError, MissingExtraError):
        raise
    except Exception as error:  # h5py, json and Keras raise many kinds for damaged bytes
        raise FileFormatError(f"{path} is damaged, or no .h5 file: {one_line(error)}") from None


def _config(path: Path, file: h5py.File) -> Any:
    """Return the description of the model."""
    text = file.attrs.get("model_config")
    if text is None:
        raise FileFormatError(
            f"{path} holds weights without a model. Build the model, load them with "
            "model.load_weights, and convert the model or save it with model.save('model.keras')."
        )
    text = text.decode() if isinstance(text, bytes) else str(text)
    if len(text) > MAX_CONFIG_BYTES:
        raise FileFormatError(
            f"{path} expects a description of the model of at most {MAX_CONFIG_BYTES} bytes. Keep "
            "constants in weights."
        )
    config = json.loads(text)
    for found in _parts(config):
        for key in [key for key in found if key.endswith(_ENDINGS)]:
            del found[key]
    return config


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary of a description."""
    waiting = [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _modernised(config: Any) -> Any:
    """Return the description without what Keras 2 wrote and Keras 3 does not understand."""
    for found in _parts(config):
        kind, inner = found.get("class_name"), found.get("config")
        if kind == "Sequential" and isinstance(inner, list):
            inner = found["config"] = {"name": found.get("name", "sequential"), "layers": inner}
        if not isinstance(inner, dict):
            continue
        if kind in _WITHOUT_GROUPS and inner.get("groups") == 1:
            del inner["groups"]
        if kind == "LeakyReLU" and "alpha" in inner:
            inner["negative_slope"] = inner.pop("alpha")
        if isinstance(inner.get("layers"), list):
            layers = [layer for layer in inner["layers"] if isinstance(layer, dict)]
            _recount(inner, layers)
            inner["layers"] = _with_input(layers) if kind == "Sequential" else layers
    return config


def _with_input(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a stack that begins with its input, whose shape Keras 2 also kept at a layer."""
    shapes = [
        layer["config"].pop("batch_input_shape", None)
        for layer in layers
        if layer.get("class_name") != "InputLayer" and isinstance(layer.get("config"), dict)
    ]
    if len(shapes) < len(layers) or not shapes or shapes[0] is None:
        return layers
    return [{"class_name": "InputLayer", "config": {"batch_shape": shapes[0]}}, *layers]


def _recount(model: dict[str, Any], layers: list[dict[str, Any]]) -> None:
    """Count the calls of inner models from 0.

    In Keras 2 an inner model that begins with its input has been called once where it was made,
    before all calls that the file lists.
    """
    references = [reference for layer in layers for reference in _references(layer)]
    for key in ("input_layers", "output_layers"):
        ends = model.get(key)
        if isinstance(ends, list):
            references += [ends] if _is_reference(ends) else filter(_is_reference, ends)
    for layer in layers:
        if layer.get("class_name") not in _MODELS:
            continue
        mine = [reference for reference in references if reference[0] == layer.get("name")]
        n_calls = len(layer.get("inbound_nodes", ()))
        if any(reference[1] >= n_calls for reference in mine):
            for reference in mine:
                reference[1] -= 1


def _references(layer: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield what a layer reads: lists of a layer's name, its call, its output, and more."""
    waiting = [layer.get("inbound_nodes")]
    while waiting:
        found = waiting.pop()
        if _is_reference(found):
            yield found
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            waiting += found.values()


def _is_reference(found: Any) -> TypeGuard[list[Any]]:
    return (
        isinstance(found, list)
        and len(found) > 2
        and isinstance(found[0], str)
        and isinstance(found[1], int)
    )


def _copy(path: Path, file: h5py.File, new: h5py.File) -> None:
    """Copy the weights, and nothing that lies in another file or unpacks beyond measure."""
    left = MAX_BYTES
    groups: set[int] = set()
    waiting = [_WEIGHTS]
    while waiting:
        place = waiting.pop()
        linked = file.get(place, getlink=True)
        if not isinstance(linked, h5py.HardLink):
            raise FileFormatError(f"{path} expects {place!r} in the file itself, got {linked!r}.")
        found = file[place]
        if isinstance(found, h5py.Group):
            # A group can hold itself, and then has no end.
            address = h5py.h5o.get_info(found.id).addr
            if address in groups:
                raise FileFormatError(f"{path} expects each group in one place, {place!r} is not.")
            groups.add(address)
            copy: Any = new.create_group(place)
            waiting += [f"{place}/{name}" for name in found]
        else:
            if found.is_virtual or found.external:
                raise FileFormatError(f"{path} keeps {place!r} in another file, which is not read.")
            left -= found.nbytes
            if left < 0:
                raise FileFormatError(
                    f"{path} unpacks to more than the {MAX_BYTES} bytes that are read. Load it "
                    "with Keras and convert the model."
                )
            if found.dtype.kind not in "fiub":
                raise FileFormatError(f"{path} expects numbers in {place!r}, got {found.dtype}.")
            copy = new.create_dataset(place, data=np.asarray(found[...]))
        for key, value in found.attrs.items():
            copy.attrs[key] = value
