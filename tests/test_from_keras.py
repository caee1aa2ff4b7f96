import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch", reason="the tests run Keras on PyTorch, which is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", minversion="3.15", reason="Keras 3.15 is not installed")

from keras import Input, layers  # noqa: E402

from spikeram.conversion import ops  # noqa: E402
from spikeram.conversion.importers import keras_files  # noqa: E402
from spikeram.conversion.importers.from_keras import from_keras  # noqa: E402
from spikeram.errors import ConversionError, FileFormatError  # noqa: E402

from graphs import evaluate  # noqa: E402

# Keras 3.15 turns variables of PyTorch into arrays by a signature that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def randomised(model, seed=0):
    """Give every weight a value that leaves a trace, batch normalisation's statistics included."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(0, 0.3, weight.shape)
        if weight.name in ("moving_variance", "gamma"):
            value = rng.uniform(0.5, 2.0, weight.shape)
        elif weight.name == "alpha":
            value = rng.uniform(0.0, 1.0, weight.shape)
        weight.assign(value.astype("float32"))
    return model


def samples(model, n=2, seed=1):
    """Draw inputs of both signs for a model."""
    return np.random.default_rng(seed).normal(0, 1, (n, *model.inputs[0].shape[1:]))


def outputs_of(model, x):
    """Return what Keras computes, before a softmax at the end."""
    return keras.ops.convert_to_numpy(model(x.astype("float32"), training=False))


def assert_same(model, graph=None, n=2):
    """Compare a graph with the model: Keras computes in float32, hence 1e-4 of the largest."""
    x = samples(model, n)
    wanted = outputs_of(model, x)
    found = evaluate(from_keras(model, regression=True) if graph is None else graph, x)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def sequential(shape, *stack):
    return randomised(keras.Sequential([Input(shape), *stack]))


def kinds(graph):
    """Return what is unsupported in a graph, by name of the node."""
    return {node.name: node.op.kind for node in graph.nodes if isinstance(node.op, ops.Unsupported)}


IMAGE, ODD, LINE = (8, 6, 3), (7, 9, 2), (11, 4)
ONE_LAYER = {
    "dense": (IMAGE[2:], lambda: layers.Dense(5)),
    "dense-without-bias": ((4,), lambda: layers.Dense(5, use_bias=False, activation="relu")),
    "dense-on-last-axis": (IMAGE, lambda: layers.Dense(5, activation="relu6")),
    "conv2d-valid": (IMAGE, lambda: layers.Conv2D(4, 3)),
    "conv2d-same": (IMAGE, lambda: layers.Conv2D(4, (3, 2), padding="same", activation="relu")),
    "conv2d-same-strided-even": (IMAGE, lambda: layers.Conv2D(4, 3, strides=2, padding="same")),
    "conv2d-same-strided-odd": (ODD, lambda: layers.Conv2D(4, 3, strides=2, padding="same")),
    "conv2d-same-strided-large": (ODD, lambda: layers.Conv2D(2, (5, 4), strides=3, padding="same")),
    "conv2d-stride-beyond-kernel": (ODD, lambda: layers.Conv2D(2, 1, strides=3, padding="same")),
    "conv2d-dilated": (ODD, lambda: layers.Conv2D(3, 3, dilation_rate=2, padding="same")),
    "conv2d-grouped": ((5, 6, 4), lambda: layers.Conv2D(6, 3, groups=2)),
    "conv1d-valid": (LINE, lambda: layers.Conv1D(3, 4, strides=2)),
    "conv1d-same": (LINE, lambda: layers.Conv1D(3, 4, strides=2, padding="same")),
    "conv1d-causal": (LINE, lambda: layers.Conv1D(3, 3, dilation_rate=2, padding="causal")),
    "depthwise-same": (IMAGE, lambda: layers.DepthwiseConv2D(3, strides=2, padding="same")),
    "depthwise-multiplied": (ODD, lambda: layers.DepthwiseConv2D(3, depth_multiplier=3)),
    "depthwise1d": (LINE, lambda: layers.DepthwiseConv1D(3, padding="same", activation="relu")),
    "separable": (
        IMAGE,
        lambda: layers.SeparableConv2D(
            5, 3, strides=2, padding="same", depth_multiplier=2, activation="relu"
        ),
    ),
    "separable1d": (LINE, lambda: layers.SeparableConv1D(5, 3, padding="same")),
    "transposed-valid": (ODD, lambda: layers.Conv2DTranspose(3, 3, strides=2)),
    "transposed-same": (ODD, lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same")),
    "transposed-same-even": (
        IMAGE,
        lambda: layers.Conv2DTranspose(3, (4, 2), strides=2, padding="same", activation="relu"),
    ),
    "transposed-stride-beyond-kernel": (ODD, lambda: layers.Conv2DTranspose(2, 2, strides=3)),
    "transposed-same-beyond": (
        ODD,
        lambda: layers.Conv2DTranspose(2, 1, strides=2, padding="same"),
    ),
    "transposed-output-padding": (
        ODD,
        lambda: layers.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1),
    ),
    "transposed-dilated": (ODD, lambda: layers.Conv2DTranspose(2, 3, dilation_rate=2)),
    "transposed1d": (LINE, lambda: layers.Conv1DTranspose(3, 3, strides=2, padding="same")),
    "batch-norm-of-vector": ((5,), lambda: layers.BatchNormalization()),
    "batch-norm-of-line": (LINE, lambda: layers.BatchNormalization(scale=False)),
    "batch-norm-of-image": (IMAGE, lambda: layers.BatchNormalization(center=False, epsilon=0.1)),
    "batch-norm-of-rows": (IMAGE, lambda: layers.BatchNormalization(axis=1)),
    "relu": (IMAGE, lambda: layers.ReLU()),
    "relu-limited-and-leaky": ((9,), lambda: layers.ReLU(max_value=0.7, negative_slope=0.2)),
    "leaky-relu": (IMAGE, lambda: layers.LeakyReLU(negative_slope=0.1)),
    "prelu-of-vector": ((6,), lambda: layers.PReLU()),
    "prelu-of-channels": (IMAGE, lambda: layers.PReLU(shared_axes=[1, 2])),
    "prelu-of-line": (LINE, lambda: layers.PReLU(shared_axes=[1])),
    "activation-relu": ((6,), lambda: layers.Activation("relu")),
    "activation-relu6": ((6,), lambda: layers.Activation("relu6")),
    "activation-leaky": ((6,), lambda: layers.Activation("leaky_relu")),
    "activation-linear": ((6,), lambda: layers.Activation("linear")),
    "activation-that-is-a-layer": (
        IMAGE,
        lambda: layers.Conv2D(4, 3, activation=layers.PReLU(shared_axes=[1, 2])),
    ),
    "average-pool": (ODD, lambda: layers.AveragePooling2D(2)),
    "average-pool-same": (ODD, lambda: layers.AveragePooling2D(3, strides=2, padding="same")),
    "average-pool1d-same": (LINE, lambda: layers.AveragePooling1D(3, strides=2, padding="same")),
    "max-pool": (IMAGE, lambda: layers.MaxPooling2D((3, 2), strides=2)),
    "max-pool-same": (IMAGE, lambda: layers.MaxPooling2D(3, strides=2, padding="same")),
    "max-pool1d": (LINE, lambda: layers.MaxPooling1D(2, padding="same")),
    "global-average": (IMAGE, lambda: layers.GlobalAveragePooling2D()),
    "global-average-kept": (IMAGE, lambda: layers.GlobalAveragePooling2D(keepdims=True)),
    "global-average1d": (LINE, lambda: layers.GlobalAveragePooling1D()),
    "global-max": (IMAGE, lambda: layers.GlobalMaxPooling2D()),
    "global-max1d-kept": (LINE, lambda: layers.GlobalMaxPooling1D(keepdims=True)),
    "flatten": (IMAGE, lambda: layers.Flatten()),
    "reshape": (IMAGE, lambda: layers.Reshape((-1, 9))),
    "permute": (IMAGE, lambda: layers.Permute((3, 1, 2))),
    "zero-padding": (IMAGE, lambda: layers.ZeroPadding2D(((1, 2), (0, 3)))),
    "zero-padding1d": (LINE, lambda: layers.ZeroPadding1D((2, 1))),
    "cropping": (IMAGE, lambda: layers.Cropping2D(((1, 2), (0, 3)))),
    "cropping1d": (LINE, lambda: layers.Cropping1D((2, 1))),
    "upsampling": (IMAGE, lambda: layers.UpSampling2D((2, 3))),
    "upsampling1d": (LINE, lambda: layers.UpSampling1D(3)),
    "dropout": ((6,), lambda: layers.Dropout(0.5)),
    "spatial-dropout": (IMAGE, lambda: layers.SpatialDropout2D(0.5)),
    "gaussian-noise": ((6,), lambda: layers.GaussianNoise(0.5)),
    "gaussian-dropout": ((6,), lambda: layers.GaussianDropout(0.5)),
    "alpha-dropout": ((6,), lambda: layers.AlphaDropout(0.5)),
    "activity-regularization": ((6,), lambda: layers.ActivityRegularization(l2=0.1)),
    "identity": ((6,), lambda: layers.Identity()),
    "rescaling": (IMAGE, lambda: layers.Rescaling(1 / 127.5, offset=-1.0)),
    "rescaling-of-channels": (IMAGE, lambda: layers.Rescaling([1.0, 2.0, 3.0], [0.1, 0.2, 0.3])),
    "normalization": ((3,), lambda: layers.Normalization(mean=[1, 2, 3], variance=[4.0, 0.5, 1])),
    "normalization-of-channels": (
        IMAGE,
        lambda: layers.Normalization(mean=[1, 2, 3], variance=[4.0, 0.5, 1], invert=True),
    ),
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_a_layer_computes_what_keras_computes(name):
    shape, layer = ONE_LAYER[name]

    assert_same(sequential(shape, layer()))


# A convolution before makes the tensor channel first where the layer under test comes.
AFTER_CONVOLUTION = {
    "flatten": lambda: layers.Flatten(),
    "reshape": lambda: layers.Reshape((-1, 8)),
    "permute": lambda: layers.Permute((2, 3, 1)),
    "dense": lambda: layers.Dense(3),
    "batch-norm": lambda: layers.BatchNormalization(),
    "batch-norm-of-rows": lambda: layers.BatchNormalization(axis=1),
    "rescaling": lambda: layers.Rescaling([1.0, 2.0, 3.0, 4.0], 0.5),
    "prelu": lambda: layers.PReLU(shared_axes=[1, 2]),
    "global-max-kept": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "cropping": lambda: layers.Cropping2D(((1, 0), (2, 1))),
}


@pytest.mark.parametrize("name", AFTER_CONVOLUTION)
def test_a_layer_after_a_convolution_sees_keras_own_order(name):
    assert_same(sequential(IMAGE, layers.Conv2D(4, 3), AFTER_CONVOLUTION[name]()))


# What PyTorch computes channel first as well.
CHANNELS_FIRST = {
    "conv": lambda: layers.Conv2D(4, 3, strides=2, padding="same", data_format="channels_first"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, data_format="channels_first"),
    "transposed": lambda: layers.Conv2DTranspose(4, 3, strides=2, data_format="channels_first"),
    "pool": lambda: layers.AveragePooling2D(2, data_format="channels_first"),
    "global-pool": lambda: layers.GlobalMaxPooling2D(data_format="channels_first"),
    "upsampling": lambda: layers.UpSampling2D(2, data_format="channels_first"),
    "zero-padding": lambda: layers.ZeroPadding2D(1, data_format="channels_first"),
    "flatten": lambda: layers.Flatten(data_format="channels_first"),
    "batch-norm": lambda: layers.BatchNormalization(axis=1),
    "prelu": lambda: layers.PReLU(shared_axes=[2, 3]),
}


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_a_channels_first_layer_computes_what_keras_computes(name):
    assert_same(sequential((3, 8, 6), CHANNELS_FIRST[name]()))


def test_a_channels_first_model_is_not_turned():
    model = sequential((3, 8, 6), layers.Conv2D(4, 3, data_format="channels_first"))

    assert [type(node.op) for node in from_keras(model).nodes] == [ops.Conv]


def two_branches(join):
    """Return a model that joins a convolution of its input with a pool of it."""
    x = Input((6, 6, 3))
    left = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
    right = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    return randomised(keras.Model(x, join(left, right)))


JOINS = {
    "add": lambda a, b: layers.Add()([a, b]),
    "add-of-three": lambda a, b: layers.Add()([a, b, a]),
    "subtract": lambda a, b: layers.Subtract()([a, b]),
    "average": lambda a, b: layers.Average()([a, b, b]),
    "concatenate-channels": lambda a, b: layers.Concatenate()([a, b]),
    "concatenate-rows": lambda a, b: layers.Concatenate(axis=1)([a, b]),
    "concatenate-vectors": lambda a, b: layers.Concatenate()(
        [layers.Flatten()(a), layers.GlobalMaxPooling2D()(b)]
    ),
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "plus-constant": lambda a, b: a + 0.5,
    "constant-minus": lambda a, b: 0.5 - a,
    "minus-constant": lambda a, b: a - 0.5,
    "times-constant": lambda a, b: 2.0 * a,
    "times-channels": lambda a, b: a * np.array([1.0, 2.0, -3.0], "float32"),
    "over-constant": lambda a, b: a / 4.0,
    "negative": lambda a, b: -a,
    "ops-relu": lambda a, b: keras.ops.relu(b),
    "ops-relu6": lambda a, b: keras.ops.relu6(b),
    "ops-leaky-relu": lambda a, b: keras.ops.leaky_relu(b, 0.3),
    "activations-relu": lambda a, b: keras.activations.relu(b, max_value=0.5),
    "ops-concatenate": lambda a, b: keras.ops.concatenate([a, b], axis=-1),
}


@pytest.mark.parametrize("name", JOINS)
def test_a_join_computes_what_keras_computes(name):
    assert_same(two_branches(JOINS[name]))


def test_the_sum_of_a_turned_and_an_unturned_tensor_is_right():
    x = Input(IMAGE)
    model = keras.Model(x, layers.Add()([layers.Conv2D(3, 1)(x), layers.ReLU()(x)]))

    assert_same(randomised(model))


def keyword_spotter():
    """Return the depthwise separable network of the MLPerf Tiny keyword task."""
    stack = [
        layers.Conv2D(64, (10, 4), strides=(2, 2), padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.2),
    ]
    for _ in range(4):
        stack += [
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Conv2D(64, 1, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]
    stack += [layers.Dropout(0.4), layers.AveragePooling2D((25, 5)), layers.Flatten()]
    return sequential((49, 10, 1), *stack, layers.Dense(12, activation="softmax"))


def residual_network():
    """Return the ResNet-8 of the MLPerf Tiny image task, on images of half its width."""
    x = Input((16, 16, 3))
    y = layers.Conv2D(16, 3, padding="same")(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        z = layers.Conv2D(filters, 3, strides=stride, padding="same")(y)
        z = layers.Activation("relu")(layers.BatchNormalization()(z))
        z = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(z))
        if stride > 1:
            y = layers.Conv2D(filters, 1, strides=stride, padding="same")(y)
        y = layers.Activation("relu")(layers.add([y, z]))
    y = layers.Flatten()(layers.AveragePooling2D(4)(y))
    return randomised(keras.Model(x, layers.Dense(10, activation="softmax")(y)))


def logits_of(model):
    """Return the model without the softmax of its last layer."""
    last = model.layers[-1]
    last.activation = keras.activations.linear
    return model


@pytest.mark.parametrize("build", [keyword_spotter, residual_network])
def test_a_published_classifier_computes_what_keras_computes(build):
    model = build()
    graph = from_keras(model)

    assert_same(logits_of(model), graph, n=1)


def test_a_published_classifier_has_nothing_unsupported():
    assert not kinds(from_keras(keyword_spotter()))


def test_a_residual_autoencoder_computes_what_keras_computes():
    x = Input((32,))
    code = layers.Dense(8, activation="relu")(layers.Dense(16, activation="relu")(x))
    y = layers.Dense(32)(layers.Dense(16, activation="relu")(code))

    assert_same(randomised(keras.Model(x, layers.Add()([x, y]))))


def test_inner_models_are_written_in_place():
    inner = keras.Sequential([Input((8, 6, 4)), layers.Conv2D(4, 3, name="c")], name="inner")
    x = Input(IMAGE)
    middle = keras.Model(x, inner(layers.Conv2D(4, 3, padding="same", name="a")(x)), name="middle")
    model = sequential(IMAGE, middle, layers.Flatten(name="f"), layers.Dense(3, name="d"))

    assert_same(model)
    names = [node.name for node in from_keras(model).nodes]
    assert [name for name in names if "channels" not in name] == [
        "middle/a",
        "middle/inner/c",
        "f",
        "d",
    ]


def test_a_layer_used_twice_has_two_places():
    layer = layers.Dense(6, activation="relu", name="d")
    x = Input((6,))
    model = randomised(keras.Model(x, layer(layer(x))))

    assert_same(model)
    names = [node.name for node in from_keras(model).nodes]
    assert names == ["d", "d/relu", "d#2", "d#2/relu"]


def test_an_inner_model_used_twice_has_two_places():
    inner = keras.Sequential([Input((4,)), layers.Dense(4, name="d")], name="inner")
    x = Input((4,))
    model = randomised(keras.Model(x, inner(inner(x))))

    assert_same(model)
    assert [node.name for node in from_keras(model).nodes] == ["inner/d", "inner#2/d"]


def test_a_part_of_a_model_is_read_alone():
    x = Input((4,))
    y = layers.Dense(5, name="first")(x)
    layers.Dense(2, name="unused")(y)
    model = randomised(keras.Model(x, y))

    assert [node.name for node in from_keras(model).nodes] == ["first"]


def test_a_layer_called_input_gets_another_name():
    assert from_keras(sequential((4,), layers.Dense(2, name="input"))).nodes[0].name == "input#2"


def test_an_input_is_turned_once_for_two_branches():
    graph = from_keras(two_branches(lambda a, b: a + b), regression=True)

    turns = [node.name for node in graph.nodes if isinstance(node.op, ops.Permute)]
    assert turns[0] == "input/channels_first"
    assert len(turns) == 2


def test_adapted_normalization_computes_what_keras_computes():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(3).normal(2, 3, (50, 4)).astype("float32"))

    assert_same(keras.Sequential([Input((4,)), layer]))


def test_random_augmentation_is_passed_over():
    model = sequential((8, 8, 3), layers.RandomFlip(seed=0), layers.RandomRotation(0.2, seed=0))

    assert {type(node.op) for node in from_keras(model).nodes} == {ops.Identity}


def test_a_layer_called_in_training_is_read_as_predict_reads_it():
    x = Input((4,))
    y = layers.BatchNormalization()(layers.Dropout(0.5)(x, training=True), training=True)

    assert_same(randomised(keras.Model(x, y)))


def test_an_average_does_not_count_padding_after_the_image():
    # Keras on PyTorch repeats the last pixel here, and on its other backends does not.
    model = sequential((4, 1), layers.AveragePooling1D(3, strides=2, padding="same"))
    found = evaluate(from_keras(model), [[[1.0], [2.0], [3.0], [4.0]]])

    np.testing.assert_allclose(found, [[[2.0], [3.5]]])


def test_half_precision_weights_are_read():
    model = keras.Sequential([Input((4,)), layers.Dense(3, dtype="bfloat16")])
    weight = keras.ops.convert_to_numpy(model.layers[0].kernel.value).astype("float64")

    np.testing.assert_array_equal(from_keras(model).nodes[0].op.weight, weight.T)


def test_classes_are_counted_from_zero():
    np.testing.assert_array_equal(from_keras(sequential((4,), layers.Dense(3))).classes, [0, 1, 2])


def test_given_classes_are_kept():
    graph = from_keras(sequential((4,), layers.Dense(2)), classes=np.array(["no", "yes"]))

    np.testing.assert_array_equal(graph.classes, ["no", "yes"])


def test_a_regression_has_no_classes():
    assert from_keras(sequential((4,), layers.Dense(2)), regression=True).classes is None


def test_classes_that_do_not_fit_are_refused():
    with pytest.raises(ConversionError, match=r"3 outputs expects 3 classes, got \(2,\)"):
        from_keras(sequential((4,), layers.Dense(3)), classes=np.arange(2))


def test_classes_of_a_regression_are_refused():
    with pytest.raises(ConversionError, match="got both"):
        from_keras(sequential((4,), layers.Dense(3)), classes=np.arange(3), regression=True)


@pytest.mark.parametrize(
    "end",
    [
        lambda: [layers.Dense(3, activation="softmax")],
        lambda: [layers.Dense(3), layers.Softmax()],
        lambda: [layers.Dense(3), layers.Activation("log_softmax"), layers.Dropout(0.1)],
        lambda: [layers.Dense(1, activation="sigmoid")],
    ],
)
def test_what_changes_no_decision_may_stand_at_the_end(end):
    graph = from_keras(sequential((4,), *end()))

    assert not kinds(graph)
    assert any(isinstance(node.op, ops.Softmax) for node in graph.nodes)


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [layers.Dense(3, activation="softmax", name="d"), layers.Dense(3)],
        lambda: [layers.Dense(3, activation="softmax", name="d"), layers.ReLU()],
    ],
)
def test_a_softmax_elsewhere_is_unsupported(stack):
    assert kinds(from_keras(sequential((4,), *stack()))) == {"d/softmax": "softmax"}


def test_a_softmax_of_a_regression_is_unsupported():
    model = sequential((4,), layers.Dense(3), layers.Softmax(name="s"))

    assert kinds(from_keras(model, regression=True)) == {"s": "Softmax"}


def test_several_sigmoids_are_unsupported():
    model = sequential((4,), layers.Dense(3, activation="sigmoid", name="d"))

    assert kinds(from_keras(model)) == {"d/sigmoid": "sigmoid"}


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape


UNSUPPORTED = {
    "tanh": (lambda: layers.Dense(3, activation="tanh", name="u"), "u/tanh", "train with relu"),
    "gelu": (lambda: layers.Activation("gelu", name="u"), "u", "train with relu"),
    "layer-norm": (lambda: layers.LayerNormalization(name="u"), "u", "BatchNormalization"),
    "relu-with-threshold": (lambda: layers.ReLU(threshold=0.5, name="u"), "u", "threshold"),
    "relu-with-steep-slope": (
        lambda: layers.LeakyReLU(negative_slope=2.0, name="u"),
        "u",
        "from 0 to 1",
    ),
    "multiply": (lambda: layers.UnitNormalization(name="u"), "u", "BatchNormalization"),
    "lambda": (lambda: layers.Lambda(lambda x: 2 * x, name="u"), "u", "code cannot be read"),
    "custom": (lambda: Doubled(name="u"), "u", "not of Keras itself"),
    "custom-activation": (
        lambda: layers.Dense(3, activation=squared, name="u"),
        "u/squared",
        "not of Keras itself",
    ),
}


def squared_error(wanted, found):
    return (wanted - found) ** 2


def squared(x):
    return x * x


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_layer_keeps_its_place(name):
    layer, place, remedy = UNSUPPORTED[name]
    graph = from_keras(sequential((4,), layers.Dense(4), layer(), layers.Dense(2)))

    (found,) = [node for node in graph.nodes if isinstance(node.op, ops.Unsupported)]
    assert found.name == place
    assert remedy in found.op.remedy
    with pytest.raises(ConversionError, match=f"Node '{place}'"):
        graph.shapes()


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        (LINE, lambda: layers.LSTM(3, name="u")),
        (LINE, lambda: layers.PReLU(name="u")),
        ((6, 6, 6, 2), lambda: layers.Conv3D(2, 3, name="u")),
        (IMAGE, lambda: layers.UpSampling2D(2, interpolation="bilinear", name="u")),
    ],
)
def test_an_unsupported_layer_of_images_keeps_its_place(shape, layer):
    model = keras.Sequential([Input(shape), layer(), layers.Flatten(), layers.Dense(2)])

    assert list(kinds(from_keras(model))) == ["u"]


@pytest.mark.parametrize(
    "join",
    [
        lambda a, b: layers.Multiply(name="u")([a, b]),
        lambda a, b: layers.Maximum(name="u")([a, b]),
        lambda a, b: layers.Add(name="u")([a, layers.GlobalMaxPooling2D(keepdims=True)(b)]),
    ],
)
def test_an_unsupported_join_keeps_its_place(join):
    assert list(kinds(from_keras(two_branches(join)))) == ["u"]


@pytest.mark.parametrize(
    "join", [lambda a, b: a * b, lambda a, b: 1.0 / a, lambda a, b: keras.ops.exp(a)]
)
def test_an_unsupported_operation_keeps_its_place(join):
    assert len(kinds(from_keras(two_branches(join)))) == 1


def test_all_that_is_unsupported_is_found():
    model = sequential(
        LINE,
        layers.Conv1D(3, 3, activation="tanh", name="a"),
        layers.LayerNormalization(name="b"),
        layers.Conv1D(3, 3, padding="same", name="c"),
        layers.GRU(2, name="d"),
    )

    assert list(kinds(from_keras(model))) == ["a/tanh", "b", "d"]


def test_weights_that_are_not_finite_are_reported_at_their_place():
    model = sequential((4,), layers.Dense(3, name="d"))
    model.layers[0].kernel.assign(np.full((4, 3), np.nan, "float32"))

    with pytest.raises(ConversionError, match="Node 'd'.*12 that are NaN or infinite"):
        from_keras(model).shapes()


def test_a_quantised_layer_is_unsupported():
    model = sequential((4,), layers.Dense(3, name="d"))
    model.layers[0].quantize("int8")

    assert kinds(from_keras(model)) == {"d": "Dense"}


def test_an_unsupported_layer_of_unknown_lengths_is_refused():
    free = Input((None, None, 3))
    inner = keras.Model(free, layers.LayerNormalization(name="n")(free), name="inner")
    x = Input(IMAGE)

    with pytest.raises(ConversionError, match="'inner/n': LayerNormalization.*fixed shape"):
        from_keras(keras.Model(x, layers.Flatten()(inner(x))))


def test_an_inner_model_of_free_lengths_is_read():
    free = Input((None, None, 3))
    inner = keras.Model(free, layers.Conv2D(4, 3, strides=2, padding="same")(free))
    x = Input(IMAGE)

    assert_same(randomised(keras.Model(x, inner(x))))


def test_a_model_with_two_inputs_is_refused():
    a, b = Input((3,), name="left"), Input((3,), name="right")

    with pytest.raises(ConversionError, match="one input, got 2: left, right"):
        from_keras(keras.Model([a, b], layers.Add()([a, b])))


def test_a_model_with_two_outputs_is_refused():
    x = Input((3,))
    heads = [layers.Dense(2, name="age")(x), layers.Dense(2, name="sex")(x)]

    with pytest.raises(ConversionError, match="one output, got 2: age, sex"):
        from_keras(keras.Model(x, heads))


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ConversionError, match="not built.*keras.Input"):
        from_keras(keras.Sequential([layers.Dense(3)]))


def test_an_input_of_free_length_is_refused():
    with pytest.raises(ConversionError, match=r"fixed shape, got \(None, None, 3\)"):
        from_keras(sequential((None, None, 3), layers.Conv2D(3, 3)))


def test_a_model_that_computes_nothing_is_refused():
    x = Input((3,))

    with pytest.raises(ConversionError, match="computes nothing"):
        from_keras(keras.Model(x, x))


def test_a_model_with_a_call_of_its_own_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ConversionError, match="Own has a call of its own"):
        from_keras(Own())


def test_what_is_no_model_is_refused():
    with pytest.raises(ConversionError, match="a .keras file or an .h5 file, got Dense"):
        from_keras(layers.Dense(3))


def small_model():
    return sequential(
        IMAGE, layers.Conv2D(4, 3, activation="relu", name="c"), layers.Flatten(), layers.Dense(3)
    )


@pytest.fixture(name="saved")
def _saved(tmp_path):
    path = tmp_path / "model.keras"
    small_model().save(path)
    return path


def rewritten(path, change):
    """Write a copy of a file whose description of the model is changed."""
    other = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "config.json":
                config = json.loads(text)
                change(config)
                text = json.dumps(config).encode()
            new.writestr(name, text)
    return other


def test_a_file_holds_what_was_saved(saved):
    assert_same(small_model(), from_keras(str(saved)))


def test_a_compiled_model_of_a_custom_loss_is_read_from_a_file(tmp_path):
    model = small_model()
    model.compile("adam", loss=squared_error)
    model.save(tmp_path / "model.keras")

    assert_same(model, from_keras(tmp_path / "model.keras"))


def test_a_file_with_inner_models_and_operations_is_read(tmp_path):
    inner = keras.Sequential([Input((8, 6, 3)), layers.Conv2D(4, 3, activation=layers.LeakyReLU())])
    x = Input(IMAGE)
    y = inner(2.0 * x + np.array([1.0, 2.0, 3.0], "float32"))
    model = randomised(keras.Model(x, keras.ops.relu(y)))
    model.save(tmp_path / "model.keras")

    assert_same(model, from_keras(tmp_path / "model.keras"))


def test_a_file_with_a_lambda_is_refused_and_not_run(tmp_path):
    layer = layers.Lambda(lambda x: print("ran") or x)
    sequential((4,), layers.Dense(3), layer).save(tmp_path / "model.keras")

    with pytest.raises(ConversionError, match="can hold code or read other files: Lambda"):
        from_keras(tmp_path / "model.keras")


def test_a_file_with_custom_objects_is_refused_with_all_of_them(tmp_path):
    model = sequential((4,), layers.Dense(3, activation=squared), Doubled())
    model.save(tmp_path / "model.keras")

    with pytest.raises(ConversionError, match="custom objects: (Doubled, s|squared, D)"):
        from_keras(tmp_path / "model.keras")


@pytest.mark.parametrize("kind", ["class", "function"])
def test_a_file_that_names_a_module_of_its_own_does_not_import_it(
    saved, tmp_path, monkeypatch, kind
):
    (tmp_path / "hostile.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)

    def change(config):
        layer = config["config"]["layers"][1]
        if kind == "class":
            layer["module"] = "hostile"
        else:
            function = {"module": "hostile", "class_name": "function", "config": "relu"}
            layer["config"]["activation"] = {**function, "registered_name": "relu"}

    with pytest.raises(ConversionError, match="custom objects: (Conv2D|relu)"):
        from_keras(rewritten(saved, change))


def test_a_file_that_names_a_function_beyond_activations_is_refused(saved):
    def change(config):
        config["config"]["layers"][1]["config"]["activation"] = {
            "module": "keras.utils",
            "class_name": "function",
            "config": "get_file",
            "registered_name": "get_file",
        }

    with pytest.raises(ConversionError, match="custom objects: get_file"):
        from_keras(rewritten(saved, change))


def test_a_file_with_other_members_is_refused(saved):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("../outside", "text")

    with pytest.raises(FileFormatError, match="alone, got .*outside"):
        from_keras(saved)


@pytest.mark.parametrize("kept", [0, 100, 0.5, -10])
def test_a_truncated_file_is_refused_in_one_line(saved, kept):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])

    with pytest.raises(FileFormatError, match="model.keras is damaged") as caught:
        from_keras(saved)
    assert "\n" not in str(caught.value)


def test_a_file_with_damaged_weights_is_refused_in_one_line(saved):
    other = saved.with_name("damaged.keras")
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(name, text[:-500] if name.endswith(".h5") else text)

    with pytest.raises(FileFormatError, match="is damaged: Keras says") as caught:
        from_keras(other)
    assert "\n" not in str(caught.value)


def test_a_file_whose_weights_do_not_fit_is_refused(saved):
    def change(config):
        config["config"]["layers"][1]["config"]["filters"] = 5

    with pytest.raises(FileFormatError, match="is damaged"):
        from_keras(rewritten(saved, change))


def test_a_file_over_the_size_limit_is_refused(saved, monkeypatch):
    monkeypatch.setattr(keras_files, "MAX_BYTES", 1000)

    with pytest.raises(FileFormatError, match="more than the 1000 that are read"):
        from_keras(saved)


def test_a_description_over_the_size_limit_is_refused(saved, monkeypatch):
    monkeypatch.setattr(keras_files, "MAX_CONFIG_BYTES", 100)

    with pytest.raises(FileFormatError, match="at most 100 bytes"):
        from_keras(saved)


def test_a_description_nested_too_deeply_is_refused(saved):
    other = saved.with_name("deep.keras")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("config.json", "[" * 200_000 + "]" * 200_000)

    with pytest.raises(FileFormatError, match="is damaged"):
        from_keras(other)


def test_a_saved_model_folder_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(FileFormatError, match="SavedModel.*export it to ONNX"):
        from_keras(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="There is no file .*absent.keras"):
        from_keras(tmp_path / "absent.keras")


def test_a_file_of_another_name_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"")

    with pytest.raises(FileFormatError, match="ends in .keras"):
        from_keras(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.modules['keras'] = None", "pip install 'spikeram[keras]'"),
        ("os.environ['KERAS_BACKEND'] = 'jax'; sys.modules['jax'] = None", "Set KERAS_BACKEND"),
    ],
)
def test_without_keras_or_a_backend_the_message_says_what_to_do(saved, code, message):
    program = (
        f"import os, sys; {code}\n"
        "from spikeram.conversion.importers.from_keras import from_keras\n"
        f"from_keras({str(saved)!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
