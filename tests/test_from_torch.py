from __future__ import annotations

import copy
import re
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from spikeram.conversion import ops  # noqa: E402
from spikeram.conversion.importers.from_torch import from_torch  # noqa: E402
from spikeram.conversion.training import ClipFloorShift  # noqa: E402
from spikeram.errors import ConversionError, MissingExtraError  # noqa: E402

from graphs import evaluate  # noqa: E402

nn = torch.nn
F = torch.nn.functional

IMAGE = (4, 6, 7)


class Computes(nn.Module):
    """What a function makes of its input, and of modules and parameters by name."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def ready(model):
    """Return the model in evaluation, in float64, with random statistics of batches."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias)
    return model.double().eval()


def compare(model, shape, seed=0):
    """Check that a model's graph computes what the model does, and return the graph."""
    model = ready(model)
    x = np.random.default_rng(seed).normal(size=(3, *shape))
    graph = from_torch(model, input_shape=shape)
    found = evaluate(graph, x)
    with torch.no_grad():
        expected = model(torch.tensor(x)).numpy()
    # Sums of a few hundred terms in float64; rounding is far below.
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    return graph


MODULES = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "linear without bias": (lambda: nn.Linear(5, 3, bias=False), (5,)),
    "linear on a sequence": (lambda: nn.Linear(5, 3), (4, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), (3, 9)),
    "conv1d same": (lambda: nn.Conv1d(3, 4, 4, padding="same"), (3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 3, (2, 3), stride=(2, 1), padding=(1, 2)), IMAGE),
    "conv2d same": (lambda: nn.Conv2d(4, 3, (4, 3), padding="same", dilation=(1, 2)), IMAGE),
    "conv2d valid": (lambda: nn.Conv2d(4, 3, 3, padding="valid", bias=False), IMAGE),
    "conv2d of groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2), IMAGE),
    "depthwise conv2d": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1), IMAGE),
    "transposed conv1d": (
        lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (4, 5),
    ),
    "transposed conv2d": (
        lambda: nn.ConvTranspose2d(4, 3, (3, 2), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
        (4, 3, 4),
    ),
    "batch norm of vectors": (lambda: nn.BatchNorm1d(5), (5,)),
    "batch norm of sequences": (lambda: nn.BatchNorm1d(5), (5, 4)),
    "batch norm of images": (lambda: nn.BatchNorm2d(4), IMAGE),
    "batch norm without gamma": (lambda: nn.BatchNorm2d(4, affine=False, eps=0.1), IMAGE),
    "relu": (nn.ReLU, IMAGE),
    "relu6": (lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU6()), (5,)),
    "hardtanh from 0": (lambda: nn.Hardtanh(0, 0.7), (5,)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), (5,)),
    "prelu": (nn.PReLU, (5,)),
    "prelu of channels": (lambda: nn.PReLU(4, init=0.3), IMAGE),
    "clip-floor-shift": (lambda: ClipFloorShift(4, 1.5), (20,)),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.5)), IMAGE),
    "identity": (nn.Identity, IMAGE),
    "flatten": (nn.Flatten, IMAGE),
    "flatten of space": (lambda: nn.Flatten(2), IMAGE),
    "unflatten": (lambda: nn.Unflatten(1, (2, 3)), (6, 2)),
    "average pool 1d": (lambda: nn.AvgPool1d(3, stride=2, padding=1), (3, 9)),
    "average pool": (lambda: nn.AvgPool2d((2, 3), stride=(1, 2), padding=1), IMAGE),
    "average pool with ceil": (lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), IMAGE),
    "average pool without padding": (
        lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        IMAGE,
    ),
    "max pool 1d": (lambda: nn.MaxPool1d(2, padding=1), (3, 9)),
    "max pool": (lambda: nn.MaxPool2d(3, stride=2, padding=1), IMAGE),
    "max pool with dilation": (lambda: nn.MaxPool2d(2, 2, dilation=2, ceil_mode=True), IMAGE),
    "adaptive pool 1d": (lambda: nn.AdaptiveAvgPool1d(4), (3, 9)),
    "adaptive pool": (lambda: nn.AdaptiveAvgPool2d((None, 3)), IMAGE),
    "adaptive max pool 1d": (lambda: nn.AdaptiveMaxPool1d(2), (3, 9)),
    "adaptive max pool": (lambda: nn.AdaptiveMaxPool2d((4, 2)), IMAGE),
    "upsample": (lambda: nn.Upsample(scale_factor=(2, 3)), IMAGE),
    "upsample to a size": (lambda: nn.Upsample(size=(12, 14)), IMAGE),
    "nearest upsampling": (lambda: nn.UpsamplingNearest2d(scale_factor=2), IMAGE),
    "zero pad 1d": (lambda: nn.ZeroPad1d((1, 2)), (3, 4)),
    "zero pad": (lambda: nn.ZeroPad2d((1, 2, 0, -1)), IMAGE),
    "constant pad": (lambda: nn.ConstantPad2d(1, 0.0), IMAGE),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), IMAGE),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (8, 2, 3)),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(2), (2, 4, 6)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_computes_the_same(name):
    torch.manual_seed(0)
    make, shape = MODULES[name]
    compare(make(), shape)


FUNCTIONS = {
    "F.relu": (lambda m, x: F.relu(x), IMAGE),
    "torch.relu": (lambda m, x: torch.relu(x), IMAGE),
    "x.relu": (lambda m, x: x.relu(), IMAGE),
    "x.relu_": (lambda m, x: (x + 1).relu_(), IMAGE),
    "F.relu6": (lambda m, x: F.relu6(4 * x), (5,)),
    "F.hardtanh": (lambda m, x: F.hardtanh(x, min_val=0.0, max_val=0.5), (5,)),
    "clamp from 0": (lambda m, x: x.clamp(min=0), (5,)),
    "torch.clamp to a limit": (lambda m, x: torch.clamp(x, 0, 0.5), (5,)),
    "F.leaky_relu": (lambda m, x: F.leaky_relu(x, 0.3), (5,)),
    "F.prelu": (lambda m, x: F.prelu(x, m.slope), IMAGE),
    "F.dropout": (lambda m, x: F.dropout(x, 0.5, m.training), (5,)),
    "torch.flatten": (lambda m, x: torch.flatten(x, 1), IMAGE),
    "x.flatten": (lambda m, x: x.flatten(start_dim=2), IMAGE),
    "view of the batch size": (lambda m, x: x.view(x.size(0), -1), IMAGE),
    "view of an unknown batch": (lambda m, x: x.view(-1, 4 * 6 * 7), IMAGE),
    "view by arithmetic": (
        lambda m, x: x.view(x.shape[0], x.shape[1] // 2, 2 * x.shape[2], x.shape[-1]),
        IMAGE,
    ),
    "reshape by unpacking": (
        lambda m, x: (lambda b, c, h, w: x.reshape(b, c, h * w))(*x.size()),
        IMAGE,
    ),
    "mean over space": (lambda m, x: x.mean((2, 3)), IMAGE),
    "mean that keeps axes": (lambda m, x: torch.mean(x, dim=[-2, -1], keepdim=True), IMAGE),
    "mean over one axis": (lambda m, x: x.mean(3), IMAGE),
    "mean twice": (lambda m, x: x.mean(3).mean(2), IMAGE),
    "amax": (lambda m, x: x.amax((2, 3)), IMAGE),
    "F.avg_pool2d": (lambda m, x: F.avg_pool2d(x, x.size()[2:]), IMAGE),
    "F.max_pool2d": (lambda m, x: F.max_pool2d(x, 2), IMAGE),
    "F.adaptive_avg_pool2d": (lambda m, x: F.adaptive_avg_pool2d(x, (1, 1)), IMAGE),
    "F.interpolate": (lambda m, x: F.interpolate(x, scale_factor=2, mode="nearest"), IMAGE),
    "F.pad": (lambda m, x: F.pad(x, (1, 0, 2, 1)), IMAGE),
    "F.pad of channels": (lambda m, x: F.pad(x, (0, 0, 0, 0, 1, 2), "constant", 0), IMAGE),
    "torch.cat": (lambda m, x: torch.cat([x, m.conv(x)], 1), IMAGE),
    "torch.cat along the last axis": (lambda m, x: torch.cat((x, x), dim=-1), IMAGE),
    "torch.cat with zeros": (
        lambda m, x: torch.cat((x, torch.zeros(x.size(0), 2, 6, 7, dtype=x.dtype)), 1),
        IMAGE,
    ),
    "torch.cat with zeros_like": (lambda m, x: torch.cat((torch.zeros_like(x), x), 1), IMAGE),
    "addition": (lambda m, x: x + F.relu(x), IMAGE),
    "torch.add": (lambda m, x: torch.add(x, F.relu(x), alpha=-1), IMAGE),
    "subtraction": (lambda m, x: F.relu(x) - x, IMAGE),
    "negation": (lambda m, x: -x, IMAGE),
    "sum of a list": (lambda m, x: sum([x, F.relu(x), x]), IMAGE),
    "constants": (lambda m, x: (1 - 2 * x + 0.5) / 4, IMAGE),
    "a parameter for each channel": (lambda m, x: x * m.gain + m.gain, IMAGE),
    "a parameter for each column": (lambda m, x: m.column * x, IMAGE),
    "a computed gain": (lambda m, x: x * torch.sigmoid(m.gain).reshape(1, -1, 1, 1), IMAGE),
    "F.linear": (lambda m, x: F.linear(x, m.matrix, None), (5,)),
    "a matrix product": (lambda m, x: x @ m.matrix.t(), (5,)),
    "F.conv2d": (lambda m, x: F.conv2d(x, m.conv.weight.abs(), padding=1), IMAGE),
    "F.batch_norm": (
        lambda m, x: F.batch_norm(x, m.norm.running_mean, m.norm.running_var, eps=1e-3),
        IMAGE,
    ),
    "strided slices": (lambda m, x: x[:, :, ::2, 1::2], IMAGE),
    "a single channel": (lambda m, x: x[:, 1], IMAGE),
    "a single column": (lambda m, x: x[..., -1], IMAGE),
    "a new axis": (lambda m, x: x[:, None, 2:], IMAGE),
    "select and narrow": (lambda m, x: x.narrow(1, 1, 2).select(-1, 3), IMAGE),
    "permute": (lambda m, x: x.permute(0, 2, 3, 1), IMAGE),
    "transpose": (lambda m, x: x.transpose(1, -1).contiguous().view(-1, 7, 24), IMAGE),
    "squeeze": (lambda m, x: x[:, :1].squeeze(1), IMAGE),
    "unsqueeze": (lambda m, x: x.unsqueeze(1), (5,)),
    "chunk": (lambda m, x: (lambda a, b: a + F.relu(b))(*x.chunk(2, 1)), IMAGE),
    "split": (lambda m, x: x.split([1, 3], dim=1)[1], IMAGE),
    "unbind": (lambda m, x: x.unbind(1)[2], IMAGE),
    "a stepwise loop": (lambda m, x: torch.cat([t for t in x.split(3, dim=3)][::-1], 3), IMAGE),
    "moves": (lambda m, x: F.relu(x.to(x.device)).clone().detach().contiguous(), IMAGE),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_computes_the_same(name):
    torch.manual_seed(0)
    function, shape = FUNCTIONS[name]
    model = Computes(
        function,
        conv=nn.Conv2d(4, 4, 3, padding=1),
        norm=nn.BatchNorm2d(4),
        slope=nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4])),
        gain=nn.Parameter(torch.rand(4, 1, 1)),
        column=nn.Parameter(torch.rand(7)),
        matrix=nn.Parameter(torch.rand(3, 5)),
    )
    compare(model, shape)


class BasicBlock(nn.Module):
    """The block of torchvision's small ResNets."""

    def __init__(self, n_in, n_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


def residual():
    """Return a network as torchvision's ResNet, of two stages."""
    return Computes(
        lambda m, x: m.fc(torch.flatten(m.avgpool(m.layer2(m.layer1(m.stem(x)))), 1)),
        stem=nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ),
        layer1=nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4)),
        layer2=nn.Sequential(BasicBlock(4, 6, 2), BasicBlock(6, 6)),
        avgpool=nn.AdaptiveAvgPool2d((1, 1)),
        fc=nn.Linear(6, 5),
    )


class LambdaLayer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class ShortcutBlock(nn.Module):
    """The block of the ResNets for CIFAR-10 whose shortcuts have no weights."""

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = LambdaLayer(
                lambda x: F.pad(
                    x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4), "constant", 0
                )
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class SmallResNet(nn.Module):
    def __init__(self, n_blocks, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages, before = [], width
        for planes, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            strides = [stride] + [1] * (n_blocks - 1)
            blocks = []
            for step in strides:
                blocks.append(ShortcutBlock(before, planes, step))
                before = planes
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(4 * width, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        return self.linear(out)


def dense_forward(m, x):
    features = [m.stem(x)]
    for layer in m.layers:
        features.append(layer(torch.cat(features, 1)))
    return m.head(F.adaptive_avg_pool2d(F.relu(torch.cat(features, 1)), 1).flatten(1))


def dense():
    """Return a network as DenseNet: each layer reads all before it, normalised first."""
    layers = [
        nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(inplace=True), nn.Conv2d(n, 2, 3, padding=1))
        for n in (3, 5, 7)
    ]
    return Computes(
        dense_forward,
        stem=nn.Conv2d(3, 3, 3, padding=1),
        layers=nn.ModuleList(layers),
        head=nn.Linear(9, 4),
    )


def u_net():
    """Return a network as U-Net, with one upsampling and one skip."""

    def forward(m, x):
        fine = F.relu(m.fine(x))
        coarse = F.relu(m.coarse(F.max_pool2d(fine, 2)))
        up = F.interpolate(coarse, size=fine.shape[2:])
        return m.last(torch.cat([m.up(coarse), up, fine], dim=1))

    return Computes(
        forward,
        fine=nn.Conv2d(3, 2, 3, padding=1),
        coarse=nn.Conv2d(2, 3, 3, padding=1),
        up=nn.ConvTranspose2d(3, 2, 2, stride=2),
        last=nn.Conv2d(7, 2, 1),
    )


def mobile():
    """Return a network as MobileNetV2: an inverted residual block between two convolutions."""

    def conv(n_in, n_out, size=1, **settings):
        return nn.Sequential(
            nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False, **settings),
            nn.BatchNorm2d(n_out),
            nn.ReLU6(inplace=True),
        )

    def forward(m, x):
        x = m.stem(x)
        x = x + m.block(x)
        return m.classifier(F.adaptive_avg_pool2d(x, (1, 1)).reshape(x.shape[0], -1))

    return Computes(
        forward,
        stem=conv(3, 4, 3, stride=2),
        block=nn.Sequential(
            conv(4, 8), conv(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)
        ),
        classifier=nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 5)),
    )


NETWORKS = {
    "ResNet": (residual, (3, 12, 12)),
    "ResNet without weights in shortcuts": (lambda: SmallResNet(2, 4), (3, 8, 8)),
    "DenseNet": (dense, (3, 5, 4)),
    "U-Net": (u_net, (3, 4, 6)),
    "MobileNet": (mobile, (3, 8, 6)),
    "autoencoder": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 3, stride=2, padding=1),
            nn.LeakyReLU(),
            nn.ConvTranspose1d(3, 2, 4, 2, 1),
        ),
        (2, 8),
    ),
    "perceptron": (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
        ),
        (3, 4),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same(name):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    compare(make(), shape)


def test_nodes_are_named_by_their_modules_and_functions_by_their_owners():
    names = [
        node.name for node in from_torch(ready(SmallResNet(1, 4)), input_shape=(3, 8, 8)).nodes
    ]
    assert names[:8] == [
        "conv1",
        "bn1",
        "relu",
        "layer1.0.conv1",
        "layer1.0.bn1",
        "layer1.0.relu",
        "layer1.0.conv2",
        "layer1.0.bn2",
    ]
    assert "layer2.0.shortcut.pad" in names
    assert names[-1] == "linear"


def test_a_module_that_stands_twice_gives_two_nodes():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2))
    graph = compare(model, (4,))
    assert [node.name for node in graph.nodes] == ["0", "1", "2", "1#2", "4"]


def test_a_module_named_as_the_input_has_a_name_of_its_own():
    model = Computes(lambda m, x: m.input(x), input=nn.Linear(3, 2))
    assert [node.name for node in compare(model, (3,)).nodes] == ["input#2"]


def test_a_module_that_is_made_in_forward_is_read():
    compare(Computes(lambda m, x: m.last(nn.ReLU()(x)), last=nn.Linear(3, 2)), (3,))


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.relu(m.a(x), inplace=True) + m.a(x),
        lambda m, x: (lambda y: F.relu(y, inplace=True) + y)(m.a(x)),
        lambda m, x: (lambda y: (y.add_(1), m.b(y))[1])(m.a(x)),
        lambda m, x: (lambda y: (m.relu(m.identity(y)), y)[1])(m.a(x)),
        lambda m, x: (lambda p: (p[0].relu_(), torch.cat((p[0], p[1]), 1))[1])(m.a(x).chunk(2, 1)),
    ],
    ids=["fresh", "read again", "result unused", "through an identity", "in a part"],
)
def test_a_change_in_place_is_seen_by_all_who_read_the_tensor(function):
    torch.manual_seed(0)
    parts = {"identity": nn.Identity(), "relu": nn.ReLU(inplace=True)}
    model = Computes(function, a=nn.Linear(4, 4), b=nn.Linear(4, 4), **parts)
    compare(model, (4,))


def test_addition_in_place_changes_the_tensor():
    def forward(m, x):
        y = m.a(x)
        z = y
        y += x
        return z

    compare(Computes(forward, a=nn.Linear(4, 4)), (4,))


def test_arithmetic_in_place_is_read():
    def forward(m, x):
        y = F.relu(x)
        y -= 1
        y *= 2
        y /= 4
        return y.data

    compare(Computes(forward), (4,))


def test_a_model_inside_a_parallel_one_is_read():
    assert [node.name for node in from_torch(nn.DataParallel(nn.Linear(3, 2))).nodes] == ["linear"]


def test_only_the_first_of_the_calls_that_mix_samples_is_reported():
    def forward(m, x):
        return F.relu(x.permute(1, 0)).permute(1, 0)

    graph = from_torch(Computes(forward), input_shape=(4,))
    assert [node.name for node in graph.nodes] == ["permute"]


def test_a_change_in_place_of_a_tensor_that_is_read_in_another_shape_is_unsupported():
    def forward(m, x):
        y = m.a(x)
        F.relu(y.view(-1, 2, 2), inplace=True)
        return y

    graph = from_torch(Computes(forward, a=nn.Linear(4, 4)), input_shape=(4,))
    assert "in-place" in graph.nodes[-1].op.kind


CHECKS = """
def forward(m, x):
    assert isinstance(x, torch.Tensor)
    assert x.dim() == 2, "expected vectors"
    assert not torch.isnan(x).any()
    assert (x.abs() < 100).all(), "too large"
    torch._assert(x.max() < 100, "too large")
    if x.shape[1] != 4 or len(x) == 0 or x.is_complex():
        raise ValueError("expected four inputs")
    return m.a(x)
"""


def test_assertions_and_checks_of_shapes_do_not_matter():
    # pytest rewrites assertions in this file; those of a model are as Python compiles them.
    names = {"torch": torch}
    exec(CHECKS, names)
    graph = compare(Computes(names["forward"], a=nn.Linear(4, 3)), (4,))
    assert len(graph.nodes) == 1


def test_what_the_output_does_not_read_is_left_out():
    def forward(m, x):
        torch.sigmoid(m.side(x))
        return m.a(x)

    model = Computes(forward, a=nn.Linear(4, 3), side=nn.Linear(4, 2))
    assert [node.name for node in compare(model, (4,)).nodes] == ["a"]


def test_dropout_that_is_always_on_is_read_as_in_evaluation():
    model = Computes(lambda m, x: F.dropout(m.a(x), 0.5, training=True), a=nn.Linear(4, 3))
    graph = from_torch(model, input_shape=(4,))
    x = torch.rand(3, 4)
    expected = model.a(x).detach().numpy()
    np.testing.assert_allclose(evaluate(graph, x.numpy()), expected, rtol=1e-6)


def test_pruned_weights_are_read_as_they_are_used():
    from torch.nn.utils import prune

    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", amount=6)
    (node,) = from_torch(layer).nodes
    assert np.count_nonzero(node.op.weight) == 6


def test_parametrised_weights_are_read_as_they_are_used():
    torch.manual_seed(0)
    compare(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (4,))


def test_a_clip_floor_shift_brings_its_threshold_and_levels():
    graph = from_torch(nn.Sequential(nn.Linear(3, 3), ClipFloorShift(8, 1.25)))
    assert (graph.nodes[1].op.threshold, graph.nodes[1].op.levels) == (1.25, 8)


@pytest.mark.parametrize(
    "ending",
    [
        lambda m, x: F.softmax(m.a(x), dim=1),
        lambda m, x: m.a(x).log_softmax(-1),
        lambda m, x: torch.argmax(m.a(x), dim=1),
        lambda m, x: F.softmax(m.a(x), dim=-1).flatten(1),
    ],
)
def test_what_keeps_decisions_may_stand_at_the_end(ending):
    torch.manual_seed(0)
    model = Computes(ending, a=nn.Linear(4, 3)).double()
    graph = from_torch(model, input_shape=(4,))
    x = np.random.default_rng(0).normal(size=(20, 4))
    decisions = model(torch.tensor(x))
    decisions = decisions.argmax(1) if decisions.ndim == 2 else decisions
    assert np.array_equal(evaluate(graph, x).argmax(axis=1), decisions)
    assert graph.classes.tolist() == [0, 1, 2]


def test_a_softmax_inside_is_unsupported():
    graph = from_torch(nn.Sequential(nn.Linear(3, 3), nn.Softmax(1), nn.Linear(3, 2)))
    assert graph.nodes[1].op.kind == "Softmax inside a network"


def test_reading_changes_nothing_of_the_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.Dropout(), nn.ReLU())
    before = copy.deepcopy(model.state_dict())
    keys, modes = set(vars(model)), [module.training for module in model.modules()]
    from_torch(model, input_shape=(3, 5, 5))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (
        [module.training for module in model.modules()] == modes == [True, True, False, *[True] * 2]
    )
    assert set(vars(model)) == keys


def test_reading_a_model_that_fails_leaves_its_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 2))
    with pytest.raises(ConversionError):
        from_torch(model)
    assert model.training
    assert model[0].training


def test_the_type_of_the_weights_does_not_matter():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).half()
    graph = from_torch(model)
    assert np.array_equal(graph.nodes[0].op.weight, model[0].weight.double().detach().numpy())


def test_a_model_is_read_inside_inference_mode():
    with torch.inference_mode():
        assert len(from_torch(nn.Sequential(nn.Linear(3, 3), nn.ReLU(True))).nodes) == 2


def test_the_first_linear_tells_the_shape_of_a_sample():
    assert from_torch(nn.Sequential(nn.Flatten(), nn.Linear(6, 2))).input_shape == (6,)


def test_classes_are_those_given_two_for_one_output_and_none_for_values():
    assert from_torch(nn.Linear(3, 2), classes=["cat", "dog"]).classes.tolist() == ["cat", "dog"]
    assert from_torch(nn.Linear(3, 1)).classes.tolist() == [0, 1]
    assert from_torch(nn.Linear(3, 1), regression=True).classes is None
    with pytest.raises(ValueError, match="2 outputs expects 2 classes"):
        from_torch(nn.Linear(3, 2), classes=[1, 2, 3])


def test_everything_unsupported_is_found_at_its_place():
    def forward(m, x):
        x = torch.tanh(m.conv(x))
        x = m.norm(x) * x
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = m.mirror(x).mean(1)
        x, _ = m.lstm(x)
        return m.last(F.gelu(x).flatten(1))

    model = Computes(
        forward,
        conv=nn.Conv2d(3, 2, 1),
        norm=nn.GroupNorm(1, 2),
        mirror=nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        lstm=nn.LSTM(4, 5, batch_first=True),
        last=nn.Linear(20, 2),
    )
    graph = from_torch(model, input_shape=(3, 2, 2))
    found = {n.name: n.op for n in graph.nodes if isinstance(n.op, ops.Unsupported)}
    assert {name: op.kind for name, op in found.items()} == {
        "tanh": "tanh",
        "norm": "GroupNorm",
        "mul": "mul of two activations",
        "interpolate": "interpolate (bilinear) from (2, 2) to (4, 4)",
        "mirror": "Conv2d with reflect padding",
        "mean": "mean over axes [1] of 4",
        "lstm": "LSTM",
        "gelu": "gelu",
    }
    assert found["tanh"].remedy == "train with ReLU"
    assert graph.classes.size == 2


def test_an_unsupported_module_of_several_outputs_is_read_on():
    attention = nn.MultiheadAttention(6, 2, batch_first=True)
    model = Computes(lambda m, x: m.last(x + m.attention(x, x, x)[0]), attention=attention)
    model.last = nn.Linear(6, 2)
    graph = from_torch(model, input_shape=(4, 6))
    assert [type(n.op) for n in graph.nodes] == [ops.Unsupported, ops.Add, ops.Linear]
    assert graph.classes.size == 8


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda m, x: x.permute(1, 0), "permute of the batch axis"),
        (lambda m, x: x[0], "getitem of single samples"),
        (lambda m, x: x[:, [0, 2]], "getitem by a tensor or list"),
        (lambda m, x: x.view(-1), "view that takes the batch apart"),
        (lambda m, x: x.clamp(-1, 1), "clamp from -1 to 1"),
        (lambda m, x: F.hardtanh(x), "hardtanh from -1.0 to 1.0"),
        (lambda m, x: x / F.relu(x), "div by an activation"),
        (lambda m, x: torch.add(x, F.relu(x), alpha=2), "add with alpha"),
        (lambda m, x: F.linear(x, x), "linear with weights that depend"),
        (lambda m, x: x.unsqueeze(2) + x.unsqueeze(1), r"add of shapes \(4, 1\) and \(1, 4\)"),
        (lambda m, x: F.pad(x, (1, 1), value=2.0), "pad with values of 2.0"),
        (lambda m, x: x.sort(dim=1)[0], "sort"),
    ],
)
def test_a_call_that_cannot_be_a_node_says_why(function, kind):
    graph = from_torch(Computes(function), input_shape=(4,))
    kinds = [n.op.kind for n in graph.nodes if isinstance(n.op, ops.Unsupported)]
    assert re.match(kind, kinds[-1])


def branching(m, x):
    return x if x.sum() > 0 else -x


class Weighted(nn.Module):
    def forward(self, x, weight):
        return x * weight


def diverged():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[1].weight.data[0, 1] = torch.nan
    return model


IMAGES = (3, 8, 8)
ERRORS = {
    "a branch on values": (
        lambda: nn.Sequential(nn.ReLU(), Computes(branching)),
        IMAGES,
        r"in 1: test_from_torch.py:\d+ branches on the values .* torch.fx says",
    ),
    "a value taken out": (
        lambda: Computes(lambda m, x: x * x.max().item()),
        IMAGES,
        r"Node 'item': item: .*meta",
    ),
    "an error in forward": (
        lambda: nn.Sequential(Computes(lambda m, x: m.nothing(x))),
        IMAGES,
        "Sequential, in 0: forward cannot be traced: AttributeError: 'Computes' object has no",
    ),
    "several inputs": (
        Weighted,
        (2,),
        r"Weighted: forward cannot be traced: TypeError: .*missing 1 required .*'weight'",
    ),
    "several outputs": (
        lambda: Computes(lambda m, x: (x, -x)),
        IMAGES,
        "return one tensor .* got tuple of 2",
    ),
    "an output of constants": (
        lambda: Computes(lambda m, x: torch.zeros(3)),
        IMAGES,
        "depends on its input, got Tensor",
    ),
    "weights that are NaN": (
        diverged,
        (3,),
        "Node '1': Linear, weights: expects finite values, got 1",
    ),
    "batch norm in training": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)),
        IMAGES,
        r"Node '1': BatchNorm2d is in training mode: call model.eval\(\) first",
    ),
    "batch norm without statistics": (
        lambda: nn.BatchNorm2d(3, track_running_stats=False).eval(),
        IMAGES,
        "BatchNorm2d keeps no running statistics",
    ),
    "a divisor": (
        lambda: nn.AvgPool2d(2, divisor_override=3),
        IMAGES,
        "AvgPool2d with divisor_override",
    ),
    "indices": (lambda: nn.MaxPool2d(2, return_indices=True), IMAGES, "with return_indices"),
    "channels last": (
        lambda: nn.Conv2d(3, 2, 3),
        (8, 8, 3),
        r"Node 'conv2d': Conv expects samples of shape \(3, y, x\), got \(8, 8, 3\).*channel-first",
    ),
    "a missing flatten": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Linear(72, 2)),
        IMAGES,
        "Node '1': Linear of 72 inputs .* Is a Flatten missing",
    ),
    "a shape of no samples": (lambda: nn.ReLU(), (0, 3), r"counts >= 1, got \(0, 3\)"),
    "a missing shape": (
        lambda: nn.Conv2d(3, 2, 3),
        None,
        "Conv2d needs the shape of its input: give samples, or input_shape",
    ),
    "a shape that was guessed": (
        lambda: Computes(lambda m, x: m.b(x), a=nn.Linear(3, 2), b=nn.Linear(4, 2)),
        None,
        r"taken to be \(3,\), from the model's first Linear",
    ),
    "a lazy module": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)),
        IMAGES,
        "lazy modules 1 have no weights yet",
    ),
    "weights without values": (
        lambda: nn.Linear(3, 2, device="meta"),
        (3,),
        "weight, bias lie on the meta device",
    ),
    "a scripted model": (
        lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 2))),
        (3,),
        "scripted or traced module cannot be read",
    ),
    "nothing": (nn.Sequential, IMAGES, "computes nothing"),
    "no model": (lambda: {"weight": 1}, IMAGES, "expects a torch.nn.Module, got dict"),
    "a slope beyond spikes": (lambda: nn.LeakyReLU(1.5), IMAGES, "slope from 0 to 1"),
    "a division by zero": (lambda: Computes(lambda m, x: x / 0), IMAGES, "divides by zero"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("name", ERRORS)
def test_a_model_that_cannot_be_read_is_refused(name):
    make, shape, message = ERRORS[name]
    with pytest.raises(ConversionError, match=message):
        from_torch(make(), input_shape=shape)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="Reading a PyTorch model needs torch"):
        from_torch(object())
