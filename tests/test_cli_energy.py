"""The commands that price a run and size a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spikeram import cli, recording

from recordings import random_spikes, recording_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    spikes = random_spikes(0, 2, 5, (4, 3))
    steps = np.array([[5, 2], [4, 2]])
    recording.save(recording_of(spikes, active_steps=steps), "run.nc")
    (tmp_path / "net.toml").write_text(
        '[[layer]]\nname = "conv"\ninputs = 27\noutputs = 16\npositions = 64\n'
        'kind = "convolution"\n'
        '[[layer]]\nname = "dense"\ninputs = 1024\noutputs = 10\n'
    )
    return tmp_path


def call(*arguments):
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_run_is_priced_and_compared(folder):
    printed = call("energy", "run.nc").output
    for text in (
        "word lines",
        "130 nm: fitted to Extended Data Fig. 12",
        "Steps without input: a 10%, b 60%.",
        "accelerator, int8",
        "CPU, float32",
        "at 7 nm",
        "Horowitz, ISSCC 2014",
        "recalled",
        "2.32 mm2",
    ):
        assert text in printed


def test_options_change_what_is_counted(folder):
    skipped, run = call("energy", "run.nc").output, call("energy", "run.nc", "--idle", "run").output
    assert skipped != run
    assert "word lines held" in call("energy", "run.nc", "--word-lines", "held").output


def test_a_network_is_sized_from_a_file_of_shapes(folder):
    printed = call("plan", "net.toml", "--steps", 8, "--rate", 0.2).output
    for text in (
        "conv",
        "27 x 16",
        # 2 x 28 x 16 and 2 x 1025 x 10 cells.
        f"{2 * 28 * 16 + 2 * 1025 * 10:,}",
        "T = 8, 0.2 spikes a neuron and step",
        "on the published bench",
        "from chip to chip",
        "accelerator, float32",
    ):
        assert text in printed


def test_recurring_matrices_share_a_row(folder):
    (folder / "deep.toml").write_text("[[layer]]\ninputs = 5\noutputs = 5\ncount = 7\n")
    assert "layer_1_1 and 6 more" in call("plan", "deep.toml").output
    assert "layer_1_7" in call("plan", "deep.toml", "--all").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("energy", "missing.nc"), "There is no recording at missing.nc"),
        (("energy", "run.nc", "--chip", "neuram"), "No chip is called 'neuram'"),
        (("energy", "run.nc", "--input-bits", 9), "input_bits expects 1 to 8 bits"),
        (("plan", "missing.toml"), "There is no file missing.toml"),
        (("plan", "run.nc"), "plan reads .onnx, .npz and .toml files, got run.nc"),
        (("plan", "net.toml", "--shape", "x=1xthree"), "--shape expects lengths such as"),
        (("plan", "net.toml", "--shape", "1x2", "--shape", "1x3"), "which input it is about"),
    ],
)
def test_bad_input_is_one_clear_error(folder, arguments, message):
    result = call(*arguments)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


def test_billions_of_weights_are_sized_in_little_memory(folder):
    onnx = pytest.importorskip("onnx")
    from test_shapes_onnx import billions

    assert onnx
    if not Path("/proc/self/status").exists():
        pytest.skip("This system does not tell a process its peak memory.")
    billions(folder / "big.onnx")
    # The peak of getrusage would count that of the process that started this one.
    code = (
        "import pathlib, re, sys\n"
        "from spikeram.cli import main\n"
        "sys.argv = ['spikeram', 'plan', 'big.onnx', '--shape', '1x16x32768']\n"
        "try:\n    main()\n"
        "finally:\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert f"{4 * 32_768**2:,}" in done.stdout
    # Measured: 250 MB, nearly all of it for imports; the weights would take 17 GB.
    assert float(done.stdout.split()[-1]) < 1e6
