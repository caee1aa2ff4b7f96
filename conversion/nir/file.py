"""NIR files: HDF5 with the nodes and edges of a graph, read and written without the nir package.

``/version`` is a string, ``/node`` the graph: ``type``, ``nodes/<name>/<parameter>``, ``edges``
of shape (edge, 2) and, at each node, ``metadata``. Nothing in a file ever runs, and links that
lead out of it are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.graph import Leaf, NIRGraph
from spikeram.conversion.nir.probe import problem_of
from spikeram.errors import ConversionError, FileFormatError
from spikeram.files import replacing

NODE_TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        nodes.Input, nodes.Output, nodes.Affine, nodes.Linear, nodes.Scale, nodes.Conv1d,
        nodes.Conv2d, nodes.SumPool2d, nodes.AvgPool2d, nodes.Flatten, nodes.Delay,
        nodes.Threshold, *neurons.NEURONS,
    )
}  # fmt: skip
"""The types of nodes that can be read, by the name in the file."""

MAX_BYTES = 2**32
"""Most bytes that the arrays of a file may take in memory."""

_WRITTEN_AS = "1.0.8"
_DEEPEST = 16

# What h5py raises on damaged bytes.
_UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError,
    OverflowError, UnicodeError, IndexError, RecursionError,
)  # fmt: skip


class _Reader:
    """One file being read: what was found that is unknown, and how much is in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unknown: list[str] = []
        self.bytes = 0

    def fail(self, problem: str) -> FileFormatError:
        return FileFormatError(f"{self.path} is not a readable NIR file: {problem}")

    def child(self, group: h5py.Group, name: str) -> Any:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise self.fail(f"{group.name}/{name} is a link out of its place, or missing.")
        return group[name]

    def value(self, dataset: h5py.Dataset) -> Any:
        if dataset.is_virtual or dataset.external:
            raise self.fail(f"{dataset.name} keeps its values in another file.")
        self.bytes += int(dataset.size or 0) * dataset.dtype.itemsize
        if self.bytes > MAX_BYTES:
            raise self.fail(f"its arrays take more than {MAX_BYTES / 2**30:.0f} GiB.")
        found = dataset[()]
        if isinstance(found, bytes):
            return found.decode("utf8")
        if isinstance(found, h5py.Empty):
            return np.zeros(0)
        if isinstance(found, np.ndarray) and found.dtype.kind in "OS":
            return np.array([_text(item) for item in found.ravel()]).reshape(found.shape)
        return found.item() if isinstance(found, np.generic) else found

    def metadata(self, group: h5py.Group, depth: int = 0) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise self.fail(f"metadata is nested more than {_DEEPEST} deep.")
        result: dict[str, Any] = {}
        for name in group:
            item = self.child(group, name)
            inside = isinstance(item, h5py.Group)
            result[name] = self.metadata(item, depth + 1) if inside else self.value(item)
        return result

    def parameters(self, group: h5py.Group) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name in group:
            item = self.child(group, name)
            if name == "metadata":
                result[name] = self.metadata(item) if isinstance(item, h5py.Group) else {}
            elif isinstance(item, h5py.Dataset):
                result[name] = self.value(item)
        return result

    def node(self, group: h5py.Group, name: str, depth: int) -> Leaf | NIRGraph | None:
        """Return a node, or None where its type is unknown."""
        if not isinstance(group, h5py.Group) or "type" not in group:
            raise self.fail(f"node {name!r} has no type.")
        kind = self.value(self.child(group, "type"))
        if kind == "NIRGraph":
            return self.graph(group, name, depth)
        if kind not in NODE_TYPES:
            self.unknown.append(f"{name!r} of type {kind!r}")
            return None
        known = {entry.name: entry for entry in fields(NODE_TYPES[kind])}
        given = self.parameters(group)
        chosen = {key: value for key, value in given.items() if key in known}
        missing = [
            key
            for key, entry in known.items()
            if key not in chosen and entry.default is MISSING and entry.default_factory is MISSING
        ]
        if missing:
            raise self.fail(f"node {name!r} of type {kind} has no {', '.join(missing)}.")
        try:
            node: Leaf = NODE_TYPES[kind](**chosen)
        except ValueError as error:
            raise self.fail(f"node {name!r}: {error}") from None
        return node

    def graph(self, group: h5py.Group, name: str, depth: int = 0) -> NIRGraph:
        if depth > _DEEPEST:
            raise self.fail(f"graphs are nested more than {_DEEPEST} deep.")
        inside = self.child(group, "nodes")
        found = {
            key: self.node(self.child(inside, key), f"{name}/{key}" if name else key, depth + 1)
            for key in inside
        }
        edges = np.asarray(self.value(self.child(group, "edges")))
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind != "U"):
            raise self.fail(f"edges expect pairs of names, got an array of shape {edges.shape}.")
        if self.unknown:
            # Edges name what is missing; the caller says so once, for the whole file.
            return NIRGraph(nodes={}, edges=())
        metadata = group.get("metadata")
        try:
            return NIRGraph(
                nodes={key: node for key, node in found.items() if node is not None},
                edges=tuple((str(a), str(b)) for a, b in edges) if edges.size else (),
                metadata=self.metadata(metadata) if isinstance(metadata, h5py.Group) else {},
            )
        except ValueError as error:
            raise self.fail(f"{error}") from None


def read(path: str | Path) -> NIRGraph:
    """Return the graph in a NIR file, of any version of the format.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FileFormatError
        If it is missing, damaged or foreign.
    ConversionError
        If it holds nodes of types that are not known; all of them are named.
    """
    reader = _Reader(Path(path))
    if not Path(path).is_file():
        raise FileFormatError(f"There is no file {path}.")
    problem = problem_of(Path(path), most_bytes=MAX_BYTES)
    if problem:
        raise reader.fail(problem)
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file:
                raise reader.fail("it has no group 'node'.")
            root = reader.child(file, "node")
            kind = reader.value(reader.child(root, "type"))
            if kind != "NIRGraph":
                raise reader.fail(f"it holds a single {kind}, not a graph.")
            graph = reader.graph(root, "")
            version = str(reader.value(file["version"])) if "version" in file else ""
    except FileFormatError:
        raise
    except _UNREADABLE as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise reader.fail(line) from None
    if reader.unknown:
        raise ConversionError(
            f"{path} holds nodes that cannot be read: {', '.join(reader.unknown)}. "
            f"Known are {', '.join([*NODE_TYPES, 'NIRGraph'])}."
        )
    return NIRGraph(nodes=graph.nodes, edges=graph.edges, metadata=graph.metadata, version=version)


def write(path: str | Path, graph: NIRGraph, *, dtype: str = "float64") -> None:
    """Write a graph to a NIR file; the file is whole or not there at all.

    Parameters
    ----------
    path : str or Path
        The file, by convention ``.nir``.
    graph : NIRGraph
        The graph.
    dtype : {"float64", "float32"}
        Precision of the parameters; frameworks on PyTorch expect float32.
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype expects 'float64' or 'float32', got {dtype!r}.")
    with replacing(path) as scratch, h5py.File(scratch, "w") as file:
        file.create_dataset("version", data=graph.version or _WRITTEN_AS, dtype=_string())
        _write_graph(file.create_group("node"), graph, dtype)


def _write_graph(group: h5py.Group, graph: NIRGraph, dtype: str) -> None:
    group.create_dataset("type", data="NIRGraph", dtype=_string())
    inside = group.create_group("nodes")
    for name, node in graph.nodes.items():
        if not name or "/" in name:
            raise ValueError(f"Names of nodes expect no '/', got {name!r}.")
        part = inside.create_group(name)
        if isinstance(node, NIRGraph):
            _write_graph(part, node, dtype)
            continue
        part.create_dataset("type", data=type(node).__name__, dtype=_string())
        for entry in fields(node):
            value = getattr(node, entry.name)
            if entry.name == "metadata":
                _write_metadata(part, value)
            elif value is not None:
                _write_value(part, entry.name, value, dtype)
    edges = np.array(graph.edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=edges, dtype=_string())
    _write_metadata(group, graph.metadata)


def _write_metadata(group: h5py.Group, metadata: Mapping[str, Any], key: str = "metadata") -> None:
    if not metadata:
        return
    inside = group.create_group(key)
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            _write_metadata(inside, value, name)
        elif value is not None:
            _write_value(inside, name, value, "float64")


def _write_value(group: h5py.Group, name: str, value: Any, dtype: str) -> None:
    if isinstance(value, str):
        group.create_dataset(name, data=value, dtype=_string())
        return
    array = np.asarray(value)
    if array.dtype.kind in "US":
        group.create_dataset(name, data=array.astype(object), dtype=_string())
        return
    if array.dtype.kind == "f":
        array = array.astype(dtype)
    packed = {"compression": "gzip"} if array.size > 64 else {}
    group.create_dataset(name, data=array, **packed)


def _text(item: Any) -> str:
    return item.decode("utf8") if isinstance(item, bytes) else str(item)


def _string() -> Any:
    return h5py.string_dtype()
