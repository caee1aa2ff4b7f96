"""The command that runs a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikeram.cli.console import FILE, INTERRUPTED, progress, say, status
from spikeram.cli.recorded import quality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikeram.chip import Chip
    from spikeram.network import SpikingNetwork


@click.command()
@click.argument("network", type=FILE)
@click.option("--data", type=FILE, required=True, help="Inputs x and, if known, labels y (.npz).")
@click.option("--steps", type=click.IntRange(min=1), help="Time steps; default: as converted.")
@click.option(
    "--chip",
    default="neurram",
    show_default=True,
    help="A chip's name, or none for the ideal network.",
)
@click.option(
    "--delay", default="1 day", show_default=True, help="Time between programming and read-out."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--index", type=click.IntRange(min=0), default=0, help="Number of the chip.")
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    help="Pairs of cells for each weight; their errors average. Default: as the chip says.",
)
@click.option(
    "--recalibrate",
    "calibration",
    type=FILE,
    help="Measure each column's gain and offset on these inputs first.",
)
@click.option(
    "--encoding",
    type=click.Choice(["current", "rate", "poisson", "ttfs", "spikes"]),
    default="current",
    show_default=True,
    help="How inputs enter; with spikes, x holds -1, 0 or 1 of shape (sample, step, input).",
)
@click.option(
    "--decoding",
    type=click.Choice(["membrane", "counts", "first"]),
    help="How the output is read: its charge, its spikes, or which neuron fires first. "
    "Default: the charge where it adds up, else the spikes.",
)
@click.option(
    "--engine", default="clocked", show_default=True, help="clocked, event, brian2 or cuda."
)
@click.option("--output", type=FILE, required=True, help="The recording, .nc or .zarr.")
def run(
    network: Path, data: Path, steps: int | None, chip: str, delay: str, seed: int, index: int,
    pairs: int | None, calibration: Path | None, encoding: Any, decoding: Any, engine: str,
    output: Path,
) -> None:  # fmt: skip
    """Run a spiking NETWORK on inputs, on a simulated chip."""
    from spikeram import recording, registry
    from spikeram.conversion import recalibrate
    from spikeram.encoding import checked_trains
    from spikeram.errors import SimulationInterrupted
    from spikeram.files import interrupts_held, load_samples
    from spikeram.simulation import simulate
    from spikeram.units import as_si

    as_si(delay, "s", "--delay")
    if chip == "none":
        _refuse_without_chip("calibration", "delay", "index", "pairs")
    registry.lookup("engines", engine)
    recording.check_path(output)
    x, y = load_samples(data)
    model: Any = _loaded(network)
    if encoding == "spikes":
        x = checked_trains(x, model.n_inputs, steps)
        steps = x.shape[1]
    else:
        model.checked_input(x)
    if y is not None:
        _check_targets(model, y, decoding)
    samples = None
    if calibration is not None:
        samples = model.checked_input(load_samples(calibration)[0])
    if chip != "none":
        chosen: Any = registry.lookup("chips", chip)()
        if pairs is not None:
            chosen = replace(chosen, pairs_per_weight=pairs)
        model = _programmed(model, chosen, delay, seed, index)
    if samples is not None:
        with status("Measuring gain and offset of each column"):
            model = recalibrate(model, samples, steps=steps)
    ds, stopped = None, False
    try:
        with progress("Running") as start:
            report = start(len(x))
            done = [0]

            def advance(now: int, _: int) -> None:
                report(now - done[0])
                done[0] = now

            ds = simulate(
                model, x, steps=steps, encoding=encoding, decoding=decoding, engine=engine,
                seed=seed, progress=advance,
            )  # fmt: skip
    except SimulationInterrupted as interruption:
        ds, stopped = interruption.recording, True
    except KeyboardInterrupt:
        # After the last sample, which leaves nothing to interrupt.
        stopped = True
    if ds is None:
        say("Stopped before the first samples were finished; nothing to write.")
        raise SystemExit(INTERRUPTED)
    try:
        with interrupts_held():
            if y is not None and y.ndim == 1:
                ds = ds.assign_coords(label=("trial", y[: ds.sizes["trial"]]))
            recording.save(ds, output)
    except KeyboardInterrupt:
        stopped = True
    if stopped:
        say(f"Stopped. {output} holds the first {ds.sizes['trial']} of {len(x)} samples.")
        raise SystemExit(INTERRUPTED)
    if y is not None:
        say(quality(ds, y))
    say(f"Wrote {output}.")


def _loaded(path: Path) -> SpikingNetwork:
    """Return a network of either kind of file."""
    from spikeram.conversion.nir import to_network
    from spikeram.network import SpikingNetwork

    return to_network(path) if path.suffix == ".nir" else SpikingNetwork.load(path)


def _refuse_without_chip(*names: str) -> None:
    """Refuse options that say something about a chip where there is none."""
    context = click.get_current_context()
    flags = {option.name: option.opts[0] for option in context.command.params}
    for name in names:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise ValueError(
                f"{flags[name]} is about a chip, but --chip none runs the ideal network. "
                "Leave one of them out."
            )


def _check_targets(network: SpikingNetwork, y: NDArray[np.generic], decoding: str | None) -> None:
    """Check before the run that labels, or targets of a regression, fit the network."""
    import numpy as np

    from spikeram.statistics import check_labels

    outputs = network.layers[-1].n_outputs
    if network.classes is not None:
        if y.ndim != 1:
            raise ValueError(f"A classifier expects labels y of shape (sample,), got {y.shape}.")
        check_labels(y, network.classes)
    elif y.ndim == 1 and y.dtype.kind != "f" and outputs > 1:
        check_labels(y, np.arange(outputs))
    elif y.dtype.kind not in "biuf" or y.size != len(y) * outputs:
        raise ValueError(
            f"A regression with {outputs} outputs expects numbers y of shape (sample, {outputs}), "
            f"got {y.dtype} of shape {y.shape}."
        )
    elif decoding == "first" and (outputs > 1 or y.dtype.kind == "f"):
        raise ValueError(
            "--decoding first tells classes, but the targets y are those of a regression. "
            "Use --decoding membrane."
        )


def _programmed(network: SpikingNetwork, chip: Chip, delay: str, seed: int, index: int) -> Any:
    from spikeram.programming import program

    with status(f"Programming {chip.name}"):
        programmed = program(network, chip=chip, delay=delay, seed=seed, index=index)
    say(
        f"Programmed {programmed.n_cells:,} cells on {programmed.mapping.n_powered} cores: "
        f"{programmed.mean_pulses:.2f} pulses a cell, {programmed.timed_out:.2%} timed out."
    )
    return programmed
