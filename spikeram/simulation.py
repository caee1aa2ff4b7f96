r"""Run a network or a programmed chip on inputs: one `simulate`, engines behind it.

Time. A spike of step :math:`k` reaches the next layer in step :math:`k + 1`. Every layer
integrates exactly :math:`T` steps; its window starts one step after its input's, and a decision
counts the output layer's own window. A feed-forward network therefore gives the same spikes
whether it is run step by step (Brian2), layer by layer (the clocked engine) or by events.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

import spikeram.accessor  # noqa: F401  # registers recording.spk
from spikeram import recording, registry
from spikeram._kernels.crossbar import charge_of_patches, charge_of_spikes
from spikeram._kernels.neuron import integrate_batch, integrate_noisy_batch
from spikeram.charge import ChargeLayer
from spikeram.encoding import Encoding, Stimulus, encode, input_levels
from spikeram.errors import SimulationInterrupted
from spikeram.network import SpikingNetwork
from spikeram.recording import Activity
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Second

Decoding: TypeAlias = Literal["membrane", "counts"]

SAMPLES_AT_A_TIME = 64
"""Most samples simulated between two updates of the progress; results do not depend on it."""

BATCH_BYTES = 2**27
"""Size of the spike trains of one batch, which bounds its samples where T is large."""

DENSE_ACTIVITY = 0.25
"""Share of active inputs above which one matrix product beats adding rows (see benchmarks)."""

DENSE_SIZE = 2**18
"""Weights of the smallest layer that takes the product: below, calling it costs more."""

_CACHED_CHARGES = 2**18


class Model(Protocol):
    """What can be simulated: a `SpikingNetwork`, or a `ProgrammedChip`."""

    @property
    def network(self) -> SpikingNetwork:
        """The network, with the scale of its input."""

    @property
    def dt(self) -> Second:
        """Duration of one step [s]."""

    @property
    def index(self) -> int:
        """Number of the chip: noise is addressed by it."""

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run."""

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        """Return the layers in charge quanta."""


def simulate(
    model: Model,
    x: ArrayLike,
    *,
    steps: int | None = None,
    encoding: Encoding = "current",
    decoding: Decoding | None = None,
    engine: str = "clocked",
    seed: Seed | None = None,
    record: Literal["spikes", "counts"] = "spikes",
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return the recording of `model` running on inputs.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs; it is not changed.
    x : array_like of shape (sample, input)
        Inputs in the trained network's units. Further axes are flattened.
    steps : int, optional
        Number of steps T that every layer integrates; by default what the network was converted
        for.
    encoding : {"current", "rate", "poisson"}
        How inputs enter; see `spikeram.encoding.encode`.
    decoding : {"membrane", "counts"}, optional
        Read the output layer's whole charge, or its spikes alone. By default the charge, where
        it adds up: with reset by subtraction and no leak.
    engine : {"clocked", "brian2"} or another registered name
        Every engine gives the same spikes, to the bit.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn: Poisson encoding, noisy or stochastic neurons.
    record : {"spikes", "counts"}
        Keep every spike time, or the counts of each neuron alone.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    xarray.Dataset
        The recording; see `spikeram.recording`. ``output`` holds the decoded output after each
        step, in the trained network's units.

    Raises
    ------
    SimulationInterrupted
        On Ctrl-C, holding the recording of the samples that were finished.
    """
    network = _network_of(model)
    n_steps = network.steps_or(steps)
    if record not in ("spikes", "counts"):
        raise ValueError(f"record expects 'spikes' or 'counts', got {record!r}.")
    layers = model.charge_layers()
    decoded_by = _checked_decoding(decoding, layers[-1])
    run = registry.lookup("engines", engine)
    keys = _noise_keys(layers, seed, model.index)
    levels = input_levels(network.checked_input(x), network.input_scale)
    provenance = {
        "engine": engine,
        "encoding": encoding,
        "decoding": decoded_by,
        "seed": str(seed),
        **model.provenance,
    }
    n_samples = levels.shape[0]
    at_a_time = _batch_size(layers, n_steps)
    parts: list[xr.Dataset] = []
    try:
        for first in range(0, n_samples, at_a_time):
            some = levels[first : first + at_a_time]
            stimulus = encode(
                some, layers[0], steps=n_steps, encoding=encoding, seed=seed, first_sample=first
            )
            activity = run(
                layers,
                stimulus.drive,
                stimulus.spikes,
                steps=n_steps,
                first_sample=first,
                keys=keys,
            )
            parts.append(
                recording.build(
                    activity if stimulus.spikes is None else _with_input(activity, stimulus.spikes),
                    layers,
                    steps=n_steps,
                    dt=model.dt,
                    output=decode(activity, layers[-1], decoded_by),
                    active_rows=_active_rows(activity, layers, stimulus, n_steps),
                    first_trial=first,
                    has_input=stimulus.spikes is not None,
                    record=record,
                    provenance=provenance,
                )
            )
            if progress is not None:
                progress(first + some.shape[0], n_samples)
        return _joined(parts, n_samples, network)
    except KeyboardInterrupt:
        raise SimulationInterrupted(_joined(parts, n_samples, network) if parts else None) from None


def clocked(
    layers: Sequence[ChargeLayer],
    drive: NDArray[np.int32] | None,
    spikes: NDArray[np.int8] | None,
    *,
    steps: int,
    first_sample: int = 0,
    keys: Sequence[np.uint64] = (),
    threads: int | None = None,
) -> Activity:
    """Return the activity of a batch: layer by layer, samples shared out to threads.

    Parameters
    ----------
    layers : sequence of ChargeLayer
        From input to output.
    drive : int32 ndarray of shape (sample, output) or None
        Constant charge of every step into the first layer [quanta].
    spikes : int8 ndarray of shape (sample, step, input) or None
        Input spikes. Exactly one of `drive` and `spikes` is given.
    steps : int
        Number of steps.
    first_sample : int
        Number of the first sample in the whole run: noise is addressed by it.
    keys : sequence of numpy.uint64
        Key of each layer's noise; may be empty when no layer draws.
    threads : int, optional
        Number of threads; by default one for each processor. Results do not depend on it.
    """
    source = drive if spikes is None else spikes
    if source is None or (drive is not None and spikes is not None):
        raise ValueError("clocked expects either drive or spikes, got both or neither.")
    if any(layer.noisy for layer in layers) and len(keys) != len(layers):
        raise ValueError(f"Noisy layers expect {len(layers)} keys, one for each, got {len(keys)}.")
    n_samples = source.shape[0]
    fired = tuple(np.empty((n_samples, steps, layer.n_outputs), np.int8) for layer in layers)
    membrane = np.empty((n_samples, steps, layers[-1].n_outputs), np.int32)

    def run(block: slice) -> None:
        """Run a block of samples through all layers."""
        incoming = None if spikes is None else spikes[block]
        for n, layer in enumerate(layers):
            out = fired[n][block]
            trace = membrane[block] if n == len(layers) - 1 else membrane[block, :0]
            bias = layer.bias[np.newaxis]
            if incoming is not None:
                charge = _charge(incoming, layer)
            else:
                charge = np.empty((out.shape[0], 0, layer.n_outputs), np.int32)
                bias = bias if drive is None else bias + drive[block]
            _integrate(layer, charge, bias, keys[n : n + 1], first_sample + block.start, out, trace)
            incoming = out

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        # list() waits, and raises what a thread raised.
        list(pool.map(run, _blocks(n_samples, steps * max(layer.n_outputs for layer in layers))))
    return Activity(spikes=fired, membrane=membrane)


def membrane(
    model: Model,
    x: ArrayLike,
    *,
    layer: int = 0,
    steps: int | None = None,
    seed: Seed | None = None,
) -> xr.DataArray:
    """Return the membranes of one layer for one constant-current input, after each step.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs.
    x : array_like of shape (input,)
        One input.
    layer : int
        Which layer, counted from 0.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    seed : int or numpy.random.SeedSequence, optional
        Needed where neurons are noisy.

    Returns
    -------
    DataArray of dims (step, neuron) [V]
        Membranes on the integration capacitor after each step's reset.
    """
    n_steps = _network_of(model).steps_or(steps)
    layers = model.charge_layers()
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer expects a number from 0 to {len(layers) - 1}, got {layer}.")
    levels = input_levels(
        model.network.checked_input(np.asarray(x)[np.newaxis]), model.network.input_scale
    )
    drive = encode(levels, layers[0], steps=n_steps, encoding="current").drive
    some = layers[: layer + 1]
    activity = clocked(some, drive, None, steps=n_steps, keys=_noise_keys(some, seed, model.index))
    return xr.DataArray(
        activity.membrane[0] * layers[layer].quantum,
        dims=("step", "neuron"),
        coords={"step": np.arange(1, n_steps + 1), "neuron": np.arange(layers[layer].n_outputs)},
        attrs={"units": "V", "long_name": f"membrane of layer {layers[layer].name}"},
    )


def decode(
    activity: Activity, layer: ChargeLayer, decoding: Decoding = "membrane"
) -> NDArray[np.float32]:
    """Return the output after each step, of shape (sample, step, output).

    The charge that has arrived by step k is what is on the membrane plus one threshold for each
    spike; divided by the steps it is the mean drive, in the trained network's units. Counting
    spikes alone drops the rest.
    """
    charge = np.cumsum(activity.spikes[-1], axis=1, dtype=np.int64) * layer.threshold
    if decoding == "membrane":
        charge += activity.membrane.astype(np.int64) - layer.initial
    steps = np.arange(1, charge.shape[1] + 1)[:, np.newaxis]
    return (charge * (layer.scale / layer.threshold) / steps).astype(np.float32)


def _blocks(n_samples: int, cells: int) -> list[slice]:
    """Return slices of samples whose charges, `cells` integers each, stay in the cache."""
    size = max(1, min(SAMPLES_AT_A_TIME // 4, _CACHED_CHARGES // cells))
    return [slice(s, min(s + size, n_samples)) for s in range(0, n_samples, size)]


def _integrate(
    layer: ChargeLayer,
    charge: NDArray[np.int32],
    bias: NDArray[np.int32],
    key_of_noise: Sequence[np.uint64],
    first: int,
    spikes: NDArray[np.int8],
    trace: NDArray[np.int32],
) -> None:
    """Run the neurons of one layer on their charge, writing `spikes` and `trace`."""
    ternary, subtract = layer.spikes == "ternary", layer.reset == "subtract"
    if layer.noisy or layer.decay < 1:
        noise_key = key_of_noise[0] if layer.noisy else np.uint64(0)
        integrate_noisy_batch(
            charge, bias, layer.threshold, layer.rail, ternary, subtract, layer.decay, noise_key,
            first, layer.sigma_noise, layer.kick, layer.initial, spikes, trace,
        )  # fmt: skip
    else:
        integrate_batch(
            charge,
            bias,
            layer.threshold,
            layer.rail,
            ternary,
            subtract,
            layer.initial,
            spikes,
            trace,
        )


def _charge(spikes: NDArray[np.int8], layer: ChargeLayer) -> NDArray[np.int32]:
    """Return the charge of each step: rows added where few spiked, a product where many did."""
    n_samples, steps, n_inputs = spikes.shape
    flat = spikes.reshape(-1, n_inputs)
    if layer.gather is not None:
        charge = np.empty((flat.shape[0], layer.n_columns, layer.n_positions), np.int32)
        charge_of_patches(flat, layer.weight, *layer.gather.places, charge)
        return charge.reshape(n_samples, steps, -1)
    product = layer.weight.size >= DENSE_SIZE and layer.exact_in_float32
    limit = int(DENSE_ACTIVITY * n_inputs) if product else n_inputs
    charge = np.empty((flat.shape[0], layer.n_outputs), np.int32)
    charge_of_spikes(flat, layer.weight, limit, charge)
    busy = np.count_nonzero(flat, axis=1) > limit
    if busy.any():
        charge[busy] = flat[busy].astype(np.float32) @ layer.weight_float32
    return charge.reshape(n_samples, steps, -1)


def _active_rows(
    activity: Activity, layers: Sequence[ChargeLayer], stimulus: Stimulus, steps: int
) -> NDArray[np.int64]:
    before = [
        np.abs(spikes).sum(axis=1, dtype=np.int64) @ layer.reuse
        for spikes, layer in zip(activity.spikes[:-1], layers[1:])
    ]
    always = [layer.always_on * layer.n_positions * steps for layer in layers]
    rows: NDArray[np.int64] = np.stack([stimulus.active_rows, *before], axis=1) + np.array(always)
    return rows


def _with_input(activity: Activity, spikes: NDArray[np.int8]) -> Activity:
    return Activity(spikes=(spikes, *activity.spikes), membrane=activity.membrane)


def _joined(parts: list[xr.Dataset], n_samples: int, network: SpikingNetwork) -> xr.Dataset:
    whole = recording.concatenate(parts, n_trials_requested=n_samples)
    if network.classes is None:
        return whole
    return whole.assign_coords(category=("category", network.classes))


def _noise_keys(layers: Sequence[ChargeLayer], seed: Seed | None, chip: int) -> list[np.uint64]:
    if not any(layer.noisy for layer in layers):
        return []
    if seed is None:
        raise ValueError("The neurons draw random numbers in every step: give a seed.")
    return [key(seed, Purpose.NEURON_NOISE, chip, n) for n in range(len(layers))]


def _network_of(model: Model) -> SpikingNetwork:
    network = getattr(model, "network", None)
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"simulate expects a SpikingNetwork or a ProgrammedChip, got {type(model).__name__}. "
            "Convert a trained network first: spikeram.convert(model, calibration)."
        )
    return network


def _checked_decoding(decoding: Decoding | None, layer: ChargeLayer) -> Decoding:
    adds_up = layer.reset == "subtract" and layer.decay == 1
    if decoding is None:
        return "membrane" if adds_up else "counts"
    if decoding not in ("membrane", "counts"):
        raise ValueError(f"decoding expects 'membrane' or 'counts', got {decoding!r}.")
    if decoding == "membrane" and not adds_up:
        raise ValueError(
            "decoding='membrane' adds up charge, which a reset to zero or a leak takes away. Use "
            "decoding='counts'."
        )
    return decoding


def _batch_size(layers: Sequence[ChargeLayer], steps: int) -> int:
    neurons = sum(layer.n_outputs for layer in layers) + layers[0].n_inputs
    return max(1, min(SAMPLES_AT_A_TIME, BATCH_BYTES // (steps * neurons)))
