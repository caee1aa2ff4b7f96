"""The tables and the picture of `benchmarks/engines.py`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine_parts.crossbar import BATCHES, SIZES
from engine_parts.networks import ALONE, BATCH, FEW

OWN = "spikeram"
DENSE = "numpy, float32 product"
COLOURS = {OWN: "C0", DENSE: "0.3", "SpikingJelly": "C1", "snnTorch": "C2", "Brian2": "C3"}

Row = dict[str, Any]


def shown(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    peak = results["floor"]
    console.print(
        "int16 additions a second with rows in L1, L2, L3: "
        + ", ".join(f"{peak[name] / 1e9:.1f} G" for name in ("L1", "L2", "L3"))
        + f"; memory read at {peak['memory [B/s]'] / 1e9:.1f} GB/s"
    )
    for table in (_own(results), _crossbars(results), _networks(results), _growth(results)):
        console.print(table)


def _table(title: str, headings: Iterable[str], left: int = 0) -> Table:
    table = Table(title=title)
    for n, heading in enumerate(headings):
        table.add_column(heading, justify="left" if n < left else "right")
    return table


def _own(results: dict[str, Any]) -> Table:
    table = _table(
        "One crossbar, one core",
        ("size", "batch", "active", "additions [G/s]", "of the L2 peak",
         "float32 product / charge", "float32 product / whole step", "step and sample [us]"),
    )  # fmt: skip
    for row in results["arrays"]:
        table.add_row(
            f"{row['size']}", f"{row['batch']}", f"{row['activity']:.0%}",
            f"{row['additions_per_s'] / 1e9:.1f}", f"{row['of_peak']:.2f}",
            f"{row['product_over_charge']:.1f}", f"{row['product_over_step']:.1f}",
            f"{row['us_per_sample_and_step']:.2f}",
        )  # fmt: skip
    return table


def of_crossbars(results: dict[str, Any]) -> list[Row]:
    """Return the time of every tool on one crossbar, the engine and the product among them."""
    keys = ("size", "batch", "steps", "activity")
    rows: list[Row] = []
    for row in results["arrays"]:
        shared = {key: row[key] for key in keys}
        rows += [
            {**shared, "tool": OWN, "us_per_sample_and_step": row["us_per_sample_and_step"]},
            {**shared, "tool": DENSE, "us_per_sample_and_step": row["product_us"]},
        ]
    return rows + [row for row in results["crossbars"] if "size" in row]


def _crossbars(results: dict[str, Any]) -> Table:
    rows = of_crossbars(results)
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    table = _table(
        "One crossbar in each tool: us a sample and step, and spikes counted as ours",
        ("size", "batch", "active", "T", *tools),
    )
    found = {(r["size"], r["batch"], r["activity"], r["tool"]): r for r in rows}
    for row in results["arrays"]:
        key = row["size"], row["batch"], row["activity"]
        cells = [_cell(found.get((*key, tool))) for tool in tools]
        table.add_row(f"{key[0]}", f"{key[1]}", f"{key[2]:.0%}", f"{row['steps']}", *cells)
    for row in results["crossbars"]:
        if "reason" in row:
            table.caption = "A tool that was not measured: " + "; ".join(
                dict.fromkeys(
                    f"{r['tool']}, {r.get('size', '')} x {r.get('batch', '')}: {r['reason']}"
                    for r in results["crossbars"]
                    if "reason" in r
                )
            )
    return table


def _cell(row: Row | None) -> str:
    if row is None or "us_per_sample_and_step" not in row:
        return "-"
    found = f"{row['us_per_sample_and_step']:.2f}"
    if row.get("same_counts") != row.get("counts"):
        found += f" ({row['same_counts']} of {row['counts']})"
    return found


def _networks(results: dict[str, Any]) -> Table:
    table = _table(
        f"Networks, {BATCH} samples, one core",
        ("network", "tool", "T", "seconds", "times the engine", "same", "same counts", "besides"),
        left=2,
    )
    rows = results["networks"] + results["brian2"]
    alone = {row["network"]: row["seconds"] for row in rows if row["tool"] == ALONE}
    for row in rows:
        if "seconds" not in row:
            reason = f"not measured: {row['reason']}"
            table.add_row(row["network"], row["tool"], "", "", "", "", "", reason)
            continue
        besides = {"before": "before", "build": "build", "program": "whole program"}
        table.add_row(
            row["network"], row["tool"], f"{row['steps']}", f"{row['seconds']:.4f}",
            f"{row['seconds'] / alone[row['network']]:.1f}", f"{row['same']} of {row['of']}",
            f"{row['same_counts']} of {row['counts']}" if "counts" in row else "",
            ", ".join(f"{told} {row[key]:.2f} s" for key, told in besides.items() if key in row),
        )  # fmt: skip
    return table


def _growth(results: dict[str, Any]) -> Table:
    rows = results["growth"]
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    table = _table(f"{results['growing']}, {FEW} samples: ms a step", ("T", *tools))
    for steps in dict.fromkeys(row["steps"] for row in rows):
        some = {row["tool"]: row for row in rows if row["steps"] == steps}
        table.add_row(
            f"{steps}",
            *(
                f"{1e3 * some[tool]['seconds'] / steps:.3f}" if "seconds" in some[tool] else "-"
                for tool in tools
            ),
        )
    return table


def _colour(tool: str) -> str:
    return next(colour for name, colour in COLOURS.items() if tool.startswith(name))


def drawn(results: dict[str, Any], path: Path) -> None:
    """Draw additions over activity, the time of each network, and how time grows."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(11, 9), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(6, 4))
    left, right = top.subplots(1, 2, width_ratios=(3, 4))
    for size in SIZES:
        for batch, mark in zip(BATCHES, "os^"):
            some = [r for r in results["arrays"] if (r["size"], r["batch"]) == (size, batch)]
            left.plot(
                [100 * r["activity"] for r in some],
                [r["additions_per_s"] / 1e9 for r in some],
                marker=mark, color=f"C{SIZES.index(size)}",
                label=f"{size} x {size}, batch {batch}",
            )  # fmt: skip
    left.axhline(results["floor"]["L2"] / 1e9, color="0.3", ls="--", label="rows in L2, peak")
    left.set(xscale="log", yscale="log", xlabel="active inputs [%]", ylabel="int16 additions [G/s]")
    left.legend(fontsize="x-small")
    measured = results["networks"] + results["brian2"]
    _bars(right, [row for row in measured if "seconds" in row])
    by_activity, by_size, by_steps = bottom.subplots(1, 3)
    by_steps.set_visible(bool(results["growth"]))
    rows = of_crossbars(results)
    time = "us_per_sample_and_step"
    _lines(
        by_activity, rows, lambda row: (row["size"], row["batch"]) == (1024, 64),
        lambda row: 100 * row["activity"], time,
    )  # fmt: skip
    by_activity.set(
        title="1024 x 1024, batch 64", xlabel="active inputs [%]", ylabel="step and sample [us]"
    )
    _lines(
        by_size, rows, lambda row: (row["activity"], row["batch"]) == (0.1, 1),
        lambda row: float(row["size"]), time,
    )  # fmt: skip
    by_size.set(title="10 % active, batch 1", xlabel="inputs = outputs")
    by_size.margins(x=0.1)
    _lines(
        by_steps, results["growth"], lambda row: "simulate" not in row["tool"],
        lambda row: float(row["steps"]), "seconds",
    )  # fmt: skip
    by_steps.set(title=f"{results['growing']}, {FEW} samples", xlabel="steps T", ylabel="time [s]")
    for axes in (by_activity, by_size, by_steps):
        axes.set(xscale="log", yscale="log")
        if axes is by_size:
            axes.set_xticks(SIZES, [f"{size}" for size in SIZES])
            axes.minorticks_off()
        # The middle has the colours of the left, and lines everywhere.
        if axes.lines and axes is not by_size:
            axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=130)


def _bars(axes: Any, rows: list[Row]) -> None:
    """Draw the time of each network in each tool."""
    some = rows[::-1]
    colours = ["C0" if OWN in row["tool"] or "Crossbar" in row["tool"] else "0.6" for row in some]
    places = range(len(some))
    axes.barh(places, [row["seconds"] for row in some], color=colours)
    axes.set_yticks(places, [f"{row['tool']}: {row['network']}" for row in some], fontsize=6)
    axes.set(xscale="log", xlabel=f"time for {BATCH} samples [s]")


def _lines(
    axes: Any,
    rows: list[Row],
    chosen: Callable[[Row], bool],
    x: Callable[[Row], float],
    y: str,
) -> None:
    """Draw a line for each tool."""
    some = [row for row in rows if chosen(row) and y in row]
    for tool in dict.fromkeys(row["tool"] for row in some):
        own = [row for row in some if row["tool"] == tool]
        axes.plot([x(row) for row in own], [row[y] for row in own], marker="o", ms=3,
                  color=_colour(tool), label=tool)  # fmt: skip
