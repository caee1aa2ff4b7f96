"""AEDAT 4 files of event cameras, read by the package aedat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import FileFormatError, MissingExtraError


def read_aedat(path: str | os.PathLike[str]) -> tuple[NDArray[Any], int, int]:
    """Return the events of a file, and its sensor's width and height.

    Parameters
    ----------
    path : path-like
        The file, with one stream of events; frames and other streams are left out.

    Returns
    -------
    events, width, height : structured ndarray, int, int
        Fields t [us], from 0 for the first event, x, y and on.

    Raises
    ------
    FileFormatError
        If the file is damaged, no AEDAT 4, or has no stream of events or several.
    """
    try:
        import aedat
    except ImportError:
        raise MissingExtraError("aedat", "aedat", "Reading AEDAT files") from None
    if not Path(path).exists():
        raise FileFormatError(f"There is no file {path}.")
    try:
        decoder = aedat.Decoder(str(path))
        streams = decoder.id_to_stream()
        packets = [(p["stream_id"], p["events"]) for p in decoder if "events" in p]
    # The package raises Exception itself on bytes that it cannot read.
    except Exception as error:
        raise FileFormatError(f"{path} is damaged, or no AEDAT 4 file: {error}") from error
    cameras = [n for n, stream in streams.items() if stream["type"] == "events"]
    if len(cameras) != 1:
        raise FileFormatError(f"{path} expects one stream of events, but has {len(cameras)}.")
    parts = [events for n, events in packets if n == cameras[0]]
    if not parts:
        raise FileFormatError(f"{path} holds no events.")
    events = np.concatenate(parts)
    events["t"] -= events["t"].min()
    return events, int(streams[cameras[0]]["width"]), int(streams[cameras[0]]["height"])
