"""Published chips."""

from __future__ import annotations

from dataclasses import replace

from spikeram.analog import AnalogTerms
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


def neurram_analog() -> Chip:
    """Return the `neurram` chip with every analog term on, each of which can be switched off.

    Notes
    -----
    *Derived.* The published software (github.com/weierwan/Neurram_48core) lists the intercepts of
    its columns in ADC steps. Their spread within a layer of ResNet-20 was 3.6 steps of 0.08 V over
    84 samples (3 magnitude bits, 6 pulses for each, sampled twice), that is 3.4 mV for each
    sample: here 3.0 mV of offset and 1.5 mV of injected charge, and this split is assumed. Their
    means over a core were 4.5 to 11 steps of 0.075 V over 140 samples (RBM), 2.4 to 5.9 mV: a
    share of 0.003 of the word lines' 1.3 V (0.9 to 2.2 V, Extended Data Fig. 12), if it was all
    theirs. The noise of sampling is kT/C at 300 K.

    *Assumed.* Bit lines couple as much as word lines and a pair's edges do not cancel, which bounds
    it from above; comparators, which are the amplifiers after their offset was stored, are
    1 mV apart; C_integ leaks with 10 ms, as 1 pA at 0.1 V would. Read noise is that of
    `spikeram.models.devices.neurram`, a remark and not a measurement.
    """
    published = neurram()
    return replace(
        published,
        name="neurram_analog",
        neuron=replace(published.neuron, temperature=300.0, leak=10e-3),
        analog=AnalogTerms(
            read_noise=True,
            sigma_offset=3.0e-3,
            sigma_comparator=1.0e-3,
            sigma_injection=1.5e-3,
            word_coupling=0.003,
            bit_coupling=0.003,
            v_word=1.3,
        ),
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
