"""An ONNX file, read with suspicion: it may come from anybody.

Nothing in it is run, what it claims is compared with the bytes that are there, and a path that it
names may not leave its folder.
"""

from __future__ import annotations

import graphlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import ConversionError, FileFormatError, MissingExtraError

MAX_BYTES = 2**30
"""Largest file, and largest sum of external weights, that is read [byte]."""

MAX_DEPTH = 16
"""Most control-flow bodies inside one another."""

OLDEST_OPSET = 7
"""Opset that gave arithmetic the broadcasting of numpy; earlier ones mean other things."""

ELEMENT_TYPES = {
    1: ("<f4", "float_data"),
    2: ("<u1", "int32_data"),
    3: ("<i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("<u1", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    16: ("<u2", "int32_data"),
}
"""By ONNX's number of an element type: how it lies in raw bytes, else the field that holds it."""

_BOOL, _HALF, _BRAIN_FLOAT = 9, 10, 16


@dataclass
class OnnxFile:
    """A parsed model and where it came from.

    Parameters
    ----------
    model : onnx.ModelProto
        The model, with its local functions put in place.
    where : str
        What errors call it.
    folder : Path or None
        Where its external weights may lie; None for a model that was never a file.
    n_bytes : int
        Its size [byte].
    opset : int
        Version of the standard operators that it uses.
    n_external : int
        Bytes of external weights that were read so far.
    """

    model: Any
    where: str
    folder: Path | None
    n_bytes: int
    opset: int = 0
    n_external: int = 0

    def tensor(self, tensor: Any) -> NDArray[Any]:
        """Return the values of a tensor that the file holds, or holds beside it.

        Raises
        ------
        FileFormatError
            If its shape and its bytes do not agree, or its path leaves the folder.
        """
        what = f"{self.where}: tensor {tensor.name!r}"
        shape = tuple(tensor.dims)
        if any(length < 0 for length in shape) or len(shape) > 16:
            raise FileFormatError(f"{what} has the impossible shape {_brief(shape)}.")
        if tensor.data_type not in ELEMENT_TYPES:
            raise FileFormatError(
                f"{what} has elements of type {tensor.data_type}, which are not read: export the "
                "model with float32 weights."
            )
        if tensor.HasField("segment"):
            raise FileFormatError(f"{what} is stored in segments, which are not read.")
        dtype, field = ELEMENT_TYPES[tensor.data_type]
        n_elements = math.prod(shape)
        n_bytes = n_elements * np.dtype(dtype).itemsize
        if tensor.data_location == 1:
            raw = self._external(tensor, what, n_bytes)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
        else:
            return _typed(getattr(tensor, field), tensor.data_type, shape, what)
        if len(raw) != n_bytes:
            raise FileFormatError(
                f"{what} of shape {_brief(shape)} needs {n_bytes} bytes, but {len(raw)} are there."
            )
        return _as_numbers(np.frombuffer(raw, dtype), tensor.data_type).reshape(shape)

    def _external(self, tensor: Any, what: str, n_bytes: int) -> bytes:
        entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            raise FileFormatError(
                f"{what} lies in the file {location!r}: give the path of the model, or load the "
                "model with its external data."
            )
        path = _inside(self.folder, location, what)
        offset = _count(entries.get("offset", "0"), "offset", what)
        size = path.stat().st_size
        length = _count(entries.get("length", str(max(size - offset, 0))), "length", what)
        if offset + length > size:
            raise FileFormatError(
                f"{what} claims bytes {offset} to {offset + length} of {location!r}, which has "
                f"{size}."
            )
        if length != n_bytes:
            raise FileFormatError(f"{what} needs {n_bytes} bytes of {location!r}, got {length}.")
        self.n_external += length
        if self.n_external > MAX_BYTES:
            raise FileFormatError(
                f"{self.where} has more than {MAX_BYTES} bytes of external weights."
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def printable(text: str, length: int = 120) -> str:
    """Return a name of the file as one line that a terminal takes for nothing but text."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= length else f"{line[: length - 3]}..."


def load(source: Any) -> OnnxFile:
    """Return the model of a path, or of an ``onnx.ModelProto``, ready to be walked through.

    Raises
    ------
    FileFormatError
        If the file is missing, too large, damaged or foreign.
    ConversionError
        If its opset is too old or too new.
    MissingExtraError
        If onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "Reading an ONNX model") from None
    if isinstance(source, (str, Path)):
        path = Path(source)
        data = _bytes(path)
        try:
            model = onnx.ModelProto.FromString(data)
        except Exception:  # each implementation of protobuf raises a class of its own
            raise FileFormatError(
                f"{path} is not an ONNX model, or it is damaged or cut short."
            ) from None
        file = OnnxFile(model, str(path), path.parent.resolve(), len(data))
    elif isinstance(source, onnx.ModelProto):
        file = OnnxFile(source, "This ONNX model", None, source.ByteSize())
    else:
        raise ConversionError(
            f"from_onnx expects a path or an onnx.ModelProto, got {type(source).__name__}."
        )
    if not file.model.HasField("graph") or not file.model.graph.output:
        raise FileFormatError(f"{file.where} is not an ONNX model: it holds no graph.")
    _check_depth(file)
    _check_text(file)
    file.opset = _opset(file)
    if file.model.functions:
        file.model = _inlined(file)
    return file


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise FileFormatError(f"There is no file {path}.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileFormatError(f"{path} has {size} bytes; at most {MAX_BYTES} are read.")
        return path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from None


def _opset(file: OnnxFile) -> int:
    from onnx.defs import onnx_opset_version

    found = [entry.version for entry in file.model.opset_import if entry.domain in ("", "ai.onnx")]
    if not found:
        raise FileFormatError(f"{file.where} does not say which opset it uses: it is damaged.")
    newest = onnx_opset_version()
    if not OLDEST_OPSET <= found[0] <= newest:
        raise ConversionError(
            f"{file.where} uses opset {found[0]}; {OLDEST_OPSET} to {newest} are read. "
            + (
                "Convert it with onnx.version_converter, or export it again."
                if found[0] < OLDEST_OPSET
                else "Install a newer onnx, or export it with an older opset."
            )
        )
    return int(found[0])


def _inside(folder: Path, location: str, what: str) -> Path:
    """Return the file of external weights, if it is one and lies inside the folder."""
    spellings = (PurePosixPath(location), PureWindowsPath(location))
    leaves = any(p.is_absolute() or p.drive or p.root or ".." in p.parts for p in spellings)
    try:
        path = (folder / location).resolve()
        if leaves or not path.is_relative_to(folder):
            raise FileFormatError(
                f"{what} names the file {location!r} outside the model's folder: path traversal "
                "is refused."
            )
        if path.is_file():
            return path
    except (OSError, RuntimeError):
        pass
    except ValueError as error:
        if isinstance(error, FileFormatError):
            raise
    raise FileFormatError(f"{what} lies in {location!r}, and there is no such file.")


def _count(text: str, name: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise FileFormatError(f"{what} has the impossible {name} {text[:40]!r}.")
    return int(text)


def _typed(field: Any, kind: int, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    if len(field) != math.prod(shape):
        raise FileFormatError(
            f"{what} of shape {_brief(shape)} needs {math.prod(shape)} elements, but {len(field)} "
            "are there."
        )
    dtype, _ = ELEMENT_TYPES[kind]
    if kind in (_HALF, _BRAIN_FLOAT):
        bits = np.array(field, np.int64).astype(np.uint16)
        return _as_numbers(bits.view(dtype), kind).reshape(shape)
    wide = {"f": np.float64, "i": np.int64, "u": np.uint64}[np.dtype(dtype).kind]
    if kind not in (12, 13) and wide is np.uint64:
        wide = np.int64
    return _as_numbers(np.array(field, wide).astype(dtype), kind).reshape(shape)


def _as_numbers(stored: NDArray[Any], kind: int) -> NDArray[Any]:
    if kind == _BOOL:
        return np.asarray(stored != 0)
    if kind == _BRAIN_FLOAT:
        # The upper half of a float32.
        return np.asarray((stored.astype(np.uint32) << 16).view(np.float32))
    return stored


def _brief(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 8 else f"of {len(shape)} axes"


def _bodies(nodes: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield every node with its depth, those in bodies of control flow included."""
    waiting = [(0, node) for node in nodes]
    while waiting:
        depth, node = waiting.pop()
        yield depth, node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend((depth + 1, inner) for inner in graph.node)


def _check_depth(file: OnnxFile) -> None:
    functions = (node for function in file.model.functions for node in function.node)
    for nodes in (file.model.graph.node, functions):
        for depth, _ in _bodies(nodes):
            if depth > MAX_DEPTH:
                raise FileFormatError(
                    f"{file.where} nests control flow more than {MAX_DEPTH} deep: it is refused."
                )


def _check_text(file: OnnxFile) -> None:
    graph = file.model.graph
    names: list[Any] = [value.name for value in (*graph.initializer, *graph.input, *graph.output)]
    functions = [node for function in file.model.functions for node in function.node]
    for _, node in _bodies((*graph.node, *functions)):
        names += (node.name, node.op_type, node.domain, *node.input, *node.output)
        names += (attribute.name for attribute in node.attribute)
    # protobuf passes on as bytes what is not UTF-8.
    if not all(isinstance(name, str) for name in names):
        raise FileFormatError(f"{file.where} is damaged: a name in it is not text.")


def _inlined(file: OnnxFile) -> Any:
    """Return the model with its local functions put in place of the nodes that call them."""
    from onnx import inliner

    def key(place: Any, name: str) -> tuple[str, str]:
        return place.domain, name

    functions = {key(f, f.name): f for f in file.model.functions}
    calls = {
        name: Counter(key(n, n.op_type) for _, n in _bodies(f.node))
        for name, f in functions.items()
    }
    # A function that calls another twice, which calls another twice, grows without bound.
    size: dict[tuple[str, str], int] = {}
    try:
        for name in graphlib.TopologicalSorter(calls).static_order():
            if name in functions:
                inner = sum(n * size.get(other, 0) for other, n in calls[name].items())
                size[name] = min(functions[name].ByteSize() + inner, MAX_BYTES)
    except graphlib.CycleError:
        raise FileFormatError(f"{file.where} has a function that calls itself.") from None
    used = Counter(key(n, n.op_type) for _, n in _bodies(file.model.graph.node))
    if sum(n * size.get(name, 0) for name, n in used.items()) > 4 * file.n_bytes + 2**26:
        raise FileFormatError(
            f"{file.where} grows beyond measure where its functions are expanded."
        )
    try:
        return inliner.inline_local_functions(file.model)
    except Exception as error:  # whatever the checks inside onnx raise
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileFormatError(f"{file.where} has functions that do not fit it: {line}") from None
