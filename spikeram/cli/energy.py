"""The command that prices a recorded run, here and elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikeram.cli.console import FILE, say, show

if TYPE_CHECKING:
    import xarray as xr

    from spikeram.report import Table


@click.command()
@click.argument("run", type=FILE)
@click.option("--chip", help="Price it as this chip; default: the one that ran.")
@click.option(
    "--idle",
    type=click.Choice(["skip", "skip_biases", "run"]),
    default="skip",
    show_default=True,
    help="Steps in which nothing drives a crossbar: skip them; also those that only biases drive; "
    "or none.",
)
@click.option(
    "--word-lines",
    type=click.Choice(["pulsed", "held"]),
    default="pulsed",
    show_default=True,
    help="Switch word lines in every step, or hold them open for all steps of a sample.",
)
@click.option("--input-bits", type=int, default=4, show_default=True, help="Of inference mode.")
@click.option("--output-bits", type=int, default=6, show_default=True, help="Of inference mode.")
def energy(
    run: Path, chip: str | None, idle: Any, word_lines: Any, input_bits: int, output_bits: int
) -> None:
    """Price a recorded RUN by component, and compare with other hardware.

    All figures are of one sample, on average.
    """
    from spikeram.area import area
    from spikeram.comparison import compare
    from spikeram.energy import energy as joules, resolve
    from spikeram.precision import Precision
    from spikeram.recording import load
    from spikeram.report import joule_table, latency_line

    precision = Precision(input_bits, output_bits)
    ds = load(run)
    found = joules(ds, chip, idle=idle, word_lines=word_lines).mean("trial")
    show(joule_table(found), f"{run}: spiking mode, word lines {word_lines}, idle steps: {idle}")
    show(_components(found.sum("crossbar")), "of all crossbars, by component")
    if found.attrs["source"]:
        say(f"{found.attrs['node']}: {found.attrs['source']}.")
    say(_idle_line(ds))
    say(latency_line(ds))
    table = compare(ds, resolve(chip, ds), precision=precision)
    show(_comparison(table), "the same network elsewhere", text_columns=2)
    for number, source in enumerate(_sources(table), start=1):
        say(f"[{number}] {source}.")
    cores = int(ds["cores"].sum())
    if cores:
        size = area(cores)
        say(
            f"{cores} cores, each layer on its own: {1e6 * float(size.sum()):.3g} mm2 of "
            f"{size.attrs['chips']} chip(s) of {1e6 * size.attrs['chip_area']:.0f} mm2 in all."
        )


def _components(joules: xr.DataArray) -> Table:
    from spikeram.report import Table

    whole = float(joules.sum())
    rows = [
        [str(name).replace("_", " "), f"{1e9 * value:.3g}", f"{value / whole:.1%}"]
        for name, value in zip(joules["component"].values, joules.values)
        if value > 0
    ]
    return Table(["component", "nJ", "share"], [*rows, ["all", f"{1e9 * whole:.4g}", "100 %"]])


def _idle_line(ds: xr.Dataset) -> str:
    if "active_steps" not in ds:
        return "The recording does not say which steps are idle."
    every = int(ds.attrs["steps"]) * ds["positions"]
    silent = 1 - ds["active_steps"].mean("trial") / every
    shares = ", ".join(
        f"{name} {float(silent.sel(crossbar=name)):.0%}" for name in silent.crossbar.values
    )
    biased = int((ds["always_on"] > 0).sum())
    held = f" Biases keep {biased} of {ds.sizes['crossbar']} from idling." if biased else ""
    return f"Steps without input: {shares}.{held}"


def _sources(table: xr.Dataset) -> list[str]:
    """Return each source once; a run that does not say where its energies came from says so."""
    return [source or "as recorded" for source in dict.fromkeys(map(str, table["source"].values))]


def _comparison(table: xr.Dataset) -> Table:
    from spikeram.report import Table

    sources = _sources(table)
    rows = []
    for name in table["platform"].values:
        row = table.sel(platform=name)
        time = float(row["latency"])
        rows.append(
            [
                str(name),
                str(row["node"].values),
                f"{1e9 * float(row['energy']):,.4g}",
                f"{1e6 * time:,.3g}" if time == time else "",
                f"{float(row['operations']):,.4g}",
                f"{1e12 * float(row['energy_per_operation']):.3g}",
                f"{float(row['relative']):.3g}",
                f"[{sources.index(str(row['source'].values) or 'as recorded') + 1}]",
            ]
        )
    header = ["platform", "node", "nJ", "us", "operations", "pJ each", "relative", "source"]
    return Table(header, rows)
