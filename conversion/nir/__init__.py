"""NIR, the exchange format of spiking networks, both ways."""

from spikeram.conversion.nir.assume import Conventions, NIRAssumption, settle
from spikeram.conversion.nir.dialects import DIALECTS, Dialect
from spikeram.conversion.nir.export import to_nir
from spikeram.conversion.nir.file import read, write
from spikeram.conversion.nir.graph import NIRGraph
from spikeram.conversion.nir.neurons import IF, LI, LIF, CubaLI, CubaLIF, I
from spikeram.conversion.nir.nodes import (
    Affine,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Delay,
    Flatten,
    Input,
    Linear,
    Output,
    Scale,
    SumPool2d,
    Threshold,
)
from spikeram.conversion.nir.peers import PEERS
from spikeram.conversion.nir.run import NIRRun, run
from spikeram.conversion.nir.to_network import to_network
from spikeram.conversion.nir.verify import PeerResult, Verification, verify

__all__ = [
    "DIALECTS",
    "IF",
    "LI",
    "LIF",
    "PEERS",
    "Affine",
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "Conventions",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Dialect",
    "Flatten",
    "I",
    "Input",
    "Linear",
    "NIRAssumption",
    "NIRGraph",
    "NIRRun",
    "Output",
    "PeerResult",
    "Scale",
    "SumPool2d",
    "Threshold",
    "Verification",
    "read",
    "run",
    "settle",
    "to_network",
    "to_nir",
    "verify",
    "write",
]
