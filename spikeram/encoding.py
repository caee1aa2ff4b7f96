r"""From values to drive or spikes: constant currents, rates, Poisson spikes, latencies, changes.

An input passes a digital-to-analog converter first: a share of the full scale, rounded to one
of `LEVELS` levels. What follows is integer arithmetic, so that an input means the same drive
and the same spikes in every engine and in any batch. Inputs that are spikes already, from a sensor
or from `delta`, pass no converter: one spike is worth the full scale.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.encoding import fill_drive, fill_latency, fill_poisson, fill_rate
from spikeram.charge import ChargeLayer
from spikeram.network import checked_steps
from spikeram.pool import MaxPool
from spikeram.seeds import Purpose, Seed, key
from spikeram.wiring import INPUT, Wiring

Encoding: TypeAlias = Literal["current", "rate", "poisson", "ttfs", "spikes"]

LEVELS = 256
"""Steps of the input converter from zero to full scale: 8 bits and a sign."""

_MOST_LISTED = 5


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


def checked_trains(x: ArrayLike, n_inputs: int, steps: int | None) -> NDArray[np.int8]:
    """Return inputs that are spikes already, or say what is wrong with them.

    Parameters
    ----------
    x : array_like of shape (sample, step, input)
        Spikes -1, 0 or 1 of any type. Axes after the second are flattened.
    n_inputs : int
        Number of inputs of the network.
    steps : int or None
        Number of steps asked for: that of the trains, or None.

    Returns
    -------
    int8 ndarray of shape (sample, step, input)
    """
    values = np.asarray(x)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"encoding='spikes' expects spikes -1, 0 or 1, got {values.dtype}.")
    if values.ndim < 3 or math.prod(values.shape[2:]) != n_inputs:
        raise ValueError(
            f"encoding='spikes' expects x of shape (sample, step, {n_inputs}), as the network has "
            f"{n_inputs} inputs, got {values.shape}. Values without steps are encoded by 'current' "
            "or 'rate'."
        )
    if 0 in values.shape[:2]:
        raise ValueError(
            f"encoding='spikes' expects at least one sample and one step, got {values.shape}."
        )
    strange = values[~((values == 0) | (values == 1) | (values == -1))]
    if strange.size:
        some = ", ".join(f"{value:g}" for value in np.unique(strange)[:_MOST_LISTED])
        raise ValueError(
            f"encoding='spikes' expects spikes -1, 0 or 1, got {some} among others. "
            "spikeram.encoding.delta makes spikes of signals."
        )
    if steps is not None and checked_steps(steps) != values.shape[1]:
        raise ValueError(
            f"encoding='spikes' runs the {values.shape[1]} steps that x has, got steps={steps}. "
            "Leave steps out, or cut x."
        )
    return values.reshape(*values.shape[:2], n_inputs).astype(np.int8)


def delta(signal: ArrayLike, threshold: float) -> NDArray[np.int8]:
    r"""Return spikes for the changes of signals: send-on-delta encoding.

    With the signal :math:`x_k` and the spikes :math:`s_k`, of which each sends one threshold
    :math:`\theta`, the receiver knows :math:`y_k = x_0 + \theta \sum_{m \le k} s_m`, and

    .. math::

        s_0 = 0, \qquad
        s_k = \mathrm{sgn}(x_k - y_{k-1})\, [\,|x_k - y_{k-1}| \ge \theta\,].

    There is at most one spike a step; what a larger change leaves is sent in later steps. A signal
    that moves by no more than one threshold a step is known to less than one threshold. A pixel of
    a dynamic vision sensor does this to the logarithm of its light: Lichtsteiner, Posch and
    Delbruck, IEEE J. Solid-State Circuits 43, 566 (2008).

    Parameters
    ----------
    signal : array_like of shape (sample, step, input)
        Signals; further axes are kept.
    threshold : float
        Change that one spike sends, in units of the signal.

    Returns
    -------
    int8 ndarray of shape (sample, step, input)
        Spikes -1, 0 or 1, for ``encoding="spikes"``.

    Examples
    --------
    >>> delta([[[0.0], [0.4], [1.2], [1.2], [0.1]]], 0.5)[0, :, 0]
    array([ 0,  0,  1,  1, -1], dtype=int8)
    """
    values = np.asarray(signal)
    if values.dtype.kind not in "biuf" or values.ndim < 3:
        raise ValueError(
            "delta expects numbers of shape (sample, step, input), got "
            f"{values.dtype} of shape {values.shape}."
        )
    if not 0 < threshold < math.inf:
        raise ValueError(f"delta expects a finite threshold > 0, got {threshold}.")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError("delta expects finite values, got NaN or infinity.")
    moved = values - values[:, :1]
    spikes = np.zeros(values.shape, np.int8)
    # Whole spikes, not a running sum of thresholds, which would add up rounding errors.
    sent = np.zeros(moved.shape[:1] + moved.shape[2:], np.int64)
    for k in range(1, values.shape[1]):
        up, down = moved[:, k] >= threshold * (sent + 1), moved[:, k] <= threshold * (sent - 1)
        spikes[:, k] = up.astype(np.int8) - down
        sent += spikes[:, k]
    return spikes


def encode(
    levels: NDArray[np.int16 | np.int8],
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
        Converter levels. For ``spikes``: int8 ndarray of shape (sample, step, input), the spikes
        themselves, as `checked_trains` returns them.
    nodes : sequence of ChargeLayer and MaxPool
        The network. The weights of the layers that read the input turn a constant current into
        charge.
    steps : int
        Number of steps.
    encoding : {"current", "rate", "poisson", "ttfs", "spikes"}
        ``current``: an analog level on each row in every step. ``rate``: evenly spaced spikes,
        ``N = floor(T |x| + 1/2)`` of them. ``poisson``: independent spikes with probability
        ``|x|`` a step. ``ttfs``: one event in step ``T - N``, counted from 0, and none for
        ``N = 0``; see the notes. ``spikes``: what is given. Negative inputs give spikes of sign
        -1.
    seed : int or numpy.random.SeedSequence, optional
        Needed for ``poisson``.
    first_sample : int
        Number of the first sample in the whole run: draws are addressed by it.

    Notes
    -----
    With ``ttfs`` an input says how large it is by when it spikes first: the larger, the earlier. A
    latch keeps its word line driven from then on, which makes the persistent synapses of Rueckauer
    and Liu (ISCAS 2018, the base form of their time to first spike). Their latency is the inverse
    of the value; here it falls linearly, so that after T steps the charge of ``rate`` has arrived,
    most of it late. `Stimulus.spikes`, recordings and energy hold what drives rows: all steps from
    the event on. Of events there are as many as inputs that spike at all.
    """
    wiring = Wiring(nodes)
    if encoding == "current":
        return _current(levels.astype(np.int16, copy=False), wiring, steps)
    if encoding == "spikes":
        if levels.ndim != 3 or levels.shape[1] != steps:
            raise ValueError(
                f"encoding='spikes' expects spikes of shape (sample, {steps}, input), got "
                f"{levels.shape}."
            )
        return _spiking(levels.astype(np.int8, copy=False), wiring)
    trains = input_trains(
        levels, steps=steps, encoding=encoding, seed=seed, first_sample=first_sample
    )
    return _spiking(trains, wiring)


def input_trains(
    levels: NDArray[np.int16 | np.int8],
    *,
    steps: int,
    encoding: Encoding,
    seed: Seed | None = None,
    first_sample: int = 0,
    piece: range | None = None,
) -> NDArray[np.int8]:
    """Return input spikes of shape (sample, step, input), or those of some steps.

    Parameters
    ----------
    levels, steps, encoding, seed, first_sample
        As for `encode`; any encoding but a constant current.
    piece : range, optional
        Consecutive steps, counted from 0; by default all.
    """
    some = range(steps) if piece is None else piece
    if encoding == "spikes":
        return levels[:, some.start : some.stop].astype(np.int8, copy=False)
    spikes = np.zeros((levels.shape[0], len(some), levels.shape[1]), np.int8)
    if encoding == "rate":
        fill_rate(levels, LEVELS, some.start, spikes)
    elif encoding == "poisson":
        if seed is None:
            raise ValueError("Poisson encoding draws random numbers: give a seed.")
        purpose = key(seed, Purpose.ENCODING)
        fill_poisson(purpose, some.start, first_sample, levels, LEVELS, spikes)
    elif encoding == "ttfs":
        fill_latency(levels, LEVELS, steps, some.start, spikes)
    else:
        raise ValueError(
            f"encoding expects one of {', '.join(get_args(Encoding))}, got {encoding!r}."
        )
    return spikes


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
    values = np.zeros((levels.shape[0], layer.n_inputs + 1), np.int16)
    for source, part in parts:
        if source == INPUT:
            values[:, part] = levels
    if layer.gather is None or layer.gather.n_taps > 1:
        return np.rint(layer.sums(values[:, :-1].astype(np.float64)) / LEVELS).astype(np.int32)
    drive = np.empty((levels.shape[0], layer.n_columns, layer.n_positions), np.int32)
    fill_drive(values, layer.gather.inputs, layer.weight, LEVELS, drive)
    return drive.reshape(levels.shape[0], -1)


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


def _spiking(spikes: NDArray[np.int8], wiring: Wiring[ChargeLayer]) -> Stimulus:
    counts = (spikes != 0).sum(axis=1, dtype=np.int64)
    rows = {layer.name: counts @ reuse for layer, reuse in _readers(wiring)}
    return Stimulus(drive=None, spikes=spikes, active_rows=rows)


def _readers(wiring: Wiring[ChargeLayer]) -> list[tuple[ChargeLayer, NDArray[np.int64]]]:
    """Return the layers that read the input, and how many of their rows each input drives."""
    found = []
    for layer in wiring.layers:
        if INPUT in wiring.sources[layer.name]:
            parts = [part for source, part in wiring.parts(layer.name) if source == INPUT]
            reuse = layer.reuse
            found.append((layer, np.sum([reuse[part] for part in parts], axis=0)))
    return found
