r"""Contrastive divergence with noise on the weights: how a Boltzmann machine is trained, in numpy.

For a batch of data :math:`v^+` a chain of k Gibbs cycles ends in :math:`v^-`, and

.. math:: \Delta W = \langle v^+ h^+ \rangle - \langle v^- h^- \rangle, \qquad
          \Delta b = \langle v^+ \rangle - \langle v^- \rangle, \qquad
          \Delta c = \langle h^+ \rangle - \langle h^- \rangle

with hidden probabilities h (Hinton, Neural Computation 14, 1771, 2002). Visible units are
probabilities, hidden ones drawn. Noise of standard deviation :math:`\epsilon\,w_{max}` is added to
weights and biases, anew for each batch and the same in both directions of its chain, as one
array's cells are (Wan et al., Nature 608, 504, 2022); gradients change the clean weights, held
within :math:`\pm w_{max}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from spikeram.boltzmann import BoltzmannMachine
from spikeram.errors import FileFormatError
from spikeram.files import Header, read_npz, write_npz
from spikeram.seeds import Purpose, generator

_FORMAT = "spikeram-boltzmann-checkpoint"
_VERSION = 1

_MOVED = ("weight", "visible_bias", "hidden_bias")

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a machine is trained.

    Parameters
    ----------
    n_hidden : int
        Hidden units.
    epochs : int
        Passes through the data.
    batch : int
        Samples of one step.
    rate : float
        Learning rate at the start; it falls linearly to 0.
    momentum : float
        Momentum after the first tenth of the steps; 0.5 before.
    decay : float
        Weight decay.
    cycles : int
        Gibbs cycles of a chain.
    noise : float
        Noise on weights as a share of `w_max`.
    w_max : float
        Largest weight.
    """

    n_hidden: int = 120
    epochs: int = 8
    batch: int = 128
    rate: float = 0.05
    momentum: float = 0.9
    decay: float = 1e-4
    cycles: int = 5
    noise: float = 0.25
    w_max: float = 1.0

    def __post_init__(self) -> None:
        for name in ("n_hidden", "epochs", "batch", "cycles"):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe.{name} expects a count >= 1, got {getattr(self, name)}.")
        if not (self.rate > 0 and self.w_max > 0 and self.noise >= 0 and self.decay >= 0):
            raise ValueError(
                "Recipe expects rate and w_max > 0, noise and decay >= 0, got "
                f"{self.rate}, {self.w_max}, {self.noise} and {self.decay}."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"Recipe.momentum expects 0 <= momentum < 1, got {self.momentum}.")


class _Identity(Header):
    """Of which run a checkpoint is, and how far it came."""

    recipe: dict[str, Any]
    seed: int
    shape: list[int]
    epoch: int


def fit(
    data: NDArray[np.floating[Any]],
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> BoltzmannMachine:
    """Return a machine trained on data.

    Every epoch draws from a generator of its own, so that a run that was interrupted and goes on
    from its checkpoint ends where an unbroken one does, with as many threads on one processor.

    Parameters
    ----------
    data : ndarray of shape (sample, visible)
        Visible units from 0 to 1.
    recipe : Recipe
        How.
    seed : int
        Where order, noise and hidden units are drawn from.
    checkpoint : path-like, optional
        Written after every epoch, and gone on with where it exists.
    progress : callable, optional
        Called with (batches done, batches in all).

    Raises
    ------
    FileFormatError
        If the checkpoint is damaged, or of another recipe, seed or data.
    """
    v = np.ascontiguousarray(data, np.float32)
    if v.ndim != 2 or len(v) < recipe.batch or v.min() < 0 or v.max() > 1:
        raise ValueError(
            f"fit expects data of shape (sample, visible) from 0 to 1, a batch of {recipe.batch} "
            f"samples at least, got shape {v.shape}."
        )
    path = None if checkpoint is None else Path(checkpoint)
    identity: dict[str, Any] = {"recipe": asdict(recipe), "seed": seed, "shape": list(v.shape)}
    state, first = _begin(v.mean(axis=0), recipe, seed), 0
    if path is not None and path.exists():
        state, first = _loaded(path, state, identity)
    rounds = len(v) // recipe.batch
    for epoch in range(first, recipe.epochs):
        rng = generator(seed, Purpose.TRAINING, 1 + epoch)
        order = rng.permutation(len(v))
        for n in range(rounds):
            done = epoch * rounds + n
            share = done / (recipe.epochs * rounds)
            _step(state, v[order[n * recipe.batch :][: recipe.batch]], recipe, rng, share)
            if progress is not None:
                progress(done + 1, recipe.epochs * rounds)
        if path is not None:
            header = _Identity(format=_FORMAT, version=_VERSION, epoch=epoch + 1, **identity)
            write_npz(path, header, state)
    return BoltzmannMachine(**{name: state[name].astype(np.float64) for name in _MOVED})


def _begin(mean: Array, recipe: Recipe, seed: int) -> dict[str, Array]:
    """Return the parameters at the start, and their velocities."""
    rng = generator(seed, Purpose.TRAINING, 0)
    shape = (mean.size, recipe.n_hidden)
    odds = np.clip(mean, 0.01, 0.99)
    state = {
        "weight": 0.01 * rng.standard_normal(shape, dtype=np.float32),
        "visible_bias": np.log(odds / (1 - odds)),
        "hidden_bias": np.zeros(recipe.n_hidden, np.float32),
    }
    return state | {f"{name}_velocity": np.zeros_like(state[name]) for name in _MOVED}


def _step(
    state: dict[str, Array],
    data: Array,
    recipe: Recipe,
    rng: np.random.Generator,
    share: float,
) -> None:
    """Change the parameters by one batch; `share` of the training is done."""
    weight, visible, hidden = (_noisy(state[name], recipe, rng) for name in _MOVED)
    back = np.ascontiguousarray(weight.T)
    first = expit(data @ weight + hidden)
    h, v = first, data
    for _ in range(recipe.cycles):
        spikes = (rng.random(h.shape, dtype=np.float32) < h).astype(np.float32)
        v = expit(spikes @ back + visible)
        h = expit(v @ weight + hidden)
    n = np.float32(len(data))
    gradient = data.T @ (first / n)
    gradient -= v.T @ (h / n)
    gradient -= np.float32(recipe.decay) * state["weight"]
    visible_gradient, hidden_gradient = (data - v).mean(axis=0), (first - h).mean(axis=0)
    rate = np.float32(recipe.rate * (1 - share))
    momentum = np.float32(recipe.momentum if share >= 0.1 else 0.5)
    for name, change in zip(_MOVED, (gradient, visible_gradient, hidden_gradient)):
        velocity = state[f"{name}_velocity"]
        velocity *= momentum
        change *= rate
        velocity += change
        state[name] += velocity
    np.clip(state["weight"], -recipe.w_max, recipe.w_max, out=state["weight"])


def _noisy(values: Array, recipe: Recipe, rng: np.random.Generator) -> Array:
    """Return values with noise; the same values where there is none."""
    if recipe.noise == 0:
        return values
    noise = rng.standard_normal(values.shape, dtype=np.float32)
    noise *= np.float32(recipe.noise * recipe.w_max)
    noise += values
    return noise


def _loaded(
    path: Path, state: dict[str, Array], identity: dict[str, Any]
) -> tuple[dict[str, Array], int]:
    """Return the parameters of a checkpoint and the epochs that it has behind it."""
    remedy = "Remove it to begin anew, or give another name."
    try:
        arrays, header = read_npz(path, _Identity, kind=_FORMAT, version=_VERSION)
    except FileFormatError as error:
        raise FileFormatError(f"{error} {remedy}") from None
    for name, wanted in identity.items():
        if getattr(header, name) != wanted:
            raise FileFormatError(
                f"{path} is a checkpoint of another run: {name} is {getattr(header, name)}, "
                f"expected {wanted}. {remedy}"
            )
    for name, values in state.items():
        if name not in arrays or arrays[name].shape != values.shape:
            raise FileFormatError(f"{path} is damaged: {name} is not as it should be. {remedy}")
    return {name: arrays[name].astype(np.float32) for name in state}, header.epoch
