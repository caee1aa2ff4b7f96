r"""From values to drive or spikes: constant current, deterministic rates, Poisson spikes.

An input passes a digital-to-analog converter first: a share of the full scale, rounded to one
of `LEVELS` levels. What follows is integer arithmetic, so that an input means the same drive
and the same spikes in every engine and in any batch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.encoding import fill_poisson, fill_rate
from spikeram.charge import ChargeLayer
from spikeram.seeds import Purpose, Seed, key

Encoding: TypeAlias = Literal["current", "rate", "poisson"]

LEVELS = 256
"""Steps of the input converter from zero to full scale: 8 bits and a sign."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """What enters the first layer.

    Parameters
    ----------
    drive : int32 ndarray of shape (sample, output) or None
        Constant charge of every step into the first layer's neurons [quanta].
    spikes : int8 ndarray of shape (sample, step, input) or None
        Input spikes; one step later they reach the first layer.
    active_rows : int64 ndarray of shape (sample,)
        Row pairs that the input drives, summed over the steps.
    """

    drive: NDArray[np.int32] | None
    spikes: NDArray[np.int8] | None
    active_rows: NDArray[np.int64]


def input_levels(x: NDArray[np.float64], input_scale: float) -> NDArray[np.int16]:
    """Return inputs as converter levels in -`LEVELS` ... `LEVELS`.

    Parameters
    ----------
    x : ndarray of shape (sample, input)
        Inputs.
    input_scale : float
        Full scale. Values beyond it saturate, with a warning.
    """
    share = x / input_scale
    # Half a level above full scale still rounds to it.
    beyond = float(np.mean(np.abs(share) > 1 + 0.5 / LEVELS))
    if beyond > 0:
        warnings.warn(
            f"{beyond:.2%} of the input values lie beyond the full scale of {input_scale:g} and "
            "saturate. Scale the inputs as those of the calibration were.",
            stacklevel=2,
        )
    return np.clip(np.rint(share * LEVELS), -LEVELS, LEVELS).astype(np.int16)


def encode(
    levels: NDArray[np.int16],
    layer: ChargeLayer,
    *,
    steps: int,
    encoding: Encoding,
    seed: Seed | None = None,
    first_sample: int = 0,
) -> Stimulus:
    """Return the stimulus of the first layer.

    Parameters
    ----------
    levels : int16 ndarray of shape (sample, input)
        Converter levels.
    layer : ChargeLayer
        The first layer; its weights turn a constant current into charge.
    steps : int
        Number of steps.
    encoding : {"current", "rate", "poisson"}
        ``current``: an analog level on each row in every step. ``rate``: evenly spaced spikes,
        ``floor(T |x| + 1/2)`` of them. ``poisson``: independent spikes with probability ``|x|``
        a step. Negative inputs give spikes of sign -1.
    seed : int or numpy.random.SeedSequence, optional
        Needed for ``poisson``.
    first_sample : int
        Number of the first sample in the whole run: draws are addressed by it.
    """
    if encoding == "current":
        drive = np.rint(layer.sums(levels.astype(np.float64)) / LEVELS).astype(np.int32)
        rows = steps * ((levels != 0) @ layer.reuse)
        return Stimulus(drive=drive, spikes=None, active_rows=rows)
    spikes = np.zeros((levels.shape[0], steps, levels.shape[1]), np.int8)
    if encoding == "rate":
        fill_rate(levels, LEVELS, spikes)
    elif encoding == "poisson":
        if seed is None:
            raise ValueError("Poisson encoding draws random numbers: give a seed.")
        fill_poisson(key(seed, Purpose.ENCODING), first_sample, levels, LEVELS, spikes)
    else:
        raise ValueError(
            f"encoding expects one of {', '.join(get_args(Encoding))}, got {encoding!r}."
        )
    rows = np.abs(spikes).sum(axis=1, dtype=np.int64) @ layer.reuse
    return Stimulus(drive=None, spikes=spikes, active_rows=rows)
