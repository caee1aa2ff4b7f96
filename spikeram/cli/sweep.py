"""spikeram sweep: many programmed chips, from a TOML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from spikeram.cli.console import INTERRUPTED, progress, say


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path), required=False)
@click.option("--output", type=click.Path(path_type=Path), help="The .zarr store to write.")
@click.option(
    "--executor",
    type=click.Choice(["processes", "threads", "serial"]),
    default="processes",
    show_default=True,
    help="Where units run; the results are the same.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes or threads.")
@click.option("--scheduler", help="Address of a Dask scheduler, tcp://host:port, instead.")
@click.option("--retries", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--dry-run", is_flag=True, help="Time one unit, print what all would take.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of an experiment.")
def sweep(
    experiment: Path | None,
    output: Path | None,
    executor: str,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    dry_run: bool,
    schema: bool,
) -> None:
    """Run an EXPERIMENT over many chips, resumable, and print its spread."""
    from spikeram import sweep as sweeps

    if schema:
        click.echo(json.dumps(sweeps.schema(), indent=2))
        return
    if experiment is None:
        raise click.UsageError("Name the TOML file of an experiment, or ask for its --schema.")
    what = sweeps.load_experiment(experiment)
    store = output or experiment.with_suffix(".zarr")
    if dry_run:
        found = sweeps.estimate(what, store)
        say(
            f"{found.units:,} units, {found.missing:,} of them to run, {found.seconds:.2g} s each: "
            f"{found.seconds * found.missing / 60:.1f} minutes on one processor, "
            f"{found.bytes / 1e6:,.1f} MB before compression."
        )
        return
    run = _executor(executor, workers, scheduler)
    try:
        with progress("Sweeping") as start:
            report = start(what.n_units)
            done = [0]

            def advance(now: int, _: int) -> None:
                report(now - done[0])
                done[0] = now

            ds = sweeps.sweep(what, store, executor=run, retries=retries, progress=advance)
    except KeyboardInterrupt:
        say(f"Stopped. {store} keeps what was finished; the same command goes on from there.")
        raise SystemExit(INTERRUPTED) from None
    _summarised(ds)
    failed = sweeps.failures(store)
    for number, traceback in list(failed.items())[:3]:
        say(f"Unit {number} failed: {traceback.strip().splitlines()[-1]}")
    say(f"Wrote {store}: {ds.attrs['units_done']:,} of {ds.attrs['units']:,} units.")
    say(f"Look at it with: spikeram report {store}")
    if failed:
        raise SystemExit(1)


def _executor(name: str, workers: int | None, scheduler: str | None) -> Any:
    from spikeram.sweep import executors

    if scheduler is not None:
        return executors.dask(scheduler)
    if name == "serial":
        return executors.serial
    return executors.threads(workers) if name == "threads" else executors.processes(workers)


def _summarised(ds: Any) -> None:
    """Print mean and spread of the accuracy over chips at the last step."""
    from spikeram.sweep import finished, over_chips

    if "accuracy" not in ds:
        return
    last = finished(ds).isel(step=-1, drop=True)
    table = over_chips(last)
    if not table["mean"].dims:
        say(
            f"Accuracy {float(table['mean']):.2%} over {int(table['n'])} chips, "
            f"{float(table['low']):.2%} to {float(table['high']):.2%}."
        )
        return
    say(str((100 * table.drop_vars("n").to_dataframe()).round(2)))
