from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from spikeram import plot, statistics
from spikeram.conversion import convert
from spikeram.conversion.diagnostics import activation_and_rate, diagnose
from spikeram.crossbar import Crossbar
from spikeram.packing import map_footprints
from spikeram.parasitics import Wires
from spikeram.placement import Footprint, Stack
from spikeram.programming import program
from spikeram.report import Section, Table, write, write_report
from spikeram.simulation import membrane, simulate

from networks import inputs, single, trained

X = inputs(0, 20)
CHIP = program(convert(trained(), X, steps=16), seed=0)
RUN = simulate(CHIP, X)


def drawn(axes):
    """Draw axes, so that what cannot be drawn fails here."""
    plot.figure_of(axes).savefig(io.BytesIO(), format="png")
    return axes


def test_the_raster_shows_every_spike_of_its_trial():
    axes = drawn(plot.raster(RUN, trial=3))
    shown = sum(line.get_xdata().size for line in axes.lines if line.get_marker() == "|")
    assert shown == int(RUN["row_size"].isel(trial=3).sum())


def test_a_run_without_spikes_can_be_drawn():
    silent = simulate(single(1.0, -1.0, 1.0), [[0.5]], steps=4)
    assert silent.sizes["event"] == 0
    drawn(plot.raster(silent))
    drawn(plot.rates(silent))


def test_the_conductance_map_shows_what_is_read():
    axes = drawn(plot.conductance_map(CHIP.layers[0]))
    shown, g = axes.images[0].get_array(), CHIP.layers[0].crossbar.conductance * 1e6
    np.testing.assert_allclose(shown[:, : g.shape[2]], g[0])
    np.testing.assert_allclose(shown[:, -g.shape[2] :], g[1])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_map_of_wires_shows_what_they_take_from_each_cell(direction):
    crossbar = Crossbar(conductance=np.full((2, 3, 4), 4e-5), wires=Wires(r_driver=1e3))
    axes = drawn(plot.wire_loss(crossbar if direction == "forward" else crossbar.T))
    change = axes.images[0].get_array()
    assert change.shape == (6, 4)
    # Equal cells and drivers: all lines float at the same mean as before.
    np.testing.assert_allclose(change, 0.0, atol=1e-9)


def test_the_histogram_counts_every_cell_in_its_range():
    drawn(plot.programming(CHIP.layers[0]))
    axes = drawn(plot.deviation(CHIP.layers[0]))
    heights = [p.get_height() for p in axes.patches if hasattr(p, "get_height")]
    error = np.abs(CHIP.layers[0].written - CHIP.layers[0].target)
    assert sum(heights) == np.count_nonzero(error <= 12e-6)


def test_the_membrane_plot_has_a_trace_and_a_threshold_for_each_neuron():
    trace = membrane(CHIP, X[0], layer=0).isel(neuron=[0, 3])
    assert len(drawn(plot.membrane(trace, np.array([0.01, 0.02]))).lines) == 4


def test_accuracy_curves_are_drawn_in_percent():
    curve = plot.Curve(steps=[1, 2, 4], mean=[0.5, 0.7, 0.9], low=[0.4] * 3, high=[0.95] * 3)
    axes = drawn(plot.accuracy({"a": curve}, reference=0.97))
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [50, 70, 90])


def parts_drawn(axes):
    """Return the rectangles that are neither cores nor entries of the legend."""
    patches = [patch for patch in axes.patches if patch.get_linewidth() == 0.5]
    return {(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in patches}


def test_the_chip_map_draws_every_part_where_it_lies():
    stack = Stack(n_cores=2, rows=64, columns=32)
    mapping = map_footprints([Footprint(name="a", n_pairs=40, n_columns=10)], stack)
    axes = drawn(plot.chip_map(mapping))
    # The second core stands beside the first.
    assert parts_drawn(axes) == {(0, 0, 10, 40), (1.12 * 32, 0, 10, 40)}


def test_the_chip_map_has_a_core_for_each_and_marks_those_that_are_off():
    axes = drawn(plot.chip_map(CHIP.mapping))
    cores = [patch for patch in axes.patches if patch.get_linewidth() == 0.6]
    assert len(cores) == 48
    off = [patch for patch in cores if patch.get_facecolor()[0] == 0.9]
    assert len(off) == 48 - CHIP.mapping.n_powered == 45
    # 8 x 6, as on the published chip.
    assert len({patch.get_x() for patch in cores}) == 6


def test_the_chip_map_marks_bad_lines_and_spans_them():
    stack = Stack(n_cores=1, rows=32, columns=16, bad_rows={0: [1, 20]}, bad_columns={0: [2]})
    mapping = map_footprints([Footprint(name="a", n_pairs=4, n_columns=4)], stack)
    axes = drawn(plot.chip_map(mapping))
    assert [line.get_ydata()[0] for line in axes.lines[:2]] == [1.5, 20.5]
    assert len(axes.lines) == 3
    assert parts_drawn(axes) == {(0, 0, 5, 9)}


def test_a_chip_map_of_another_chip_than_there_are_is_refused():
    with pytest.raises(ValueError, match="expects a chip from 0 to 0, got 1"):
        plot.chip_map(CHIP.mapping, chip=1)


def test_every_picture_draws_on_the_axes_it_is_given_and_names_its_own():
    labels = np.zeros(20, dtype=int)
    rates = activation_and_rate(trained(), CHIP, X)["dense_1"]
    pictures = [
        lambda ax: plot.accuracy({"a": plot.Curve(steps=[1, 2], mean=[0.5, 0.7])}, ax=ax),
        lambda ax: plot.confidence(RUN, labels, ax=ax),
        lambda ax: plot.raster(RUN, ax=ax),
        lambda ax: plot.rates(RUN, ax=ax),
        lambda ax: plot.isi_histogram(RUN, ax=ax),
        lambda ax: plot.correlation(RUN, 2 * RUN.attrs["dt"], layer="dense_1", ax=ax),
        lambda ax: plot.conductance_map(CHIP.layers[0], ax=ax),
        lambda ax: plot.programming(CHIP.layers[0], ax=ax),
        lambda ax: plot.deviation(CHIP.layers[0], ax=ax),
        lambda ax: plot.energy_breakdown(RUN, ax=ax),
        lambda ax: plot.activation_and_rate(rates.activation, rates.rate, ax=ax),
        lambda ax: plot.error_parts(diagnose(trained(), CHIP, X), ax=ax),
    ]
    for picture in pictures:
        given = Figure().subplots()
        assert drawn(picture(given)) is given
        assert given.get_xlabel() or given.get_xticklabels()
    assert plot.chip_map(CHIP.mapping, ax=(given := Figure().subplots())) is given


def test_a_raster_of_many_spikes_is_an_image_that_counts_them_all(monkeypatch):
    monkeypatch.setattr("spikeram.plot.runs.MANY_SPIKES", 10)
    axes = drawn(plot.raster(RUN, trial=2))
    assert axes.images[0].get_array().sum() == int(RUN["row_size"].isel(trial=2).sum())


def test_the_interval_histogram_is_that_of_the_statistics():
    axes = drawn(plot.isi_histogram(RUN))
    expected = statistics.isi_histogram(RUN)
    for line, name in zip(axes.lines, expected["layer"].values):
        np.testing.assert_array_equal(line.get_ydata(), expected.sel(layer=name))


def test_the_bars_of_an_energy_add_up_to_it():
    axes = drawn(plot.energy_breakdown(RUN))
    width = sum(bar.get_width() for bar in axes.patches)
    assert width == pytest.approx(1e9 * float(RUN.spk.energy().mean("trial").sum()))


def test_a_report_escapes_what_it_shows(tmp_path):
    path = tmp_path / "report.html"
    section = Section("<script>", "a & b", Table(["<b>"], [["<i>"]]))
    write(path, "T", "L", [section], provenance={"a": "<u>"})
    text = path.read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;u&gt;" in text


def test_a_report_of_counts_alone_leaves_the_raster_out(tmp_path):
    write_report(simulate(CHIP, X, record="counts"), tmp_path / "a.html")
    write_report(RUN, tmp_path / "b.html")
    counts, spikes = ((tmp_path / name).read_text() for name in ("a.html", "b.html"))
    assert "Raster" in spikes
    assert "Raster" not in counts


def test_a_report_into_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"There is no folder .*none to save a\.html in"):
        write_report(RUN, tmp_path / "none" / "a.html")


def test_a_failed_report_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match=r"a\.html could not be written: No space left"):
        write(tmp_path / "a.html", "T", "L", [], provenance={})
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_a_regression_shows_its_error(tmp_path):
    run = RUN.drop_vars("category").assign_coords(label=("trial", np.full(20, 0.5)))
    run = run.isel({"class": [0]})
    write_report(run, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "Root-mean-square error" in text
    assert "Accuracy" not in text
