"""From a trained network to a spiking one: importers, thresholds, calibration."""

from spikeram.conversion.calibration import calibrate_bias, recalibrate
from spikeram.conversion.convert import LayerReport, convert, report
from spikeram.conversion.from_torch import from_torch
from spikeram.conversion.importers import from_sklearn, read
from spikeram.conversion.trained import TrainedNetwork

__all__ = [
    "LayerReport",
    "TrainedNetwork",
    "calibrate_bias",
    "convert",
    "from_sklearn",
    "from_torch",
    "read",
    "recalibrate",
    "report",
]
