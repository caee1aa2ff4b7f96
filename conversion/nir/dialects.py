"""Dialects: how each framework wants a NIR file to be written, and what it makes of one.

Measured with sinabs 3.1.3, norse 1.1.0, SpikingJelly 2.0.0 and snnTorch 1.0.0; of Lava,
SpiNNaker2 and Nengo as their importers document it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from spikeram.conversion.nir import neurons
from spikeram.conversion.nir.assume import USUAL_DT, Reset
from spikeram.conversion.nir.graph import Neuron
from spikeram.conversion.nir.parameters import Metadata, Shape

DialectName: TypeAlias = Literal[
    "spikeram", "sinabs", "norse", "spikingjelly", "snntorch", "lava", "spinnaker2", "nengo"
]
Readout: TypeAlias = Literal["current", "spikes"]

_SLOW = 1e6


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a framework reads.

    Parameters
    ----------
    name : str
        Of the framework.
    dt : float
        Step that the framework takes for granted [s].
    leaky : bool
        Whether neurons are written as `LIF` of a time constant of a million steps, for want of
        plain integrate-and-fire.
    resistance : float
        r of integrate-and-fire neurons: 1, or one over the step.
    dense : bool
        Whether convolutions are written as matrices.
    biased : bool
        Whether it adds biases; where it does not, they enter by an input that is always 1.
    bits : int
        Bits of the weights, with sign; 0 for floating point.
    whole : bool
        Whether weights and thresholds are whole numbers.
    reset : {"subtract", "v_reset"}
        What a spike does there, whatever the file says.
    readout : {"current", "spikes"}
        How the last layer leaves, if nothing is asked for.
    branches : bool
        Whether it runs graphs right in which a node's output goes two ways.
    caveat : str
        What else the framework does differently.
    """

    name: str
    dt: float = USUAL_DT
    leaky: bool = False
    resistance: float = 1.0
    dense: bool = False
    biased: bool = True
    bits: int = 0
    whole: bool = False
    reset: Reset = "v_reset"
    readout: Readout = "current"
    branches: bool = True
    caveat: str = ""

    def neuron(self, shape: Shape, *, threshold: np.ndarray, metadata: Metadata) -> Neuron:
        """Return neurons of a shape.

        Parameters
        ----------
        shape : tuple of int
            Of the layer.
        threshold : ndarray of shape (neuron,)
            Their thresholds.
        metadata : mapping
            Of the node.
        """
        v_threshold = np.asarray(threshold, dtype=np.float64).reshape(shape)
        zero = np.zeros(shape)
        if self.leaky:
            return neurons.LIF(
                tau=np.full(shape, _SLOW * self.dt),
                r=np.full(shape, _SLOW),
                v_leak=zero,
                v_threshold=v_threshold,
                v_reset=zero,
                metadata=metadata,
            )
        return neurons.IF(
            r=np.full(shape, self.resistance),
            v_threshold=v_threshold,
            v_reset=zero,
            metadata=metadata,
        )


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect(name="spikeram", reset="subtract", resistance=1 / USUAL_DT),
            Dialect(
                name="sinabs",
                reset="subtract",
                branches=False,
                caveat="membranes stay above minus the threshold, and a neuron may fire several "
                "times in a step",
            ),
            Dialect(name="norse", dt=1e-3, branches=False),
            Dialect(name="spikingjelly", resistance=1 / USUAL_DT),
            Dialect(
                name="snntorch", leaky=True, caveat="membranes shrink by a millionth in each step"
            ),
            Dialect(
                name="lava", dense=True, biased=False, bits=8, whole=True, readout="spikes",
                caveat="weights are whole numbers of 8 bits",
            ),
            Dialect(
                name="spinnaker2", bits=8, readout="spikes",
                caveat="weights have 8 bits; set its reset to subtraction",
            ),
            Dialect(
                name="nengo", dense=True, leaky=True, readout="spikes",
                caveat="membranes shrink by a millionth in each step",
            ),
        )
    }
)  # fmt: skip
"""The dialects, by name."""
