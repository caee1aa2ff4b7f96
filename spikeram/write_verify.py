r"""Write-verify programming: pulse, read, and pulse again until a cell reads its target.

A cell that reads below its target gets SET pulses, one that reads above it RESET pulses. A train
of one polarity starts at that polarity's start voltage and gains a step with each pulse, up to
the end voltage. Overshoot reverses the polarity and starts a new train. The cell is accepted when
it reads within the window around its target; a target at or below `g_min` only has to end below
`g_min` plus the window, for such a cell counts as off. A cell times out with one pulse too many
at the end voltage, or one reversal too many.

Cells relax after they were accepted. Iterative programming waits, reads all cells, and programs
again those that have left the window; the others go on relaxing undisturbed. Wan et al., Nature
608, 504 (2022), Extended Data Fig. 3.

Pulses of a cell add up over all its programmings. A cell that has had as many as its device
endures is worn out: it gets no more, and goes on relaxing from where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.write_verify import write_verify as write_verify_kernel
from spikeram.device import (
    ROOM,
    AbstractDevice,
    Cells,
    PulseResponse,
    aged,
    as_conductances,
    as_delay,
)
from spikeram.seeds import Purpose, Seed
from spikeram.units import Kelvin, Quantity, Second, Siemens, Volt, as_si


@dataclass(frozen=True, kw_only=True)
class WriteVerify:
    """How cells are programmed; the defaults are those of NeuRRAM.

    Parameters
    ----------
    window : Siemens
        Greatest distance from the target at which a cell is accepted [S].
    v_start_set, v_start_reset : Volt
        Voltages at which a train of pulses starts [V].
    v_step : Volt
        Rise from one pulse to the next [V].
    v_end : Volt
        Voltage at which the rise ends [V].
    width : Second
        Pulse width [s].
    max_end_pulses : int
        Pulses at the end voltage, in one train, before the cell times out.
    max_reversals : int
        Reversals of polarity before the cell times out.
    n_reads : int
        Reads that are averaged; NeuRRAM makes eight and ignores three.
    interval : Second
        Time from a round of iterative programming to the check that starts the next [s].

    Notes
    -----
    Window, step, width, end voltage (4.0 V in the experiments), end pulses and reads are in
    github.com/weierwan/Neurram_48core. Start voltages and the 30 reversals are recalled from the
    paper, not verified. The interval is not published: half an hour, the delay at which the
    outcome of iterative programming is reported.

    Examples
    --------
    >>> WriteVerify(window="2 uS").window
    2e-06
    """

    window: Siemens = 1e-6
    v_start_set: Volt = 1.2
    v_start_reset: Volt = 1.5
    v_step: Volt = 0.1
    v_end: Volt = 4.0
    width: Second = 1e-6
    max_end_pulses: int = 30
    max_reversals: int = 30
    n_reads: int = 5
    interval: Second = 1800.0

    def __post_init__(self) -> None:
        units = {
            "window": "S",
            "v_start_set": "V",
            "v_start_reset": "V",
            "v_step": "V",
            "v_end": "V",
            "width": "s",
            "interval": "s",
        }
        for name, unit in units.items():
            value = as_si(getattr(self, name), unit, f"WriteVerify.{name}")
            if not 0 < value < math.inf:
                raise ValueError(f"WriteVerify.{name} expects a value > 0, got {value} {unit}.")
            object.__setattr__(self, name, value)
        for name, least in {"max_end_pulses": 1, "max_reversals": 0, "n_reads": 1}.items():
            count = getattr(self, name)
            if not isinstance(count, (int, np.integer)) or count < least:
                raise ValueError(f"WriteVerify.{name} expects a count >= {least}, got {count!r}.")
        if not max(self.v_start_set, self.v_start_reset) <= self.v_end:
            raise ValueError(
                f"WriteVerify expects start voltages up to v_end = {self.v_end} V, got "
                f"{self.v_start_set} and {self.v_start_reset} V."
            )


STANDARD = WriteVerify()
"""Write-verify as on NeuRRAM."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Written:
    """What programming left behind; every array has the shape of the target.

    Parameters
    ----------
    conductance : ndarray [S]
        Conductances at the read-out: after relaxation, if there was a delay.
    programmed : ndarray [S]
        Conductances just after the last programming of each cell.
    n_pulses, n_reversals : ndarray of int
        Pulses and polarity reversals, over all programmings.
    timed_out : ndarray of bool
        Whether the last attempt at the cell ended without success.
    age : ndarray [s]
        Time from the last programming of each cell to the read-out, as if all of it had passed at
        room temperature.
    episode : ndarray of int
        Address of the last programming of each cell.
    n_checks : int
        How often cells were read to program those again that had left the window: the next
        episode, but one.
    """

    conductance: NDArray[np.float64]
    programmed: NDArray[np.float64]
    n_pulses: NDArray[np.int64]
    n_reversals: NDArray[np.int64]
    timed_out: NDArray[np.bool_]
    age: NDArray[np.float64]
    episode: NDArray[np.int64]
    n_checks: int = 0


def write_verify(
    target: Quantity,
    device: AbstractDevice,
    *,
    seed: Seed,
    chip: int = 0,
    array: int = 0,
    verify: WriteVerify = STANDARD,
    start: Quantity | None = None,
) -> Written:
    """Return the cells of one array just after programming.

    Parameters
    ----------
    target : array_like [S]
        Target conductances, of any shape, between 0 and the device's `g_max`.
    device : AbstractDevice
        The cells.
    seed : int or numpy.random.SeedSequence
        The root seed.
    chip, array : int
        Numbers of the chip and of the array on it: each has its own cells.
    verify : WriteVerify
        How to program.
    start : array_like of the shape of `target`, optional [S]
        Conductances before; by default those that forming left. Stuck cells stay stuck.

    Returns
    -------
    Written
        With `conductance` equal to `programmed`.

    Examples
    --------
    >>> from spikeram.models.devices import neurram
    >>> written = write_verify([[5e-6, 20e-6]], neurram(), seed=7)
    >>> bool(abs(written.conductance - [[5e-6, 20e-6]]).max() < 2e-6)
    True
    """
    g_target = _checked_target(target, device)
    cells = Cells.of(g_target.shape, seed=seed, chip=chip, array=array)
    return _write(g_target, _checked_start(start, g_target.shape), device, cells, verify=verify)


def write_and_relax(
    target: Quantity,
    device: AbstractDevice,
    *,
    delay: Quantity,
    seed: Seed,
    chip: int = 0,
    array: int = 0,
    rounds: int = 0,
    verify: WriteVerify = STANDARD,
    temperature: Kelvin = ROOM,
) -> Written:
    """Return the cells of one array at a delay after programming.

    Parameters
    ----------
    target : array_like [S]
        Target conductances, of any shape, between 0 and the device's `g_max`.
    device : AbstractDevice
        The cells.
    delay : Second
        Time from the last round of programming to the read-out [s].
    seed : int or numpy.random.SeedSequence
        The root seed.
    chip, array : int
        Numbers of the chip and of the array on it: each has its own cells.
    rounds : int
        Rounds of iterative programming after the first programming, each `verify.interval`
        after the one before.
    verify : WriteVerify
        How to program.
    temperature : Kelvin
        Temperature during the delay; programming takes place at room temperature [K].

    Returns
    -------
    Written
        With `conductance` at the delay.

    Examples
    --------
    >>> from spikeram.models.devices import neurram
    >>> written = write_and_relax([5e-6, 20e-6], neurram(), delay="1 day", seed=7)
    >>> written.conductance.shape
    (2,)
    """
    g_target = _checked_target(target, device)
    t = as_delay(delay, "write_and_relax")
    if not isinstance(rounds, (int, np.integer)) or rounds < 0:
        raise ValueError(f"write_and_relax expects rounds >= 0, got {rounds!r}.")
    cells = Cells.of(g_target.shape, seed=seed, chip=chip, array=array)
    written = _write(g_target, None, device, cells, verify=verify)
    for _ in range(rounds):
        written = later(written, device, cells, verify.interval)
        written = write_again(written, g_target, device, cells, verify=verify)
    return later(written, device, cells, t, temperature=temperature)


def later(
    written: Written,
    device: AbstractDevice,
    cells: Cells,
    delay: ArrayLike,
    *,
    temperature: Kelvin = ROOM,
) -> Written:
    """Return the cells of an array another delay after their read-out.

    Parameters
    ----------
    written : Written
        The cells at their read-out.
    device : AbstractDevice
        What they are.
    cells : Cells
        Which they are.
    delay : Second
        Time that passes [s].
    temperature : Kelvin
        Temperature at which it passes [K].
    """
    age = aged(written.age, delay, temperature)
    relaxed = device.relax(written.programmed, age, cells, episode=written.episode)
    return replace(written, conductance=relaxed, age=age)


def write_again(
    written: Written,
    target: NDArray[np.float64],
    device: AbstractDevice,
    cells: Cells,
    *,
    verify: WriteVerify = STANDARD,
) -> Written:
    """Return the cells of an array with those that have left the window written again.

    Parameters
    ----------
    written : Written
        The cells at their read-out.
    target : ndarray [S]
        What they should be.
    device : AbstractDevice
        What they are.
    cells : Cells
        Which they are.
    verify : WriteVerify
        How to program.

    Returns
    -------
    Written
        Pulses add up. Cells that are worn out count as timed out where they left the window.
    """
    check = written.n_checks + 1
    lower, upper = _acceptance(target, device, verify)
    reading = device.read(written.conductance, cells, n_reads=verify.n_reads, visit=check)
    outside = (reading < lower) | (reading > upper)
    worn = _worn(written, device)
    lost = outside & ~worn
    again = _write(
        target[lost],
        written.conductance[lost],
        device,
        cells.take(lost),
        episode=check,
        verify=verify,
    )
    merged = _merged(written, again, lost)
    given_up = np.asarray(merged.timed_out | (outside & worn))
    return replace(merged, timed_out=given_up, n_checks=check)


def _worn(written: Written, device: AbstractDevice) -> NDArray[np.bool_]:
    if device.endurance is None:
        return np.zeros(written.n_pulses.shape, np.bool_)
    return written.n_pulses >= device.endurance


def _write(
    target: NDArray[np.float64],
    start: NDArray[np.float64] | None,
    device: AbstractDevice,
    cells: Cells,
    *,
    episode: int = 0,
    verify: WriteVerify,
) -> Written:
    response = device.pulse_response(cells)
    shape, n = target.shape, target.size
    g = target.ravel().copy()
    n_pulses, n_reversals = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    timed_out = np.zeros(n, dtype=np.bool_)
    if response is not None:
        g = _before(start, response)
        lower, upper = _acceptance(target.ravel(), device, verify)
        write_verify_kernel(
            cells.key(Purpose.PROGRAMMING),
            cells.counter,
            cells.episodes(episode),
            lower,
            upper,
            response.threshold,
            response.exponent,
            response.rate * verify.width,
            response.g_low,
            response.g_high,
            response.sigma_cycle,
            device.sigma_read / math.sqrt(verify.n_reads),
            np.array([verify.v_start_set, verify.v_start_reset]),
            verify.v_step,
            verify.v_end,
            verify.max_end_pulses,
            verify.max_reversals,
            g,
            n_pulses,
            n_reversals,
            timed_out,
        )
    return Written(
        conductance=g.reshape(shape),
        programmed=g.reshape(shape),
        n_pulses=n_pulses.reshape(shape),
        n_reversals=n_reversals.reshape(shape),
        timed_out=timed_out.reshape(shape),
        age=np.zeros(shape),
        episode=np.full(shape, episode, dtype=np.int64),
    )


def _before(start: NDArray[np.float64] | None, response: PulseResponse) -> NDArray[np.float64]:
    if start is None:
        return response.formed.copy()
    return np.where(response.stuck, response.formed, start.ravel())


def _acceptance(
    target: NDArray[np.float64], device: AbstractDevice, verify: WriteVerify
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    off = target <= device.g_min
    lower = np.where(off, -np.inf, target - verify.window)
    return lower, np.where(off, device.g_min, target) + verify.window


def _merged(old: Written, new: Written, where: NDArray[np.bool_]) -> Written:
    conductance, programmed = old.conductance.copy(), old.programmed.copy()
    n_pulses, n_reversals = old.n_pulses.copy(), old.n_reversals.copy()
    timed_out, age, episode = old.timed_out.copy(), old.age.copy(), old.episode.copy()
    n_pulses[where] += new.n_pulses
    n_reversals[where] += new.n_reversals
    timed_out[where] = new.timed_out
    # A cell that reads its target after all gets no pulse and goes on as it was.
    pulsed = new.n_pulses > 0
    for array, fresh in (
        (conductance, new.programmed),
        (programmed, new.programmed),
        (age, new.age),
        (episode, new.episode),
    ):
        array[where] = np.where(pulsed, fresh, array[where])
    return Written(
        conductance=conductance,
        programmed=programmed,
        n_pulses=n_pulses,
        n_reversals=n_reversals,
        timed_out=timed_out,
        age=age,
        episode=episode,
    )


def _checked_target(target: Quantity, device: AbstractDevice) -> NDArray[np.float64]:
    g = as_conductances(target, "target")
    # Targets are often products of floats, so g_max may be exceeded by rounding.
    if np.any(g > device.g_max * (1.0 + 1e-9)):
        raise ValueError(
            f"target expects conductances up to the device's g_max = {device.g_max:.4g} S, got "
            f"up to {g.max():.4g} S. Conductances are in siemens: 20 uS is 20e-6."
        )
    return g


def _checked_start(start: Quantity | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if start is None:
        return None
    g = as_conductances(start, "start")
    if g.shape != shape:
        raise ValueError(f"start expects the shape of target, {shape}, got {g.shape}.")
    return g
