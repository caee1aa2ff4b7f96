r"""Inference mode: how many bits, in which phases, and how often each part of a core works.

An input of :math:`n` bits is a sign and :math:`m = \max(1, n - 1)` magnitude bits. Each magnitude
bit is one pulse pattern: word lines open the cells, every neuron takes a sample and integrates it
:math:`2^k` times for bit k. The neuron then finds its output bit by bit, one comparison and charge
decrement each. More than three magnitude bits are split into an upper and a lower half of
:math:`p_1 = \lceil m/2 \rceil` and :math:`p_2 = \lfloor m/2 \rfloor` bits, each digitised on its
own, which saves most of the integrations. Over the phases,

.. math::

    I = \sum_i (2^{p_i} - 1) \text{ integrations}, \qquad
    A = \sum_i \Bigl(n_\text{out} - \sum_{j < i} p_j\Bigr) \text{ ADC steps}:

the second phase need not resolve what the first one has. That its ADC is shorter by these bits
is assumed, as in the model of mit-emze/cimloop; measured latencies agree within 3 %.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_BITS_OF_A_PHASE = 3
"""Magnitude bits that one phase takes before inputs are split in two."""


@dataclass(frozen=True)
class Precision:
    """The number formats of a matrix-vector product on a core.

    Parameters
    ----------
    input_bits : int
        Bits of a signed input, 1 to 8.
    output_bits : int
        Bits of an output, 3 to 10.
    split : tuple of int
        Magnitude bits of each phase; by default one phase up to three bits, else two halves.

    Examples
    --------
    >>> fine = Precision(input_bits=6, output_bits=8)
    >>> fine.phases, fine.integrations, fine.adc_steps
    ((3, 2), 10, 13)
    """

    input_bits: int
    output_bits: int
    split: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, least, most in (("input_bits", 1, 8), ("output_bits", 3, 10)):
            bits = getattr(self, name)
            if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= most:
                raise ValueError(
                    f"Precision.{name} expects {least} to {most} bits, which is what the neurons "
                    f"reach, got {bits!r}."
                )
        if self.split and (min(self.split) < 1 or sum(self.split) != self.magnitude_bits):
            raise ValueError(
                f"Precision.split expects phases of {self.magnitude_bits} bits in all, got "
                f"{self.split}."
            )

    @property
    def magnitude_bits(self) -> int:
        """Bits of an input without its sign."""
        return max(1, self.input_bits - 1)

    @property
    def phases(self) -> tuple[int, ...]:
        """Magnitude bits of each phase."""
        m = self.magnitude_bits
        if self.split or m <= MOST_BITS_OF_A_PHASE:
            return self.split or (m,)
        return (m - m // 2, m // 2)

    @property
    def integrations(self) -> int:
        """Sample-integrate cycles of a neuron for one product."""
        return sum(2**bits - 1 for bits in self.phases)

    @property
    def adc_steps(self) -> int:
        """Comparisons, each with a charge decrement, of a neuron for one product."""
        steps, known = 0, 0
        for bits in self.phases:
            steps += max(0, self.output_bits - known)
            known += bits
        return steps
