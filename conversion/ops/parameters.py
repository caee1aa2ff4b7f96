"""Checks that the parameters of all operations share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.arrays import frozen
from spikeram.errors import ConversionError


def finite(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return parameters as frozen floats, or say how many of them are not finite."""
    try:
        array = frozen(values)
    except (TypeError, ValueError):
        raise ConversionError(f"{what} expects numbers, got something else.") from None
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ConversionError(
            f"{what} expects finite values, got {bad} that are NaN or infinite. "
            "Did the training diverge?"
        )
    return array


def checked_weight(weight: ArrayLike, what: str, n_axes: Sequence[int]) -> NDArray[np.float64]:
    """Return a weight array of one of the given numbers of axes, none of them empty."""
    array = finite(weight, f"{what}, weights:")
    if array.ndim not in n_axes or 0 in array.shape:
        raise ConversionError(
            f"{what} expects weights with {' or '.join(map(str, n_axes))} axes, none of them "
            f"empty, got {array.shape}."
        )
    return array


def checked_bias(bias: ArrayLike | None, n_outputs: int, what: str) -> NDArray[np.float64]:
    """Return one bias for each output: zeros for None."""
    if bias is None:
        return frozen(np.zeros(n_outputs))
    array = finite(bias, f"{what}, biases:")
    if array.shape != (n_outputs,):
        raise ConversionError(f"{what} expects biases of shape ({n_outputs},), got {array.shape}.")
    return array


def per_axis(value: int | Sequence[int], n_axes: int, what: str, least: int) -> tuple[int, ...]:
    """Return one number, or one for each axis, as a tuple."""
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or numbers.size not in (1, n_axes):
        raise ConversionError(f"{what} expects one integer, or {n_axes}, got {value!r}.")
    if numbers.min() < least:
        raise ConversionError(f"{what} expects integers >= {least}, got {value!r}.")
    return tuple(int(n) for n in np.broadcast_to(numbers, n_axes))


def per_side(
    value: int | Sequence[int] | Sequence[tuple[int, int]], n_axes: int, what: str
) -> tuple[tuple[int, int], ...]:
    """Return padding as (before, after) along each axis, from one number, one each, or pairs."""
    numbers = np.asarray(value)
    if numbers.ndim == 2 and numbers.shape == (n_axes, 2) and numbers.dtype.kind in "iu":
        if numbers.min() < 0:
            raise ConversionError(f"{what} expects integers >= 0, got {value!r}.")
        return tuple((int(before), int(after)) for before, after in numbers)
    return tuple((n, n) for n in per_axis(value, n_axes, what, 0))  # type: ignore[arg-type]
