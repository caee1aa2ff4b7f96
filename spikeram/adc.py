r"""The charge-decrement converter: how many equal charges bring a membrane back to zero.

After integration the comparator tells the sign of the charge :math:`U` on :math:`C_i`. The same
sampling capacitor then takes away the charge of one decrement voltage :math:`V_d` after another,

.. math:: U \leftarrow U - s\,\frac{C_s}{C_i}\,V_d, \qquad s = \mathrm{sgn}\,U,

until the comparator flips, after :math:`N` of them. The reading is :math:`s\,(N - 1/2)`, so that

.. math:: \left| s\,(N - \tfrac12) - \frac{\sum_k \Delta V_k}{V_d} \right| \le \tfrac12

for the sampled voltages :math:`\Delta V_k`: the capacitances cancel. Positive charge flips at zero
(:math:`N = \lceil U / d \rceil`, :math:`d = (C_s/C_i) V_d`), other charge above it
(:math:`N = \lfloor -U / d \rfloor + 1`). With :math:`b` bits :math:`N \le 2^{b-1}`, and there are
:math:`2^b` readings.

*Linear count* takes one decrement at a time and ends when the last of the selected columns has
flipped. *Binary search* takes :math:`2^{b-2} d, \dots, 2 d, d` in turn, each with the sign of the
moment, and is done after :math:`b - 1` decrements and :math:`b` comparisons; it gives the same
reading.

A counter that advances with every step, then with every second, fourth and eighth one, and then
stops, bends the reading into a hyperbolic tangent or a logistic function. Between slopes
:math:`2^{-m}` and :math:`2^{-m-1}` the tangent's own slope :math:`1 - \tanh^2 x` is their
geometric mean; there the counter slows down. Wan et al., Nature 608, 504 (2022), Fig. 3, Extended
Data Fig. 4, and the chip's software (github.com/weierwan/Neurram_48core). Its break points are not
published: these are assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from spikeram.units import Volt, as_si

Activation: TypeAlias = Literal["none", "relu", "sigmoid", "tanh", "stochastic"]
Conversion: TypeAlias = Literal["linear_count", "binary_search"]

MOST_STEPS = 100
"""Decrements after which the chip's linear count ends."""

COUNTER_STEPS = 127
"""Largest content of its counter of 7 bits."""

SLOPES = (1.0, 0.5, 0.25, 0.125)
"""Advances of the counter for each step, of the hyperbolic tangent."""

_BINS = 4096


@dataclass(frozen=True, kw_only=True)
class ADC:
    r"""A charge-decrement converter.

    Parameters
    ----------
    bits : int
        Output bits, sign included, 3 to 10.
    conversion : {"linear_count", "binary_search"}
        How the magnitude is found.
    v_decrement : Volt or (Volt, Volt)
        Decrement voltage; or two, for positive and for negative charge [V]. An unequal pair
        makes up for an offset that samples leave on the line.
    step_limit : int, optional
        Most decrements of a linear count, at most 127; by default :math:`2^{bits-1}`, which more
        than the chip's 100 is refused.
    never_flipped : {"saturate", "zero"}
        What a line reads that does not flip: the largest reading, or 0 as in the chip's software.
    activation : {"none", "relu", "sigmoid", "tanh", "stochastic"}
        What the reading is: the signed count; that or 0; a bent count; or one bit, the sign after
        random kicks.
    unit_steps : float
        Decrements that the argument 1 of "sigmoid" and "tanh" stands for.
    kicks : int
        Pseudo-random voltages :math:`\pm V_{lfsr}` sampled before the comparison of a stochastic
        neuron.

    Examples
    --------
    >>> adc = ADC(bits=6, v_decrement=(0.12, "40 mV"))
    >>> adc.most, adc.v_decrement
    (32, (0.12, 0.04))
    """

    bits: int = 6
    conversion: Conversion = "linear_count"
    v_decrement: Volt | tuple[Volt, Volt] = 0.08
    step_limit: int | None = None
    never_flipped: Literal["saturate", "zero"] = "saturate"
    activation: Activation = "none"
    unit_steps: float = 16.0
    kicks: int = 8

    def __post_init__(self) -> None:
        check_count("ADC.bits", self.bits, 3, 10)
        check_count("ADC.kicks", self.kicks, 0, 32)
        pair = self.v_decrement
        both = tuple(pair) if isinstance(pair, (tuple, list)) else (pair, pair)
        if len(both) != 2:
            raise ValueError(f"ADC.v_decrement expects one voltage or two, got {len(both)}.")
        volts = tuple(as_si(v, "V", "ADC.v_decrement") for v in both)
        if not all(0 < v < math.inf for v in volts):
            raise ValueError(
                f"ADC.v_decrement expects voltages > 0, got {volts[0]} and {volts[1]} V: a step "
                "of another sign would never bring the charge back to zero."
            )
        object.__setattr__(self, "v_decrement", volts)
        for name, allowed in (
            ("conversion", get_args(Conversion)),
            ("never_flipped", ("saturate", "zero")),
            ("activation", get_args(Activation)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"ADC.{name} expects one of {', '.join(allowed)}, got {getattr(self, name)!r}."
                )
        if not 0 < self.unit_steps < math.inf:
            raise ValueError(f"ADC.unit_steps expects a number > 0, got {self.unit_steps}.")
        self._check_steps()

    def _check_steps(self) -> None:
        needed = 2 ** (self.bits - 1)
        if self.conversion == "binary_search":
            if self.step_limit is not None or self.never_flipped != "saturate":
                raise ValueError(
                    "ADC.step_limit and never_flipped='zero' belong to the linear count: a binary "
                    f"search always takes {self.bits - 1} decrements and reads its largest code."
                )
        elif self.step_limit is not None:
            check_count("ADC.step_limit", self.step_limit, 1, COUNTER_STEPS)
        elif needed > MOST_STEPS:
            raise ValueError(
                f"ADC.bits={self.bits} needs {needed} decrements, but a linear count ends after "
                f"{MOST_STEPS}. Use conversion='binary_search', fewer bits, or a step_limit."
            )

    @property
    def most(self) -> int:
        """The most counts, N of the largest reading."""
        most: int = 2 ** (self.bits - 1)
        return most if self.step_limit is None else min(most, self.step_limit)

    @property
    def decrements(self) -> tuple[Volt, Volt]:
        """Decrement voltages of positive and of negative charge [V]."""
        plus, minus = self.v_decrement  # type: ignore[misc]
        return plus, minus

    @property
    def mean_decrement(self) -> Volt:
        """Mean of both decrement voltages [V]."""
        return sum(self.decrements) / 2

    @property
    def readings(self) -> NDArray[np.float64]:
        """Reading of each signed count -most - 1 ... most + 1, the ends for no flip; read-only."""
        return _readings(self)


@cache
def _readings(adc: ADC) -> NDArray[np.float64]:
    n = np.arange(1, adc.most + 2)
    up = np.minimum(n, adc.most) - 0.5
    # A bent reading of a line that does not flip is that of an endless count.
    if adc.activation in ("sigmoid", "tanh"):
        logistic = adc.activation == "sigmoid"
        up = bent(up, adc.unit_steps * (2 if logistic else 1)) * (0.5 if logistic else 1.0)
    if adc.never_flipped == "zero":
        up = np.where(n > adc.most, 0.0, up)
    down = np.zeros_like(up) if adc.activation == "relu" else -up
    table: NDArray[np.float64] = np.concatenate([down[::-1], [0.0], up])
    if adc.activation == "sigmoid":
        table += 0.5
    if adc.activation == "stochastic":
        table = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    table.flags.writeable = False
    return table


def bent(steps: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return the content of a counter that follows the hyperbolic tangent, as a share of `unit`.

    Parameters
    ----------
    steps : ndarray
        Decrements so far, half steps allowed.
    unit : float
        Steps that the argument 1 stands for.

    Examples
    --------
    >>> bent(np.array([0.0, 4.0, 16.0, 64.0]), 16.0)
    array([0.    , 0.25  , 0.8125, 1.    ])
    """
    points = np.rint(unit * np.array(break_points()))
    starts = np.concatenate([[0.0], points[:-1]])
    content = np.zeros(steps.shape)
    for start, stop, slope in zip(starts, [*points[:-1], np.inf], SLOPES):
        whole = np.clip(steps, start, stop) - start
        # Half a step before the first flip counts; later the counter shows whole advances.
        content += whole if slope == 1.0 else np.floor(whole * slope)
    share: NDArray[np.float64] = np.minimum(content / unit, 1.0)
    return share


def break_points() -> tuple[float, ...]:
    """Return the arguments at which the counter of the tangent slows down, and ends."""
    means = [math.sqrt(a * b) for a, b in zip(SLOPES, (*SLOPES[1:], SLOPES[-1] / 2))]
    return tuple(math.acosh(1 / math.sqrt(slope)) for slope in means)


@cache
def normal_quantiles() -> NDArray[np.float64]:
    """Return the table behind random normals: quantiles of 1/4096, and of the outermost bins."""
    first = ndtri(np.arange(1, _BINS) / _BINS)
    tail = ndtri(np.arange(1, _BINS + 1) / _BINS**2)
    table = np.array([[-np.inf, *first, np.inf], [ndtri(0.5 / _BINS**2), *tail]])
    table.flags.writeable = False
    return table


def check_count(name: str, value: object, least: int, most: int) -> None:
    """Refuse what is no integer in a range."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} expects an integer, got {value!r}.")
    if not least <= value <= most:
        raise ValueError(f"{name} expects {least} to {most}, got {value}.")
