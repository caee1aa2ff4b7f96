"""What a sweep is: a network, data, a chip, and the axes that are varied.

An experiment is a TOML file, checked before anything runs; an unknown key is an error that suggests
the one that was meant. Its resolved form, versions and the digests of its files go into the result.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from spikeram.chip import Chip
from spikeram.errors import ExperimentError, meant
from spikeram.files import load_samples
from spikeram.recording import versions

CHIP_FIELDS = tuple(
    field.name
    for field in fields(Chip)
    if field.type in ("int", "float", "Siemens", "Volt", "Kelvin", "ColumnGain")
    or field.name in ("full_scale", "partial_sums")
)
"""Parameters of a chip that an experiment may set or vary."""

OTHER_AXES = ("network", "noise", "delay")
"""What else may be varied: the network file, the share of frozen normal noise, the delay."""

MOST_UNITS = 10_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Strict):
    """Samples of an .npz file.

    Parameters
    ----------
    file : str
        The file, with an array x and, where there are labels, y.
    samples : int, optional
        Only the first so many.
    """

    file: str
    samples: int | None = Field(default=None, ge=1)


class Experiment(_Strict):
    """A sweep, as its TOML file says it.

    Parameters
    ----------
    network : str
        File of the converted network.
    data : Data
        Test samples.
    calibration : Data, optional
        With it every chip is recalibrated on these samples.
    chip : str
        Name of the chip.
    set : mapping
        Parameters of the chip that differ from the published one.
    chips : int
        Number of programmed chips, an axis of its own.
    axes : mapping of str to list
        Values of each axis that is varied.
    steps : int
        Number of steps; results after every step up to it are kept.
    delay : str or float
        Time between programming and read-out, where it is no axis.
    seed : int
        Root seed.
    samples_of_a_unit : int
        Samples that one unit of work runs.
    record : list of {"accuracy", "spikes", "energy"}
        What is kept.
    encoding : str
        How inputs enter.
    """

    network: str
    data: Data
    calibration: Data | None = None
    chip: str = "neurram"
    set: dict[str, Any] = Field(default_factory=dict)
    chips: int = Field(default=1, ge=1)
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    steps: int = Field(ge=1)
    delay: str | float = "1 day"
    seed: int = Field(default=0, ge=0)
    samples_of_a_unit: int = Field(default=1000, ge=1)
    record: list[Literal["accuracy", "spikes", "energy"]] = ["accuracy"]
    encoding: Literal["current", "rate", "poisson", "ttfs"] = "current"

    @field_validator("set")
    @classmethod
    def _fields_exist(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            _check_name("set", name, CHIP_FIELDS)
        return value

    @field_validator("axes")
    @classmethod
    def _axes_exist(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in value.items():
            _check_name("axes", name, (*OTHER_AXES, *CHIP_FIELDS))
            if not values:
                raise ValueError(f"the axis {name!r} has no values")
            kept = [json.dumps(one) for one in values]
            if len(set(kept)) < len(kept):
                raise ValueError(f"the axis {name!r} has a value twice")
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """Chips, the length of each axis in its order, and chunks of samples."""
        return (self.chips, *(len(values) for values in self.axes.values()), self.n_chunks)

    @property
    def n_samples(self) -> int:
        """Number of test samples."""
        found: int = read_samples(self.data.file, stamp(self.data.file))[0].shape[0]
        return found if self.data.samples is None else min(found, self.data.samples)

    @property
    def n_chunks(self) -> int:
        """Number of chunks that the samples are cut into."""
        return -(-self.n_samples // self.samples_of_a_unit)

    @property
    def n_units(self) -> int:
        """Number of units of work."""
        return int(np.prod(self.shape, dtype=np.int64))

    def resolved(self) -> dict[str, Any]:
        """Return all that the result depends on: values, versions, and digests of the files."""
        told = self.model_dump(mode="json")
        # By name alone, as their content is told by digests: folders may move.
        told["network"] = Path(self.network).name
        for name in ("data", "calibration"):
            if told[name] is not None:
                told[name]["file"] = Path(told[name]["file"]).name
        if "network" in told["axes"]:
            told["axes"]["network"] = [Path(str(one)).name for one in told["axes"]["network"]]
        return {
            "experiment": told,
            "n_chunks": self.n_chunks,
            "digests": {Path(name).name: _digest(name) for name in self.files},
            "versions": versions(),
        }

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        names = {self.network, self.data.file, *map(str, self.axes.get("network", []))}
        if self.calibration is not None:
            names.add(self.calibration.file)
        return sorted(names)


def load_experiment(path: str | Path) -> Experiment:
    """Return the experiment in a TOML file, its file names taken from the folder that it is in.

    Raises
    ------
    ExperimentError
        If the file is not there, no TOML, or says what no experiment can be; all that is wrong is
        listed at once.
    """
    source = Path(path)
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExperimentError(f"{path} could not be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is no TOML file: {error}.") from error
    return experiment_from(content, folder=source.parent)


def experiment_from(content: Mapping[str, Any], *, folder: Path = Path()) -> Experiment:
    """Return the experiment that a mapping says, checked with the files that it names.

    Parameters
    ----------
    content : mapping
        As of the TOML file.
    folder : Path
        Where relative names of files begin.
    """
    try:
        experiment = Experiment.model_validate(_rooted(content, folder))
    except ValidationError as error:
        raise ExperimentError(_told(error)) from None
    missing = [name for name in experiment.files if not Path(name).is_file()]
    if missing:
        raise ExperimentError(f"There is no file {', '.join(missing)}.")
    if experiment.n_units > MOST_UNITS:
        raise ExperimentError(
            f"The axes multiply to {experiment.n_units:,} units of work, more than {MOST_UNITS:,}. "
            "Take fewer values, or more samples_of_a_unit."
        )
    return experiment


def stamp(name: str) -> tuple[int, int]:
    """Return what changes when a file is written again, for the keys of caches."""
    told = Path(name).stat()
    return told.st_mtime_ns, told.st_size


@lru_cache(maxsize=4)
def read_samples(name: str, written: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return samples and labels of a file as `stamp` found it; every unit asks for them."""
    return load_samples(name)


def schema() -> dict[str, Any]:
    """Return the JSON schema of an experiment, for editors."""
    return Experiment.model_json_schema()


def _rooted(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the content with the names of files from a folder on."""
    found = dict(content)
    for name in ("data", "calibration"):
        part = found.get(name)
        if isinstance(part, Mapping) and isinstance(part.get("file"), str):
            found[name] = {**part, "file": str(folder / part["file"])}
    if isinstance(found.get("network"), str):
        found["network"] = str(folder / found["network"])
    axes = found.get("axes")
    if isinstance(axes, Mapping) and isinstance(axes.get("network"), list):
        found["axes"] = {**axes, "network": [str(folder / str(name)) for name in axes["network"]]}
    return found


def _check_name(where: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"{name!r} is none of {', '.join(known)}.{meant(name, known)}")


def _told(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            model = Data if len(problem["loc"]) > 1 else Experiment
            known = list(model.model_fields)
            lines.append(f"{place}: there is no such key.{meant(str(problem['loc'][-1]), known)}")
        elif problem["type"] == "missing":
            lines.append(f"{place}: it is missing.")
        else:
            told = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {told if told.endswith(('.', '?')) else told + '.'}")
    return f"The experiment is not as it must be: {' '.join(lines)}"


def _digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()
