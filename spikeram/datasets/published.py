"""Published files: where they are looked for, fetched from, and what they must be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikeram.errors import DataError, FileFormatError, MissingExtraError
from spikeram.files import UNREADABLE


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of a data set, as its authors publish it.

    Parameters
    ----------
    folder : str
        Folder of the set in ``$SPIKERAM_DATA`` and in the cache.
    name : str
        Name of the file.
    url : str
        Where it is published.
    checksum : str
        Algorithm and digest: ``"md5:..."`` or ``"sha256:..."``.
    """

    folder: str
    name: str
    url: str
    checksum: str


def at_hand(folder: str, name: str) -> Path | None:
    """Return a file of ``$SPIKERAM_DATA/folder``; None where it is not there.

    Raises
    ------
    DataError
        If SPIKERAM_DATA does not name a folder.
    """
    root = os.environ.get("SPIKERAM_DATA")
    if not root:
        return None
    if not Path(root).is_dir():
        raise DataError(f"SPIKERAM_DATA names {root}, which is not a folder. Correct the path.")
    path = Path(root, folder, name)
    return path if path.exists() else None


def obtain(file: PublishedFile) -> Path:
    """Return where a published file lies; it is fetched where it is nowhere.

    It is looked for in ``$SPIKERAM_DATA``, then in the cache ``pooch.os_cache("spikeram")``.

    Raises
    ------
    FileFormatError
        If the file in ``$SPIKERAM_DATA`` is not the published one.
    DataError
        If it is nowhere and cannot be fetched.
    """
    own = at_hand(file.folder, file.name)
    if own is not None:
        _verify(own, file.checksum)
        return own
    root = os.environ.get("SPIKERAM_DATA")
    looked = [str(Path(root, file.folder))] if root else []
    try:
        return _fetch(file, looked)
    except MissingExtraError as error:
        reason: Exception = error
    except (OSError, ValueError) as error:
        reason = error
    data = "" if root else " SPIKERAM_DATA is not set."
    raise DataError(
        f"{file.name} is not in {' or '.join(looked) or 'any folder'}.{data} Fetching it from "
        f"{file.url} failed: {reason} Set SPIKERAM_DATA to a folder that holds "
        f"{file.folder}/{file.name}, or try again with a connection and "
        "pip install 'spikeram[data]'."
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say which file is damaged where the block cannot read it.

    Raises
    ------
    FileFormatError
        In place of what the readers of damaged bytes raise.
    """
    try:
        yield
    except FileFormatError:
        raise
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise FileFormatError(f"{path} is damaged: {reason}") from None


def _fetch(file: PublishedFile, looked: list[str]) -> Path:
    pooch = _pooch()
    cache = Path(pooch.os_cache("spikeram"), file.folder)
    looked.append(str(cache))
    return Path(
        pooch.retrieve(
            file.url,
            file.checksum,
            fname=file.name,
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=True),
        )
    )


def _verify(path: Path, checksum: str) -> None:
    algorithm, expected = checksum.split(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from None
    if found != expected:
        raise FileFormatError(
            f"{path} is not the published file: expects {algorithm} {expected}, got {found}. "
            "Remove it or put the published one there."
        )


def _pooch() -> Any:
    try:
        import pooch
    except ImportError:
        raise MissingExtraError("pooch", "data", "Fetching a data set") from None
    return pooch
