r"""Where a converted network loses: rates beside trained activations, the error term by term.

With the activation a of the trained network from its drive z, the threshold :math:`\theta`, T
steps, the drive :math:`\hat z` that really arrives and the decoded rate
:math:`\hat a = \theta N / T`, the error of a rectified layer is the sum of

.. math::

    \hat a - a = \underbrace{\mathrm{clip}(a) - a}_{\text{clipping}}
    + \underbrace{r(z) - \mathrm{clip}(a)}_{\text{quantisation}}
    + \underbrace{r(\hat z_0) - r(z)}_{\text{upstream}}
    + \underbrace{r(\hat z) - r(\hat z_0)}_{\text{hardware}}
    + \underbrace{\hat a - r(\hat z)}_{\text{unevenness}},

where :math:`r(z) = \tfrac{\theta}{T}\,\mathrm{clip}(\lfloor zT/\theta + U_0 \rfloor, 0, T)` is what
a neuron that is driven evenly gives, and :math:`\hat z_0` is the drive on ideal hardware. Upstream
are the errors of the layers before, and what calibration changed to meet them; hardware is what the
chip adds, in this layer and before it. Rueckauer et al., Front. Neurosci. 11, 682 (2017); Bu et
al., ICLR 2022, for clipping, quantisation and unevenness.

A layer's share of the lost accuracy is what is lost when the trained network goes on from its
rates, less what was lost from those before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram.charge import ChargeLayer
from spikeram.chip import ProgrammedChip, ProgrammedLayer
from spikeram.conversion.trained import TrainedNetwork
from spikeram.conversion.walk import Walk
from spikeram.encoding import input_levels
from spikeram.errors import ConversionError
from spikeram.layer import Layer
from spikeram.network import SpikingNetwork
from spikeram.pool import MaxPool
from spikeram.simulation import simulate
from spikeram.wiring import INPUT

TERMS = ("clipping", "quantisation", "upstream", "hardware", "unevenness")
"""What the error of a layer is split into."""

_REMEDIES = {
    "clipping": "Thresholds are too low for its activations: convert with method='percentile', or "
    "for more steps.",
    "quantisation": "Steps are too coarse for its activations: run more of them, or train with "
    "clip-floor-shift activations (spikeram.conversion.training).",
    "upstream": "It only passes on what the layers before it lost: look at those, or correct its "
    "weights with method='reconstruction'.",
    "hardware": "The chip's cells change its columns: recalibrate, use Chip(full_scale="
    "'least_squares') or more pairs_per_weight, or train with WeightNoise.",
    "unevenness": "Spikes come unevenly and too early ones are never taken back: use "
    "method='signed_reconstruction', or run more steps.",
}


@dataclass(frozen=True, eq=False)
class Rates:
    """What one layer should give and what it gives.

    Parameters
    ----------
    activation : ndarray of shape (sample, neuron)
        Activations of the trained network.
    rate : ndarray of shape (sample, neuron)
        Decoded rates, in the same units.
    """

    activation: NDArray[np.float64]
    rate: NDArray[np.float64]


def activation_and_rate(
    trained: TrainedNetwork,
    model: SpikingNetwork | ProgrammedChip,
    x: ArrayLike,
    *,
    steps: int | None = None,
) -> dict[str, Rates]:
    """Return what each layer should give and what it gives, by name.

    Parameters
    ----------
    trained : TrainedNetwork
        What was converted; see `spikeram.conversion.read`.
    model : SpikingNetwork or ProgrammedChip
        What it became. The last layer's rate is the mean of all its charge.
    x : array_like of shape (sample, input)
        Inputs; some tens serve.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    """
    found = _layers(trained, model, x, steps)
    return {one.layer.name: Rates(one.activation, one.decoded) for one in found}


def diagnose(
    trained: TrainedNetwork,
    model: SpikingNetwork | ProgrammedChip,
    x: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    steps: int | None = None,
) -> xr.Dataset:
    """Return how each layer's rates differ from the trained activations, and why.

    Parameters
    ----------
    trained : TrainedNetwork
        What was converted; see `spikeram.conversion.read`.
    model : SpikingNetwork or ProgrammedChip
        What it became.
    x : array_like of shape (sample, input)
        Inputs; some hundreds serve.
    labels : array_like of shape (sample,), optional
        True classes; without them the trained network's own decisions are what is to be met.
    steps : int, optional
        Number of steps; by default what the network was converted for.

    Returns
    -------
    xarray.Dataset of dims (layer,) and (layer, term)
        `slope`, `intercept` and `r2` of the line of least squares from activations to rates;
        `error`, the root-mean-square error as a share of the activations' own root mean square;
        `part`, the same for each term alone (the terms add up before they are squared); `accuracy`,
        where the trained network goes on from the layer's rates; `loss`, in accuracy, against the
        layer before; and `remedy`, a text for the layer's largest term. The last layer, whose
        charge is read without rounding, has the terms upstream and hardware alone.

    Raises
    ------
    ConversionError
        If the network is not one that `trained` became.
    """
    found = _layers(trained, model, x, steps)
    samples = trained.checked_input(x)
    wanted = trained.predict(samples) if labels is None else np.asarray(labels)
    if wanted.shape[:1] != samples.shape[:1]:
        raise ValueError(f"diagnose expects {samples.shape[0]} labels, got {wanted.shape[0]}.")
    known: dict[str, NDArray[np.float64]] = {}
    accuracy = [_agreement(trained, samples, known, wanted)]
    rows = []
    for one in found:
        known[one.layer.name] = one.decoded
        accuracy.append(_agreement(trained, samples, known, wanted))
        rows.append(_row(one))
    table = np.array([row[:4] for row in rows])
    parts = np.array([row[4] for row in rows])
    names = [one.layer.name for one in found]
    figures = {
        "slope": (table[:, 0], "slope of rates over activations"),
        "intercept": (table[:, 1], "rate at zero activation"),
        "r2": (table[:, 2], "share of the rates' variance that the line explains"),
        "error": (table[:, 3], "root-mean-square error, as a share of the activations'"),
        "accuracy": (np.array(accuracy[1:]), "accuracy if the trained network goes on from here"),
        "loss": (-np.diff(accuracy), "accuracy that is lost in the layer"),
    }
    ds = xr.Dataset(
        {
            name: ("layer", values, {"units": "1", "long_name": text})
            for name, (values, text) in figures.items()
        },
        {"layer": np.array(names, dtype=np.str_), "term": np.array(TERMS, dtype=np.str_)},
    )
    ds["part"] = (
        ("layer", "term"),
        parts,
        {"units": "1", "long_name": "root-mean-square error of a term"},
    )
    remedies = [_REMEDIES[TERMS[int(np.argmax(row))]] for row in parts]
    ds["remedy"] = ("layer", np.array(remedies, dtype=np.str_))
    return ds.assign_coords(n=samples.shape[0]).assign_attrs(trained_accuracy=accuracy[0])


def worst_layer(diagnosis: xr.Dataset) -> str:
    """Return the layer that loses most accuracy, or where none does the one of largest error."""
    by = "loss" if float(diagnosis["loss"].max()) > 0 else "error"
    return str(diagnosis["layer"].values[int(np.argmax(diagnosis[by].values))])


def switched_off(chip: ProgrammedChip) -> dict[str, ProgrammedChip]:
    """Return the chip with one term of its hardware switched off at a time.

    Parameters
    ----------
    chip : ProgrammedChip
        The chip. Gain and offset, measured with all terms on, are reset: recalibrate each to
        compare what recalibration leaves.

    Returns
    -------
    mapping of str to ProgrammedChip
        "all on", as it is; "relaxation", cells as just verified; "programming and relaxation",
        cells on their targets; and, of a chip that has them, "wires", "partial sums", which become
        ideal, and each of its analog terms (`spikeram.analog`).
    """
    bare = _uncorrected(chip)
    found = {
        "all on": bare,
        "relaxation": _with_cells(bare, "written"),
        "programming and relaxation": _with_cells(bare, "target"),
    }
    if chip.chip.wires is not None:
        found["wires"] = _each(
            bare, lambda layer: {"crossbar": replace(layer.crossbar, wires=None)}
        )
    if chip.partial_sums.kind != "ideal":
        found["partial sums"] = bare.with_partial_sums("ideal")
    return found | {term: bare.without(term) for term in chip.chip.terms}


def hardware_errors(
    trained: TrainedNetwork,
    chip: ProgrammedChip,
    x: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    steps: int | None = None,
) -> xr.Dataset:
    """Return what each term of the hardware costs, by switching it off.

    Parameters
    ----------
    trained : TrainedNetwork
        What was converted.
    chip : ProgrammedChip
        The chip.
    x : array_like of shape (sample, input)
        Inputs; some hundreds serve.
    labels : array_like of shape (sample,), optional
        True classes; by default the trained network's own decisions.
    steps : int, optional
        Number of steps; by default what the network was converted for.

    Returns
    -------
    xarray.Dataset of dims (off,)
        For each variant of `switched_off` its `accuracy`, as engines run it, and `gained` against
        "all on".
    """
    samples = trained.checked_input(x)
    wanted = trained.predict(samples) if labels is None else np.asarray(labels)
    names, accuracy = [], []
    for name, variant in switched_off(chip).items():
        run = simulate(variant, samples, steps=steps, record="counts", seed=0)
        output = run["output"].values[:, -1].astype(np.float64)
        names.append(name)
        accuracy.append(float(np.mean(trained.decided(output) == wanted)))
    return xr.Dataset(
        {
            "accuracy": ("off", accuracy, {"units": "1", "long_name": "accuracy"}),
            "gained": (
                "off",
                np.array(accuracy) - accuracy[0],
                {"units": "1", "long_name": "accuracy that switching it off brings"},
            ),
        },
        {"off": np.array(names, dtype=np.str_), "n": samples.shape[0]},
    )


def _uncorrected(chip: ProgrammedChip) -> ProgrammedChip:
    reset = _each(
        chip, lambda one: {"gain": np.ones_like(one.gain), "offset": np.zeros_like(one.offset)}
    )
    return replace(reset, recalibrated=False)


def _each(
    chip: ProgrammedChip, change: Callable[[ProgrammedLayer], dict[str, Any]]
) -> ProgrammedChip:
    return replace(chip, layers=tuple(replace(one, **change(one)) for one in chip.layers))


def _with_cells(chip: ProgrammedChip, which: str) -> ProgrammedChip:
    return _each(
        chip,
        lambda one: {"crossbar": replace(one.crossbar, conductance=getattr(one, which))},
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Layer:
    """One layer, with all that its error is split by, (sample, neuron)."""

    layer: Layer
    steps: int
    activation: NDArray[np.float64]
    z: NDArray[np.float64]
    ideal: NDArray[np.float64]
    arrived: NDArray[np.float64]
    decoded: NDArray[np.float64]
    last: bool


def _layers(
    trained: TrainedNetwork,
    model: SpikingNetwork | ProgrammedChip,
    x: ArrayLike,
    steps: int | None,
) -> list[_Layer]:
    network = model.network
    n_steps = network.steps_or(steps)
    samples = trained.checked_input(x)
    names = [layer.name for layer in network.layers]
    if names != [layer.name for layer in trained.layers]:
        raise ConversionError(
            f"The trained network has the layers {', '.join(n.name for n in trained.layers)}, but "
            f"what is diagnosed has {', '.join(names)}. Convert the TrainedNetwork itself."
        )
    values = trained.values(samples)
    levels = input_levels(samples, network.input_scale)
    walks = Walk(network, levels, n_steps), Walk(network, levels, n_steps)
    found = []
    for layer, own, ideal, charge in zip(
        network.layers, trained.layers, network.charge_layers(), model.charge_layers()
    ):
        last = layer is network.layers[-1]
        read = [values[name] for name in trained.wiring.sources[own.name]]
        z = own.preactivation(np.concatenate(read, axis=1))
        arrived = [_in_units(walk, c) for walk, c in zip(walks, (ideal, charge))]
        fired = walks[1].fire(charge)
        decoded = arrived[1] if last else fired.mean(axis=1) * charge.scale
        found.append(
            _Layer(
                layer=layer,
                steps=n_steps,
                activation=values[own.name],
                z=z,
                ideal=arrived[0],
                arrived=arrived[1],
                decoded=decoded,
                last=last,
            )
        )
        walks[0].fire(ideal)
        for walk in walks:
            walk.leave(layer.name)
    return found


def _in_units(walk: Walk, charge: ChargeLayer) -> NDArray[np.float64]:
    return (walk.drive(charge) + charge.bias) * (charge.scale / charge.threshold)


def _row(one: _Layer) -> tuple[float, float, float, float, list[float]]:
    power = np.sqrt(np.mean(one.activation**2))
    scale = 1 / power if power > 0 else 0.0
    slope, intercept, r2 = _line(one.activation.ravel(), one.decoded.ravel())
    terms = _terms(one)
    parts = [float(np.sqrt(np.mean(terms[name] ** 2)) * scale) for name in TERMS]
    error = float(np.sqrt(np.mean((one.decoded - one.activation) ** 2)) * scale)
    return slope, intercept, r2, error, parts


def _terms(one: _Layer) -> dict[str, NDArray[np.float64]]:
    """Return the terms, which add up to the error."""
    a = one.activation
    if one.last:
        nothing = np.zeros_like(a)
        return {
            "clipping": nothing,
            "quantisation": nothing,
            "upstream": one.ideal - a,
            "hardware": one.decoded - one.ideal,
            "unevenness": nothing,
        }
    worth = one.layer.worth
    clipped = np.clip(a, -worth, worth)
    even, ideal, arrived = (_evenly(one, z) for z in (one.z, one.ideal, one.arrived))
    return {
        "clipping": clipped - a,
        "quantisation": even - clipped,
        "upstream": ideal - even,
        "hardware": arrived - ideal,
        "unevenness": one.decoded - arrived,
    }


def _evenly(one: _Layer, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what neurons give that are driven by z in every step."""
    layer, worth = one.layer, one.layer.worth
    counts = np.floor(z * one.steps / worth + layer.initial)
    low = 0 if layer.spikes == "unipolar" else -one.steps
    if layer.spikes == "signed":
        slope = np.repeat(layer.slope, layer.n_positions)
        below = np.floor(z * slope * one.steps / worth + layer.initial)
        counts = np.where(z > 0, counts, below)
    return np.asarray(np.clip(counts, low, one.steps) * (worth / one.steps))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return slope, intercept and share of explained variance; NaN where x never varies."""
    if not np.ptp(x) > 0:
        return np.nan, np.nan, np.nan
    slope, intercept = np.polyfit(x, y, 1)
    rest, all_ = np.var(y - slope * x - intercept), np.var(y)
    return float(slope), float(intercept), float(1 - rest / all_) if all_ > 0 else np.nan


def _agreement(
    trained: TrainedNetwork,
    samples: NDArray[np.float64],
    known: Mapping[str, NDArray[np.float64]],
    wanted: NDArray[np.generic],
) -> float:
    """Return the accuracy of the trained network that goes on from known outputs of nodes."""
    found = {INPUT: samples}
    for node in trained.nodes:
        if node.name in known:
            found[node.name] = known[node.name]
            continue
        read = np.concatenate([found[n] for n in trained.wiring.sources[node.name]], axis=1)
        if isinstance(node, MaxPool):
            found[node.name] = node.maxima(read)
        else:
            z = node.preactivation(read)
            found[node.name] = z if node is trained.nodes[-1] else node.activation(z)
    decided = trained.decided(found[trained.nodes[-1].name])
    if trained.classes is None:
        return np.nan
    return float(np.mean(decided == wanted))
