r"""Statistics of recorded spikes: each a labelled array with units.

With :math:`n_{sj}` spikes of neuron j in trial s, a window of length :math:`D` and m intervals
:math:`I_1 \ldots I_m` between the spikes of one train:

.. math::

    r = n / D, \qquad
    CV = \frac{1}{\bar I}\sqrt{\frac{1}{m}\sum_k (I_k - \bar I)^2}, \qquad
    F_j = \frac{\mathrm{var}_s\, n_{sj}}{\mathrm{mean}_s\, n_{sj}}, \qquad
    S = \frac{1 - \left(\sum_j r_j/N\right)^2 / \left(\sum_j r_j^2/N\right)}{1 - 1/N}.

S is the population sparseness of Treves and Rolls, Network 2, 371 (1991). Silence is data: its
rate is 0, and what rests on intervals or on a mean that is zero is NaN, without a warning. The
length of the window is always that of the recording, never the time of the last spike. Where a
value rests on a number of intervals, trials or neurons, that number is its coordinate ``n``.
Spikes of either sign count alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels import statistics as kernels
from spikeram.recording import layer_names, members, offsets, select

_MOST_LISTED = 12
_SUMMARY = {
    "neurons": "number of neurons",
    "spikes": "spikes in one trial",
    "rate": "mean firing rate",
    "cv": "mean coefficient of variation of the intervals",
    "fano_factor": "mean Fano factor",
    "sparsity": "mean share of silent neurons",
    "treves_rolls": "mean population sparseness",
    "synaptic_operations": "synaptic operations in one trial",
}


def spike_counts(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of spikes of each train, of dims (trial, neuron)."""
    return _labelled(ds["row_size"].astype(np.int64), "1", "number of spikes", "spike_counts")


def spikes_per_layer(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of spikes of each layer, of dims (trial, layer)."""
    total = _by_layer(ds, spike_counts(ds).values, np.sum)
    return _labelled(total, "1", "number of spikes", "spikes_per_layer")


def rate(ds: xr.Dataset, average: Literal["trial", "layer"] | None = None) -> xr.DataArray:
    """Return firing rates [Hz].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    average : {"trial", "layer"}, optional
        Mean over trials, or over the neurons of each layer; `n` is how many.

    Returns
    -------
    xarray.DataArray
        Of dims (trial, neuron), (neuron,) or (trial, layer).
    """
    rates = spike_counts(ds) / ds.attrs["duration"]
    if average == "trial":
        rates = rates.reduce(_mean, "trial").assign_coords(n=ds.sizes["trial"])
    elif average == "layer":
        rates = _by_layer(ds, rates.values, _mean)
    elif average is not None:
        raise ValueError(f"rate expects average 'trial', 'layer' or None, got {average!r}.")
    return _labelled(rates, "Hz", "firing rate", "rate")


def isi(ds: xr.Dataset, layer: str | None = None) -> xr.DataArray:
    """Return all intervals between successive spikes of a train [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (interval,)
        With the coordinates trial, layer and unit of each.
    """
    part = ds if layer is None else select(ds, neuron=members(ds, layer))
    interval, train = _intervals(part)
    row, column = np.divmod(train, max(part.sizes["neuron"], 1))
    coordinates = {
        "trial": ("interval", part["trial"].values[row]),
        "layer": ("interval", part["layer"].values[column]),
        "unit": ("interval", part["unit"].values[column]),
    }
    intervals = xr.DataArray(interval, dims=("interval",), coords=coordinates)
    return _labelled(intervals, "s", "interval between spikes", "isi")


def isi_histogram(ds: xr.Dataset, edges: ArrayLike | None = None) -> xr.DataArray:
    """Return how often each interval between spikes occurs in each layer.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    edges : array_like of shape (bin + 1,), optional
        Ascending edges of the bins [s]; by default one bin for each whole number of steps.

    Returns
    -------
    xarray.DataArray of dims (layer, interval)
        Numbers of intervals, at the centres of the bins; `n` is their sum over all bins.
    """
    if edges is None:
        # Spikes of one burst are no time apart.
        least = 0 if "compare_cycles" in ds.variables else 1
        bounds = (np.arange(least, max(int(ds.attrs["steps"]), 2) + 1) - 0.5) * ds.attrs["dt"]
    else:
        bounds = np.asarray(edges, dtype=np.float64)
        if bounds.ndim != 1 or bounds.size < 2 or not np.all(np.diff(bounds) > 0):
            raise ValueError("isi_histogram expects at least two ascending edges, got others.")
    interval, train = _intervals(ds)
    member = ds["layer"].values[train % max(ds.sizes["neuron"], 1)]
    names = layer_names(ds)
    counts = np.array([np.histogram(interval[member == name], bounds)[0] for name in names])
    histogram = xr.DataArray(
        counts.reshape(len(names), bounds.size - 1),
        dims=("layer", "interval"),
        coords={
            "layer": np.array(names, dtype=np.str_),
            "interval": ("interval", (bounds[1:] + bounds[:-1]) / 2, {"units": "s"}),
        },
    )
    histogram = histogram.assign_coords(n=histogram.sum("interval"))
    return _labelled(histogram, "1", "number of intervals", "isi_histogram")


def cv(ds: xr.Dataset) -> xr.DataArray:
    """Return the coefficient of variation of each train's intervals.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron)
        NaN with fewer than two intervals, of which any one is perfectly regular; `n` is the
        number of intervals.
    """
    bounds = offsets(ds)
    n = np.empty(bounds.size - 1, dtype=np.int64)
    mean, variance = np.empty(n.size), np.empty(n.size)
    kernels.interval_moments(ds["t"].values, bounds, n, mean, variance)
    value = np.full(n.size, np.nan)
    # Where one burst is all that fired, the mean interval is zero.
    np.divide(np.sqrt(variance), mean, out=value, where=(n >= 2) & (mean > 0))
    counts = ds["row_size"]
    variation = counts.copy(data=value.reshape(counts.shape))
    variation = variation.assign_coords(n=(counts.dims, n.reshape(counts.shape)))
    return _labelled(variation, "1", "coefficient of variation of the intervals", "cv")


def fano_factor(ds: xr.Dataset, ddof: int = 0) -> xr.DataArray:
    """Return the variance of each neuron's spike count over trials, divided by its mean.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    ddof : int
        The variance is divided by the number of trials less `ddof`; 1 is without bias.

    Returns
    -------
    xarray.DataArray of dims (neuron,)
        NaN for a neuron that never fires, and for all with fewer than two trials; `n` is the
        number of trials.
    """
    counts = spike_counts(ds)
    trials = counts.sizes["trial"]
    values = counts.values.astype(np.float64)
    factor = np.full(counts.sizes["neuron"], np.nan)
    if trials >= 2 and trials > ddof:
        mean = values.mean(axis=0)
        np.divide(values.var(axis=0, ddof=ddof), mean, out=factor, where=mean > 0)
    over_neurons = counts.isel(trial=0, drop=True) if trials else counts.sum("trial")
    return _labelled(
        over_neurons.copy(data=factor).assign_coords(n=trials), "1", "Fano factor", "fano_factor"
    )


def sparsity(ds: xr.Dataset) -> xr.DataArray:
    """Return the share of silent neurons in each layer, of dims (trial, layer)."""
    silent = _by_layer(ds, spike_counts(ds).values == 0, _mean)
    return _labelled(silent, "1", "share of silent neurons", "sparsity")


def treves_rolls(ds: xr.Dataset) -> xr.DataArray:
    """Return the population sparseness of Treves and Rolls of each layer.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.

    Returns
    -------
    xarray.DataArray of dims (trial, layer)
        0 where all neurons fire alike, 1 where one fires alone; NaN for a silent layer and a
        layer of one neuron.
    """
    sparseness = _by_layer(ds, spike_counts(ds).values, _sparseness)
    return _labelled(sparseness, "1", "population sparseness", "treves_rolls")


def _sparseness(counts: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    n = counts.shape[axis]
    squares = np.mean(np.square(counts, dtype=np.float64), axis=axis)
    value = np.full(squares.shape, np.nan)
    if n > 1:
        np.divide(np.square(counts.mean(axis=axis)), squares, out=value, where=squares > 0)
        value = (1 - value) / (1 - 1 / n)
    return value


def synaptic_operations(ds: xr.Dataset) -> xr.DataArray:
    """Return how many synapses were driven in each crossbar, of dims (trial, crossbar).

    An active pair of word lines drives one synapse, a pair of cells, in each column; always-on
    bias rows count.
    """
    driven = ds["active_rows"] * ds["columns"]
    return _labelled(driven, "1", "synaptic operations", "synaptic_operations")


def prediction(
    ds: xr.Dataset, step: int | None = None, classes: ArrayLike | None = None
) -> xr.DataArray:
    """Return the class that the output stands for, of dims (trial,).

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    step : int, optional
        Decide after this many steps, 1 to T; after all of them by default.
    classes : array_like of shape (class,), optional
        Labels of the classes; by default the recording's own, or else 0, 1, ...

    Returns
    -------
    xarray.DataArray of dims (trial,)
        The class of the largest output, the first of equals. A single output decides between
        two classes: the second where it is above 0.
    """
    steps = int(ds.attrs["steps"])
    chosen = steps if step is None else step
    if not 1 <= chosen <= steps:
        raise ValueError(f"prediction expects a step from 1 to {steps}, got {chosen}.")
    decided = _decisions(ds, classes).sel(step=chosen)
    return _labelled(decided, "1", "predicted class", "prediction")


def accuracy(ds: xr.Dataset, labels: ArrayLike, classes: ArrayLike | None = None) -> xr.DataArray:
    """Return the share of correct predictions after each step.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    labels : array_like of shape (trial,)
        True class of each trial.
    classes : array_like of shape (class,), optional
        Labels of the classes; by default the recording's own, or else 0, 1, ...

    Returns
    -------
    xarray.DataArray of dims (step,)
        NaN without any trial; `n` is the number of trials.

    Raises
    ------
    ValueError
        If a label is none of the classes; the message names both.
    """
    truth = _checked_labels(ds, labels, classes)
    decided = _decisions(ds, classes)
    correct = decided.copy(data=decided.values == truth[:, np.newaxis])
    share = correct.reduce(_mean, "trial").assign_coords(n=ds.sizes["trial"])
    return _labelled(share, "1", "share of correct predictions", "accuracy")


def early_decision(
    ds: xr.Dataset,
    *,
    confidence: float = 0.99,
    min_steps: int = 1,
    margin: float | None = None,
    labels: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> xr.Dataset:
    r"""Return what each trial decides, and after how many steps, if it stops when it is sure.

    A trial is sure after step k if its outputs :math:`o_j` after that step satisfy

    .. math::

        \max_j \frac{e^{o_j}}{\sum_i e^{o_i}} > c

    for the confidence c, or with a margin m, if the largest output exceeds the second largest by
    more than m. A single output o, which decides between two classes, counts as the outputs 0 and
    o. A recording of ``decoding="first"`` is sure as soon as an output has fired.

    Trained networks give logits, which the softmax takes for granted, but early outputs rest on few
    spikes and are often confident and wrong: of the digits of scikit-learn, a plain converted
    convolutional network had 86.4 % right at confidence 0.99 after a mean of 2.7 steps, where all
    64 steps gave 99.4 %; one trained with quantised activations had 98.9 % after a mean of 3.3.
    Let `min_steps` keep plain networks from deciding while their layers still fill.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    confidence : float
        Least share of the softmax, 0 to 1.
    min_steps : int
        Fewest steps of the output's window that a decision takes, 1 to T.
    margin : float, optional
        Least difference of the two largest outputs, instead of `confidence`, in the trained
        network's units.
    labels : array_like of shape (trial,), optional
        True class of each trial.
    classes : array_like of shape (class,), optional
        Labels of the classes; by default the recording's own, or else 0, 1, ...

    Returns
    -------
    xarray.Dataset
        `category` and `steps` of dims (trial,): the class, and how many steps of the output's
        window were used, all T where it was never sure. With `labels` also `accuracy`, the share of
        correct decisions, and `mean_steps`; `n` is the number of trials.
    """
    sure = _sure(ds, confidence, margin)
    steps = sure.shape[1]
    if not 1 <= min_steps <= steps:
        raise ValueError(f"early_decision expects min_steps from 1 to {steps}, got {min_steps}.")
    sure[:, : min_steps - 1] = False
    sure[:, -1] = True
    last = sure.argmax(axis=1)
    decided = _decisions(ds, classes)
    over_trials = decided.isel(step=0, drop=True)
    category = over_trials.copy(data=decided.values[np.arange(last.size), last])
    used = over_trials.copy(data=ds["step"].values[last].astype(np.int64))
    found = {
        "category": _labelled(category, "1", "decided class", "category"),
        "steps": _labelled(used, "1", "steps used", "steps"),
    }
    if labels is None:
        return xr.Dataset(found)
    correct = category.copy(data=category.values == _checked_labels(ds, labels, classes))
    share, mean = correct.reduce(_mean, "trial"), used.reduce(_mean, "trial")
    found["accuracy"] = _labelled(share, "1", "share of correct decisions", "accuracy")
    found["mean_steps"] = _labelled(mean, "1", "mean number of steps used", "mean_steps")
    return xr.Dataset(found).assign_coords(n=last.size)


def _sure(ds: xr.Dataset, confidence: float, margin: float | None) -> NDArray[np.bool_]:
    """Return whether a trial is sure after each step, of shape (trial, step)."""
    if not 0 <= confidence <= 1:
        raise ValueError(f"early_decision expects a confidence from 0 to 1, got {confidence}.")
    if margin is not None and not margin >= 0:
        raise ValueError(f"early_decision expects a margin >= 0, got {margin}.")
    output = ds["output"].transpose("trial", "step", "class").values.astype(np.float64)
    if _decoded_by_first(ds):
        if margin is not None:
            raise ValueError(
                "This recording was decoded by 'first', which decides with the first spike and "
                "knows no margin. Leave margin out."
            )
        return np.asarray(output.max(axis=-1) > 0)
    if output.shape[-1] == 1:
        output = np.concatenate([np.zeros_like(output), output], axis=-1)
    if margin is not None:
        top = np.partition(output, -2, axis=-1)
        return np.asarray(top[..., -1] - top[..., -2] > margin)
    largest = output.max(axis=-1, keepdims=True)
    return np.asarray(1 / np.exp(output - largest).sum(axis=-1) > confidence)


def _decoded_by_first(ds: xr.Dataset) -> bool:
    return bool(json.loads(ds.attrs["provenance"]).get("decoding") == "first")


def _checked_labels(
    ds: xr.Dataset, labels: ArrayLike, classes: ArrayLike | None
) -> NDArray[np.generic]:
    truth = np.asarray(labels)
    trials = ds.sizes["trial"]
    if truth.shape != (trials,):
        raise ValueError(f"accuracy expects labels of shape ({trials},), got {truth.shape}.")
    check_labels(truth, _classes(ds, classes))
    return truth


def check_labels(labels: ArrayLike, classes: ArrayLike) -> None:
    """Check that labels are among the classes.

    Parameters
    ----------
    labels : array_like of shape (trial,)
        True class of each trial.
    classes : array_like of shape (class,)
        Labels of the classes.

    Raises
    ------
    ValueError
        If a label is none of the classes; the message names both.
    """
    truth, names = np.unique(np.asarray(labels)), np.asarray(classes)
    strange = truth[~np.any(truth[:, np.newaxis] == names, axis=1)]
    if strange.size:
        raise ValueError(
            f"accuracy expects labels among the classes {_listed(names)}, got {_listed(strange)}."
        )


def _listed(values: NDArray[np.generic]) -> str:
    shown = [repr(value) for value in values[:_MOST_LISTED].tolist()]
    return ", ".join(shown if values.size <= _MOST_LISTED else [*shown, "..."])


def is_regression(ds: xr.Dataset, y: ArrayLike) -> bool:
    """Return whether `y` holds targets to come close to, not labels of classes.

    A recording that names classes is a classifier's. Of any other, fractions, several targets
    for each trial, and targets of a single output are those of a regression.
    """
    targets = np.asarray(y)
    single = ds.sizes["class"] == 1
    return "category" not in ds.coords and (
        single or targets.ndim == 2 or targets.dtype.kind == "f"
    )


def root_mean_square_error(ds: xr.Dataset, targets: ArrayLike) -> xr.DataArray:
    """Return how far the output is from its targets after each step, over trials and outputs.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    targets : array_like of shape (trial, output), or (trial,) for a single output
        True values, in the trained network's units.

    Returns
    -------
    xarray.DataArray of dims (step,)
        NaN without any trial; `n` is the number of trials.
    """
    truth = np.asarray(targets, dtype=np.float64)
    trials, outputs = ds.sizes["trial"], ds.sizes["class"]
    if truth.shape != (trials, outputs) and (outputs > 1 or truth.shape != (trials,)):
        raise ValueError(
            f"root_mean_square_error expects targets of shape ({trials}, {outputs}), "
            f"got {truth.shape}."
        )
    if _decoded_by_first(ds):
        raise ValueError(
            "root_mean_square_error expects outputs in the targets' units, but this recording was "
            "decoded by 'first', which tells classes. Simulate with decoding='membrane'."
        )
    output = ds["output"].transpose("trial", "step", "class")
    deviation = output.values - truth.reshape(trials, 1, outputs)
    square = output.isel({"class": 0}, drop=True).copy(data=np.mean(deviation**2, axis=-1))
    mean = square.reduce(_mean, "trial")
    root = mean.copy(data=np.sqrt(mean.values))
    return _labelled(
        root.assign_coords(n=trials), "1", "root-mean-square error", "root_mean_square_error"
    )


def _classes(ds: xr.Dataset, classes: ArrayLike | None) -> NDArray[np.generic]:
    n_classes = max(ds.sizes["class"], 2)
    if classes is None:
        classes = ds["category"].values if "category" in ds.coords else np.arange(n_classes)
    names = np.asarray(classes)
    if names.shape != (n_classes,):
        raise ValueError(f"classes expects {n_classes} labels, got shape {names.shape}.")
    return names


def _decisions(ds: xr.Dataset, classes: ArrayLike | None) -> xr.DataArray:
    output = ds["output"]
    outputs = output.sizes["class"]
    names = _classes(ds, classes)
    values = output.values
    index = values.argmax(axis=-1) if outputs > 1 else (values[..., 0] > 0).astype(np.int64)
    return output.isel({"class": 0}, drop=True).copy(data=names[index])


def summary(ds: xr.Dataset) -> xr.Dataset:
    """Return the main figures of each layer; ``.to_dataframe()`` makes it a table.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording; without spike times it has no `cv`.

    Returns
    -------
    xarray.Dataset of dims (layer,)
        Number of neurons; spikes and synaptic operations of one trial; means over the
        trials and neurons for which they exist of rate, cv, fano_factor, sparsity and
        treves_rolls.
    """
    neurons = np.ones(ds.sizes["neuron"], dtype=np.int64)
    figures = {
        "neurons": _per_layer(ds, neurons, np.sum),
        "spikes": _mean(spikes_per_layer(ds).values, axis=0),
        "rate": _mean(rate(ds, average="layer").values, axis=0),
        "fano_factor": _per_layer(ds, fano_factor(ds).values, _mean),
        "sparsity": _mean(sparsity(ds).values, axis=0),
        "treves_rolls": _mean(treves_rolls(ds).values, axis=0),
        "synaptic_operations": _operations_per_layer(ds),
    }
    if "t" in ds.variables:
        trains = cv(ds).values
        figures["cv"] = np.array(
            [_mean(trains[:, members(ds, name)], axis=None) for name in layer_names(ds)]
        )
    table = xr.Dataset(coords={"layer": np.array(layer_names(ds), dtype=np.str_)})
    for name, values in figures.items():
        units = "Hz" if name == "rate" else "1"
        table[name] = ("layer", values, {"units": units, "long_name": _SUMMARY[name]})
    return table


def _operations_per_layer(ds: xr.Dataset) -> NDArray[np.float64]:
    mean = _mean(synaptic_operations(ds).values, axis=0)
    known = dict(zip(ds["crossbar"].values.tolist(), mean.tolist()))
    # Encoded inputs are a layer without a crossbar.
    return np.array([known.get(name, np.nan) for name in layer_names(ds)])


def _intervals(ds: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    bounds = offsets(ds)
    total = int(np.maximum(np.diff(bounds) - 1, 0).sum())
    interval, train = np.empty(total), np.empty(total, dtype=np.int64)
    kernels.intervals(ds["t"].values, bounds, interval, train)
    return interval, train


def _per_layer(
    ds: xr.Dataset, values: NDArray[np.generic], reduce: Callable[..., NDArray[np.generic]]
) -> NDArray[np.generic]:
    parts = [reduce(values[..., members(ds, name)], axis=-1) for name in layer_names(ds)]
    return np.stack(parts, axis=-1)


def _by_layer(
    ds: xr.Dataset, values: NDArray[np.generic], reduce: Callable[..., NDArray[np.generic]]
) -> xr.DataArray:
    neurons = np.ones(ds.sizes["neuron"], dtype=np.int64)
    return xr.DataArray(
        _per_layer(ds, values, reduce),
        dims=("trial", "layer"),
        coords={
            "trial": ds["trial"],
            "layer": np.array(layer_names(ds), dtype=np.str_),
            "n": ("layer", _per_layer(ds, neurons, np.sum)),
        },
    )


def _mean(values: NDArray[np.generic], axis: int | None = None) -> NDArray[np.float64]:
    # Unlike numpy.nanmean, silent about a mean over nothing, which is NaN.
    finite = np.isfinite(values)
    n = np.asarray(finite.sum(axis=axis))
    total = np.where(finite, values, 0).sum(axis=axis)
    mean = np.full(n.shape, np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean


def _labelled(array: xr.DataArray, units: str, long_name: str, name: str) -> xr.DataArray:
    labelled = array.rename(name).copy(deep=False)
    labelled.attrs = {"units": units, "long_name": long_name}
    return labelled
