"""Chip-in-the-loop fine-tuning: retrain what follows on what the chip really computes.

Layer by layer: layer n stands on the chip, its outputs on the training samples are measured, and
the layers after it are trained on these, with noise on their weights as before; then the next
layer is written. Layers that were measured are never changed again (Wan et al., Nature 608, 504,
2022, Fig. 4c).

Layers of the torch model are told apart by their activations: what is computed between two
`ClipFloorShift` belongs to the later one. While the rest is trained, the activations of measured
layers return what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from spikeram.chip import Chip
from spikeram.conversion.calibration import recalibrate
from spikeram.conversion.convert import convert
from spikeram.conversion.training.activation import ClipFloorShift
from spikeram.conversion.training.fit import Recipe, fit
from spikeram.inference import Settings, activations, calibrate, operating_points
from spikeram.network import SpikingNetwork
from spikeram.product import LineErrors
from spikeram.programming import program
from spikeram.seeds import Seed
from spikeram.simulation import simulate
from spikeram.units import Quantity


class Measure(Protocol):
    """What a layer gives on, once it stands on the chip."""

    def __call__(
        self, model: nn.Module, x: NDArray[np.float32], layer: int, known: list[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the outputs of layer number `layer`, (sample, output), given those before it."""


@dataclass(frozen=True, kw_only=True)
class OnChip:
    """One chip that networks are written to, always onto the same cells.

    Parameters
    ----------
    chip : str or Chip
        The chip.
    delay : Second
        Time between programming and read-out.
    seed : int or numpy.random.SeedSequence
        Where cells draw from.
    index : int
        Number of the chip.
    calibration : int
        How many of the samples calibrate it.
    """

    chip: str | Chip = "neurram"
    delay: Quantity = "1 day"
    seed: Seed = 0
    index: int = 0
    calibration: int = 300

    def written(self, network: SpikingNetwork) -> Any:
        """Return the chip that holds a network."""
        return program(network, chip=self.chip, delay=self.delay, seed=self.seed, index=self.index)


@dataclass(frozen=True, kw_only=True)
class InferenceMode(OnChip):
    """Outputs in inference mode, at the levels that the next layer is driven with.

    Parameters
    ----------
    input_bits, activation_bits : int
        Bits of inputs and activations.
    errors : callable, optional
        Returns the noise and offsets of a programmed chip's lines.
    """

    input_bits: int = 4
    activation_bits: int = 3
    errors: Callable[[Any], tuple[LineErrors, ...]] | None = None

    def settings(self, chip: Any, x: ArrayLike, errors: tuple[LineErrors, ...] | None) -> Settings:
        """Return calibrated settings."""
        points = operating_points(
            chip,
            x,
            input_bits=self.input_bits,
            activation_bits=self.activation_bits,
            full_scale=1.0,
        )
        return calibrate(chip, x, points, errors=errors, seed=self.seed)

    def __call__(
        self, model: nn.Module, x: NDArray[np.float32], layer: int, known: list[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the outputs of a layer, rounded to the levels of its activation."""
        few = x[: self.calibration]
        network = convert(model, few, steps=None, method="learned_signed")
        chip = self.written(network)
        errors = None if self.errors is None else self.errors(chip)
        own = network.layers[layer]
        found = activations(
            chip,
            x,
            self.settings(chip, few, errors),
            own.name,
            known={one.name: values for one, values in zip(network.layers, known)},
            errors=errors,
            seed=self.seed,
        )
        top = 2**self.activation_bits - 1
        worth = own.worth.astype(np.float32)
        levels = np.clip(np.rint(found / worth * top), 0, top)
        return np.asarray(levels * worth / top, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class SpikingMode(OnChip):
    """Outputs in spiking mode: the rates of neurons over T steps.

    Parameters
    ----------
    steps : int
        Number of steps T.
    method : str
        Method of conversion.
    """

    steps: int = 32
    method: str = "learned_signed"

    def __call__(
        self, model: nn.Module, x: NDArray[np.float32], layer: int, known: list[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the value that the count of each neuron stands for."""
        few = x[: self.calibration]
        network = convert(model, few, steps=self.steps, method=self.method)
        chip = recalibrate(self.written(network), few)
        run = simulate(chip, x, record="counts")
        own = network.layers[layer]
        counts = run["row_size"].values[:, run["layer"].values == own.name]
        return np.asarray(counts * own.worth / self.steps, dtype=np.float32)


def fine_tune(
    model: nn.Module,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    recipe: Recipe,
    *,
    measure: Measure,
    seed: int,
    layers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Return the model, retrained in place layer by layer on measured outputs.

    Parameters
    ----------
    model : torch.nn.Module
        Trained, with `ClipFloorShift` as its activations.
    x : float32 ndarray of shape (sample, ...)
        Training samples.
    y : int64 ndarray of shape (sample,)
        Labels.
    recipe : Recipe
        How what follows is retrained after each layer.
    measure : callable
        What a layer gives on: `InferenceMode` or `SpikingMode`.
    seed : int
        Where training draws from.
    layers : int, optional
        How many layers are measured; by default all but the last.
    progress : callable, optional
        Called with (layers measured, layers in all).
    """
    order = _order(model, torch.tensor(x[:1]))
    places = [n for n, module in enumerate(order) if isinstance(module, ClipFloorShift)]
    if len({id(order[n]) for n in places}) < len(places) or not places:
        raise ValueError(
            "fine_tune expects a model with ClipFloorShift activations, each used once: it tells "
            f"layers apart by them. Got {len(places)}."
        )
    n_layers = len(places) if layers is None else min(layers, len(places))
    samples, labels = torch.tensor(x), torch.tensor(y)
    replaced: list[_Replaced] = []
    known: list[NDArray[np.float32]] = []
    try:
        for n in range(n_layers):
            with torch.no_grad():
                shape = _output_shape(model, order[places[n]], samples[:1])
            for one in replaced:
                one.active = False
            known.append(measure(model, x, n, known))
            if known[-1].shape[1] != int(np.prod(shape)):
                raise ValueError(
                    f"fine_tune: layer {n} has {known[-1].shape[1]} neurons on the chip, its "
                    f"activation {int(np.prod(shape))} outputs. Activations must come in the order "
                    "of the layers."
                )
            for one in replaced:
                one.active = True
            replaced.append(_Replaced(order[places[n]], known[-1].reshape(-1, *shape)))

            def chosen(batch: torch.Tensor) -> None:
                """Tell measured layers which samples are coming."""
                for one in replaced:
                    one.batch = batch

            fit(
                model,
                samples,
                labels,
                recipe,
                seed=seed + n,
                frozen=order[: places[n] + 1],
                before_batch=chosen,
            )
            if progress is not None:
                progress(n + 1, n_layers)
    finally:
        for one in replaced:
            one.remove()
    return model.eval()


class _Replaced:
    """An activation that returns what was measured, for the samples of the batch."""

    def __init__(self, module: nn.Module, values: NDArray[np.float32]) -> None:
        self.active = True
        self.batch = torch.arange(0)
        self._values = values
        self._hook = module.register_forward_hook(self._return)

    def _return(self, _module: nn.Module, _given: Any, out: torch.Tensor) -> torch.Tensor:
        if not self.active:
            return out
        return torch.tensor(self._values[self.batch.numpy()])

    def remove(self) -> None:
        self._hook.remove()


def _order(model: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    """Return the modules without children in the order in which they are called."""
    found: list[nn.Module] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda m, *_: found.append(m)) for leaf in leaves]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return found


def _output_shape(model: nn.Module, module: nn.Module, x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of what a module returns for one sample."""
    found: list[tuple[int, ...]] = []
    hook = module.register_forward_hook(lambda _m, _i, out: found.append(tuple(out.shape[1:])))
    model.eval()(x)
    hook.remove()
    return found[0]
