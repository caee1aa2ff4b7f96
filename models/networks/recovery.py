r"""Images to recover: corrupted digits, what is known of them, and how far off they are.

The error of a batch is the mean over images of the Euclidean distance to the original,

.. math:: L_2 = \left\langle \sqrt{\textstyle\sum_i (v_i - x_i)^2} \right\rangle,

over the pixels, black 0 and white 1. How the published figure is defined is not known; by this one
images with 20 % of their pixels flipped start at 12.1, and those with their lowest third replaced
by random black and white at 11.1, where the published table starts at 12.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from spikeram.boltzmann import Chain, Fields, Gibbs, sample
from spikeram.seeds import Purpose, Seed, generator

SIDE = 28
N_PIXELS = SIDE * SIDE
FIRST_OCCLUDED = 19
"""First of the rows that are occluded: 9 of 28, a third."""

LEAST = 0.005
"""Least probability of a pixel to be white or black before anything is seen."""

_FILL = {"black": 0.0, "white": 1.0}

Images = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """Corrupted images.

    Parameters
    ----------
    name : str
        What was done to them.
    original, corrupted : ndarray of shape (sample, pixel)
        Images before and after.
    intact : ndarray of bool of shape (sample, pixel), or None
        Which pixels are known to be right; None where that is not known.
    """

    name: str
    original: Images
    corrupted: Images
    intact: NDArray[np.bool_] | None

    @property
    def error_before(self) -> float:
        """L2 error of the corrupted images."""
        return l2_error(self.corrupted, self.original)


def flipped(x: Images, *, share: float = 0.2, seed: int) -> Task:
    """Return images of which a share of the pixels is inverted; which ones is known.

    Parameters
    ----------
    x : ndarray of shape (sample, pixel)
        Images.
    share : float
        Share of the pixels.
    seed : int
        Where they are drawn from.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"flipped expects a share from 0 to 1, got {share}.")
    wrong = generator(seed, Purpose.GIBBS, 3, 0).random(x.shape) < share
    corrupted = np.where(wrong, 1.0 - x, x)
    return Task(name="flipped", original=x, corrupted=corrupted, intact=~wrong)


def blind(task: Task) -> Task:
    """Return a task of which it is not known which pixels are right."""
    return replace(task, name=f"{task.name}, blind", intact=None)


def occluded(x: Images, *, fill: Literal["random", "black", "white"] = "random", seed: int) -> Task:
    """Return images whose lowest third is hidden.

    Parameters
    ----------
    x : ndarray of shape (sample, pixel)
        Images of 28 x 28 pixels.
    fill : {"random", "black", "white"}
        What stands there instead; random pixels are black or white alike.
    seed : int
        Where random pixels are drawn from.
    """
    if x.ndim != 2 or x.shape[1] != N_PIXELS:
        raise ValueError(f"occluded expects images of shape (sample, {N_PIXELS}), got {x.shape}.")
    hidden = np.arange(N_PIXELS) >= FIRST_OCCLUDED * SIDE
    if fill == "random":
        instead = generator(seed, Purpose.GIBBS, 3, 1).integers(0, 2, x.shape).astype(np.float64)
    else:
        instead = np.full(x.shape, _FILL[fill])
    name = "occluded" if fill == "random" else f"occluded, {fill}"
    intact = np.broadcast_to(~hidden, x.shape)
    return Task(name=name, original=x, corrupted=np.where(hidden, instead, x), intact=intact)


def recover(
    fields: Fields,
    task: Task,
    gibbs: Gibbs | None = None,
    *,
    seed: Seed,
    flips: float | None = None,
    prior: Images | None = None,
) -> Chain:
    """Return the chain that starts from corrupted images; labels start at 0 and are free.

    Parameters
    ----------
    fields : Fields
        The machine, in software or on a chip.
    task : Task
        What to recover. Pixels known to be right are clamped.
    gibbs : Gibbs, optional
        How the chain runs.
    seed : int or numpy.random.SeedSequence
        Where decisions are drawn from.
    flips : float, optional
        Of a blind task: the share of flipped pixels, which makes each pixel evidence.
    prior : ndarray of shape (pixel,), optional
        Mean training image. With it a chain on evidence starts from what each pixel alone says,
        and not from the corrupted image, which holds hidden units in states of its noise.
    """
    others = fields.shape[0] - task.corrupted.shape[1]
    first, clamped, evidence = task.corrupted, None, None
    if task.intact is not None:
        clamped = np.pad(task.intact, ((0, 0), (0, others)))
    elif flips is not None:
        odds = np.log((1 - flips) / flips) * (2 * task.corrupted - 1)
        evidence = np.pad(odds, ((0, 0), (0, others)))
        if prior is not None:
            first = expit(logit(np.clip(prior, LEAST, 1 - LEAST)) + odds)
    start = np.pad(first, ((0, 0), (0, others)))
    return sample(fields, start, gibbs or Gibbs(), seed=seed, clamped=clamped, evidence=evidence)


def recovered_error(fields: Fields, task: Task, gibbs: Gibbs | None = None, *, seed: Seed) -> float:
    """Return the L2 error of the images after the last cycle."""
    n_pixels = task.original.shape[1]
    return l2_error(recover(fields, task, gibbs, seed=seed).mean()[:, :n_pixels], task.original)


def l2_error(x: Images, original: Images) -> float:
    """Return the mean Euclidean distance of images to the originals."""
    if x.shape != original.shape:
        raise ValueError(f"l2_error expects images of one shape, got {x.shape}, {original.shape}.")
    return float(np.sqrt(np.sum((x - original) ** 2, axis=1)).mean())
