"""Files of trained weights: where they are shipped, and what their headers say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import FileFormatError
from spikeram.files import Header, read_npz

Variant: TypeAlias = Literal["noise", "plain"]
"""Trained with noise on its weights, or without."""

VERSION = 1
"""Version of the files' formats."""


class TrainingHeader(Header):
    """What is known of weights in a file.

    Parameters
    ----------
    network : str
        Name of the network.
    recipe : dict
        How they were trained.
    seed : int
        From which seed.
    data : str
        What they were trained and tested on.
    versions : dict of str to str
        With which versions.
    """

    network: str
    recipe: dict[str, Any]
    seed: int
    data: str
    versions: dict[str, str]


_Header = TypeVar("_Header", bound=TrainingHeader)


def shipped(name: str, variant: Variant) -> Path:
    """Return the file of a network's weights that are shipped."""
    return Path(__file__).with_name(f"{name}{'' if variant == 'noise' else '_plain'}.npz")


def remedy(name: str) -> str:
    """Return what to do where a network's weights cannot be read."""
    return f"Train them: python -m spikeram.models.networks.{name} train"


def read_weights(
    path: str | Path, header: type[_Header], *, kind: str, name: str
) -> tuple[Mapping[str, NDArray[np.generic]], _Header]:
    """Return the arrays and the header of a network's file.

    Parameters
    ----------
    path : path-like
        The file.
    header : type
        Its header's class.
    kind : str
        Its format.
    name : str
        Name of the network.

    Raises
    ------
    FileFormatError
        If it is missing, damaged, or holds another network's weights.
    """
    arrays, found = read_npz(path, header, kind=kind, version=VERSION)
    if found.network != name:
        raise FileFormatError(
            f"{path} holds weights of {found.network!r}, expected {name!r}. {remedy(name)}"
        )
    return arrays, found
