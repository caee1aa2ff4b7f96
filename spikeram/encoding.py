r"""From values to drive or spikes: constant current, deterministic rates, Poisson spikes.

An input passes a digital-to-analog converter first: a share of the full scale, rounded to one
of `LEVELS` levels. What follows is integer arithmetic, so that an input means the same drive
and the same spikes in every engine and in any batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.encoding import fill_poisson, fill_rate, spike_counts
from spikeram.charge import ChargeLayer
from spikeram.pool import MaxPool
from spikeram.seeds import Purpose, Seed, key
from spikeram.wiring import INPUT, Wiring

Encoding: TypeAlias = Literal["current", "rate", "poisson"]

LEVELS = 256
"""Steps of the input converter from zero to full scale: 8 bits and a sign."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """What enters a network.

    Parameters
    ----------
    drive : mapping of str to int32 ndarray of shape (sample, output), or None
        Constant charge of every step into the neurons of each layer that reads the input [quanta].
    spikes : int8 ndarray of shape (sample, step, input) or None
        Input spikes; one step later they reach the layers that read them.
    active_rows : mapping of str to int64 ndarray of shape (sample,)
        Row pairs that the input drives in each of these layers, summed over the steps.
    """

    drive: Mapping[str, NDArray[np.int32]] | None
    spikes: NDArray[np.int8] | None
    active_rows: Mapping[str, NDArray[np.int64]]


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
    nodes: Sequence[ChargeLayer | MaxPool],
    *,
    steps: int,
    encoding: Encoding,
    seed: Seed | None = None,
    first_sample: int = 0,
) -> Stimulus:
    """Return the stimulus of a network.

    Parameters
    ----------
    levels : int16 ndarray of shape (sample, input)
        Converter levels.
    nodes : sequence of ChargeLayer and MaxPool
        The network. The weights of the layers that read the input turn a constant current into
        charge.
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
    wiring = Wiring(nodes)
    if encoding == "current":
        return _current(levels, wiring, steps)
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
    counts = spike_counts(spikes)
    rows = {layer.name: counts @ reuse for layer, reuse in _readers(wiring)}
    return Stimulus(drive=None, spikes=spikes, active_rows=rows)


def constant_drive(
    levels: NDArray[np.int16], layer: ChargeLayer, parts: Sequence[tuple[str, slice]]
) -> NDArray[np.int32]:
    """Return the charge that a constant input brings into a layer in each step.

    Parameters
    ----------
    levels : int16 ndarray of shape (sample, input)
        Converter levels.
    layer : ChargeLayer
        The layer.
    parts : sequence of (str, slice)
        Its sources and their places among its inputs, as `Wiring.parts` gives them.

    Returns
    -------
    int32 ndarray of shape (sample, output) [quanta]
    """
    values = np.zeros((levels.shape[0], layer.n_inputs))
    for source, part in parts:
        if source == INPUT:
            values[:, part] = levels
    return np.rint(layer.sums(values) / LEVELS).astype(np.int32)


def _current(levels: NDArray[np.int16], wiring: Wiring[ChargeLayer], steps: int) -> Stimulus:
    for node in wiring.nodes:
        if isinstance(node, MaxPool) and INPUT in wiring.sources[node.name]:
            raise ValueError(
                f"MaxPool {node.name!r} counts spikes, but the input is a constant current. Use "
                "encoding='rate'."
            )
    drive, rows = {}, {}
    for layer, reuse in _readers(wiring):
        drive[layer.name] = constant_drive(levels, layer, wiring.parts(layer.name))
        rows[layer.name] = steps * ((levels != 0) @ reuse)
    return Stimulus(drive=drive, spikes=None, active_rows=rows)


def _readers(wiring: Wiring[ChargeLayer]) -> list[tuple[ChargeLayer, NDArray[np.int64]]]:
    """Return the layers that read the input, and how many of their rows each input drives."""
    found = []
    for layer in wiring.layers:
        if INPUT in wiring.sources[layer.name]:
            parts = [part for source, part in wiring.parts(layer.name) if source == INPUT]
            reuse = layer.reuse
            found.append((layer, np.sum([reuse[part] for part in parts], axis=0)))
    return found
