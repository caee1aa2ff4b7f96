"""From a graph of operations to crossbars, neurons and counters."""

import numpy as np
import pytest

from spikeram.conversion import Graph, Node, TrainedNetwork, lower, ops
from spikeram.errors import ConversionError

from graphs import evaluate
from networks import chain

RNG = np.random.default_rng(0)


def w(*shape):
    return RNG.normal(size=shape)


def branches(input_shape, *nodes):
    return Graph(
        nodes=tuple(Node(name=name, op=op, inputs=inputs) for name, op, inputs in nodes),
        input_shape=input_shape,
    )


CONV = ops.Conv(weight=w(3, 2, 3, 3), bias=w(3), padding=1)
LAST = ops.Conv(weight=w(2, 3, 2, 2), bias=w(2))
FIRST = ops.Conv(weight=w(3, 2, 2, 2))
RELU = ops.Rectifier()
RISING = ops.Scale(factor=np.array([0.5, 2.0, 1.0]), shift=np.array([-3.0, 1.0, 0.5]))

CASES = {
    "linear": chain([ops.Linear(weight=w(3, 5), bias=w(3))], (5,)),
    "linear along a sequence": chain(
        [ops.Linear(weight=w(3, 5), bias=w(3)), RELU, ops.Flatten(), ops.Linear(weight=w(2, 12))],
        (4, 5),
    ),
    "convolution with stride": chain([ops.Conv(weight=w(4, 2, 3, 3), stride=(2, 1))], (2, 6, 7)),
    "convolution, padded unevenly": chain(
        [ops.Conv(weight=w(4, 2, 3, 2), padding=[(1, 2), (0, 1)])], (2, 6, 7)
    ),
    "dilated groups": chain(
        [CONV, RELU, ops.Conv(weight=w(6, 1, 2, 2), groups=3, dilation=2)], (2, 6, 7)
    ),
    "convolution along one axis": chain([ops.Conv(weight=w(4, 2, 3), padding=1)], (2, 9)),
    "transposed convolution": chain(
        [
            ops.ConvTranspose(
                weight=w(4, 3, 3, 2),
                bias=w(6),
                stride=(2, 3),
                padding=(1, 0),
                output_padding=(1, 0),
                groups=2,
                dilation=(1, 2),
            )
        ],
        (4, 5, 6),
    ),
    "scale after a convolution": chain(
        [CONV, ops.Scale(factor=w(3), shift=w(3)), RELU, LAST], (2, 6, 6)
    ),
    "scale before a convolution": chain([ops.Scale(factor=w(2), shift=w(2)), FIRST], (2, 6, 6)),
    "scale before padding": chain([ops.Scale(factor=w(2), shift=w(2)), CONV], (2, 4, 4)),
    "scale of each element": chain(
        [ops.Scale(factor=w(2, 3, 3), shift=w(2, 3, 3)), CONV], (2, 3, 3)
    ),
    "maximum after a rectifier": chain(
        [CONV, RELU, ops.Pool(kind="max", kernel=3, stride=2, padding=1), LAST], (2, 6, 6)
    ),
    "maximum before a rectifier": chain(
        [CONV, ops.Pool(kind="max", kernel=2), RELU, LAST], (2, 6, 6)
    ),
    "maximum after a rectifier and a shift": chain(
        [CONV, RELU, RISING, ops.Pool(kind="max", kernel=3, stride=2, padding=1), LAST], (2, 6, 6)
    ),
    "maximum after a rectifier and a falling scale": chain(
        [
            CONV,
            RELU,
            ops.Scale(factor=-(w(3) ** 2), shift=w(3)),
            ops.Pool(kind="max", kernel=2),
            LAST,
        ],
        (2, 6, 6),
    ),
    "maximum without a rectifier": chain([CONV, ops.Pool(kind="max", kernel=2), LAST], (2, 6, 6)),
    "maximum of the input": chain([ops.Pool(kind="max", kernel=2), FIRST], (2, 6, 6)),
    "maximum of leaky signals": chain(
        [CONV, ops.Rectifier(slope=0.1), ops.Pool(kind="max", kernel=2), LAST], (2, 6, 6)
    ),
    "mean that leaves padding out": chain(
        [CONV, RELU, ops.Pool(kind="mean", kernel=2, padding=1, count_padding=False), LAST],
        (2, 5, 5),
    ),
    "mean beyond the edge": chain(
        [CONV, RELU, ops.Pool(kind="mean", kernel=2, padding=1, ceil=True), LAST], (2, 4, 4)
    ),
    "mean before a rectifier": chain(
        [CONV, ops.Pool(kind="mean", kernel=2), RELU, LAST], (2, 6, 6)
    ),
    "windows of several sizes": chain(
        [CONV, RELU, ops.AdaptivePool(kind="mean", size=(3, 2)), LAST], (2, 7, 5)
    ),
    "global mean": chain(
        [
            CONV,
            RELU,
            ops.AdaptivePool(kind="mean", size=1),
            ops.Flatten(),
            ops.Linear(weight=w(2, 3)),
        ],
        (2, 7, 5),
    ),
    "residual addition": branches(
        (2, 6, 6),
        ("c1", CONV, ("input",)),
        ("r1", RELU, ("c1",)),
        ("c2", ops.Conv(weight=w(3, 3, 3, 3), padding=1), ("r1",)),
        ("sum", ops.Add(), ("c2", "r1")),
        ("r2", RELU, ("sum",)),
        ("c3", LAST, ("r2",)),
    ),
    "charge that two operations need": branches(
        (2, 6, 6),
        ("c1", CONV, ("input",)),
        ("s", ops.Scale(factor=w(3), shift=w(3)), ("c1",)),
        ("r1", RELU, ("s",)),
        ("c2", ops.Conv(weight=w(3, 3, 3, 3), padding=1), ("r1",)),
        ("difference", ops.Add((1, -1)), ("c2", "c1")),
        ("r2", RELU, ("difference",)),
    ),
    "input added to a later layer": branches(
        (2, 6, 6),
        ("c1", CONV, ("input",)),
        ("r1", ops.Rectifier(limit=0.5), ("c1",)),
        ("c2", ops.Conv(weight=w(2, 3, 3, 3), padding=1), ("r1",)),
        ("sum", ops.Add(), ("c2", "input")),
        ("r2", ops.Rectifier(slope=np.array([0.1, 0.2])), ("sum",)),
    ),
    "shortcut that is cut and padded": branches(
        (2, 6, 6),
        ("c0", CONV, ("input",)),
        ("r0", RELU, ("c0",)),
        ("c1", ops.Conv(weight=w(5, 3, 3, 3), padding=1, stride=2), ("r0",)),
        ("cut", ops.Slice((slice(None), slice(None, None, 2), slice(None, None, 2))), ("r0",)),
        ("padded", ops.Pad(((1, 1), (0, 0), (0, 0))), ("cut",)),
        ("sum", ops.Add(), ("c1", "padded")),
        ("r1", RELU, ("sum",)),
    ),
    "upsampled and concatenated": branches(
        (2, 4, 4),
        ("c1", CONV, ("input",)),
        ("r1", RELU, ("c1",)),
        ("pool", ops.Pool(kind="mean", kernel=2), ("r1",)),
        ("c2", ops.Conv(weight=w(3, 3, 1, 1)), ("pool",)),
        ("r2", RELU, ("c2",)),
        ("up", ops.Upsample((2, 2)), ("r2",)),
        ("both", ops.Concat(0), ("r1", "up")),
        ("c3", ops.Conv(weight=w(2, 6, 3, 3), padding=1), ("both",)),
    ),
    "maximum of several layers": branches(
        (2, 6, 6),
        ("c1", CONV, ("input",)),
        ("r1", RELU, ("c1",)),
        ("c2", ops.Conv(weight=w(2, 2, 1, 1)), ("input",)),
        ("r2", RELU, ("c2",)),
        ("both", ops.Concat(0), ("r1", "r2")),
        ("pool", ops.Pool(kind="max", kernel=2), ("both",)),
        ("c3", ops.Conv(weight=w(2, 5, 2, 2)), ("pool",)),
    ),
    "shuffled pixels": chain(
        [
            ops.Conv(weight=w(8, 2, 3, 3), padding=1),
            ops.Reshape((2, 2, 2, 4, 4)),
            ops.Permute((0, 3, 1, 4, 2)),
            ops.Reshape((2, 8, 8)),
            RELU,
            ops.Conv(weight=w(1, 2, 3, 3)),
        ],
        (2, 4, 4),
    ),
    "permuted output": chain(
        [ops.Linear(weight=w(6, 2)), ops.Reshape((2, 3)), ops.Permute((1, 0))], (2,)
    ),
    "rectifier alone": chain([RELU], (3,)),
    "two linear operations in a row": chain([CONV, LAST], (2, 5, 5)),
    "softmax at the end": chain([ops.Linear(weight=w(3, 4)), ops.Softmax()], (4,)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_crossbars_compute_what_the_graph_says(case):
    graph = CASES[case]
    x = np.random.default_rng(1).uniform(-1, 1, (3, *graph.input_shape))
    expected = evaluate(graph, x).reshape(3, -1)
    np.testing.assert_allclose(lower(graph).forward(x), expected, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_every_operation_has_a_fate(case):
    graph = CASES[case]
    assert [name for name, _, _ in lower(graph).fates] == [node.name for node in graph.nodes]


@pytest.mark.parametrize("case", ["residual addition", "maximum of several layers"])
def test_a_lowered_graph_comes_back_from_its_file(case, tmp_path):
    network = lower(CASES[case])
    network.save(tmp_path / "model.npz")
    again = TrainedNetwork.load(tmp_path / "model.npz")
    x = np.random.default_rng(1).random((2, *network.input_shape))
    np.testing.assert_array_equal(again.forward(x), network.forward(x))
    assert again.fates == network.fates


def test_a_residual_addition_is_rows_of_one_crossbar():
    layers = lower(CASES["residual addition"]).layers
    assert [layer.name for layer in layers] == ["c1", "c2", "output"]
    # Nine places of three channels, and one cell pair for the shortcut of each channel.
    assert layers[1].weight.shape == (3 * 9 + 3, 3)


@pytest.mark.parametrize("size", [(9, 9, 128), (4, 7, 64)])
def test_a_shift_before_an_unpadded_convolution_is_folded_whatever_its_size(size):
    # A product of so many rows may round equal rows differently.
    height, width, channels = size
    rng = np.random.default_rng(0)
    kernel = (min(height, 3), min(width, 3))
    shift = ops.Scale(factor=rng.uniform(0.5, 2, channels), shift=rng.normal(size=channels))
    conv = ops.Conv(weight=rng.normal(size=(128, channels, *kernel)), bias=np.zeros(128))
    mixed = ops.Conv(weight=rng.normal(size=(channels, 1, 1, 1)))
    steps = [mixed, RELU, shift, conv]
    network = lower(chain(steps, (1, height, width)))
    assert len(network.layers) == 2


def test_a_maximum_after_normalised_signals_needs_no_neurons_more():
    steps = [CONV, RELU, RISING, ops.Pool(kind="max", kernel=2), LAST]
    assert len(lower(chain(steps, (2, 6, 6))).layers) == 2


def test_channels_that_are_always_zero_take_no_rows():
    layers = lower(CASES["shortcut that is cut and padded"]).layers
    assert layers[1].weight.shape == (3 * 9 + 3, 5)


def test_all_operations_that_cannot_be_converted_are_listed_at_once():
    graph = chain(
        [
            ops.Linear(weight=w(3, 4)),
            ops.Unsupported("Sigmoid", "train with ReLU"),
            ops.Softmax(),
            ops.Linear(weight=w(3, 3)),
            ops.Unsupported("Tanh", "train with ReLU"),
        ],
        (4,),
    )
    with pytest.raises(ConversionError) as caught:
        lower(graph)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 operations of the model cannot be converted:"
    assert lines[1] == "  1: Sigmoid cannot be converted: train with ReLU"
    assert lines[2].startswith("  2: Softmax cannot be converted")
    assert lines[3].startswith("  4: Tanh")


def test_channels_last_images_get_a_hint():
    network = lower(CASES["residual addition"])
    with pytest.raises(ConversionError, match=r"channels seem to come last: use numpy.moveaxis"):
        network.forward(np.zeros((1, 6, 6, 2)))


def test_shapes_that_do_not_fit_name_the_node():
    graph = chain([ops.Linear(weight=w(3, 4))], (2, 5))
    with pytest.raises(ConversionError, match="Node '0': Linear of 4 inputs"):
        lower(graph)
