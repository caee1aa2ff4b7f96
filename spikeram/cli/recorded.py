"""The commands after a run: statistics, energy, a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikeram.cli.console import FILE, say, show, status

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray


@click.command()
@click.argument("run", type=FILE)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1),
    help="Also decide early: as soon as the softmax of the outputs exceeds this.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="Also decide early: as soon as the largest output exceeds the next by more than this.",
)
@click.option(
    "--min-steps",
    type=click.IntRange(min=1),
    help="Steps before the earliest decision; early outputs are often confident and wrong.",
)
def stats(run: Path, confidence: float | None, margin: float | None, min_steps: int | None) -> None:
    """Print spike statistics, energy and latency of a recorded RUN."""
    from spikeram.recording import load
    from spikeram.report import energy_table, latency_line, layer_table

    if confidence is not None and margin is not None:
        raise ValueError(
            "--confidence and --margin are two ways to be sure. Leave one of them out."
        )
    ds = load(run)
    say(_heading(run, ds))
    if "label" in ds.coords:
        say(quality(ds, ds["label"].values))
    asked = {"confidence": confidence, "margin": margin, "min_steps": min_steps}
    given = {name: value for name, value in asked.items() if value is not None}
    if given:
        say(_early(ds, given))
    show(layer_table(ds), "means over samples")
    show(energy_table(ds), "estimates from the chip's component table")
    say(latency_line(ds))


@click.command()
@click.argument("run", type=FILE)
@click.option("--output", type=FILE, default=Path("report.html"), show_default=True)
def report(run: Path, output: Path) -> None:
    """Write a self-contained HTML report of a recorded RUN, or of the store of a sweep."""
    from spikeram.files import check_output

    check_output(output)
    if run.suffix == ".zarr":
        from spikeram import sweep

        if sweep.is_store(run):
            with status("Drawing"):
                sweep.write_report(run, output)
            say(f"Wrote {output}.")
            return
    from spikeram.recording import load
    from spikeram.report import write_report

    ds = load(run)
    with status("Drawing"):
        write_report(ds, output)
    say(f"Wrote {output}.")


def quality(ds: xr.Dataset, y: NDArray[np.generic]) -> str:
    """Return what a recording achieved on labels, or on the targets of a regression."""
    from spikeram import statistics

    where = f"{ds.sizes['trial']} samples after {ds.attrs['steps']} steps."
    if statistics.is_regression(ds, y):
        error = float(statistics.root_mean_square_error(ds, y)[-1])
        return f"Root-mean-square error: {error:.4g} over {where}"
    return f"Accuracy: {float(statistics.accuracy(ds, y)[-1]):.2%} of {where}"


def _early(ds: xr.Dataset, options: dict[str, Any]) -> str:
    import numpy as np

    from spikeram import statistics

    labels = ds["label"].values if "label" in ds.coords else None
    decision = statistics.early_decision(ds, labels=labels, **options)
    right = f": {float(decision['accuracy']):.2%} right" if labels is not None else ""
    steps = decision["steps"].values
    most = int(np.quantile(steps, 0.95, method="inverted_cdf"))
    return (
        f"Early decision{right} after {steps.mean():.2f} steps on average, 95th percentile {most}."
    )


def _heading(path: Path, ds: xr.Dataset) -> str:
    done, asked = ds.sizes["trial"], int(ds.attrs["n_trials_requested"])
    state = "" if ds.attrs["complete"] else f" Stopped early: {asked} were asked for."
    step = f"{ds.attrs['steps']} steps of {1e6 * ds.attrs['dt']:.3g} us"
    return f"{path}: {done} samples, {step}.{state}"
