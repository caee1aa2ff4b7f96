"""Which cells: the address at which all their random numbers are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.write_verify import fill_normals_at, fill_uniforms_at
from spikeram.seeds import Purpose, Seed, key


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """Which cells: the address at which all their random numbers are drawn.

    Parameters
    ----------
    index : ndarray of int
        Number of each cell in its array, of any shape, 0 to 2**32 - 1.
    seed : int or numpy.random.SeedSequence
        The root seed.
    chip, array : int
        Numbers of the chip and of the array on it.
    """

    index: NDArray[np.int64]
    seed: Seed
    chip: int = 0
    array: int = 0

    def __post_init__(self) -> None:
        index = np.asarray(self.index)
        if index.dtype.kind not in "iu" or np.any(index < 0) or np.any(index >= 2**32):
            raise ValueError("Cells.index expects integers from 0 to 2**32 - 1, got others.")
        for name in ("chip", "array"):
            number = getattr(self, name)
            if not isinstance(number, (int, np.integer)) or number < 0:
                raise ValueError(f"Cells.{name} expects an integer >= 0, got {number!r}.")
        object.__setattr__(self, "index", index.astype(np.int64))

    @classmethod
    def of(cls, shape: tuple[int, ...], *, seed: Seed, chip: int = 0, array: int = 0) -> Cells:
        """Return all cells of an array, numbered row by row.

        Examples
        --------
        >>> Cells.of((2, 3), seed=0).index.tolist()
        [[0, 1, 2], [3, 4, 5]]
        """
        index = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        return cls(index=index, seed=seed, chip=chip, array=array)

    def take(self, where: NDArray[Any]) -> Cells:
        """Return the cells selected by a mask or an index array."""
        return replace(self, index=self.index[where])

    def key(self, purpose: Purpose) -> np.uint64:
        """Return the key of the cells' random numbers for one purpose."""
        return key(self.seed, purpose, int(self.chip), int(self.array))

    def normals(
        self, purpose: Purpose, count: int, episode: int | NDArray[np.int64] = 0
    ) -> NDArray[np.float64]:
        """Return standard normals of shape (draw, *cells); `episode` numbers repetitions."""
        out = np.empty((count, self.index.size))
        fill_normals_at(self.key(purpose), self.counter, self.episodes(episode), out)
        return out.reshape(count, *self.index.shape)

    def uniforms(self, purpose: Purpose) -> NDArray[np.float64]:
        """Return one number in (0, 1) for each cell."""
        out = np.empty(self.index.size)
        fill_uniforms_at(self.key(purpose), self.counter, out)
        return out.reshape(self.index.shape)

    @property
    def counter(self) -> NDArray[np.uint64]:
        """The first counter word of each cell, of shape (cell,)."""
        return self.index.ravel().astype(np.uint64)

    def episodes(self, episode: int | NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the counter word of a repetition for each cell, of shape (cell,)."""
        return np.broadcast_to(episode, self.index.shape).astype(np.uint64).ravel()
