"""Names to things: "neurram" to a chip, "clocked" to an engine.

The library looks names up here; a lab adds its own through the entry points
``spikeram.devices``, ``spikeram.chips`` and ``spikeram.engines``, without a fork. An engine that
takes several chips at once stands under ``spikeram.chip_engines`` too, by the same name.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from spikeram.errors import meant

_OWN = {
    "devices": {
        "neurram": "spikeram.models.devices:neurram",
        "levy_c": "spikeram.models.devices:levy_c",
        "ideal": "spikeram.models.devices:ideal",
        "gaussian": "spikeram.models.devices:gaussian",
    },
    "chips": {
        "neurram": "spikeram.models.chips:neurram",
        "neurram_analog": "spikeram.models.chips:neurram_analog",
        "ideal": "spikeram.models.chips:ideal",
        "gaussian": "spikeram.models.chips:gaussian",
    },
    "engines": {
        "clocked": "spikeram.simulation:clocked",
        "event": "spikeram.event_driven:event",
        "brian2": "spikeram.brian:run_network",
        "cuda": "spikeram.cuda:on_gpu",
    },
    "chip_engines": {"clocked": "spikeram.clocked:Clocked", "cuda": "spikeram.cuda:Cuda"},
}


def names(kind: str) -> list[str]:
    """Return the names known for `kind` ("devices", "chips", "engines" or "chip_engines")."""
    return sorted({*_OWN[kind], *(entry.name for entry in entry_points(group=f"spikeram.{kind}"))})


def knows(kind: str, name: str) -> bool:
    """Return whether there is something called `name`; of our own without a look at packages."""
    return name in _OWN[kind] or name in names(kind)


def lookup(kind: str, name: str) -> Any:
    """Return what `name` stands for among `kind`.

    Raises
    ------
    ValueError
        If there is no such name; the message lists those there are.
    """
    own = _OWN[kind].get(name)
    if own is not None:
        module, attribute = own.split(":")
        return getattr(import_module(module), attribute)
    for entry in entry_points(group=f"spikeram.{kind}"):
        if entry.name == name:
            return entry.load()
    known = names(kind)
    raise ValueError(
        f"No {kind[:-1]} is called {name!r}: there are {', '.join(known)}.{meant(name, known)}"
    )
