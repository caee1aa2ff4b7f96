r"""The voltage-mode sampling neuron: sample, integrate, compare, charge decrement.

In each step the settled line voltage :math:`\Delta V_j` is sampled on :math:`C_s` and its charge
is moved to :math:`C_i`, so that the membrane voltage becomes

.. math:: U_j \leftarrow U_j + \frac{C_s}{C_i}\,\Delta V_j,

clipped at the rails. A membrane at or above the threshold emits +1; where spikes are ternary,
one at or below the negative threshold emits -1. The same sampling capacitor then takes one
threshold's worth of charge away (reset by subtraction), or :math:`C_i` is discharged (reset to
zero). There is no leak; one can be added. Wan et al., Nature 608, 504 (2022), Extended Data
Fig. 4; capacitances as cited in `spikeram.models.chips`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spikeram.units import Farad, Kelvin, Quantity, Second, Volt, as_si

BOLTZMANN = 1.380649e-23
"""Boltzmann constant [J/K], exact in the SI since 2019."""

Spikes: TypeAlias = Literal["unipolar", "ternary"]
Reset: TypeAlias = Literal["subtract", "zero"]


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
    spikes : {"unipolar", "ternary"}
        Whether a neuron fires +1 only, or +1 and -1.
    reset : {"subtract", "zero"}
        Charge decrement by one threshold, or full discharge.
    leak : Second or None
        Time constant of an exponential leak [s]; None for an ideal capacitor.
    temperature : Kelvin
        Temperature of the kT/C noise that sampling leaves on :math:`C_s` [K]; 0 for none.
    v_lfsr : Volt
        Amplitude of the pseudo-random voltage that is sampled in each step before the
        comparison, for stochastic neurons [V]; 0 for none.

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
        if self.spikes not in ("unipolar", "ternary"):
            raise ValueError(
                f"SamplingNeuron.spikes expects 'unipolar' or 'ternary', got {self.spikes!r}."
            )
        if self.reset not in ("subtract", "zero"):
            raise ValueError(
                f"SamplingNeuron.reset expects 'subtract' or 'zero', got {self.reset!r}."
            )

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
