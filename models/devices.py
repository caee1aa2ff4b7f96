"""Published RRAM devices."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeram.device import (
    GaussianDevice,
    IdealDevice,
    QuantileRelaxation,
    Relaxation,
    RRAMDevice,
)


def neurram() -> RRAMDevice:
    r"""Return the HfOx cell of the NeuRRAM chip (Wan et al., Nature 608, 504, 2022).

    Notes
    -----
    *Published.* The mapping window of 1 to 40 uS and the acceptance of +-1 uS are those of the
    authors' software (github.com/weierwan/Neurram_48core), as is the forming criterion,
    R < 800 kOhm. The relaxation curves at 1 s, 1 day and 2 days are the polynomial fits to
    Extended Data Fig. 3d in IBM/aihwkit (``ReRamWan2022NoiseModel``, MIT licence), with
    x = G / 40 uS. The read noise of 1 % of 40 uS is a remark at the same place, not a
    measurement. The loss of spread before 1 s, 0.27 for each decade, is a fit to another
    40 uS technology (technology C of Levy et al., RRAM Relaxation Master Model: 0.45 and 0.76
    of the spread at 1 s after 10 and 100 ms).

    *Fitted.* Constants of the pulse response are not published. Two summary figures are: 8.52
    pulses for each cell on average, and 0.2 to 1.4 % of the cells of an array timed out (3 of
    1660, 10 of 1300, 99 of 7104, 68 of 7200). The thresholds lie 0.3 V under SET and 0.4 V under
    RESET start voltage, so that a train begins with weak pulses; the exponent is cubic; both
    polarities share one rate. Spreads of ln k (0.5 from cell to cell, 0.6 from pulse to pulse),
    of the thresholds (0.1 V) and of the largest conductance (60 +- 6 uS) are assumed. The rate
    was then scanned for the 8.52 pulses: there are two, and the higher is taken, as only there
    cells overshoot often enough for some to run out of polarity reversals (a third of a
    percent). Stuck cells, which the authors' software skips as "unformed" and "leaky", make up
    the rest: 0.4 % each. Targets were uniform between 1 and 40 uS.
    """
    micro = 1e-6
    return RRAMDevice(
        g_min=1e-6,
        g_max=40e-6,
        g_low=0.1e-6,
        g_high=60e-6,
        sigma_g_high=6e-6,
        g_formed=1 / 800e3,
        threshold_set=0.9,
        threshold_reset=1.1,
        sigma_threshold=0.1,
        rate_set=2e6,
        rate_reset=2e6,
        exponent_set=3.0,
        exponent_reset=3.0,
        sigma_rate=0.5,
        sigma_cycle=0.6,
        sigma_read=0.4e-6,
        relaxation=Relaxation(
            delays=(1.0, 86400.0, 172800.0),
            curves=(
                tuple(c * micro for c in (0.348, 16.030, -43.853, 45.393, -16.815)),
                tuple(c * micro for c in (0.701, 22.086, -50.773, 47.095, -16.458)),
                tuple(c * micro for c in (0.782, 20.274, -43.507, 37.062, -11.934)),
            ),
            g_unit=40e-6,
            g_range=(1e-6, 40e-6),
            sigma_verify=1e-6 / math.sqrt(3.0),
            early=0.27,
        ),
        stuck_low=0.004,
        stuck_high=0.004,
    )


def levy_c() -> RRAMDevice:
    r"""Return a cell that relaxes as technology C of the RRAM Relaxation Master Model does.

    Notes
    -----
    *Measured* (A. Levy and others, github.com/akashlevy/RRAM-Relaxation-Master-Model, MIT licence;
    the authors do not name the technology, its largest conductance is 40 uS): quantiles of the
    change of conductance at 10 ms, 0.1, 1 and 4 s and after a day at room temperature, and after
    hours at 100, 140 and 180 C, which count as 9 years, 1000 years and more at room temperature by
    `spikeram.device.equivalent_delay`. ``benchmarks/relaxation_fit.py`` makes the table and fits
    memory and forgetting to the correlations of 8,146 cells; ``docs/relaxation.md`` compares them
    with the cells that were left out. Stuck cells are among the measured ones, so none are added.

    *Assumed.* Nothing changes within the first millisecond. The pulse response and the read noise
    are those of `neurram`: neither was measured.
    """
    rows = np.loadtxt(Path(__file__).with_name("levy_c.csv"), delimiter=",")
    delays, conductances = np.unique(rows[:, 0]), np.unique(rows[:, 1])
    micro = 1e-6
    relaxation = QuantileRelaxation(
        delays=delays,
        conductances=conductances * micro,
        scores=np.linspace(-3.0, 3.0, rows.shape[1] - 2),
        change=rows[:, 2:].reshape(delays.size, conductances.size, -1) * micro,
        sigma_verify=1e-6 / math.sqrt(3.0),
        onset=1e-3,
        memory=0.649,
        forgetting=2.432,
    )
    return replace(neurram(), relaxation=relaxation, stuck_low=0.0, stuck_high=0.0)


def ideal() -> IdealDevice:
    """Return a cell with the window of `neurram` and none of its imperfections."""
    return IdealDevice(g_min=1e-6, g_max=40e-6)


def gaussian(share: float = 0.1) -> GaussianDevice:
    """Return a cell with the window of `neurram` and normal errors that never change.

    Parameters
    ----------
    share : float
        Standard deviation of the error as a share of the largest conductance.

    Examples
    --------
    >>> round(gaussian(0.1).sigma, 9)
    4e-06
    """
    if not 0 <= share < math.inf:
        raise ValueError(f"gaussian expects a share >= 0 of g_max, such as 0.1, got {share}.")
    perfect = ideal()
    return GaussianDevice(sigma=share * perfect.g_max, g_min=perfect.g_min, g_max=perfect.g_max)
