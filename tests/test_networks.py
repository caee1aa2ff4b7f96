"""The trained networks that are shipped, on a few samples: software, inference mode, spikes."""

import os
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402

from spikeram.conversion import convert, recalibrate, spread_weights  # noqa: E402
from spikeram.conversion.training import Recipe, Stage, accuracy  # noqa: E402
from spikeram.datasets import LabelledSet  # noqa: E402
from spikeram.errors import DataError, FileFormatError  # noqa: E402
from spikeram.inference import calibrate, infer, operating_points, predictions  # noqa: E402
from spikeram.models.networks import mnist_cnn, resnet20  # noqa: E402
from spikeram.models.networks.command import command  # noqa: E402
from spikeram.models.networks.inputs import quantised, shifted  # noqa: E402
from spikeram.models.networks.network import (  # noqa: E402
    Network,
    WeightsHeader,
    load,
    record,
    tensors,
    train,
)
from spikeram.models.networks.weights import read_weights  # noqa: E402
from spikeram.programming import program  # noqa: E402
from spikeram.simulation import simulate  # noqa: E402


def at_hand(samples, few, name):
    """Return test images, and a few training images to calibrate with, or skip the test."""
    if "SPIKERAM_DATA" not in os.environ:
        pytest.skip("SPIKERAM_DATA is not set, and a test fetches nothing.")
    try:
        return samples("test"), samples("train").x[:few]
    except DataError as error:
        pytest.skip(f"{name} is not at hand: {error}")


@pytest.fixture(scope="module")
def digits():
    return at_hand(mnist_cnn.samples, 200, "MNIST")


def small(part):
    rng = np.random.default_rng({"train": 0, "test": 1}[part])
    y = rng.integers(0, 3, 200)
    x = np.clip(y[:, np.newaxis] / 3 + 0.1 * rng.standard_normal((200, 4)), 0, 1)
    return LabelledSet(
        name="clouds", x=quantised(x.astype(np.float32), 7), y=y, classes=("a", "b", "c")
    )


def tiny():
    from torch import nn

    from spikeram.conversion.training import ClipFloorShift

    return nn.Sequential(nn.Linear(4, 8), ClipFloorShift(7, 1.0), nn.Linear(8, 3))


TINY = Network(
    name="tiny",
    build=tiny,
    samples=small,
    recipe=Recipe(
        stages=(
            Stage(epochs=20, rate=0.02),
            Stage(epochs=4, rate=0.01, noise=0.1),
            Stage(epochs=1, rate=0.005, noise=0.1, clip=2.0),
        ),
        batch=20,
    ),
    input_bits=3,
    activation_bits=3,
)


def test_the_mnist_network_holds_in_software_what_its_file_says(digits):
    test, _ = digits
    x, y = tensors(test)
    said = record(mnist_cnn.NETWORK).accuracy
    assert said["0"] >= 0.992
    assert accuracy(load(mnist_cnn.NETWORK), x[:500], y[:500])[0] == pytest.approx(
        said["0"], abs=0.01
    )


def test_the_mnist_network_survives_a_chip_in_both_modes(digits):
    test, calibration = digits
    x, y = test.x[:200], test.y[:200]
    network = convert(load(mnist_cnn.NETWORK), calibration, steps=None, method="learned_signed")
    chip = program(network, delay="1 day", seed=0)
    points = operating_points(chip, calibration, input_bits=3, activation_bits=3, full_scale=1.0)
    settings = calibrate(chip, calibration[:100], points)
    assert np.mean(predictions(infer(chip, x, settings)) == y) > 0.97
    spiking = recalibrate(chip, calibration[:100], steps=32)
    run = simulate(spiking, x[:60], steps=32, record="counts")
    assert np.mean(run["output"].values[:, -1].argmax(1) == y[:60]) > 0.96


def test_a_recipe_writes_both_kinds_of_weights_and_goes_on_where_it_was_cut(tmp_path):
    said = []
    written = train(TINY, tmp_path, said=said.append)
    assert set(written) == {"plain", "noise"}
    assert len(said) == 2
    # Weights without noise are those of the first stage alone.
    assert [line.split(":")[0] for line in said] == ["tiny_plain.npz", "tiny.npz"]
    model = load(TINY, file=written["noise"])
    x, y = tensors(small("test"))
    assert accuracy(model, x, y)[0] > 0.9

    again = tmp_path / "again"
    again.mkdir()

    def stop(done, total):
        if done == 110:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, again, progress=stop)
    train(TINY, again)
    for name in ("tiny.npz", "tiny_plain.npz"):
        with np.load(tmp_path / name) as one, np.load(again / name) as other:
            assert one.files == other.files
            for array in one.files:
                np.testing.assert_array_equal(one[array], other[array])


def test_a_recipe_of_its_own_makes_the_weights_without_noise(tmp_path):
    alone = replace(TINY, plain=Recipe(stages=(Stage(epochs=2, rate=0.02),), batch=50))
    written = train(alone, tmp_path)
    headers = {
        variant: read_weights(path, WeightsHeader, kind="spikeram-weights", name="tiny")[1]
        for variant, path in written.items()
    }
    assert headers["plain"].recipe["batch"] == 50
    assert headers["noise"].recipe["batch"] == 20
    # Training with noise does not depend on it.
    (tmp_path / "other").mkdir()
    other = train(TINY, tmp_path / "other")["noise"]
    with np.load(written["noise"]) as one, np.load(other) as two:
        for array in one.files:
            np.testing.assert_array_equal(one[array], two[array])


def test_foreign_and_damaged_weights_are_refused(tmp_path):
    path = train(TINY, tmp_path)["plain"]
    with pytest.raises(FileFormatError, match="weights of 'tiny', expected 'mnist_cnn'"):
        load(mnist_cnn.NETWORK, file=path)
    wider = Network(
        **{**TINY.__dict__, "build": lambda: torch.nn.Sequential(torch.nn.Linear(5, 3))}
    )
    with pytest.raises(FileFormatError, match=r"expects '0.weight' of shape \(3, 5\), got shape"):
        load(wider, file=path)
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FileFormatError):
        load(TINY, file=damaged)
    with pytest.raises(FileFormatError, match="There is no file"):
        load(TINY, file=tmp_path / "none.npz")


def test_the_command_trains_and_says_what_it_reached(tmp_path):
    done = CliRunner().invoke(command(TINY), ["train", "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "tiny.npz" in done.output
    (tmp_path / "tiny.checkpoint").write_bytes(b"nothing that torch wrote")
    damaged = CliRunner().invoke(command(TINY), ["train", "--output", str(tmp_path)])
    assert damaged.exit_code == 1
    assert "Error: " in damaged.output
    assert "not a readable checkpoint" in damaged.output
    missing = CliRunner().invoke(command(TINY), ["train", "--output", str(tmp_path / "none")])
    assert missing.exit_code == 2


def test_resnet20_has_the_published_number_of_weights():
    model = resnet20.ResNet20()
    matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    # 274,461 parameters are published; what is not a matrix here is biases and normalisation.
    assert matrices == 16 * 27 + 6 * 9 * 16**2 + 9 * 16 * 32 + 5 * 9 * 32**2 + 16 * 32 + (
        9 * 32 * 64 + 5 * 9 * 64**2 + 32 * 64 + 640
    )
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(274_461, rel=0.01)


@pytest.fixture(scope="module")
def photographs():
    return at_hand(resnet20.samples, 20, "CIFAR-10")


def test_the_residual_network_survives_a_chip_where_its_shortcuts_are_spread(photographs):
    test, few = photographs
    x, y = test.x[:40], test.y[:40]
    network = convert(load(resnet20.NETWORK), few, steps=None, method="learned_signed")

    def right(model):
        """Return the share of images that are classified right after 8 steps."""
        run = simulate(model, x, steps=8, record="counts", outputs_at=[8])
        return np.mean(run["output"].values[:, -1].argmax(1) == y)

    # Shortcuts are ten times as large as what they are added to: errors of cells are, too.
    assert right(network) > 0.7
    assert right(program(network, seed=0)) < 0.4
    assert right(program(spread_weights(network), seed=0)) > 0.6


def test_the_residual_network_survives_a_chip_in_inference_mode(photographs):
    test, few = photographs
    x, y = test.x[:40], test.y[:40]
    network = convert(load(resnet20.NETWORK), few, steps=None, method="learned_signed")
    chip = program(network, delay="1 day", seed=0, shortcuts="digital")
    points = operating_points(chip, few, input_bits=4, activation_bits=3, full_scale=1.0)
    settings = calibrate(chip, few, points)
    # 0.8 in software on these images; one is 0.025.
    assert np.mean(predictions(infer(chip, x, settings)) == y) > 0.7


def test_shifts_move_images_over_a_black_border():
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).repeat(50, 1, 1, 1)
    moved = shifted(x, 1, torch.Generator().manual_seed(0), mirrored=True)
    assert moved.shape == x.shape
    originals = {tuple(torch.roll(x[0, 0], (a, b), (0, 1))[1, 1:2].tolist()) for a in (-1, 0, 1)
                 for b in (-1, 0, 1)}  # fmt: skip
    assert {(float(m[0, 1, 1]),) for m in moved} <= originals
    assert len({float(m[0, 1, 1]) for m in moved}) > 5
