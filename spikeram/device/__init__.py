"""The RRAM cell: which cells, how they answer pulses, relax and are read.

`cells` addresses their random numbers; `abstract` is what every device does; `pulse`, `rram` and
`relaxation` are the filamentary cell, `quantiles` relaxation as it was measured, `retention` what
temperature does to it; `simple` holds cells without physics.
"""

from spikeram.device.abstract import AbstractDevice as AbstractDevice
from spikeram.device.cells import Cells as Cells
from spikeram.device.checks import as_conductances as as_conductances, as_delay as as_delay
from spikeram.device.pulse import PulseResponse as PulseResponse
from spikeram.device.quantiles import QuantileRelaxation as QuantileRelaxation
from spikeram.device.relaxation import (
    AbstractRelaxation as AbstractRelaxation,
    Relaxation as Relaxation,
)
from spikeram.device.retention import (
    ROOM as ROOM,
    aged as aged,
    as_temperature as as_temperature,
    barrier as barrier,
    equivalent_delay as equivalent_delay,
)
from spikeram.device.rram import CUT_OFF as CUT_OFF, RRAMDevice as RRAMDevice
from spikeram.device.simple import GaussianDevice as GaussianDevice, IdealDevice as IdealDevice
