r"""The voltage-mode sampling neuron: sample, integrate, compare, charge decrement.

In each step the settled line voltage :math:`\Delta V_j` is sampled on :math:`C_s` and its charge
is moved to :math:`C_i`, so that the membrane voltage becomes

.. math:: U_j \leftarrow U_j + \frac{C_s}{C_i}\,\Delta V_j,

clipped at the rails. A membrane at or above the threshold emits +1; where spikes are ternary,
one at or below the negative threshold emits -1. The same sampling capacitor then takes one
threshold's worth of charge away (reset by subtraction), or :math:`C_i` is discharged (reset to
zero). There is no leak; one can be added. Wan et al., Nature 608, 504 (2022), Extended Data
Fig. 4; capacitances as cited in `spikeram.models.chips`.

A signed neuron takes back spikes that came too early. With its net count :math:`S` of the window,
the threshold :math:`\theta`, the slope :math:`a` of its activation below zero,
:math:`\theta_n = \theta / a` and :math:`U_n = \lfloor (\theta - \theta_n) / 2 \rfloor`, a step
emits at most one spike:

.. math::

    +1 \text{ and } U \leftarrow U - \theta   &\text{ if } U \ge \theta,          & S \ge 0, \\
    +1 \text{ and } U \leftarrow U - \theta_n &\text{ if } U \ge U_n + \theta_n,  & S < 0, \\
    -1 \text{ and } U \leftarrow U + \theta   &\text{ if } U < 0,                  & S > 0, \\
    -1 \text{ and } U \leftarrow U + \theta_n &\text{ if } U < U_n \text{ and } a > 0, & S \le 0.

With charge :math:`Q` in all and :math:`U(0) = \theta / 2` it comes to rest at
:math:`S = \lfloor Q / \theta + 1/2 \rfloor`, in whatever order the charge came; below zero at
:math:`S = \lfloor Q / \theta_n + 1/2 \rfloor`, so that :math:`\theta S` is :math:`a Q` within
half a spike, and at 0 where :math:`a = 0`. The count is an up/down counter for each neuron, which
is digital and not on the published chip. Hu et al., Fast-SNN, IEEE TPAMI (2023); You et al.,
SpikeZIP-TF, ICML (2024), whose ST-BIF neuron this is with :math:`a = 0`.

A neuron with bursts compares several times after each integration; see `spikeram.burst`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from spikeram.units import Farad, Kelvin, Quantity, Second, Volt, as_si

BOLTZMANN = 1.380649e-23
"""Boltzmann constant [J/K], exact in the SI since 2019."""

Spikes: TypeAlias = Literal["unipolar", "ternary", "signed"]
Reset: TypeAlias = Literal["subtract", "zero"]

MOST_BURST = 127
"""Longest burst: trains hold the spikes of a step in eight bits."""


@dataclass(frozen=True, kw_only=True)
class SamplingNeuron:
    r"""A sampling neuron's parameters, for Brian2 and for the kernels alike.

    Parameters
    ----------
    c_sample, c_integ : Farad
        Sampling and integration capacitance :math:`C_s`, :math:`C_i` [F].
    threshold : Volt
        Membrane voltage of a spike, and the charge decrement it causes, on :math:`C_i` [V].
        Programmed crossbars bring their own threshold for each column; this is the default.
    v_rail : Volt
        The membrane saturates at +-`v_rail` around the reference [V]; inf for never.
    dt : Second
        Duration of one sample-integrate-compare step [s].
    spikes : {"unipolar", "ternary", "signed"}
        Whether a neuron fires +1 only, +1 and -1 alike, or -1 to take spikes back; the last needs
        reset "subtract" and no leak.
    reset : {"subtract", "zero"}
        Charge decrement by one threshold, or full discharge.
    leak : Second or None
        Time constant of an exponential leak [s]; None for an ideal capacitor.
    temperature : Kelvin
        Temperature of the kT/C noise that sampling leaves on :math:`C_s` [K]; 0 for none.
    v_lfsr : Volt
        Amplitude of the pseudo-random voltage that is sampled in each step before the
        comparison, for stochastic neurons [V]; 0 for none.
    burst : int
        Most spikes of one step; more than one needs reset "subtract" and no leak.

    Examples
    --------
    >>> neuron = SamplingNeuron(c_sample="17 fF", c_integ="104 fF")
    >>> round(neuron.gain, 3)
    0.163
    """

    c_sample: Farad = 17e-15
    c_integ: Farad = 104e-15
    threshold: Volt = 20e-3
    v_rail: Volt = 0.9
    dt: Second = 0.82e-6
    spikes: Spikes = "unipolar"
    reset: Reset = "subtract"
    leak: Second | None = None
    temperature: Kelvin = 0.0
    v_lfsr: Volt = 0.0
    burst: int = 1

    def __post_init__(self) -> None:
        units = {
            "c_sample": "F",
            "c_integ": "F",
            "threshold": "V",
            "v_rail": "V",
            "dt": "s",
            "temperature": "K",
            "v_lfsr": "V",
        }
        for name, unit in units.items():
            value = as_si(getattr(self, name), unit, f"SamplingNeuron.{name}")
            least = 0.0 if name in ("temperature", "v_lfsr") else math.ulp(0.0)
            most = math.inf if name == "v_rail" else sys.float_info.max
            if not least <= value <= most:
                rule = ">= 0" if least == 0.0 else "> 0"
                raise ValueError(
                    f"SamplingNeuron.{name} expects a value {rule}, got {value} {unit}."
                )
            object.__setattr__(self, name, value)
        if self.threshold > self.v_rail:
            raise ValueError(
                f"SamplingNeuron.threshold expects a voltage within the rails of {self.v_rail} V, "
                f"got {self.threshold} V: the neuron could never fire."
            )
        if self.leak is not None:
            leak = as_si(self.leak, "s", "SamplingNeuron.leak")
            if not leak > 0:
                raise ValueError(f"SamplingNeuron.leak expects a time > 0 or None, got {leak} s.")
            object.__setattr__(self, "leak", leak)
        if self.spikes not in get_args(Spikes):
            raise ValueError(
                f"SamplingNeuron.spikes expects 'unipolar', 'ternary' or 'signed', got "
                f"{self.spikes!r}."
            )
        if self.reset not in ("subtract", "zero"):
            raise ValueError(
                f"SamplingNeuron.reset expects 'subtract' or 'zero', got {self.reset!r}."
            )
        if self.spikes == "signed" and (self.reset != "subtract" or self.leak is not None):
            raise ValueError(
                "SamplingNeuron.spikes 'signed' counts charge, which a reset to zero or a leak "
                f"takes away: it expects reset 'subtract' and no leak, got {self.reset!r} and "
                f"{self.leak}."
            )
        check_burst("SamplingNeuron", self.burst, keeps=self._keeps_charge)

    @property
    def _keeps_charge(self) -> bool:
        return self.reset == "subtract" and self.leak is None

    @property
    def gain(self) -> float:
        """Membrane voltage for each volt sampled, C_s / C_i [1]."""
        return self.c_sample / self.c_integ

    @property
    def sigma_noise(self) -> Volt:
        r"""Standard deviation of the kT/C noise of one step, :math:`(C_s/C_i)\sqrt{kT/C_s}` [V]."""
        return self.gain * math.sqrt(BOLTZMANN * self.temperature / self.c_sample)

    @property
    def kick(self) -> Volt:
        """Size of the pseudo-random charge of one step, on C_i [V]; its sign is a fair coin."""
        return self.gain * self.v_lfsr

    def decay(self, dt: Quantity | None = None) -> float:
        """Return the factor by which a membrane shrinks in one step of `dt`; 1 without a leak."""
        if self.leak is None:
            return 1.0
        step = self.dt if dt is None else as_si(dt, "s", "dt")
        return math.exp(-step / self.leak)


def check_burst(who: str, burst: object, *, keeps: bool) -> None:
    """Refuse a length of bursts that cannot be.

    Parameters
    ----------
    who : str
        Whose it is, for the message.
    burst : object
        What was given.
    keeps : bool
        Whether its neurons keep their charge: reset by subtraction and no leak.
    """
    if not isinstance(burst, int) or isinstance(burst, bool) or not 1 <= burst <= MOST_BURST:
        raise ValueError(f"{who} expects burst from 1 to {MOST_BURST}, got {burst!r}.")
    if burst > 1 and not keeps:
        raise ValueError(
            f"{who} has bursts of {burst}, which pay charge out: they expect reset 'subtract' and "
            "no leak."
        )
