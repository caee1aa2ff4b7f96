"""Training: noise against closed forms, resumption to the bit, chip-in-the-loop on small models."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from spikeram.adc import ADC  # noqa: E402
from spikeram.conversion import TrainedNetwork, convert  # noqa: E402
from spikeram.conversion.training import (  # noqa: E402
    ClipFloorShift,
    DeviceNoise,
    InferenceMode,
    Recipe,
    SpikingMode,
    Stage,
    WeightNoise,
    accuracy,
    fine_tune,
    fit,
)
from spikeram.errors import FileFormatError  # noqa: E402
from spikeram.inference import activations, calibrate, infer, operating_points  # noqa: E402
from spikeram.models import chips, devices  # noqa: E402
from spikeram.programming import program  # noqa: E402

RECIPE = Recipe(
    stages=(Stage(epochs=3, rate=0.02), Stage(epochs=3, rate=0.01, noise=0.1)), batch=32
)


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), ClipFloorShift(7, 2.0), nn.Linear(16, 12),
        ClipFloorShift(7, 2.0), nn.Linear(12, 3),
    )  # fmt: skip


def data(n=256, seed=0):
    """Return points of three clouds, at the levels of 4-bit inputs."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = np.random.default_rng(7).random((3, 8))
    x = np.clip(centres[y] + 0.12 * rng.standard_normal((n, 8)), 0, 1)
    return (np.rint(x * 15) / 15).astype(np.float32), y


def tensors(n=256, seed=0):
    x, y = data(n, seed)
    return torch.tensor(x), torch.tensor(y)


def weights(net):
    return {name: values.clone() for name, values in net.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_noise_has_the_spread_that_is_asked_for_and_leaves_no_trace():
    net = nn.Sequential(nn.Linear(300, 200))
    before = weights(net)
    with WeightNoise(net, 0.2, torch.Generator().manual_seed(0)):
        error = net[0].weight - before["0.weight"]
        assert float(error.detach().std()) == pytest.approx(
            0.2 * float(before["0.weight"].abs().max()), rel=0.02
        )
        assert not torch.equal(net[0].bias, before["0.bias"])
    assert equal(weights(net), before)


def test_noise_of_a_device_is_that_of_both_cells_of_a_pair():
    # Cells that err by 10 % of 40 uS each: sqrt(2) 4 uS on a window of 39 uS, whatever the weight.
    noise = DeviceNoise(devices.gaussian(0.1), "1 day")
    spread = noise(torch.tensor([[0.5, -0.25, 0.0], [2.0, 1.0, -2.0]]))
    device = devices.gaussian(0.1)
    expected = np.sqrt(2) * 0.1 * device.g_max / (device.g_max - device.g_min)
    np.testing.assert_allclose(spread[0].numpy(), 0.5 * expected, rtol=1e-5)
    np.testing.assert_allclose(spread[1].numpy(), 2.0 * expected, rtol=1e-5)


def test_relaxing_cells_disturb_weights_as_much_as_programmed_ones_err():
    weight = np.full((100, 60), 0.5)
    weight[0] = 1.0
    network = convert(
        TrainedNetwork.chain([weight], [np.zeros(60)]), np.random.default_rng(1).random((20, 100))
    )
    layer = program(network, chip="neurram", delay="1 day", seed=0, rounds=1).layers[0]
    pairs = np.asarray(layer.crossbar.conductance)[:, :100]
    device = devices.neurram()
    error = ((pairs[0] - pairs[1]) / (device.g_max - device.g_min) - weight)[1:]
    # Stuck cells, of which the spread knows nothing, err by half the window.
    measured = error[np.abs(error) < 0.5].std()
    spread = DeviceNoise(device, "1 day")(torch.tensor(weight.T, dtype=torch.float32))
    assert float(spread[0, 1]) == pytest.approx(measured, rel=0.1)


def test_the_formula_that_compiles_is_the_activation(monkeypatch):
    z = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 2
    found = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda own=compiling: own)
        activation, given = ClipFloorShift(7, 1.5), z.clone().requires_grad_()
        out = activation(given)
        (out * torch.arange(1000)).sum().backward()
        found.append((out.detach(), given.grad, activation.threshold.grad))
    for plain, fused in zip(*found):
        torch.testing.assert_close(plain, fused, rtol=1e-4, atol=1e-4)


def test_weights_stay_within_so_many_standard_deviations():
    net = model()
    with torch.no_grad():
        net[0].weight[0, 0] = 10.0
    recipe = Recipe(stages=(Stage(epochs=2, rate=0.02, clip=2.0),), batch=32)
    fit(net, *tensors(), recipe, seed=0)
    for layer in (net[0], net[3], net[5]):
        # What is clipped sets the deviation that the next step clips at, a hair lower.
        assert layer.weight.abs().max() <= 2.1 * layer.weight.std()


def test_running_statistics_stay_where_a_stage_uses_them():
    net = model()
    first = Recipe(stages=(Stage(epochs=1, rate=0.02),), batch=32)
    fit(net, *tensors(), first, seed=0)
    before = net[1].running_mean.clone(), net[0].weight.clone()
    second = Recipe(stages=(Stage(epochs=1, rate=0.02, running_norms=True),), batch=32)
    fit(net, *tensors(), second, seed=0)
    assert torch.equal(net[1].running_mean, before[0])
    assert not torch.equal(net[0].weight, before[1])


def test_training_goes_on_where_it_was_interrupted(tmp_path):
    x, y = tensors()
    whole = fit(model(), x, y, RECIPE, seed=3)
    path = tmp_path / "checkpoint"

    def stop(done, total):
        if done == 36:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model(), x, y, RECIPE, seed=3, checkpoint=path, progress=stop)
    stages = []
    again = fit(model(), x, y, RECIPE, seed=3, checkpoint=path, after_stage=stages.append)
    assert stages == [1]
    assert equal(weights(whole), weights(again))
    assert accuracy(whole, x, y)[0] > 0.95
    assert not equal(weights(whole), weights(fit(model(), x, y, RECIPE, seed=4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "another run: seed is 3, expected 9"),
        ({"recipe": Recipe(stages=(Stage(epochs=1, rate=0.1),), batch=32)}, "another run: recipe"),
        ({"model": nn.Sequential(nn.Linear(8, 3))}, "another architecture"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change, message):
    x, y = tensors(64)
    path = tmp_path / "checkpoint"
    fit(model(), x, y, RECIPE, seed=3, checkpoint=path)
    given = {"model": model(), "recipe": RECIPE, "seed": 3, **change}
    with pytest.raises(FileFormatError, match=message):
        fit(given["model"], x, y, given["recipe"], seed=given["seed"], checkpoint=path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    x, y = tensors(64)
    path = tmp_path / "checkpoint"
    path.write_bytes(b"PK\x03\x04 no more than that")
    with pytest.raises(FileFormatError, match="not a readable checkpoint"):
        fit(model(), x, y, RECIPE, seed=3, checkpoint=path)


def test_levels_of_activations_are_codes_of_inference_mode():
    x, y = tensors()
    net = fit(model(), x, y, RECIPE, seed=0)
    network = convert(net, x.numpy(), steps=None, method="learned_signed")
    chip = program(network, chip=chips.ideal(), seed=0)
    points = operating_points(
        chip,
        x.numpy(),
        input_bits=4,
        activation_bits=3,
        adc=ADC(bits=10, conversion="binary_search"),
        full_scale=1.0,
    )
    settings = calibrate(chip, x.numpy(), points)
    with torch.no_grad():
        first = net[:3](x).numpy()
        scores = net(x).numpy()
    theta = float(net[2].threshold.detach())
    got = activations(chip, x.numpy(), settings, network.layers[0].name)
    levels = np.clip(np.rint(got / theta * 7), 0, 7)
    # The converter resolves a step of 2^-9 of its range: a level is missed at its very edge alone.
    assert np.mean(levels == np.rint(first / theta * 7)) > 0.99
    run = infer(chip, x.numpy(), settings)
    assert np.mean(run["output"].values.argmax(1) == scores.argmax(1)) > 0.99
    known = {network.layers[0].name: got}
    second = network.layers[1].name
    np.testing.assert_array_equal(
        activations(chip, x.numpy(), settings, second, known=known),
        activations(chip, x.numpy(), settings, second),
    )


def test_what_follows_learns_to_live_with_what_a_layer_really_gives():
    x, y = tensors()
    net = fit(model(), x, y, RECIPE, seed=0)
    before = weights(net)

    def broken(given, samples, layer, known):
        """Return the first layer with its outputs in reverse, the second as it is."""
        with torch.no_grad():
            first = given[:3](torch.tensor(samples)).flip(1)
            return (first if layer == 0 else given[3:5](first)).numpy()

    def share(given):
        with torch.no_grad():
            first = given[:3](x).flip(1)
            return float((given[3:](first).argmax(1) == y).float().mean())

    assert share(net) < 0.8
    recipe = Recipe(stages=(Stage(epochs=10, rate=0.02),), batch=32)
    fine_tune(net, x.numpy(), y.numpy(), recipe, measure=broken, seed=1)
    assert share(net) > 0.95
    after = weights(net)
    for name in before:
        same = torch.equal(before[name], after[name])
        assert same == name.startswith(("0.", "1.", "2.")), name


@pytest.mark.parametrize("mode", ["inference", "spikes"])
def test_a_programmed_chip_is_measured_on_the_same_cells_every_time(mode):
    x, y = data(96)
    net = fit(model(), torch.tensor(x), torch.tensor(y), RECIPE, seed=0)
    measure = (
        InferenceMode(calibration=60, input_bits=4, activation_bits=3)
        if mode == "inference"
        else SpikingMode(calibration=60, steps=8)
    )
    first = measure(net, x, 0, [])
    changed = copy.deepcopy(net)
    with torch.no_grad():
        changed[5].weight.add_(0.3)
    np.testing.assert_array_equal(measure(changed, x, 0, []), first)
    with torch.no_grad():
        ideal = net[:3](torch.tensor(x)).numpy()
    # Correlated with what was trained, and not equal to it: cells have relaxed.
    assert np.corrcoef(first.ravel(), ideal.ravel())[0, 1] > 0.95
    assert not np.allclose(first, ideal, atol=1e-3)


def test_a_model_without_learned_thresholds_is_refused():
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
    x, y = data(64)
    with pytest.raises(ValueError, match="ClipFloorShift activations"):
        fine_tune(net, x, y, RECIPE, measure=lambda *_: x, seed=0)


def test_impossible_stages_and_noise_are_refused():
    with pytest.raises(ValueError, match="epochs >= 1"):
        Stage(epochs=0, rate=0.1)
    with pytest.raises(ValueError, match="a clip > 1 standard deviations, or None, got 1"):
        Stage(epochs=1, rate=0.1, clip=1)
    with pytest.raises(ValueError, match="noise >= 0"):
        WeightNoise(model(), -0.1)
    x, y = tensors(16)
    with pytest.raises(ValueError, match="a batch of 32"):
        fit(model(), x, y, RECIPE, seed=0)
