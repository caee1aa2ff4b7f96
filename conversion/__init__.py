"""From a trained network to a spiking one: importers, methods, calibration."""

from spikeram.conversion import ops as ops
from spikeram.conversion.calibration import calibrate_bias, recalibrate, reconstruct
from spikeram.conversion.convert import LayerReport, convert, report
from spikeram.conversion.graph import Graph, Node
from spikeram.conversion.importers import graph_of, read
from spikeram.conversion.inspection import inspect
from spikeram.conversion.lowering import lower
from spikeram.conversion.methods import METHODS
from spikeram.conversion.spread import spread_weights
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork

__all__ = [
    "METHODS",
    "Graph",
    "LayerReport",
    "Node",
    "TrainedLayer",
    "TrainedNetwork",
    "calibrate_bias",
    "convert",
    "graph_of",
    "inspect",
    "lower",
    "ops",
    "read",
    "recalibrate",
    "reconstruct",
    "report",
    "spread_weights",
]
