import shutil
from dataclasses import replace

import numpy as np
import pytest

from spikeram.boltzmann import BoltzmannMachine, Firing, Gibbs, program_machine, read_out, spiking
from spikeram.errors import FileFormatError
from spikeram.models import chips
from spikeram.models.networks import mnist_rbm
from spikeram.models.networks.contrastive import Recipe, fit
from spikeram.models.networks.recovery import (
    blind,
    flipped,
    occluded,
    recover,
    recovered_error,
)

SMALL = Recipe(n_hidden=6, epochs=4, batch=20, rate=0.2, noise=0.05)
KICKS = Firing(kicks=8)


def bars(n, seed=0):
    """Images of 4 x 4 pixels: two rows are white, or two columns."""
    rng = np.random.default_rng(seed)
    lines = np.zeros((n, 4))
    for image in lines:
        image[rng.choice(4, 2, replace=False)] = 1.0
    upright = rng.random(n) < 0.5
    images = np.repeat(lines[:, :, np.newaxis], 4, axis=2)
    return np.where(upright[:, np.newaxis, np.newaxis], images, images.swapaxes(1, 2)).reshape(
        n, 16
    )


def digit_like(machine, n):
    """Visible units that the machine itself dreams, as there may be no data at hand."""
    start = np.random.default_rng(0).random((n, machine.shape[0]))
    chain = recover(machine, _free(start), Gibbs(cycles=30), seed=5)
    return np.floor(chain.mean() * 7 + 0.5) / 7


def _free(x):
    return replace(flipped(x, share=0.0, seed=0), intact=None)


def test_training_that_was_interrupted_ends_where_an_unbroken_one_does(tmp_path):
    path, x = tmp_path / "checkpoint.npz", bars(200)
    whole = fit(x, SMALL, seed=3)

    def stop(done, total):
        if done == total // 2 + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(x, SMALL, seed=3, checkpoint=path, progress=stop)
    again = fit(x, SMALL, seed=3, checkpoint=path)
    np.testing.assert_array_equal(again.weight, whole.weight)
    np.testing.assert_array_equal(again.visible_bias, whole.visible_bias)
    assert np.any(fit(x, SMALL, seed=4).weight != whole.weight)


def test_training_makes_the_data_likely():
    recipe = replace(SMALL, n_hidden=12, epochs=40, noise=0.0, w_max=8.0)
    trained = fit(bars(400), recipe, seed=0)
    x = bars(100, seed=1)
    task = flipped(x, share=0.2, seed=0)
    gibbs = Gibbs(cycles=10)
    assert recovered_error(trained, task, gibbs, seed=0) < 0.4 * task.error_before
    # A machine that knows the mean of each pixel and nothing else leaves gray pixels.
    nothing = replace(trained, weight=0 * trained.weight)
    assert recovered_error(nothing, task, gibbs, seed=0) > 0.4 * task.error_before


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    path, x = tmp_path / "checkpoint.npz", bars(100)
    fit(x, SMALL, seed=0, checkpoint=path)
    with pytest.raises(FileFormatError, match="another run: seed is 0, expected 1. Remove it"):
        fit(x, SMALL, seed=1, checkpoint=path)
    with pytest.raises(FileFormatError, match=r"another run: recipe is .*'n_hidden': 6.*Remove it"):
        fit(x, replace(SMALL, n_hidden=5), seed=0, checkpoint=path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="is not a readable .* Remove it to begin anew"):
        fit(x, SMALL, seed=0, checkpoint=path)


def test_bad_data_and_recipes_are_named():
    with pytest.raises(ValueError, match=r"from 0 to 1, a batch of 20 samples .* \(5, 16\)"):
        fit(bars(5), SMALL, seed=0)
    with pytest.raises(ValueError, match="Recipe.epochs expects a count >= 1, got 0"):
        Recipe(epochs=0)
    with pytest.raises(ValueError, match=r"expects images of shape \(sample, 784\), got \(5, 16\)"):
        occluded(bars(5), seed=0)


def test_shipped_weights_are_those_of_their_recipe():
    for variant, recipe in mnist_rbm.RECIPES.items():
        machine, record = mnist_rbm.load(variant), mnist_rbm.record(variant)
        assert machine.shape == (794, 120)
        assert np.abs(machine.weight).max() <= mnist_rbm.W_MAX
        assert Recipe(**record.recipe) == recipe
        left = {"noise": 0.3, "plain": 0.35}[variant]
        assert record.error["occluded, noise 0"] < left * record.error["occluded, before"]


def test_damaged_and_foreign_weights_are_refused(tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(FileFormatError, match="There is no file"):
        mnist_rbm.load(file=path)
    shutil.copy(mnist_rbm.weights_file(), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="is not a readable"):
        mnist_rbm.load(file=path)
    fit(bars(100), SMALL, seed=0, checkpoint=path.with_name("other.npz"))
    with pytest.raises(FileFormatError, match="expects the format 'spikeram-boltzmann', got"):
        mnist_rbm.load(file=path.with_name("other.npz"))


def test_digits_are_recovered_on_a_chip_and_by_spikes():
    machine = mnist_rbm.load()
    visible = digit_like(machine, 80)
    chip = replace(chips.neurram(), g_max=30e-6)
    programmed = program_machine(machine, chip=chip, seed=0, cores=8, w_max=mnist_rbm.W_MAX)
    ways = (
        (read_out(programmed, visible, seed=0), Gibbs(hidden=KICKS)),
        (spiking(programmed, visible, seed=0), Gibbs(hidden=KICKS, visible=KICKS)),
    )
    x = visible[:40, :784]
    for task in (flipped(x, seed=0), occluded(x, seed=0)):
        for fields, gibbs in ways:
            assert recovered_error(fields, task, gibbs, seed=0) < 0.4 * task.error_before


def test_flips_make_pixels_evidence():
    bias = np.linspace(-2.0, 2.0, 16)
    machine = BoltzmannMachine(weight=np.zeros((16, 2)), visible_bias=bias, hidden_bias=np.zeros(2))
    task = blind(flipped(bars(10), share=0.2, seed=0))
    codes = recover(machine, task, Gibbs(cycles=1), seed=0, flips=0.2).visible[0]
    odds = np.where(task.corrupted == 1, np.log(4.0), -np.log(4.0))
    np.testing.assert_array_equal(codes, np.rint(7 / (1 + np.exp(-bias - odds))))
