"""The RRAM cell: which cells, how they answer pulses, relax and are read.

`cells` addresses their random numbers; `abstract` is what every device does; `pulse`,
`relaxation` and `rram` are the filamentary cell; `simple` holds cells without physics.
"""

from spikeram.device.abstract import AbstractDevice as AbstractDevice
from spikeram.device.cells import Cells as Cells
from spikeram.device.checks import as_conductances as as_conductances, as_delay as as_delay
from spikeram.device.pulse import PulseResponse as PulseResponse
from spikeram.device.relaxation import Relaxation as Relaxation
from spikeram.device.rram import CUT_OFF as CUT_OFF, RRAMDevice as RRAMDevice
from spikeram.device.simple import GaussianDevice as GaussianDevice, IdealDevice as IdealDevice
