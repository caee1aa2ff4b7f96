"""The command that sizes a network from its shapes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikeram.cli.console import FILE, say, show, status

if TYPE_CHECKING:
    from spikeram.planning import Plan
    from spikeram.report import Table

_LISTED = 40


@click.command()
@click.argument("model", type=FILE)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    help="Shape of an input with its batch, such as image=1x3x224x224, or 1x3x224x224 where there "
    "is one input.",
)
@click.option("--steps", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Spikes of a neuron in a step.",
)
@click.option("--chip", default="neurram", show_default=True, help="The chip's name.")
@click.option("--input-bits", type=int, default=4, show_default=True, help="Of inference mode.")
@click.option("--output-bits", type=int, default=6, show_default=True, help="Of inference mode.")
@click.option("--all", "everything", is_flag=True, help="List every matrix by itself.")
def plan(
    model: Path, shapes: tuple[str, ...], steps: int, rate: float, chip: str, input_bits: int,
    output_bits: int, everything: bool,
) -> None:  # fmt: skip
    """Size a MODEL from its shapes alone: chips, cores, cells, time, energy, traffic.

    MODEL is an .onnx file, whose external weights need not be there, an .npz of this package, or a
    .toml file with a table [[layer]] for each layer: inputs, outputs, positions, groups, count.
    """
    from spikeram.planning import plan as size
    from spikeram.precision import Precision

    named, alone = _shapes(shapes)
    with status("Reading shapes"):
        found = size(
            model,
            shapes=named,
            input_shape=alone,
            steps=steps,
            rate=rate,
            chip=chip,
            precision=Precision(input_bits, output_bits),
        )
    show(_matrices(found, everything), f"{model} on {found.chip.name}", text_columns=2)
    show(_totals(found, rate), "in all", text_columns=2)
    show(_elsewhere(found), "one sample, here and elsewhere", text_columns=2)
    for line in _notes(found):
        say(line)


def _shapes(
    texts: tuple[str, ...],
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...] | None]:
    named: dict[str, tuple[int, ...]] = {}
    alone: tuple[int, ...] | None = None
    for text in texts:
        name, equals, lengths = text.rpartition("=")
        try:
            shape = tuple(int(part) for part in lengths.replace(",", "x").split("x"))
        except ValueError:
            raise ValueError(
                f"--shape expects lengths such as image=1x3x224x224, got {text!r}."
            ) from None
        if equals:
            named[name] = shape
        elif alone is None:
            alone = shape
        else:
            raise ValueError(f"--shape {text} does not say which input it is about: NAME={text}.")
    return named, alone


def _matrices(found: Plan, everything: bool) -> Table:
    """Return a row for each kind of matrix that recurs, the largest ones first where many do."""
    from spikeram.report import Table

    table = found.table
    joules = table["energy"].sum("component").values
    alike: dict[tuple[object, ...], list[int]] = {}
    for n, matrix in enumerate(found.shapes.matrices):
        key = (matrix.kind, matrix.rows, matrix.columns, matrix.groups, matrix.positions)
        alike.setdefault((n,) if everything else key, []).append(n)
    cells, cores = table["cells"].values, table["cores"].values
    groups = list(alike.values())
    listed = groups
    if not everything and len(groups) > _LISTED:
        largest = sorted(groups, key=lambda group: -int(cells[group].sum()))[:_LISTED]
        listed = sorted(largest)
    rows = []
    for group in listed:
        matrix = found.shapes.matrices[group[0]]
        size = f"{matrix.rows:,} x {matrix.columns:,}"
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        rows.append(
            [
                f"{table['matrix'].values[group[0]]}{more}",
                matrix.kind,
                f"{matrix.groups:,} of {size}" if matrix.groups > 1 else size,
                f"{matrix.positions:,}",
                f"{cells[group].sum():,}",
                f"{cores[group].sum():,}",
                f"{float(table['utilisation'][group[0]]):.0%}",
                _joule(float(joules[group].sum())),
            ]
        )
    if len(listed) < len(groups):
        rows.append([f"... {len(groups) - len(listed)} smaller kinds (--all)", *[""] * 7])
    header = ["matrix", "kind", "weights", "positions", "cells", "cores", "used", "energy"]
    return Table(header, rows)


def _totals(found: Plan, rate: float) -> Table:
    from spikeram.report import Table

    bits = found.precision
    rows = [
        ["weights", "of all matrices, without biases", f"{found.weights:,}"],
        ["cells", "two for each weight and bias", f"{found.cells:,}"],
        ["cores", "each matrix on its own", f"{found.cores:,}"],
        ["chips", f"of {found.chip.n_cores} cores", f"{found.chips:,}"],
        ["utilisation", "cells of its cores that are used", f"{found.utilisation:.1%}"],
        ["area", "of the cores, as NeuRRAM's", f"{1e6 * found.area:,.4g} mm2"],
        ["programming", "if write-verify ran on each chip", _time(found.programming_time)],
        ["", "on the published bench, chip by chip", _time(found.bench_time)],
        ["time", f"T = {found.steps}, one sample", _time(found.latency)],
        ["", "between two samples", _time(found.interval)],
        ["", f"{bits.input_bits}-bit inputs, {bits.output_bits}-bit ADC, one sample",
         _time(found.product_latency)],
        ["energy", f"T = {found.steps}, {rate:g} spikes a neuron and step",
         _joule(float(found.energy.sum()))],
        ["", f"{bits.input_bits}-bit inputs, {bits.output_bits}-bit ADC",
         _joule(float(found.product_energy.sum()))],
        ["traffic", "from chip to chip, one sample", f"{found.bits_between_chips / 8:,.3g} bytes"],
    ]  # fmt: skip
    return Table(["", "", "figure"], rows)


def _elsewhere(found: Plan) -> Table:
    from spikeram.comparison import elsewhere
    from spikeram.energy import CORE
    from spikeram.report import Table

    core = list(CORE)
    own = {
        "spiking, with traffic": found.energy,
        "spiking, cores alone": found.energy.sel(component=core),
        "inference mode, cores alone": found.product_energy.sel(component=core),
    }
    node = found.chip.energy.node
    rows = [[name, node, _joule(float(part.sum())), "[1]"] for name, part in own.items()]
    others, _ = elsewhere(found.workload)
    for number, (name, joule, _, at, _) in enumerate(others, start=2):
        rows.append([name, at, _joule(joule), f"[{number}]"])
    return Table(["platform", "node", "energy", "source"], rows)


def _notes(found: Plan) -> list[str]:
    from spikeram.comparison import elsewhere

    shapes = found.shapes
    others, _ = elsewhere(found.workload)
    sources = [found.chip.energy.source, *(source for *_, source in others)]
    lines = [f"[{number}] {source}." for number, source in enumerate(sources, start=1)]
    if shapes.weightless:
        counted = sorted(shapes.weightless.items(), key=lambda item: -item[1])
        names = ", ".join(f"{name} ({number})" for name, number in counted[:12])
        more = f" and {len(counted) - 12} kinds more" if len(counted) > 12 else ""
        lines.append(f"Without weights, not on crossbars: {names}{more}.")
    if shapes.other_parameters:
        lines.append(
            f"{shapes.other_parameters:,} parameters are in no matrix: biases, norms, embeddings."
        )
    lines += [f"Not sized: {what}." for what in shapes.unknown[:20]]
    if len(shapes.unknown) > 20:
        lines.append(f"... and {len(shapes.unknown) - 20} more.")
    return lines


def _joule(value: float) -> str:
    return _scaled(value, "J")


def _scaled(value: float, unit: str) -> str:
    for factor, prefix in ((1, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")):
        if value >= factor:
            return f"{value / factor:,.3g} {prefix}{unit}"
    return f"{value / 1e-12:.3g} p{unit}"


def _time(seconds: float) -> str:
    for length, name in ((31557600.0, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {name}"
    return _scaled(seconds, "s")
