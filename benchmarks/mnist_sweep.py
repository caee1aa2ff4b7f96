"""MNIST on many chips: accuracy over delays and T, its spread, and the yield.

Converts a trained network once, and sweeps over chips and delays after programming, each chip
recalibrated after its delay; T is read from one run. The folder of `--output` holds the experiment
and its store: the same command goes on where an earlier one was stopped. Needs the four MNIST files
in $SPIKERAM_DATA/mnist.

    python benchmarks/mnist_sweep.py --samples 200 --dry-run
    python benchmarks/mnist_sweep.py --samples 200 --plot sweep.png
    python benchmarks/mnist_sweep.py --network trained.onnx --method least_squares
"""

from hashlib import sha256
from pathlib import Path

import click
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from mnist_training import images, labels
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from spikeram import plot, sweep
from spikeram.conversion import TrainedNetwork, convert, read
from spikeram.sweep import executors

STEPS = 32
DELAYS = ["1 s", "1 hour", "1 day", "30 days", "1 year"]
CALIBRATION = 1000
RECALIBRATION = 200
SHOWN = (1, 2, 4, 8, 16, 32)


def network_of(path: Path | None) -> tuple[str, TrainedNetwork]:
    """Return a name and the trained network of a file, or the published one as it is shipped."""
    if path is not None:
        return _name(path), read(path, input_shape=(1, 28, 28))
    from spikeram.models.networks.mnist_cnn import NETWORK
    from spikeram.models.networks.network import load

    return NETWORK.name, read(load(NETWORK), input_shape=(1, 28, 28))


def _name(path: Path) -> str:
    return f"{path.stem}-{sha256(path.read_bytes()).hexdigest()[:8]}"


def prepared(
    name: str,
    network: TrainedNetwork,
    folder: Path,
    *,
    method: str,
    chips: int,
    samples: int,
    seed: int,
) -> sweep.Experiment:
    """Return the experiment, after writing the files that it names."""
    folder.mkdir(exist_ok=True)
    train = images("train")[:CALIBRATION]
    # Once: least squares depend in their last bits on the number of threads.
    if not (folder / f"{name}.npz").exists():
        convert(network, train, steps=STEPS, method=method).save(folder / f"{name}.npz")
    np.savez(folder / "test.npz", x=images("t10k")[:samples], y=labels("t10k")[:samples])
    np.savez(folder / "calibration.npz", x=train[:RECALIBRATION])
    content = {
        "network": f"{name}.npz",
        "data": {"file": "test.npz"},
        "calibration": {"file": "calibration.npz"},
        "chips": chips,
        "steps": STEPS,
        "seed": seed,
        "samples_of_a_unit": samples,
        "record": ["accuracy", "spikes", "energy"],
        "axes": {"delay": DELAYS},
    }
    return sweep.experiment_from(content, folder=folder)


def swept(experiment: sweep.Experiment, store: Path, workers: int | None) -> xr.Dataset:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("Sweeping", total=experiment.n_units)
        return sweep.sweep(
            experiment,
            store,
            executor=executors.processes(workers),
            progress=lambda done, _: bar.update(task, completed=done),
        )


def table(values: xr.DataArray, levels: list[float]) -> Table:
    """Return a row for each delay: means over T, then spread and yield after the last step.

    The last columns are the shares of chips that reach a level.
    """
    last = sweep.over_chips(values.isel(step=-1))
    mean = values.mean("chip")
    share = sweep.yield_curve(values.isel(step=-1), levels)
    grid = Table(
        "delay", *(f"T={t}" for t in SHOWN), "std", "worst", "95 % interval",
        *(f"≥ {100 * level:g}" for level in levels),
    )  # fmt: skip
    for delay in values["delay"].values:
        here = last.sel(delay=delay)
        grid.add_row(
            str(delay),
            *(f"{100 * float(mean.sel(delay=delay, step=t)):.2f}" for t in SHOWN),
            *(f"{100 * float(here[name]):.2f}" for name in ("std", "min")),
            f"{100 * float(here['low']):.2f}-{100 * float(here['high']):.2f}",
            *(f"{100 * float(share.sel(delay=delay, level=level)):.1f}" for level in levels),
        )
    return grid


def drawn(values: xr.DataArray, reference: float) -> Figure:
    """Return accuracy over T, the chips after the last step, and their yield, side by side."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    over_t, chips, levels = figure.subplots(1, 3)
    last = values.isel(step=-1)
    plot.over_steps(sweep.over_chips(values), reference=reference, ax=over_t)
    plot.spread(last, "delay", ax=chips)
    low = max(0.0, float(last.min()) - 0.005)
    plot.yields(sweep.yield_curve(last, np.linspace(low, 1, 401)), ax=levels)
    for axes in (over_t, chips, levels):
        axes.spines[["top", "right"]].set_visible(False)
    levels.get_legend().remove()
    return figure


@click.command()
@click.option("--network", type=click.Path(path_type=Path), help=".npz, .onnx or .keras, trained.")
@click.option("--method", help="Of conversion.", default="learned_signed", show_default=True)
@click.option("--chips", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--samples", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--levels", default="0.9,0.95,0.97,0.98,0.99", show_default=True)
@click.option("--workers", type=click.IntRange(min=1))
@click.option("--output", type=click.Path(path_type=Path), default=Path("mnist-sweep"))
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Where to draw, PNG.")
@click.option("--dry-run", is_flag=True, help="Time one unit, say what all would take.")
def main(
    network: Path | None,
    method: str,
    chips: int,
    samples: int,
    seed: int,
    levels: str,
    workers: int | None,
    output: Path,
    picture: Path | None,
    dry_run: bool,
) -> None:
    """Sweep, print accuracies in %, draw them, and write the report into the output folder."""
    console = Console(width=140)
    name, model = network_of(network)
    experiment = prepared(
        name, model, output, method=method, chips=chips, samples=samples, seed=seed
    )
    store = output / "sweep.zarr"
    if dry_run:
        told = sweep.estimate(experiment, store)
        hours = told.seconds * told.missing / 3600
        console.print(
            f"{told.units:,} units, {told.missing:,} to run, {told.seconds:.2f} s each: "
            f"{hours:.2f} hours in one process, {told.bytes / 1e6:.1f} MB."
        )
        return
    values = sweep.finished(swept(experiment, store, workers))
    x, y = images("t10k")[:samples], labels("t10k")[:samples]
    reference = float(np.mean(model.predict(x) == y))
    console.print(f"{samples} images, {chips} chips; trained network: {100 * reference:.2f} %")
    console.print(table(values, [float(level) for level in levels.split(",")]))
    sweep.write_report(store, output / "report.html")
    if picture is not None:
        drawn(values, reference).savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
