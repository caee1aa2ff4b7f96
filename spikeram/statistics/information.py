r"""What spike counts tell about a stimulus.

With the probabilities :math:`p` of counts r and stimuli s among K trials,

.. math:: I = \sum_{s,r} p(s)\,p(r|s) \log_2 \frac{p(r|s)}{p(r)}
          - \frac{\sum_s (R_s - 1) - (R - 1)}{2 K \ln 2} \quad [\text{bits}],

where :math:`R_s` and R are the numbers of different counts seen with stimulus s and in all. The
second term is the bias of the first, which takes chance for information when trials are few:
Panzeri and Treves, Network 7, 87 (1996), with naive counts of the responses. Shuffling the stimuli
tells whether what is left is more than chance.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram.seeds import Purpose, Seed, generator
from spikeram.statistics.counts import spike_counts
from spikeram.statistics.labels import labelled


def mutual_information(
    ds: xr.Dataset,
    stimulus: ArrayLike,
    *,
    levels: int | None = None,
    corrected: bool = True,
    shuffles: int = 0,
    seed: Seed | None = None,
) -> xr.Dataset:
    """Return the information between each neuron's spike count and the stimulus.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    stimulus : array_like of shape (trial,)
        What was shown in each trial: labels, of any kind.
    levels : int, optional
        Tell only so many levels of counts apart, of about equally many trials; by default each
        count. Fewer levels have less bias, and lose information.
    corrected : bool
        Whether the bias is taken off; the result may then be below 0.
    shuffles : int
        Number of random assignments of the stimuli to trials to compare with.
    seed : int or numpy.random.SeedSequence, optional
        Needed with `shuffles`.

    Returns
    -------
    xarray.Dataset of dims (neuron,)
        `mutual_information` [bit], NaN with fewer than two stimuli, and with `shuffles` `p_value`:
        the share of assignments, the true one among them, with as much information. `n` is the
        number of trials.
    """
    labels = np.asarray(stimulus)
    counts = spike_counts(ds).values
    if labels.shape != counts.shape[:1]:
        raise ValueError(
            f"mutual_information expects a stimulus of shape ({counts.shape[0]},), got "
            f"{labels.shape}."
        )
    if levels is not None and levels < 2:
        raise ValueError(f"mutual_information expects levels >= 2, got {levels}.")
    if shuffles < 0:
        raise ValueError(f"mutual_information expects shuffles >= 0, got {shuffles}.")
    if shuffles and seed is None:
        raise ValueError("mutual_information draws the assignments at random: give a seed.")
    kinds, shown = np.unique(labels, return_inverse=True)
    told = counts if levels is None else _in_levels(counts, levels)
    value = _information(told, shown, kinds.size, corrected)
    coords = {"layer": ds["layer"], "unit": ds["unit"], "n": counts.shape[0]}
    found = {"mutual_information": (value, "bit", "information about the stimulus")}
    if shuffles and seed is not None:
        reached = np.ones(value.size)
        for k in range(shuffles):
            mixed = generator(seed, Purpose.SHUFFLE, k).permutation(shown)
            reached += _information(told, mixed, kinds.size, corrected) >= value
        p = np.where(np.isnan(value), np.nan, reached / (shuffles + 1))
        found["p_value"] = (p, "1", "share of shuffles with as much information")
    return xr.Dataset(
        {
            name: labelled(xr.DataArray(v, dims=("neuron",), coords=coords), units, text, name)
            for name, (v, units, text) in found.items()
        }
    )


def _in_levels(counts: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """Return the level of each count among those of its neuron."""
    shares = np.arange(1, levels) / levels
    edges = np.quantile(counts, shares, axis=0) if counts.shape[0] else np.zeros((0, 0))
    level: NDArray[np.int64] = (counts[np.newaxis] > edges[:, np.newaxis]).sum(axis=0)
    return level


def _information(
    counts: NDArray[np.int64], shown: NDArray[np.int64], n_stimuli: int, corrected: bool
) -> NDArray[np.float64]:
    trials, neurons = counts.shape
    if n_stimuli < 2:
        return np.full(neurons, np.nan)
    n_counts = int(counts.max(initial=0)) + 1
    value = np.empty(neurons)
    for j in range(neurons):
        joint = np.bincount(
            shown * n_counts + counts[:, j], minlength=n_stimuli * n_counts
        ).reshape(n_stimuli, n_counts)
        value[j] = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint)
        if corrected:
            seen, in_all = np.count_nonzero(joint), np.count_nonzero(joint.any(axis=0))
            value[j] -= (seen - n_stimuli - (in_all - 1)) / (2 * trials * np.log(2))
    return value


def _entropy(counts: NDArray[np.int64]) -> float:
    """Return the entropy of a distribution given by counts [bit]."""
    some = counts[counts > 0]
    total = int(some.sum())
    return float(np.log2(total) - (some * np.log2(some)).sum() / total)
