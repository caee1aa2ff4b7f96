r"""What neurons and lines add on their own: named terms, each of which can be switched off.

A neuron samples the settled line voltage :math:`\Delta V_j`, and with it, in every step,

.. math:: \Delta V_j + o_j + q_j - \kappa_w V_w - \kappa_b \bar v,

:math:`o_j` what correlated double sampling leaves of the amplifier's offset, and :math:`q_j` the
charge that its switches inject, as a voltage on :math:`C_s`; both are drawn once for each column
of a chip. As the sample ends, word lines fall by :math:`V_w` and driven bit lines return to the
reference: a share :math:`\kappa` of the mean step of the lines, :math:`V_w` for the word lines, all
of which switch in every step, and :math:`\bar v` for the bit lines, stays on the column.
:math:`\bar v` is the mean over all pairs of what they are driven with; the two opposite edges of a
pair nearly cancel, and :math:`\kappa_b` is what they leave. Every pulse returns to the reference
before the next, so that no term remembers the step before.

All of this is linear in the inputs and the same in every step: it folds into biases and effective
weights when a chip is programmed. So do comparison and decrement. Where the comparator switches
:math:`c_j` late, and the switches inject into each decrement as well,

.. math:: U \ge \theta + c \;\Rightarrow\; U \leftarrow U - \theta + q', \qquad
          q' = \frac{C_s}{C_i}\,q,

becomes, with :math:`U' = U - q' - c` and :math:`\theta' = \theta - q'`, the neuron of
`spikeram.neuron` again: :math:`U' \ge \theta' \Rightarrow U' \leftarrow U' - \theta'`. A comparator
offset thus only shifts the membrane that a run begins with: it costs :math:`c / \theta` of a
spike in all, at any number of steps. With a leak :math:`\lambda` the shift has to be fed,
:math:`-(1 - \lambda)(q' + c)` in each step. In ternary and signed neurons, which fire both ways,
:math:`q'` would shorten one decrement and lengthen the other; it is left out of both.

Left out because it cancels is the ratio :math:`C_s / C_i` of a neuron, through which samples and
decrements pass alike: a mismatch of 1 % moves its comparison by 1 % of a spike, once. Left out
because it is small is that the rails move with :math:`U'`, by millivolts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.random import fill_normal
from spikeram.neuron import SamplingNeuron
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Volt, as_si

TERMS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "read_noise": ("analog", {"read_noise": False}),
        "kt_c": ("neuron", {"temperature": 0.0}),
        "offset": ("analog", {"sigma_offset": 0.0}),
        "comparator": ("analog", {"sigma_comparator": 0.0}),
        "injection": ("analog", {"injection": 0.0, "sigma_injection": 0.0}),
        "word_coupling": ("analog", {"word_coupling": 0.0}),
        "bit_coupling": ("analog", {"bit_coupling": 0.0}),
        "leak": ("neuron", {"leak": None}),
        "rails": ("neuron", {"v_rail": math.inf}),
        "kick": ("neuron", {"v_lfsr": 0.0}),
    }
)
"""Names of the terms: whose fields they are, and what these are when the term is off."""


@dataclass(frozen=True, kw_only=True)
class AnalogTerms:
    """Terms of sensing beyond the settled line; the default is none of them.

    Noise of sampling, leak, rails and the pseudo-random charge are the neuron's own, in
    `spikeram.neuron.SamplingNeuron`.

    Parameters
    ----------
    read_noise : bool
        Whether cells fluctuate from step to step, as their device says; see
        `spikeram.read_noise`.
    sigma_offset : Volt
        Spread from column to column of the offset that each sample of a line carries [V].
    sigma_comparator : Volt
        Spread of the comparator's offset, on C_integ [V].
    injection, sigma_injection : Volt
        Mean and spread of the charge that switches add to each sample and to each decrement, on
        C_sample [V].
    word_coupling, bit_coupling : float
        Share of the mean step of the word lines, and of that of the bit lines, that stays on
        a sampled column.
    v_word : Volt
        Swing of a word line [V].

    Examples
    --------
    >>> AnalogTerms(sigma_offset="3 mV").sigma_offset
    0.003
    """

    read_noise: bool = False
    sigma_offset: Volt = 0.0
    sigma_comparator: Volt = 0.0
    injection: Volt = 0.0
    sigma_injection: Volt = 0.0
    word_coupling: float = 0.0
    bit_coupling: float = 0.0
    v_word: Volt = 1.3

    def __post_init__(self) -> None:
        if not isinstance(self.read_noise, bool):
            raise TypeError(
                f"AnalogTerms.read_noise expects True or False, got {self.read_noise!r}: its size "
                "is the sigma_read of the chip's device."
            )
        for name in ("sigma_offset", "sigma_comparator", "injection", "sigma_injection", "v_word"):
            value = as_si(getattr(self, name), "V", f"AnalogTerms.{name}")
            least = -math.inf if name == "injection" else 0.0
            if not (least <= value < math.inf and math.isfinite(value)):
                rule = "finite voltage" if name == "injection" else "voltage >= 0"
                raise ValueError(f"AnalogTerms.{name} expects a {rule}, got {value} V.")
            object.__setattr__(self, name, value)
        for name in ("word_coupling", "bit_coupling"):
            if not -1 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"AnalogTerms.{name} expects a share from -1 to 1, got {getattr(self, name)}."
                )

    @property
    def of_columns(self) -> bool:
        """Whether any term differs from an ideal column: all but read noise."""
        return replace(self, read_noise=False, v_word=0.0) != AnalogTerms(v_word=0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class ColumnErrors:
    """What the terms are for the columns of one programmed layer.

    Parameters
    ----------
    offset, injection : ndarray of shape (column,)
        Offset that every sample carries, and charge that every sample and decrement does
        [V on C_s].
    comparator : ndarray of shape (column,)
        How far above the threshold the comparator switches [V on C_i].
    word_line : Volt
        What the word lines leave on a column [V on C_s].
    bit_coupling : float
        Share of the mean step of the bit lines that stays on a column.
    """

    offset: NDArray[np.float64]
    injection: NDArray[np.float64]
    comparator: NDArray[np.float64]
    word_line: Volt
    bit_coupling: float

    @property
    def sample(self) -> NDArray[np.float64]:
        """What every sample carries besides the settled line, of shape (column,) [V on C_s]."""
        return self.offset + self.injection + self.word_line

    def of(self, terms: AnalogTerms) -> ColumnErrors:
        """Return these errors without those of terms that are off by now."""
        return ColumnErrors(
            offset=self.offset * (terms.sigma_offset != 0),
            injection=self.injection * (terms.injection != 0 or terms.sigma_injection != 0),
            comparator=self.comparator * (terms.sigma_comparator != 0),
            word_line=self.word_line * (terms.word_coupling != 0),
            bit_coupling=terms.bit_coupling,
        )


def draw_columns(
    terms: AnalogTerms, n_columns: int, *, seed: Seed, chip: int, layer: int
) -> ColumnErrors:
    """Return the errors of the columns of one layer of one chip.

    Parameters
    ----------
    terms : AnalogTerms
        Their sizes. Each term draws at an address of its own: a chip without one of them has the
        others as they were, and twice the spread is twice the error of each column.
    n_columns : int
        Number of columns.
    seed : int or numpy.random.SeedSequence
        The root seed.
    chip, layer : int
        Numbers of the chip and of the layer on it.
    """
    normals = np.empty((3, n_columns))
    mismatch = key(seed, Purpose.MISMATCH, chip, layer)
    for term, out in enumerate(normals):
        fill_normal(mismatch, term, 0, 0, out)
    offset, comparator, injected = normals
    return ColumnErrors(
        offset=terms.sigma_offset * offset,
        injection=terms.injection + terms.sigma_injection * injected,
        comparator=terms.sigma_comparator * comparator,
        word_line=-terms.word_coupling * terms.v_word,
        bit_coupling=terms.bit_coupling,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Column:
    """What a column integrates in every step, fires at, and begins with, each (column,) [V on C_i].

    Parameters
    ----------
    bias, threshold, initial : ndarray of shape (column,)
        As `spikeram.charge.charge_layer` takes them.
    """

    bias: NDArray[np.float64]
    threshold: NDArray[np.float64]
    initial: NDArray[np.float64]


def with_errors(column: Column, errors: ColumnErrors, neuron: SamplingNeuron) -> Column:
    """Return columns with their errors folded in; see the top of this module for the equations.

    Parameters
    ----------
    column : Column
        Ideal columns.
    errors : ColumnErrors
        Their errors, but for the coupling of the bit lines, which weights carry.
    neuron : SamplingNeuron
        The neurons; they reset by subtraction.
    """
    one_way = neuron.spikes == "unipolar" and neuron.reset == "subtract"
    injected = neuron.gain * errors.injection * one_way
    late = injected + errors.comparator
    return Column(
        bias=column.bias + neuron.gain * errors.sample - (1.0 - neuron.decay()) * late,
        threshold=column.threshold - injected,
        initial=column.initial - late,
    )


def switched_off(
    neuron: SamplingNeuron, terms: AnalogTerms, names: tuple[str, ...]
) -> tuple[SamplingNeuron, AnalogTerms]:
    """Return neuron and terms without the named ones of `TERMS`."""
    for name in names:
        if name not in TERMS:
            raise ValueError(f"No analog term is called {name!r}: there are {', '.join(TERMS)}.")
        owner, off = TERMS[name]
        if owner == "neuron":
            neuron = replace(neuron, **off)
        else:
            terms = replace(terms, **off)
    return neuron, terms


def switched_on(neuron: SamplingNeuron, terms: AnalogTerms) -> tuple[str, ...]:
    """Return the names of the terms that neuron and terms have."""
    owners = {"neuron": neuron, "analog": terms}
    return tuple(
        name
        for name, (owner, off) in TERMS.items()
        if any(getattr(owners[owner], field) != value for field, value in off.items())
    )
