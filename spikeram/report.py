"""One self-contained HTML file: tables, pictures and where they came from."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikeram import energy, plot, statistics
from spikeram.files import replacing


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Parameters
    ----------
    header : sequence of str
        Column titles.
    rows : sequence of sequence of str
        Cells, ready to print.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Parameters
    ----------
    title, text : str
        Heading, and what the reader sees below.
    table : Table or None
        A table.
    figures : sequence of Axes
        Pictures, as `spikeram.plot` draws them.
    """

    title: str
    text: str = ""
    table: Table | None = None
    figures: Sequence[Axes] = field(default=())


def write_report(ds: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a report of a recording.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording. With a ``label`` coordinate on its trials it also shows accuracy over time,
        or for a regression its error.
    path : str or Path
        The HTML file.
    """
    write(path, "A spiking run", _lead(ds), sections(ds), provenance=_provenance(ds))


def sections(ds: xr.Dataset) -> list[Section]:
    """Return what a recording alone can show."""
    found = [
        Section("Layers", "Means over trials; rates over each layer's window.", layer_table(ds)),
        Section(
            "Energy and latency",
            f"{_ENERGY} {latency_line(ds)}",
            energy_table(ds),
            [plot.energy_breakdown(ds)],
        ),
    ]
    if "label" in ds.coords:
        found.insert(0, _quality(ds, ds["label"].values))
    if "t" in ds.variables:
        found.append(Section("Raster", figures=[plot.raster(ds)]))
    found.append(Section("Firing rates", _RATES, activity_table(ds), [plot.rates(ds)]))
    if "t" in ds.variables:
        found.append(Section("Intervals", _INTERVALS, figures=[plot.isi_histogram(ds)]))
    return found


def _quality(ds: xr.Dataset, labels: NDArray[np.generic]) -> Section:
    text = f"over {ds.sizes['trial']} samples after {ds.attrs['steps']} steps."
    if statistics.is_regression(ds, labels):
        error = float(statistics.root_mean_square_error(ds, labels)[-1])
        return Section("Root-mean-square error", f"{error:.4g} {text}")
    curve = statistics.accuracy(ds, labels)
    shown = {"this run": plot.Curve(steps=curve["step"].values, mean=curve.values)}
    return Section(
        "Accuracy over time",
        f"{float(curve[-1]):.2%} {text} {_CONFIDENCE}",
        figures=[plot.accuracy(shown), plot.confidence(ds, labels)],
    )


def layer_table(ds: xr.Dataset) -> Table:
    """Return the main figures of each layer."""
    summary = statistics.summary(ds)
    header = ["layer", "neurons", "rate [kHz]", "CV", "Fano", "silent", "spikes", "synaptic ops"]
    rows = []
    for name in summary["layer"].values:
        layer = summary.sel(layer=name)
        rows.append(
            [
                str(name),
                f"{int(layer['neurons'])}",
                _number(layer["rate"].item() / 1e3),
                _number(layer["cv"].item() if "cv" in layer else np.nan),
                _number(layer["fano_factor"].item()),
                f"{layer['sparsity'].item():.0%}",
                _number(layer["spikes"].item()),
                _number(layer["synaptic_operations"].item()),
            ]
        )
    return Table(header, rows)


def activity_table(ds: xr.Dataset) -> Table:
    """Return how the activity of each layer is spread over its neurons."""
    dead, full = statistics.dead(ds), statistics.saturated(ds).mean("trial")
    sparseness = {
        "Treves-Rolls": statistics.treves_rolls(ds),
        "Hoyer": statistics.hoyer(ds),
    }
    rows = []
    for name in statistics.summary(ds)["layer"].values:
        shares = [dead.sel(layer=name).item(), full.sel(layer=name).item()]
        means = [statistics.finite_mean(s.sel(layer=name).values) for s in sparseness.values()]
        rows.append([str(name), *(f"{v:.1%}" for v in shares), *(_number(float(m)) for m in means)])
    return Table(["layer", "never fire", "fire in every step", *sparseness], rows)


def latency_line(ds: xr.Dataset) -> str:
    """Return how long one sample takes on the chip, in words."""
    return f"A sample takes {1e6 * float(energy.latency(ds).mean()):.3g} us."


def energy_table(ds: xr.Dataset) -> Table:
    """Return the energy of one sample, by crossbar and component, on the chip that ran."""
    return joule_table(energy.energy(ds).mean("trial"))


def joule_table(joules: xr.DataArray) -> Table:
    """Return energies of dims (crossbar, component) in a few groups; those without any left out."""
    groups = {
        title: joules.sel(component=[name for name in names if name in joules["component"]])
        for title, names in _GROUPS.items()
    }
    sums = {title: part.sum("component") for title, part in groups.items()}
    shown = {title: part for title, part in sums.items() if float(part.sum()) > 0}
    rows = []
    for name in [*joules["crossbar"].values, "all"]:
        values = [
            float((v if name == "all" else v.sel(crossbar=name)).sum()) for v in shown.values()
        ]
        rows.append([str(name), *(_number(1e9 * v) for v in values), _number(1e9 * sum(values))])
    return Table(["nJ for each sample", *shown, "sum"], rows)


def write(
    path: str | os.PathLike[str],
    title: str,
    lead: str,
    content: Sequence[Section],
    *,
    provenance: Any,
) -> None:
    """Write a report from its sections.

    The file is complete or not there at all: it is renamed into place.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeram", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead,
        sections=[
            {
                "title": section.title,
                "text": section.text,
                "table": section.table,
                "pictures": [_png(figure) for figure in section.figures],
            }
            for section in content
        ],
        provenance=json.dumps(provenance, indent=2, default=str),
    )
    with replacing(path) as scratch:
        scratch.write_text(html, encoding="utf-8")


_GROUPS = {
    "word lines": ("word_lines", "start"),
    "input pulses": ("input_pulses",),
    "neurons": ("sample", "integrate", "compare", "decrement", "shift_add", "control"),
    "partial sums": ("partial_sums",),
    "traffic": ("traffic", "off_chip"),
}

_CONFIDENCE = (
    "Beside it, how sure the output is on average: where it is surer than right, early decisions "
    "are wrong."
)
_RATES = (
    "Neurons that never fire waste cells; those that fire in every step cannot tell larger "
    "activations apart. Sparseness is 0 where all neurons of a layer fire alike and 1 where one "
    "fires alone."
)
_INTERVALS = "Regular trains have few different intervals; peaks lie at whole numbers of steps."
_ENERGY = (
    "Estimates from what each part of the chip costs, and how often each worked. Traffic between "
    "cores and digital sums of their parts are assumed figures."
)


def _png(axes: Axes) -> str:
    buffer = io.BytesIO()
    plot.figure_of(axes).savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _lead(ds: xr.Dataset) -> str:
    requested, done = int(ds.attrs["n_trials_requested"]), ds.sizes["trial"]
    text = f"{done} samples of {ds.attrs['steps']} steps."
    return text if ds.attrs["complete"] else f"{text} Stopped early: {requested} were asked for."


def _provenance(ds: xr.Dataset) -> Any:
    return json.loads(ds.attrs["provenance"])
