"""Measures of intervals while the spikes still come, in memory that does not grow with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels import statistics as kernels
from spikeram.statistics.intervals import REFRACTORINESS
from spikeram.units import Quantity, Second, as_si

_STATE = 5


class StreamingMeasures:
    r"""Counts, rates and measures of intervals of spikes taken up piece by piece.

    Nine numbers for each train stand for all its spikes. The values are those of
    `spikeram.statistics.interval_measures` on the whole, and do not depend on how it is cut.

    Parameters
    ----------
    n_trains : int
        Number of spike trains.
    refractoriness : Second
        The constant R of the revised local variation [s].

    Examples
    --------
    >>> measures = StreamingMeasures(2)
    >>> measures.add([0.1, 0.2, 0.3], [0, 1, 0])
    >>> measures.add([0.5, 0.9], [0, 0])
    >>> measures.result()["n_spikes"].values.tolist()
    [4, 1]
    """

    def __init__(self, n_trains: int, *, refractoriness: Quantity = REFRACTORINESS) -> None:
        if n_trains < 1:
            raise ValueError(f"StreamingMeasures expects n_trains >= 1, got {n_trains}.")
        self._refractoriness: Second = as_si(refractoriness, "s", "refractoriness")
        self._last = np.full(n_trains, np.nan)
        self._before = np.full(n_trains, np.nan)
        self._n = np.zeros(n_trains, np.int64)
        self._pairs = np.zeros(n_trains, np.int64)
        self._sums = np.zeros((n_trains, _STATE))

    def add(self, t: ArrayLike, train: ArrayLike) -> None:
        """Take up spikes.

        Parameters
        ----------
        t : array_like of shape (event,)
            Their times [s]; those of each train ascend, from one piece to the next as well.
        train : array_like of shape (event,)
            The train of each, counted from 0.

        Raises
        ------
        ValueError
            If a time goes back in its train, or there is no such train. What came before the spike
            that is refused has been taken up.
        """
        times, trains = np.asarray(t, dtype=np.float64), np.asarray(train, dtype=np.int64)
        if times.ndim != 1 or times.shape != trains.shape:
            raise ValueError(
                f"add expects a time and a train for each spike, got shapes {times.shape} and "
                f"{trains.shape}."
            )
        if trains.size and not (0 <= trains.min() and trains.max() < self._n.size):
            raise ValueError(
                f"add expects trains from 0 to {self._n.size - 1}, got {trains.min()} to "
                f"{trains.max()}."
            )
        taken = kernels.fold_spikes(
            times, trains, self._refractoriness, self._last, self._before, self._n, self._pairs,
            self._sums,
        )  # fmt: skip
        if taken < times.size:
            raise ValueError(
                f"add expects the times of each train to ascend, but train {trains[taken]} has "
                f"{times[taken]} s after {self._last[trains[taken]]} s."
            )

    def result(self, duration: Quantity | None = None) -> xr.Dataset:
        """Return the measures of the spikes so far.

        Parameters
        ----------
        duration : Second, optional
            Length of the recording [s], for rates.

        Returns
        -------
        xarray.Dataset of dims (train,)
            `n_spikes`, `n_intervals`, `n_pairs`, `mean_interval` [s], `variance` [s2], `cv`, `cv2`,
            `lv`, `lvr`, and with a duration `rate` [Hz].
        """
        n = np.maximum(self._n - 1, 0)
        mean, squares, absolute, local, revised = self._sums.T
        variance = _ratio(squares, n)
        spread = np.where(n >= 2, np.sqrt(variance), np.nan)
        found = {
            "n_spikes": (self._n.copy(), "1"),
            "n_intervals": (n, "1"),
            "n_pairs": (self._pairs.copy(), "1"),
            "mean_interval": (np.where(n > 0, mean, np.nan), "s"),
            "variance": (variance, "s2"),
            "cv": (_ratio(spread, mean), "1"),
            "cv2": (2 * _ratio(absolute, self._pairs), "1"),
            "lv": (3 * _ratio(local, self._pairs), "1"),
            "lvr": (3 * _ratio(revised, self._pairs), "1"),
        }
        if duration is not None:
            found["rate"] = (self._n / as_si(duration, "s", "duration"), "Hz")
        return xr.Dataset(
            {name: ("train", values, {"units": units}) for name, (values, units) in found.items()}
        )


def _ratio(part: NDArray[np.float64], whole: NDArray[Any]) -> NDArray[np.float64]:
    value = np.full(part.shape, np.nan)
    np.divide(part, whole, out=value, where=whole > 0)
    return value
