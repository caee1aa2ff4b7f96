"""Arrays in ``.npz`` files: plain numbers and one JSON header; nothing in a file ever runs."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from spikeram.errors import FileFormatError

_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class Header(BaseModel, extra="forbid", strict=True):
    """What the first array of a file says about the others.

    Parameters
    ----------
    format : str
        What kind of file it is.
    version : int
        Version of the format.
    """

    format: str
    version: int


_Header = TypeVar("_Header", bound=Header)


def write_npz(path: str | Path, header: Header, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays with their header; the file is whole or not there at all."""
    target = Path(path)
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".npz", delete=False) as file:
        np.savez_compressed(file, header=np.array(header.model_dump_json()), **arrays)  # type: ignore[arg-type]
    os.chmod(file.name, 0o644)
    os.replace(file.name, target)


def read_npz(
    path: str | Path, header: type[_Header], *, kind: str, version: int
) -> tuple[dict[str, NDArray[np.generic]], _Header]:
    """Return the arrays and the header of a file that `write_npz` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    header : type
        The header's class.
    kind : str
        The format that is expected.
    version : int
        The newest version that can be read.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of another kind or from a newer version.
    """
    arrays = _read_arrays(path)
    text = str(arrays.pop("header", ""))
    try:
        found = Header.model_validate_json(text, extra="ignore")
    except ValidationError:
        raise FileFormatError(f"{path} expects the format {kind!r}, got none.") from None
    if found.format != kind:
        raise FileFormatError(f"{path} expects the format {kind!r}, got {found.format!r}.")
    if found.version > version:
        raise FileFormatError(
            f"{path} has version {found.version} of its format; this spikeram reads up to "
            f"{version}. Install a newer spikeram."
        )
    try:
        return arrays, header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileFormatError(f"{path} is damaged: {where}: {first['msg']}.") from None


def take(
    arrays: Mapping[str, NDArray[np.generic]], name: str, path: str | Path
) -> NDArray[np.float64]:
    """Return one array of a file as floats, or say that it is missing."""
    if name not in arrays:
        raise FileFormatError(f"{path} is damaged: it has no array {name!r}.")
    return np.asarray(arrays[name], dtype=np.float64)


def load_samples(path: str | Path) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    """Return inputs and, where the file holds them, labels.

    Parameters
    ----------
    path : str or Path
        ``.npz`` with an array ``x`` of shape (sample, ...) and, if wanted, ``y`` of shape
        (sample,); or ``.npy`` with the inputs alone.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no ``x``.
    """
    arrays = _read_arrays(path)
    if "x" not in arrays:
        raise FileFormatError(
            f"{path} expects an array called 'x', got {', '.join(arrays) or 'none'}."
        )
    x, y = arrays["x"], arrays.get("y")
    if x.ndim == 0 or (y is not None and y.shape != x.shape[:1]):
        got = "no labels" if y is None else f"y {y.shape}"
        raise FileFormatError(
            f"{path} expects one label for each sample: x has shape {x.shape}, {got}."
        )
    return x, y


def _read_arrays(path: str | Path) -> dict[str, NDArray[np.generic]]:
    try:
        with Path(path).open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except FileNotFoundError:
        raise FileFormatError(f"There is no file {path}.") from None
    except _UNREADABLE as error:
        raise FileFormatError(f"{path} is not a readable .npz or .npy file: {error}") from None
