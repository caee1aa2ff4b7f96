"""The Boltzmann machine that recovers MNIST digits on the chip.

784 pixels in 3 bits and 10 labels are visible, 120 units hidden, binary and stochastic; contrastive
divergence of 5 cycles with noise on weights whose largest is 1 (Wan et al., Nature 608, 504, 2022,
and github.com/weierwan/Neurram_48core). Needs no torch.

    python -m spikeram.models.networks.mnist_rbm train
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from spikeram.boltzmann import BoltzmannMachine
from spikeram.datasets import mnist
from spikeram.errors import FileFormatError
from spikeram.files import take, write_npz
from spikeram.models.networks.contrastive import Recipe, fit
from spikeram.models.networks.failures import told_in_a_line
from spikeram.models.networks.recovery import N_PIXELS, flipped, occluded, recovered_error
from spikeram.models.networks.weights import (
    VERSION,
    TrainingHeader,
    Variant as Variant,
    read_weights,
    remedy,
    shipped,
)

NAME = "mnist_rbm"
LEVELS = 7
N_LABELS = 10
W_MAX = 1.0

RECIPES: dict[Variant, Recipe] = {"noise": Recipe(noise=0.25), "plain": Recipe(noise=0.0)}

_FORMAT = "spikeram-boltzmann"
_TESTED = 500


class MachineHeader(TrainingHeader):
    """What is known of a machine in a file: besides `TrainingHeader`, what it recovers.

    Parameters
    ----------
    error : dict of str to float
        L2 errors of test digits before and after 10 Gibbs cycles in software.
    """

    error: dict[str, float]


def weights_file(variant: Variant = "noise") -> Path:
    """Return the file of the weights that are shipped."""
    return shipped(NAME, variant)


def load(variant: Variant = "noise", *, file: str | Path | None = None) -> BoltzmannMachine:
    """Return the trained machine.

    Parameters
    ----------
    variant : {"noise", "plain"}
        Trained with noise on its weights, or without.
    file : path-like, optional
        Weights other than those that are shipped.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or holds another network's weights.
    """
    path = Path(file or weights_file(variant))
    arrays, _ = read_weights(path, MachineHeader, kind=_FORMAT, name=NAME)
    n_visible, n_hidden = N_PIXELS + N_LABELS, RECIPES[variant].n_hidden
    shapes = {
        "weight": (n_visible, n_hidden),
        "visible_bias": (n_visible,),
        "hidden_bias": (n_hidden,),
    }
    found = {name: take(arrays, name, path) for name in shapes}
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise FileFormatError(
                f"{path} expects {name!r} of shape {shape}, got {found[name].shape}. {remedy(NAME)}"
            )
    return BoltzmannMachine(**found)


def record(variant: Variant = "noise") -> MachineHeader:
    """Return what is known of the shipped weights."""
    return read_weights(weights_file(variant), MachineHeader, kind=_FORMAT, name=NAME)[1]


def digits(part: Literal["train", "test"]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return images of 3 bits, of shape (sample, pixel), and their labels."""
    found = mnist(part)
    x = np.floor(found.x.reshape(len(found.x), -1) * LEVELS + 0.5) / LEVELS
    return x.astype(np.float64), found.y


def with_labels(x: NDArray[np.float64], y: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return visible units of images; labels that are not known are 0."""
    labels = np.zeros((len(x), N_LABELS)) if y is None else np.eye(N_LABELS)[y]
    return np.hstack([x, labels])


def train(
    folder: str | Path,
    *,
    variant: Variant = "noise",
    seed: int = 0,
    recipe: Recipe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the file of weights that training wrote.

    Parameters
    ----------
    folder : path-like
        Where weights go, and the checkpoint that an interrupted run goes on from.
    variant : {"noise", "plain"}
        With noise on the weights, or without.
    seed : int
        Where everything is drawn from.
    recipe : Recipe, optional
        Another one than the variant's.
    progress : callable, optional
        Called with (batches done, batches in all).
    """
    how, target = recipe or RECIPES[variant], Path(folder)
    (x, y), (x_test, _) = digits("train"), digits("test")
    name = weights_file(variant).stem
    machine = fit(
        with_labels(x, y),
        how,
        seed=seed,
        checkpoint=target / f"{name}.checkpoint.npz",
        progress=progress,
    )
    header = MachineHeader(
        format=_FORMAT,
        version=VERSION,
        network=NAME,
        recipe=asdict(how),
        seed=seed,
        error=_errors(machine, x_test[:_TESTED], seed),
        data=f"{len(x)} digits of MNIST to train on, the first {_TESTED} others to test.",
        versions={"spikeram": version("spikeram"), "numpy": np.__version__},
    )
    # Half precision: a thousandth of w_max, far below the errors of cells.
    arrays: dict[str, NDArray[np.generic]] = {
        "weight": machine.weight.astype(np.float16),
        "visible_bias": machine.visible_bias.astype(np.float32),
        "hidden_bias": machine.hidden_bias.astype(np.float32),
    }
    write_npz(target / weights_file(variant).name, header, arrays)
    return target / weights_file(variant).name


def _errors(machine: BoltzmannMachine, x: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Return L2 errors of both corruptions, before and after, without noise and with."""
    found: dict[str, float] = {}
    for task in (flipped(x, seed=seed), occluded(x, seed=seed)):
        found[f"{task.name}, before"] = task.error_before
        for noise in (0.0, 0.1, 0.2):
            rng = np.random.default_rng(seed)
            chip = machine.disturbed(noise * W_MAX, rng=rng)
            found[f"{task.name}, noise {noise:g}"] = recovered_error(chip, task, seed=seed)
    return {name: round(error, 4) for name, error in found.items()}


@click.group(help=f"Trained weights of {NAME}.")
def main() -> None:
    """Train the machine, or show what is known of its weights."""


@main.command(name="train", help="Train it, or go on where that was interrupted.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    show_default=True,
    help="Folder for weights and the checkpoint.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="Other than the recipe's.")
@click.option("--plain", is_flag=True, help="Without noise on the weights.")
def train_command(output: Path, seed: int, epochs: int | None, plain: bool) -> None:
    """Train the machine."""
    variant: Variant = "plain" if plain else "noise"
    how = RECIPES[variant] if epochs is None else replace(RECIPES[variant], epochs=epochs)
    console = Console()
    with told_in_a_line(), Progress(console=console) as bar:
        task = bar.add_task(NAME, total=None)
        path = train(
            output,
            variant=variant,
            seed=seed,
            recipe=how,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _, header = read_weights(path, MachineHeader, kind=_FORMAT, name=NAME)
    console.print(f"{path.name}: L2 errors {header.error}")


@main.command(name="show", help="Show how the shipped weights were made.")
def show_command() -> None:
    """Show what is known of the shipped weights."""
    for variant in RECIPES:
        if weights_file(variant).exists():
            Console().print_json(record(variant).model_dump_json())


if __name__ == "__main__":
    main()
