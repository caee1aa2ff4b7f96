"""Shapes that are written down: a list, a TOML file, a trained network."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spikeram.conversion.shapes.matrix import MatrixShape, Shapes
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork
from spikeram.errors import ConversionError, FileFormatError

_KEYS = ("name", "inputs", "outputs", "kind", "positions", "groups", "values", "rate", "count")


def from_list(layers: Iterable[Any], where: str = "The list of layers") -> Shapes:
    """Return the shapes in a list.

    Parameters
    ----------
    layers : iterable
        Of each layer ``(inputs, outputs)``, ``(inputs, outputs, positions)``, or a mapping with
        ``inputs``, ``outputs`` and, if wanted, ``name``, ``kind``, ``positions``, ``groups``,
        ``values`` (that drive it, all positions together), ``rate`` and ``count`` (layers like
        it, one after the other).
    where : str
        What errors call it.

    Examples
    --------
    >>> [matrix.name for matrix in from_list([(784, 512), (512, 10)]).matrices]
    ['layer_1', 'layer_2']
    """
    found: list[MatrixShape] = []
    for number, layer in enumerate(layers, start=1):
        entry = layer if isinstance(layer, Mapping) else _entry(layer, where, number)
        strange = sorted(set(entry) - set(_KEYS))
        missing = [key for key in ("inputs", "outputs") if key not in entry]
        if strange or missing:
            raise ConversionError(
                f"{where}: layer {number} expects inputs and outputs, and may have "
                f"{', '.join(key for key in _KEYS if key not in ('inputs', 'outputs'))}; got "
                f"{', '.join(map(str, entry)) or 'nothing'}."
            )
        name, count = str(entry.get("name", f"layer_{number}")), entry.get("count", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConversionError(f"{where}: layer {name!r} expects a count >= 1, got {count!r}.")
        for copy in range(count):
            found.append(
                MatrixShape(
                    name=name if count == 1 else f"{name}_{copy + 1}",
                    rows=entry["inputs"],
                    columns=entry["outputs"],
                    kind=str(entry.get("kind", "dense")),
                    positions=entry.get("positions", 1),
                    groups=entry.get("groups", 1),
                    inputs=entry.get("values", 0),
                    rate=entry.get("rate"),
                )
            )
    return Shapes(matrices=tuple(found), where=where)


def from_toml(path: Path) -> Shapes:
    """Return the shapes in a TOML file: a table ``[[layer]]`` for each, as in `from_list`."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        raise FileFormatError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileFormatError(f"{path} is no TOML file: {error}") from None
    layers = found.get("layer")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise FileFormatError(
            f"{path} expects tables [[layer]] with inputs and outputs, got "
            f"{', '.join(found) or 'nothing'}."
        )
    return from_list(layers, str(path))


def from_trained(network: TrainedNetwork, where: str = "The trained network") -> Shapes:
    """Return the shapes of a network that was read."""
    matrices = tuple(
        MatrixShape(
            name=node.name,
            kind="dense" if node.gather is None else "convolution",
            rows=node.weight.shape[0],
            columns=node.weight.shape[1],
            positions=node.n_positions,
            inputs=node.n_inputs,
        )
        for node in network.nodes
        if isinstance(node, TrainedLayer)
    )
    pools = Counter(type(n).__name__ for n in network.nodes if not isinstance(n, TrainedLayer))
    biases = sum(matrix.columns for matrix in matrices)
    return Shapes(matrices=matrices, weightless=pools, other_parameters=biases, where=where)


def _entry(layer: Any, where: str, number: int) -> Mapping[str, Any]:
    try:
        values = tuple(layer)
    except TypeError:
        values = ()
    if len(values) not in (2, 3):
        raise ConversionError(
            f"{where}: layer {number} expects (inputs, outputs) or (inputs, outputs, positions), "
            f"got {layer!r}."
        )
    return dict(zip(("inputs", "outputs", "positions"), values))
