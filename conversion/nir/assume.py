r"""What a NIR file leaves open, and what is taken for it.

A file has differential equations and no step, no initial membrane, and no word on whether a spike
subtracts the threshold. With a step :math:`\Delta t`, a membrane here follows

.. math:: V \leftarrow v_\mathrm{leak} + k\,(V - v_\mathrm{leak}) + g\,R\,I,

where :math:`k = 1 - \Delta t/\tau` (Euler), or :math:`e^{-\Delta t/\tau}`, or 1 without a leak, and
:math:`g = \Delta t/\tau`, or :math:`1 - e^{-\Delta t/\tau}`, or :math:`\Delta t`; with
``resistance="per_step"``, :math:`g = 1`. A synapse follows the same rule before the membrane does.
Then the neuron fires, and is reset. Spikes reach the next node in the same step, and along an
edge that closes a loop one step later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from spikeram.conversion.nir import neurons, nodes
from spikeram.conversion.nir.graph import NIRGraph
from spikeram.conversion.nir.parameters import Metadata

Reset: TypeAlias = Literal["from metadata", "subtract", "v_reset"]
Resistance: TypeAlias = Literal["from metadata", "continuous", "per_step"]
Leak: TypeAlias = Literal["euler", "exponential"]
Fires: TypeAlias = Literal["from metadata", "above", "at"]
SpikesPerStep: TypeAlias = Literal["one", "many"]
Floor: TypeAlias = Literal["none", "threshold"]
Initial: TypeAlias = Literal["from metadata", "rest", "zero"]

USUAL_DT = 1e-4
"""Step that snnTorch and SpikingJelly take for granted [s]."""


class NIRAssumption(UserWarning):
    """Something that a NIR file leaves open was assumed."""


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How a NIR graph becomes steps.

    Parameters
    ----------
    dt : float or None
        Step [s]. None: what the metadata says, or 1e-4.
    reset : {"from metadata", "subtract", "v_reset"}
        Whether a spike subtracts the threshold or sets the membrane to `v_reset`. Metadata
        without a word on it mean `v_reset`, as NIR's equations do since 1.0.6.
    resistance : {"from metadata", "continuous", "per_step"}
        ``continuous``: the input is a current, and its effect grows with dt; also where metadata
        say nothing. ``per_step``: each step adds R I, as sinabs and norse do with
        integrate-and-fire.
    leak : {"euler", "exponential"}
        How a membrane decays in a step.
    fires : {"from metadata", "above", "at"}
        Whether a membrane equal to the threshold fires; NIR says no, and so do metadata without
        a word on it.
    spikes : {"one", "many"}
        Most spikes of one neuron in one step; ``many`` is one for each whole threshold.
    floor : {"none", "threshold"}
        Whether the membrane stays above minus the threshold.
    initial : {"from metadata", "rest", "zero"}
        Membrane before the first step. Rest is `v_leak`, or 0 without a leak; metadata of a
        node may give ``v_initial``.
    """

    dt: float | None = None
    reset: Reset = "from metadata"
    resistance: Resistance = "from metadata"
    leak: Leak = "euler"
    fires: Fires = "from metadata"
    spikes: SpikesPerStep = "one"
    floor: Floor = "none"
    initial: Initial = "from metadata"

    def __post_init__(self) -> None:
        choices = {
            "reset": Reset, "resistance": Resistance, "leak": Leak, "fires": Fires,
            "spikes": SpikesPerStep, "floor": Floor, "initial": Initial,
        }  # fmt: skip
        for name, options in choices.items():
            if getattr(self, name) not in get_args(options):
                raise ValueError(
                    f"Conventions.{name} expects one of {', '.join(map(repr, get_args(options)))}, "
                    f"got {getattr(self, name)!r}."
                )
        if self.dt is not None and not 0 < self.dt < np.inf:
            raise ValueError(f"Conventions.dt expects a time > 0 or None, got {self.dt!r}.")


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Conventions with nothing left open.

    Parameters
    ----------
    conventions : Conventions
        With a `dt`.
    reset : mapping of str to {"subtract", "v_reset"}
        What a spike does, for each neuron that fires.
    assumed : tuple of str
        Sentences: what the file left open, and what was taken.
    """

    conventions: Conventions
    reset: Mapping[str, Reset]
    assumed: tuple[str, ...]

    @property
    def dt(self) -> float:
        """Duration of one step [s]."""
        return cast(float, self.conventions.dt)


def settle(graph: NIRGraph, conventions: Conventions) -> Settled:
    """Return the conventions for one flat graph, and what had to be assumed.

    Parameters
    ----------
    graph : NIRGraph
        Flat; see `NIRGraph.flattened`.
    conventions : Conventions
        What is wanted.
    """
    leaves = graph.leaves()
    conventions = _read(graph.metadata, conventions)
    firing = {n: node for n, node in leaves.items() if isinstance(node, neurons.SPIKING)}
    said: list[str] = []
    dt = conventions.dt if conventions.dt is not None else _number(graph.metadata, "dt")
    if dt is None:
        dt = USUAL_DT
        if _needs_dt(graph, conventions):
            said.append(
                f"The file has no time step: dt = {dt:g} s was assumed, as snnTorch and "
                "SpikingJelly do. Give dt to change it."
            )
    reset = {
        name: _reset(node.metadata, graph.metadata) or "v_reset"
        if conventions.reset == "from metadata"
        else conventions.reset
        for name, node in firing.items()
    }
    if conventions.reset == "from metadata":
        silent = [n for n in firing if _reset(firing[n].metadata, graph.metadata) is None]
        if silent:
            said.append(_of_reset(silent, graph.version))
    old = [n for n, node in firing.items() if node.v_reset is None and reset[n] == "v_reset"]
    if old and conventions.reset == "from metadata":
        said.append(f"{_list(old)} have no v_reset, as before nir 1.0.6: 0 was assumed.")
    weak = [
        name
        for name, node in leaves.items()
        if isinstance(node, neurons.I | neurons.IF)
        and conventions.resistance == "continuous"
        and np.all(node.r == 1)
        and dt < 0.1
    ]
    if weak:
        said.append(
            f"{_list(weak)} have r = 1, so that an input of 1 moves the membrane by dt = {dt:g} in "
            "a step. Files of sinabs and norse mean 1: give resistance='per_step' for those."
        )
    return Settled(conventions=replace(conventions, dt=dt), reset=reset, assumed=tuple(said))


def _read(metadata: Metadata, conventions: Conventions) -> Conventions:
    """Return the conventions with what metadata of the graph say of resistance and firing."""
    if conventions.resistance == "from metadata":
        per_step = metadata.get("resistance") == "per_step"
        conventions = replace(conventions, resistance="per_step" if per_step else "continuous")
    if conventions.fires == "from metadata":
        at = metadata.get("fires") == "at"
        conventions = replace(conventions, fires="at" if at else "above")
    return conventions


def _of_reset(silent: list[str], version: str) -> str:
    written = f" (nir {version})" if version else ""
    return (
        f"The file{written} does not say what a spike does at {_list(silent)}: reset to v_reset "
        "was assumed. Files of sinabs, and those before nir 1.0.6, may mean reset='subtract'."
    )


def _needs_dt(graph: NIRGraph, conventions: Conventions) -> bool:
    for node in graph.nodes.values():
        if isinstance(node, nodes.Delay):
            return True
        leaky = isinstance(node, neurons.LI | neurons.LIF | neurons.CubaLI | neurons.CubaLIF)
        if leaky or (isinstance(node, neurons.NEURONS) and conventions.resistance == "continuous"):
            return True
    return False


def _reset(*places: Metadata) -> Reset | None:
    for metadata in places:
        for name in ("reset", "reset_mode", "reset_mechanism"):
            word = str(metadata.get(name, "")).lower()
            if word in ("subtract", "soft"):
                return "subtract"
            if word in ("v_reset", "zero", "hard"):
                return "v_reset"
    return None


def _number(metadata: Metadata, name: str) -> float | None:
    value: Any = metadata.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf:
        return float(value)
    return None


def _list(names: list[str]) -> str:
    return ", ".join(map(repr, names))
