"""A network with its data, its recipe and its weights: what every module here has one of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spikeram.conversion.training import Recipe, accuracy, fit
from spikeram.conversion.training.fit import Augment
from spikeram.datasets import LabelledSet
from spikeram.errors import FileFormatError
from spikeram.files import write_npz
from spikeram.models.networks.weights import (
    VERSION,
    TrainingHeader,
    Variant as Variant,
    read_weights,
    remedy,
    shipped,
)

NOISE = (0.0, 0.05, 0.1, 0.15)
"""Noise on weights that accuracies are measured at."""

DRAWS = 3
"""How often it is drawn."""

_FORMAT = "spikeram-weights"


class WeightsHeader(TrainingHeader):
    """What is known of weights in a file: besides `TrainingHeader`, what they reach.

    Parameters
    ----------
    accuracy : dict of str to float
        Shares of the test samples that were classified right, by noise on the weights.
    """

    accuracy: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network.

    Parameters
    ----------
    name : str
        Name of its module and its files of weights.
    build : callable
        Returns the model with random weights.
    samples : callable
        Returns the inputs and labels of ``"train"`` or ``"test"``, quantised as the chip takes
        them.
    recipe : Recipe
        How it is trained; the first stage is without noise.
    plain : Recipe, optional
        How the network without noise is trained, to compare with. By default it is what the first
        stage of `recipe` leaves.
    input_bits, activation_bits : int
        Bits of inputs and of activations, a sign included where inputs have one.
    augment : callable, optional
        Changes a batch at random while it is trained.
    """

    name: str
    build: Callable[[], nn.Module]
    samples: Callable[[str], LabelledSet]
    recipe: Recipe
    input_bits: int
    activation_bits: int
    plain: Recipe | None = None
    augment: Augment | None = None

    def file(self, variant: Variant = "noise") -> Path:
        """Return the file of the weights that are shipped."""
        return shipped(self.name, variant)


def load(
    network: Network, variant: Variant = "noise", *, file: str | Path | None = None
) -> nn.Module:
    """Return the trained model, in evaluation.

    Parameters
    ----------
    network : Network
        Which.
    variant : {"noise", "plain"}
        Trained with noise on its weights, or as it was before.
    file : path-like, optional
        Weights other than those that are shipped.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or holds another network's weights.
    """
    path = Path(file or network.file(variant))
    arrays, _ = read_weights(path, WeightsHeader, kind=_FORMAT, name=network.name)
    model = network.build()
    state = {}
    for name, wanted in model.state_dict().items():
        if name not in arrays or arrays[name].shape != tuple(wanted.shape):
            got = "nothing" if name not in arrays else f"shape {arrays[name].shape}"
            raise FileFormatError(
                f"{path} expects {name!r} of shape {tuple(wanted.shape)}, got {got}. "
                f"{remedy(network.name)}"
            )
        state[name] = torch.tensor(np.asarray(arrays[name], np.float32)).to(wanted.dtype)
    model.load_state_dict(state)
    return model.eval()


def record(network: Network, variant: Variant = "noise") -> WeightsHeader:
    """Return what is known of the shipped weights."""
    file = network.file(variant)
    return read_weights(file, WeightsHeader, kind=_FORMAT, name=network.name)[1]


def tensors(samples: LabelledSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and labels as torch takes them."""
    return torch.tensor(samples.x), torch.tensor(samples.y)


def train(
    network: Network,
    folder: str | Path,
    *,
    seed: int = 0,
    compiled: bool = False,
    progress: Callable[[int, int], None] | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[Variant, Path]:
    """Return the files of weights that training wrote, one before and one after noise.

    Parameters
    ----------
    network : Network
        What to train.
    folder : path-like
        Where weights go, and the checkpoint that an interrupted run goes on from.
    seed : int
        Where everything is drawn from.
    compiled : bool
        Whether ``torch.compile`` is used, which needs a C++ compiler.
    progress : callable, optional
        Called with (batches done, batches in all).
    said : callable, optional
        Called with a line after each stage.
    """
    target = Path(folder)
    given = network.samples("train")
    test = network.samples("test")
    x, y = tensors(given)
    written: dict[Variant, Path] = {}

    def trained(recipe: Recipe, checkpoint: str, variants: Mapping[int, Variant]) -> None:
        """Train from new weights, and write those that the named stages leave."""
        torch.manual_seed(seed)
        model = network.build()

        def after(stage: int) -> None:
            """Write the weights with their accuracies."""
            if stage not in variants:
                return
            path = written[variants[stage]] = target / network.file(variants[stage]).name
            header = save(network, model, path, given, test, recipe=recipe, seed=seed)
            shares = header.accuracy.items()
            text = ", ".join(f"{100 * share:.2f} % at {eps}" for eps, share in shares)
            said(f"{path.name}: {text} of noise on weights")

        fit(
            model,
            x,
            y,
            recipe,
            seed=seed,
            augment=network.augment,
            checkpoint=target / checkpoint,
            compiled=compiled,
            after_stage=after,
            progress=progress,
        )

    last = len(network.recipe.stages) - 1
    if network.plain is None:
        trained(network.recipe, f"{network.name}.checkpoint", {0: "plain", last: "noise"})
    else:
        trained(network.plain, f"{network.name}_plain.checkpoint", {0: "plain"})
        trained(network.recipe, f"{network.name}.checkpoint", {last: "noise"})
    return written


def save(
    network: Network,
    model: nn.Module,
    path: Path,
    given: LabelledSet,
    test: LabelledSet,
    *,
    recipe: Recipe,
    seed: int,
) -> WeightsHeader:
    """Return what is known of weights, written to a file with them.

    Parameters
    ----------
    network : Network
        Which network.
    model : torch.nn.Module
        As its recipe left it.
    path : Path
        The file.
    given, test : LabelledSet
        What it was trained on, and what its accuracy is measured on.
    recipe : Recipe
        By which it was trained.
    seed : int
        From which it was trained.
    """
    x, y = tensors(test)
    shares = {
        f"{noise:g}": float(
            np.mean(accuracy(model, x, y, noise=noise, draws=DRAWS if noise else 1, seed=seed))
        )
        for noise in NOISE
    }
    header = WeightsHeader(
        format=_FORMAT,
        version=VERSION,
        network=network.name,
        recipe=recipe.described(),
        seed=seed,
        accuracy=shares,
        data=f"{len(given.x)} samples to train on, {len(test.x)} to test. {given.note}".strip(),
        versions={"spikeram": version("spikeram"), "torch": str(torch.__version__)},
    )
    write_npz(path, header, _arrays(model.state_dict()))
    return header


def _arrays(state: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.generic]]:
    """Return weights at half precision, a fiftieth of the finest noise that they meet."""
    return {
        name: values.detach().numpy().astype(np.float16 if values.dim() > 1 else np.float32)
        for name, values in state.items()
    }
