r"""An LSTM of parallel cells as numpy arrays, and what its host computes between products.

All cells see the inputs :math:`x_t`; cell k has the hidden state :math:`h` and the state
:math:`c`, both of one number for each unit. At step t, for input, forget and output gate and the
candidate state, g in i, f, o, u,

.. math:: z_g = x_t W_g + h_{t-1} R_g + b_g,

.. math:: c_t = \sigma(z_f)\,c_{t-1} + \sigma(z_i) \tanh(z_u), \qquad
          h_t = \sigma(z_o) \tanh(c_t)

(Hochreiter and Schmidhuber, Neural Comput. 9, 1735, 1997, with the forget gate of Gers et al.,
2000). After the last step the scores of the classes are the mean over cells of
:math:`h_T W_k + b_k`. Numbers are rounded to the nearest of levels that are symmetric to zero:
:math:`x, h` in [-1, 1] to those of an input code, :math:`z` within ``sum_limit`` to ``sum_bits``,
and gates, candidates, tangents and states (within ``state_limit``) to ``element_bits``; a gate is
never negative and has a bit more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from spikeram.arrays import frozen

GATES = ("input", "forget", "output", "candidate")
"""Order of the gates."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class LSTM:
    """Parallel LSTM cells with a dense layer each, and their number formats.

    Parameters
    ----------
    from_input : ndarray of shape (cell, gate, input, unit)
        Weights of the inputs; gates in the order of `GATES`.
    from_hidden : ndarray of shape (cell, gate, unit, unit)
        Weights of the hidden state, the unit that they come from first.
    bias : ndarray of shape (cell, gate, unit)
        Biases of the gates.
    to_output : ndarray of shape (cell, unit, class)
        Weights of the dense layers.
    output_bias : ndarray of shape (cell, class)
        Their biases.
    input_bits : int
        Bits of inputs and hidden states, their sign included.
    sum_bits, element_bits : int
        Bits of the sums at gates and of what follows.
    sum_limit, state_limit : float
        Largest sum, and largest state of a cell.
    """

    from_input: NDArray[np.float64]
    from_hidden: NDArray[np.float64]
    bias: NDArray[np.float64]
    to_output: NDArray[np.float64]
    output_bias: NDArray[np.float64]
    input_bits: int = 4
    sum_bits: int = 6
    element_bits: int = 8
    sum_limit: float = 4.0
    state_limit: float = 4.0

    def __post_init__(self) -> None:
        for name in ("from_input", "from_hidden", "bias", "to_output", "output_bias"):
            value = frozen(getattr(self, name))
            if not np.all(np.isfinite(value)):
                raise ValueError(f"LSTM.{name} expects finite numbers, got others.")
            object.__setattr__(self, name, value)
        if self.from_input.ndim != 4 or self.to_output.ndim != 3 or 0 in self.from_input.shape:
            raise ValueError(
                "LSTM expects from_input of shape (cell, gate, input, unit) and to_output of shape "
                f"(cell, unit, class), got {self.from_input.shape} and {self.to_output.shape}."
            )
        n_cells, _, _, n_units = self.from_input.shape
        expected = {
            "from_input": (n_cells, len(GATES), self.n_inputs, n_units),
            "from_hidden": (n_cells, len(GATES), n_units, n_units),
            "bias": (n_cells, len(GATES), n_units),
            "to_output": (n_cells, n_units, self.n_classes),
            "output_bias": (n_cells, self.n_classes),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"LSTM.{name} expects the shape {shape}, as its other arrays say, got "
                    f"{getattr(self, name).shape}."
                )
        for name, least, most in (("input", 2, 8), ("sum", 2, 24), ("element", 2, 24)):
            bits = getattr(self, f"{name}_bits")
            if not isinstance(bits, (int, np.integer)) or not least <= bits <= most:
                raise ValueError(f"LSTM.{name}_bits expects {least} to {most}, got {bits!r}.")
        for name in ("sum_limit", "state_limit"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"LSTM.{name} expects a number > 0, got {getattr(self, name)}.")

    @property
    def n_cells(self) -> int:
        """Cells that run in parallel."""
        return int(self.from_input.shape[0])

    @property
    def n_inputs(self) -> int:
        """Inputs of a step."""
        return int(self.from_input.shape[2])

    @property
    def n_units(self) -> int:
        """Units of a cell."""
        return int(self.from_input.shape[3])

    @property
    def n_classes(self) -> int:
        """Classes."""
        return int(self.to_output.shape[2])

    @property
    def largest_code(self) -> int:
        """The code that stands for an input or a hidden state of 1."""
        return int(2 ** (self.input_bits - 1) - 1)

    def checked_input(self, x: ArrayLike) -> Array:
        """Return sequences as float32, of shape (sample, step, input), or say what is wrong."""
        values = np.asarray(x, dtype=np.float32)
        if values.ndim != 3 or values.shape[2] != self.n_inputs or 0 in values.shape:
            raise ValueError(
                f"The LSTM expects sequences of shape (sample, step, {self.n_inputs}), got "
                f"{values.shape}."
            )
        if not np.all(np.isfinite(values)):
            raise ValueError("The LSTM expects finite inputs, got others.")
        return values

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the scores in software, of shape (sample, class).

        Parameters
        ----------
        x : array_like of shape (sample, step, input)
            Sequences in [-1, 1]; what is larger is held there.
        """
        sums = exact_sums(self)
        levels, limit = 2 ** (self.sum_bits - 1) - 1, self.sum_limit

        def at_gates(step: int, inputs: Array, hidden: Array) -> Array:
            """Return what a converter of all bits would read."""
            return rounded(sums(step, inputs, hidden), limit, levels)

        hidden = run(self, self.checked_input(x), at_gates)
        each = np.einsum("knu,kuc->knc", hidden / self.largest_code, self.to_output)
        scores: NDArray[np.float64] = (each + self.output_bias[:, np.newaxis]).mean(axis=0)
        return scores


Sums = Callable[[int, Array, Array], Array]
"""From step, codes of inputs (sample, input) and of hidden states (cell, sample, unit) to the sums
at gates, (cell, gate, sample, unit)."""


def rounded(values: NDArray[np.floating], limit: float, levels: int) -> Array:
    """Return values at the nearest of `levels` equal steps up to `limit` on either side of 0."""
    share = np.clip(values, -limit, limit) * np.float32(levels / limit)
    return np.asarray(np.rint(share) * np.float32(limit / levels), np.float32)


def exact_sums(lstm: LSTM) -> Sums:
    """Return what computes the sums at gates without any error but float32's."""
    one = lstm.largest_code
    into = np.asarray(lstm.from_input / one, np.float32)
    within = np.asarray(lstm.from_hidden / one, np.float32)
    bias = np.asarray(lstm.bias, np.float32)[:, :, np.newaxis]

    def sums(_: int, inputs: Array, hidden: Array) -> Array:
        return inputs @ into + hidden[:, np.newaxis] @ within + bias

    return sums


def run(lstm: LSTM, x: Array, sums: Sums) -> Array:
    """Return the codes of the last hidden states, of shape (cell, sample, unit).

    Parameters
    ----------
    lstm : LSTM
        Its number formats and sizes.
    x : float32 ndarray of shape (sample, step, input)
        Sequences.
    sums : callable
        What computes the sums at gates: software, or a chip.
    """
    one = np.float32(lstm.largest_code)
    codes = np.clip(np.rint(x * one), -one, one)
    hidden = np.zeros((lstm.n_cells, x.shape[0], lstm.n_units), np.float32)
    state = hidden
    fine = 2 ** (lstm.element_bits - 1) - 1
    for step in range(x.shape[1]):
        z = sums(step, np.ascontiguousarray(codes[:, step]), hidden)
        let, keep, show = rounded(expit(z[:, :3]), 1.0, 2 * fine + 1).swapaxes(0, 1)
        fresh = rounded(np.tanh(z[:, 3]), 1.0, fine)
        state = rounded(keep * state + let * fresh, lstm.state_limit, fine)
        hidden = np.rint(show * rounded(np.tanh(state), 1.0, fine) * one)
    return hidden
