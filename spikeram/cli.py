"""The command line. What a command needs is imported when it runs: ``--help`` costs nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from spikeram.demo import Outcome
    from spikeram.network import SpikingNetwork
    from spikeram.report import Table

_FILE = click.Path(path_type=Path)
# What a shell reports of a command that Ctrl-C ended: 128 and the number of the signal.
_INTERRUPTED = 130


class _Commands(click.Group):
    """A group whose commands report what went wrong in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                return super().invoke(ctx)
        except (ValueError, ImportError, OSError) as error:
            if os.environ.get("SPIKERAM_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            _say("Stopped.")
            raise SystemExit(_INTERRUPTED) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spikeram")
def main() -> None:
    """Spiking neural networks on analog RRAM crossbars.

    Convert a trained network to spikes, program it on a simulated chip, run it, and look at
    accuracy, spikes and energy. Start with: spikeram demo
    """


@main.command()
@click.option(
    "--output",
    type=_FILE,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for results.json, report.html and the files to try the commands on.",
)
@click.option(
    "--chips", type=click.IntRange(min=2), default=5, show_default=True, help="Programmed chips."
)
@click.option(
    "--delay", default="1 day", show_default=True, help="Time between programming and read-out."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def demo(output: Path, chips: int, delay: str, seed: int) -> None:
    """Train on handwritten digits, convert, program, run, and compare."""
    from spikeram import demo as job
    from spikeram.files import check_output
    from spikeram.units import as_si

    as_si(delay, "s", "--delay")
    output.mkdir(parents=True, exist_ok=True)
    for name in job.FILES:
        check_output(output / name)
    outcome: Outcome | None = None
    try:
        data = job.digits()
        with _status("Training a 64-128-64-10 network on 1437 digits"):
            trained = job.train(data, seed=seed)
        right = trained.predict(data.x_test) == data.y_test
        outcome = job.Outcome(ann=float(right.mean()), n_chips=chips, seed=seed, delay=delay)
        _write_examples(job, data, trained, output)
        _say(f"Trained network: {outcome.ann:.2%} of {right.size} held-out digits.")
        with _progress("Programming chips and running spikes") as progress:
            work = progress(len(job.STEPS) * (1 + 2 * chips))
            job.run(data, trained, outcome, progress=work)
        job.write_results(outcome, output / "results.json")
        with _status("Writing the report"):
            job.write_files(data, trained, outcome, output)
    except KeyboardInterrupt:
        if outcome is None:
            _say("Stopped before the network was trained; nothing to write.")
        else:
            job.write_results(outcome, output / "results.json")
            finished = f"{len(outcome.steps)} finished rows"
            _say(f"Stopped. {output / 'results.json'} holds the {finished}.")
        raise SystemExit(_INTERRUPTED) from None
    _show(job.table(outcome), f"{chips} chips, {delay} after programming; figures of one image")
    _say(f"Wrote {output / 'report.html'} and {output / 'results.json'}.")


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


@main.command()
@click.argument("model", type=_FILE)
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
        _show(Table(["operation", "kind", "output", "becomes"], rows), str(model), text_columns=4)
    if not found.supported:
        number = sum(not row.supported for row in found.operations)
        _say(f"{number} of {len(found.operations)} operations cannot be converted.")
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
    _show(Table(header, rows), "crossbars", text_columns=2)
    _say(
        f"{found.cells:,} cells with one pair of rows for biases; {found.cores} cores of the "
        f"{found.n_cores} of {found.chip}, each layer on cores of its own."
    )


@main.command()
@click.argument("model", type=_FILE)
@click.option(
    "--calibration",
    type=_FILE,
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
    "least_squares, reconstruction, signed, learned, or auto to measure and choose. By default "
    "learned where the model brings thresholds, else least_squares.",
)
@click.option("--output", type=_FILE, required=True, help="The spiking network, .npz.")
def convert(
    model: Path,
    calibration: Path,
    input_shape: tuple[int, ...] | None,
    steps: int,
    method: str | None,
    output: Path,
) -> None:
    """Convert a trained MODEL to a spiking network.

    MODEL is a file: .npz of this package, .onnx, .keras, or a .pt state dictionary of linear
    layers. Models in memory, of PyTorch among others, are converted from Python.
    """
    from spikeram.conversion import convert as to_spikes, read, report
    from spikeram.files import check_output, load_samples
    from spikeram.report import Table

    check_output(_with_suffix(output, ".npz"))
    x, _ = load_samples(calibration)
    trained = read(model, input_shape=input_shape or x.shape[1:])
    with _status("Converting"):
        network = to_spikes(trained, x, steps=steps, method=method)
    network = network.told(model=str(model), calibration=str(calibration))
    network.save(output)
    rows = [
        [
            row.name,
            str(row.neurons),
            f"{row.threshold:.4g}",
            f"{row.clipped:.2%}",
            f"{row.error:.2%}",
        ]
        for row in report(network, x, steps=steps)
    ]
    header = ["layer", "neurons", "median threshold", "clipped", f"expected error at T={steps}"]
    _show(Table(header, rows), f"{model}: {network.method}")
    if "choice" in network.origin:
        _say(f"auto took {network.origin['choice']}.")
    _say(f"Wrote {output}.")


@main.command()
@click.argument("network", type=_FILE)
@click.option("--data", type=_FILE, required=True, help="Inputs x and, if known, labels y (.npz).")
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
    "--recalibrate",
    "calibration",
    type=_FILE,
    help="Measure each column's gain and offset on these inputs first.",
)
@click.option(
    "--encoding",
    type=click.Choice(["current", "rate", "poisson"]),
    default="current",
    show_default=True,
    help="How inputs enter.",
)
@click.option("--engine", default="clocked", show_default=True, help="clocked or brian2.")
@click.option("--output", type=_FILE, required=True, help="The recording, .nc or .zarr.")
def run(
    network: Path, data: Path, steps: int | None, chip: str, delay: str, seed: int, index: int,
    calibration: Path | None, encoding: Any, engine: str, output: Path,
) -> None:  # fmt: skip
    """Run a spiking NETWORK on inputs, on a simulated chip."""
    from spikeram import recording, registry
    from spikeram.conversion import recalibrate
    from spikeram.errors import SimulationInterrupted
    from spikeram.files import interrupts_held, load_samples
    from spikeram.network import SpikingNetwork
    from spikeram.simulation import simulate
    from spikeram.units import as_si

    as_si(delay, "s", "--delay")
    if chip == "none":
        _refuse_without_chip("calibration", "delay", "index")
    registry.lookup("engines", engine)
    recording.check_path(output)
    x, y = load_samples(data)
    model: Any = SpikingNetwork.load(network)
    model.checked_input(x)
    if y is not None:
        _check_targets(model, y)
    samples = None
    if calibration is not None:
        samples = model.checked_input(load_samples(calibration)[0])
    if chip != "none":
        model = _programmed(model, chip, delay, seed, index)
    if samples is not None:
        with _status("Measuring gain and offset of each column"):
            model = recalibrate(model, samples, steps=steps)
    ds, stopped = None, False
    try:
        with _progress("Running") as progress:
            report = progress(len(x))
            done = [0]

            def advance(now: int, _: int) -> None:
                report(now - done[0])
                done[0] = now

            ds = simulate(
                model, x, steps=steps, encoding=encoding, engine=engine, seed=seed, progress=advance
            )
    except SimulationInterrupted as interruption:
        ds, stopped = interruption.recording, True
    except KeyboardInterrupt:
        # After the last sample, which leaves nothing to interrupt.
        stopped = True
    if ds is None:
        _say("Stopped before the first samples were finished; nothing to write.")
        raise SystemExit(_INTERRUPTED)
    try:
        with interrupts_held():
            if y is not None and y.ndim == 1:
                ds = ds.assign_coords(label=("trial", y[: ds.sizes["trial"]]))
            recording.save(ds, output)
    except KeyboardInterrupt:
        stopped = True
    if stopped:
        _say(f"Stopped. {output} holds the first {ds.sizes['trial']} of {len(x)} samples.")
        raise SystemExit(_INTERRUPTED)
    if y is not None:
        _say(_quality(ds, y))
    _say(f"Wrote {output}.")


@main.command()
@click.argument("run", type=_FILE)
def stats(run: Path) -> None:
    """Print spike statistics, energy and latency of a recorded RUN."""
    from spikeram.recording import load
    from spikeram.report import energy_table, latency_line, layer_table

    ds = load(run)
    _say(_heading(run, ds))
    if "label" in ds.coords:
        _say(_quality(ds, ds["label"].values))
    _show(layer_table(ds), "means over samples")
    _show(energy_table(ds), "estimates from the chip's component table")
    _say(latency_line(ds))


@main.command()
@click.argument("run", type=_FILE)
@click.option("--output", type=_FILE, default=Path("report.html"), show_default=True)
def report(run: Path, output: Path) -> None:
    """Write a self-contained HTML report of a recorded RUN."""
    from spikeram.files import check_output
    from spikeram.recording import load
    from spikeram.report import write_report

    check_output(output)
    ds = load(run)
    with _status("Drawing"):
        write_report(ds, output)
    _say(f"Wrote {output}.")


@main.command()
def doctor() -> None:
    """Show versions, and what is known not to work together."""
    from rich.table import Table
    from rich.text import Text

    from spikeram.doctor import examine

    findings = examine()
    grid = Table(box=None, show_header=False, pad_edge=False)
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    for finding in findings:
        state = Text(finding.state, style=colours[finding.state])
        grid.add_row(state, *map(Text, (finding.what, finding.found, finding.remedy)))
    _console().print(grid)
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)


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


def _check_targets(network: SpikingNetwork, y: NDArray[np.generic]) -> None:
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


def _programmed(network: SpikingNetwork, chip: str, delay: str, seed: int, index: int) -> Any:
    from spikeram.programming import program

    with _status(f"Programming {chip}"):
        programmed = program(network, chip=chip, delay=delay, seed=seed, index=index)
    _say(
        f"Programmed {programmed.n_cells:,} cells on {sum(programmed.cores)} cores: "
        f"{programmed.mean_pulses:.2f} pulses a cell, {programmed.timed_out:.2%} timed out."
    )
    return programmed


def _write_examples(job: Any, data: Any, trained: Any, output: Path) -> None:
    """Leave files behind that the other commands can be tried on."""
    import numpy as np

    trained.save(output / "trained.npz")
    np.savez_compressed(output / "calibration.npz", x=data.x_train[: job.RECALIBRATION_SAMPLES])
    np.savez_compressed(output / "test.npz", x=data.x_test, y=data.y_test)


def _quality(ds: xr.Dataset, y: NDArray[np.generic]) -> str:
    from spikeram import statistics

    where = f"{ds.sizes['trial']} samples after {ds.attrs['steps']} steps."
    if statistics.is_regression(ds, y):
        error = float(statistics.root_mean_square_error(ds, y)[-1])
        return f"Root-mean-square error: {error:.4g} over {where}"
    return f"Accuracy: {float(statistics.accuracy(ds, y)[-1]):.2%} of {where}"


def _heading(path: Path, ds: xr.Dataset) -> str:
    done, asked = ds.sizes["trial"], int(ds.attrs["n_trials_requested"])
    state = "" if ds.attrs["complete"] else f" Stopped early: {asked} were asked for."
    step = f"{ds.attrs['steps']} steps of {1e6 * ds.attrs['dt']:.3g} us"
    return f"{path}: {done} samples, {step}.{state}"


def _with_suffix(path: Path, suffix: str) -> Path:
    if path.suffix != suffix:
        raise ValueError(f"--output expects a name that ends in {suffix}, got {path}.")
    return path


def _warn(message: Warning | str, *_details: Any, **_more: Any) -> None:
    click.echo(f"Warning: {message}", err=True)


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _say(text: str) -> None:
    click.echo(text)


def _show(table: Table, title: str, *, text_columns: int = 1) -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    # Plain strings would be read as markup, in which [kHz] is a style.
    grid = Grid(title=Text(title), title_justify="left")
    for n, name in enumerate(table.header):
        grid.add_column(Text(name), justify="left" if n < text_columns else "right")
    for row in table.rows:
        grid.add_row(*map(Text, row))
    _console().print(grid)


@contextmanager
def _status(text: str) -> Iterator[None]:
    """Show a spinner on a terminal, one line elsewhere."""
    from rich.text import Text

    console = _console()
    if not console.is_terminal:
        _say(f"{text} ...")
        yield
        return
    with console.status(Text(text)):
        yield


@contextmanager
def _progress(text: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """Yield a function that starts a bar of a given length and returns how to advance it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = _console()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def start(total: int) -> Callable[[int], None]:
            task = bar.add_task(text, total=total)
            return lambda cells: bar.advance(task, cells)

        yield start
