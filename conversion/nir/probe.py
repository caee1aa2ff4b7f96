"""Probe: read an HDF5 file in a process of its own, where damaged bytes can do no harm.

The HDF5 library trusts the lengths and addresses in a file. Damaged ones can end the process, which
no handler catches; what another process has read once can be read here.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SECONDS = 120.0

_READ_ALL = """
import sys, h5py
def visit(name, item):
    if isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
        if (item.size or 0) * item.dtype.itemsize <= int(sys.argv[2]):
            item[()]
try:
    with h5py.File(sys.argv[1], "r") as file:
        file.visititems(visit)
except Exception as error:
    print((str(error).strip().splitlines() or [type(error).__name__])[0])
    sys.exit(3)
"""


def problem_of(path: Path, *, most_bytes: int) -> str:
    """Return why an HDF5 file cannot be read, or nothing.

    Parameters
    ----------
    path : Path
        The file.
    most_bytes : int
        Larger arrays are passed over.
    """
    if not sys.executable:
        return ""
    try:
        # -P: a module of that name beside the file is not the package.
        done = subprocess.run(
            [sys.executable, "-P", "-c", _READ_ALL, str(path), str(most_bytes)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"reading it takes more than {_SECONDS:.0f} s."
    except OSError:
        # No process can be started here; reading says what is wrong, as far as it can.
        return ""
    if done.returncode == 3:
        return done.stdout.strip()
    return "" if done.returncode == 0 else "its bytes are damaged."
