"""Spiking neural networks on analog RRAM crossbars.

Public names load on first use, so that ``import spikeram`` is cheap; ``__init__.pyi`` lists them.
"""

from importlib import import_module as _import_module

_HOME = {
    "Activity": "spikeram.recording",
    "age": "spikeram.upkeep",
    "AnalogTerms": "spikeram.analog",
    "ChargeLayer": "spikeram.charge",
    "Chip": "spikeram.chip",
    "convert": "spikeram.conversion",
    "Crossbar": "spikeram.crossbar",
    "diagnose": "spikeram.conversion.diagnostics",
    "EarlyStop": "spikeram.stopping",
    "EnergyModel": "spikeram.energy",
    "EventStream": "spikeram.event_stream",
    "Faults": "spikeram.faults",
    "IdealDevice": "spikeram.device",
    "infer": "spikeram.inference",
    "Layer": "spikeram.network",
    "load": "spikeram.accessor",
    "load_chip": "spikeram.chip_file",
    "map_network": "spikeram.mapping",
    "MaxPool": "spikeram.network",
    "membrane": "spikeram.simulation",
    "open_lazily": "spikeram.recorder",
    "PartialSums": "spikeram.partial",
    "plan": "spikeram.planning",
    "program": "spikeram.programming",
    "ProgrammedChip": "spikeram.chip",
    "recalibrate": "spikeram.conversion",
    "reprogram": "spikeram.upkeep",
    "RRAMDevice": "spikeram.device",
    "SamplingNeuron": "spikeram.neuron",
    "save": "spikeram.recording",
    "save_chip": "spikeram.chip_file",
    "simulate": "spikeram.simulation",
    "simulate_chips": "spikeram.simulation",
    "simulate_events": "spikeram.asynchronous",
    "SpikingNetwork": "spikeram.network",
    "TrainedNetwork": "spikeram.conversion",
    "Wires": "spikeram.parasitics",
    "write_report": "spikeram.report",
    "write_verify": "spikeram.write_verify",
    "WriteVerify": "spikeram.write_verify",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'spikeram' has no attribute {name!r}")
    return getattr(_import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
