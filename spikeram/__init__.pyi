from spikeram.accessor import load as load
from spikeram.charge import ChargeLayer as ChargeLayer
from spikeram.chip import Chip as Chip, ProgrammedChip as ProgrammedChip
from spikeram.conversion import (
    TrainedNetwork as TrainedNetwork,
    convert as convert,
    recalibrate as recalibrate,
)
from spikeram.crossbar import Crossbar as Crossbar
from spikeram.device import IdealDevice as IdealDevice, RRAMDevice as RRAMDevice
from spikeram.energy import EnergyModel as EnergyModel
from spikeram.network import (
    Layer as Layer,
    MaxPool as MaxPool,
    SpikingNetwork as SpikingNetwork,
)
from spikeram.neuron import SamplingNeuron as SamplingNeuron
from spikeram.programming import program as program
from spikeram.recording import Activity as Activity, save as save
from spikeram.report import write_report as write_report
from spikeram.simulation import membrane as membrane, simulate as simulate
from spikeram.write_verify import WriteVerify as WriteVerify, write_verify as write_verify

__all__: list[str]
