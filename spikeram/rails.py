"""Whether membranes meet the rails in a run: saturation is explicit, and this counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.rails import count_clipped
from spikeram.charge import ChargeLayer
from spikeram.clocked import charge_of, clocked, incoming
from spikeram.draws import noise_keys, read_keys, readings
from spikeram.encoding import Encoding, Stimulus, checked_trains, encode, input_levels
from spikeram.pool import MaxPool
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.seeds import Seed
from spikeram.simulation import Model
from spikeram.wiring import INPUT, Wiring

SAMPLES_AT_A_TIME = 64
"""Most samples at a time; the result does not depend on it."""


def clipped(
    model: Model,
    x: ArrayLike,
    *,
    steps: int | None = None,
    encoding: Encoding = "current",
    seed: Seed | None = None,
) -> xr.DataArray:
    """Return the share of steps in which the membranes of each layer met a rail.

    The run is that of `spikeram.simulation.simulate` with the same arguments; its spikes are the
    same.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs. An ideal network has no rails.
    x, steps, encoding, seed
        As for `simulate`.

    Returns
    -------
    xarray.DataArray of dims (trial, layer)
        Of all neurons of a layer and all steps of its window.
    """
    network, layers = model.network, model.charge_layers()
    nodes = network.charged(layers)
    levels: NDArray[np.int16 | np.int8]
    if encoding == "spikes":
        levels = checked_trains(x, network.n_inputs, steps)
        n_steps = levels.shape[1]
    else:
        n_steps = network.steps_or(steps)
        levels = input_levels(network.checked_input(x), network.input_scale)
    keys = noise_keys(layers, seed, model.index)
    read_from = read_keys(layers, seed, model.index)
    shares = []
    for first in range(0, levels.shape[0], SAMPLES_AT_A_TIME):
        some = levels[first : first + SAMPLES_AT_A_TIME]
        given = encode(some, nodes, steps=n_steps, encoding=encoding, seed=seed, first_sample=first)
        reading = readings(nodes, None if given.drive is None else some, read_from)
        activity = clocked(
            nodes, given.drive, given.spikes, steps=n_steps, first_sample=first, keys=keys,
            readings=reading,
        )  # fmt: skip
        shares.append(_shares(nodes, given, activity, keys, reading, first))
    return xr.DataArray(
        np.concatenate(shares),
        dims=("trial", "layer"),
        coords={
            "trial": np.arange(levels.shape[0]),
            "layer": np.array([layer.name for layer in layers], dtype=np.str_),
        },
        attrs={"units": "1", "long_name": "share of steps at a rail"},
    )


def _shares(
    nodes: Sequence[ChargeLayer | MaxPool],
    given: Stimulus,
    activity: Activity,
    keys: Sequence[np.uint64],
    reading: Mapping[str, Reading],
    first: int,
) -> NDArray[np.float64]:
    """Return the share of steps at a rail, of shape (sample, layer)."""
    wiring = Wiring(nodes)
    trains = dict(zip((layer.name for layer in wiring.layers), activity.spikes))
    if given.spikes is not None:
        trains[INPUT] = given.spikes
    own_keys = dict(zip((layer.name for layer in wiring.layers), keys))
    shares = []
    for node in nodes:
        if isinstance(node, MaxPool):
            trains[node.name] = node.spikes(trains[wiring.sources[node.name][0]])
            continue
        spikes = trains[node.name]
        arriving = incoming(wiring, node.name, trains)
        charge = np.zeros((*spikes.shape[:2], node.n_outputs), np.int32)
        if arriving is not None:
            charge += charge_of(node, arriving)
        if node.name in reading:
            reading[node.name].add_to(charge, arriving, first_sample=first)
        drive = None if given.drive is None else given.drive.get(node.name)
        key = own_keys.get(node.name, np.uint64(0))
        met = [
            _met(node, charge[s], None if drive is None else drive[s], spikes[s], key, first + s)
            for s in range(spikes.shape[0])
        ]
        shares.append(np.sum(met, axis=1) / (spikes.shape[1] * node.n_outputs))
    return np.stack(shares, axis=1)


def _met(
    layer: ChargeLayer,
    charge: NDArray[np.int32],
    drive: NDArray[np.int32] | None,
    spikes: NDArray[np.int8],
    key: np.uint64,
    sample: int,
) -> NDArray[np.int64]:
    """Return in how many steps of one sample each membrane met a rail."""
    met = np.zeros(layer.n_outputs, np.int64)
    bias = layer.bias if drive is None else layer.bias + drive
    count_clipped(
        charge, bias, layer.threshold, layer.negative, layer.rail,
        layer.spikes == "signed", layer.reset == "subtract", layer.decay, key, sample,
        layer.sigma_noise, layer.kick, spikes, layer.initial.copy(), met,
    )  # fmt: skip
    return met
