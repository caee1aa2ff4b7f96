"""The clocked engine: node by node on spike trains, chips and samples shared out to threads.

A node's trains of all steps, or of a piece of them, are there before the next node runs; membranes
and counters are kept between pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import burst as bursts
from spikeram._kernels.crossbar import charge_of_spikes
from spikeram._kernels.neuron import (
    digitise_batch,
    integrate_batch,
    integrate_noisy_batch,
    integrate_signed_batch,
)
from spikeram._kernels.patches import charge_of_patches
from spikeram.burst import arriving as most_arriving
from spikeram.charge import ChargeLayer
from spikeram.engines import ChipBatch, Nodes, Pieces, check_same_network, most_by_bytes
from spikeram.layer import Layer
from spikeram.pool import MaxPool
from spikeram.processors import Threads
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.wiring import INPUT, Wiring

# Where one way beats another: benchmarks/crossovers.py.

DENSE_ACTIVITY = 0.9
"""Share of active inputs above which one matrix product beats adding rows."""

DENSE_BURSTS = 0.35
"""The same where a row is added for each spike of a burst."""

DENSE_SIZE = 2**18
"""Weights of the smallest layer that takes the product: below, calling it costs more."""

TABLE_ENTRIES = 0.15
"""Rows that are added where spikes stand while one entry of a table is."""

SAMPLES_AT_A_TIME = 64
"""Most samples simulated between two updates of the progress; results do not depend on it."""

BATCH_BYTES = 2**27
"""Size of the spike trains of one batch, which bounds its samples where there are many neurons."""

_CACHED_CHARGES = 2**20

_FEWEST_CHARGES = 2**17

_BLOCKS_OF_A_THREAD = 4

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
    checked_stimulus(Wiring(nodes), drive, spikes)
    chip = ChipBatch(nodes=nodes, drive=drive, keys=keys, readings=readings)
    ((activity,),) = Clocked(threads).run([chip], [(steps, spikes)], first_sample=first_sample)
    return activity


class Clocked:
    """The clocked engine, for one chip or several, piece by piece.

    Chips and samples are shared out to threads; the chips of a block of samples follow each other,
    so that they find its input spikes in the cache.

    Parameters
    ----------
    threads : int, optional
        Number of threads; by default one for each processor. Results do not depend on it.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def most_samples(self, chips: Sequence[Nodes], steps: int, *, spiking_input: bool) -> int:
        """Return how many samples of each chip run at a time."""
        return most_by_bytes(chips, steps, SAMPLES_AT_A_TIME, BATCH_BYTES)

    def run(
        self,
        chips: Sequence[ChipBatch],
        pieces: Pieces,
        *,
        first_sample: int = 0,
        going_on: Callable[[], NDArray[np.bool_]] | None = None,
    ) -> Iterator[list[Activity]]:
        """Yield the activity of each chip in each piece; see `ChipEngine`.

        Parameters
        ----------
        chips, pieces, first_sample
            As for `ChipEngine.run`.
        going_on : callable, optional
            Asked before each piece but the first, it returns a mask of shape (sample,) of those
            samples of the piece before that are run in this one. By default all are.
        """
        check_same_network([chip.nodes for chip in chips])
        running: list[_Running] = []
        with Threads(self._threads) as threads:
            for steps, spikes in pieces:
                if running and going_on is not None:
                    chosen = going_on()
                    for one in running:
                        one.keep(chosen)
                running = running or [_Running(chip, spikes, first_sample) for chip in chips]
                yield _piece(running, steps, spikes, threads)
                # Nothing of a piece is held when the next is encoded.
                del spikes


def _piece(
    running: Sequence[_Running],
    steps: int,
    spikes: NDArray[np.int8] | None,
    threads: Threads,
) -> list[Activity]:
    """Return what chips do in the next steps."""
    out = [one.activity(steps) for one in running]

    def run(place: tuple[slice, int]) -> None:
        """Run a block of samples through all nodes of a chip."""
        block, n = place
        running[n].run(block, steps, spikes, out[n])

    blocks = _blocks(running[0].n_samples, steps * running[0].widest, threads)
    if running[0].draws:
        blocks = [part for block in blocks for part in _in_a_row(running[0].samples, block)]
    threads.each(run, [(block, n) for block in blocks for n in range(len(running))])
    for one in running:
        one.first_step += steps
    return out


class _Running:
    """A chip on a batch: what its neurons and counters hold between two pieces."""

    def __init__(self, chip: ChipBatch, spikes: NDArray[np.int8] | None, first: int) -> None:
        wiring = Wiring(chip.nodes)
        layers = wiring.layers
        self.n_samples = checked_stimulus(wiring, chip.drive, spikes)
        check_draws(layers, chip.keys, chip.readings)
        self.widest = max(layer.n_outputs for layer in layers)
        self.first_step = 0
        self.samples = np.arange(first, first + self.n_samples)
        self.draws = any(layer.noisy or layer.read is not None for layer in layers)
        self._chip, self._wiring = chip, wiring
        self._keys = dict(zip((layer.name for layer in layers), chip.keys))
        self._done = wiring.last_readers()
        self._most = most_arriving(wiring)
        self._neurons = {layer.name: _Neurons.at_rest(layer, self.n_samples) for layer in layers}
        self._counters = {
            node.name: node.counters(self.n_samples, wiring.widths[wiring.sources[node.name][0]])
            for node in chip.nodes
            if isinstance(node, MaxPool)
        }

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Go on with some of the samples, of which a mask tells."""
        if chosen.all():
            return
        chip = self._chip
        drive = chip.drive and {name: values[chosen] for name, values in chip.drive.items()}
        readings = {name: one.some(chosen) for name, one in chip.readings.items()}
        self._chip = replace(chip, drive=drive, readings=readings)
        self.samples = self.samples[chosen]
        self.n_samples = self.samples.size
        self._neurons = {name: one.some(chosen) for name, one in self._neurons.items()}
        self._counters = {
            name: (counts[chosen], largest[chosen])
            for name, (counts, largest) in self._counters.items()
        }

    def activity(self, steps: int) -> Activity:
        """Return room for what the next steps bring."""
        layers = self._wiring.layers
        return Activity(
            spikes=tuple(
                np.empty((self.n_samples, steps, layer.n_outputs), np.int8) for layer in layers
            ),
            membrane=np.empty((self.n_samples, steps, layers[-1].n_outputs), np.int32),
            pooled={
                node.name: np.empty((self.n_samples, steps, node.n_outputs), np.int8)
                for node in self._chip.nodes
                if isinstance(node, MaxPool)
            },
        )

    def run(self, block: slice, steps: int, spikes: NDArray[np.int8] | None, out: Activity) -> None:
        """Run a block of samples through all nodes, writing `out`."""
        wiring, chip = self._wiring, self._chip
        layers = wiring.layers
        fired = dict(zip((layer.name for layer in layers), out.spikes))
        first = int(self.samples[block.start])
        trains = {} if spikes is None else {INPUT: spikes[block]}
        for node in chip.nodes:
            if isinstance(node, MaxPool):
                (source,) = wiring.sources[node.name]
                counts, largest = self._counters[node.name]
                trains[node.name] = out.pooled[node.name][block]
                held = counts[block], largest[block]
                node.spikes(trains[source], held, trains[node.name])
            else:
                arriving = incoming(wiring, node.name, trains)
                trains[node.name] = own = fired[node.name][block]
                charge = (
                    _no_charge(own)
                    if arriving is None
                    else _charge(arriving, node, self._most[node.name], _room(own))
                )
                if node.read is not None:
                    if arriving is None:
                        charge = np.zeros(own.shape, np.int32)
                    chip.readings[node.name].some(block).add_to(
                        charge, arriving, first_step=self.first_step, first_sample=first
                    )
                _integrate(
                    node,
                    charge,
                    _bias(node, chip.drive, block),
                    self._neurons[node.name].some(block),
                    self._keys.get(node.name),
                    (self.first_step, first),
                    own,
                    out.membrane[block] if node is layers[-1] else out.membrane[block, :0],
                )
            for name in self._done[node.name]:
                trains.pop(name, None)


@dataclass(frozen=True, eq=False)
class _Neurons:
    """What the neurons of a layer hold.

    Parameters
    ----------
    u : int32 ndarray of shape (sample, output)
        Membranes [quanta].
    count : int32 ndarray of shape (sample, output or 0)
        Net spikes of signed neurons; others need none.
    """

    u: NDArray[np.int32]
    count: NDArray[np.int32]

    @classmethod
    def at_rest(cls, layer: ChargeLayer, n_samples: int) -> _Neurons:
        """Return neurons before the first step."""
        u = np.tile(layer.initial, (n_samples, 1))
        return cls(u, np.zeros((n_samples, u.shape[1] * (layer.spikes == "signed")), np.int32))

    def some(self, block: slice | NDArray[np.bool_]) -> _Neurons:
        """Return those of some samples."""
        return _Neurons(self.u[block], self.count[block])


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


def check_draws(
    layers: Sequence[ChargeLayer], keys: Sequence[np.uint64], readings: Mapping[str, Reading]
) -> None:
    """Refuse to leave noise out: each noisy layer has a key, each that fluctuates a reading."""
    if any(layer.noisy for layer in layers) and len(keys) != len(layers):
        raise ValueError(f"Noisy layers expect {len(layers)} keys, one for each, got {len(keys)}.")
    check_readings(layers, readings)


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
        _charge(spikes[block], layer, most, charge[block])

    with Threads() as threads:
        threads.each(run, _blocks(n_samples, steps * layer.n_outputs, threads))
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
        neurons = _Neurons.at_rest(quiet, some.shape[0])
        bias = _bias(quiet, given, block)
        _integrate(quiet, charge[block], bias, neurons, None, (0, 0), some, _no_charge(some))
        membrane[block] = neurons.u

    with Threads() as threads:
        threads.each(run, _blocks(n_samples, n_steps * layer.n_outputs, threads))
    return spikes, membrane


def _no_charge(like: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return the charge of no steps, for as many samples and neurons."""
    return np.empty((like.shape[0], 0, like.shape[-1]), np.int32)


def _in_a_row(samples: NDArray[np.int64], block: slice) -> list[slice]:
    """Return the parts of a block in which each sample's number is one more than the last's.

    Draws are addressed by the number of a block's first sample.
    """
    jumps = np.flatnonzero(np.diff(samples[block]) != 1) + 1
    ends = [block.start, *(block.start + jumps).tolist(), block.stop]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _blocks(n_samples: int, cells: int, threads: Threads) -> list[slice]:
    """Return blocks of samples whose charges, `cells` integers each, stay in the cache.

    There are several for each of some threads, unless they would be so small that handing them
    over took longer.
    """
    several = _BLOCKS_OF_A_THREAD if threads.number > 1 else 1
    share = -(-n_samples // (several * threads.number))
    size = max(1, min(max(share, _FEWEST_CHARGES // cells), _CACHED_CHARGES // cells))
    return [slice(s, min(s + size, n_samples)) for s in range(0, n_samples, size)]


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
    neurons: _Neurons,
    noise_key: np.uint64 | None,
    first: tuple[int, int],
    spikes: NDArray[np.int8],
    trace: NDArray[np.int32],
) -> None:
    """Run the neurons of one layer on their charge, writing `neurons`, `spikes` and `trace`.

    `first` are the numbers of the first step and of the first sample.
    """
    u, count = neurons.u, neurons.count
    ternary, subtract = layer.spikes == "ternary", layer.reset == "subtract"
    own_key = np.uint64(0) if noise_key is None else noise_key
    noise = (own_key, *first, layer.sigma_noise, layer.kick)
    if layer.digits:
        digitise_batch(
            charge, bias, layer.threshold, layer.rail, layer.digits, *noise, u, spikes, trace
        )
    elif layer.burst > 1:
        bursts.integrate_bursts_batch(
            charge, bias, layer.threshold, layer.negative, layer.rail, layer.burst,
            _KINDS[layer.spikes], *noise, u, count, spikes, trace,
        )  # fmt: skip
    elif layer.spikes == "signed":
        integrate_signed_batch(
            charge, bias, layer.threshold, layer.negative, layer.rail, *noise, u, count, spikes,
            trace,
        )  # fmt: skip
    elif layer.noisy or layer.decay < 1:
        integrate_noisy_batch(
            charge, bias, layer.threshold, layer.rail, ternary, subtract, layer.decay, *noise, u,
            spikes, trace,
        )  # fmt: skip
    else:
        integrate_batch(
            charge, bias, layer.threshold, layer.rail, ternary, subtract, u, spikes, trace
        )


def _room(like: NDArray[np.int8]) -> NDArray[np.int32]:
    return np.empty(like.shape, np.int32)


def _charge(
    spikes: NDArray[np.int8], layer: ChargeLayer, most: int, charge: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Write and return the charge of each step.

    Rows are added where few inputs spike. Where many do, a convolution adds sums from tables, and a
    matrix is multiplied.
    """
    n_inputs = spikes.shape[2]
    flat = spikes.reshape(-1, n_inputs)
    out = charge.reshape(flat.shape[0], layer.n_outputs)
    if layer.gather is not None:
        places = layer.gather.places
        if most == 1:
            groups, limit = layer.groups, _table_limit(layer)
            charge_of_patches(
                flat, layer.tiles, *places, layer.tables, groups.runs, groups.at, limit, out
            )
        else:
            bursts.charge_of_burst_patches(flat, layer.tiles, *places, layer.n_positions, out)
        return charge
    product = layer.weight.size >= DENSE_SIZE and most * layer.largest_charge < 2**24
    share = DENSE_ACTIVITY if most == 1 else DENSE_BURSTS
    limit = int(share * n_inputs) if product else n_inputs
    busy = np.empty(flat.shape[0], np.bool_)
    add_spikes = charge_of_spikes if most == 1 else bursts.charge_of_bursts
    add_spikes(flat, layer.tiles, limit, out, busy)
    if busy.any():
        out[busy] = flat[busy].astype(np.float32) @ layer.weight_float32
    return charge


def _table_limit(layer: ChargeLayer) -> int:
    """Return the number of spikes in a step above which a convolution adds sums from tables."""
    gather = layer.gather
    assert gather is not None
    return int(TABLE_ENTRIES * layer.groups.cost / max(1.0, gather.spread))
