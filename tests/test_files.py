from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from spikeram import files
from spikeram.errors import FileFormatError
from spikeram.files import Header, check_output, interrupts_held, load_samples, read_npz, write_npz

HEADER = Header(format="test", version=1)


def written(path, content):
    path.write_bytes(content)
    return path


def damaged(content, seed, copies):
    """Yield copies of some bytes, each with one to four of them changed."""
    rng = np.random.default_rng(seed)
    for _ in range(copies):
        copy = bytearray(content)
        for place in rng.integers(len(copy), size=rng.integers(1, 5)):
            copy[place] = rng.integers(256)
        yield bytes(copy)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
@pytest.mark.filterwarnings("ignore")
def test_damaged_samples_load_or_are_refused(tmp_path, save):
    path = tmp_path / "samples"
    with path.open("wb") as file:
        save(file, np.ones((3, 4))) if save is np.save else save(file, x=np.ones((3, 4)))
    refused = 0
    for content in damaged(path.read_bytes(), 0, 600):
        try:
            load_samples(written(path, content))
        except FileFormatError:
            refused += 1
    assert refused > 100


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_with_a_header_loads_or_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, HEADER, {"weight": np.ones((3, 4))})
    refused = 0
    for content in damaged(path.read_bytes(), 1, 600):
        try:
            read_npz(written(path, content), Header, kind="test", version=1)
        except FileFormatError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f8', 'fortran_order': False, 'shape': (", b"{(", b"{}" * 9]
)
def test_a_broken_array_header_is_refused(tmp_path, header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(FileFormatError, match="not a readable"):
        load_samples(written(tmp_path / "a.npy", content))


def test_an_array_that_holds_no_numbers_is_refused():
    with pytest.raises(FileFormatError, match="a.npz expects numbers as array 'weight', got <U1"):
        files.take({"weight": np.array(["a"])}, "weight", "a.npz")


def test_targets_may_have_several_outputs_but_one_row_for_each_sample(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), y=np.ones((3, 5)))
    assert load_samples(tmp_path / "a.npz")[1].shape == (3, 5)
    for shape in ((2, 5), (3, 5, 1), ()):
        np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), y=np.ones(shape))
        with pytest.raises(FileFormatError, match="one row of targets, for each sample"):
            load_samples(tmp_path / "a.npz")


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
    path = written(tmp_path / "a.txt", b"old")

    def fail():
        with files.replacing(path) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError, match=r"a\.txt could not be written: No space left"):
        with files.replacing(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_new_file_has_the_permissions_that_others_get(tmp_path):
    write_npz(tmp_path / "a.npz", HEADER, {})
    plain = written(tmp_path / "b", b"")
    assert (tmp_path / "a.npz").stat().st_mode == plain.stat().st_mode


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    check_output(tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match=r"There is no folder .*none to save a\.npz in"):
        check_output(tmp_path / "none" / "a.npz")
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder"):
        check_output(tmp_path)
    check_output(tmp_path, folder=True)

    def refuse(**_options):
        raise PermissionError(13, "Permission denied", "/somewhere/else")

    # A superuser, whom tests may run as, can write anywhere.
    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(ValueError, match=r"a\.npz cannot be written: Permission denied"):
        check_output(tmp_path / "a.npz")


@pytest.fixture
def ctrl_c():
    """Send this process a Ctrl-C, which is ignored where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_held_interrupt_comes_after_the_block(ctrl_c):
    reached = []

    def block():
        with interrupts_held():
            ctrl_c()
            reached.append("end of the block")
        reached.append("never")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == ["end of the block"]
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_a_block_without_an_interrupt_runs_on(ctrl_c):
    with interrupts_held():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_hold_nothing():
    found = []

    def block():
        with interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
