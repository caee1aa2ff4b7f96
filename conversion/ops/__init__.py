"""The operations of a graph: a file for each family, with what becomes of it."""

from spikeram.conversion.ops.activation import Rectifier
from spikeram.conversion.ops.convolution import Conv, ConvTranspose
from spikeram.conversion.ops.ending import Softmax, Unsupported
from spikeram.conversion.ops.linear import Linear
from spikeram.conversion.ops.merge import Add, Concat
from spikeram.conversion.ops.pooling import AdaptivePool, Pool
from spikeram.conversion.ops.rearrange import (
    AbstractRearrangement,
    Flatten,
    Identity,
    Pad,
    Permute,
    Reshape,
    Slice,
    Upsample,
)
from spikeram.conversion.ops.scale import Scale, batch_norm

__all__ = [
    "AbstractRearrangement",
    "AdaptivePool",
    "Add",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "Identity",
    "Linear",
    "Pad",
    "Permute",
    "Pool",
    "Rectifier",
    "Reshape",
    "Scale",
    "Slice",
    "Softmax",
    "Unsupported",
    "Upsample",
    "batch_norm",
]
