"""Methods of conversion: what each chooses, and what it is good for."""

import sys

import numpy as np
import pytest

from spikeram.conversion import (
    METHODS,
    Graph,
    Node,
    calibrate_bias,
    convert,
    lower,
    ops,
    reconstruct,
    thresholds,
)
from spikeram.conversion.methods import AUTO, CANDIDATES
from spikeram.errors import ConversionError
from spikeram.network import SpikingNetwork
from spikeram.simulation import simulate

from networks import chain, trained

RNG = np.random.default_rng(0)
X = RNG.random((300, 6))
ANN = trained(1)


def error(network, x=X, ann=ANN):
    """Return the root-mean-square error of the decoded output, as a share of the output's."""
    wanted = ann.forward(x)
    found = simulate(network, x, record="counts")["output"].values[:, -1]
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))


def layers_of(n):
    """Return a network of `n` layers of eight rectified neurons, with outputs of order one."""
    rng = np.random.default_rng(2)
    sizes = [6, *[8] * n, 3]
    steps = []
    for before, after in zip(sizes, sizes[1:]):
        steps.append(ops.Linear(weight=rng.normal(0, np.sqrt(2 / before), (after, before))))
        steps.append(ops.Rectifier())
    return lower(chain(steps[:-1], (6,)))


def clip_floor_shift(threshold, levels=8):
    linear = [ops.Linear(weight=RNG.normal(0, 0.6, shape)) for shape in ((8, 6), (8, 8), (3, 8))]
    active = ops.Rectifier(threshold=threshold, levels=levels)
    return lower(chain([linear[0], active, linear[1], active, linear[2]], (6,)))


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("learned")])
def test_every_method_comes_near_the_trained_network_in_many_steps(name):
    assert error(convert(ANN, X, steps=256, method=name)) < 0.05


@pytest.mark.parametrize("name", METHODS)
def test_converting_twice_gives_the_same_network(name):
    one, two = (convert(ANN, X, steps=4, method=name) for _ in range(2))
    for a, b in zip(one.layers, two.layers):
        for part in ("weight", "bias", "threshold"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    assert one.origin == two.origin


def test_the_largest_activation_of_a_layer_or_of_each_channel_is_the_threshold():
    hidden = ANN.values(X)["dense_1"]
    layer = convert(ANN, X, steps=None, method="max").layers[0]
    np.testing.assert_allclose(layer.threshold, hidden.max())
    assert layer.initial == 0
    channel = convert(ANN, X, steps=None, method="max_channel").layers[0]
    assert np.all(channel.threshold >= hidden.max(axis=0))
    np.testing.assert_allclose(channel.threshold.max(), hidden.max())


def test_reconstruction_loses_less_than_biases_alone_in_one_step():
    by = {m: error(convert(ANN, X, steps=1, method=m)) for m in ("least_squares", "reconstruction")}
    assert by["reconstruction"] < by["least_squares"]


def test_signed_neurons_lose_less_where_many_layers_follow_each_other():
    deep = layers_of(10)
    by = {
        m: error(convert(deep, X, steps=16, method=m), ann=deep)
        for m in ("least_squares", "signed", "signed_reconstruction")
    }
    assert by["signed"] < by["least_squares"]
    assert by["signed_reconstruction"] < by["least_squares"]


def test_reconstruction_leaves_pairs_without_weight_empty():
    weight = RNG.normal(size=(4, 1, 3, 3))
    depthwise = ops.Conv(weight=weight, groups=4, padding=1)
    first = ops.Conv(weight=RNG.normal(size=(4, 1, 1, 1)))
    ann = lower(
        chain(
            [
                first,
                ops.Rectifier(),
                depthwise,
                ops.Rectifier(),
                ops.Conv(weight=RNG.normal(size=(2, 4, 1, 1))),
            ],
            (1, 5, 5),
        )
    )
    x = RNG.random((50, 25))
    network = convert(ann, x, steps=2, method="reconstruction")
    np.testing.assert_array_equal(network.layers[1].weight == 0, ann.layers[1].weight == 0)
    assert not np.array_equal(network.layers[1].weight, ann.layers[1].weight)


def test_calibration_leaves_a_network_that_makes_no_error_as_it_is():
    ann = lower(chain([ops.Linear(weight=RNG.normal(size=(3, 6)))], (6,)))
    network = convert(ann, X, steps=None, method="percentile")
    for correct in (calibrate_bias, reconstruct):
        layer = correct(network, X, steps=4).layers[0]
        # Eight bits of the input converter are all that is lost.
        np.testing.assert_allclose(layer.weight, network.layers[0].weight, atol=0.01)
        np.testing.assert_allclose(layer.bias, network.layers[0].bias, atol=0.01)


def test_learned_thresholds_are_the_default_where_the_model_brings_them():
    ann = clip_floor_shift(2.5)
    assert convert(ann, X, steps=8).method == "learned_reconstruction"
    network = convert(ann, X, steps=None)
    assert network.method == "learned_signed"
    for layer in network.layers[:-1]:
        np.testing.assert_array_equal(layer.threshold, 2.5)
        assert layer.spikes == "signed"
    for given, made in zip(ann.layers, network.layers):
        np.testing.assert_array_equal(given.bias, made.bias)


def test_taking_spikes_back_brings_more_outputs_to_what_training_computed():
    ann = clip_floor_shift(1.5, levels=8)
    x = np.random.default_rng(3).integers(0, 257, (60, 6)) / 256
    activation = x
    for layer in ann.layers[:-1]:
        share = np.floor(activation @ layer.weight * 8 / 1.5 + 0.5) / 8
        activation = 1.5 * np.clip(share, 0, 1)
    wanted = activation @ ann.layers[-1].weight

    def exact(method):
        run = simulate(convert(ann, x, steps=8, method=method), x, record="counts")
        # Weights of 12 bits; a spike more or less is worth some tenths.
        return np.mean(np.abs(run["output"].values[:, -1] - wanted) < 0.01)

    assert exact("learned_signed") > exact("learned") + 0.1


def test_auto_takes_the_best_of_what_it_measured_and_says_why():
    network = convert(ANN, X, steps=2, method=AUTO)
    choice = network.origin["choice"]
    assert network.method in CANDIDATES
    assert choice.startswith(f"{network.method}, measured on 60 held-out samples at T=2: ")
    # Two steps are less than one with bursts of four.
    assert all((name in choice) == (METHODS[name].burst == 1) for name in CANDIDATES)


def test_auto_gives_bursts_the_same_time(monkeypatch):
    # The function `convert` hides the module of its name.
    monkeypatch.setattr(sys.modules[convert.__module__], "CANDIDATES", ("max", "burst"))
    network = convert(ANN, X, steps=8, method=AUTO)
    # Two steps of five levels against eight steps of two, and the largest activation as threshold.
    assert (network.method, network.steps) == ("burst", 2)
    assert "at T=8 (2 steps with bursts, which last as long): burst " in network.origin["choice"]


def test_late_charge_costs_less_where_neurons_burst():
    ann = layers_of(8)
    plain, burst = (
        error(convert(ann, X, steps=8, method=m), ann=ann)
        for m in ("percentile", "burst_percentile")
    )
    assert burst < plain


def test_a_quarter_of_the_steps_with_bursts_of_four_loses_no_more():
    ann = layers_of(8)
    plain = error(convert(ann, X, steps=16, method="least_squares"), ann=ann)
    burst = error(convert(ann, X, steps=4, method="burst"), ann=ann)
    assert burst < plain


def test_thresholds_with_room_are_those_of_so_many_times_the_steps():
    sizes = np.abs(RNG.normal(size=(500, 3)))
    roomy = thresholds.least_squares(sizes, 2, room=4)
    # The same levels, and a spike of a step is worth a quarter of what it would be of four.
    np.testing.assert_allclose(roomy, thresholds.least_squares(sizes, 8) / 4)


def test_auto_measures_a_regression_by_its_error():
    ann = lower(
        chain(
            [
                ops.Linear(weight=RNG.normal(size=(5, 6))),
                ops.Rectifier(),
                ops.Linear(weight=RNG.normal(size=(2, 5))),
            ],
            (6,),
        )
    )
    assert "error" in convert(ann, X, steps=4, method=AUTO).origin["choice"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": None, "method": AUTO}, "auto compares methods at a number of steps"),
        ({"steps": None, "method": "signed"}, "signed chooses thresholds for a number of steps"),
    ],
)
def test_methods_for_a_number_of_steps_ask_for_it(options, message):
    with pytest.raises(ConversionError, match=message):
        convert(ANN, X, **options)


def test_auto_needs_samples_to_hold_back():
    with pytest.raises(ConversionError, match="it expects at least 10, got 9"):
        convert(ANN, X[:9], steps=4, method=AUTO)


def residual(scale):
    """Return a sum of a shortcut and a branch whose activations are `scale` times as large."""
    rng = np.random.default_rng(6)
    weights = [rng.normal(0, 0.6, shape) for shape in ((5, 6), (5, 5), (5, 5), (3, 5))]
    bias = rng.normal(0, 0.1, 5)
    nodes = (
        Node(name="a", op=ops.Linear(weight=weights[0]), inputs=("input",)),
        Node(name="shortcut", op=ops.Rectifier(), inputs=("a",)),
        Node(
            name="b",
            op=ops.Linear(weight=scale * weights[1], bias=scale * bias),
            inputs=("shortcut",),
        ),
        Node(name="branch", op=ops.Rectifier(), inputs=("b",)),
        Node(name="c", op=ops.Linear(weight=weights[2] / scale), inputs=("branch",)),
        Node(name="sum", op=ops.Add(), inputs=("c", "shortcut")),
        Node(name="d", op=ops.Rectifier(), inputs=("sum",)),
        Node(name="end", op=ops.Linear(weight=weights[3]), inputs=("d",)),
    )
    return lower(Graph(nodes=nodes, input_shape=(6,), classes=None))


@pytest.mark.parametrize("method", ["max", "percentile", "least_squares", "signed", "burst"])
def test_branches_that_meet_need_no_common_scale(method):
    # A power of two leaves every rounding as it was: the same spikes, to the bit.
    even, uneven = (
        simulate(convert(residual(scale), X, steps=8, method=method), X[:50], steps=8)
        for scale in (1.0, 1024.0)
    )
    assert even.sizes["event"] > 0
    for name in ("t", "row_size", "output"):
        np.testing.assert_array_equal(even[name], uneven[name])


def test_columns_whose_spikes_meet_at_one_row_get_one_threshold():
    shuffled = chain(
        [
            ops.Conv(
                weight=RNG.normal(size=(4, 1, 1, 1)) * np.array([1, 2, 4, 8]).reshape(4, 1, 1, 1)
            ),
            ops.Rectifier(),
            ops.Reshape((1, 2, 2, 3, 3)),
            ops.Permute((0, 3, 1, 4, 2)),
            ops.Reshape((1, 6, 6)),
            ops.Conv(weight=RNG.normal(size=(2, 1, 3, 3))),
        ],
        (1, 3, 3),
    )
    network = convert(lower(shuffled), RNG.random((50, 9)), steps=8)
    assert len(np.unique(network.layers[0].threshold)) == 1


def test_columns_that_never_meet_keep_their_own_thresholds():
    chosen = {"dense_1": np.arange(1.0, 9.0), "dense_2": np.arange(1.0, 6.0), "output": np.ones(3)}
    found = thresholds.tied(ANN, chosen)
    for name, values in chosen.items():
        np.testing.assert_array_equal(found[name], values)


def test_the_origin_says_what_a_network_was_made_of(tmp_path):
    network = convert(ANN, X, steps=4).told(model="digits.npz")
    network.save(tmp_path / "network.npz")
    origin = SpikingNetwork.load(tmp_path / "network.npz").origin
    assert origin["model"] == "digits.npz"
    assert origin["method"] == "least_squares"
    assert origin["calibration_samples"] == 300
    assert len(origin["calibration_sha256"]) == 64
    assert simulate(network, X[:1]).spk is not None
