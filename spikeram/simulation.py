r"""Run a network or a programmed chip on inputs: one `simulate`, engines behind it.

Time. A spike of step :math:`k` reaches the next layer in step :math:`k + 1`. Every layer
integrates exactly :math:`T` steps; its window starts one step after the latest of its sources',
where the spikes of a shorter branch wait, and a decision counts the output layer's own window. A
max pool takes no step: its window is its source's. A network without loops therefore gives the
same spikes whether it is run step by step (Brian2), layer by layer on whole trains of T steps (the
clocked engine) or by events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

import spikeram.accessor  # noqa: F401  # registers recording.spk
from spikeram import recording, registry
from spikeram.charge import ChargeLayer
from spikeram.chosen import (
    Chosen,
    Trains,
    Units,
    bytes_of_a_step as bytes_of_chosen,
    checked_units,
)
from spikeram.clocked import (
    BATCH_BYTES,
    SAMPLES_AT_A_TIME,
    Clocked,
    charge_of as charge_of,
    clocked as clocked,
    fire as fire,
    incoming as incoming,
)
from spikeram.decoding import Decoding, checked_decoding, decode as decode
from spikeram.draws import noise_keys, read_keys, readings
from spikeram.encoding import Encoding, checked_trains, encode, input_levels, input_trains
from spikeram.engines import (
    ChipBatch,
    ChipEngine,
    OneByOne,
    Pieces,
    bytes_of_a_step,
    check_same_network,
)
from spikeram.errors import EngineError, SimulationInterrupted
from spikeram.memory import check_memory
from spikeram.network import SpikingNetwork
from spikeram.pool import MaxPool
from spikeram.recorder import Recorder
from spikeram.recording import Activity
from spikeram.seeds import Seed
from spikeram.stopping import EarlyStop
from spikeram.tally import Tally, with_input
from spikeram.units import Second
from spikeram.unrolling import Schedule, scheduled
from spikeram.wiring import INPUT, Wiring

STEPS_AT_A_TIME = 64
"""Steps that are run before their spikes are counted and let go, where only counts are kept."""


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
        """Return the layers of the network in charge quanta, each in one piece."""


def simulate(
    model: Model,
    x: ArrayLike,
    *,
    steps: int | None = None,
    encoding: Encoding = "current",
    decoding: Decoding | None = None,
    engine: str = "clocked",
    seed: Seed | None = None,
    record: Literal["spikes", "counts"] | Chosen = "spikes",
    outputs_at: Sequence[int] | None = None,
    stop: EarlyStop | None = None,
    to: str | os.PathLike[str] | None = None,
    schedule: Schedule = "pixel",
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return the recording of `model` running on inputs.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs; it is not changed.
    x : array_like of shape (sample, input)
        Inputs in the trained network's units; for ``encoding="spikes"`` spikes -1, 0 or 1 of
        shape (sample, step, input). Further axes are flattened.
    steps : int, optional
        Number of steps T that every layer integrates; by default what the network was converted
        for, or for ``encoding="spikes"`` those of `x`.
    encoding : {"current", "rate", "poisson", "ttfs", "spikes"}
        How inputs enter; see `spikeram.encoding.encode`.
    decoding : {"membrane", "counts", "first"}, optional
        Read the output layer's whole charge, its spikes alone, or which neuron is the first to
        fire; see `spikeram.decoding`. By default the charge, where it adds up: with reset by
        subtraction and no leak.
    engine : {"clocked", "event", "brian2", "cuda"} or another registered name
        Every engine gives the same spikes, to the bit. "event" refuses what happens in every step,
        such as noise; see `spikeram.event_driven`.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn: Poisson encoding, noisy or stochastic neurons, read noise.
    record : {"spikes", "counts"} or mapping of str to array_like of int or slice
        Keep every spike time, or the counts of each neuron alone, or the spike times of some
        neurons of some layers, as ``{"hidden": [0, 5], "output": slice(None)}``; "input" are the
        input's, where they are spikes. What is left out takes no more memory for more steps, if
        outputs are kept at a few of them. The recording of some neurons is that of
        `spikeram.recording.select`; rows and steps of every crossbar are there.
    outputs_at : sequence of int, optional
        Steps, counted from 1, after which the decoded output is kept; the last one always is. By
        default all of them.
    stop : EarlyStop, optional
        Stop each sample as soon as it is sure, by the rule of
        `spikeram.statistics.early_decision`: it is simulated no further, its output stays what it
        is, and ``stopped`` of dims (trial,) tells after how many steps. Needs the clocked engine.
        By default all samples run all steps.
    to : path-like, optional
        A .zarr store to write to while the run goes on, in memory that does not grow with it; a
        store that the same run left unfinished is gone on with. Events are then read when used.
    schedule : {"pixel", "unrolled"}
        Whether a convolution is run position by position or with a column for each of its neurons:
        the same spikes, but other times, energies and cells; see `spikeram.unrolling`.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    xarray.Dataset
        The recording; see `spikeram.recording`. ``output`` holds the decoded output after each
        step, in the trained network's units, or the scores of ``decoding="first"``.

    Raises
    ------
    SimulationInterrupted
        On Ctrl-C, holding the recording of the samples that were finished.
    CapacityError
        If the run needs more memory than there is.
    EngineError
        If the engine lacks what it needs, such as a GPU, or cannot stop samples.
    """
    run = _Run(
        [model], x, steps=steps, encoding=encoding, decoding=decoding, engine=engine, seed=seed,
        record=record, outputs_at=outputs_at, schedule=schedule, stop=stop, stored=to is not None,
    )  # fmt: skip
    sink = run.sink(to)
    try:
        for (part,) in run.batches(sink.done, progress):
            sink.append(part)
        return sink.result()
    except KeyboardInterrupt:
        raise SimulationInterrupted(sink.result() if sink.done else None) from None


def simulate_chips(
    chips: Sequence[Model],
    x: ArrayLike,
    *,
    steps: int | None = None,
    encoding: Encoding = "current",
    decoding: Decoding | None = None,
    engine: str = "clocked",
    seed: Seed | None = None,
    record: Literal["spikes", "counts"] = "counts",
    outputs_at: Sequence[int] | None = None,
    schedule: Schedule = "pixel",
    progress: Callable[[int, int], None] | None = None,
) -> list[xr.Dataset]:
    """Return the recordings of several chips of one network on the same inputs.

    Inputs are encoded once, and chips and samples are run together; each recording is that which
    `simulate` returns for its chip, to the bit.

    Parameters
    ----------
    chips : sequence of ProgrammedChip
        Chips that hold the same network; noise is addressed by their numbers.
    x, steps, encoding, decoding, engine, seed, record, outputs_at, schedule, progress
        As for `simulate`; here only counts are recorded by default.
    """
    run = _Run(
        chips, x, steps=steps, encoding=encoding, decoding=decoding, engine=engine, seed=seed,
        record=record, outputs_at=outputs_at, schedule=schedule,
    )  # fmt: skip
    sinks = [run.sink(None) for _ in chips]
    for parts in run.batches(0, progress):
        for sink, part in zip(sinks, parts):
            sink.append(part)
    return [sink.result() for sink in sinks]


def nodes_of(model: Model) -> tuple[ChargeLayer | MaxPool, ...]:
    """Return what engines run: layers, those that are cut over cores as parts, and pools.

    A model whose layers are in several parts tells so by a method `charge_nodes`.
    """
    own: Callable[[], tuple[ChargeLayer | MaxPool, ...]] | None
    own = getattr(model, "charge_nodes", None)
    return model.network.charged(model.charge_layers()) if own is None else own()


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
        Membranes on the integration capacitor after each step's reset; of a soma, which adds up
        partial sums, what it holds in units of the largest spike that it receives.
    """
    n_steps = _network_of(model).steps_or(steps)
    nodes = nodes_of(model)
    # Partial neurons belong to the layer that adds them up.
    layers = tuple(one for one in Wiring(nodes).layers if not one.part)
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer expects a number from 0 to {len(layers) - 1}, got {layer}.")
    levels = input_levels(
        model.network.checked_input(np.asarray(x)[np.newaxis]), model.network.input_scale
    )
    some = nodes[: nodes.index(layers[layer]) + 1]
    drive = encode(levels, some, steps=n_steps, encoding="current").drive
    before = Wiring(some).layers
    keys = noise_keys(before, seed, model.index)
    reading = readings(some, levels, read_keys(before, seed, model.index))
    activity = clocked(some, drive, None, steps=n_steps, keys=keys, readings=reading)
    return xr.DataArray(
        activity.membrane[0] * layers[layer].quantum,
        dims=("step", "neuron"),
        coords={"step": np.arange(1, n_steps + 1), "neuron": np.arange(layers[layer].n_outputs)},
        attrs={"units": "V", "long_name": f"membrane of layer {layers[layer].name}"},
    )


class _Run:
    """A run of one or several chips, checked before any of it is simulated."""

    def __init__(
        self,
        chips: Sequence[Model],
        x: ArrayLike,
        *,
        steps: int | None,
        encoding: Encoding,
        decoding: Decoding | None,
        engine: str,
        seed: Seed | None,
        record: Literal["spikes", "counts"] | Chosen,
        outputs_at: Sequence[int] | None,
        schedule: Schedule,
        stop: EarlyStop | None = None,
        stored: bool = False,
    ) -> None:
        networks = [_network_of(chip) for chip in chips]
        if not networks:
            raise ValueError("simulate_chips expects at least one chip, got none.")
        network = networks[0]
        scales = sorted({other.input_scale for other in networks})
        if len(scales) > 1:
            raise ValueError(
                f"Chips that run at once expect one scale of the input, got {scales}. Run them one "
                "by one."
            )
        self.levels: NDArray[np.int16 | np.int8]
        if encoding == "spikes":
            self.levels = checked_trains(x, network.n_inputs, steps)
            self.steps = self.levels.shape[1]
        else:
            self.steps = network.steps_or(steps)
            self.levels = input_levels(network.checked_input(x), network.input_scale)
        if not isinstance(record, Mapping) and record not in ("spikes", "counts"):
            raise ValueError(
                "record expects 'spikes', 'counts' or neurons of layers ({'name': [0, 1]}), got "
                f"{record!r}."
            )
        self._chips, self._networks = chips, networks
        self._encoding, self._seed, self._stop = encoding, seed, stop
        self._kept = _kept(outputs_at, self.steps)
        self._nodes = [
            scheduled(
                nodes_of(chip),
                schedule,
                getattr(getattr(chip, "chip", None), "energy", None),
            )
            for chip in chips
        ]
        check_same_network(self._nodes)
        layers = [Wiring(nodes).layers for nodes in self._nodes]
        self._decoding = checked_decoding(decoding, layers[0][-1])
        self._engine, in_pieces = _engine_of(engine)
        self._widths = {name: Wiring(self._nodes[0]).widths[name] for name in self._counted()}
        self._units: Units | None = None
        self._record: Literal["spikes", "counts"] = "spikes"
        if isinstance(record, Mapping):
            self._units = checked_units(record, self._widths)
        else:
            self._record = record
        # Spikes of all neurons and steps, which come at once: nothing has to be put together.
        self._at_once = self._record == "spikes" and self._units is None and stop is None
        longest = STEPS_AT_A_TIME if in_pieces and not self._at_once else self.steps
        self._pieces = _in_pieces(self.steps, longest, None if stop is None else stop.min_steps)
        self._piece = len(self._pieces[0])
        if stop is not None:
            stop.check(self.steps, self._decoding)
            if not isinstance(self._engine, Clocked):
                raise EngineError(
                    f"engine={engine!r} runs every sample to its end, and cannot stop it early. "
                    "Use engine='clocked', or decide afterwards (run.spk.early_decision)."
                )
        self._keys = [noise_keys(one, seed, chip.index) for one, chip in zip(layers, chips)]
        self._read = [read_keys(one, seed, chip.index) for one, chip in zip(layers, chips)]
        self.provenance: list[Mapping[str, object]] = [
            {
                "engine": engine,
                "encoding": encoding,
                "decoding": self._decoding,
                "seed": str(seed),
                "schedule": schedule,
                **({} if stop is None else {"stop": asdict(stop)}),
                **chip.provenance,
            }
            for chip in chips
        ]
        self._at_a_time = self._engine.most_samples(
            self._nodes,
            self.steps if self._record == "spikes" and self._units is None else self._piece,
            spiking_input=encoding != "current",
        )
        self._check_memory(stored)

    def _check_memory(self, stored: bool) -> None:
        n_samples, chips = self.levels.shape[0], len(self._chips)
        outputs = 4 * Wiring(self._nodes[0]).layers[-1].n_outputs * self._kept.size
        at_a_time = min(n_samples, self._at_a_time)
        piece = self._piece
        kept = 0
        if self._record == "spikes" and not self._at_once:
            kept = self.steps * bytes_of_chosen(self._widths, self._units)
        check_memory(
            {
                f"the spikes of {at_a_time} samples in {piece} steps": at_a_time
                * piece
                * bytes_of_a_step(self._nodes),
                f"the recorded spikes of {at_a_time} samples in {self.steps} steps": at_a_time
                * kept,
                f"the outputs of {n_samples} samples after {self._kept.size} steps": chips
                * outputs
                * (at_a_time if stored else n_samples),
            },
            "Keep outputs at fewer steps (outputs_at=[...]) or only counts (record='counts'), take "
            "fewer steps, samples or chips at once, or write to a store (to='run.zarr').",
        )

    def sink(self, to: str | os.PathLike[str] | None) -> _Sink:
        """Return where the recordings of one chip go."""
        told = {**self.provenance[0], "steps": self.steps, "record": self._record}
        if self._units is not None:
            told["record"] = {name: found.tolist() for name, found in self._units.items()}
        if self._kept.size < self.steps:
            told["outputs_at"] = self._kept.tolist()
        return _sink(to, self.levels, told)

    def batches(
        self, done: int, progress: Callable[[int, int], None] | None
    ) -> Iterator[list[xr.Dataset]]:
        """Yield the recordings of the chips for some samples after the others."""
        n_samples = self.levels.shape[0]
        for first in range(done, n_samples, self._at_a_time):
            some = self.levels[first : first + self._at_a_time]
            yield self._batch(some, first)
            if progress is not None:
                progress(first + some.shape[0], n_samples)

    def _batch(self, levels: NDArray[np.int16 | np.int8], first: int) -> list[xr.Dataset]:
        constant = levels if self._encoding == "current" else None
        batches = []
        for nodes, keys, read in zip(self._nodes, self._keys, self._read):
            drive = None
            if constant is not None:
                drive = encode(levels, nodes, steps=self.steps, encoding="current").drive
            reading = readings(nodes, constant, read)
            batches.append(ChipBatch(nodes=nodes, drive=drive, keys=keys, readings=reading))
        tallies = [
            Tally(
                nodes, constant, n_samples=levels.shape[0], decoding=self._decoding, kept=self._kept
            )
            for nodes in self._nodes
        ]
        held: list[NDArray[np.int8] | None] = []
        going = _Going(self._stop, self._decoding, levels.shape[0])

        def pieces() -> Iterator[tuple[int, NDArray[np.int8] | None]]:
            """Encode piece after piece as the engine comes to it, while any sample goes on."""
            for piece in self._pieces:
                if not going.samples.size:
                    return
                held.clear()
                spikes = None if constant is not None else self._trains(levels, first, piece)
                if spikes is not None and self._stop is not None:
                    spikes = spikes[going.samples]
                held.append(spikes)
                del spikes
                yield len(piece), held[0]

        whole: list[Activity | None] = [None] * len(tallies)
        trains: list[Trains | None] = [None] * len(tallies)
        if self._record == "spikes" and not self._at_once:
            trains = [
                Trains(self._widths, self._units, levels.shape[0], self.steps) for _ in tallies
            ]
        for found in self._started(batches, pieces(), first, going):
            for n, tally in enumerate(tallies):
                output = tally.take(found[n], held[0])
                kept = trains[n]
                if kept is not None:
                    kept.take(with_input(found[n], held[0]).spikes, going.samples)
                if self._stop is not None:
                    tally.keep(going.after(output, tally.steps), output[:, -1])
            if self._at_once:
                whole[:] = [with_input(one, held[0]) for one in found]
            # The next piece comes when nothing holds this one any more.
            del found
        return [
            self._recorded(n, tally, whole[n], trains[n], first) for n, tally in enumerate(tallies)
        ]

    def _started(
        self,
        batches: Sequence[ChipBatch],
        pieces: Pieces,
        first: int,
        going: _Going,
    ) -> Iterator[list[Activity]]:
        if self._stop is not None and isinstance(self._engine, Clocked):
            return self._engine.run(
                batches, pieces, first_sample=first, going_on=lambda: going.chosen
            )
        return self._engine.run(batches, pieces, first_sample=first)

    def _counted(self) -> list[str]:
        """Return the names of what spikes are counted of, in the order of recordings."""
        layers = [layer.name for layer in Wiring(self._nodes[0]).layers]
        return layers if self._encoding == "current" else [INPUT, *layers]

    def _trains(
        self, levels: NDArray[np.int16 | np.int8], first: int, piece: range
    ) -> NDArray[np.int8]:
        return input_trains(
            levels,
            steps=self.steps,
            encoding=self._encoding,
            seed=self._seed,
            first_sample=first,
            piece=piece,
        )

    def _recorded(
        self,
        n: int,
        tally: Tally,
        whole: Activity | None,
        trains: Trains | None,
        first: int,
    ) -> xr.Dataset:
        counts = tally.counts()
        if trains is not None:
            whole, counts = trains.activity(), trains.of(counts)
        return recording.build(
            counts if whole is None else whole,
            self._nodes[n],
            steps=self.steps,
            dt=self._chips[n].dt,
            output=tally.output(),
            active_rows=tally.active_rows(),
            active_steps=tally.active_steps(),
            first_trial=first,
            has_input=self._encoding != "current",
            record=self._record,
            kept=self._kept,
            counts=counts,
            units=self._units,
            stopped=None if self._stop is None else tally.stopped,
            classes=self._networks[n].classes,
            provenance=self.provenance[n],
        )


class _Going:
    """Which samples of a batch go on.

    Attributes
    ----------
    samples : int64 ndarray of shape (sample,)
        Those that do.
    chosen : bool ndarray of shape (sample,)
        Whether those of the last piece do.
    """

    def __init__(self, stop: EarlyStop | None, decoding: Decoding, n_samples: int) -> None:
        self._stop, self._decoding = stop, decoding
        self.samples = np.arange(n_samples)
        self.chosen = np.ones(n_samples, np.bool_)

    def after(self, output: NDArray[np.float32], steps: int) -> NDArray[np.bool_]:
        """Return which go on after so many steps, of which `output` holds that of the last few."""
        self.chosen = np.ones(self.samples.size, np.bool_)
        if self._stop is not None and steps >= self._stop.min_steps:
            self.chosen = ~self._stop.sure(output[:, -1], self._decoding)
        self.samples = self.samples[self.chosen]
        return self.chosen


def _in_pieces(steps: int, longest: int, min_steps: int | None) -> list[range]:
    """Return the steps of a run in pieces, one by one from where samples may stop."""
    alone = steps if min_steps is None else min(steps, max(1, min_steps))
    whole = [range(k, min(k + longest, alone)) for k in range(0, alone, longest)]
    return [*whole, *(range(k, k + 1) for k in range(alone, steps))]


def _kept(outputs_at: Sequence[int] | None, steps: int) -> NDArray[np.int64]:
    """Return the steps after which outputs are kept, ascending, the last one among them."""
    if outputs_at is None:
        return np.arange(1, steps + 1)
    chosen = np.unique([*outputs_at, steps])
    if chosen.dtype.kind not in "iu" or chosen[0] < 1 or chosen[-1] > steps:
        raise ValueError(f"outputs_at expects steps from 1 to {steps}, got {list(outputs_at)}.")
    return chosen.astype(np.int64)


def _engine_of(name: str) -> tuple[ChipEngine, bool]:
    """Return an engine of several chips, and whether it runs time in pieces."""
    run = registry.lookup("engines", name)
    if registry.knows("chip_engines", name):
        return registry.lookup("chip_engines", name)(), True
    return OneByOne(run, SAMPLES_AT_A_TIME, BATCH_BYTES), False


class _Sink(Protocol):
    """Where the recordings of batches go."""

    @property
    def done(self) -> int:
        """Samples that are recorded."""

    def append(self, part: xr.Dataset) -> None:
        """Add the recording of the next samples."""

    def result(self) -> xr.Dataset:
        """Return the recording so far."""


class _InMemory:
    """The recordings of batches, joined in the end."""

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self._parts: list[xr.Dataset] = []

    @property
    def done(self) -> int:
        """Samples that are recorded."""
        return sum(part.sizes["trial"] for part in self._parts)

    def append(self, part: xr.Dataset) -> None:
        """Add the recording of the next samples."""
        self._parts.append(part)

    def result(self) -> xr.Dataset:
        """Return the recording so far."""
        if self.done == self._n_samples and len(self._parts) == 1:
            return self._parts[0]
        return recording.concatenate(self._parts, n_trials_requested=self._n_samples)


def _sink(
    to: str | os.PathLike[str] | None,
    levels: NDArray[np.int16 | np.int8],
    provenance: Mapping[str, object],
) -> _Sink:
    if to is None:
        return _InMemory(levels.shape[0])
    # The same run has the same inputs.
    inputs = hashlib.sha256(levels.tobytes()).hexdigest()
    return Recorder(to, n_trials=levels.shape[0], provenance={**provenance, "inputs": inputs})


def _network_of(model: Model) -> SpikingNetwork:
    network = getattr(model, "network", None)
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"simulate expects a SpikingNetwork or a ProgrammedChip, got {type(model).__name__}. "
            "Convert a trained network first: spikeram.convert(model, calibration)."
        )
    return network
