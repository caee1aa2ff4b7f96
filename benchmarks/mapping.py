"""Place the networks of the paper on the chip, and a large one on many; draw the docs' picture.

python benchmarks/mapping.py --picture docs/chip_map.png
"""

import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from spikeram import plot
from spikeram.models import chips, papers
from spikeram.packing import MappingRules, cores_needed, map_footprints
from spikeram.placement import Footprint

NETWORKS = {
    "MNIST CNN": (papers.mnist_cnn, papers.MAX_INPUTS, "46,664", "16", "11"),
    "ResNet-20": (papers.resnet20, papers.MAX_INPUTS, "553,524", "66", "48"),
    "LSTM": (papers.lstm, None, "570,048", "36", "36"),
    "RBM": (papers.rbm, papers.MAX_INPUTS, "401,760", "16", "16"),
}


def published() -> None:
    """Print what the mapper makes of the paper's networks, beside what was published."""
    stack = chips.neurram().stack()
    print("| network | cells | matrices | cores | used once in turn | merged | cells of a core |")
    print("|---|---|---|---|---|---|---|")
    for name, (make, limit, *known) in NETWORKS.items():
        rules = MappingRules(max_pairs=limit)
        mapping = map_footprints(make(), stack, rules)
        share = mapping.utilisation().values[mapping.powered]
        fewest = cores_needed(make(), stack, rules)
        in_turn = map_footprints(make(), stack, replace(rules, used_once_in_turn=True)).n_powered
        print(
            f"| {name} | {mapping.n_cells:,} ({known[0]}) | {len(mapping.placements)} ({known[1]}) "
            f"| {mapping.n_powered} ({known[2]}) | {in_turn} | {fewest} | {share.min():.1%} to "
            f"{share.max():.1%} |"
        )


def large(n_layers: int, width: int) -> None:
    """Print what placing many square matrices takes."""
    layers = [Footprint(name=f"layer_{n}", n_pairs=width, n_columns=width) for n in range(n_layers)]
    start = time.process_time()
    mapping = map_footprints(layers, chips.neurram().stack(10_000))
    elapsed = time.process_time() - start
    print(
        f"{n_layers * width**2 / 1e9:.2f} billion weights: {len(mapping.placements):,} parts on "
        f"{mapping.powered.any(axis=1).sum():,} chips, placed in {elapsed:.1f} s of processor time."
    )


@click.command()
@click.option("--picture", type=click.Path(path_type=Path), help="Where to draw the ResNet-20.")
def main(picture: Path | None) -> None:
    published()
    large(15, 8192)
    if picture is not None:
        rng = np.random.default_rng(0)
        # Up to 5 bad rows in each core, and 19 in one as on the published chip; columns in another.
        bad = {core: rng.choice(256, rng.integers(0, 6), replace=False) for core in range(48)}
        bad[7] = rng.choice(256, 19, replace=False)
        stack = chips.neurram().stack(bad_rows=bad, bad_columns={12: [3, 40]})
        mapping = map_footprints(
            papers.resnet20(), stack, MappingRules(max_pairs=papers.MAX_INPUTS)
        )
        plot.figure_of(plot.chip_map(mapping)).savefig(picture, dpi=80)


if __name__ == "__main__":
    main()
