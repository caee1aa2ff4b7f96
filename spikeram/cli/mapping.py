"""The command that shows where a network would lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spikeram.cli.console import FILE, say, show, with_suffix


@click.command("map")
@click.argument("network", type=FILE)
@click.option("--chip", default="neurram", show_default=True, help="A chip's name.")
@click.option("--chips", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--merge",
    type=click.Choice(["as_needed", "always", "never"]),
    default="as_needed",
    show_default=True,
    help="Whether small matrices share a core.",
)
@click.option(
    "--max-pairs",
    type=click.IntRange(min=1),
    help="Most pairs of rows of a segment. Default: what a core holds.",
)
@click.option(
    "--duplicate",
    "copies",
    multiple=True,
    metavar="LAYER=N",
    help="Hold a convolution N times; may be given again.",
)
@click.option("--fill", is_flag=True, help="Let cores that are left hold more copies.")
@click.option("--picture", type=FILE, help="Draw the first chip, as .png, .svg or .pdf.")
def map_command(
    network: Path, chip: str, chips: int, merge: Any, max_pairs: int | None,
    copies: tuple[str, ...], fill: bool, picture: Path | None,
) -> None:  # fmt: skip
    """Show which cores of a chip hold which part of a spiking NETWORK."""
    from spikeram import registry
    from spikeram.duplication import duplicate
    from spikeram.files import check_output, replacing
    from spikeram.filling import fill_chip
    from spikeram.mapping import map_network
    from spikeram.network import SpikingNetwork
    from spikeram.packing import MappingRules
    from spikeram.traffic import traffic

    if picture is not None:
        check_output(with_suffix(picture, ".png", ".svg", ".pdf", option="--picture"))
    model = SpikingNetwork.load(network)
    for told in copies:
        name, _, number = told.rpartition("=")
        if not name or not number.isdigit():
            raise ValueError(f"--duplicate expects LAYER=N, got {told!r}.")
        model = duplicate(model, name, int(number))
    chosen: Any = registry.lookup("chips", chip)()
    rules = MappingRules(merge=merge, max_pairs=max_pairs)
    stack = chosen.stack(chips)
    if fill:
        model = fill_chip(model, chosen, stack=stack, rules=rules)
    mapping = map_network(model, chosen, stack=stack, rules=rules)
    show(_table(mapping), str(network))
    used = mapping.utilisation()
    share = used.values[mapping.powered]
    cores = chips * chosen.n_cores
    say(
        f"{mapping.n_cells:,} cells in {len(mapping.placements)} parts on {mapping.n_powered} of "
        f"{cores} cores; {share.min():.1%} to {share.max():.1%} of their cells hold weights."
    )
    if chips > 1 and model.steps is not None:
        moved = traffic(mapping, steps=model.steps).attrs["bytes"]
        say(f"At most {moved:,.0f} bytes travel between chips in the {model.steps} steps.")
    if picture is not None:
        from spikeram import plot

        with replacing(picture) as scratch:
            plot.figure_of(plot.chip_map(mapping)).savefig(
                scratch, format=picture.suffix[1:], dpi=150
            )
        say(f"Wrote {picture}.")


def _table(mapping: Any) -> Any:
    from spikeram.report import Table

    rows = []
    for footprint in mapping.footprints:
        parts = mapping.parts[footprint.name]
        where = sorted({part.core for part in parts})
        rows.append(
            [
                footprint.name,
                f"{footprint.n_pairs} x {footprint.n_columns}",
                str(footprint.n_positions),
                str(len(parts)),
                f"{mapping.height(footprint.name)} x {max(part.width for part in parts)}",
                f"{sum(part.n_cells for part in parts):,}",
                _ranges(where),
            ]
        )
    header = ["layer", "pairs x columns", "positions", "parts", "of at most", "cells", "on cores"]
    return Table(header, rows)


def _ranges(numbers: list[int]) -> str:
    """Return numbers with runs of neighbours joined: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
