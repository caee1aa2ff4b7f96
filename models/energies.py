r"""What the parts of a published chip cost, fitted to what was measured of it.

NeuRRAM was measured in inference mode at eight precisions (`MEASURED`). A product takes, in each
core, for m magnitude bits in :math:`\Phi` phases, I integrations and A ADC steps of each of C
neurons (`spikeram.precision`),

.. math::

    E_\text{word lines} &= m\,e_\text{word lines} + \Phi\,e_\text{start}, \\
    E_\text{input} &= m\,\tfrac{R}{2}\,e_\text{pulse}, \\
    E_\text{neurons} &= C\,(m\,e_\text{sample} + I\,e_\text{integrate} + A\,e_\text{ADC}
                        + \Phi\,e_\text{control}), \\
    t &= \Phi\,t_\text{phase} + I\,t_\text{integrate} + A\,t_\text{ADC}:

seven energies for 24 measured ones, three times for eight. `fit` finds them; `neurram` holds them.

An ADC step is a comparison, a decrement of charge, and counting. The table does not tell these
apart. A decrement moves one sample of charge onto the integration capacitor, through the amplifier
and the sampling capacitor that integrate inputs: it is taken to cost what an integration does.
Counting takes the 0.10 pJ of the shift-add in the model of mit-emze/cimloop. The rest is the
comparison. A step of spiking mode is then one word-line pulse, one sample, one integration and one
comparison, and a spike is one decrement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from spikeram.energy import EnergyModel
from spikeram.precision import Precision

CORES = 48
"""Cores that worked at once while throughput was measured."""

OPERATIONS = 2 * 128 * 256
"""Operations of one product of a core: a multiplication and an addition for each weight."""

_SHIFT_ADD = 0.10e-12
_COLUMNS, _PAIRS = 256, 128


@dataclass(frozen=True)
class Measured:
    """One column of Extended Data Fig. 12 of Wan et al., Nature 608, 504 (2022).

    Parameters
    ----------
    output_bits, input_bits : int
        Precision.
    tops, tops_per_watt : float
        Throughput of 48 cores [1e12 operations / s] and efficiency [1e12 operations / J].
    word_lines, neurons, input_pulses : float
        Energy of an operation by part, neurons with their control [fJ].
    split : tuple of int
        Magnitude bits of each phase, where not the default.
    """

    output_bits: int
    input_bits: int
    tops: float
    tops_per_watt: float
    word_lines: float = np.nan
    neurons: float = np.nan
    input_pulses: float = np.nan
    split: tuple[int, ...] = ()

    @property
    def precision(self) -> Precision:
        """The precision, with its phases."""
        return Precision(self.input_bits, self.output_bits, self.split)

    @property
    def time(self) -> float:
        """Duration of one product [s]."""
        return OPERATIONS * CORES / (self.tops * 1e12)


MEASURED = (
    Measured(3, 1, 2.12231, 43.0788, 8.9902, 10.6187, 3.4462),
    Measured(4, 2, 1.79308, 40.3341, 8.2710, 12.3867, 3.9557),
    Measured(5, 3, 1.16540, 23.0907, 15.4631, 20.1183, 7.7315),
    Measured(6, 4, 0.743868, 15.9541, 21.7562, 29.1084, 11.5074),
    Measured(7, 5, 0.525409, 11.0317, 30.9261, 44.2119, 14.0246),
    Measured(8, 6, 0.417718, 8.2572, 37.2192, 52.4828, 19.2389),
    Measured(9, 7, 0.343873, 7.7500, 43.6921, 61.8326, 22.8350),
    Measured(10, 8, 0.263874, 6.4374, 50.5247, 75.8572, 27.5099),
)
"""The eight precisions, as digitised from the figure by mit-emze/cimloop (wan_nature_2022)."""

ONE_PHASE = (
    Measured(7, 5, 0.451564, 11.3300, split=(4,)),
    Measured(8, 6, 0.260798, 9.1224, split=(5,)),
)
"""Two of them measured with all bits in one phase; no parts are known."""


def neurram() -> EnergyModel:
    """Return what the parts of NeuRRAM cost, for `fit` to the measured table, at 130 nm.

    Notes
    -----
    *Fitted*: see the module. *Checked*: 256 word lines of 586 fF (48 fF of driver, 1.5 fF of
    transistor and 0.6 fF of coupling for each cell, as cimloop has them) that swing by 1.3 V, from
    a supply of 2.2 V, take 429 pJ; fitted are 437 pJ.

    *Assumed*: what is not on the published chip, which leaves it to an FPGA. Parts of a column are
    digitised with 6 bits; adding one takes 0.51 pJ, a 32-bit addition at 45 nm (0.1 pJ, Horowitz,
    ISSCC 2014) at 130 nm. A bit between two cores charges 8.4 mm of wire, two thirds of the side
    of a chip of 159 mm2, of 0.2 pF/mm to 1.8 V, and every fourth of random bits rises:
    :math:`C V^2/4`, 1.4 pJ; one that leaves the chip a pad of 10 pF, 8.1 pJ. The published chip
    has no such wires: spikes between layers would go through pads and an FPGA, twice 8.1 pJ.

    No spiking operation of this chip was ever published; energies of one are estimates.
    """
    return EnergyModel(
        word_lines=436.7e-12,
        start=128.7e-12,
        input_pulse=1.967e-12,
        sample=1.166e-12,
        integrate=0.1712e-12,
        compare=0.1788e-12,
        decrement=0.1712e-12,
        shift_add=_SHIFT_ADD,
        control=0.0376e-12,
        partial_sum=0.51e-12,
        traffic=1.4e-12,
        off_chip=8.1e-12,
        step_time=0.82e-6,
        phase_time=0.197e-6,
        integrate_time=0.300e-6,
        compare_time=0.321e-6,
        partial_bits=6,
        node="130 nm",
        source="fitted to Extended Data Fig. 12 of Wan et al., Nature 608, 504 (2022), digitised "
        "by mit-emze/cimloop; traffic and partial sums assumed",
    )


@dataclass(frozen=True)
class Fit:
    """What `fit` finds.

    Parameters
    ----------
    word_lines, start : float
        Of a whole core [J].
    input_pulse : float
        Of a pair of rows [J].
    sample, integrate, adc, control : float
        Of a neuron [J].
    phase_time, integrate_time, adc_time : float
        Durations [s].
    """

    word_lines: float
    start: float
    input_pulse: float
    sample: float
    integrate: float
    adc: float
    control: float
    phase_time: float
    integrate_time: float
    adc_time: float


def fit() -> Fit:
    """Return the energies and times that fit the measured table best.

    Least squares of the relative errors, none below zero. The pulse of an input is the median over
    the eight precisions: two of them lie 10 % below the line that the others share.
    Times are fitted to the six products of one phase, by their errors in seconds; the four of two
    phases are then predictions.
    """
    table = [row.precision for row in MEASURED]
    bits = np.array([p.magnitude_bits for p in table], dtype=np.float64)
    phases = np.array([len(p.phases) for p in table], dtype=np.float64)
    integrations = np.array([p.integrations for p in table], dtype=np.float64)
    adc = np.array([p.adc_steps for p in table], dtype=np.float64)
    joule = 1e-15 * OPERATIONS
    word_lines, start = _relative(
        [bits, phases], joule * np.array([row.word_lines for row in MEASURED])
    )
    neurons = joule * np.array([row.neurons for row in MEASURED]) / _COLUMNS
    sample, integrate, step, control = _relative([bits, integrations, adc, phases], neurons)
    pulses = joule * np.array([row.input_pulses for row in MEASURED]) / _PAIRS / bits
    phase_time, integrate_time, adc_time = _times()
    return Fit(
        word_lines=word_lines,
        start=start,
        input_pulse=float(np.median(pulses)),
        sample=sample,
        integrate=integrate,
        adc=step,
        control=control,
        phase_time=phase_time,
        integrate_time=integrate_time,
        adc_time=adc_time,
    )


def _relative(counts: list[NDArray[np.float64]], measured: NDArray[np.float64]) -> list[float]:
    found, _ = nnls(np.stack(counts, axis=1) / measured[:, np.newaxis], np.ones(measured.size))
    return [float(value) for value in found]


def _times() -> list[float]:
    rows = [row for row in (*MEASURED, *ONE_PHASE) if len(row.precision.phases) == 1]
    counts = [[1, row.precision.integrations, row.precision.adc_steps] for row in rows]
    found, *_ = np.linalg.lstsq(np.array(counts, float), np.array([row.time for row in rows]))
    return [float(value) for value in found]
