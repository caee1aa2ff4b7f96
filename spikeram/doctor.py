"""What this installation is made of, and what is known not to work."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

REQUIRED = (
    "spikeram",
    "brian2",
    "numpy",
    "numba",
    "xarray",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "click",
    "rich",
    "jinja2",
    "pydantic",
    "h5netcdf",
    "h5py",
    "zarr",
)
OPTIONAL = ("torch", "elephant")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    what, found : str
        What was looked at, and what was found.
    state : {"ok", "note", "bad"}
        Whether all is well, something is worth knowing, or something will fail.
    remedy : str
        What to do, where anything is to be done.
    """

    what: str
    found: str
    state: Literal["ok", "note", "bad"] = "ok"
    remedy: str = ""


def examine() -> list[Finding]:
    """Return what was found, in the order to print it."""
    findings = [Finding("python", platform.python_version())]
    findings += [_package(name, optional=False) for name in REQUIRED]
    findings += [_package(name, optional=True) for name in OPTIONAL]
    findings.append(_known_bad_pair())
    findings.append(_compiler())
    findings.append(_threads())
    findings.append(_data())
    return findings


def bad_pair(brian2: str, numpy: str) -> bool:
    """Return whether these versions cannot be imported together.

    Brian2 up to 2.9 uses ``ndarray.ptp``, which numpy 2.4 removed.

    Examples
    --------
    >>> bad_pair("2.9.0", "2.4.6"), bad_pair("2.9.0", "2.3.5"), bad_pair("2.10.1", "2.5.0")
    (True, False, False)
    """
    return _release(brian2) < (2, 10) and _release(numpy) >= (2, 4)


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _found(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str, *, optional: bool) -> Finding:
    found = _found(name)
    if found is not None:
        return Finding(name, found)
    if optional:
        return Finding(name, "not installed", "note", f"pip install 'spikeram[{name}]'")
    return Finding(name, "not installed", "bad", f"pip install {name}")


def _known_bad_pair() -> Finding:
    brian2, numpy = _found("brian2"), _found("numpy")
    if brian2 and numpy and bad_pair(brian2, numpy):
        return Finding(
            "brian2 with numpy",
            f"{brian2} with {numpy} cannot be imported",
            "bad",
            "pip install 'numpy<2.4'",
        )
    return Finding("brian2 with numpy", "fit together")


def _compiler() -> Finding:
    found = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if found:
        return Finding("C++ compiler", found)
    return Finding(
        "C++ compiler",
        "none",
        "note",
        "Brian2 runs on its numpy target; with a compiler its own groups run faster.",
    )


def _threads() -> Finding:
    return Finding("processors", str(os.cpu_count() or 1))


def _data() -> Finding:
    folder = os.environ.get("SPIKERAM_DATA")
    if not folder:
        return Finding("SPIKERAM_DATA", "not set: tests on measured data are skipped", "note")
    if not os.path.isdir(folder):
        return Finding("SPIKERAM_DATA", f"{folder} is not a folder", "bad", "Correct the path.")
    return Finding("SPIKERAM_DATA", folder)
