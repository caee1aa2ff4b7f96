"""What a run decides, when, and whether it is right."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram.recording import layer_names, offsets
from spikeram.statistics.labels import by_layer, finite_mean, labelled
from spikeram.stopping import EarlyStop

_MOST_LISTED = 12
_HALF_STEP = 0.5


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
    if chosen not in ds["step"].values:
        some = _listed(ds["step"].values)
        raise ValueError(f"The recording has no output after step {chosen}, only after {some}.")
    decided = _decisions(ds, classes).sel(step=chosen)
    return labelled(decided, "1", "predicted class", "prediction")


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
    share = correct.reduce(finite_mean, "trial").assign_coords(n=ds.sizes["trial"])
    return labelled(share, "1", "share of correct predictions", "accuracy")


def early_decision(
    ds: xr.Dataset,
    *,
    confidence: float = 0.99,
    min_steps: int = 1,
    margin: float | None = None,
    labels: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> xr.Dataset:
    """Return what each trial decides, and after how many steps, if it stops when it is sure.

    A trial is sure as `spikeram.stopping` says. `simulate(stop=...)` decides the same, and does not
    simulate further.

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
    steps = int(ds.attrs["steps"])
    if not 1 <= min_steps <= steps:
        raise ValueError(f"early_decision expects min_steps from 1 to {steps}, got {min_steps}.")
    sure[:, ds["step"].values < min_steps] = False
    sure[:, -1] = True
    last = sure.argmax(axis=1)
    decided = _decisions(ds, classes)
    over_trials = decided.isel(step=0, drop=True)
    category = over_trials.copy(data=decided.values[np.arange(last.size), last])
    used = over_trials.copy(data=ds["step"].values[last].astype(np.int64))
    found = {
        "category": labelled(category, "1", "decided class", "category"),
        "steps": labelled(used, "1", "steps used", "steps"),
    }
    if labels is None:
        return xr.Dataset(found)
    correct = category.copy(data=category.values == _checked_labels(ds, labels, classes))
    share, mean = correct.reduce(finite_mean, "trial"), used.reduce(finite_mean, "trial")
    found["accuracy"] = labelled(share, "1", "share of correct decisions", "accuracy")
    found["mean_steps"] = labelled(mean, "1", "mean number of steps used", "mean_steps")
    return xr.Dataset(found).assign_coords(n=last.size)


def _sure(ds: xr.Dataset, confidence: float, margin: float | None) -> NDArray[np.bool_]:
    """Return whether a trial is sure after each step, of shape (trial, step)."""
    if not 0 <= confidence <= 1:
        raise ValueError(f"early_decision expects a confidence from 0 to 1, got {confidence}.")
    if margin is not None and not margin >= 0:
        raise ValueError(f"early_decision expects a margin >= 0, got {margin}.")
    output = ds["output"].transpose("trial", "step", "class").values
    first = _decoded_by_first(ds)
    if first and margin is not None:
        raise ValueError(
            "This recording was decoded by 'first', which decides with the first spike and "
            "knows no margin. Leave margin out."
        )
    stop = EarlyStop(confidence=confidence, margin=margin)
    return stop.sure(output, "first" if first else "membrane")


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
    mean = square.reduce(finite_mean, "trial")
    root = mean.copy(data=np.sqrt(mean.values))
    return labelled(
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


def first_spike_latency(ds: xr.Dataset) -> xr.DataArray:
    """Return the time from the start of its layer's window to each train's first spike [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron)
        NaN for a silent train.
    """
    bounds, t = offsets(ds), ds["t"].values
    fired = np.diff(bounds) > 0
    first = np.full(fired.size, np.nan)
    first[fired] = t[bounds[:-1][fired]]
    counts = ds["row_size"]
    latency = first.reshape(counts.shape) - ds["window_start"].values
    return labelled(
        counts.copy(data=latency), "s", "time to the first spike", "first_spike_latency"
    )


def spikes_to_decision(
    ds: xr.Dataset,
    *,
    confidence: float = 0.99,
    min_steps: int = 1,
    margin: float | None = None,
) -> xr.DataArray:
    """Return how many spikes each layer fires until the trial decides.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    confidence, min_steps, margin : float, int, float
        When a trial decides; see `early_decision`.

    Returns
    -------
    xarray.DataArray of dims (trial, layer)
        Spikes up to the step, of the output's window, in which the decision falls; `n` is the
        number of neurons.
    """
    steps = early_decision(ds, confidence=confidence, min_steps=min_steps, margin=margin)["steps"]
    dt, output = float(ds.attrs["dt"]), layer_names(ds)[-1]
    start = float(ds["window_start"].values[ds["layer"].values == output][0])
    end = start + (steps.values - _HALF_STEP) * dt
    trial = np.repeat(np.arange(ds.sizes["trial"]), ds["row_size"].values.sum(axis=1))
    train = np.repeat(np.arange(ds["row_size"].size), ds["row_size"].values.reshape(-1))
    early = ds["t"].values < end[trial]
    counts = np.bincount(train[early], minlength=ds["row_size"].size)
    return labelled(
        by_layer(ds, counts.reshape(ds["row_size"].shape), np.sum),
        "1",
        "spikes until the decision",
        "spikes_to_decision",
    )
