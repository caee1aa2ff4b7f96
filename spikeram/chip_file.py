"""Programmed chips in files: saved, they age and are programmed again another day.

An ``.npz`` file holds every array once, and one JSON header with the rest: classes by name, with
their fields. Only classes listed here are ever made, through their own constructors, so that what
they refuse a file cannot bring in; nothing in a file runs. Fields that a file lacks take their
defaults, so that files outlive fields that are added.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.chip import ProgrammedChip, ProgrammedLayer
from spikeram.errors import FileFormatError
from spikeram.files import Header, check_output, read_npz, write_npz
from spikeram.layer import Layer

_FORMAT = "spikeram-chip"
_VERSION = 1

_CLASSES = {
    "ProgrammedChip": "spikeram.chip",
    "ProgrammedLayer": "spikeram.chip",
    "Chip": "spikeram.chip",
    "Written": "spikeram.write_verify",
    "WriteVerify": "spikeram.write_verify",
    "Crossbar": "spikeram.crossbar",
    "SamplingNeuron": "spikeram.neuron",
    "EnergyModel": "spikeram.energy",
    "Mapping": "spikeram.placement",
    "Placement": "spikeram.placement",
    "Footprint": "spikeram.placement",
    "Stack": "spikeram.placement",
    "AnalogTerms": "spikeram.analog",
    "ColumnErrors": "spikeram.analog",
    "PartialSums": "spikeram.partial",
    "Wires": "spikeram.parasitics",
    "SinhCell": "spikeram.parasitics",
    "Faults": "spikeram.faults",
    "LayerFaults": "spikeram.faults",
    "RRAMDevice": "spikeram.device",
    "IdealDevice": "spikeram.device",
    "GaussianDevice": "spikeram.device",
    "Relaxation": "spikeram.device",
    "QuantileRelaxation": "spikeram.device",
    "SpikingNetwork": "spikeram.network",
    "Layer": "spikeram.layer",
    "MaxPool": "spikeram.pool",
    "Gather": "spikeram.gather",
}
"""What a file may hold, and where it lives. The names are those in files: never rename."""

_MOST_TIMES_G_MAX = 20.0
"""Conductances beyond so many times the device's largest are in another unit."""


class _ChipHeader(Header):
    chip: str


def save_chip(chip: ProgrammedChip, path: str | os.PathLike[str]) -> None:
    """Write a programmed chip to an ``.npz`` file; the file is whole or not there at all.

    Parameters
    ----------
    chip : ProgrammedChip
        What to save: network, chip, and the state of every cell.
    path : path-like
        Where to; what is there is replaced.

    Raises
    ------
    TypeError
        If the chip has a part that files have no name for, such as a device of your own.
    """
    if not isinstance(chip, ProgrammedChip):
        raise TypeError(f"save_chip expects a ProgrammedChip, got {type(chip).__name__}.")
    check_output(path)
    arrays: dict[str, NDArray[np.generic]] = {}
    text = json.dumps(_Encoder(arrays)(chip))
    write_npz(Path(path), _ChipHeader(format=_FORMAT, version=_VERSION, chip=text), arrays)


def load_chip(path: str | os.PathLike[str]) -> ProgrammedChip:
    """Return the chip that `save_chip` wrote; it fires the same spikes to the bit.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, foreign, from a newer version, or says what no chip can
        be.
    """
    arrays, header = read_npz(Path(path), _ChipHeader, kind=_FORMAT, version=_VERSION)
    try:
        chip = _decoded(json.loads(header.chip), arrays)
        if not isinstance(chip, ProgrammedChip):
            raise ValueError(f"it holds a {type(chip).__name__}, no programmed chip")
        _check(chip)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged or foreign: {error}") from None
    return chip


class _Encoder:
    """Turn values into plain JSON, and arrays into references to `arrays`."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        self._arrays = arrays
        self._names: dict[int, str] = {}

    def __call__(self, value: object) -> object:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, np.ndarray):
            return {"array": self._named(value)}
        if isinstance(value, tuple):
            return {"tuple": [self(one) for one in value]}
        if isinstance(value, list):
            return [self(one) for one in value]
        if isinstance(value, Mapping):
            return {"mapping": [[self(key), self(one)] for key, one in value.items()]}
        if isinstance(value, np.random.SeedSequence):
            return {"seed": [self(value.entropy), list(value.spawn_key)]}
        return self._of_class(value)

    def _of_class(self, value: object) -> object:
        kind = type(value)
        if not is_dataclass(value) or kind is not _known(kind.__name__):
            raise TypeError(
                f"save_chip cannot save a {kind.__module__}.{kind.__name__}: files hold what "
                f"spikeram itself has. Keep what it was made from, and program it again."
            )
        held = {f.name: self(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"class": kind.__name__, "fields": held}

    def _named(self, array: NDArray[np.generic]) -> str:
        # The chip holds every array while it is encoded, so that no two have the same id.
        name = self._names.setdefault(id(array), f"a{len(self._names)}")
        self._arrays[name] = array
        return name


def _decoded(value: object, arrays: Mapping[str, NDArray[np.generic]]) -> object:
    if isinstance(value, list):
        return [_decoded(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"class", "fields"}:
        kind = _known(value["class"])
        if kind is None:
            raise ValueError(f"no class {value['class']!r} is known")
        held = {name: _decoded(one, arrays) for name, one in value["fields"].items()}
        return kind(**held)
    (tag,) = value
    content = value[tag]
    if tag == "array":
        return arrays[content]
    if tag == "float":
        return float(content)
    if tag == "tuple":
        return tuple(_decoded(one, arrays) for one in content)
    if tag == "mapping":
        return {_decoded(key, arrays): _decoded(one, arrays) for key, one in content}
    if tag == "seed":
        entropy, spawn_key = content
        return np.random.SeedSequence(entropy, spawn_key=tuple(spawn_key))
    raise ValueError(f"no value is tagged {tag!r}")


def _known(name: object) -> Any:
    """Return the class of a name in files; None where there is none."""
    module = _CLASSES.get(name) if isinstance(name, str) else None
    return None if module is None else getattr(import_module(module), str(name))


def _check(chip: ProgrammedChip) -> None:
    """Refuse what no chip can be, though each of its parts could."""
    if len(chip.layers) != len(chip.network.layers):
        raise ValueError(
            f"the network has {len(chip.network.layers)} layers, the chip {len(chip.layers)}"
        )
    most = _MOST_TIMES_G_MAX * chip.chip.device.g_max
    for layer, programmed in zip(chip.network.layers, chip.layers):
        who = f"layer {layer.name!r}"
        _check_cells(programmed, most, who)
        columns = (layer.n_columns,)
        for name in ("unit", "gain", "offset"):
            values = getattr(programmed, name)
            if values.shape != columns or not np.all(np.isfinite(values)):
                raise ValueError(f"{who} expects finite {name} of shape {columns}")
        if not np.all(programmed.unit > 0) or np.any(programmed.gain == 0):
            raise ValueError(f"{who} expects units > 0 and gains other than 0")
        _check_rows(layer, programmed, who)
    if not any(programmed.digital.size for programmed in chip.layers):
        # Weights, thresholds and biases in quanta: whatever does not fit together fails here.
        chip.charge_layers()


def _check_rows(layer: Layer, programmed: ProgrammedLayer, who: str) -> None:
    rows, digital = layer.weight.shape[0], programmed.digital
    inside = digital.ndim == 1 and digital.dtype.kind == "i" and np.unique(digital).size
    if digital.size and not (
        inside == digital.size and 0 <= digital.min() and digital.max() < rows
    ):
        raise ValueError(f"{who} expects digital shortcuts among its {rows} rows, each once")
    k = programmed.pairs_per_weight
    held = programmed.n_held * len(programmed.crossbar.segments)
    cells = k * (rows - digital.size) + programmed.n_bias + held
    if programmed.target.shape[1] != cells:
        raise ValueError(f"{who} expects {cells} pairs of rows, got {programmed.target.shape[1]}")


def _check_cells(layer: ProgrammedLayer, most: float, who: str) -> None:
    cells, shape = layer.cells, layer.target.shape
    conductances = {
        "target": layer.target,
        "conductance": layer.crossbar.conductance,
        "conductance just after programming": cells.programmed,
        "present conductance": cells.conductance,
    }
    for name, g in conductances.items():
        if g.shape != shape or g.dtype.kind != "f":
            raise ValueError(f"{who} expects its {name} as floats of shape {shape}, got {g.shape}")
        if not np.all((g >= 0) & (g <= most)):
            raise ValueError(
                f"{who} expects its {name} between 0 and {most:g} S, got {np.nanmin(g):g} to "
                f"{np.nanmax(g):g} S or NaN; conductances are in siemens"
            )
    for name in ("n_pulses", "n_reversals", "age", "episode", "timed_out"):
        values = getattr(cells, name)
        if values.shape != shape or values.dtype.kind not in "biuf" or not np.all(values >= 0):
            raise ValueError(f"{who} expects its {name} of shape {shape} and >= 0")
