"""Chips in files: the same chip comes back, anything else is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from spikeram.chip_file import load_chip, save_chip
from spikeram.conversion import convert, recalibrate
from spikeram.device import IdealDevice
from spikeram.errors import FileFormatError
from spikeram.faults import Faults
from spikeram.models import chips
from spikeram.models.devices import levy_c
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.upkeep import age, reprogram

from networks import branching, convolutional, inputs, trained

X = inputs(0, 40)
NETWORK = convert(trained(2, (6, 20, 12, 3)), X, steps=16)
NEURRAM = chips.neurram()
FAULTY = replace(NEURRAM, faults=Faults(dead_rows={0: [1]}, dead_neurons={1: [2]}))


def again(chip, tmp_path):
    save_chip(chip, tmp_path / "chip.npz")
    return load_chip(tmp_path / "chip.npz")


@pytest.fixture
def saved(tmp_path):
    """A chip in a file, and a way to change what the file says."""
    path = tmp_path / "chip.npz"
    save_chip(program(NETWORK, seed=0), path)

    def changed(change):
        with np.load(path) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
        chip = json.loads(header["chip"])
        change(chip, arrays)
        header["chip"] = json.dumps(chip)
        np.savez(path, header=np.array(json.dumps(header)), **arrays)
        return path

    return changed


def cells(chip, n=0):
    return chip["fields"]["layers"]["tuple"][n]["fields"]["cells"]["fields"]


@pytest.mark.parametrize(
    "chip",
    [
        program(NETWORK, seed=0),
        program(NETWORK, chip=FAULTY, seed=np.random.SeedSequence(5, spawn_key=(3,))),
        program(NETWORK, chip=replace(NEURRAM, device=levy_c()), seed=2**70, index=4),
        program(NETWORK, chip="gaussian", seed=1),
        recalibrate(reprogram(age(program(NETWORK, seed=0), "1 year"), delay="1 h"), X),
    ],
    ids=["neurram", "faulty", "levy_c", "gaussian", "used"],
)
def test_a_chip_comes_back_and_fires_the_same_spikes(chip, tmp_path):
    other = again(chip, tmp_path)
    first, second = (simulate(one, X) for one in (chip, other))
    assert first.equals(second)
    assert first.attrs["provenance"] == second.attrs["provenance"]
    # Cells go on along the same paths, and are written with the same pulses.
    for use in (lambda c: age(c, "10 years"), lambda c: reprogram(c, delay="1 day")):
        one, two = use(chip), use(other)
        for a, b in zip(one.layers, two.layers):
            assert np.array_equal(a.crossbar.conductance, b.crossbar.conductance)
            assert np.array_equal(a.n_pulses, b.n_pulses)


@pytest.mark.parametrize("kind", ["convolutions", "branches and pools"])
def test_networks_of_all_kinds_come_back(kind, tmp_path):
    network = branching()
    if kind == "convolutions":
        network = convert(convolutional(), inputs(1, 20, 84), steps=8)
    x = inputs(1, 5, network.n_inputs)
    chip = program(network, seed=0)
    first, second = (simulate(one, x, steps=8) for one in (chip, again(chip, tmp_path)))
    assert first.equals(second)


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    chip = program(NETWORK, seed=0)
    save_chip(chip, tmp_path / "chip.npz")
    before = (tmp_path / "chip.npz").read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match=r"chip\.npz could not be written: No space left"):
        save_chip(chip, tmp_path / "chip.npz")
    assert (tmp_path / "chip.npz").read_bytes() == before


def test_a_device_of_ones_own_cannot_be_saved(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Mine(IdealDevice):
        pass

    chip = program(NETWORK, chip=replace(chips.ideal(), device=Mine()), seed=0)
    with pytest.raises(TypeError, match=r"cannot save a .*Mine: files hold what spikeram itself"):
        save_chip(chip, tmp_path / "chip.npz")
    with pytest.raises(TypeError, match=r"expects a ProgrammedChip, got SpikingNetwork"):
        save_chip(NETWORK, tmp_path / "chip.npz")


# What is refused.


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"There is no file"):
        load_chip(tmp_path / "none.npz")
    NETWORK.save(tmp_path / "network.npz")
    with pytest.raises(FileFormatError, match=r"'spikeram-chip', got 'spikeram-network'"):
        load_chip(tmp_path / "network.npz")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1e-6, r"layer 'dense_1' expects its .*present conductance between 0 and 0.0008 S"),
        (np.nan, r"or NaN"),
        (20.0, r"got .* to 20 S or NaN; conductances are in siemens"),
    ],
)
def test_conductances_that_cannot_be_are_refused(saved, value, message):
    def change(chip, arrays):
        arrays["bad"] = arrays[cells(chip)["conductance"]["array"]].copy()
        arrays["bad"][0, 0, 0] = value
        cells(chip)["conductance"] = {"array": "bad"}

    with pytest.raises(FileFormatError, match=message):
        load_chip(saved(change))


def test_a_crossbar_of_negative_conductance_is_refused(saved):
    def change(chip, arrays):
        crossbar = chip["fields"]["layers"]["tuple"][0]["fields"]["crossbar"]["fields"]
        arrays["bad"] = -arrays[crossbar["conductance"]["array"]]
        crossbar["conductance"] = {"array": "bad"}

    with pytest.raises(FileFormatError, match=r"Crossbar expects finite conductances >= 0 S"):
        load_chip(saved(change))


def _drop_layer(chip, arrays):
    chip["fields"]["layers"]["tuple"].pop()


def _other_shape(chip, arrays):
    arrays["bad"] = np.ones((2, 3, 4))
    cells(chip)["age"] = {"array": "bad"}


def _negative_count(chip, arrays):
    arrays["bad"] = -np.ones_like(arrays[cells(chip)["n_pulses"]["array"]])
    cells(chip)["n_pulses"] = {"array": "bad"}


def _missing_array(chip, arrays):
    del arrays[cells(chip)["programmed"]["array"]]


def _foreign_class(chip, arrays):
    chip["fields"]["chip"] = {"class": "Popen", "fields": {"args": "true"}}


def _unknown_field(chip, arrays):
    chip["fields"]["chip"]["fields"]["colour"] = "red"


def _window(chip, arrays):
    chip["fields"]["chip"]["fields"]["g_max"] = -1.0


def _temperature(chip, arrays):
    chip["fields"]["chip"]["fields"]["rows"] = "many"


def _no_chip(chip, arrays):
    chip.clear()
    chip["tuple"] = [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop_layer, r"the network has 3 layers, the chip 2"),
        (_other_shape, r"expects its age of shape"),
        (_negative_count, r"expects its n_pulses of shape .* and >= 0"),
        (_missing_array, r"is damaged or foreign"),
        (_foreign_class, r"no class 'Popen' is known"),
        (_unknown_field, r"unexpected keyword argument 'colour'"),
        (_window, r"Chip expects 0 <= g_min < g_max"),
        (_temperature, r"Chip.rows expects a count >= 2, got 'many'"),
        (_no_chip, r"it holds a tuple, no programmed chip"),
    ],
)
def test_files_that_say_what_cannot_be_are_refused(saved, change, message):
    with pytest.raises(FileFormatError, match=message):
        load_chip(saved(change))


@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_load_or_are_refused(tmp_path):
    path = tmp_path / "chip.npz"
    save_chip(program(convert(trained(1, (6, 4, 3)), X, steps=4), seed=0), path)
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(100):
        copy = bytearray(content)
        for place in rng.integers(len(copy), size=rng.integers(1, 5)):
            copy[place] = rng.integers(256)
        path.write_bytes(bytes(copy))
        try:
            load_chip(path)
        except FileFormatError:
            refused += 1
    assert refused > 50
