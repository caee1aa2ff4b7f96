"""The residual autoencoder RED-Net of Mao, Shen and Yang (NIPS 2016, arXiv:1603.09056).

Convolutions, as many transposed convolutions that mirror them, a ReLU after each, and the sum of
every second convolution's output with that of its mirror image before its ReLU; the input itself is
added to the last, so that the network learns what to take away. The first and the last layer have
stride 2, as in yjn870/REDNet-pytorch.
"""

import torch
import torch.nn.functional as functional
from torch import nn


class REDNet(nn.Module):
    """RED-Net with `depth` layers of each kind; the paper's RED20 has 10 and 64 feature maps."""

    def __init__(self, depth: int = 10, features: int = 64, channels: int = 1) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(
            nn.Conv2d(features if n else channels, features, 3, stride=1 if n else 2, padding=1)
            for n in range(depth)
        )
        self.deconv_layers = nn.ModuleList(
            nn.ConvTranspose2d(features, features, 3, padding=1) for _ in range(depth - 1)
        )
        self.last = nn.ConvTranspose2d(
            features, channels, 3, stride=2, padding=1, output_padding=1
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, kept = x, []
        for n, layer in enumerate(self.conv_layers, start=1):
            out = functional.relu(layer(out))
            kept.append(out if n % 2 == 0 and n < len(self.conv_layers) else None)
        for layer, skip in zip(self.deconv_layers, reversed(kept[:-1])):
            out = layer(out)
            out = functional.relu(out if skip is None else out + skip)
        return functional.relu(self.last(out) + x)
