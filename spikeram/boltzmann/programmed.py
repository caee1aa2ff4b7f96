"""A Boltzmann machine on a chip: one programmed array, sensed forward and backward.

The array of `spikeram.boltzmann.layout` is written and relaxes as any other. `read_out` measures
how its lines answer on training data and returns the fields as inference mode reads them
(`spikeram.product`): visible units as multi-bit inputs forward, hidden spikes backward, a reading
for each core's part of a column and for each line of a pair of rows. These are corrected and added
digitally, so that no single conversion decides on a unit: the kicks of `spikeram.boltzmann.firing`
are added to the sum, which is the same as sampling them before the conversion of one part, but
for the converter's half step. `spikeram.boltzmann.spiking` decides on charge instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.adc import ADC, check_count
from spikeram.boltzmann.firing import Firing
from spikeram.boltzmann.layout import Layout, lay_out
from spikeram.boltzmann.machine import BoltzmannMachine, Codes, Spikes
from spikeram.boltzmann.sampling import checked_visible
from spikeram.chip import Chip
from spikeram.crossbar import Crossbar
from spikeram.operating_point import OperatingPoint
from spikeram.product import LineErrors, Product, fitted, parts_of, uncalibrated
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Quantity, Second, as_si
from spikeram.write_verify import Written, write_and_relax

HEADROOM = 0.8
"""Share of the rails that the largest charge of the training data may reach."""

FULL = 0.9
"""Share of the converter's range that the training data may fill."""

FILL = 0.999
"""Quantile of the charge that counts as the largest."""

_CALIBRATION = 1
_RUN = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedMachine:
    """A machine as a chip holds it.

    Parameters
    ----------
    machine : BoltzmannMachine
        What was programmed.
    chip : Chip
        On which chip.
    layout : Layout
        What lies where.
    w_max : float
        Weight at the end of the window.
    target : ndarray of shape (polarity, row, column) [S]
        Target conductances.
    crossbar : Crossbar
        The array, forward; `Crossbar.T` senses the same cells backward.
    cells : Written
        What writing them took.
    index : int
        Number of the chip.
    """

    machine: BoltzmannMachine
    chip: Chip
    layout: Layout
    w_max: float
    target: NDArray[np.float64]
    crossbar: Crossbar
    cells: Written
    index: int

    @property
    def siemens(self) -> float:
        """Conductance difference of a weight of 1 [S]."""
        return (self.chip.g_max - self.chip.g_min) / self.w_max


def program_machine(
    machine: BoltzmannMachine,
    *,
    chip: Chip,
    seed: Seed,
    delay: Quantity = "1 day",
    index: int = 0,
    cores: int = 1,
    w_max: float | None = None,
) -> ProgrammedMachine:
    """Return a machine written to a chip, as it is `delay` later.

    Parameters
    ----------
    machine : BoltzmannMachine
        What to program.
    chip : Chip
        A chip; `Chip.g_max` is the end of the window.
    seed : int or numpy.random.SeedSequence
        Where cells and pulses draw from.
    delay : Second
        Time between programming and read-out.
    index : int
        Number of the chip: chips of one seed and different numbers are independent.
    cores : int
        Cores that visible units are shared out to.
    w_max : float, optional
        Weight at the end of the window, larger ones saturate; by default the largest.

    Raises
    ------
    CapacityError
        If it does not fit the chip's cores.
    """
    time: Second = as_si(delay, "s", "delay")
    check_count("program_machine: cores", cores, 1, machine.shape[0])
    top = float(np.abs(machine.weight).max()) if w_max is None else w_max
    if not top > 0:
        raise ValueError(f"program_machine expects w_max > 0, or weights other than 0, got {top}.")
    layout, target = lay_out(machine, chip, cores=cores, w_max=top)
    written = write_and_relax(
        target, chip.device, delay=time, seed=seed, chip=index, rounds=chip.rounds,
        verify=chip.verify, temperature=chip.temperature,
    )  # fmt: skip
    crossbar = Crossbar(
        conductance=written.conductance,
        neuron=chip.neuron,
        v_read=chip.v_read,
        pairs_per_core=layout.height,
        wires=chip.wires,
    )
    return ProgrammedMachine(
        machine=machine, chip=chip, layout=layout, w_max=top, target=target, crossbar=crossbar,
        cells=written, index=index,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReadOut:
    """How the fields of a programmed machine are read.

    Parameters
    ----------
    adc : ADC
        The converter of both directions.
    input_bits : int
        Bits of a visible unit.
    most_pulses : int
        Largest pulse multiplier; the published one was 10 to 20.
    errors : sequence of LineErrors, optional
        Noise and offsets of hidden lines (part, column) and of visible ones (polarity, row).
    """

    adc: ADC = field(default_factory=lambda: ADC(bits=7, v_decrement=0.075))
    input_bits: int = 3
    most_pulses: int = 20
    errors: Sequence[LineErrors] = (LineErrors(), LineErrors())

    def __post_init__(self) -> None:
        check_count("ReadOut.most_pulses", self.most_pulses, 1, 255)
        if len(self.errors) != 2:
            raise ValueError(
                f"ReadOut.errors expects two, of hidden and of visible lines, got "
                f"{len(self.errors)}."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadMachine:
    """The fields of a programmed machine, read by its converters.

    Parameters
    ----------
    programmed : ProgrammedMachine
        The machine.
    forward, backward : Product
        Products of rows and of columns with the same cells.
    """

    programmed: ProgrammedMachine
    forward: Product
    backward: Product

    @property
    def shape(self) -> tuple[int, int]:
        """Number of visible and of hidden units."""
        return self.programmed.machine.shape

    def to_hidden(
        self, codes: Codes, levels: int, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the fields of hidden units for visible ones of `codes / levels`."""
        layout, full = self.programmed.layout, self.forward.point.largest_code
        if full % levels:
            raise ValueError(
                f"ReadMachine.to_hidden expects levels that {full}, the largest input, is a "
                f"multiple of, got {levels}."
            )
        rows = layout.row_codes(codes * np.int16(full // levels), full)
        read = self.forward(rows, first_sample=first_sample, visit=visit)
        return read[:, : layout.n_hidden].astype(np.float64)

    def to_visible(
        self, hidden: Spikes, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the fields of visible units."""
        layout = self.programmed.layout
        read = self.backward(layout.column_codes(hidden), first_sample=first_sample, visit=visit)
        return read[:, layout.visible_rows].astype(np.float64)

    def units(self, levels: int) -> tuple[float, float]:
        """Return 1 and 1: readings are corrected to fields."""
        return 1.0, 1.0


def training_states(
    machine: BoltzmannMachine, visible: ArrayLike, levels: int, seed: Seed
) -> tuple[Codes, Spikes]:
    """Return codes of training data, and the hidden units that a machine draws for them."""
    codes = checked_visible(visible, machine.shape[0], levels)
    own = key(seed, Purpose.GIBBS, 2)
    z = machine.to_hidden(codes, levels)
    spikes = Firing().fire(z, 1, unit=1.0, key=own, visit=0, first_sample=0)
    return codes, spikes[:, :, 0]


def read_out(
    programmed: ProgrammedMachine,
    visible: ArrayLike,
    settings: ReadOut | None = None,
    *,
    seed: Seed,
    calibrated: bool = True,
) -> ReadMachine:
    """Return the fields as converters read them, every line corrected by its own fit.

    Parameters
    ----------
    programmed : ProgrammedMachine
        The machine on its chip.
    visible : array_like of shape (sample, visible)
        Training data, from 0 to 1; 100 to 1000 serve.
    settings : ReadOut, optional
        How it is read.
    seed : int or numpy.random.SeedSequence
        Where noise of the lines and hidden units of the calibration are drawn from.
    calibrated : bool
        Whether slope and intercept are measured; else they follow from the conductances.
    """
    how = settings or ReadOut()
    layout, machine = programmed.layout, programmed.machine
    point = OperatingPoint(
        input_bits=how.input_bits, signed=False, v_read=programmed.chip.v_read, adc=how.adc
    )
    full = point.largest_code
    codes, hidden = training_states(machine, visible, full, seed)
    directions = (
        (programmed.crossbar, point, layout.row_codes(codes, full), full),
        (
            programmed.crossbar.T,
            replace(point, input_bits=1),
            layout.column_codes(hidden),
            1,
        ),
    )
    found = []
    for number, (crossbar, start, inputs, one) in enumerate(directions):
        own = _point(crossbar, start, inputs, how.most_pulses)
        per_unit = one * programmed.siemens
        correction = uncalibrated(crossbar, own, siemens_per_unit=per_unit)
        product = Product(
            crossbar=crossbar, point=own, correction=correction, errors=how.errors[number],
            seed=seed, address=(programmed.index, number, _CALIBRATION),
        )  # fmt: skip
        if calibrated:
            wanted = _expected(programmed.target, crossbar, inputs) / per_unit
            correction = fitted(product.readings(inputs), wanted, correction)
        address = (programmed.index, number, _RUN)
        found.append(replace(product, correction=correction, address=address))
    return ReadMachine(programmed=programmed, forward=found[0], backward=found[1])


def _point(
    crossbar: Crossbar, start: OperatingPoint, inputs: NDArray[np.float32], most: int
) -> OperatingPoint:
    """Return the operating point at which the charge of inputs fills the converter."""
    gain, rail = crossbar.neuron.gain, crossbar.neuron.v_rail
    largest = max(
        float(np.quantile(np.abs(inputs[:, part.inputs] @ part.settled), FILL))
        for part in parts_of(crossbar)
    )
    volts = min(FULL * start.adc.most * start.adc.mean_decrement, HEADROOM * rail / gain)
    read = float(start.reads(1)[0])
    pulses = max(1, min(most, int(np.ceil(volts / (largest * read)))))
    return replace(start, pulse_multiplier=pulses, v_read=min(read, volts / (largest * pulses)))


def _expected(
    target: NDArray[np.float64], crossbar: Crossbar, inputs: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return what the lines of each part should show, (part, sample, line) [S]."""
    if crossbar.direction == "backward":
        return np.stack([inputs @ lines.T for lines in target])
    difference = target[0] - target[1]
    return np.stack([inputs[:, rows] @ difference[rows] for rows in crossbar.segments])
