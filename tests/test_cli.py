from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spikeram import cli, recording, simulation
from spikeram.conversion import convert

from networks import convolutional, inputs, single, trained


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a trained network, calibration inputs and labelled test inputs."""
    monkeypatch.chdir(tmp_path)
    ann = trained()
    ann.save("trained.npz")
    np.savez("calibration.npz", x=inputs(0, 100))
    np.savez("test.npz", x=inputs(1, 150), y=ann.predict(inputs(1, 150)))
    return tmp_path


def call(*arguments):
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    # A traceback on the command line would be an exception that is no SystemExit.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def converted(folder):
    assert call("convert", "trained.npz", "--calibration", "calibration.npz",
                "--output", "network.npz").exit_code == 0  # fmt: skip
    return folder / "network.npz"


def test_a_network_is_converted_run_counted_and_reported(folder):
    printed = call(
        "convert", "trained.npz", "--calibration", "calibration.npz", "--output", "network.npz"
    ).output
    assert "dense_1" in printed
    assert "clipped" in printed
    printed = call(
        "run", "network.npz", "--data", "test.npz", "--recalibrate", "calibration.npz",
        "--output", "run.nc",
    ).output  # fmt: skip
    assert "pulses a cell" in printed
    assert "Accuracy:" in printed
    run = recording.load("run.nc")
    assert run.sizes["trial"] == 150
    assert "label" in run.coords
    printed = call("stats", "run.nc").output
    assert "150 samples, 32 steps" in printed
    assert "synaptic" in printed
    assert "word lines" in printed
    # 32 steps, and one more for each of the two layers that follow.
    assert f"A sample takes {0.82 * 34:.3g} us." in printed
    assert call("report", "run.nc").exit_code == 0
    html = (folder / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 6
    assert "http" not in html.split("<h2>Provenance</h2>")[0]


@pytest.mark.parametrize("encoding", ["rate", "poisson", "ttfs"])
def test_an_ideal_run_takes_spikes_as_input(folder, encoding):
    converted(folder)
    result = call("run", "network.npz", "--data", "test.npz", "--chip", "none", "--steps", "8",
                  "--encoding", encoding, "--output", "run.zarr")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "input" in set(recording.load("run.zarr")["layer"].values)


def test_spike_trains_are_run_for_as_many_steps_as_they_have(folder):
    converted(folder)
    trains = np.random.default_rng(0).integers(-1, 2, (150, 11, 6))
    np.savez("trains.npz", x=trains, y=np.load("test.npz")["y"])
    result = call("run", "network.npz", "--data", "trains.npz", "--recalibrate",
                  "calibration.npz", "--encoding", "spikes", "--output", "run.nc")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "150 samples after 11 steps" in result.output
    assert recording.load("run.nc").attrs["steps"] == 11


def test_the_output_is_read_as_it_is_asked_for(folder):
    converted(folder)
    assert call(*IDEAL, "--decoding", "first").exit_code == 0
    run = recording.load("run.nc")
    assert json.loads(run.attrs["provenance"])["decoding"] == "first"
    assert float(run["output"].max()) <= 1
    printed = call("stats", "run.nc", "--min-steps", "2").output
    assert "Early decision:" in printed


def test_early_decisions_are_counted_from_a_recording(folder):
    converted(folder)
    assert call(*IDEAL).exit_code == 0
    ds = recording.load("run.nc")
    found = ds.spk.early_decision(confidence=0.6, min_steps=4, labels=ds["label"].values)
    steps = np.sort(found["steps"].values)
    line = (
        f"Early decision: {float(found['accuracy']):.2%} right after {steps.mean():.2f} steps on "
        # Of 150 in order, the 143rd is the first that 95 % do not exceed.
        f"average, 95th percentile {steps[142]}."
    )
    printed = call("stats", "run.nc", "--confidence", "0.6", "--min-steps", "4").output
    assert line in printed
    assert "Early decision" not in call("stats", "run.nc").output
    recording.save(ds.drop_vars("label"), "other.nc")
    assert "Early decision after " in call("stats", "other.nc", "--margin", "0.5").output


RUN = ("run", "network.npz", "--data", "test.npz", "--output", "run.nc")
IDEAL = (*RUN, "--chip", "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stats", "none.nc"), "none.nc"),
        (("report", "trained.npz"), "trained.npz"),
        (("run", "none.npz", *RUN[2:]), "There is no file none.npz."),
        (("run", "trained.npz", *RUN[2:]), "expects the format 'spikeram-network'"),
        ((*RUN, "--steps", "0"), "Invalid value for '--steps'"),
        ((*RUN, "--chip", "neuram"), "Did you mean 'neurram'"),
        ((*RUN, "--delay", "3 V"), "delay is a time in s, got '3 V', a voltage"),
        ((*RUN, "--engine", "clokked"), "Did you mean 'clocked'"),
        ((*RUN[:-1], "run.txt"), "ends in .nc or .zarr"),
        (("run", "network.npz", "--data", "trained.npz", "--output", "run.nc"), "array called 'x'"),
        (
            (*RUN, "--recalibrate", "wrong.npz"),
            "shape (sample, 6), as the network has 6 inputs, got (3, 2)",
        ),
        ((*IDEAL, "--recalibrate", "calibration.npz"), "--recalibrate is about a chip"),
        ((*IDEAL, "--delay", "1 day"), "--delay is about a chip, but --chip none"),
        ((*IDEAL, "--index", "0"), "--index is about a chip, but --chip none"),
        ((*IDEAL, "--pairs", "4"), "--pairs is about a chip, but --chip none"),
        ((*IDEAL, "--delay", "3 V"), "--delay is a time in s, got '3 V', a voltage"),
        (
            (*RUN[:3], "strange.npz", *RUN[4:]),
            "labels among the classes 0, 1, 2, got 3, 9.",
        ),
        ((*RUN[:3], "rows.npz", *RUN[4:]), "labels y of shape (sample,), got (3, 2)"),
        ((*RUN[:-1], "none/run.nc"), "There is no folder none to save run.nc in"),
        ((*RUN[:-1], "folder.nc"), "folder.nc is a folder. Give the name of a file."),
        (("report", "none.nc", "--output", "none/a.html"), "There is no folder none to save a"),
        (
            ("convert", "none.npz", "--calibration", "test.npz", "--output", "none/a.npz"),
            "There is no folder none to save a.npz in",
        ),
        (("demo", "--output", "occupied"), "results.json is a folder"),
        (("demo", "--delay", "soon"), "Write a number and a unit"),
        (("demo", "--chips", "1"), "Invalid value for '--chips'"),
        (
            ("convert", "trained.npz", "--calibration", "wrong.npz", "--output", "a.npz"),
            "as the network has 6 inputs, got (3, 2)",
        ),
        (
            ("convert", "model.pkl", "--calibration", "test.npz", "--output", "a.npz"),
            "is a pickle, which can run code",
        ),
        (
            ("convert", "trained.npz", "--calibration", "test.npz", "--output", "a.txt"),
            "ends in .npz",
        ),
        ((*IDEAL, "--encoding", "spikes"), "expects x of shape (sample, step, 6)"),
        (("stats", "none.nc", "--confidence", "2"), "Invalid value for '--confidence'"),
        (
            ("stats", "none.nc", "--confidence", "0.9", "--margin", "1"),
            "--confidence and --margin are two ways to be sure",
        ),
        (("map", "network.npz", "--chip", "neuram"), "Did you mean 'neurram'"),
        (("map", "network.npz", "--picture", "a.txt"), "--picture expects a name that ends in"),
        (("map", "network.npz", "--picture", "none/a.png"), "There is no folder none to save a"),
        (("map", "network.npz", "--duplicate", "2"), "--duplicate expects LAYER=N, got '2'."),
        (("map", "network.npz", "--duplicate", "a=2"), "(there is none), got 'a'."),
        (("map", "trained.npz"), "expects the format 'spikeram-network'"),
        (("runn",), "No such command 'runn'"),
    ],
)
def test_bad_input_is_one_clear_error(folder, arguments, message):
    converted(folder)
    np.savez("wrong.npz", x=np.zeros((3, 2)))
    np.savez("strange.npz", x=np.zeros((3, 6)), y=[3, 1, 9])
    np.savez("rows.npz", x=np.zeros((3, 6)), y=np.zeros((3, 2)))
    (folder / "folder.nc").mkdir()
    (folder / "occupied" / "results.json").mkdir(parents=True)
    result = call(*arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_stopped_run_leaves_a_file_that_says_how_far_it_came(folder, monkeypatch):
    converted(folder)
    whole = simulation.encode
    calls = []

    def stop_at_the_third(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    monkeypatch.setattr(simulation, "encode", stop_at_the_third)
    result = call(*RUN, "--chip", "none")
    assert result.exit_code == 130
    assert "run.nc holds the first 128 of 150 samples" in result.output
    assert recording.load("run.nc").attrs["complete"] == 0
    assert "Stopped early: 150 were asked for" in call("stats", "run.nc").output
    assert call("report", "run.nc").exit_code == 0


def test_a_run_stopped_at_once_writes_nothing(folder, monkeypatch):
    converted(folder)

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "encode", stop)
    result = call(*RUN, "--chip", "none")
    assert result.exit_code == 130
    assert "nothing to write" in result.output
    assert not (folder / "run.nc").exists()


@pytest.fixture
def ctrl_c():
    """Send this process a Ctrl-C, which is ignored where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_the_recording_is_saved_loses_nothing(folder, monkeypatch, ctrl_c):
    converted(folder)
    save = recording.save

    def interrupted(ds, path):
        ctrl_c()
        save(ds, path)

    monkeypatch.setattr(recording, "save", interrupted)
    result = call(*IDEAL)
    assert result.exit_code == 130
    assert "run.nc holds the first 150 of 150 samples" in result.output
    assert recording.load("run.nc").attrs["complete"] == 1


def test_ctrl_c_during_a_run_leaves_a_file_that_loads_or_says_there_is_none(folder):
    converted(folder)
    # Minutes of work, of which the first batches are done within a second.
    np.savez("long.npz", x=inputs(0, 200_000))
    # A shell's background jobs, and their children, ignore Ctrl-C unless they ask for it.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from spikeram.cli import main; main()"
    )
    arguments = ("run", "network.npz", "--data", "long.npz", "--steps", "2048", "--output", "a.nc")
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            printed = process.stdout.readline()
            while "Programmed" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            printed += process.communicate(timeout=120)[0]
        finally:
            process.kill()
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    if Path("a.nc").exists():
        ds = recording.load("a.nc")
        assert f"holds the first {ds.sizes['trial']} of 200000 samples" in printed
        assert not ds.attrs["complete"]
    else:
        assert "nothing to write" in printed or "Stopped." in printed


def test_tables_show_brackets_as_they_are(folder):
    network = converted(folder)
    assert call(*IDEAL).exit_code == 0
    assert "[kHz]" in call("stats", "run.nc").output
    (folder / "[a]").mkdir()
    network.rename(folder / "[a]" / "b[red].npz")
    trained().save(folder / "[a]" / "c[red].npz")
    printed = call("convert", "[a]/c[red].npz", "--calibration", "calibration.npz",
                   "--output", "network.npz").output  # fmt: skip
    assert "[a]/c[red].npz" in printed


def test_the_steps_of_a_run_are_those_of_its_recalibration(folder):
    single(1.0, 0.1, 1.0, gather=None).save("any.npz")
    np.savez("one.npz", x=inputs(0, 40, 1))
    arguments = ("run", "any.npz", "--data", "one.npz", "--recalibrate", "one.npz",
                 "--output", "run.nc")  # fmt: skip
    assert "give steps" in call(*arguments).output
    result = call(*arguments, "--steps", "8")
    assert result.exit_code == 0, result.output


def test_a_regression_has_an_error_and_no_accuracy(folder):
    single(1.0, 0.0, 1.0).save("line.npz")
    x = inputs(0, 40, 1)
    run = ("run", "line.npz", "--data", "data.npz", "--chip", "none", "--steps", "64",
           "--output", "run.nc")  # fmt: skip
    for y in (x[:, 0] + 0.5, x + 0.5):
        np.savez("data.npz", x=x, y=y)
        printed = call(*run).output
        # Inputs come in 128 levels, of steps far below the digits that are shown here.
        assert "Root-mean-square error: 0.5" in printed
        assert "Accuracy" not in printed
        assert ("label" in recording.load("run.nc").coords) == (y.ndim == 1)
        assert ("Root-mean-square error: 0.5" in call("stats", "run.nc").output) == (y.ndim == 1)
        assert call("report", "run.nc").exit_code == 0
    assert "--decoding first tells classes, but" in call(*run, "--decoding", "first").output
    np.savez("data.npz", x=x, y=np.zeros((40, 2)))
    assert "expects numbers y of shape (sample, 1), got float64 of shape (40, 2)" in " ".join(
        call(*run).output.split()
    )


def test_the_doctor_lists_versions_and_known_bad_pairs():
    printed = call("doctor").output
    for name in ("python", "brian2", "numpy", "C++ compiler", "brian2 with numpy"):
        assert name in printed


@pytest.mark.slow
def test_the_demo_writes_its_results_and_report(tmp_path, monkeypatch):
    from spikeram import demo

    monkeypatch.setattr(demo, "STEPS", (2, 32))
    result = call("demo", "--output", tmp_path / "out", "--chips", "5")
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    accuracy = results["accuracy"]
    assert results["complete"]
    assert results["ann"] > 0.95
    # One image is 0.28 points.
    assert accuracy["ideal"]["32"] >= results["ann"] - 0.005
    assert accuracy["rram_recalibrated"]["32"] >= results["ann"] - 0.015
    assert accuracy["rram_programmed"]["32"] < accuracy["rram_recalibrated"]["32"]
    assert results["spikes"]["ideal"]["2"] < results["spikes"]["ideal"]["32"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 7
    assert recording.load(tmp_path / "out" / "run.nc").attrs["complete"] == 1
    monkeypatch.chdir(tmp_path / "out")
    assert call("convert", "trained.npz", "--calibration", "calibration.npz",
                "--output", "network.npz").exit_code == 0  # fmt: skip
    assert call("run", "network.npz", "--data", "test.npz", "--output", "a.nc").exit_code == 0


def test_a_demo_stopped_in_training_writes_nothing(tmp_path, monkeypatch):
    from sklearn.neural_network import MLPClassifier

    epochs = []

    def stop(*_arguments, **_options):
        epochs.append(1)
        raise KeyboardInterrupt

    # Scikit-learn catches this one itself, and returns from fit.
    monkeypatch.setattr(MLPClassifier, "_backprop", stop)
    result = call("demo", "--output", tmp_path)
    assert epochs == [1]
    assert result.exit_code == 130
    assert "Stopped before the network was trained; nothing to write." in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_the_table_that_the_demo_prints():
    from spikeram import demo

    header = demo.table(demo.Outcome(ann=1.0, n_chips=2, seed=0, delay="1 day")).header
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert f"| {' | '.join(header)} |\n" in readme


def test_a_stopped_demo_keeps_its_finished_rows(tmp_path, monkeypatch):
    from spikeram import demo

    def stop(network, **_options):
        if network.steps == 2:
            raise KeyboardInterrupt
        return program(network, chip="ideal", seed=0)

    program = demo.program
    monkeypatch.setattr(demo, "STEPS", (1, 2, 4))
    monkeypatch.setattr(demo, "program", stop)
    result = call("demo", "--output", tmp_path, "--chips", "2")
    assert result.exit_code == 130
    results = json.loads((tmp_path / "results.json").read_text())
    assert not results["complete"]
    assert list(results["accuracy"]["ideal"]) == ["1"]


def test_a_run_on_several_pairs_for_each_weight_takes_as_many_cells(folder):
    converted(folder)
    printed = [call(*RUN, "--pairs", pairs).output for pairs in ("1", "3")]
    cells = [
        int(text.split("Programmed ")[1].split(" cells")[0].replace(",", "")) for text in printed
    ]
    assert cells[1] == 3 * cells[0]
    assert json.loads(recording.load("run.nc").attrs["provenance"])["pairs_per_weight"] == 3


def test_a_map_shows_where_each_layer_lies(folder):
    converted(folder)
    printed = " ".join(call("map", "network.npz", "--picture", "chip.png").output.split())
    # With one pair for biases: 7 x 8, 9 x 5 and 6 x 3 pairs of cells.
    assert f"{2 * (7 * 8 + 9 * 5 + 6 * 3)} cells in 3 parts on 3 of 48 cores" in printed
    assert (folder / "chip.png").read_bytes().startswith(b"\x89PNG")
    assert "3 parts on 1 of 48 cores" in " ".join(
        call("map", "network.npz", "--merge", "always").output.split()
    )


def test_a_map_of_several_chips_tells_what_travels_between_them(folder):
    network = convert(convolutional(), inputs(0, 40, 84), steps=8)
    network.save(folder / "conv.npz")
    printed = call("map", "conv.npz", "--chips", "2", "--duplicate", "conv_1=4", "--max-pairs", "9")
    words = " ".join(printed.output.split())
    # The first layer's 19 pairs in three segments, four times; 17 in two, 13 in two.
    assert "16 parts on 16 of 96 cores" in words
    assert "At most 0 bytes travel between chips in the 8 steps." in words
    assert "conv_1.3" in words


def test_a_map_fills_what_is_left_with_copies(folder):
    convert(convolutional(), inputs(0, 40, 84), steps=8).save(folder / "conv.npz")
    words = " ".join(call("map", "conv.npz", "--fill").output.split())
    assert "conv_1.5" in words
    assert "11 parts on 11 of 48 cores" in words
