"""One operation at a time, from PyTorch to spikes: rates at large T are the activations.

Inputs lie on the converter's grid and weights on a coarse dyadic one, so that charge is exact.
A neuron that integrates a constant drive ends within half a spike of it. Each neuron further on
adds up, on top of that, what its inputs are away from their activations, weighted.
"""

import numpy as np
import pytest

from spikeram.conversion import convert, read
from spikeram.simulation import simulate

torch = pytest.importorskip("torch", reason="the torch extra is not installed")
nn = torch.nn
functional = torch.nn.functional

STEPS = 256
IMAGE = (2, 6, 6)
SIGNAL = (2, 10)
VECTOR = (8,)


class Of(nn.Module):
    """A function of one tensor, or of two branches of it, as a module."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x):
        return self.function(*(part(x) for part in self.parts)) if self.parts else self.function(x)


def neurons(n=2):
    """Return a convolution of one pixel with a rectifier: signals for what comes next."""
    return nn.Sequential(nn.Conv2d(2, n, 1), nn.ReLU())


# Operations that charge adds up for, right after the input: each ends in a rectifier.
FIRST = {
    "Linear": (VECTOR, nn.Linear(8, 5)),
    "Linear without bias": (VECTOR, nn.Linear(8, 5, bias=False)),
    "Linear along a sequence": ((3, 4), nn.Linear(4, 5)),
    "Conv2d": (IMAGE, nn.Conv2d(2, 3, 3)),
    "Conv2d, stride": (IMAGE, nn.Conv2d(2, 3, 3, stride=2)),
    "Conv2d, padding": (IMAGE, nn.Conv2d(2, 3, 3, padding=1)),
    "Conv2d, same": (IMAGE, nn.Conv2d(2, 3, 3, padding="same")),
    "Conv2d, dilation": (IMAGE, nn.Conv2d(2, 3, 2, dilation=2)),
    "Conv2d, groups": (IMAGE, nn.Conv2d(2, 4, 3, groups=2)),
    "Conv1d": (SIGNAL, nn.Conv1d(2, 3, 3)),
    "Conv1d, stride and padding": (SIGNAL, nn.Conv1d(2, 3, 3, stride=2, padding=1)),
    "ConvTranspose2d": (IMAGE, nn.ConvTranspose2d(2, 3, 2, stride=2)),
    "ConvTranspose2d, padding": (IMAGE, nn.ConvTranspose2d(2, 3, 3, padding=1)),
    "ConvTranspose1d": (SIGNAL, nn.ConvTranspose1d(2, 3, 2, stride=2)),
    "AvgPool2d": (IMAGE, nn.AvgPool2d(2)),
    "AvgPool1d": (SIGNAL, nn.AvgPool1d(2)),
    "AdaptiveAvgPool2d": (IMAGE, nn.AdaptiveAvgPool2d((2, 3))),
    "global mean": (IMAGE, Of(lambda x: x.mean(dim=(2, 3)))),
    "Flatten": (IMAGE, nn.Flatten()),
    "Upsample": (IMAGE, nn.Upsample(scale_factor=2)),
    "ZeroPad2d": (IMAGE, nn.ZeroPad2d((1, 2, 0, 1))),
    "slice": (IMAGE, Of(lambda x: x[:, :, ::2, 1:5])),
    "permute": (IMAGE, Of(lambda x: x.permute(0, 2, 3, 1))),
    "PixelShuffle": ((4, 3, 3), nn.PixelShuffle(2)),
    "concatenation": (IMAGE, Of(lambda x: torch.cat([x, x[:, :1]], dim=1))),
    "addition": (IMAGE, Of(lambda a, b: a + b, nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1))),
    "subtraction": (IMAGE, Of(lambda a, b: a - b, nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1))),
    "addition of the input": (IMAGE, Of(lambda a, b: a + b, nn.Conv2d(2, 2, 1), nn.Identity())),
    "constant factor and shift": (IMAGE, Of(lambda x: 0.5 * x + 0.25)),
}

# Operations on the spikes of neurons: every value has been rounded once before.
SECOND = {
    "MaxPool2d": nn.Sequential(neurons(), nn.MaxPool2d(2)),
    "MaxPool2d, overlapping": nn.Sequential(neurons(), nn.MaxPool2d(3, stride=1, padding=1)),
    "AdaptiveMaxPool2d": nn.Sequential(neurons(), nn.AdaptiveMaxPool2d(2)),
    "mean of neurons": nn.Sequential(neurons(), nn.AvgPool2d(2)),
    "Linear of neurons": nn.Sequential(neurons(), nn.Flatten(), nn.Linear(72, 4)),
    "residual addition": Of(
        lambda a, b: a + b, neurons(2), nn.Sequential(neurons(2), nn.Conv2d(2, 2, 1))
    ),
    "concatenated branches": nn.Sequential(
        Of(lambda a, b: torch.cat([a, b], 1), neurons(2), neurons(1)), nn.Conv2d(3, 2, 1)
    ),
}

ACTIVATIONS = {
    "ReLU": nn.ReLU(),
    "F.relu": Of(functional.relu),
    "ReLU6": nn.ReLU6(),
    "Hardtanh from 0": nn.Hardtanh(0.0, 0.5),
    "LeakyReLU": nn.LeakyReLU(0.25),
    "PReLU": nn.PReLU(3, init=0.5),
}


def dyadic(model):
    """Set all weights to random multiples of 1/16: a few bits, exact in quanta."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("weight") or parameter.ndim > 1:
                drawn = torch.randint(-8, 9, parameter.shape, generator=generator)
                parameter.copy_(drawn / 16)
    return model.double().eval()


def on_the_grid(shape, samples=40):
    return np.random.default_rng(1).integers(-256, 257, (samples, *shape)) / 256


def decoded(model, x):
    """Return what the spikes of the last neurons stand for, the model's values, and a spike's."""
    trained = read(model, input_shape=x.shape[1:], regression=True)
    # The percentile is no bound: the largest activation is, where nothing may clip.
    network = convert(trained, x, steps=STEPS, method="max_channel")
    run = simulate(network, x)
    worth = network.layers[-2].worth if len(network.layers) > 1 else network.layers[-1].worth
    with torch.no_grad():
        wanted = model(torch.tensor(x)).numpy().reshape(len(x), -1)
    return run["output"].values[:, -1].reshape(wanted.shape), wanted, float(worth.max())


@pytest.mark.parametrize("case", FIRST)
def test_rates_right_after_the_input_are_the_activations(case):
    shape, operation = FIRST[case]
    model = dyadic(nn.Sequential(operation, nn.ReLU()))
    found, wanted, spike = decoded(model, on_the_grid(shape))
    # Half a spike of rounding in T steps; the output crossbar has weights of 1 in 12 bits.
    np.testing.assert_allclose(found, wanted, atol=spike / STEPS, rtol=1e-3)


@pytest.mark.parametrize("case", ACTIVATIONS)
def test_rates_carry_the_activation(case):
    model = dyadic(nn.Sequential(nn.Conv2d(2, 3, 3), ACTIVATIONS[case]))
    found, wanted, spike = decoded(model, on_the_grid(IMAGE))
    np.testing.assert_allclose(found, wanted, atol=spike / STEPS, rtol=1e-3)


@pytest.mark.parametrize("case", SECOND)
def test_rates_after_neurons_are_the_activations(case):
    model = dyadic(nn.Sequential(SECOND[case], nn.ReLU()))
    found, wanted, spike = decoded(model, on_the_grid(IMAGE))
    # What arrives is off by a spike for each neuron on the way; the columns sum their weights.
    share = sum(
        float(m.weight.detach().abs().flatten(1).sum(1).max())
        for m in model.modules()
        if isinstance(m, nn.Linear | nn.Conv2d)
    )
    np.testing.assert_allclose(found, wanted, atol=(2 + share) * spike / STEPS, rtol=1e-3)
