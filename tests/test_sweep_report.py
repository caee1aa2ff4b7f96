"""What is told of a sweep, finished or not: numbers of chips, pictures and the report."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import spikeram as sr
from spikeram import plot, sweep as sweeps
from spikeram.cli import main
from spikeram.errors import ExperimentError
from spikeram.statistics import accuracy
from spikeram.sweep import executors
from spikeram.sweep.units import run_unit

from networks import inputs, trained

CONTENT = {
    "network": "network.npz",
    "data": {"file": "data.npz"},
    "chips": 4,
    "steps": 6,
    "seed": 1,
    "samples_of_a_unit": 20,
    "record": ["accuracy", "spikes", "energy"],
    "axes": {"delay": ["1 s", "1 day"], "v_read": [0.4, 0.5]},
}
BURNT = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep")
    sr.convert(trained(), inputs(0, 30), steps=6).save(place / "network.npz")
    x = inputs(1, 50)
    np.savez(place / "data.npz", x=x, y=trained().predict(x))
    return place


@pytest.fixture(scope="module")
def half(folder):
    """Return a store in which 29 of 48 units are done and one failed."""

    def burnt(experiment, numbers):
        for number in numbers[:30]:
            if number == BURNT:
                yield number, None, "Traceback ...\nRuntimeError: <b>a cell burnt out</b>\n"
            else:
                yield number, run_unit(experiment, number), ""

    what = sweeps.experiment_from(CONTENT, folder=folder)
    sweeps.sweep(what, folder / "half.zarr", executor=burnt, retries=0)
    return folder / "half.zarr"


@pytest.fixture(scope="module")
def whole(folder):
    what = sweeps.experiment_from(CONTENT, folder=folder)
    sweeps.sweep(what, folder / "whole.zarr", executor=executors.serial)
    return folder / "whole.zarr"


def drawn(axes):
    """Draw axes, so that what cannot be drawn fails here."""
    plot.figure_of(axes).savefig(io.BytesIO(), format="png")
    return axes


def chips(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return xr.DataArray(
        0.9 + 0.02 * rng.standard_normal((n, 2, 3)),
        dims=("chip", "delay", "step"),
        coords={"delay": ["1 s", "1 day"], "step": [1, 2, 3]},
    )


# T as an axis.


def test_accuracy_after_a_step_is_that_of_a_run_of_so_many(folder, whole):
    ds = sweeps.results(whole)
    network = sr.SpikingNetwork.load(folder / "network.npz")
    chip = sr.program(network, delay="1 day", seed=1, index=3)
    with np.load(folder / "data.npz") as file:
        x, y = file["x"], file["y"]
    found = ds["accuracy"].sel(chip=3, delay="1 day", v_read=0.5)
    assert found["step"].values.tolist() == [1, 2, 3, 4, 5, 6]
    for steps in (1, 3, 6):
        alone = accuracy(sr.simulate(chip, x, steps=steps), y)[-1]
        np.testing.assert_allclose(found.sel(step=steps), alone)


# Chips that are not done.


def test_chips_without_a_value_are_left_out():
    some = chips()
    holes = some.copy()
    holes[20:, 0] = np.nan
    holes[:, 1, 2] = np.nan
    table = sweeps.over_chips(holes)
    alone = sweeps.over_chips(some[:20, 0])
    for name in ("mean", "std", "min"):
        np.testing.assert_allclose(table[name].sel(delay="1 s"), alone[name])
    assert table["n"].values.tolist() == [[20, 20, 20], [50, 50, 0]]
    assert np.isnan(table["low"].values).tolist() == [[False] * 3, [False, False, True]]
    # 1.96 standard errors of the 20; the number that a resample has of them varies, too.
    half = (table["high"] - table["low"]).sel(delay="1 s") / 2
    np.testing.assert_allclose(half, 1.96 * table["std"].sel(delay="1 s") / 20**0.5, rtol=0.2)


def test_a_chip_counts_when_all_its_samples_are_done(half):
    ds = sweeps.results(half)
    assert ds.attrs["units_done"] == 29
    # Three chunks a point, four points a chip: chips 0 and 1 whole but for the burnt unit's point,
    # chip 2 half done.
    found = sweeps.finished(ds).isel(step=-1).notnull().values.reshape(4, 4)
    expected = np.zeros(16, bool)
    expected[:10] = True
    expected[BURNT // 3] = False
    np.testing.assert_array_equal(found, expected.reshape(4, 4))
    assert np.isfinite(ds["accuracy"].isel(chip=0, delay=1, v_read=1, step=-1))


def test_chips_with_holes_do_not_rank_axes():
    grid = chips().isel(step=-1)
    holes = grid.copy()
    holes[30:, 1] = np.nan
    np.testing.assert_allclose(
        sweeps.sensitivity(holes).sortby("axis"), sweeps.sensitivity(grid[:30]).sortby("axis")
    )


# Pictures.


def test_accuracy_over_steps_shows_means_and_their_intervals():
    table = sweeps.over_chips(chips())
    axes = drawn(plot.over_steps(table))
    for n, line in enumerate(axes.lines):
        np.testing.assert_allclose(line.get_ydata(), 100 * table["mean"][n])
    corners = axes.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(corners.min(), 100 * table["low"][0].min())
    np.testing.assert_allclose(corners.max(), 100 * table["high"][0].max())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1 s", "1 day"]


def test_numbers_lie_where_they_are_and_words_side_by_side():
    table = sweeps.over_chips(chips())
    over_delays = drawn(plot.over_axis(table, "delay"))
    assert over_delays.lines[0].get_xdata().tolist() == [0, 1]
    volts = xr.DataArray([0.1, 0.2, 0.5], dims="step", attrs={"units": "V"})
    read = table.isel(delay=0).assign_coords(step=volts).rename(step="v_read")
    axes = drawn(plot.over_axis(read, "v_read"))
    assert axes.lines[0].get_xdata().tolist() == [0.1, 0.2, 0.5]
    assert axes.get_xlabel() == "v read [V]"


def test_the_spread_shows_every_chip_that_has_a_value():
    values = chips().isel(step=0)
    values[:7, 1] = np.nan
    axes = drawn(plot.spread(values, "delay"))
    dots = [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]
    assert [dot.size for dot in dots] == [50, 43]
    np.testing.assert_allclose(dots[1], 100 * values[7:, 1])
    drawn(plot.spread(values.isel(delay=0)))


def test_a_yield_falls_from_all_chips_to_none():
    curve = sweeps.yield_curve(chips().isel(step=0), np.linspace(0.7, 1.1, 50))
    axes = drawn(plot.yields(curve))
    for line in axes.lines:
        assert line.get_ydata()[0] == 100
        assert line.get_ydata()[-1] == 0
        assert (np.diff(line.get_ydata()) <= 0).all()


def test_shares_of_the_variance_add_up_to_all_of_it():
    axes = drawn(plot.sensitivity(sweeps.sensitivity(chips())))
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(100)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == ["chip", "delay", "interaction", "step"]


def test_two_more_axes_than_a_picture_has_room_for_are_told():
    table = sweeps.over_chips(chips().expand_dims(v_read=[0.4, 0.5]))
    with pytest.raises(ValueError, match="room for 'step' and one more axis, got v_read, delay"):
        plot.over_steps(table)


# The report.


def text_of(path):
    """Return an HTML file without its pictures, tags as bars."""
    html = re.sub(r'src="data:[^"]*"', "", path.read_text())
    return re.sub(r"(\s*<[^>]*>\s*)+", "|", html)


def test_the_report_of_a_whole_sweep_tells_what_was_asked_and_found(whole, tmp_path):
    sweeps.write_report(whole, tmp_path / "report.html")
    text = text_of(tmp_path / "report.html")
    assert "4 chips, 2 values of delay, 2 values of v_read. All 48 units of work are done." in text
    assert "|axis delay|1 s, 1 day|" in text
    ds = sweeps.results(whole)
    last = ds["accuracy"].sel(delay="1 day", v_read=0.4).isel(step=-1).values
    row = (
        f"|1 day|0.4|4|{100 * last.mean():.2f}|{100 * last.std(ddof=1):.2f}|{100 * last.min():.2f}|"
    )
    assert row in text
    joules = ds["energy"].sel(delay="1 s", v_read=0.5).sum("component").mean("chip")
    assert f"|{1e9 * float(joules):.3f}|" in text
    assert '"seed"' in text.replace("&#34;", '"')
    for title in ("Accuracy over time steps", "Spread over chips", "Yield", "Sensitivity"):
        assert f"|{title}|" in text
    assert "Failed units" not in text


def test_the_report_of_a_sweep_that_goes_on_tells_how_far_it_is(half, tmp_path):
    sweeps.write_report(half, tmp_path / "report.html")
    text = text_of(tmp_path / "report.html")
    assert "29 of 48 units of work are done, 1 failed." in text
    # Chips 0 and 1 are done a day after programming at 0.5 V, but for the point of the burnt unit.
    assert "|1 day|0.5|1|" in text
    assert "|9|0|1 day|0.5|0|RuntimeError: &lt;b&gt;a cell burnt out&lt;/b&gt;|" in text


def test_a_sweep_of_which_nothing_is_done_has_a_report(folder, tmp_path):
    what = sweeps.experiment_from(CONTENT, folder=folder)
    with sweeps.Store(tmp_path / "none.zarr", what):
        pass
    sweeps.write_report(tmp_path / "none.zarr", tmp_path / "report.html")
    assert "0 of 48 units" in text_of(tmp_path / "report.html")


def test_a_sweep_without_axes_has_a_report(folder, tmp_path):
    plain = {**CONTENT, "axes": {}, "chips": 2}
    what = sweeps.experiment_from(plain, folder=folder)
    sweeps.sweep(what, tmp_path / "plain.zarr", executor=executors.serial)
    sweeps.write_report(tmp_path / "plain.zarr", tmp_path / "report.html")
    assert "2 chips. All 6 units of work are done." in text_of(tmp_path / "report.html")


def test_report_on_the_command_line_knows_a_sweep_from_a_recording(whole, folder, tmp_path):
    call = CliRunner().invoke
    done = call(main, ["report", str(whole), "--output", str(tmp_path / "a.html")])
    assert done.exit_code == 0, done.output
    assert "A sweep over chips" in (tmp_path / "a.html").read_text()
    network = sr.SpikingNetwork.load(folder / "network.npz")
    sr.save(sr.simulate(network, inputs(1, 5)), tmp_path / "run.zarr")
    done = call(main, ["report", str(tmp_path / "run.zarr"), "--output", str(tmp_path / "b.html")])
    assert done.exit_code == 0, done.output
    assert "A spiking run" in (tmp_path / "b.html").read_text()
    with pytest.raises(ExperimentError, match="There is no store"):
        sweeps.write_report(tmp_path / "none.zarr", tmp_path / "c.html")
