"""Sweeps: the same results anywhere, nothing lost when killed, and errors before work starts."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import spikeram as sr
from spikeram import sweep as sweeps
from spikeram.cli import main
from spikeram.errors import ExperimentError, FileFormatError
from spikeram.statistics import accuracy
from spikeram.sweep import executors, units
from spikeram.sweep.units import run_unit, unit_of

from networks import inputs, trained

TOML = """
network = "network.npz"
chips = 3
steps = 6
seed = 1
samples_of_a_unit = 20
record = ["accuracy", "spikes", "energy"]

[data]
file = "data.npz"

[axes]
delay = ["1 s", "1 day"]
v_read = [0.4, 0.5]
"""


@pytest.fixture
def folder(tmp_path):
    network = sr.convert(trained(), inputs(0, 30), steps=6)
    network.save(tmp_path / "network.npz")
    x = inputs(1, 50)
    np.savez(tmp_path / "data.npz", x=x, y=trained().predict(x))
    (tmp_path / "experiment.toml").write_text(TOML)
    return tmp_path


def content(store):
    """Return every file of a store, byte for byte."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(Path(store).rglob("*"))
        if path.is_file()
    }


def test_the_store_is_the_same_to_the_bit_on_every_executor(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    ways = {
        "serial": executors.serial,
        "threads": executors.threads(2),
        "processes": executors.processes(2),
        "backwards": lambda experiment, numbers: executors.serial(experiment, numbers[::-1]),
    }
    stores = []
    for name, way in ways.items():
        sweeps.sweep(what, folder / f"{name}.zarr", executor=way)
        stores.append(content(folder / f"{name}.zarr"))
    assert all(store == stores[0] for store in stores)


def grown():
    """Keep so much memory in a worker of the pool that it will be replaced."""
    vars(builtins).setdefault("kept", bytearray(b"x") * 500_000_000)


def test_a_sweep_goes_on_when_the_pool_replaces_its_workers(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    sweeps.sweep(what, folder / "serial.zarr", executor=executors.serial)
    # The first job of a worker tells the pool what it needs; from there it must not grow.
    joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(2))
    joblib.Parallel(n_jobs=2)(joblib.delayed(grown)() for _ in range(2))
    sweeps.sweep(what, folder / "processes.zarr", executor=executors.processes(2))
    assert content(folder / "processes.zarr") == content(folder / "serial.zarr")


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_store(folder):
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    what = sweeps.load_experiment(folder / "experiment.toml")
    sweeps.sweep(what, folder / "serial.zarr", executor=executors.serial)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        sweeps.sweep(what, folder / "dask.zarr", executor=executors.dask(cluster.scheduler_address))
    assert content(folder / "dask.zarr") == content(folder / "serial.zarr")


def test_results_are_those_of_running_each_chip(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    ds = sweeps.sweep(what, folder / "a.zarr", executor=executors.serial)
    assert dict(ds["accuracy"].sizes) == {"chip": 3, "delay": 2, "v_read": 2, "step": 6}
    assert (ds["n"] == 50).all()
    network = sr.SpikingNetwork.load(folder / "network.npz")
    with np.load(folder / "data.npz") as file:
        x, y = file["x"], file["y"]
    chip = sr.program(network, delay="1 s", seed=1, index=2)
    run = sr.simulate(chip, x, steps=6)
    here = ds.sel(chip=2, delay="1 s", v_read=0.5)
    np.testing.assert_allclose(here["accuracy"], accuracy(run, y))
    np.testing.assert_allclose(here["spikes"], run.spk.spikes().mean("trial"))
    np.testing.assert_allclose(
        here["energy"], run.spk.energy().sum("crossbar").mean("trial"), rtol=1e-12
    )


def test_a_sweep_killed_again_and_again_ends_as_one_that_was_not(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    sweeps.sweep(what, folder / "whole.zarr", executor=executors.serial)
    code = (
        "import sys, spikeram.sweep as s, spikeram.sweep.run as r\n"
        "from spikeram.sweep import executors\n"
        "r.FLUSH_SECONDS = 0\n"
        "s.sweep(s.load_experiment('experiment.toml'), 'killed.zarr', executor=executors.serial)\n"
    )
    rng = np.random.default_rng(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=folder)
        # Starting takes some 2 s here, the sweep less: some are killed before, some while writing.
        time.sleep(rng.uniform(0.5, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (folder / "killed.zarr").exists():
            # Readable at any moment.
            assert sweeps.results(folder / "killed.zarr").attrs["units"] == what.n_units
    sweeps.sweep(what, folder / "killed.zarr", executor=executors.serial)
    assert content(folder / "killed.zarr") == content(folder / "whole.zarr")


def test_only_what_is_missing_runs_again(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    asked = []

    def half(experiment, numbers):
        asked.append(list(numbers))
        yield from executors.serial(experiment, numbers[: len(numbers) // 2])

    sweeps.sweep(what, folder / "a.zarr", executor=half, retries=1)
    assert [len(one) for one in asked] == [36, 18]
    partial = sweeps.results(folder / "a.zarr")
    assert partial.attrs["units_done"] == 27
    assert np.isnan(partial["accuracy"]).any()


def test_units_that_fail_are_told_and_the_rest_goes_on(folder, monkeypatch):
    what = sweeps.load_experiment(folder / "experiment.toml")
    attempts = []

    def sometimes(experiment, number):
        if number == 5:
            attempts.append(number)
            raise RuntimeError("a cell burnt out")
        return run_unit(experiment, number)

    monkeypatch.setattr(executors, "run_unit", sometimes)
    ds = sweeps.sweep(what, folder / "a.zarr", executor=executors.serial, retries=2)
    assert ds.attrs["units_failed"] == 1
    assert ds.attrs["units_done"] == what.n_units - 1
    assert len(attempts) == 3
    assert "a cell burnt out" in sweeps.failures(folder / "a.zarr")[5]
    monkeypatch.undo()
    whole = sweeps.sweep(what, folder / "a.zarr", executor=executors.serial)
    assert whole.attrs["units_done"] == what.n_units
    assert sweeps.failures(folder / "a.zarr") == {}


def test_a_second_writer_and_another_experiment_are_refused(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    with (
        sweeps.Store(folder / "a.zarr", what),
        pytest.raises(ExperimentError, match="is being written by another process"),
    ):
        sweeps.Store(folder / "a.zarr", what)
    other = what.model_copy(update={"seed": 2})
    with pytest.raises(ExperimentError, match=r"experiment.seed is 1 there, not 2"):
        sweeps.Store(folder / "a.zarr", other)
    (folder / "b.zarr").mkdir()
    with pytest.raises(ExperimentError, match="is damaged, or no store of a sweep"):
        sweeps.Store(folder / "b.zarr", what)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("delay =", "dleay ="), r"'dleay' is none of .*\. Did you mean 'delay'\?"),
        (("chips = 3", "chipz = 3"), r"chipz: there is no such key. Did you mean 'chip'\?"),
        (("chips = 3", "chips = 0"), "chips: .*greater than or equal to 1"),
        (("steps = 6\n", ""), "steps: it is missing"),
        (('"1 s", "1 day"', '"1 s", "1 s"'), "the axis 'delay' has a value twice"),
        (('file = "data.npz"', 'file = "none.npz"'), "There is no file .*none.npz"),
        (("chips = 3", "chips = 30000000"), "multiply to 360,000,000 units"),
        (("chips = 3", "chips = = 3"), "is no TOML file"),
    ],
)
def test_experiments_that_cannot_be_are_refused_before_anything_runs(folder, change, message):
    (folder / "experiment.toml").write_text(TOML.replace(*change))
    with pytest.raises(ExperimentError, match=message):
        sweeps.load_experiment(folder / "experiment.toml")


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ExperimentError, match="does not answer"),
    ):
        executors.dask("tcp://127.0.0.1:9")


def test_units_are_numbered_over_chips_axes_and_chunks(folder):
    what = sweeps.load_experiment(folder / "experiment.toml")
    assert what.shape == (3, 2, 2, 3)
    units = [unit_of(what, number) for number in range(what.n_units)]
    assert len({(u.chip, u.point, u.chunk) for u in units}) == 36
    assert units[4].point == (("delay", "1 s"), ("v_read", 0.5))


def test_a_hundred_thousand_units_are_listed_and_kept(folder):
    what = sweeps.load_experiment(folder / "experiment.toml").model_copy(update={"chips": 8400})
    with sweeps.Store(folder / "many.zarr", what) as store:
        assert store.waiting().size == what.n_units == 100_800
        one = run_unit(what, 0)
        for number in range(0, what.n_units, 97):
            store.add(number, one)
    with sweeps.Store(folder / "many.zarr", what) as store:
        assert store.waiting().size == what.n_units - len(range(0, what.n_units, 97))
    assert sweeps.results(folder / "many.zarr")["accuracy"].sizes["chip"] == 8400


# What is told of chips, against closed forms.


def normal_chips(n=400, spread=0.02):
    rng = np.random.default_rng(0)
    values = 0.9 + spread * rng.standard_normal((n, 3))
    return xr.DataArray(values, dims=("chip", "delay"), coords={"delay": [1, 2, 3]})


def test_the_interval_of_the_mean_is_that_of_normal_values():
    table = sweeps.over_chips(normal_chips())
    half = (table["high"] - table["low"]) / 2
    # 1.96 standard errors; a quantile of 1000 resamples is good to a few percent.
    np.testing.assert_allclose(half, 1.96 * 0.02 / np.sqrt(400), rtol=0.15)
    np.testing.assert_allclose(table["std"], 0.02, rtol=0.12)


def test_a_yield_is_the_share_of_chips_above_a_level():
    found = sweeps.yield_curve(normal_chips(), [0.0, 0.9, 1.0])
    np.testing.assert_allclose(found.sel(level=0.0), 1)
    np.testing.assert_allclose(found.sel(level=0.9), 0.5, atol=0.1)
    np.testing.assert_allclose(found.sel(level=1.0), 0, atol=1e-9)


def test_the_axis_that_matters_comes_first():
    a, b = np.arange(5.0), np.arange(4.0)
    grid = xr.DataArray(3 * a[:, np.newaxis] + b, dims=("noise", "delay"))
    found = sweeps.sensitivity(grid)
    assert found["axis"].values.tolist() == ["noise", "delay"]
    # Variances 9 x 2 and 1.25.
    np.testing.assert_allclose(found, [18 / 19.25, 1.25 / 19.25])


def test_files_that_were_written_again_are_read_again(folder):
    def swept(name):
        what = sweeps.load_experiment(folder / "experiment.toml")
        return sweeps.sweep(what, folder / name, executor=executors.serial).load()

    swept("before.zarr")
    sr.convert(trained(5), inputs(0, 30), steps=6).save(folder / "network.npz")
    x = inputs(2, 30)
    np.savez(folder / "data.npz", x=x, y=trained(5).predict(x))
    after = swept("after.zarr")
    assert (after["n"] == 30).all()
    network = sr.SpikingNetwork.load(folder / "network.npz")
    run = sr.simulate(sr.program(network, delay="1 s", seed=1, index=1), x, steps=6)
    found = after["accuracy"].sel(chip=1, delay="1 s", v_read=0.5)
    np.testing.assert_allclose(found, accuracy(run, trained(5).predict(x)))


def test_a_writer_that_was_killed_leaves_no_lock(folder):
    code = (
        "import os, signal, spikeram.sweep as s\n"
        "with s.Store('out.zarr', s.load_experiment('experiment.toml')):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == -signal.SIGKILL
    assert (folder / ".out.zarr.lock").exists()
    what = sweeps.load_experiment(folder / "experiment.toml")
    with sweeps.Store(folder / "out.zarr", what) as store:
        assert store.waiting().size == what.n_units


def test_a_store_held_by_another_process_is_refused(folder):
    code = (
        "import sys, spikeram.sweep as s\n"
        "with s.Store('out.zarr', s.load_experiment('experiment.toml')):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    what = sweeps.load_experiment(folder / "experiment.toml")
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(ExperimentError, match="is being written by another process"):
            sweeps.Store(folder / "out.zarr", what)
        holder.communicate()
    with sweeps.Store(folder / "out.zarr", what):
        pass


def test_a_damaged_data_file_is_told_before_anything_runs(folder):
    (folder / "data.npz").write_bytes(b"PK, but no more than that")
    with pytest.raises(FileFormatError, match="data.npz is not a readable"):
        sweeps.load_experiment(folder / "experiment.toml")


def test_an_estimate_programs_the_chip_that_it_times(folder, monkeypatch):
    monkeypatch.chdir(folder)
    experiment = sweeps.load_experiment("experiment.toml")
    run_unit(experiment, 0)
    calls = []

    def counted(*args, **options):
        calls.append(1)
        return sr.program(*args, **options)

    monkeypatch.setattr(units, "program", counted)
    assert sweeps.estimate(experiment).missing == 36
    assert len(calls) == 1


# On the command line.


def test_a_sweep_from_the_command_line_runs_and_is_estimated(folder, monkeypatch):
    call = CliRunner().invoke
    monkeypatch.chdir(folder)
    dry = call(main, ["sweep", "experiment.toml", "--dry-run"])
    assert "36 units, 36 of them to run" in dry.output
    done = call(main, ["sweep", "experiment.toml", "--executor", "serial"])
    assert done.exit_code == 0, done.output
    assert "36 of 36 units" in done.output
    assert "mean" in done.output
    assert "samples_of_a_unit" in call(main, ["sweep", "--schema"]).output
    wrong = call(main, ["sweep", "none.toml"])
    assert wrong.exit_code != 0
