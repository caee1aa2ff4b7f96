"""What can go wrong, one class for each kind; every message names what came and what to do."""

from __future__ import annotations

from typing import Any


class UnitError(ValueError):
    """A quantity has the wrong physical dimension, or its unit is unknown."""


class CapacityError(ValueError):
    """A network needs more cells, cores or charge range than there is."""


class CircuitError(ArithmeticError):
    """A circuit cannot be solved to the accuracy asked for."""


class ConversionError(ValueError):
    """A trained model cannot become a spiking network."""


class RecordingError(ValueError):
    """A recording is damaged, foreign, or of another schema."""


class FileFormatError(ValueError):
    """A file is damaged, foreign, or of another format version."""


class DataError(OSError):
    """A data set is not at hand and cannot be fetched."""


class ExperimentError(ValueError):
    """An experiment is not as it must be, or its store is another's."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed. "
            f"Install it with: pip install 'spikeram[{extra}]'"
        )


class SimulationInterrupted(KeyboardInterrupt):
    """A simulation was stopped; `recording` holds the samples that were finished.

    Parameters
    ----------
    recording : xarray.Dataset or None
        The finished samples, with ``attrs["complete"] = 0``; None when there are none.
    """

    def __init__(self, recording: Any) -> None:
        done = 0 if recording is None else recording.sizes["trial"]
        super().__init__(f"stopped after {done} samples")
        self.recording = recording
