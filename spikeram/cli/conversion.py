"""The commands before a run: look at a model, convert it, compare what others make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spikeram.cli.console import FILE, say, show, status, with_suffix


def _shape(_context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """Return the lengths in a text such as 3,32,32."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise click.BadParameter(f"expects lengths such as 3,32,32, got {text!r}.") from None


_INPUT_SHAPE = click.option(
    "--input-shape",
    callback=_shape,
    help="Shape of one sample, such as 3,32,32, where the model leaves it open.",
)


@click.command()
@click.argument("model", type=FILE)
@_INPUT_SHAPE
@click.option(
    "--chip", default="neurram", show_default=True, help="The chip that cores are counted on."
)
def inspect(model: Path, input_shape: tuple[int, ...] | None, chip: str) -> None:
    """List the operations of a trained MODEL, what becomes of each, and the cells it takes.

    The exit code is 1 where something cannot be converted.
    """
    from spikeram.conversion import inspect as look
    from spikeram.report import Table

    found = look(model, input_shape=input_shape, chip=chip)
    if found.operations:
        rows = [[row.name, row.kind, row.shape, row.fate] for row in found.operations]
        show(Table(["operation", "kind", "output", "becomes"], rows), str(model), text_columns=4)
    if not found.supported:
        number = sum(not row.supported for row in found.operations)
        say(f"{number} of {len(found.operations)} operations cannot be converted.")
        raise SystemExit(1)
    rows = [
        [
            row.name,
            row.reads,
            f"{row.rows} x {row.columns}",
            str(row.positions),
            row.neurons,
            f"{row.cells:,}",
            str(row.cores),
        ]
        for row in found.crossbars
    ]
    header = ["crossbar", "reads", "weights", "positions", "neurons", "cells", "cores"]
    show(Table(header, rows), "crossbars", text_columns=2)
    say(
        f"{found.cells:,} cells with one pair of rows for biases; {found.cores} cores of the "
        f"{found.n_cores} of {found.chip}, each layer on cores of its own, {found.merged} where "
        "small ones share a core."
    )
    if found.advice:
        say(found.advice)


@click.command()
@click.argument("model", type=FILE)
@click.option(
    "--calibration",
    type=FILE,
    required=True,
    help="Inputs like those to come: .npz with an array x, or .npy.",
)
@_INPUT_SHAPE
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Number of time steps to convert for.",
)
@click.option(
    "--method",
    help="How thresholds are chosen: max, max_channel, percentile_layer, percentile, "
    "least_squares, reconstruction, signed, signed_reconstruction, burst_percentile, burst, "
    "burst_reconstruction, signed_burst_reconstruction, learned, learned_signed, "
    "learned_reconstruction, or auto to measure and choose. Default: learned_reconstruction "
    "where the model brings thresholds, else least_squares.",
)
@click.option("--regression", is_flag=True, help="The outputs are values, not classes.")
@click.option(
    "--dialect",
    help="Of a .nir output, who is to read it: spikeram (default; loses nothing), sinabs, norse, "
    "spikingjelly, snntorch, lava, spinnaker2 or nengo.",
)
@click.option("--output", type=FILE, required=True, help="The spiking network, .npz or .nir.")
def convert(
    model: Path,
    calibration: Path,
    input_shape: tuple[int, ...] | None,
    steps: int,
    method: str | None,
    regression: bool,
    dialect: Any,
    output: Path,
) -> None:
    """Convert a trained MODEL to a spiking network.

    MODEL is a file: .npz of this package, .onnx, .keras, .h5 of Keras, or a .pt state dictionary
    of linear layers. Models in memory, of PyTorch among others, are converted from Python.
    """
    from spikeram.conversion import convert as to_spikes, read, report
    from spikeram.conversion.advice import advice
    from spikeram.conversion.nir import to_nir
    from spikeram.files import check_output, load_samples
    from spikeram.report import Table

    check_output(with_suffix(output, ".npz", ".nir"))
    if dialect is not None and output.suffix != ".nir":
        raise ValueError(f"--dialect is about .nir files, but --output is {output}.")
    x, _ = load_samples(calibration)
    trained = read(model, input_shape=input_shape or x.shape[1:], regression=regression)
    with status("Converting"):
        network = to_spikes(trained, x, steps=steps, method=method)
    network = network.told(model=str(model), calibration=str(calibration))
    if output.suffix == ".nir":
        to_nir(network, output, dialect=dialect or "spikeram")
    else:
        network.save(output)
    rows = [
        [
            row.name,
            str(row.neurons),
            f"{row.threshold:.4g}",
            f"{row.clipped:.2%}",
            f"{row.error:.2%}",
        ]
        for row in report(network, x, steps=network.steps or steps)
    ]
    at = f"expected error at T={network.steps or steps}"
    header = ["layer", "neurons", "median threshold", "clipped", at]
    show(Table(header, rows), f"{model}: {network.method}")
    if better := advice(trained, method):
        say(better)
    if "choice" in network.origin:
        say(f"auto took {network.origin['choice']}.")
    say(f"Wrote {output}.")


@click.command()
@click.argument("graph", type=FILE)
@click.option("--dt", type=float, help="Duration of a step [s], where the file does not say.")
@click.option(
    "--reset",
    type=click.Choice(["from metadata", "subtract", "v_reset"]),
    default="from metadata",
    show_default=True,
    help="What a spike does to the membrane.",
)
def verify(graph: Path, dt: float | None, reset: Any) -> None:
    """Run a NIR GRAPH here and in every framework that is installed, and compare spike counts."""
    from spikeram.conversion.nir import Conventions, verify as compare

    say(str(compare(graph, conventions=Conventions(dt=dt, reset=reset))))
