r"""Thresholds from activations: by percentile, or by least squares at a chosen T.

A neuron that integrates a constant drive :math:`a` for :math:`T` steps from half a threshold
fires :math:`\mathrm{clip}(\lfloor aT/\theta + 1/2\rfloor, 0, T)` times. A small threshold clips
large activations, a large one quantises small ones coarsely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERCENTILE = 99.9
"""Share of activations [%] that stay unclipped under percentile normalisation."""

FLOOR = 0.02
"""Least threshold of a channel as a share of its layer's: silent channels keep a finite one."""

_FACTORS = np.linspace(0.2, 1.0, 33)


def percentile(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each channel's `PERCENTILE` of all calibration data at once.

    Percentile normalisation after Rueckauer et al., Front. Neurosci. 11, 682 (2017), here for
    each channel, with no running average and so independent of the order of the data.

    Parameters
    ----------
    activation : ndarray of shape (sample, output)
        Activations, rectified.

    Returns
    -------
    ndarray of shape (output,)
    """
    return _floored(np.percentile(activation, PERCENTILE, axis=0), activation)


def least_squares(activation: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    r"""Return each channel's threshold of least squared error after `steps` steps.

    .. math:: \theta_c = \arg\min_\theta\ E\left[\left(\theta\,
              \mathrm{clip}\left(\lfloor a_c T/\theta + 1/2\rfloor / T, 0, 1\right)
              - a_c\right)^2\right]

    over 33 shares, from 0.2 to 1, of the channel's largest activation.

    Parameters
    ----------
    activation : ndarray of shape (sample, output)
        Activations, rectified.
    steps : int
        Number of steps T.

    Returns
    -------
    ndarray of shape (output,)
    """
    largest = activation.max(axis=0)
    candidates = _floored(largest, activation) * _FACTORS[:, np.newaxis]
    errors = np.stack([expected_error(activation, theta, steps) for theta in candidates])
    best = np.argmin(errors, axis=0)
    chosen: NDArray[np.float64] = candidates[best, np.arange(largest.size)]
    return chosen


def expected_error(
    activation: NDArray[np.float64], threshold: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    """Return each channel's mean squared error of rate coding with constant drive."""
    counts = np.clip(np.floor(activation * (steps / threshold) + 0.5), 0, steps)
    error: NDArray[np.float64] = np.mean((counts * (threshold / steps) - activation) ** 2, axis=0)
    return error


def _floored(
    threshold: NDArray[np.float64], activation: NDArray[np.float64]
) -> NDArray[np.float64]:
    whole = float(np.percentile(activation, PERCENTILE)) or float(activation.max())
    # A layer that is silent on all calibration data still needs a finite threshold.
    return np.maximum(threshold, FLOOR * whole if whole > 0 else 1.0)
