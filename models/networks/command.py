"""The command of a network's module: train it, or show what is known of its weights."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from spikeram.models.networks.failures import told_in_a_line
from spikeram.models.networks.network import Network, record, train


def command(network: Network) -> click.Group:
    """Return the command group of a network, with ``train`` and ``show``."""

    @click.group(help=f"Trained weights of {network.name}.")
    def main() -> None:
        pass

    @main.command(name="train", help="Train it, or go on where that was interrupted.")
    @click.option(
        "--output",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=".",
        show_default=True,
        help="Folder for weights and the checkpoint.",
    )
    @click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
    @click.option("--compile", "compiled", is_flag=True, help="Faster; needs a C++ compiler.")
    def train_command(output: Path, seed: int, compiled: bool) -> None:
        console = Console()
        with told_in_a_line(), Progress(console=console) as bar:
            task = bar.add_task(network.name, total=None)
            train(
                network,
                output,
                seed=seed,
                compiled=compiled,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                said=console.print,
            )

    @main.command(name="show", help="Show how the shipped weights were made.")
    def show_command() -> None:
        for variant in ("plain", "noise"):
            if network.file(variant).exists():
                Console().print_json(record(network, variant).model_dump_json())

    return main
