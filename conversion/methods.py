r"""Methods of conversion by name: thresholds, initial charge, kind of spikes, corrections.

=================  ==========================================================================
``max``            The layer's largest activation is the threshold, integration begins at 0
                   (Diehl et al., IJCNN 2015). Nothing clips; small activations need many steps.
``max_channel``    Each channel's largest activation, from half a threshold.
``percentile_layer``  The layer's 99.9th percentile, from half a threshold (Rueckauer et al.,
                   Front. Neurosci. 11, 682, 2017).
``percentile``     The same for each channel: serves any number of steps.
``least_squares``  Each channel's threshold of least squared error at T, then biases calibrated on
                   spikes. The default.
``reconstruction`` The same, and before each layer's biases its weights: the ridge regression of
                   the trained network's drive on the spikes that really arrive takes up what the
                   layers before lost (layer by layer as in Li et al., ICML 2021, but in closed
                   form).
``signed``         As ``least_squares``, with neurons that take spikes back which came too early:
                   what is left is rounding alone, whatever the order of spikes (Hu et al.,
                   Fast-SNN, 2023; You et al., SpikeZIP-TF, 2024).
``signed_reconstruction``  Both: for networks of many layers.
``burst_percentile``  As ``percentile``, with bursts of up to 5 spikes in a step for charge that
                   came late (Li & Zeng, IJCAI 2022; see `spikeram.burst`).
``burst``          As ``least_squares``, with bursts of up to 4 spikes in a step that large
                   activations use up: a step has five levels, and lasts as long as four.
``burst_reconstruction``  The same, and weights corrected.
``signed_burst_reconstruction``  The same, with neurons that take spikes back.
``learned``        The thresholds of clip-floor-shift activations (Bu et al., ICLR 2022), which
                   training has settled: nothing is calibrated.
``learned_signed`` The same, with neurons that take spikes back: near to what such a network
                   computes in training, also where many layers follow each other.
``learned_reconstruction``  The same, and weights and biases corrected for T steps. The default
                   for such networks.
``auto``           Converts by several of these, runs each on held-out calibration samples, and
                   takes the one that agrees best with the trained network. Those with bursts of 4
                   get a quarter of the steps, and so the same time.
=================  ==========================================================================

Half a threshold of initial charge is optimal where drive is constant: counts round to nearest,
and the expected error is zero (Bu et al., AAAI 2022). Branches that meet need no
common scale: every spike has its worth as the weight of its own row.

Residual alignment, which methods with one threshold for each layer need (a shortcut rescaled to
the threshold of the sum; Hu et al., Spiking Deep Residual Networks, IEEE TNNLS 2021), is therefore
nothing to choose here: the scale of a branch cancels exactly, and in time the spikes of a shorter
branch wait for those of the longer. Residual membranes, the charge that is left when the last step
is over (Hao et al., AAAI 2023, and ICLR 2023), are what signed neurons end without: theirs come to
rest between 0 and a threshold at the count of the whole charge, with no extra pass to measure them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from spikeram.errors import ConversionError

Thresholds: TypeAlias = Literal["max", "percentile", "least_squares", "learned"]
Correction: TypeAlias = Literal["none", "bias", "weights"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of choosing what a spiking network has and a trained one has not.

    Parameters
    ----------
    name : str
        The name in the table of this module.
    thresholds : {"max", "percentile", "least_squares", "learned"}
        What thresholds are taken from.
    per_channel : bool
        Whether each channel has its own.
    initial : float
        Membrane before the first step, as a share of the threshold.
    signed : bool
        Whether neurons take spikes back.
    burst : int
        Most spikes of a neuron in a step.
    room : int
        Spikes of a step that the largest activations take; the rest of a burst is for charge that
        came late.
    correction : {"none", "bias", "weights"}
        What is corrected on spikes, layer by layer.
    """

    name: str
    thresholds: Thresholds
    per_channel: bool = True
    initial: float = 0.5
    signed: bool = False
    burst: int = 1
    room: int = 1
    correction: Correction = "none"

    def steps_in(self, steps: int) -> int:
        """Return how many steps of this method last as long as `steps` of one spike each.

        0 where they are no whole number.
        """
        return steps // self.room if steps % self.room == 0 else 0

    @property
    def needs_steps(self) -> bool:
        """Whether the method is for one number of steps."""
        return self.thresholds == "least_squares" or self.correction != "none"


_BURSTS: tuple[tuple[str, bool, Correction], ...] = (
    ("burst", False, "bias"),
    ("burst_reconstruction", False, "weights"),
    ("signed_burst_reconstruction", True, "weights"),
)

METHODS = {
    method.name: method
    for method in (
        Method(name="max", thresholds="max", per_channel=False, initial=0.0),
        Method(name="max_channel", thresholds="max"),
        Method(name="percentile_layer", thresholds="percentile", per_channel=False),
        Method(name="percentile", thresholds="percentile"),
        Method(name="least_squares", thresholds="least_squares", correction="bias"),
        Method(name="reconstruction", thresholds="least_squares", correction="weights"),
        Method(name="signed", thresholds="least_squares", signed=True, correction="bias"),
        Method(
            name="signed_reconstruction",
            thresholds="least_squares",
            signed=True,
            correction="weights",
        ),
        Method(name="burst_percentile", thresholds="percentile", burst=5),
        *(
            Method(
                name=name,
                thresholds="least_squares",
                signed=signed,
                burst=4,
                room=4,
                correction=correction,
            )
            for name, signed, correction in _BURSTS
        ),
        Method(name="learned", thresholds="learned"),
        Method(name="learned_signed", thresholds="learned", signed=True),
        Method(
            name="learned_reconstruction", thresholds="learned", signed=True, correction="weights"
        ),
    )
}
"""The methods, by name."""

AUTO = "auto"
"""Name of the choice by measurement."""

CANDIDATES = (
    "least_squares",
    "reconstruction",
    "signed",
    "signed_reconstruction",
    "burst_reconstruction",
    "signed_burst_reconstruction",
)
"""Methods that ``auto`` measures; the learned ones too, where the model brings thresholds."""

LEARNED = ("learned", "learned_signed", "learned_reconstruction")
"""Methods for models that bring thresholds."""


def method_of(name: str) -> Method:
    """Return a method by name, or say which there are."""
    if name not in METHODS:
        raise ConversionError(f"method expects one of {', '.join([*METHODS, AUTO])}, got {name!r}.")
    return METHODS[name]
