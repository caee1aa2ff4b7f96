"""Files of Keras models, opened without running anything that they bring."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from spikeram.errors import ConversionError, FileFormatError, MissingExtraError

MAX_BYTES = 2 * 1024**3
"""Largest size of a file's contents, unpacked."""

MAX_CONFIG_BYTES = 64 * 1024**2
"""Largest description of a model [byte]."""

_MEMBERS = ("metadata.json", "config.json", "model.weights.h5", "model.weights.npz")
_RESAVE = (
    "Load it with the version of Keras that wrote it, and save it with model.save('model.keras'), "
    "or export it to ONNX and convert that"
)
# What holds code, or names other files to be read.
_REFUSED = (
    "Lambda __lambda__ TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer StringLookup IntegerLookup "
    "TextVectorization __typespec__"
).split()
_OF_TENSORFLOW = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
_WITHOUT_MODULE = ("Functional", "Model", "Policy", "Sequential")


def import_keras(purpose: str) -> Any:
    """Return the module keras, or say what is missing for it."""
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise MissingExtraError("keras", "keras", purpose) from None
        raise ConversionError(
            f"{purpose} needs a backend of Keras, but {error.name} is not installed. Set "
            "KERAS_BACKEND to one that is (torch, jax or tensorflow) before Python starts."
        ) from None
    if int(keras.__version__.partition(".")[0]) < 3:
        raise MissingExtraError(f"keras 3 (here is {keras.__version__})", "keras", purpose)
    return keras


def load_keras(path: Path) -> Any:
    """Return the model in a ``.keras`` file, or in an ``.h5`` file of Keras 2 or 3.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, too large or of another format.
    ConversionError
        If it holds code or custom objects, none of which is run.
    """
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, such as a TensorFlow SavedModel. {_RESAVE}.")
    if not path.exists():
        raise FileFormatError(f"There is no file {path}.")
    if path.suffix in (".h5", ".hdf5"):
        from spikeram.conversion.importers.keras_hdf5 import load_hdf5

        return load_hdf5(path)
    if path.suffix != ".keras":
        raise FileFormatError(f"{path} expects a name that ends in .keras or .h5.")
    config = _config(path)
    keras = import_keras(f"Reading {path}")
    check_config(keras, path, config)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged file
        raise FileFormatError(f"{path} is damaged: Keras says {one_line(error)}") from None


def _config(path: Path) -> Any:
    """Return the description of the model in the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_BYTES:
                raise FileFormatError(
                    f"{path} unpacks to {size} bytes, more than the {MAX_BYTES} that are read. "
                    "Load it with Keras and convert the model."
                )
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise FileFormatError(
                    f"{path} expects a description of the model of at most {MAX_CONFIG_BYTES} "
                    "bytes. Keep constants in weights."
                )
            strange = [name for name in names if name not in _MEMBERS]
            if strange or len(set(names)) < len(names):
                raise FileFormatError(
                    f"{path} expects {', '.join(_MEMBERS[:3])} alone, got {', '.join(names[:8])}."
                )
            return json.loads(archive.read("config.json"))
    except FileFormatError:
        raise
    except Exception as error:  # zipfile, zlib and json raise many kinds for damaged bytes
        raise FileFormatError(f"{path} is damaged, or no .keras file: {one_line(error)}") from None


def check_config(keras: Any, path: Path, config: Any) -> None:
    """Refuse a description that names what does not come with Keras."""
    code: dict[str, None] = {}
    custom: dict[str, None] = {}
    of_tensorflow = False
    # The losses and metrics of a compiled model are not read.
    waiting = [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += [value for key, value in found.items() if key != "compile_config"]
            if "class_name" in found:
                name = str(found["class_name"])
                if name in _REFUSED:
                    code[name] = None
                elif not _comes_with_keras(keras, name, found):
                    custom[str(found.get("config") if name == "function" else name)] = None
                    of_tensorflow |= name in _OF_TENSORFLOW
            named = found.get("activation")
            if isinstance(named, str) and not hasattr(keras.activations, named):
                custom[named] = None
        elif isinstance(found, list):
            waiting += found
    if code or custom:
        kinds = ["what can hold code or read other files"] * bool(code)
        kinds += ["custom objects"] * bool(custom)
        raise ConversionError(
            f"{path} holds {' and '.join(kinds)}: {', '.join([*code, *custom])}. None of it is "
            "loaded. "
            + (
                "Operations on tensors are TensorFlow's own in a file of Keras 2: export the model "
                "to ONNX and convert that."
                if of_tensorflow
                else "Use layers of Keras instead, or load the file yourself with "
                "keras.saving.load_model and convert the model."
            )
        )


def _comes_with_keras(keras: Any, name: str, found: dict[str, Any]) -> bool:
    if name.startswith("__") and name.endswith("__"):
        return True
    module = found.get("module")
    if "module" not in found and name != "function":
        # As HDF5 files have it. Layers are looked up by this name, and nothing is imported.
        return name in _WITHOUT_MODULE or isinstance(getattr(keras.layers, name, None), type)
    if name == "function" and module == "builtins":
        module = "keras"
    if not isinstance(module, str) or module.partition(".")[0] != "keras":
        return False
    if name == "function":
        # Keras has other functions too, some of which open files.
        function = found.get("config")
        return isinstance(function, str) and hasattr(keras.activations, function)
    return True


def one_line(error: BaseException) -> str:
    """Return an error in one line that ends in a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 200 else f"{text[:200]}...").rstrip(".") + "."
