"""Published chips."""

from __future__ import annotations

from dataclasses import replace

from spikeram.chip import Chip
from spikeram.models import devices, energies
from spikeram.neuron import SamplingNeuron


def neurram() -> Chip:
    """Return the NeuRRAM chip, as spikes would use it (Wan et al., Nature 608, 504, 2022).

    Notes
    -----
    *Published.* 48 cores of 256 x 256 one-transistor cells, 1 to 40 uS, 130 nm; C_integ 104 fF
    (Methods); read voltage 0.5 V (Extended Data Fig. 12); rails 0.9 V on both sides of the
    reference; three rounds of iterative programming (Extended Data Fig. 3). C_sample 17 fF and the
    number of rounds are quoted from memory of the text.

    *Fitted* to Extended Data Fig. 12: energies and times; see `spikeram.models.energies`. A step
    takes 0.20 us of overhead, 0.30 us to sample and integrate and 0.32 us to compare: 0.82 us. No
    spiking operation of this chip was ever published; these are estimates for one.
    """
    return Chip(
        name="neurram",
        device=devices.neurram(),
        neuron=SamplingNeuron(c_sample=17e-15, c_integ=104e-15, v_rail=0.9, dt=0.82e-6),
        energy=energies.neurram(),
        v_read=0.5,
        rounds=3,
        n_cores=48,
        rows=256,
        columns=256,
    )


def ideal() -> Chip:
    """Return a NeuRRAM whose cells take every target exactly and stay there."""
    published = neurram()
    return Chip(
        name="ideal",
        device=devices.ideal(),
        neuron=published.neuron,
        energy=published.energy,
        v_read=published.v_read,
    )


def gaussian(share: float = 0.1) -> Chip:
    """Return an `ideal` chip but for normal errors of its conductances that never change.

    Parameters
    ----------
    share : float
        Standard deviation of the errors as a share of the largest conductance.
    """
    return replace(ideal(), name="gaussian", device=devices.gaussian(share))
