r"""One matrix product of inference mode: multi-bit inputs, charge, converter, digital correction.

**Inputs** are integer codes :math:`q_i`, sign and magnitude. Each magnitude bit :math:`b`, lowest
first, is a plane of ternary pulses :math:`t_i^b \in \{-1, 0, 1\}` with
:math:`q_i = \sum_b 2^b t_i^b`; the line voltages that it settles at are sampled and integrated
:math:`2^b` times, each time M pulses of it (the pulse multiplier). With m magnitude bits that makes
:math:`M (2^m - 1)` cycles, after which

.. math:: U_j = \frac{C_s}{C_i}\,M\,V_{read} \sum_i q_i\,
          \frac{G^+_{ij} - G^-_{ij}}{\sum_i (G^+_{ij} + G^-_{ij})},

held within the rails. The chip's software drives each plane *bipolar* instead, every row in two
pulses :math:`\pm 1` whose sum is :math:`2 t_i^b`: twice the charge in twice the cycles. A signed
input of n bits has n - 1 magnitude bits, one of 1 bit is a sign alone; an unsigned one of n bits
has n. Above 4 bits inputs go in two *phases*, high bits and low bits, each digitised on its own;
the readings are shifted and added. Wan et al., Nature 608, 504 (2022), Fig. 3.

**Noise** is drawn once for each line and phase, with the variance of all its cycles: kT/C of every
sample, and read noise of every driven cell, fresh in each cycle (assumed),

.. math:: \sigma_j^2 = \left(\frac{C_s}{C_i}\right)^2 \left[K\,\frac{kT}{C_s}
          + 2 M\,\frac{V_{read}^2\,\sigma_{read}^2}{(\sum_i G_{ij})^2} \sum_i |q_i|\right],

for K cycles; :math:`\sum_b 2^b |t_i^b| = |q_i|`. What noise does to the denominator is of the
order of :math:`\Delta V_j^2 / V_{read}^2` of this and left out.

**Offsets.** What the amplifier leaves of its offset and what switches inject is a voltage
:math:`o_j` at each sample, of inputs and decrements alike: it adds
:math:`K (C_s/C_i)\,o_j`, and makes the decrements :math:`V_d^+ - o_j` and :math:`V_d^- + o_j`.

**Parts.** The segments of a tall matrix are digitised each on its own, and so are both rows of a
pair in the backward direction. A reading :math:`y` of part p becomes
:math:`\pm (y_{pj} - \beta_{pj}) / \alpha_{pj}`, and these are added. Without calibration

.. math:: \alpha_{pj} = M\,\frac{V_{read}}{V_d}\,\frac{1}{\sum_i G_{ij}}, \qquad \beta_{pj} = 0,

per siemens, with 2 M for bipolar pulses; the sum is over the part.

Charge is counted in quanta, as everywhere (`spikeram.charge`): the quantum of a product is the
smallest power of two for which a sum of codes times weights stays below :math:`2^{24}`, so that the
matrix product of float32 is exact and results depend neither on its order nor on batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.adc import (
    check_codes,
    count_batch,
    count_few,
    cycle_batch,
    flip_batch,
    flip_few,
    search_batch,
    search_few,
)
from spikeram._kernels.codes import pairs_of
from spikeram.adc import check_count, normal_quantiles
from spikeram.arrays import frozen
from spikeram.crossbar import Crossbar
from spikeram.operating_point import OperatingPoint as OperatingPoint, phases_of as phases_of
from spikeram.parasitics import interleaved, transfer
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Siemens, Volt, as_si

EXACT = 2**24 - 1
"""Largest integer up to which float32 holds every integer."""

FEW_SAMPLES = 8
"""Samples up to which rows are added without calling a matrix product."""

_LARGEST_WEIGHT = 2**15 - 1

_NARROW_BATCH, _LARGE_ARRAY = 32, 2**14
"""Samples up to which, and weights from which, a matrix product is better done turned."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LineErrors:
    """What the lines of a product add of their own.

    Parameters
    ----------
    sigma_read : Siemens
        Standard deviation of the read noise of a cell in one cycle [S].
    sample : ndarray of shape (), (line,) or (part, line) [V]
        Offset at each sample: what the amplifier leaves of its own, and charge injection.
    comparator : ndarray of shape (), (line,) or (part, line) [V]
        Offset of the comparator, on C_integ.
    """

    sigma_read: Siemens = 0.0
    sample: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    comparator: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))

    def __post_init__(self) -> None:
        sigma = as_si(self.sigma_read, "S", "LineErrors.sigma_read")
        if not 0 <= sigma < math.inf:
            raise ValueError(f"LineErrors.sigma_read expects a value >= 0, got {sigma} S.")
        object.__setattr__(self, "sigma_read", sigma)
        for name in ("sample", "comparator"):
            value = frozen(getattr(self, name))
            if not np.all(np.isfinite(value)):
                raise ValueError(f"LineErrors.{name} expects finite voltages, got others.")
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False, kw_only=True)
class Correction:
    """What turns the readings of each line into values, ``(y - intercept) / slope``.

    Parameters
    ----------
    slope : ndarray of shape (part, line)
        Decrements for each unit of the value; not 0.
    intercept : ndarray of shape (part, line)
        Decrements where the value is 0.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("slope", "intercept"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        if self.slope.ndim != 2 or self.slope.shape != self.intercept.shape:
            raise ValueError(
                f"Correction expects slope and intercept of one shape (part, line), got "
                f"{self.slope.shape} and {self.intercept.shape}."
            )
        if not np.all(np.isfinite(self.slope) & (self.slope != 0) & np.isfinite(self.intercept)):
            raise ValueError("Correction expects finite slopes, none of them 0, and intercepts.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """A product with what it took.

    Parameters
    ----------
    values : float32 ndarray of shape (sample, output)
        Corrected readings.
    decrements : int64 ndarray of shape (sample,)
        Charge decrements until the last line had flipped, over all phases and parts.
    clipped, stuck : int64 ndarray of shape (sample,)
        Conversions whose charge reached the rails, and that did not flip.
    conversions : int
        Conversions of one sample: lines of all parts, in each phase.
    """

    values: NDArray[np.float32]
    decrements: NDArray[np.int64]
    clipped: NDArray[np.int64]
    stuck: NDArray[np.int64]
    conversions: int


@dataclass(frozen=True, eq=False)
class _Part:
    """Lines that are digitised together: inputs that drive them, and their conductances."""

    inputs: slice
    settled: NDArray[np.float64]
    load: NDArray[np.float64]
    sign: int
    cells: int


@dataclass(frozen=True, eq=False)
class _Phase:
    """One part in one phase: its range of codes, and arrays as kernels take them."""

    codes: tuple[int, int]
    constants: NDArray[np.float64]
    settings: NDArray[np.float64]
    cycle_constants: NDArray[np.float64]
    cycle_settings: NDArray[np.float64]


def parts_of(crossbar: Crossbar) -> list[_Part]:
    """Return the parts of a crossbar that are digitised each on its own."""
    loads = crossbar.line_conductance
    if crossbar.direction == "backward":
        everything = slice(0, crossbar.conductance.shape[2])
        return [
            _Part(everything, lines, loads[n], sign, 1)
            for n, (lines, sign) in enumerate(zip(_backward_lines(crossbar), (1, -1)))
        ]
    return [
        _Part(rows, crossbar.segment(n).settled, loads[n], 1, 2)
        for n, rows in enumerate(crossbar.segments)
    ]


def _backward_lines(crossbar: Crossbar) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how G+ lines and G- lines settle for each volt of each column, (column, row)."""
    g, loads = crossbar.conductance, crossbar.line_conductance
    if crossbar.wires is None:
        return _share(g[0].T, loads[0]), _share(g[1].T, loads[1])
    width = crossbar.columns_per_core or g.shape[2]
    if len(crossbar.segments) > 1 or width < g.shape[2]:
        raise ValueError(
            f"A backward product through wires expects one core, got {len(crossbar.segments)} "
            f"segments of up to {width} columns. Take each core's part of the conductances."
        )
    lines = transfer(interleaved(g), crossbar.wires, direction="backward")
    return lines[:, 0::2], lines[:, 1::2]


def uncalibrated(
    crossbar: Crossbar, point: OperatingPoint, *, siemens_per_unit: ArrayLike = 1.0
) -> Correction:
    """Return the correction that follows from the conductances alone.

    Parameters
    ----------
    crossbar : Crossbar
        The array, for the total conductance of its lines.
    point : OperatingPoint
        How it is driven.
    siemens_per_unit : array_like of shape () or (line,)
        Conductance difference of a weight of 1 [S]; by default values come in siemens.
    """
    parts = parts_of(crossbar)
    per_siemens = [
        v_read * np.divide(1.0, part.load, out=np.ones_like(part.load), where=part.load > 0)
        for part, v_read in zip(parts, point.reads(len(parts)))
    ]
    decrements = point.pulses / point.adc.mean_decrement
    slope = decrements * np.stack(per_siemens) * np.asarray(siemens_per_unit, np.float64)
    return Correction(slope=slope, intercept=np.zeros_like(slope))


def fitted(
    readings: NDArray[np.float64], expected: NDArray[np.float64], start: Correction
) -> Correction:
    r"""Return slope and intercept of the least squares of readings on expected values.

    .. math:: y_{pj} \approx \alpha_{pj} z_{pj} + \beta_{pj}

    Parameters
    ----------
    readings, expected : ndarray of shape (part, sample, line)
        What the converter reads and what the line should show.
    start : Correction
        Whose slope is kept where the expected value never varies; slopes are held between half
        and twice its own.
    """
    centred = expected - expected.mean(axis=1, keepdims=True)
    power = np.mean(centred**2, axis=1)
    covariance = np.mean(centred * readings, axis=1)
    slope = np.divide(covariance, power, out=start.slope.copy(), where=power > 0)
    ratio = np.clip(slope / start.slope, 0.5, 2.0)
    slope = ratio * start.slope
    return Correction(slope=slope, intercept=readings.mean(axis=1) - slope * expected.mean(axis=1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """A crossbar at an operating point: call it with codes, any number of times.

    Parameters
    ----------
    crossbar : Crossbar
        The array in its present direction; `crossbar.T` for the way back.
    point : OperatingPoint
        How it is driven and read; its read voltage takes the place of the crossbar's.
    correction : Correction, optional
        What turns readings into values. By default `uncalibrated`, in siemens times codes; bent and
        stochastic readings are not corrected.
    errors : LineErrors
        Noise and offsets. The temperature of kT/C noise and the voltage of kicks are those of the
        crossbar's neuron.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn.
    address : tuple of int
        Further address of the noise, such as (chip, layer).

    Examples
    --------
    >>> crossbar = Crossbar.from_weights([[1.0, -0.5], [0.25, 1.0]])
    >>> product = Product(crossbar=crossbar, point=OperatingPoint())
    >>> product([[7, 0], [3, -7]]).shape
    (2, 2)
    """

    crossbar: Crossbar
    point: OperatingPoint
    correction: Correction = None  # type: ignore[assignment]  # uncalibrated, of the others
    errors: LineErrors = field(default_factory=LineErrors)
    seed: Seed | None = None
    address: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.correction is None:
            plain = uncalibrated(self.crossbar, self.point)
            if self.point.adc.activation not in ("none", "relu"):
                plain = _unchanged(plain)
            object.__setattr__(self, "correction", plain)
        self._check_correction()
        adc, neuron = self.point.adc, self.crossbar.neuron
        if adc.activation == "stochastic" and not neuron.kick * adc.kicks > 0:
            raise ValueError(
                f"Product: a stochastic neuron expects kicks, but SamplingNeuron.v_lfsr is "
                f"{neuron.v_lfsr} V and ADC.kicks {adc.kicks}."
            )
        if self.noisy and self.seed is None:
            raise ValueError("Product draws random numbers: give a seed.")
        # What is wrong with the offsets is said now, not at the first call.
        _ = self._phases

    def _check_correction(self) -> None:
        n_parts, activation = len(self._parts), self.point.adc.activation
        shape = (n_parts, self._parts[0].load.size)
        if self.correction.slope.shape != shape:
            raise ValueError(
                f"Product expects a correction of shape {shape}, one for each line of each part, "
                f"got {self.correction.slope.shape}."
            )
        if activation != "none" and n_parts > 1:
            raise ValueError(
                f"Product: {n_parts} parts are added digitally before any activation, got "
                f"{activation!r} in the converter. Use activation='none' and apply it to the "
                "values."
            )
        if activation != "none" and np.any(self.correction.intercept):
            raise ValueError(
                f"Product: the converter applies {activation!r} before any correction, which "
                "therefore expects intercepts of 0."
            )

    @property
    def noisy(self) -> bool:
        """Whether a product draws random numbers."""
        stochastic = self.point.adc.activation == "stochastic"
        return stochastic or self.errors.sigma_read > 0 or self.crossbar.neuron.sigma_noise > 0

    @property
    def conversions(self) -> int:
        """Conversions of one sample: lines of all parts, in each phase."""
        return len(self._parts) * len(self.point.phase_bits) * self._parts[0].load.size

    @cached_property
    def quantum(self) -> Volt:
        """One quantum of charge, on C_integ [V]."""
        most = 2 ** max(self.point.phase_bits) - 1
        volts = [np.abs(w) for w in self._volts]
        largest = max(float(v.sum(axis=0).max()) for v in volts) * most
        needed = max(largest / EXACT, max(float(v.max()) for v in volts) / _LARGEST_WEIGHT)
        quantum = 2.0 ** math.ceil(math.log2(needed)) if needed > 0 else 1.0
        # Rounding may carry a sum past the limit.
        while any(np.rint(v / quantum).sum(axis=0).max() * most > EXACT for v in volts):
            quantum *= 2
        return quantum

    def __call__(
        self, codes: ArrayLike, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float32]:
        """Return the values of a batch, of shape (sample, output).

        Parameters
        ----------
        codes : array_like of shape (sample, input)
            Integer inputs.
        first_sample, visit : int
            Numbers of the first sample and of the repetition: noise is addressed by them.
        """
        x = self._checked(codes)
        n_samples = x.shape[0]
        values = np.zeros((n_samples, self._n_lines), np.float32)
        if n_samples <= FEW_SAMPLES and self._single is not None and visit == 0:
            kernel, weight, least, most, own_key, *rest = self._single
            # Nobody reads these statistics, so that all calls share one array.
            strange = kernel(
                x, weight, least, most, own_key, first_sample, *rest, values, self._unread
            )
            if strange:
                raise self._strange(strange)
        else:
            statistics = np.zeros((n_samples, 3), np.int64)
            self._add(x, values, statistics, first_sample, visit)
        return values

    def measure(self, codes: ArrayLike, *, first_sample: int = 0, visit: int = 0) -> Measured:
        """Return the values of a batch and what they took; arguments as for a call."""
        x = self._checked(codes)
        values = np.zeros((x.shape[0], self._n_lines), np.float32)
        statistics = np.zeros((x.shape[0], 3), np.int64)
        self._add(x, values, statistics, first_sample, visit)
        return self._measured(values, statistics)

    def readings(
        self, codes: ArrayLike, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return what each part reads before correction, of shape (part, sample, line)."""
        plain = replace(self, correction=_unchanged(self.correction))
        x = self._checked(codes)
        found = np.zeros((len(self._parts), x.shape[0], self._n_lines), np.float32)
        statistics = np.zeros((x.shape[0], 3), np.int64)
        for p, part in enumerate(self._parts):
            plain._add_part(p, x[:, part.inputs], found[p], statistics, first_sample, visit)
            found[p] *= part.sign
        return found.astype(np.float64)

    def by_cycles(self, codes: ArrayLike, *, first_sample: int = 0, visit: int = 0) -> Measured:
        """Return a product that clips at the rails in every cycle, and draws noise in each.

        Without noise, and where no cycle reaches the rails, it is that of a call, to the bit; a
        call clips the whole charge once. Some hundred times slower.
        """
        x = self._checked(codes)
        self._check(x)
        values = np.zeros((x.shape[0], self._n_lines), np.float32)
        statistics = np.zeros((x.shape[0], 3), np.int64)
        for p, part in enumerate(self._parts):
            for n, phase_codes in enumerate(phases_of(x[:, part.inputs], self.point)):
                phase = self._phases[p][n]
                pulses = _pulses(phase_codes, self.point.phase_bits[n], self.point)
                held = np.empty(values.shape)
                cycle_batch(
                    pulses @ self._weights[p][1], np.abs(pulses).sum(axis=-1, dtype=np.float64),
                    self._key, first_sample, phase.cycle_constants,
                    _visited(phase.cycle_settings, visit), normal_quantiles(), held, statistics,
                )  # fmt: skip
                settings = _visited(phase.settings, visit)
                settings[[0, 1, 2, 8]] = 1.0, 0.0, math.inf, 0.0
                constants = phase.constants.copy()
                constants[[0, 4]] = 0.0
                self._kernels[0](
                    held, np.zeros(x.shape[0]), self._key, first_sample, constants, settings,
                    normal_quantiles(), self._table, values, statistics,
                )  # fmt: skip
        return self._measured(values, statistics)

    def _measured(self, values: NDArray[np.float32], statistics: NDArray[np.int64]) -> Measured:
        return Measured(
            values=values,
            decrements=statistics[:, 0],
            clipped=statistics[:, 1],
            stuck=statistics[:, 2],
            conversions=self.conversions,
        )

    def recurrent(
        self, codes: ArrayLike, *, turns: int, full_scale: float, first_sample: int = 0
    ) -> NDArray[np.float32]:
        """Return the values after each turn, the outputs of one being the inputs of the next.

        Parameters
        ----------
        codes : array_like of shape (sample, input)
            Integer inputs of the first turn.
        turns : int
            Number of products.
        full_scale : float
            Value that re-enters as the largest code.
        first_sample : int
            Number of the first sample.

        Returns
        -------
        ndarray of shape (turn, sample, output)
        """
        n_inputs, n_outputs = self.crossbar.shape
        if n_inputs != n_outputs:
            raise ValueError(
                f"A recurrent product expects as many inputs as outputs, got {n_inputs} and "
                f"{n_outputs}."
            )
        check_count("turns", turns, 1, 2**16)
        found = []
        for turn in range(turns):
            found.append(self(codes, first_sample=first_sample, visit=turn))
            codes = self.point.codes(found[-1], full_scale)
        return np.stack(found)

    def _checked(self, codes: ArrayLike) -> NDArray[np.float32]:
        x = np.ascontiguousarray(codes, np.float32)
        if x.ndim != 2 or x.shape[1] != self._n_inputs:
            raise ValueError(
                f"Product expects codes of shape (sample, {self._n_inputs}), got {x.shape}."
            )
        return x

    def _check(self, x: NDArray[np.float32]) -> None:
        point = self.point
        strange = check_codes(x, point.least_code, point.largest_code, np.empty(x.shape[0]))
        if strange:
            raise self._strange(strange)

    def _strange(self, count: int) -> ValueError:
        point = self.point
        return ValueError(
            f"Product expects integer codes from {point.least_code} to {point.largest_code}, as "
            f"inputs of {point.input_bits} bits are, got {count} others. OperatingPoint.codes "
            "makes codes of values."
        )

    def _add(
        self,
        x: NDArray[np.float32],
        values: NDArray[np.float32],
        statistics: NDArray[np.int64],
        first_sample: int,
        visit: int,
    ) -> None:
        """Add the values of all parts to `values`."""
        for p, part in enumerate(self._parts):
            inputs = x if len(self._parts) == 1 else x[:, part.inputs]
            self._add_part(p, inputs, values, statistics, first_sample, visit)

    def _add_part(
        self,
        p: int,
        x: NDArray[np.float32],
        values: NDArray[np.float32],
        statistics: NDArray[np.int64],
        first_sample: int,
        visit: int,
    ) -> None:
        """Add the values of one part to `values`."""
        point, (few, many) = self.point, self._weights[p]
        batch_kernel, few_kernel = self._kernels
        for phase, codes in zip(self._phases[p], phases_of(x, point)):
            settings = _visited(phase.settings, visit) if visit else phase.settings
            least, most = phase.codes
            if x.shape[0] <= FEW_SAMPLES:
                strange = few_kernel(
                    codes, few, least, most, self._key, first_sample, phase.constants, settings,
                    self._quantile, self._table, values, statistics,
                )  # fmt: skip
            else:
                total = np.empty(x.shape[0])
                strange = check_codes(codes, least, most, total)
                if not strange:
                    batch_kernel(
                        _charge(codes, many), total, self._key, first_sample, phase.constants,
                        settings, self._quantile, self._table, values, statistics,
                    )  # fmt: skip
            if strange:
                raise self._strange(strange)

    @cached_property
    def _single(self) -> tuple[Any, ...] | None:
        """What a kernel takes for a few samples of a product of one part and one phase."""
        if len(self._parts) > 1 or len(self.point.phase_bits) > 1:
            return None
        phase = self._phases[0][0]
        arrays = phase.constants, phase.settings, self._quantile, self._table
        return self._kernels[1], self._weights[0][0], *phase.codes, self._key, *arrays

    @cached_property
    def _unread(self) -> NDArray[np.int64]:
        return np.zeros((FEW_SAMPLES, 3), np.int64)

    @cached_property
    def _n_inputs(self) -> int:
        return self.crossbar.shape[0]

    @cached_property
    def _n_lines(self) -> int:
        return int(self._parts[0].load.size)

    @cached_property
    def _parts(self) -> list[_Part]:
        return parts_of(self.crossbar)

    @cached_property
    def _volts(self) -> list[NDArray[np.float64]]:
        """Charge of one cycle of a code of 1 in each part, on C_integ [V]."""
        gain = self.crossbar.neuron.gain
        return [part.settled * (gain * v) for part, v in zip(self._parts, self._reads)]

    @cached_property
    def _reads(self) -> tuple[Volt, ...]:
        return self.point.reads(len(self._parts))

    @cached_property
    def _weights(self) -> list[tuple[NDArray[np.int16], NDArray[np.float32]]]:
        """Charge of one cycle of a code of 1, in quanta, for both ways to multiply."""
        whole = [np.rint(w / self.quantum) for w in self._volts]
        return [(pairs_of(w.astype(np.int16)), w.astype(np.float32, order="F")) for w in whole]

    @cached_property
    def _key(self) -> np.uint64:
        if self.seed is None:
            return np.uint64(0)
        return key(self.seed, Purpose.INFERENCE, *self.address)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return self.point.phase_adc.readings.astype(np.float32)

    @cached_property
    def _quantile(self) -> NDArray[np.float64]:
        return normal_quantiles()

    @cached_property
    def _kernels(self) -> tuple[Callable[..., None], Callable[..., int]]:
        """What digitises charge, and what multiplies a few codes and digitises their charge."""
        adc = self.point.adc
        if adc.activation == "stochastic":
            return flip_batch, flip_few
        if adc.conversion == "binary_search":
            return search_batch, search_few
        return count_batch, count_few

    @cached_property
    def _phases(self) -> list[list[_Phase]]:
        return [
            [self._phase(p, n) for n in range(len(self.point.phase_bits))]
            for p in range(len(self._parts))
        ]

    def _decrement(self, sample: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what decrements take from positive and from negative charge [quanta]."""
        plus, minus = self.point.phase_adc.decrements
        volts = np.stack([plus - sample, minus + sample])
        decrement: NDArray[np.float64] = np.rint(volts * (self.crossbar.neuron.gain / self.quantum))
        if not np.all(decrement >= 1):
            worst = sample[np.argmin(decrement.min(axis=0))]
            raise ValueError(
                f"Product: an offset of {worst:.3g} V eats up the decrements of {plus:g} and "
                f"{minus:g} V: the line would never flip. Use larger decrements."
            )
        return decrement

    def _phase(self, p: int, n: int) -> _Phase:
        point, part = self.point, self._parts[p]
        neuron, adc = self.crossbar.neuron, point.phase_adc
        n_lines = part.load.size
        sample, comparator = (
            np.broadcast_to(value, (len(self._parts), n_lines))[p]
            for value in (self.errors.sample, self.errors.comparator)
        )
        quanta = neuron.gain / self.quantum
        decrement = self._decrement(sample)
        cycles = point.pulses * (2 ** point.phase_bits[n] - 1)
        offset = np.rint(sample * quanta)
        read = self.errors.sigma_read * self._reads[p] * quanta
        variance = (
            part.cells * np.divide(read, part.load, out=np.zeros(n_lines), where=part.load > 0) ** 2
        )
        thermal = (neuron.sigma_noise / self.quantum) ** 2
        slope, intercept = self.correction.slope[p], self.correction.intercept[p]
        shift = 2 ** sum(point.phase_bits[n + 1 :])
        constants = np.stack(
            [
                cycles * offset,
                np.rint(comparator / self.quantum),
                *decrement,
                point.pulse_multiplier * variance,
                part.sign * shift / slope,
                np.zeros(n_lines) if n else -part.sign * intercept / slope,
            ]
        )
        rail = np.floor(neuron.v_rail / self.quantum)
        number = p * len(point.phase_bits) + n
        kicks = [np.rint(neuron.kick / self.quantum), adc.kicks]
        largest = 2 ** point.phase_bits[n] - 1
        rows = part.inputs.stop - part.inputs.start
        # Every row is driven in every bipolar pulse.
        total = 2.0 * largest * rows if point.encoding == "bipolar" else 0.0
        settings = np.array(
            [point.pulses, cycles * thermal, rail, adc.most, number, 0.0, *kicks, total]
        )
        one = constants.copy()
        one[0], one[4] = offset, variance
        each = settings.copy()
        each[0], each[1] = point.pulse_multiplier, thermal
        codes = (-largest if point.signed else 0, largest)
        return _Phase(codes, constants, settings, one, each)


def product(
    crossbar: Crossbar, codes: ArrayLike, point: OperatingPoint, *, seed: Seed | None = None
) -> NDArray[np.float32]:
    """Return one product of an array with a batch of codes, (sample, output) in siemens times code.

    Examples
    --------
    >>> crossbar = Crossbar.from_weights([[1.0, -0.5], [0.25, 1.0]])
    >>> values = product(crossbar, [[7, 0], [3, -7]], OperatingPoint())
    """
    return Product(crossbar=crossbar, point=point, seed=seed)(codes)


def _charge(codes: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return codes @ weights of shape (sample, line), in C order; weights are in Fortran's."""
    if codes.shape[0] > _NARROW_BATCH or weights.size < _LARGE_ARRAY:
        return codes @ weights
    # OpenBLAS is up to twice as fast this way round. Sums are exact: the result is the same.
    return np.ascontiguousarray((weights.T @ codes.T).T)


def _unchanged(correction: Correction) -> Correction:
    return Correction(
        slope=np.ones_like(correction.slope), intercept=np.zeros_like(correction.slope)
    )


def _share(part: NDArray[np.float64], load: NDArray[np.float64]) -> NDArray[np.float64]:
    # A line without any conductance stays at the reference.
    return np.divide(part, load, out=np.zeros(part.shape), where=load > 0)


def _pulses(codes: NDArray[np.float32], bits: int, point: OperatingPoint) -> NDArray[np.float32]:
    """Return the pulses of each plane, of shape (plane, pulse, sample, input), lowest first."""
    size = np.abs(codes).astype(np.int64)
    planes = [np.sign(codes) * ((size >> bit) & 1) for bit in range(bits)]
    if point.encoding == "ternary":
        return np.stack(planes)[:, np.newaxis].astype(np.float32)
    # A row without a pulse is driven down and up: nothing in sum.
    pairs = [(np.where(t == 0, -1, t), np.where(t == 0, 1, t)) for t in planes]
    return np.array(pairs, dtype=np.float32)


def _visited(settings: NDArray[np.float64], visit: int) -> NDArray[np.float64]:
    found = settings.copy()
    found[5] = visit
    return found
