r"""An LSTM on a chip in inference mode: products in the arrays, gates on the host.

As it was published, every gate of every cell has two arrays, one that inputs drive and one that
hidden states drive, and every cell one for its dense layer: 36 for four cells. Each has two
always-on pairs of rows at the bottom, driven by the largest code, for the biases; those of a gate
are shared between both arrays in proportion to the largest weights of the column,

.. math:: W_{b,j} = \frac{b_j}{2}\,\frac{\max_i |W_{ij}|}{\max_i |W_{ij}| + \max_i |R_{ij}|}.

At each step the readings of both arrays (`spikeram.product`), corrected column by column, are
added, and the host computes states and codes of the next step (`spikeram.lstm`). A code of
:math:`q_{max}` stands for 1, and with the window of column j one unit of z is worth
:math:`q_{max} (g_{max} - g_{min}) / w_{max,j}` siemens times code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram import registry
from spikeram.adc import ADC
from spikeram.chip import Chip
from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.device import equivalent_delay
from spikeram.errors import CapacityError
from spikeram.faults import KINDS
from spikeram.inference import (
    OBSERVATIONS,
    LayerSettings,
    Settings,
    errors_of_lines,
    filling,
    largest_settled,
    swept,
)
from spikeram.lstm import GATES, LSTM, Array, exact_sums, rounded, run
from spikeram.matrix import full_scale
from spikeram.product import LineErrors, Measured, OperatingPoint, Product, fitted, uncalibrated
from spikeram.seeds import Seed
from spikeram.units import Quantity, Second, as_si
from spikeram.write_verify import Written, write_and_relax

N_BIAS = 2
"""Always-on pairs of rows of an array."""

BATCH = 4096
"""Sequences that run at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedArray:
    """One matrix on the chip.

    Parameters
    ----------
    name : str
        Cell, gate and what drives it.
    weight : ndarray of shape (row, column)
        Weights, the always-on rows last.
    w_max : ndarray of shape (column,)
        Weight that takes the end of the window.
    target : ndarray of shape (polarity, row, column) [S]
        What was asked for.
    cells : Written
        What programming left behind.
    crossbar : Crossbar
        Conductances at read-out.
    """

    name: str
    weight: NDArray[np.float64]
    w_max: NDArray[np.float64]
    target: NDArray[np.float64]
    cells: Written
    crossbar: Crossbar


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedLSTM:
    """An LSTM on a chip.

    Parameters
    ----------
    lstm : LSTM
        What was programmed.
    chip : Chip
        Onto what.
    arrays : tuple of ProgrammedArray
        For each cell: two for each gate, of inputs and of hidden states, and the dense layer's.
    delay : Second
        Time from programming to read-out [s].
    seed : int or numpy.random.SeedSequence
        Where cells drew from.
    index : int
        Number of the chip.
    """

    lstm: LSTM
    chip: Chip
    arrays: tuple[ProgrammedArray, ...]
    delay: Second
    seed: Seed
    index: int = 0

    @property
    def cores(self) -> int:
        """Cores that it takes."""
        return sum(self.chip.cores_for(*array.weight.shape) for array in self.arrays)


def program(
    lstm: LSTM,
    *,
    chip: str | Chip = "neurram",
    delay: Quantity = "1 day",
    seed: Seed,
    index: int = 0,
) -> ProgrammedLSTM:
    """Return an LSTM written to a chip, as it is `delay` later.

    Parameters are those of `spikeram.programming.program`.

    Raises
    ------
    CapacityError
        If it needs more cores than the chip has.
    """
    if not isinstance(lstm, LSTM):
        raise TypeError(f"recurrent.program expects an LSTM, got {type(lstm).__name__}.")
    chosen = registry.lookup("chips", chip)() if isinstance(chip, str) else chip
    if not isinstance(chosen, Chip):
        raise TypeError(f"chip expects a Chip or the name of one, got {type(chip).__name__}.")
    faulty = any(getattr(chosen.faults, kind) for kind in KINDS)
    if chosen.pairs_per_weight > 1 or faulty:
        raise ValueError(
            "recurrent.program expects a chip with one pair for each weight and without faults of "
            "lines, got others. Use replace(chip, pairs_per_weight=1, faults=Faults())."
        )
    matrices = list(_matrices(lstm))
    needed = sum(chosen.cores_for(*weight.shape) for _, weight in matrices)
    if needed > chosen.n_cores:
        raise CapacityError(
            f"The LSTM needs {needed} cores, but the chip has {chosen.n_cores}. Use fewer cells or "
            "a larger chip."
        )
    time = as_si(delay, "s", "delay")
    age = float(equivalent_delay(time, chosen.temperature))
    arrays = []
    for n, (name, weight) in enumerate(matrices):
        # Biases may take more of the window than weights do, but never saturate.
        w_max = np.maximum(full_scale(weight[:-N_BIAS], chosen, age), np.abs(weight[-1]))
        w_max = np.where(w_max > 0, w_max, 1.0)
        target = conductance_from_weight(
            weight, g_min=chosen.g_min, g_max=chosen.g_max, w_max=w_max
        )
        written = write_and_relax(
            target,
            chosen.device,
            delay=time,
            seed=seed,
            chip=index,
            array=n,
            rounds=chosen.rounds,
            verify=chosen.verify,
            temperature=chosen.temperature,
        )
        crossbar = _crossbar(chosen, written.conductance)
        arrays.append(
            ProgrammedArray(
                name=name,
                weight=weight,
                w_max=w_max,
                target=target,
                cells=written,
                crossbar=crossbar,
            )
        )
    return ProgrammedLSTM(
        lstm=lstm, chip=chosen, arrays=tuple(arrays), delay=time, seed=seed, index=index
    )


def operating_points(
    chip: ProgrammedLSTM,
    x: ArrayLike,
    *,
    adc: ADC | None = None,
    point: OperatingPoint | None = None,
) -> Settings:
    """Return an operating point for each array from training inputs, without measuring anything.

    As `spikeram.inference.operating_points`, from the codes that inputs and hidden states have in
    software, and the target conductances.

    Parameters
    ----------
    chip : ProgrammedLSTM
        The chip; its cells are not read.
    x : array_like of shape (sample, step, input)
        Training inputs; some hundred serve.
    adc : ADC, optional
        The converter, by default one of the LSTM's `sum_bits`.
    point : OperatingPoint, optional
        Encoding and phases, and the largest read voltage.
    """
    lstm = chip.lstm
    start = point or OperatingPoint(v_read=chip.chip.v_read)
    start = replace(
        start,
        input_bits=lstm.input_bits,
        signed=True,
        phases=None if point is None else point.phases,
        adc=adc or ADC(bits=lstm.sum_bits, conversion="binary_search"),
    )
    found = []
    for array, codes in zip(chip.arrays, _software_codes(lstm, x)):
        nominal = _crossbar(chip.chip, array.target)
        chosen = filling(start, largest_settled(nominal, codes, start), nominal.neuron)
        window = chip.chip.g_max - chip.chip.g_min
        correction = uncalibrated(
            nominal, chosen, siemens_per_unit=chosen.largest_code * window / array.w_max
        )
        found.append(LayerSettings(point=chosen, full_scale=1.0, correction=correction))
    return tuple(found)


def calibrate(
    chip: ProgrammedLSTM,
    x: ArrayLike,
    settings: Settings,
    *,
    errors: Sequence[LineErrors] | None = None,
    seed: Seed | None = None,
) -> Settings:
    """Return settings with slope and intercept of each column measured on training inputs.

    Each array is driven with the codes that inputs and hidden states have in software, and its
    readings are compared with the sums there. Before that its read voltages are chosen anew, so
    that the charge of the cells as they are fills the converter.

    Parameters are those of `spikeram.inference.calibrate`.
    """
    _check_settings(chip, settings, errors)
    found = []
    for n, codes in enumerate(_software_codes(chip.lstm, x)):
        array = chip.arrays[n]
        own = swept(settings[n], array.crossbar, codes, chip.chip.v_read)
        readings = _product(chip, n, own, errors, seed).readings(codes)
        share = codes / np.float32(own.point.largest_code)
        wanted = np.stack([share[:, part] @ array.weight[part] for part in array.crossbar.segments])
        found.append(replace(own, correction=fitted(readings, wanted, own.correction)))
    return tuple(found)


def infer(
    chip: ProgrammedLSTM,
    x: ArrayLike,
    settings: Settings,
    *,
    errors: Sequence[LineErrors] | None = None,
    seed: Seed | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return what a programmed LSTM computes.

    Parameters
    ----------
    chip : ProgrammedLSTM
        What runs; it is not changed.
    x : array_like of shape (sample, step, input)
        Sequences in [-1, 1].
    settings : tuple of LayerSettings
        How its arrays run: `operating_points`, or better `calibrate`.
    errors : sequence of LineErrors, optional
        Noise and offsets of each array; by default none.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    xarray.Dataset
        ``output`` (trial, class), the scores, and for each trial and array over all steps the
        charge decrements ``adc_steps`` and the conversions ``clipped`` and ``stuck``; for each
        array ``conversions`` and ``products`` of one trial.
    """
    lstm = chip.lstm
    values = lstm.checked_input(x)
    _check_settings(chip, settings, errors)
    products = [_product(chip, n, one, errors, seed) for n, one in enumerate(settings)]
    n_samples, n_steps, _ = values.shape
    counts = {name: np.zeros((n_samples, len(products)), np.int64) for name in _COUNTED}
    output = np.empty((n_samples, lstm.n_classes), np.float32)
    for first in range(0, n_samples, BATCH):
        some = slice(first, min(first + BATCH, n_samples))

        def read(n: int, codes: Array, step: int, some: slice = some) -> Array:
            """Return the values of one array at one step, and count what they took."""
            done = products[n].measure(_with_bias(lstm, codes), first_sample=some.start, visit=step)
            for name in _COUNTED:
                counts[name][some, n] += _taken(done, name)
            return done.values

        def sums(step: int, inputs: Array, hidden: Array) -> Array:
            """Return the sums at gates, both readings added."""
            return np.stack(
                [
                    np.stack(
                        [
                            read(_number(k, g, 0), inputs, step)
                            + read(_number(k, g, 1), hidden[k], step)
                            for g in range(len(GATES))
                        ]
                    )
                    for k in range(lstm.n_cells)
                ]
            )

        hidden = run(lstm, values[some], sums)
        output[some] = np.mean(
            [read(_number(k, -1, 2), h, 0) for k, h in enumerate(hidden)], axis=0
        )
        if progress is not None:
            progress(some.stop, n_samples)
    steps = [1 if n % _PER_CELL == _PER_CELL - 1 else n_steps for n in range(len(products))]
    conversions = [p.conversions * n for p, n in zip(products, steps)]
    return xr.Dataset(
        {
            "output": (("trial", "class"), output, {"long_name": "score", "units": "1"}),
            **{
                name: (("trial", "array"), each, {"long_name": _COUNTED[name]})
                for name, each in counts.items()
            },
            "products": ("array", steps, {"long_name": "products of one trial"}),
            "conversions": ("array", conversions, {"long_name": "conversions of one trial"}),
        },
        coords={"array": [a.name for a in chip.arrays], "trial": np.arange(n_samples)},
        attrs={"mode": "inference", "provenance": json.dumps(_provenance(chip), default=str)},
    )


def line_errors(
    chip: ProgrammedLSTM,
    *,
    sigma_read: Quantity = 0.0,
    sigma_sample: Quantity = 0.0,
    sigma_comparator: Quantity = 0.0,
    seed: Seed,
) -> tuple[LineErrors, ...]:
    """Return noise and normal offsets for the lines of each array.

    Parameters are those of `spikeram.inference.line_errors`.
    """
    return errors_of_lines(
        [array.crossbar for array in chip.arrays],
        sigma_read=sigma_read,
        sigma_sample=sigma_sample,
        sigma_comparator=sigma_comparator,
        seed=seed,
        index=chip.index,
    )


_PER_CELL = 2 * len(GATES) + 1
"""Arrays of one cell."""

_COUNTED = {
    "adc_steps": "charge decrements until the last column had flipped, over all conversions",
    "clipped": "conversions whose charge reached the rails",
    "stuck": "conversions beyond the converter's range",
}


def _number(cell: int, gate: int, kind: int) -> int:
    """Return the number of an array: of inputs (kind 0) or hidden states (1), or the dense one."""
    return cell * _PER_CELL + (2 * len(GATES) if kind == 2 else 2 * gate + kind)


def _taken(done: Measured, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = getattr(done, "decrements" if name == "adc_steps" else name)
    return found


def _matrices(lstm: LSTM) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield name and weights of each array, always-on rows at the bottom."""
    for k in range(lstm.n_cells):
        for g, gate in enumerate(GATES):
            pair = lstm.from_input[k, g], lstm.from_hidden[k, g]
            largest = np.stack([np.abs(weight).max(axis=0) for weight in pair])
            whole = largest.sum(axis=0)
            shares = np.divide(largest, whole, out=np.full(largest.shape, 0.5), where=whole > 0)
            for kind, weight, share in zip(("inputs", "hidden states"), pair, shares):
                name = f"cell {k}, {gate}, {kind}"
                yield name, _biased(weight, lstm.bias[k, g] * share)
        yield f"cell {k}, output", _biased(lstm.to_output[k], lstm.output_bias[k])


def _biased(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([weight, np.tile(bias / N_BIAS, (N_BIAS, 1))])


def _with_bias(lstm: LSTM, codes: Array) -> Array:
    whole = np.full((codes.shape[0], codes.shape[1] + N_BIAS), lstm.largest_code, np.float32)
    whole[:, :-N_BIAS] = codes
    return whole


def _crossbar(chip: Chip, conductance: NDArray[np.float64]) -> Crossbar:
    return Crossbar(
        conductance=conductance,
        neuron=chip.neuron,
        v_read=chip.v_read,
        pairs_per_core=chip.pairs,
        columns_per_core=chip.columns,
        wires=chip.wires,
    )


def _software_codes(lstm: LSTM, x: ArrayLike) -> Iterator[Array]:
    """Yield the codes that drive each array in software, some of them, over all steps."""
    values = lstm.checked_input(x)
    exact = exact_sums(lstm)
    levels = 2 ** (lstm.sum_bits - 1) - 1
    inputs: list[Array] = []
    hidden: list[Array] = []

    def sums(step: int, codes: Array, states: Array) -> Array:
        """Compute the sums, and keep what drives them."""
        inputs.append(codes)
        hidden.append(states)
        return rounded(exact(step, codes, states), lstm.sum_limit, levels)

    last = run(lstm, values, sums)
    some = slice(None, None, -(-len(inputs) * values.shape[0] // OBSERVATIONS))
    into = _with_bias(lstm, np.concatenate(inputs)[some])
    for k in range(lstm.n_cells):
        within = _with_bias(lstm, np.concatenate([each[k] for each in hidden])[some])
        for _ in GATES:
            yield into
            yield within
        yield _with_bias(lstm, last[k])


def _product(
    chip: ProgrammedLSTM,
    n: int,
    settings: LayerSettings,
    errors: Sequence[LineErrors] | None,
    seed: Seed | None,
) -> Product:
    return Product(
        crossbar=chip.arrays[n].crossbar,
        point=settings.point,
        correction=settings.correction,
        errors=LineErrors() if errors is None else errors[n],
        seed=seed,
        address=(chip.index, n),
    )


def _check_settings(
    chip: ProgrammedLSTM, settings: Settings, errors: Sequence[LineErrors] | None
) -> None:
    for name, given in (("settings", settings), ("errors", errors)):
        if given is not None and len(given) != len(chip.arrays):
            raise ValueError(
                f"The LSTM expects {name} for {len(chip.arrays)} arrays, got {len(given)}."
            )


def _provenance(chip: ProgrammedLSTM) -> dict[str, object]:
    return {
        "chip": chip.chip.name,
        "delay": chip.delay,
        "seed": chip.seed,
        "index": chip.index,
        "cores": chip.cores,
    }
