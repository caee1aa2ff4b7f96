"""sample: Gibbs sampling, hidden units given visible ones and back, so many cycles.

Hidden units are 1 or 0. Visible ones are multi-bit, as on the published chip: levels of the
probability to fire, or the number of spikes in as many steps. What is known of a sample can be
clamped: it is put back after every cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.adc import check_count
from spikeram.boltzmann.firing import Firing
from spikeram.boltzmann.machine import Codes, Fields, Spikes
from spikeram.seeds import Purpose, Seed, key

MOST_LEVELS = 127


@dataclass(frozen=True, kw_only=True)
class Gibbs:
    """How a chain runs.

    Parameters
    ----------
    cycles : int
        Cycles, each of one step to the hidden units and one back.
    levels : int
        Largest code of a visible unit: 7 for 3 bits, 1 for binary units.
    hidden : Firing
        Law of the hidden units.
    visible : Firing or None
        Law of the visible ones, of which a code counts the spikes in `levels` draws; None for the
        logistic function of the field itself, rounded to a level.
    """

    cycles: int = 10
    levels: int = 7
    hidden: Firing = field(default_factory=Firing)
    visible: Firing | None = None

    def __post_init__(self) -> None:
        check_count("Gibbs.cycles", self.cycles, 1, 2**16)
        check_count("Gibbs.levels", self.levels, 1, MOST_LEVELS)


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain:
    """The states of a chain after each cycle.

    Parameters
    ----------
    visible : int16 ndarray of shape (cycle, sample, visible)
        Visible units as codes.
    hidden : int8 ndarray of shape (cycle, sample, hidden)
        Hidden units.
    levels : int
        Largest code.
    """

    visible: NDArray[np.int16]
    hidden: NDArray[np.int8]
    levels: int

    def mean(self, last: int = 1) -> NDArray[np.float64]:
        """Return visible units between 0 and 1, the mean of the last cycles."""
        check_count("Chain.mean: last", last, 1, len(self.visible))
        summed = self.visible[-last:].sum(axis=0, dtype=np.int64)
        return np.asarray(summed / (last * self.levels), np.float64)


def sample(
    fields: Fields,
    visible: ArrayLike,
    gibbs: Gibbs,
    *,
    seed: Seed,
    clamped: ArrayLike | None = None,
    evidence: ArrayLike | None = None,
    first_sample: int = 0,
) -> Chain:
    """Return the chain that starts from given visible units.

    Parameters
    ----------
    fields : Fields
        A `BoltzmannMachine`, or a chip that holds one.
    visible : array_like of shape (sample, visible)
        Where it starts, from 0 to 1.
    gibbs : Gibbs
        How it runs.
    seed : int or numpy.random.SeedSequence
        Where decisions are drawn from, addressed by cycle, sample and unit.
    clamped : array_like of bool of shape (visible,) or (sample, visible), optional
        Visible units that stay as they are.
    evidence : array_like of shape (visible,) or (sample, visible), optional
        Fields that are added to those of visible units in every cycle: what else is known of each,
        as the logarithm of the odds that it is 1. Pixels of which a share p was flipped bring
        +-log((1 - p) / p).
    first_sample : int
        Number of the first sample, so that batches draw what all at once would.

    Examples
    --------
    >>> from spikeram.boltzmann import BoltzmannMachine
    >>> machine = BoltzmannMachine(weight=[[20.0]], visible_bias=[-10], hidden_bias=[-10])
    >>> sample(machine, [[1.0], [0.0]], Gibbs(cycles=2, levels=1), seed=0).visible[-1, :, 0]
    array([1, 0], dtype=int16)
    """
    start = checked_visible(visible, fields.shape[0], gibbs.levels)
    held = _checked_mask(clamped, start.shape)
    keys = [key(seed, Purpose.GIBBS, direction) for direction in range(2)]
    units = fields.units(gibbs.levels)
    known = _checked_evidence(evidence, start.shape) * units[1]
    codes, states, spikes = start, [], []
    for cycle in range(gibbs.cycles):
        at = {"first_sample": first_sample, "visit": cycle}
        z = fields.to_hidden(codes, gibbs.levels, **at)
        hidden = gibbs.hidden.fire(z, 1, unit=units[0], key=keys[0], **at)[:, :, 0]
        back = fields.to_visible(hidden, **at) + known
        codes = _visible(back, gibbs, units[1], keys[1], at)
        codes = np.where(held, start, codes)
        spikes.append(hidden)
        states.append(codes)
    return Chain(visible=np.stack(states), hidden=np.stack(spikes), levels=gibbs.levels)


def _visible(
    z: NDArray[np.float64], gibbs: Gibbs, unit: float, own_key: np.uint64, at: dict[str, int]
) -> Codes:
    """Return visible units for their fields."""
    if gibbs.visible is None:
        return np.rint(gibbs.levels * Firing().probability(z / unit)).astype(np.int16)
    fired: Spikes = gibbs.visible.fire(z, gibbs.levels, unit=unit, key=own_key, **at)
    codes: Codes = fired.sum(axis=2, dtype=np.int16)
    return codes


def checked_visible(visible: ArrayLike, n_visible: int, levels: int) -> Codes:
    """Return visible units as codes, or say what is wrong with them."""
    v = np.asarray(visible, np.float64)
    if v.ndim != 2 or v.shape[1] != n_visible:
        raise ValueError(
            f"sample expects visible units of shape (sample, {n_visible}), got {v.shape}."
        )
    if not np.all((v >= 0) & (v <= 1)):
        raise ValueError("sample expects visible units from 0 to 1, got others. Scale them.")
    return np.floor(v * levels + 0.5).astype(np.int16)


def _checked_mask(clamped: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if clamped is None:
        return np.zeros(shape, np.bool_)
    mask = np.asarray(clamped)
    if mask.dtype != np.bool_ or mask.shape not in (shape, shape[1:]):
        raise ValueError(
            f"clamped expects booleans of shape {shape[1:]} or {shape}, got {mask.dtype} of shape "
            f"{mask.shape}."
        )
    return np.broadcast_to(mask, shape)


def _checked_evidence(evidence: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if evidence is None:
        return np.zeros(shape[1:])
    known = np.asarray(evidence, np.float64)
    if known.shape not in (shape, shape[1:]) or not np.all(np.isfinite(known)):
        raise ValueError(
            f"evidence expects finite fields of shape {shape[1:]} or {shape}, got shape "
            f"{known.shape} or others than finite ones."
        )
    return known
