"""Files that are whole or not there, and arrays in ``.npz`` files.

An ``.npz`` file holds plain numbers and one JSON header; nothing in a file ever runs.
"""

from __future__ import annotations

import lzma
import os
import signal
import struct
import tempfile
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from spikeram.errors import FileFormatError

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What numpy, zipfile, the decompressors and the parser of array headers raise on damaged bytes."""


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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield another name to write a file or folder under; it is renamed when it is whole.

    What stood at `path` before stays as it was until then, and where the block fails.

    Parameters
    ----------
    path : path-like
        What the file or folder is called in the end.

    Raises
    ------
    ValueError
        As `check_output`.
    OSError
        If it cannot be written; the message names `path`.
    """
    target = Path(path)
    check_output(target, folder=target.is_dir())
    try:
        # On the same disk, so that renaming is one step.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            scratch = Path(folder, f"new{target.suffix}")
            yield scratch
            _rename(scratch, target)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path} could not be written: {reason}.") from error


def _rename(scratch: Path, target: Path) -> None:
    if not scratch.is_dir():
        os.replace(scratch, target)
        return
    # A folder cannot be renamed onto one that is not empty: the old one steps aside first.
    aside = scratch.with_name("old")
    exists = target.exists()
    if exists:
        os.replace(target, aside)
    try:
        os.replace(scratch, target)
    except OSError:
        if exists:
            os.replace(aside, target)
        raise


def check_output(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Check that a file can be written under a name, before long work.

    Parameters
    ----------
    path : path-like
        The file.
    folder : bool
        Whether `path` may be a folder, which is replaced.

    Raises
    ------
    ValueError
        If there is no folder to write it in, or that cannot be written to, or there is a
        folder in its place.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise ValueError(f"There is no folder {target.parent} to save {target.name} in. Make it.")
    if target.is_dir() and not folder:
        raise ValueError(f"{path} is a folder. Give the name of a file.")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written: {error.strerror or error}. Choose another folder."
        ) from None


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while the block runs and deliver it afterwards.

    Only the main thread gets Ctrl-C: in others, and where something other than Python handles
    it, the block runs as it is.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if arrived:
            signal.raise_signal(signal.SIGINT)


def write_npz(path: str | Path, header: Header, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays with their header; the file is whole or not there at all."""
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, header=np.array(header.model_dump_json()), **arrays)  # type: ignore[arg-type]


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
    arrays = read_arrays(path)
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
    if arrays[name].dtype.kind not in "biuf":
        raise FileFormatError(
            f"{path} expects numbers as array {name!r}, got {arrays[name].dtype}."
        )
    return np.asarray(arrays[name], dtype=np.float64)


def load_samples(path: str | Path) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    """Return inputs and, where the file holds them, labels or targets.

    Parameters
    ----------
    path : str or Path
        ``.npz`` with an array ``x`` of shape (sample, ...) and, if wanted, ``y`` of shape
        (sample,) or (sample, output); or ``.npy`` with the inputs alone.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no ``x``.
    """
    arrays = read_arrays(path)
    if "x" not in arrays:
        raise FileFormatError(
            f"{path} expects an array called 'x', got {', '.join(arrays) or 'none'}."
        )
    x, y = arrays["x"], arrays.get("y")
    fits = y is None or (y.ndim in (1, 2) and y.shape[:1] == x.shape[:1])
    if x.ndim == 0 or not fits:
        got = "no labels" if y is None else f"y {y.shape}"
        raise FileFormatError(
            f"{path} expects one label, or one row of targets, for each sample: "
            f"x has shape {x.shape}, {got}."
        )
    return x, y


def read_arrays(path: str | Path) -> dict[str, NDArray[np.generic]]:
    """Return all arrays of an ``.npz`` file, or the one of an ``.npy`` file as ``x``.

    Raises
    ------
    FileFormatError
        If the file is missing or damaged.
    """
    try:
        with Path(path).open("rb") as file:
            # Without these bytes numpy takes anything for a pickle, and says so.
            if not file.peek(6).startswith((b"PK", b"\x93NUMPY")):
                raise ValueError("it does not begin as such a file does.")
            loaded = np.load(file, allow_pickle=False)
            return {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except FileNotFoundError:
        raise FileFormatError(f"There is no file {path}.") from None
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise FileFormatError(f"{path} is not a readable .npz or .npy file: {reason}") from None
