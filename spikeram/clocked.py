"""The clocked engine: node by node on whole spike trains, samples shared out to threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import burst as bursts
from spikeram._kernels.crossbar import charge_of_patches, charge_of_spikes
from spikeram._kernels.neuron import (
    digitise_batch,
    integrate_batch,
    integrate_noisy_batch,
    integrate_signed_batch,
)
from spikeram.burst import arriving as most_arriving
from spikeram.charge import ChargeLayer
from spikeram.layer import Layer
from spikeram.pool import MaxPool
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.wiring import INPUT, Wiring

DENSE_ACTIVITY = 0.25
"""Share of active inputs above which one matrix product beats adding rows (see benchmarks)."""

DENSE_SIZE = 2**18
"""Weights of the smallest layer that takes the product: below, calling it costs more."""

_CACHED_CHARGES = 2**18

_SAMPLES_OF_A_THREAD = 16

_KINDS = {"unipolar": bursts.UNIPOLAR, "ternary": bursts.TERNARY, "signed": bursts.SIGNED}


def clocked(
    nodes: Sequence[ChargeLayer | MaxPool],
    drive: Mapping[str, NDArray[np.int32]] | None,
    spikes: NDArray[np.int8] | None,
    *,
    steps: int,
    first_sample: int = 0,
    keys: Sequence[np.uint64] = (),
    readings: Mapping[str, Reading] = MappingProxyType({}),
    threads: int | None = None,
) -> Activity:
    """Return the activity of a batch: node by node, samples shared out to threads.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        From input to output, every node after its sources.
    drive : mapping of str to int32 ndarray of shape (sample, output), or None
        Constant charge of every step into each layer that reads the input [quanta].
    spikes : int8 ndarray of shape (sample, step, input) or None
        Input spikes. Exactly one of `drive` and `spikes` is given.
    steps : int
        Number of steps.
    first_sample : int
        Number of the first sample in the whole run: noise is addressed by it.
    keys : sequence of numpy.uint64
        Key of each layer's noise; may be empty when no layer draws.
    readings : mapping of str to Reading
        Of each layer whose cells fluctuate, what draws its read noise.
    threads : int, optional
        Number of threads; by default one for each processor. Results do not depend on it.
    """
    wiring = Wiring(nodes)
    layers = wiring.layers
    n_samples = checked_stimulus(wiring, drive, spikes)
    if any(layer.noisy for layer in layers) and len(keys) != len(layers):
        raise ValueError(f"Noisy layers expect {len(layers)} keys, one for each, got {len(keys)}.")
    check_readings(layers, readings)
    fired = {layer.name: np.empty((n_samples, steps, layer.n_outputs), np.int8) for layer in layers}
    trace = np.empty((n_samples, steps, layers[-1].n_outputs), np.int32)
    noise_keys = dict(zip((layer.name for layer in layers), keys))
    done = wiring.last_readers()
    most = most_arriving(wiring)

    def run(block: slice) -> None:
        """Run a block of samples through all nodes."""
        trains = {} if spikes is None else {INPUT: spikes[block]}
        for node in nodes:
            if isinstance(node, MaxPool):
                (source,) = wiring.sources[node.name]
                trains[node.name] = node.spikes(trains[source])
            else:
                arriving = incoming(wiring, node.name, trains)
                last = node is layers[-1]
                trains[node.name] = fired[node.name][block]
                out = trains[node.name]
                charge = (
                    _no_charge(out)
                    if arriving is None
                    else _charge(arriving, node, most[node.name])
                )
                if node.read is not None:
                    if arriving is None:
                        charge = np.zeros(out.shape, np.int32)
                    first = first_sample + block.start
                    readings[node.name].some(block).add_to(charge, arriving, first_sample=first)
                _integrate(
                    node,
                    charge,
                    _bias(node, drive, block),
                    noise_keys.get(node.name),
                    first_sample + block.start,
                    out,
                    trace[block] if last else trace[block, :0],
                )
            for name in done[node.name]:
                trains.pop(name, None)

    _in_threads(run, n_samples, steps * max(layer.n_outputs for layer in layers), threads)
    return Activity(spikes=tuple(fired[layer.name] for layer in layers), membrane=trace)


def checked_stimulus(
    wiring: Wiring[ChargeLayer],
    drive: Mapping[str, NDArray[np.int32]] | None,
    spikes: NDArray[np.int8] | None,
) -> int:
    """Return the number of samples of a stimulus, or say what is wrong with it.

    Parameters
    ----------
    wiring : Wiring
        The nodes to run.
    drive, spikes : mapping of ndarray, ndarray or None
        As for `clocked`.
    """
    if (drive is None) == (spikes is None):
        raise ValueError("An engine expects either drive or spikes, got both or neither.")
    wiring.check_sizes()
    if spikes is not None:
        return int(spikes.shape[0])
    readers = [layer.name for layer in wiring.layers if INPUT in wiring.sources[layer.name]]
    if drive is None or set(drive) != set(readers):
        raise ValueError(
            f"An engine expects a drive for each layer that reads the input ({', '.join(readers)}),"
            f" got {', '.join(drive or ())}."
        )
    return int(drive[readers[0]].shape[0])


def check_readings(layers: Sequence[ChargeLayer], readings: Mapping[str, Reading]) -> None:
    """Refuse to leave the read noise of a layer out."""
    missing = [layer.name for layer in layers if layer.read is not None]
    missing = [name for name in missing if name not in readings]
    if missing:
        raise ValueError(
            f"An engine expects a reading for each layer whose cells fluctuate, but has none for "
            f"{', '.join(missing)}."
        )


def incoming(
    wiring: Wiring[ChargeLayer] | Wiring[Layer], name: str, trains: Mapping[str, NDArray[np.int8]]
) -> NDArray[np.int8] | None:
    """Return the spikes of all sources of a layer; None where a constant input alone drives it.

    Parameters
    ----------
    wiring : Wiring
        The network.
    name : str
        The layer.
    trains : mapping of str to int8 ndarray of shape (sample, step, output)
        Spikes of each source. Without those of the input, its part is silent.

    Returns
    -------
    int8 ndarray of shape (sample, step, input) or None
    """
    parts = wiring.parts(name)
    found = [trains[source] for source, _ in parts if source in trains]
    if not found:
        return None
    if len(parts) == 1:
        return found[0]
    width = parts[-1][1].stop
    joined = np.zeros((*found[0].shape[:2], width), np.int8)
    for source, part in parts:
        if source in trains:
            joined[..., part] = trains[source]
    return joined


def charge_of(layer: ChargeLayer, spikes: NDArray[np.int8], most: int = 1) -> NDArray[np.int32]:
    """Return the charge that spikes bring into a layer in each step.

    Parameters
    ----------
    layer : ChargeLayer
        The layer.
    spikes : int8 ndarray of shape (sample, step, input)
        Spikes of its sources, one source after the other.
    most : int
        Most spikes of one input in a step.

    Returns
    -------
    int32 ndarray of shape (sample, step, output) [quanta]
    """
    if spikes.ndim != 3 or spikes.shape[2] != layer.n_inputs:
        raise ValueError(
            f"charge_of expects spikes of shape (sample, step, {layer.n_inputs}), got "
            f"{spikes.shape}."
        )
    n_samples, steps, _ = spikes.shape
    charge = np.empty((n_samples, steps, layer.n_outputs), np.int32)

    def run(block: slice) -> None:
        """Add up a block of samples."""
        charge[block] = _charge(spikes[block], layer, most)

    _in_threads(run, n_samples, steps * layer.n_outputs)
    return charge


def fire(
    layer: ChargeLayer,
    charge: NDArray[np.int32] | None,
    drive: NDArray[np.int32] | None = None,
    *,
    steps: int | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return the spikes of a layer, without its noise, for the charge that arrives.

    Parameters
    ----------
    layer : ChargeLayer
        The layer; its bias is added in every step.
    charge : int32 ndarray of shape (sample, step, output) or None
        Charge of the spikes of each step, as `charge_of` returns it [quanta].
    drive : int32 ndarray of shape (sample, output) or None
        Constant charge of every step besides [quanta].
    steps : int, optional
        Number of steps, needed where there is no `charge`.

    Returns
    -------
    spikes : int8 ndarray of shape (sample, step, output)
        Its spikes.
    membrane : int32 ndarray of shape (sample, output)
        Membranes after the last step [quanta].
    """
    if charge is None:
        if drive is None or steps is None:
            raise ValueError("fire expects a charge, or else a drive and a number of steps.")
        charge = _no_charge(drive)
    else:
        steps = charge.shape[1]
    quiet = layer.quiet
    given = None if drive is None else {layer.name: drive}
    n_samples, n_steps = charge.shape[0], steps
    spikes = np.empty((n_samples, n_steps, layer.n_outputs), np.int8)
    membrane = np.empty((n_samples, layer.n_outputs), np.int32)

    def run(block: slice) -> None:
        """Integrate a block of samples."""
        some = spikes[block]
        membrane[block] = _integrate(
            quiet, charge[block], _bias(quiet, given, block), None, 0, some, _no_charge(some)
        )

    _in_threads(run, n_samples, n_steps * layer.n_outputs)
    return spikes, membrane


def _no_charge(like: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return the charge of no steps, for as many samples and neurons."""
    return np.empty((like.shape[0], 0, like.shape[-1]), np.int32)


def _in_threads(
    run: Callable[[slice], None], n_samples: int, cells: int, threads: int | None = None
) -> None:
    """Run blocks of samples whose charges, `cells` integers each, stay in the cache."""
    size = max(1, min(_SAMPLES_OF_A_THREAD, _CACHED_CHARGES // cells))
    blocks = [slice(s, min(s + size, n_samples)) for s in range(0, n_samples, size)]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        # list() waits, and raises what a thread raised.
        list(pool.map(run, blocks))


def _bias(
    layer: ChargeLayer, drive: Mapping[str, NDArray[np.int32]] | None, block: slice
) -> NDArray[np.int32]:
    """Return what a layer integrates in every step, of shape (sample or 1, output)."""
    bias = layer.bias[np.newaxis]
    if drive is None or layer.name not in drive:
        return bias
    return np.asarray(bias + drive[layer.name][block], dtype=np.int32)


def _integrate(
    layer: ChargeLayer,
    charge: NDArray[np.int32],
    bias: NDArray[np.int32],
    noise_key: np.uint64 | None,
    first: int,
    spikes: NDArray[np.int8],
    trace: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Run the neurons of one layer on their charge, writing `spikes` and `trace`.

    Returns the membranes after the last step, of shape (sample, output).
    """
    u = np.tile(layer.initial, (spikes.shape[0], 1))
    ternary, subtract = layer.spikes == "ternary", layer.reset == "subtract"
    own_key = np.uint64(0) if noise_key is None else noise_key
    if layer.digits:
        digitise_batch(
            charge, bias, layer.threshold, layer.rail, layer.digits, own_key, first,
            layer.sigma_noise, layer.kick, u, spikes, trace,
        )  # fmt: skip
    elif layer.burst > 1:
        bursts.integrate_bursts_batch(
            charge, bias, layer.threshold, layer.negative, layer.rail, layer.burst,
            _KINDS[layer.spikes], own_key, first, layer.sigma_noise, layer.kick, u, spikes, trace,
        )  # fmt: skip
    elif layer.spikes == "signed":
        integrate_signed_batch(
            charge, bias, layer.threshold, layer.negative, layer.rail, own_key, first,
            layer.sigma_noise, layer.kick, u, spikes, trace,
        )  # fmt: skip
    elif layer.noisy or layer.decay < 1:
        integrate_noisy_batch(
            charge, bias, layer.threshold, layer.rail, ternary, subtract, layer.decay, own_key,
            first, layer.sigma_noise, layer.kick, u, spikes, trace,
        )  # fmt: skip
    else:
        integrate_batch(
            charge, bias, layer.threshold, layer.rail, ternary, subtract, u, spikes, trace
        )
    return u


def _charge(spikes: NDArray[np.int8], layer: ChargeLayer, most: int) -> NDArray[np.int32]:
    """Return the charge of each step: rows added where few spiked, a product where many did."""
    n_samples, steps, n_inputs = spikes.shape
    flat = spikes.reshape(-1, n_inputs)
    if layer.gather is not None:
        charge = np.empty((flat.shape[0], layer.n_columns, layer.n_positions), np.int32)
        add_patches = charge_of_patches if most == 1 else bursts.charge_of_burst_patches
        add_patches(flat, layer.weight, *layer.gather.places, charge)
        return charge.reshape(n_samples, steps, -1)
    product = layer.weight.size >= DENSE_SIZE and most * layer.largest_charge < 2**24
    limit = int(DENSE_ACTIVITY * n_inputs) if product else n_inputs
    charge = np.empty((flat.shape[0], layer.n_outputs), np.int32)
    add_spikes = charge_of_spikes if most == 1 else bursts.charge_of_bursts
    add_spikes(flat, layer.weight, limit, charge)
    busy = np.count_nonzero(flat, axis=1) > limit
    if busy.any():
        charge[busy] = flat[busy].astype(np.float32) @ layer.weight_float32
    return charge.reshape(n_samples, steps, -1)
