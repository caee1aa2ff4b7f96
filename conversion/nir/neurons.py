r"""The nodes of a NIR graph that keep state: integrators and spiking neurons.

NIR gives differential equations and no step:

.. math::
    \tau\,\dot v = v_\mathrm{leak} - v + R\,I, \qquad
    \tau_\mathrm{syn}\,\dot I = -I + w_\mathrm{in}\,x,

without the synapse where there is no :math:`\tau_\mathrm{syn}`, and :math:`\dot v = R\,I` where
there is no :math:`\tau`. A spiking neuron fires above :math:`v_\mathrm{threshold}`. How that
becomes steps, and what a spike does to the membrane, is for `spikeram.conversion.nir.assume`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spikeram.conversion.nir.parameters import Array, Metadata, Shape, as_array, broadcasting


@dataclass(frozen=True, eq=False, kw_only=True)
class I:  # noqa: E742  # the name that NIR gives it
    """An integrator; its output is its membrane.

    Parameters
    ----------
    r : ndarray
        Resistance.
    metadata : mapping
        Whatever a writer added.
    """

    r: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class IF:
    """An integrate-and-fire neuron.

    Parameters
    ----------
    r : ndarray
        Resistance.
    v_threshold : ndarray
        Threshold.
    v_reset : ndarray or None
        Membrane after a spike; None in files of nir before 1.0.6.
    metadata : mapping
        Whatever a writer added.
    """

    r: Array
    v_threshold: Array
    v_reset: Array | None = None
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class LI:
    """A leaky integrator; its output is its membrane.

    Parameters
    ----------
    tau : ndarray
        Time constant [s]; > 0.
    r : ndarray
        Resistance.
    v_leak : ndarray
        Membrane at rest.
    metadata : mapping
        Whatever a writer added.
    """

    tau: Array
    r: Array
    v_leak: Array
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF:
    """A leaky integrate-and-fire neuron.

    Parameters
    ----------
    tau : ndarray
        Time constant [s]; > 0.
    r : ndarray
        Resistance.
    v_leak : ndarray
        Membrane at rest.
    v_threshold : ndarray
        Threshold.
    v_reset : ndarray or None
        Membrane after a spike; None in files of nir before 1.0.6.
    metadata : mapping
        Whatever a writer added.
    """

    tau: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array | None = None
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLI:
    """A leaky integrator behind a synapse; its output is its membrane.

    Parameters
    ----------
    tau_mem, tau_syn : ndarray
        Time constants of membrane and synapse [s]; > 0.
    r : ndarray
        Resistance.
    v_leak : ndarray
        Membrane at rest.
    w_in : ndarray
        Weight of the input; 1 in old files.
    metadata : mapping
        Whatever a writer added.
    """

    tau_mem: Array
    tau_syn: Array
    r: Array
    v_leak: Array
    w_in: Array = field(default_factory=lambda: np.ones(()))
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLIF:
    """A leaky integrate-and-fire neuron behind a synapse.

    Parameters
    ----------
    tau_mem, tau_syn : ndarray
        Time constants of membrane and synapse [s]; > 0.
    r : ndarray
        Resistance.
    v_leak : ndarray
        Membrane at rest.
    v_threshold : ndarray
        Threshold.
    v_reset : ndarray or None
        Membrane after a spike; None in files of nir before 1.0.6.
    w_in : ndarray
        Weight of the input; 1 in old files.
    metadata : mapping
        Whatever a writer added.
    """

    tau_mem: Array
    tau_syn: Array
    r: Array
    v_leak: Array
    v_threshold: Array
    v_reset: Array | None = None
    w_in: Array = field(default_factory=lambda: np.ones(()))
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle(self)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of what leaves the node, given that of what enters."""
        return broadcasting(type(self).__name__, _shape(self), shape)


NEURONS = (I, IF, LI, LIF, CubaLI, CubaLIF)
"""The types of nodes that keep a membrane."""

SPIKING = (IF, LIF, CubaLIF)
"""The types of nodes that fire."""


def _names(node: Any) -> list[str]:
    return [name for name in node.__dataclass_fields__ if name != "metadata"]


def _settle(node: Any) -> None:
    who = type(node).__name__
    for name in _names(node):
        value = getattr(node, name)
        if value is not None:
            object.__setattr__(node, name, as_array(value, f"{who}.{name}"))
    for name in ("tau", "tau_mem", "tau_syn"):
        if name in _names(node) and not np.all(getattr(node, name) > 0):
            raise ValueError(f"{who}.{name} expects times > 0, got {getattr(node, name).min():g}.")
    shapes = {
        name: getattr(node, name).shape for name in _names(node) if getattr(node, name) is not None
    }
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{who} expects parameters of one shape, got {got}.") from None


def _shape(node: Any) -> Shape:
    values = [getattr(node, name) for name in _names(node)]
    return np.broadcast_shapes(*(value.shape for value in values if value is not None))
