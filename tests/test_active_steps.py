"""In which steps inputs drive a crossbar, as recordings hold it."""

from __future__ import annotations

import numpy as np
import pytest

from spikeram import recording
from spikeram._kernels.encoding import driven_positions, driven_steps
from spikeram.accessor import load
from spikeram.conversion import convert
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork
from spikeram.energy import latency
from spikeram.gather import Gather, convolution
from spikeram.pool import MaxPool
from spikeram.simulation import simulate

from networks import inputs, trained

STEPS = 6


def convolved():
    rng = np.random.default_rng(0)
    index = np.full((5, 3, 1), -1, np.int32)
    index[:, :, 0] = np.arange(5)[:, np.newaxis] + np.arange(3) - 1
    index[index > 4] = -1
    return TrainedNetwork(
        nodes=(
            TrainedLayer(
                name="conv",
                sources=("input",),
                weight=rng.normal(0, 1, (3, 2)),
                bias=np.zeros(2),
                gather=Gather(index, 5),
            ),
            MaxPool("pool", "conv", np.arange(10, dtype=np.int32).reshape(5, 2)),
            TrainedLayer(
                name="branch", sources=("pool",), weight=rng.normal(0, 1, (5, 4)), bias=np.zeros(4)
            ),
            TrainedLayer(
                name="output",
                sources=("branch", "pool"),
                weight=rng.normal(0, 1, (9, 3)),
                bias=np.zeros(3),
            ),
        ),
        classes=np.arange(3),
    )


X = np.abs(np.random.default_rng(1).normal(0, 0.4, (20, 5))) * (
    np.random.default_rng(2).random((20, 5)) < 0.4
)


def rasters(run):
    return {name: run.spk.raster(name).values for name in recording.layer_names(run)}


def by_hand(network, spikes):
    """Return the steps and positions, in (sample, crossbar), in which any input spikes."""
    spikes = dict(spikes)
    found = []
    for node in network.nodes:
        if isinstance(node, MaxPool):
            spikes[node.name] = node.spikes(spikes[node.source])
            continue
        arriving = np.concatenate([spikes[source] for source in node.sources], axis=2) != 0
        if node.gather is None:
            found.append(arriving.any(axis=2).sum(axis=1))
            continue
        padded = np.concatenate([arriving, np.zeros_like(arriving[..., :1])], axis=2)
        # Index -1 is the silent place at the end.
        found.append(padded[..., node.gather.index].any(axis=(3, 4)).sum(axis=(1, 2)))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("encoding", ["rate", "poisson"])
def test_a_step_counts_at_each_position_where_an_input_spikes(encoding):
    network = convert(convolved(), X, steps=STEPS)
    run = simulate(network, X, encoding=encoding, seed=0)
    expected = by_hand(convolved(), rasters(run))
    assert 0 < expected[:, 0].mean() < STEPS * 5
    np.testing.assert_array_equal(run["active_steps"], expected)


def test_a_constant_current_drives_every_step_where_it_is_not_zero():
    network = convert(convolved(), X, steps=STEPS)
    run = simulate(network, X)
    levels = np.rint(X / network.input_scale * 256) != 0
    steady = np.repeat(levels[:, np.newaxis].astype(np.int8), STEPS, axis=1)
    expected = by_hand(convolved(), {**rasters(run), "input": steady})
    np.testing.assert_array_equal(run["active_steps"], expected)
    assert (expected[:, 0] % STEPS == 0).all()


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_any_number_of_steps_is_counted(steps):
    rng = np.random.default_rng(steps)
    spikes = (rng.random((3, steps, 9)) < 0.05).astype(np.int8)
    spikes[2] = 1
    index = rng.integers(-1, 9, (7, 3), dtype=np.int32)
    padded = np.concatenate([spikes, np.zeros_like(spikes[..., :1])], axis=2)
    counts = np.empty(3, np.int64)
    classes = Gather(index[..., np.newaxis], 9).classes
    driven_positions(spikes, classes.runs, classes.at, classes.n_classes, counts)
    np.testing.assert_array_equal(counts, padded[..., index].any(axis=3).sum(axis=(1, 2)))
    driven_steps(spikes, counts)
    np.testing.assert_array_equal(counts, spikes.any(axis=2).sum(axis=1))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_channels_of_a_pixel_are_one_class(stride):
    gather, _ = convolution((3, 6, 5), (3, 3), padding=(1, 1), stride=(stride, stride))
    classes = gather.classes
    of_input = np.full(gather.n_inputs, classes.n_classes)
    for first, length, number in classes.runs:
        of_input[first : first + length] = np.arange(number, number + length)
    assert (of_input.reshape(3, -1) == of_input[:30]).all()
    for at, index in zip(classes.at, gather.index):
        inside = index[index >= 0]
        assert set(at[at < classes.n_classes]) == set(of_input[inside])
    # A run of a whole channel, where each pixel is in a class of its own.
    if stride == 1:
        assert classes.runs.tolist() == [[30 * channel, 30, 0] for channel in range(3)]


def test_inputs_that_stand_nowhere_are_in_no_class():
    classes = Gather(np.array([[[1], [-1]], [[3], [1]]], np.int32), 5).classes
    assert classes.runs.tolist() == [[1, 1, 0], [3, 1, 1]]
    assert classes.at.tolist() == [[0, 2], [0, 1]]
    nothing = Gather(np.full((2, 1, 1), -1, np.int32), 3).classes
    assert (nothing.runs.shape, nothing.at.tolist(), nothing.n_classes) == ((0, 3), [[0], [0]], 0)


def test_always_on_rows_are_those_of_the_crossbars():
    run = simulate(convert(trained(), inputs(0, 20), steps=4), inputs(0, 5))
    np.testing.assert_array_equal(run["always_on"], 1)


def test_batches_do_not_matter():
    x = inputs(0, 70)
    network = convert(trained(), x, steps=4)
    whole = simulate(network, x)
    first, second = simulate(network, x[:30]), simulate(network, x[30:])
    np.testing.assert_array_equal(
        whole["active_steps"], np.concatenate([first["active_steps"], second["active_steps"]])
    )


def test_files_keep_them_and_older_files_without_them_load(tmp_path):
    run = simulate(convert(trained(), inputs(0, 20), steps=4), inputs(0, 5))
    recording.save(run, tmp_path / "new.nc")
    np.testing.assert_array_equal(load(tmp_path / "new.nc")["active_steps"], run["active_steps"])
    old = run.drop_vars(["active_steps", "always_on"])
    recording.save(old, tmp_path / "old.nc")
    assert "active_steps" not in load(tmp_path / "old.nc")
    assert "active_steps" not in recording.concatenate([run, old])


def test_a_recording_says_what_drives_each_crossbar_through_pools():
    run = simulate(convert(convolved(), X, steps=STEPS), X)
    assert recording.drivers(run) == {
        "conv": ["input"],
        "branch": ["conv"],
        "output": ["branch", "conv"],
    }


def test_without_that_each_crossbar_follows_the_one_before():
    run = simulate(convert(convolved(), X, steps=STEPS), X)
    old = run.assign_attrs(provenance="{}")
    assert recording.drivers(old) == {"conv": ["input"], "branch": ["conv"], "output": ["branch"]}


def test_branches_run_at_the_same_time_where_one_of_them_is_a_convolution():
    run = simulate(convert(convolved(), X, steps=STEPS), X)
    # conv, branch, output: 5 + 1 + 1 positions on the longest path.
    step = 0.82e-6
    np.testing.assert_allclose(latency(run), STEPS * 7 * step)
    apart = run.assign_attrs(
        provenance='{"sources": {"conv": ["input"], "branch": ["input"], "output": '
        '["branch", "conv"]}}'
    )
    np.testing.assert_allclose(latency(apart), STEPS * 6 * step)
