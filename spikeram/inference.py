r"""Inference mode: a programmed network run with multi-bit activations, as the chip was published.

The chip holds the same cells as for spikes (`spikeram.programming`); what differs is how rows are
driven and columns read. With the worth :math:`\theta_i` of a spike of input i, its activation
:math:`a_i` drives the row with the code

.. math:: q_i = \mathrm{clip}\left(\left\lfloor \frac{a_i}{\theta_i}\,\frac{q_{max}}{r}
          + \tfrac12 \right\rfloor,\ q_{min},\ q_{max}\right)

for a full scale r, one for each layer. Always-on rows, which hold biases at the drive of one
spike a step, take the code nearest to :math:`q_{max}/r`; the rest of the bias is added digitally.
An average pool is taken before its rows are quantised, a max pool of values. Readings are
corrected and added as in `spikeram.product`, to the activation's own units; shortcuts without cells
(``program(..., shortcuts="digital")``) are added to them, as the code stands for; rectification
follows.

A unit of activation is worth, on column j of part p (:math:`u_j` and the symbols of one spike as in
`spikeram.programming`, sums over the target conductances of k pairs),

.. math:: \alpha_{pj} = M\,\frac{v_{read}}{V_{read}}\,\frac{q_{max}}{r}\,
          \frac{u_j}{(C_s/C_i) V_d}\,\frac{\sum_i G_{ij}}{\sum_{i \in p} G_{ij}}

decrements, the slope without calibration (`operating_points`); twice that for bipolar pulses.
`calibrate` measures slope and intercept of each column instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram.adc import ADC
from spikeram.chip import Chip, ProgrammedChip, ProgrammedLayer
from spikeram.crossbar import Crossbar
from spikeram.layer import Layer
from spikeram.network import INPUT, MaxPool, SpikingNetwork
from spikeram.neuron import SamplingNeuron
from spikeram.product import (
    Correction,
    LineErrors,
    OperatingPoint,
    Product,
    fitted,
    parts_of,
    phases_of,
)
from spikeram.seeds import Purpose, Seed, generator
from spikeram.units import Quantity, Volt, as_si

Array = NDArray[np.float32]

HEADROOM = 0.8
"""Share of the rails that the largest charge of the calibration inputs may reach."""

FILL = 0.999
"""Quantile of the charge of the calibration inputs that fills the converter."""

FULL = 0.9
"""Share of the converter's range that it fills: cells err to either side."""

MOST_PULSES = 255
"""Largest content of the chip's counter of pulses of one bit plane."""

OBSERVATIONS = 20_000
"""Most observations, samples times positions, that a layer is calibrated on."""

BATCH_VALUES = 2**23
"""Codes of a layer's rows held at once, which bounds the samples of a batch."""

FULL_SCALES = np.linspace(1.0, 0.2, 33)
"""Shares of the largest activation that the full scale is chosen from."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerSettings:
    """How one layer runs in inference mode.

    Parameters
    ----------
    point : OperatingPoint
        How its rows are driven and its columns read.
    full_scale : float
        What the largest code stands for, in spikes a step: activations over their worth.
    correction : Correction
        What turns readings into units of activation.
    clipped : bool
        Whether the trained network cuts its activations off at the full scale as well.
    """

    point: OperatingPoint
    full_scale: float
    correction: Correction
    clipped: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.full_scale < math.inf:
            raise ValueError(
                f"LayerSettings.full_scale expects a number > 0, got {self.full_scale}."
            )

    @property
    def bias_code(self) -> int:
        """Code of the always-on rows."""
        largest = self.point.largest_code
        return int(min(largest, math.floor(largest / self.full_scale + 0.5)))

    @property
    def bias_share(self) -> float:
        """Share of the bias that the always-on rows bring."""
        return self.bias_code * self.full_scale / self.point.largest_code


Settings = tuple[LayerSettings, ...]
"""How the layers of a network run, one for each."""


def operating_points(
    chip: ProgrammedChip,
    x: ArrayLike,
    *,
    input_bits: int = 4,
    activation_bits: int = 4,
    adc: ADC | None = None,
    point: OperatingPoint | None = None,
    full_scale: float | None = None,
) -> Settings:
    """Return an operating point for each layer from training inputs, without measuring anything.

    From the trained network's activations and the target conductances: the full scale of least
    squared error, the read voltage and pulse multiplier that bring the charge to the converter's
    range, and the decrement voltage that lets it fill that range. Slopes are those of the formula.

    Parameters
    ----------
    chip : ProgrammedChip
        The chip; its cells are not read.
    x : array_like of shape (sample, input)
        Training inputs; some hundred serve.
    input_bits, activation_bits : int
        Bits of the network's inputs and of the activations of layers, without a sign where they
        are never negative.
    adc : ADC, optional
        The converter; its decrement voltage is the largest that is used.
    point : OperatingPoint, optional
        Encoding and phases, and the largest read voltage. By default ternary pulses at the read
        voltage of the chip.
    full_scale : float, optional
        What the largest code of every layer stands for, in spikes a step, where that was learned
        with the weights: 1 for clip-floor-shift activations of 2^n - 1 levels, which are those of
        n bits. By default that of least squared error.
    """
    network = chip.network
    start = point or OperatingPoint(v_read=chip.chip.v_read)
    start = replace(start, adc=adc or start.adc)
    found: list[LayerSettings] = []
    arrivals = _arriving(network, network.checked_input(x), lambda n: full_scale)
    for n, (layer, arriving) in enumerate(arrivals):
        drive = _drive(network, n, arriving)
        is_input = set(network.wiring.sources[layer.name]) == {INPUT}
        signed = bool(np.any(drive < 0))
        wanted = replace(
            start,
            input_bits=input_bits if is_input else activation_bits,
            signed=signed,
            phases=None if point is None else point.phases,
        )
        scale = full_scale or _full_scale(drive, wanted)
        one = _layer_settings(chip, n, drive, wanted, scale)
        found.append(replace(one, clipped=full_scale is not None))
    return tuple(found)


def calibrate(
    chip: ProgrammedChip,
    x: ArrayLike,
    settings: Settings,
    *,
    errors: Sequence[LineErrors] | None = None,
    seed: Seed | None = None,
) -> Settings:
    """Return settings with slope and intercept of each column measured on training inputs.

    Layer by layer, each with the activations that really arrive from those before it, against what
    the trained network computes there. Before that the read voltage of each part is chosen anew,
    so that the charge of the cells as they are fills the converter.

    Parameters
    ----------
    chip : ProgrammedChip
        The chip as it is.
    x : array_like of shape (sample, input)
        Training inputs; 100 to 1000 serve.
    settings : tuple of LayerSettings
        Operating points.
    errors : sequence of LineErrors, optional
        Noise and offsets of each layer; by default none.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn.
    """
    network = chip.network
    values = network.checked_input(x)
    trained = _arriving(
        network, values, lambda n: settings[n].full_scale if settings[n].clipped else None
    )
    found: list[LayerSettings] = []

    def measure(n: int, layer: Layer, arriving: Array) -> NDArray[np.float32]:
        """Calibrate a layer, and return what it computes then."""
        drive = _drive(network, n, arriving)
        some = slice(None, None, -(-drive.shape[0] // OBSERVATIONS))
        wanted = _partial_sums(chip, n, _drive(network, n, next(trained)[1])[some])
        codes = _codes(chip.layers[n], settings[n], drive[some])
        own = swept(settings[n], chip.layers[n].crossbar, codes, chip.chip.v_read)
        readings = _product(chip, n, own, errors, seed).readings(codes)
        found.append(replace(own, correction=fitted(readings, wanted, own.correction)))
        again = _product(chip, n, found[n], errors, seed)
        sums = again(_codes(chip.layers[n], found[n], drive))
        return _computed(chip, n, found[n], drive, sums)

    _walk(network, values.astype(np.float32), measure)
    return tuple(found)


def infer(
    chip: ProgrammedChip,
    x: ArrayLike,
    settings: Settings,
    *,
    errors: Sequence[LineErrors] | None = None,
    seed: Seed | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return what a programmed network computes in inference mode.

    Parameters
    ----------
    chip : ProgrammedChip
        What runs; it is not changed.
    x : array_like of shape (sample, input)
        Inputs in the trained network's units.
    settings : tuple of LayerSettings
        How its layers run: `operating_points`, or better `calibrate`.
    errors : sequence of LineErrors, optional
        Noise and offsets of each layer; by default none.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    xarray.Dataset
        ``output`` (trial, class) in units of activation, and what each layer took; see
        ``docs/inference.md``.
    """
    network = chip.network
    values = network.checked_input(x)
    if len(settings) != len(network.layers):
        raise ValueError(
            f"infer expects settings for {len(network.layers)} layers, got {len(settings)}."
        )
    products = [_product(chip, n, one, errors, seed) for n, one in enumerate(settings)]
    n_samples, shape = values.shape[0], (values.shape[0], len(products))
    counts = {name: np.zeros(shape, np.int64) for name in _COUNTED}
    output = np.empty((n_samples, network.layers[-1].n_outputs), np.float32)
    for some in _batches(network, n_samples):

        def run(n: int, layer: Layer, arriving: Array, some: slice = some) -> NDArray[np.float32]:
            """Run one layer on a batch, and count what it takes."""
            drive = _drive(network, n, arriving)
            codes = _codes(chip.layers[n], settings[n], drive)
            done = products[n].measure(codes, first_sample=some.start * layer.n_positions)
            for name, each in (
                ("adc_steps", done.decrements),
                ("clipped", done.clipped),
                ("stuck", done.stuck),
                ("input_pulses", _input_pulses(codes, settings[n].point)),
            ):
                counts[name][some, n] = each.reshape(-1, layer.n_positions).sum(axis=1)
            return _computed(chip, n, settings[n], drive, done.values)

        output[some] = _walk(network, values[some].astype(np.float32), run)
        if progress is not None:
            progress(some.stop, n_samples)
    return _dataset(chip, settings, products, output, counts)


def activations(
    chip: ProgrammedChip,
    x: ArrayLike,
    settings: Settings,
    layer: str,
    *,
    known: Mapping[str, Array] = MappingProxyType({}),
    errors: Sequence[LineErrors] | None = None,
    seed: Seed | None = None,
) -> NDArray[np.float32]:
    """Return what one layer gives on in inference mode, of shape (sample, output).

    Parameters
    ----------
    chip, x, settings, errors, seed
        As for `infer`.
    layer : str
        Name of the layer.
    known : mapping of str to float32 ndarray of shape (sample, output)
        What layers before it gave on, where that was measured already; they are not run again.
    """
    network = chip.network
    values = network.checked_input(x).astype(np.float32)
    names = [one.name for one in network.layers]
    if layer not in names:
        raise ValueError(f"activations expects one of {', '.join(names)}, got {layer!r}.")
    wanted = names.index(layer)
    products = [_product(chip, n, settings[n], errors, seed) for n in range(wanted + 1)]
    output = np.empty((values.shape[0], network.layers[wanted].n_outputs), np.float32)
    for some in _batches(network, values.shape[0]):

        def compute(n: int, own: Layer, arriving: Array, some: slice = some) -> Array:
            """Run a layer up to the wanted one, unless it is known; those after do not matter."""
            if n > wanted:
                return np.zeros((arriving.shape[0], own.n_outputs), np.float32)
            if own.name in known:
                return known[own.name][some]
            drive = _drive(network, n, arriving)
            codes = _codes(chip.layers[n], settings[n], drive)
            sums = products[n](codes, first_sample=some.start * own.n_positions)
            z = _computed(chip, n, settings[n], drive, sums)
            if n == wanted:
                output[some] = own.activation(z)  # type: ignore[arg-type]
            return z

        _walk(network, values[some], compute)
    return output


def predictions(run: xr.Dataset) -> NDArray[np.generic]:
    """Return the class of each trial: the largest output, or the sign of a single one."""
    output = run["output"].values
    chosen = (output[:, 0] > 0).astype(np.int64) if output.shape[1] == 1 else output.argmax(axis=1)
    labels = (
        run["category"].values if "category" in run.coords else np.arange(max(2, output.shape[1]))
    )
    return np.asarray(labels[chosen])


def line_errors(
    chip: ProgrammedChip,
    *,
    sigma_read: Quantity = 0.0,
    sigma_sample: Quantity = 0.0,
    sigma_comparator: Quantity = 0.0,
    seed: Seed,
) -> tuple[LineErrors, ...]:
    """Return noise and normal offsets for the lines of each layer of a chip.

    Parameters
    ----------
    chip : ProgrammedChip
        For the number of its lines; every part of a tall matrix has neurons of its own.
    sigma_read : Siemens
        Read noise of a cell in one cycle [S].
    sigma_sample, sigma_comparator : Volt
        Standard deviations of the offsets of a sample, and of a comparator on C_integ [V].
    seed : int or numpy.random.SeedSequence
        Where the offsets come from.
    """
    return errors_of_lines(
        [layer.crossbar for layer in chip.layers],
        sigma_read=sigma_read,
        sigma_sample=sigma_sample,
        sigma_comparator=sigma_comparator,
        seed=seed,
        index=chip.index,
    )


def errors_of_lines(
    crossbars: Sequence[Crossbar],
    *,
    sigma_read: Quantity,
    sigma_sample: Quantity,
    sigma_comparator: Quantity,
    seed: Seed,
    index: int,
) -> tuple[LineErrors, ...]:
    """Return noise and normal offsets for the lines of each array of chip `index`.

    Parameters are those of `line_errors`.
    """
    spread = {
        "sample": as_si(sigma_sample, "V", "sigma_sample"),
        "comparator": as_si(sigma_comparator, "V", "sigma_comparator"),
    }
    found = []
    for n, crossbar in enumerate(crossbars):
        rng = generator(seed, Purpose.LINE_OFFSETS, index, n)
        shape = (len(crossbar.segments), crossbar.shape[1])
        offsets = {name: sigma * rng.standard_normal(shape) for name, sigma in spread.items()}
        found.append(LineErrors(sigma_read=sigma_read, **offsets))
    return tuple(found)


_COUNTED = {
    "adc_steps": "charge decrements until the last column had flipped, over all conversions",
    "clipped": "conversions whose charge reached the rails",
    "stuck": "conversions beyond the converter's range",
    "input_pulses": "pulses of input on pairs of rows, always-on ones included",
}


def _dataset(
    chip: ProgrammedChip,
    settings: Settings,
    products: Sequence[Product],
    output: NDArray[np.float32],
    counts: Mapping[str, NDArray[np.int64]],
) -> xr.Dataset:
    layers, points = chip.network.layers, [one.point for one in settings]
    positions = [layer.n_positions for layer in layers]
    word_lines = [2 * layer.crossbar.shape[0] for layer in chip.layers]
    fixed = {
        "products": (positions, "matrix products of one trial"),
        "phases": ([len(p.phase_bits) for p in points], "conversions of a column in one product"),
        "segments": ([len(p.crossbar.segments) for p in products], "parts digitised on their own"),
        "columns": ([p.crossbar.shape[1] for p in products], "columns"),
        "word_lines": (word_lines, "word lines: two for each pair of rows"),
        "bit_planes": ([p.bit_planes for p in points], "planes of input pulses of one product"),
        "integrate_cycles": (
            [p.integrate_cycles for p in points],
            "sample-and-integrate cycles of one product",
        ),
        "adc_bits": ([p.phase_adc.bits for p in points], "output bits of one conversion"),
        "word_line_toggles": (
            [2 * p.bit_planes * w * n for p, w, n in zip(points, word_lines, positions)],
            "word lines switched on or off in one trial, each on and off in every plane",
        ),
        "shortcut_additions": (
            [layer.digital.size * n for layer, n in zip(chip.layers, positions)],
            "activations of shortcuts added digitally in one trial",
        ),
        "conversions": (
            [p.conversions * n for p, n in zip(products, positions)],
            "conversions of all columns in one trial",
        ),
    }
    found = xr.Dataset(
        {
            "output": (("trial", "class"), output, {"long_name": "output", "units": "1"}),
            **{
                name: (("trial", "layer"), values, {"long_name": _COUNTED[name]})
                for name, values in counts.items()
            },
            **{
                name: (("layer",), np.array(values, np.int64), {"long_name": text})
                for name, (values, text) in fixed.items()
            },
        },
        coords={"layer": [layer.name for layer in layers], "trial": np.arange(output.shape[0])},
        attrs={"mode": "inference", "provenance": json.dumps(chip.provenance, default=str)},
    )
    if chip.network.classes is not None:
        found = found.assign_coords(category=("category", chip.network.classes))
    return found


def _walk(
    network: SpikingNetwork,
    x: NDArray[np.float32],
    compute: Callable[[int, Layer, Array], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return the output for `compute` of each layer: its number, itself, and what arrives there."""
    values: dict[str, NDArray[np.float32]] = {INPUT: x}
    done = network.wiring.last_readers()
    numbers = {layer.name: n for n, layer in enumerate(network.layers)}
    z = x
    for node in network.nodes:
        sources = [values[name] for name in network.wiring.sources[node.name]]
        if isinstance(node, MaxPool):
            values[node.name] = node.maxima(sources[0]).astype(np.float32)  # type: ignore[arg-type]
        else:
            joined = sources[0] if len(sources) == 1 else np.concatenate(sources, axis=1)
            z = compute(numbers[node.name], node, joined)
            values[node.name] = node.activation(z).astype(np.float32)  # type: ignore[arg-type]
        for name in done[node.name]:
            del values[name]
    return z


def _arriving(
    network: SpikingNetwork, x: NDArray[np.float64], top: Callable[[int], float | None]
) -> Iterator[tuple[Layer, NDArray[np.float32]]]:
    """Yield each layer with the activations that reach it in the trained network.

    Those of layer n are cut off at ``top(n)`` spikes a step, where that is a number.
    """
    found: list[tuple[Layer, NDArray[np.float32]]] = []

    def compute(n: int, layer: Layer, arriving: Array) -> NDArray[np.float32]:
        """Keep what arrives, and go on."""
        most = top(n)
        if most is not None:
            arriving = np.minimum(arriving, (most * network.worth(n)).astype(np.float32))
        found.append((layer, arriving))
        return layer.forward(arriving).astype(np.float32)  # type: ignore[arg-type]

    _walk(network, x.astype(np.float32), compute)
    return iter(found)


def _drive(network: SpikingNetwork, n: int, arriving: Array) -> NDArray[np.float32]:
    """Return the drive of each row in spikes a step, of shape (sample * position, row)."""
    layer = network.layers[n]
    worth = network.worth(n).astype(np.float32)
    share = np.divide(arriving, worth, out=np.zeros_like(arriving), where=worth > 0)
    if layer.gather is None:
        return share
    at_rows = layer.gather.rows(share)
    return at_rows.reshape(-1, layer.gather.n_rows).astype(np.float32)


def _codes(
    programmed: ProgrammedLayer, settings: LayerSettings, drive: Array
) -> NDArray[np.float32]:
    """Return the codes of all pairs of rows, the always-on ones at the end."""
    held = np.delete(drive, programmed.digital, axis=1) if programmed.digital.size else drive
    codes = settings.point.codes(held, settings.full_scale)
    if programmed.pairs_per_weight > 1:
        codes = np.repeat(codes, programmed.pairs_per_weight, axis=1)
    whole = np.full((codes.shape[0], programmed.crossbar.shape[0]), settings.bias_code, np.float32)
    whole[:, : codes.shape[1]] = codes
    return whole


def _computed(
    chip: ProgrammedChip, n: int, settings: LayerSettings, drive: Array, sums: Array
) -> NDArray[np.float32]:
    """Return what a layer computes, (sample, neuron): the sums of the array, and shortcuts."""
    layer, rows = chip.network.layers[n], chip.layers[n].digital
    if rows.size:
        weight = layer.row_weight(chip.network.worth(n))[rows]
        unit = settings.full_scale / settings.point.largest_code
        codes = settings.point.codes(drive[:, rows], settings.full_scale)
        sums = sums + codes @ (weight * unit).astype(np.float32)
    return _by_neuron(layer, sums)


def _input_pulses(codes: Array, point: OperatingPoint) -> NDArray[np.int64]:
    """Return how many pulses drive pairs of rows, of shape (sample,)."""
    if point.encoding == "bipolar":
        return np.full(codes.shape[0], point.bit_planes * codes.shape[1], np.int64)
    bits = np.bitwise_count(np.abs(codes).astype(np.uint8))
    pulses: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return pulses


def _by_neuron(layer: Layer, z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values of shape (sample * position, column) as (sample, neuron)."""
    return (
        z.reshape(-1, layer.n_positions, layer.n_columns)
        .swapaxes(1, 2)
        .reshape(-1, layer.n_outputs)
    )


def _batches(network: SpikingNetwork, n_samples: int) -> list[slice]:
    """Return samples that are run together, as many as `BATCH_VALUES` allows."""
    size = max(1, BATCH_VALUES // max(_row_values(layer) for layer in network.layers))
    return [slice(n, min(n + size, n_samples)) for n in range(0, n_samples, size)]


def _row_values(layer: Layer) -> int:
    taps = 1 if layer.gather is None else layer.gather.n_taps
    return int(layer.n_positions * (layer.weight.shape[0] + layer.n_columns) * taps)


def _product(
    chip: ProgrammedChip,
    n: int,
    settings: LayerSettings,
    errors: Sequence[LineErrors] | None,
    seed: Seed | None,
) -> Product:
    return Product(
        crossbar=chip.layers[n].crossbar,
        point=settings.point,
        correction=settings.correction,
        errors=LineErrors() if errors is None else errors[n],
        seed=seed,
        address=(chip.index, n),
    )


def _partial_sums(chip: ProgrammedChip, n: int, drive: Array) -> NDArray[np.float64]:
    """Return what each part should show, of shape (part, observation, column)."""
    layer, programmed = chip.network.layers[n], chip.layers[n]
    k = programmed.pairs_per_weight
    n_bias = programmed.n_bias // k
    held = np.delete(layer.row_weight(chip.network.worth(n)), programmed.digital, axis=0)
    drive = np.delete(drive, programmed.digital, axis=1)
    weight = np.vstack([held, np.tile(layer.bias / n_bias, (n_bias, 1))])
    weight = np.repeat(weight, k, axis=0) / k
    rows = np.ones((drive.shape[0], weight.shape[0]))
    rows[:, : -programmed.n_bias] = np.repeat(drive, k, axis=1)
    return np.stack([rows[:, part] @ weight[part] for part in programmed.crossbar.segments])


def _full_scale(drive: Array, point: OperatingPoint) -> float:
    """Return the full scale whose codes have the least squared error."""
    some = drive.ravel()[:: -(-drive.size // 100_000)]
    top = float(np.abs(drive).max(initial=0.0))
    if top == 0 or (point.signed and point.input_bits == 1):
        return top or 1.0
    scales = FULL_SCALES * top
    errors = [
        np.mean((point.codes(some, scale) * (scale / point.largest_code) - some) ** 2)
        for scale in scales
    ]
    return float(scales[int(np.argmin(errors))])


def _layer_settings(
    chip: ProgrammedChip, n: int, drive: Array, point: OperatingPoint, full_scale: float
) -> LayerSettings:
    """Return the settings of a layer whose charge fills the converter."""
    programmed = chip.layers[n]
    nominal = Crossbar(
        conductance=programmed.target,
        neuron=programmed.crossbar.neuron,
        pairs_per_core=programmed.crossbar.pairs_per_core,
    )
    trial = LayerSettings(
        point=point,
        full_scale=full_scale,
        correction=_formula(chip.chip, programmed, point, full_scale),
    )
    some = drive[:: -(-drive.shape[0] // OBSERVATIONS)]
    settled = largest_settled(nominal, _codes(programmed, trial, some), point)
    point = filling(point, settled, programmed.crossbar.neuron)
    correction = _formula(chip.chip, programmed, point, full_scale)
    intercept = np.zeros_like(correction.slope)
    rest = chip.network.layers[n].bias * (1 - trial.bias_share)
    intercept[-1] = -correction.slope[-1] * rest
    return LayerSettings(
        point=point,
        full_scale=full_scale,
        correction=Correction(slope=correction.slope, intercept=intercept),
    )


def largest_settled(
    crossbar: Crossbar, codes: NDArray[np.float32], point: OperatingPoint
) -> tuple[float, ...]:
    """Return what lines settle at in each part, summed over planes, for one volt.

    It is the largest phase's quantile `FILL` over all samples and lines.

    Parameters
    ----------
    crossbar : Crossbar
        The array.
    codes : ndarray of shape (sample, input)
        Inputs of the kind that will come.
    point : OperatingPoint
        For its phases.
    """
    return tuple(
        max(
            float(np.quantile(np.abs(phase @ part.settled.astype(np.float32)), FILL))
            for phase in phases_of(codes[:, part.inputs], point)
        )
        for part in parts_of(crossbar)
    )


def filling(
    point: OperatingPoint, settled: Sequence[float], neuron: SamplingNeuron
) -> OperatingPoint:
    """Return the operating point at which charge fills the converter.

    The pulse multiplier brings the charge of the first part, which is the tallest, to 90 % of the
    range of the decrement voltage of `point`, or to 80 % of the rails; the read voltage of each
    part, that of `point` at most, takes off what is too much. Where 255 pulses of a plane are not
    enough, the decrement voltage becomes smaller.

    Parameters
    ----------
    point : OperatingPoint
        With the largest read and decrement voltages.
    settled : sequence of float
        What lines of each part settle at, as `largest_settled` returns it.
    neuron : SamplingNeuron
        For its capacitances and rails.
    """
    adc, (v_most, *_) = point.phase_adc, point.reads(1)
    full = FULL * adc.most * neuron.gain * adc.mean_decrement
    wanted = min(full, HEADROOM * neuron.v_rail)
    one = neuron.gain * point.pulses / point.pulse_multiplier
    most = max(1, MOST_PULSES // 2 ** (max(point.phase_bits) - 1))
    if not settled[0] > 0:
        return point
    multiplier = min(math.ceil(wanted / (one * settled[0] * v_most)), most)
    reads = [min(v_most, wanted / (one * multiplier * s)) if s > 0 else v_most for s in settled]
    reached = max(one * multiplier * v * s for v, s in zip(reads, settled))
    plus, minus = (reached / full * v for v in point.adc.decrements)
    return replace(
        point,
        pulse_multiplier=multiplier,
        v_read=tuple(reads),
        adc=replace(point.adc, v_decrement=(plus, minus)),
    )


def swept(settings: LayerSettings, crossbar: Crossbar, codes: Array, v_most: Volt) -> LayerSettings:
    """Return settings whose read voltages fill the converter on cells as they are.

    Parameters
    ----------
    settings : LayerSettings
        Operating point, chosen without the cells.
    crossbar : Crossbar
        The array as it is.
    codes : ndarray of shape (sample, input)
        Inputs of the kind that will come.
    v_most : Volt
        Largest read voltage [V].
    """
    point, adc, gain = settings.point, settings.point.phase_adc, crossbar.neuron.gain
    settled = np.array(largest_settled(crossbar, codes, point))
    full = min(FULL * adc.most * gain * adc.mean_decrement, HEADROOM * crossbar.neuron.v_rail)
    charge = gain * point.pulses * settled
    reads = np.minimum(v_most, full / np.where(charge > 0, charge, full / v_most))
    ratio = (reads / point.reads(len(reads)))[:, np.newaxis]
    old = settings.correction
    return replace(
        settings,
        point=replace(point, v_read=tuple(reads.tolist())),
        correction=Correction(slope=ratio * old.slope, intercept=ratio * old.intercept),
    )


def _formula(
    chip: Chip, programmed: ProgrammedLayer, point: OperatingPoint, full_scale: float
) -> Correction:
    """Return slopes in decrements for each unit of activation."""
    target, k = programmed.target, programmed.pairs_per_weight
    loads = np.stack([target[:, rows].sum(axis=(0, 1)) for rows in programmed.crossbar.segments])
    # The unit of a column is that of one pair of rows for each weight.
    whole = target.sum(axis=(0, 1)) / k
    gain = programmed.crossbar.neuron.gain
    reads = np.array(point.reads(len(loads)))[:, np.newaxis]
    unit = programmed.unit * (reads / chip.v_read) / (gain * point.adc.mean_decrement)
    slope = point.pulses * point.largest_code / full_scale * unit * (k * whole / loads)
    return Correction(slope=slope, intercept=np.zeros_like(slope))
