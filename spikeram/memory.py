"""How much memory is free, and whether what a run needs fits into it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from spikeram.errors import CapacityError

_TOLD = Path("/proc/meminfo")


def free_memory() -> int | None:
    """Return the memory that can be had without swapping [bytes]; None where nothing tells."""
    try:
        for line in _TOLD.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:
        # All of it, where the system does not say how much is free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def check_memory(
    needed: Mapping[str, int], remedy: str, free: int | None = None, where: str = "memory"
) -> None:
    """Refuse to begin what does not fit into memory.

    Parameters
    ----------
    needed : mapping of str to int
        What takes memory, in words, and how much of it [bytes].
    remedy : str
        What to lower, as a sentence.
    free : int, optional
        Free memory [bytes]; by default that of this machine.
    where : str
        Which memory it is.

    Raises
    ------
    CapacityError
        If more is needed than is free.
    """
    free = free_memory() if free is None else free
    total = sum(needed.values())
    if free is None or total <= free:
        return
    parts = ", ".join(
        f"{in_words(size)} for {what}" for what, size in needed.items() if size >= total / 100
    )
    raise CapacityError(
        f"The run needs {in_words(total)} of {where} ({parts}), but {in_words(free)} are free. "
        f"{remedy}"
    )


def in_words(size: float) -> str:
    """Return a number of bytes in the unit that suits it.

    Examples
    --------
    >>> in_words(3.2e9)
    '3.2 GB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
