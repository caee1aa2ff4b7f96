"""Parameters of NIR nodes: read from anything that holds numbers, checked, and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
Metadata: TypeAlias = Mapping[str, Any]


def as_array(value: ArrayLike, who: str) -> Array:
    """Return finite floats that nobody can change, or say what came instead."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{who} expects numbers, got something else.") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{who} expects finite numbers, got NaN or infinity.")
    array.setflags(write=False)
    return array


def as_shape(value: ArrayLike, who: str) -> Shape:
    """Return a shape as a tuple of integers >= 1."""
    sizes = as_integers(value, who)
    if any(size < 1 for size in sizes):
        raise ValueError(f"{who} expects sizes >= 1, got {sizes}.")
    return sizes


def as_pair(value: ArrayLike, who: str, least: int) -> Pair:
    """Return one integer, or two, as a pair of integers of at least `least`."""
    sizes = as_integers(value, who)
    pair = sizes * 2 if len(sizes) == 1 else sizes
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(f"{who} expects one or two integers >= {least}, got {sizes}.")
    return pair[0], pair[1]


def as_integers(value: ArrayLike, who: str) -> tuple[int, ...]:
    """Return one integer, or several, as a tuple."""
    array = np.atleast_1d(np.asarray(value))
    if array.ndim != 1 or array.dtype.kind not in "iuf" or np.any(array != np.floor(array)):
        raise ValueError(f"{who} expects integers, got {value!r}.")
    return tuple(int(size) for size in array)


def broadcasting(who: str, parameters: Shape, shape: Shape) -> Shape:
    """Return `shape`, or say that parameters of another shape do not fit it."""
    try:
        fits = np.broadcast_shapes(parameters, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{who} has parameters of shape {parameters}, but inputs of {shape}.")
    return shape


def set_weight(node: Any, ndim: int, more: bool = False) -> None:
    """Check and freeze the weights of a node; `more` axes may stand in front."""
    who = type(node).__name__
    weight = as_array(node.weight, f"{who}.weight")
    if weight.ndim < ndim or (weight.ndim > ndim and not more) or 0 in weight.shape:
        least = "at least " if more else ""
        raise ValueError(f"{who} expects weights of {least}{ndim} axes, got {weight.shape}.")
    object.__setattr__(node, "weight", weight)


def set_bias(node: Any, shape: Shape) -> None:
    """Check and freeze the biases of a node."""
    who = type(node).__name__
    bias = as_array(node.bias, f"{who}.bias")
    if bias.shape != shape:
        raise ValueError(f"{who} expects a bias of shape {shape}, got {bias.shape}.")
    object.__setattr__(node, "bias", bias)
