r"""Gibbs sampling by spikes: integrate, kick, compare.

*To the hidden units.* A visible unit of code q drives its pair of rows with a spike in q of S
steps, bias rows in all of them. A hidden neuron integrates S steps, then n kicks
:math:`\pm k`, and compares once: a spike, or none,

.. math:: U_j = \sum_{s=1}^{S} \sum_i w_{ij}\, v_i(s), \qquad
          h_j = \left[U_j + k \sum_{m=1}^{n} \xi_m \ge \theta_j\right], \quad \xi_m = \pm 1.

*To the visible units.* Hidden spikes and bias columns drive the same cells backward, S times. In
each step a visible neuron integrates the difference of its pair of lines, gets n kicks, compares,
and is discharged: S independent spikes or none, whose number is the code of the next half.

U counts quanta of charge. With u quanta for a field of 1, the same in all neurons of a direction
thanks to dummy cells, a neuron fires with the probability of `spikeram.boltzmann.firing` at
:math:`z = (U - \theta) / u`: kicks of :math:`1.702\,u / \sqrt n` quanta make it nearly logistic.
Where cells have drifted, thresholds take up the mean error of each line, measured on training data.

A hidden unit's columns lie on several cores; their charges are added as one undivided column's
(ideal partial sums, `spikeram.partial`). No charge may reach the rails, so that the order of the
spikes within the S steps does not matter, and their number is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.adc import check_count
from spikeram.boltzmann.firing import Firing
from spikeram.boltzmann.machine import Codes, Spikes
from spikeram.boltzmann.programmed import ProgrammedMachine, training_states
from spikeram.boltzmann.sampling import MOST_LEVELS
from spikeram.charge import WEIGHT_LIMIT, quantise, quantum_of
from spikeram.crossbar import Crossbar
from spikeram.errors import CapacityError
from spikeram.seeds import Seed
from spikeram.units import Volt


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingMachine:
    """The membranes of a programmed machine's neurons, in quanta of charge above threshold.

    Parameters
    ----------
    programmed : ProgrammedMachine
        The machine.
    steps : int
        Steps of each half of a cycle; `Gibbs.levels` has to be as many.
    hidden_threshold : int64 ndarray of shape (hidden,)
        Thresholds after `steps` steps [quanta].
    visible_threshold : int64 ndarray of shape (visible,)
        Thresholds after one step [quanta].
    """

    programmed: ProgrammedMachine
    steps: int
    hidden_threshold: NDArray[np.int64]
    visible_threshold: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_count("SpikingMachine.steps", self.steps, 1, MOST_LEVELS)
        neuron = self.programmed.chip.neuron
        for quanta, quantum, steps in (
            (*self._forward, self.steps),
            (*self._backward, 1),
        ):
            most = steps * float(np.abs(quanta).sum(axis=0).max()) * quantum
            if most > neuron.v_rail:
                raise CapacityError(
                    f"{steps} steps can bring a membrane to {most:.3g} V, beyond its rails of "
                    f"{neuron.v_rail:g} V. Use fewer steps or a lower read voltage."
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of visible and of hidden units."""
        return self.programmed.machine.shape

    @cached_property
    def _forward(self) -> tuple[NDArray[np.float64], Volt]:
        return _quanta(self.programmed.crossbar, "forward")

    @cached_property
    def _backward(self) -> tuple[NDArray[np.float64], Volt]:
        return _quanta(self.programmed.crossbar.T, "backward")

    def to_hidden(
        self, codes: Codes, levels: int, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the charge of hidden neurons above threshold; codes are numbers of spikes."""
        if levels != self.steps:
            raise ValueError(
                f"SpikingMachine expects as many levels as steps, {self.steps}, got {levels}."
            )
        layout = self.programmed.layout
        charge = layout.row_codes(codes, levels).astype(np.float64) @ self._forward[0]
        return np.asarray(charge[:, : layout.n_hidden] - self.hidden_threshold, np.float64)

    def to_visible(
        self, hidden: Spikes, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the charge of visible neurons above threshold in one step."""
        layout = self.programmed.layout
        charge = layout.column_codes(hidden).astype(np.float64) @ self._backward[0]
        return np.asarray(charge[:, layout.visible_rows] - self.visible_threshold, np.float64)

    def units(self, levels: int) -> tuple[float, float]:
        """Return the quanta of a field of 1, of hidden neurons after all steps and of visible ones.

        From the target conductances, as all lines of a direction have one sum.
        """
        one, target = self.programmed, self.programmed.target
        volts = one.chip.neuron.gain * one.chip.v_read * one.siemens
        hidden = slice(0, one.layout.n_hidden)
        column = float(target[:, :, hidden].sum(axis=(0, 1)).mean())
        row = float(target[:, one.layout.visible_rows].sum(axis=2).mean())
        forward, backward = self._forward[1], self._backward[1]
        return levels * volts / (column * forward), volts / (row * backward)

    def kick_volts(self, firing: Firing) -> tuple[Volt, Volt]:
        """Return the voltage to sample for one kick, of hidden and of visible neurons [V]."""
        size, gain = firing.size or 0.0, self.programmed.chip.neuron.gain
        hidden, visible = self.units(self.steps)
        forward, backward = self._forward[1], self._backward[1]
        return size * hidden * forward / gain, size * visible * backward / gain


def spiking(
    programmed: ProgrammedMachine, visible: ArrayLike, *, steps: int = 7, seed: Seed
) -> SpikingMachine:
    """Return a programmed machine as its neurons spike, with thresholds for its cells as they are.

    Parameters
    ----------
    programmed : ProgrammedMachine
        The machine on its chip.
    visible : array_like of shape (sample, visible)
        Training data, from 0 to 1; 100 to 1000 serve.
    steps : int
        Steps of each half of a cycle.
    seed : int or numpy.random.SeedSequence
        Where the hidden units of the calibration are drawn from.
    """
    n_visible, n_hidden = programmed.machine.shape
    plain = SpikingMachine(
        programmed=programmed,
        steps=steps,
        hidden_threshold=np.zeros(n_hidden, np.int64),
        visible_threshold=np.zeros(n_visible, np.int64),
    )
    machine = programmed.machine
    codes, hidden = training_states(machine, visible, steps, seed)
    units = plain.units(steps)
    errors = (
        plain.to_hidden(codes, steps) - units[0] * machine.to_hidden(codes, steps),
        plain.to_visible(hidden) - units[1] * machine.to_visible(hidden),
    )
    thresholds = [np.rint(error.mean(axis=0)).astype(np.int64) for error in errors]
    return SpikingMachine(
        programmed=programmed,
        steps=steps,
        hidden_threshold=thresholds[0],
        visible_threshold=thresholds[1],
    )


def _quanta(crossbar: Crossbar, direction: str) -> tuple[NDArray[np.float64], Volt]:
    """Return the charge of a spike in whole quanta, and the quantum [V]."""
    weight = crossbar.effective_weight
    quantum = quantum_of(weight)
    quanta = quantise(weight, quantum, WEIGHT_LIMIT, f"A weight of the {direction} array")
    return quanta.astype(np.float64), quantum
