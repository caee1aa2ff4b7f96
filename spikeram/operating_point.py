"""How a product of inference mode is driven and read: bits, pulses, phases, voltages.

The equations are those of `spikeram.product`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.adc import ADC, check_count
from spikeram.units import Volt, as_si

MOST_MAGNITUDE_BITS = 7
"""Magnitude bits of an 8-bit input, which the chip takes at most."""

ONE_PHASE_BITS = 4
"""Most bits of an input that goes in one phase by default."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """How the inputs of a product are driven and its outputs converted.

    Parameters
    ----------
    input_bits : int
        Bits of an input, 1 to 8, at most 7 of them magnitude.
    signed : bool
        Whether one of them is a sign.
    encoding : {"ternary", "bipolar"}
        One pulse for each plane, or two of which every row takes part; see the module.
    v_read : Volt or tuple of Volt
        Read voltage, for all parts of a product or for each [V].
    pulse_multiplier : int
        Pulses for each unit of an input, 1 to 255.
    phases : {1, 2}, optional
        Phases of a conversion; by default 2 above 4 input bits.
    adc : ADC
        The converter. In two phases each resolves one bit less, which is what the chip's measured
        latencies say.

    Examples
    --------
    >>> point = OperatingPoint(input_bits=8, adc=ADC(bits=8, conversion="binary_search"))
    >>> point.phase_bits, point.integrate_cycles, point.largest_code
    ((3, 4), 22, 127)
    """

    input_bits: int = 4
    signed: bool = True
    encoding: Literal["ternary", "bipolar"] = "ternary"
    v_read: Volt | tuple[Volt, ...] = 0.5
    pulse_multiplier: int = 1
    phases: Literal[1, 2] | None = None
    adc: ADC = field(default_factory=ADC)

    def __post_init__(self) -> None:
        check_count("OperatingPoint.input_bits", self.input_bits, 1, 8)
        check_count("OperatingPoint.pulse_multiplier", self.pulse_multiplier, 1, 255)
        given = self.v_read
        each = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        volts = tuple(as_si(v, "V", "OperatingPoint.v_read") for v in each)
        if not volts or not all(0 < v < math.inf for v in volts):
            raise ValueError(f"OperatingPoint.v_read expects voltages > 0, got {volts} V.")
        object.__setattr__(self, "v_read", volts if len(volts) > 1 else volts[0])
        if self.encoding not in ("ternary", "bipolar"):
            raise ValueError(
                f"OperatingPoint.encoding expects 'ternary' or 'bipolar', got {self.encoding!r}."
            )
        m = self.magnitude_bits
        if m > MOST_MAGNITUDE_BITS:
            raise ValueError(
                f"OperatingPoint takes at most {MOST_MAGNITUDE_BITS} magnitude bits, got {m} of an "
                f"unsigned input of {self.input_bits} bits. Use 7 bits."
            )
        if self.phases is None:
            object.__setattr__(self, "phases", 2 if self.input_bits > ONE_PHASE_BITS else 1)
        if self.phases not in (1, 2):
            raise ValueError(f"OperatingPoint.phases expects 1 or 2, got {self.phases!r}.")
        if self.phases == 2:
            if m < 2 or self.adc.bits < 4:
                raise ValueError(
                    "OperatingPoint.phases=2 expects at least 2 magnitude bits to share out and "
                    f"4 output bits, got {m} and {self.adc.bits}."
                )
            if self.adc.activation != "none":
                raise ValueError(
                    f"OperatingPoint: the readings of two phases are added before any activation, "
                    f"got {self.adc.activation!r} in the converter. Use phases=1."
                )

    @property
    def magnitude_bits(self) -> int:
        """Bits of the magnitude of an input."""
        return max(1, self.input_bits - 1) if self.signed else self.input_bits

    def reads(self, n_parts: int) -> tuple[Volt, ...]:
        """Return the read voltage of each of so many parts [V]."""
        each = self.v_read if isinstance(self.v_read, tuple) else (self.v_read,) * n_parts
        if len(each) != n_parts:
            raise ValueError(
                f"OperatingPoint.v_read expects one voltage, or one for each of {n_parts} parts, "
                f"got {len(each)}."
            )
        return each

    @property
    def largest_code(self) -> int:
        """The largest input."""
        return int(2**self.magnitude_bits - 1)

    @property
    def least_code(self) -> int:
        """The smallest input."""
        return -self.largest_code if self.signed else 0

    @property
    def phase_bits(self) -> tuple[int, ...]:
        """Magnitude bits of each phase, high bits first."""
        m = self.magnitude_bits
        return (m // 2, m - m // 2) if self.phases == 2 else (m,)

    @property
    def phase_adc(self) -> ADC:
        """The converter of one phase."""
        return replace(self.adc, bits=self.adc.bits - 1) if self.phases == 2 else self.adc

    @property
    def pulses(self) -> int:
        """Sample-and-integrate cycles of one unit of an input."""
        return self.pulse_multiplier * (2 if self.encoding == "bipolar" else 1)

    @property
    def bit_planes(self) -> int:
        """Planes of input pulses of one product, over all phases."""
        return self.magnitude_bits * (2 if self.encoding == "bipolar" else 1)

    @property
    def integrate_cycles(self) -> int:
        """Sample-and-integrate cycles of one product, over all phases."""
        units: int = sum(2**bits - 1 for bits in self.phase_bits)
        return self.pulses * units

    def codes(self, values: ArrayLike, full_scale: float) -> NDArray[np.float32]:
        """Return values as input codes, rounded and held within the range.

        Parameters
        ----------
        values : array_like
            Values; of signed inputs of one bit only the sign counts.
        full_scale : float
            What the largest code stands for.
        """
        x = np.asarray(values, dtype=np.float32)
        if self.signed and self.input_bits == 1:
            return np.where(x >= 0, np.float32(1), np.float32(-1))
        scaled: NDArray[np.float32] = np.rint(x * np.float32(self.largest_code / full_scale))
        np.clip(scaled, self.least_code, self.largest_code, out=scaled)
        return scaled


def phases_of(x: NDArray[np.float32], point: OperatingPoint) -> list[NDArray[np.float32]]:
    """Return the codes of each phase, high bits first."""
    if point.phases == 1:
        return [x if x.flags.c_contiguous else np.ascontiguousarray(x)]
    low = np.float32(2 ** point.phase_bits[1])
    high = np.trunc(x / low)
    return [high, x - high * low]
