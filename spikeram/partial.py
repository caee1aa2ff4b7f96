r"""Partial sums: what becomes of a column that is cut over several cores.

A matrix taller than a core lies on several, and each core settles, samples and integrates its own
segment s of a column j. With the activation :math:`z_{sj}` that a segment brings in one step, of
:math:`z_j = \sum_s z_{sj}` in all, its neuron sees

.. math:: \frac{C_s}{C_i}\,\Delta V_{sj} = u_{sj}\,z_{sj}, \qquad
          u_{sj} \propto \frac{1}{w_{max,j} \sum_{i \in s} (G^+_{ij} + G^-_{ij})}.

*Ideal* partial sums add the analog values, as one undivided column does.

*Spiking* ones come from partial neurons. One keeps its charge :math:`U_{sj}` and sends +1 where it
reaches half a quantum, -1 where it falls below minus half a quantum, and takes the quantum away:

.. math:: o_{sj} = [U_{sj} \ge \tfrac12 q_j u_{sj}] - [U_{sj} < -\tfrac12 q_j u_{sj}], \qquad
          U_{sj} \leftarrow U_{sj} - o_{sj}\,q_j u_{sj}.

The quantum :math:`q_j = \rho\,\theta_j` is the same amount of activation in every core: its voltage
is set for each core and column from the segment's sum of conductances. While no segment brings
more than a quantum in a step, the charge that has not been sent is at most half a quantum of each
segment, however many steps there are. (The two comparators and the decrement have voltages of
their own on the published chip. The membrane is kept half a quantum higher here, so that the
window is 0 to :math:`q_j u_{sj}`: a signed neuron of slope 1, whose counter never matters.)

*Digital* ones are converted in each step and forgotten: with b bits, one of them the sign,

.. math:: n_{sj} = \mathrm{sgn}(z_{sj}) \min\left(\left\lfloor \frac{|z_{sj}|}{l_j} + \frac12
          \right\rfloor,\ 2^{b-1} - 1\right), \qquad l_j = \frac{R\,\theta_j}{2^{b-1}}.

The soma adds what arrives, :math:`q_j \sum_s o_{sj}` or :math:`l_j \sum_s n_{sj}`, one step later,
and fires at :math:`\theta_j`, with reset by subtraction. It is an accumulator of integers
outside the cores, without rails or noise: on the published chip partial sums are added outside (Wan
et al., Nature 608, 504 (2022)), and a core has no second array that could collect the spikes of
others. Offsets and gains that were measured for a column are numbers there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer, charge_layer
from spikeram.gather import Gather, every_input
from spikeram.layer import Layer
from spikeram.neuron import SamplingNeuron

Kind: TypeAlias = Literal["ideal", "digital", "spiking"]

MOST_BITS = 12
"""Most bits of a converter; the published chip's has up to ten."""


@dataclass(frozen=True, kw_only=True)
class PartialSums:
    """How the segments of a column that is cut over cores are added.

    Parameters
    ----------
    kind : {"ideal", "digital", "spiking"}
        As one undivided column; converted in each step; or sent as ternary spikes.
    share : float
        Charge of one partial spike, as a share of the threshold.
    bits : int
        Bits of the converter, one of them the sign, 2 to 12.
    reach : float
        Full scale of the converter, in thresholds.

    Examples
    --------
    >>> PartialSums(kind="digital", bits=4).step
    0.5
    """

    kind: Kind = "ideal"
    share: float = 1.0
    bits: int = 8
    reach: float = 4.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"PartialSums.kind expects 'ideal', 'digital' or 'spiking', got {self.kind!r}."
            )
        for name in ("share", "reach"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"PartialSums.{name} expects a number of thresholds > 0, got "
                    f"{getattr(self, name)}."
                )
        whole = isinstance(self.bits, int) and not isinstance(self.bits, bool)
        if not whole or not 2 <= self.bits <= MOST_BITS:
            raise ValueError(
                f"PartialSums.bits expects an integer from 2 to {MOST_BITS}, got {self.bits!r}."
            )

    @property
    def digits(self) -> int:
        """Digits that a segment sends for each column in a step; 0 where it sends one spike."""
        return self.bits - 1 if self.kind == "digital" else 0

    @property
    def step(self) -> float:
        """Least amount that a segment sends, as a share of the threshold."""
        return self.reach / 2**self.digits if self.digits else self.share


def as_partial_sums(value: Kind | PartialSums) -> PartialSums:
    """Return partial sums of a kind, with the usual options; others are passed through."""
    return value if isinstance(value, PartialSums) else PartialSums(kind=value)


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """The rows of a layer that one core holds, in volts on C_i.

    Parameters
    ----------
    weight : ndarray of shape (row, column)
        Membrane change for one spike [V].
    bias : ndarray of shape (column,)
        Membrane change of the always-on rows in every step [V].
    threshold : ndarray of shape (column,)
        Nominal worth of one threshold of the layer [V].
    rows : slice
        Which rows of the layer's matrix these are.
    pairs, always_on : int
        Pairs of rows in all, held ones included, and those of biases.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    threshold: NDArray[np.float64]
    rows: slice
    pairs: int
    always_on: int


def cut_layer(
    layer: Layer,
    segments: Sequence[Segment],
    sums: PartialSums,
    *,
    neuron: SamplingNeuron,
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> tuple[ChargeLayer, ...]:
    """Return the partial neurons of each segment, and the soma that adds up what they send.

    Parameters
    ----------
    layer : Layer
        The layer; its name becomes the soma's.
    segments : sequence of Segment
        What each core holds.
    sums : PartialSums
        Spiking or digital.
    neuron : SamplingNeuron
        The neurons of the cores.
    gain, offset : ndarray of shape (column,)
        Measured correction of the sum, in units of activation.
    """
    if neuron.reset != "subtract" or neuron.leak is not None:
        raise ValueError(
            f"Layer {layer.name!r} is cut over {len(segments)} cores, whose {sums.kind} partial "
            "sums count charge: they expect neurons with reset 'subtract' and no leak, got "
            f"{neuron.reset!r} and {neuron.leak}. Use ideal partial sums or larger cores."
        )
    parts = [_part(layer, segment, sums, neuron, n) for n, segment in enumerate(segments, 1)]
    return (*parts, _soma(layer, len(parts), sums, gain, offset))


def _part(
    layer: Layer, segment: Segment, sums: PartialSums, neuron: SamplingNeuron, n: int
) -> ChargeLayer:
    copies = sums.digits or 1
    # Full scale of a converter, or one quantum.
    share = sums.reach if sums.digits else sums.share
    threshold = share * segment.threshold
    weight, rows = segment.weight / layer.n_taps, segment.rows
    if rows.start == rows.stop:
        # Always-on rows alone: a row at which nothing stands.
        weight = np.zeros((1, layer.n_columns))
    spiking = not sums.digits
    own = (
        replace(neuron, spikes="signed")
        if spiking
        else replace(neuron, spikes="ternary", reset="zero")
    )
    made = charge_layer(
        f"{layer.name}/{n}",
        np.tile(weight, copies),
        bias=np.tile(segment.bias, copies),
        threshold=np.tile(threshold, copies),
        initial=np.tile(threshold / 2 if spiking else 0 * threshold, copies),
        scale=np.tile(share * layer.threshold, copies),
        slope=1.0,
        neuron=own,
        rows=2 * segment.pairs,
        always_on=segment.always_on,
        gather=_rows_of(layer, rows),
        sources=layer.sources,
    )
    return replace(
        made,
        decay=1.0 if spiking else 0.0,
        digits=sums.digits,
        part=n,
        part_of=layer.name,
        lines=layer.n_columns,
    )


def _rows_of(layer: Layer, rows: slice) -> Gather:
    whole = every_input(layer.n_inputs) if layer.gather is None else layer.gather
    if rows.start == rows.stop:
        return Gather(np.full((whole.n_positions, 1, 1), -1, np.int32), whole.n_inputs)
    return Gather(whole.index[:, rows], whole.n_inputs)


def _soma(
    layer: Layer,
    n_parts: int,
    sums: PartialSums,
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> ChargeLayer:
    """Return the soma of a layer; the largest amount that a spike brings is one."""
    copies, n = sums.digits or 1, layer.n_outputs
    # Rows in the order of its inputs: part by part, and in each digit by digit.
    amounts = np.tile(2.0 ** (np.arange(copies) - (copies - 1)), n_parts)
    worth = sums.step * 2 ** (copies - 1) * layer.threshold * gain
    threshold = layer.threshold / worth
    made = charge_layer(
        layer.name,
        np.broadcast_to(amounts[:, np.newaxis], (amounts.size, layer.n_columns)),
        bias=offset / worth,
        threshold=threshold,
        initial=layer.initial * threshold,
        scale=layer.threshold,
        slope=layer.slope,
        neuron=SamplingNeuron(v_rail=math.inf, spikes=layer.spikes),
        sources=tuple(f"{layer.name}/{s}" for s in range(1, n_parts + 1)),
    )
    positions = layer.n_positions
    index = np.arange(amounts.size) * n + np.arange(n)[:, np.newaxis]
    return replace(
        made,
        # All neurons of all columns add alike: one column, used for each neuron.
        weight=made.weight[:, :1].copy(),
        gather=Gather(index[:, :, np.newaxis].astype(np.int32), amounts.size * n),
        rows=0,
        cores=0,
        part_of=layer.name,
        lines=0,
        uses=1,
        bias=np.repeat(made.bias, positions),
        threshold=np.repeat(made.threshold, positions),
        initial=np.repeat(made.initial, positions),
        scale=np.repeat(made.scale, positions),
        negative=np.repeat(made.negative, positions),
    )
