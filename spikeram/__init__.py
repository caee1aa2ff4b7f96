"""Spiking neural networks on analog RRAM crossbars.

Public names load on first use, so that ``import spikeram`` is cheap; ``__init__.pyi`` lists them.
"""

from importlib import import_module as _import_module

_HOME = {
    "Activity": "spikeram.recording",
    "ChargeLayer": "spikeram.charge",
    "Chip": "spikeram.chip",
    "Crossbar": "spikeram.crossbar",
    "Layer": "spikeram.network",
    "EnergyModel": "spikeram.energy",
    "IdealDevice": "spikeram.device",
    "MaxPool": "spikeram.network",
    "ProgrammedChip": "spikeram.chip",
    "RRAMDevice": "spikeram.device",
    "SamplingNeuron": "spikeram.neuron",
    "SpikingNetwork": "spikeram.network",
    "TrainedNetwork": "spikeram.conversion",
    "WriteVerify": "spikeram.write_verify",
    "convert": "spikeram.conversion",
    "load": "spikeram.accessor",
    "membrane": "spikeram.simulation",
    "program": "spikeram.programming",
    "recalibrate": "spikeram.conversion",
    "save": "spikeram.recording",
    "simulate": "spikeram.simulation",
    "write_report": "spikeram.report",
    "write_verify": "spikeram.write_verify",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'spikeram' has no attribute {name!r}")
    return getattr(_import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
