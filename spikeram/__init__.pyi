from spikeram.accessor import load as load
from spikeram.analog import AnalogTerms as AnalogTerms
from spikeram.asynchronous import simulate_events as simulate_events
from spikeram.charge import ChargeLayer as ChargeLayer
from spikeram.chip import Chip as Chip, ProgrammedChip as ProgrammedChip
from spikeram.chip_file import load_chip as load_chip, save_chip as save_chip
from spikeram.conversion import (
    TrainedNetwork as TrainedNetwork,
    convert as convert,
    recalibrate as recalibrate,
)
from spikeram.conversion.diagnostics import diagnose as diagnose
from spikeram.crossbar import Crossbar as Crossbar
from spikeram.device import IdealDevice as IdealDevice, RRAMDevice as RRAMDevice
from spikeram.energy import EnergyModel as EnergyModel
from spikeram.event_stream import EventStream as EventStream
from spikeram.faults import Faults as Faults
from spikeram.inference import infer as infer
from spikeram.mapping import map_network as map_network
from spikeram.network import Layer as Layer, MaxPool as MaxPool, SpikingNetwork as SpikingNetwork
from spikeram.neuron import SamplingNeuron as SamplingNeuron
from spikeram.parasitics import Wires as Wires
from spikeram.partial import PartialSums as PartialSums
from spikeram.planning import plan as plan
from spikeram.programming import program as program
from spikeram.recorder import open_lazily as open_lazily
from spikeram.recording import Activity as Activity, save as save
from spikeram.report import write_report as write_report
from spikeram.simulation import (
    membrane as membrane,
    simulate as simulate,
    simulate_chips as simulate_chips,
)
from spikeram.stopping import EarlyStop as EarlyStop
from spikeram.upkeep import age as age, reprogram as reprogram
from spikeram.write_verify import WriteVerify as WriteVerify, write_verify as write_verify

__all__: list[str]
