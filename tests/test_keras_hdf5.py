"""Files of Keras's older format, as Keras 2 and Keras 3 write them."""

import json
import os

import h5py
import numpy as np
import pytest

pytest.importorskip("torch", reason="the tests run Keras on PyTorch, which is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", minversion="3.15", reason="Keras 3.15 is not installed")

from keras import Input, layers  # noqa: E402

from spikeram.conversion import read  # noqa: E402
from spikeram.conversion.importers import keras_files, keras_hdf5  # noqa: E402
from spikeram.conversion.importers.from_keras import from_keras  # noqa: E402
from spikeram.errors import ConversionError, FileFormatError  # noqa: E402

from graphs import evaluate  # noqa: E402

pytestmark = [
    # Keras 3.15 turns variables of PyTorch into arrays by a signature that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # It warns of this format at each save.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

SHAPE = (7, 9, 3)


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        positive = weight.name in ("moving_variance", "gamma")
        value = rng.uniform(0.5, 2.0, weight.shape) if positive else rng.normal(size=weight.shape)
        weight.assign(0.5 * value.astype("float32"))
    return model


def assert_same(model, path):
    """Compare a file with the model that it was made of, computed in float32."""
    x = np.random.default_rng(1).normal(size=(3, *model.inputs[0].shape[1:]))
    wanted = keras.ops.convert_to_numpy(model(x.astype("float32"), training=False))
    found = evaluate(from_keras(path, regression=True), x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def saved(model, path):
    model.save(path)
    return path


def rewritten(path, change):
    """Change the description of the model in a file, by a function of it."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(config) or config)
    return path


def layer(kind, name, *reads, **config):
    """Describe a layer as Keras 2 does: what it reads is (name, call, output, arguments)."""
    return {
        "class_name": kind,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "name": name,
        "inbound_nodes": [[[*one, 0, {}] for one in call] for call in reads],
    }


def initialised(*names):
    """Describe how weights began, and what held them, as Keras 2 does."""
    found = {f"{name}_initializer": {"class_name": "Zeros", "config": {}} for name in names}
    found |= {f"{name}_regularizer": None for name in names}
    return found | {f"{name}_constraint": None for name in names}


CONV = {
    "padding": "same", "data_format": "channels_last", "groups": 1, "activation": "linear",
    "use_bias": True,
}  # fmt: skip
DEPTHWISE = {
    **CONV, **initialised("depthwise", "bias"), "depth_multiplier": 1, "kernel_size": [3, 3],
    "strides": [1, 1], "dilation_rate": [1, 1],
}  # fmt: skip
TRANSPOSED = {
    **CONV, **initialised("kernel", "bias"), "filters": 2, "kernel_size": [3, 2],
    "strides": [2, 2], "dilation_rate": [1, 1], "output_padding": None,
}  # fmt: skip
SEPARABLE = {
    **CONV, **initialised("depthwise", "pointwise", "kernel", "bias"), "filters": 5,
    "depth_multiplier": 2, "kernel_size": [3, 3], "strides": [1, 1], "dilation_rate": [1, 1],
}  # fmt: skip
NORM = {
    "axis": [3], "momentum": 0.99, "epsilon": 1e-3, "center": True, "scale": True,
    **initialised("beta", "gamma", "moving_mean", "moving_variance"),
}  # fmt: skip


def input_of(shape):
    found = layer("InputLayer", "in", sparse=False, ragged=False)
    found["config"]["batch_input_shape"] = [None, *shape]
    return found


ONE_LAYER = {
    "depthwise": (
        lambda: layers.DepthwiseConv2D(3, padding="same", name="a"),
        layer("DepthwiseConv2D", "a", [("in", 0)], **DEPTHWISE),
    ),
    "transposed": (
        lambda: layers.Conv2DTranspose(2, (3, 2), strides=2, padding="same", name="a"),
        layer("Conv2DTranspose", "a", [("in", 0)], **TRANSPOSED),
    ),
    "separable": (
        lambda: layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, name="a"),
        layer("SeparableConv2D", "a", [("in", 0)], **SEPARABLE),
    ),
    "batch-normalisation": (
        lambda: layers.BatchNormalization(name="a"),
        layer("BatchNormalization", "a", [("in", 0)], **NORM),
    ),
    "activation": (
        lambda: layers.ReLU(6.0, name="a"),
        layer("ReLU", "a", [("in", 0)], max_value=6.0, negative_slope=0.0, threshold=0.0),
    ),
    "leaky": (
        lambda: layers.LeakyReLU(0.1, name="a"),
        layer("LeakyReLU", "a", [("in", 0)], alpha=0.1),
    ),
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_a_layer_as_keras_2_describes_it_computes_what_it_did(name, tmp_path):
    make, described = ONE_LAYER[name]
    x = Input(SHAPE, name="in")
    model = randomised(keras.Model(x, make()(x), name="model"))
    path = saved(model, tmp_path / "model.h5")
    config = {
        "name": "model",
        "layers": [input_of(SHAPE), described],
        "input_layers": [["in", 0, 0]],
        "output_layers": [["a", 0, 0]],
    }
    rewritten(path, lambda _: {"class_name": "Functional", "config": config})
    assert_same(model, path)


def test_inner_models_whose_calls_keras_2_counts_from_one_are_read(tmp_path):
    inner = keras.Sequential([Input((4,)), layers.Dense(4, name="d")], name="inner")
    x = Input((4,), name="in")
    model = randomised(keras.Model(x, inner(inner(x)), name="model"))
    path = saved(model, tmp_path / "model.h5")
    dense = {"units": 4, "activation": "linear", "use_bias": True}
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "name": "i"}}
    within = layer("Dense", "d", batch_input_shape=[None, 4], **dense, **initialised("kernel"))
    within.pop("inbound_nodes")
    outer = layer("Sequential", "inner", [("in", 0)], [("inner", 1)], layers=[first, within])
    config = {
        "name": "model",
        "layers": [input_of((4,)), outer],
        "input_layers": [["in", 0, 0]],
        "output_layers": [["inner", 2, 0]],
    }
    rewritten(path, lambda _: {"class_name": "Functional", "config": config})
    assert_same(model, path)


def test_a_sequential_model_of_the_first_keras_2_is_read(tmp_path):
    # Its description is a bare list, whose first layer has the shape of the input.
    model = randomised(keras.Sequential([Input((4,)), layers.Dense(3, name="d")]))
    path = saved(model, tmp_path / "model.h5")
    dense = {"units": 3, "activation": "relu6", "use_bias": True, "batch_input_shape": [None, 4]}
    listed = [{"class_name": "Dense", "config": {"name": "d", **dense}}]
    rewritten(path, lambda _: {"class_name": "Sequential", "config": listed})
    clipped = keras.Sequential([Input((4,)), *model.layers, layers.ReLU(6.0)])
    assert_same(clipped, path)


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_a_file_of_keras_3_with_inner_models_is_read(suffix, tmp_path):
    inner = keras.Sequential(
        [Input(SHAPE), layers.Conv2D(4, 3, kernel_regularizer="l2"), layers.BatchNormalization()]
    )
    x = Input(SHAPE)
    y = layers.Add()([inner(x), layers.Conv2D(4, 3, activation=layers.LeakyReLU())(x)])
    model = randomised(keras.Model(x, layers.Dense(2)(layers.Flatten()(y))))
    assert_same(model, saved(model, tmp_path / f"model{suffix}"))


def test_an_inner_model_called_twice_by_keras_3_is_not_recounted(tmp_path):
    inner = keras.Sequential([Input((4,)), layers.Dense(4)], name="inner")
    x = Input((4,))
    model = randomised(keras.Model(x, layers.Subtract()([inner(x), inner(inner(x))])))
    assert_same(model, saved(model, tmp_path / "model.h5"))


def small(path):
    return saved(randomised(keras.Sequential([Input((4,)), layers.Dense(3, name="d")])), path)


def test_a_compiled_model_of_a_custom_loss_is_read(tmp_path):
    model = randomised(keras.Sequential([Input((4,)), layers.Dense(3)]))
    model.compile("adam", loss=lambda wanted, found: wanted - found)
    assert_same(model, saved(model, tmp_path / "model.h5"))


def test_any_reader_of_models_takes_the_file(tmp_path):
    assert read(small(tmp_path / "model.h5")).nodes[0].weight.shape == (4, 3)


def replaced(**config):
    """Return a change of the one layer of the small model."""

    def change(model):
        found = model["config"]["layers"][-1]
        found["config"] |= config
        found["class_name"] = found["config"].pop("class_name", found["class_name"])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(class_name="Lambda"), "can hold code or read other files: Lambda"),
        (replaced(class_name="Doubled"), "custom objects: Doubled"),
        (replaced(class_name="deserialize"), "custom objects: deserialize"),
        (replaced(activation="squared"), "custom objects: squared"),
        (replaced(class_name="TFOpLambda"), "TFOpLambda.*export the model to ONNX"),
    ],
)
def test_code_and_custom_objects_are_refused(change, message, tmp_path):
    path = rewritten(small(tmp_path / "model.h5"), change)
    with pytest.raises(ConversionError, match=message):
        from_keras(path)


def test_custom_initialisers_change_nothing_and_are_not_looked_up(tmp_path):
    own = {"class_name": "MyOwn", "config": {}}
    path = small(tmp_path / "model.h5")
    before = read(path).nodes[0].weight
    rewritten(path, replaced(kernel_initializer=own, bias_regularizer=own))
    np.testing.assert_array_equal(read(path).nodes[0].weight, before)


def test_weights_without_a_model_are_refused_with_a_remedy(tmp_path):
    path = small(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    with pytest.raises(FileFormatError, match="without a model.*load_weights"):
        from_keras(path)


@pytest.mark.parametrize("kept", [0, 8, 100, 0.5, -10])
def test_a_truncated_file_is_refused_in_one_line(kept, tmp_path):
    path = small(tmp_path / "model.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(FileFormatError, match="model.h5 is damaged") as caught:
        from_keras(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", ["[" * 200_000 + "]" * 200_000, "{", "[]", '"a"', "{}"])
def test_a_damaged_description_is_refused(config, tmp_path):
    path = small(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config
    with pytest.raises(FileFormatError, match="is damaged"):
        from_keras(path)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = rewritten(small(tmp_path / "model.h5"), replaced(units=5))
    with pytest.raises(FileFormatError, match="is damaged"):
        from_keras(path)


def kernel_of(file):
    """Return where the kernel of the small model lies."""
    found = []
    file["model_weights"].visit(lambda name: found.append(name) if "kernel" in name else None)
    return f"model_weights/{found[0]}"


def linked(file, other, place):
    file[place] = h5py.ExternalLink(str(other), place)


def external(file, other, place):
    other = other.with_suffix(".bin")
    other.write_bytes(bytes(48))
    file.create_dataset(place, (4, 3), "<f4", external=[(str(other), 0, 48)])


def virtual(file, other, place):
    layout = h5py.VirtualLayout((4, 3), "<f4")
    layout[:] = h5py.VirtualSource(str(other), place, (4, 3))
    file.create_virtual_dataset(place, layout)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (linked, "in the file itself, got <ExternalLink"),
        (external, "in another file, which is not read"),
        (virtual, "in another file, which is not read"),
    ],
)
def test_weights_in_another_file_are_refused(put, message, tmp_path):
    path, other = small(tmp_path / "model.h5"), small(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        place = kernel_of(file)
        del file[place]
        put(file, other, place)
    with pytest.raises(FileFormatError, match=message):
        from_keras(path)


def test_a_group_that_holds_itself_is_refused(tmp_path):
    path = small(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    with pytest.raises(FileFormatError, match="each group in one place, 'model_weights/again'"):
        from_keras(path)


def test_text_for_weights_is_refused(tmp_path):
    path = small(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        place = kernel_of(file)
        del file[place]
        file[place] = "text"
    with pytest.raises(FileFormatError, match="expects numbers in"):
        from_keras(path)


def test_weights_that_unpack_beyond_measure_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_hdf5, "MAX_BYTES", 40)
    with pytest.raises(FileFormatError, match="unpacks to more than the 40 bytes"):
        from_keras(small(tmp_path / "model.h5"))


def test_a_description_over_the_size_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_hdf5, "MAX_CONFIG_BYTES", 100)
    with pytest.raises(FileFormatError, match="at most 100 bytes"):
        from_keras(small(tmp_path / "model.h5"))


def test_a_file_that_is_read_stays_as_it_was(tmp_path):
    path = small(tmp_path / "model.h5")
    before = path.read_bytes()
    keras_files.load_keras(path)
    assert path.read_bytes() == before
