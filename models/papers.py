"""The networks that ran on the NeuRRAM chip, as footprints (Wan et al., Nature 608, 504, 2022).

Sizes of layers are those of the models in github.com/weierwan/Neurram_48core, whose software cuts
matrices into equal segments of at most 100 inputs (`MAX_INPUTS`) and gives every segment always-on
pairs of rows for its part of the biases. Published for comparison: the cells and matrices that the
repository's notebooks print, and the number of cores.

The functions take no weights: `spikeram.packing.map_footprints` needs none.
"""

from __future__ import annotations

from spikeram.placement import Footprint

MAX_INPUTS = 100
"""Most inputs of a segment in the published chip's software."""


def mnist_cnn() -> tuple[Footprint, ...]:
    """Return the seven-layer network for MNIST.

    Notes
    -----
    3 x 3 convolutions with 8, 8, 16, 16, 32 and 32 channels, max pools after every second one, and
    a dense layer of 4 x 4 x 32 inputs; one bias pair for each segment. *Published:* 46,664 cells in
    16 segments, on 11 cores. Their placements were chosen by hand, and the file with them could not
    be read. `MappingRules(used_once_in_turn=True)` takes 11 as well: ten segments of convolutions
    and one core for the dense layer's six. The notebook reads those one after the other; that they
    shared a core is *assumed*.
    """
    sizes = [
        ("conv1", 9, 8, 784),
        ("conv2", 72, 8, 784),
        ("conv3", 72, 16, 196),
        ("conv4", 144, 16, 196),
        ("conv5", 144, 32, 49),
        ("conv6", 288, 32, 49),
        ("dense", 512, 10, 1),
    ]
    return _in_turn(sizes, bias_pairs=1)


def resnet20() -> tuple[Footprint, ...]:
    """Return ResNet-20 with 16, 32 and 64 channels and 1 x 1 shortcuts, for CIFAR-10.

    Notes
    -----
    Two bias pairs for each segment, as the notebooks have for convolutions. *Published:* 553,524
    cells in 66 matrices on 48 cores. With two pairs everywhere it would be 148 cells more. All
    other layers have a multiple of 16 columns, so that some of the 148 are the dense layer's: one
    pair less of its 10 columns leaves 128. Those are one pair less of 64 columns, or of several
    narrower matrices; that they are the last shortcut's is *assumed*.
    """
    sizes = [("conv1", 27, 16, 1024)]
    for stage, (channels, positions) in enumerate(((16, 1024), (32, 256), (64, 64)), start=1):
        for n in range(1, 7):
            inputs = channels // 2 if n == 1 and stage > 1 else channels
            sizes.append((f"stage{stage}.conv{n}", 9 * inputs, channels, positions))
        if stage > 1:
            sizes.append((f"stage{stage}.shortcut", channels // 2, channels, positions))
    sizes.append(("dense", 64, 10, 1))
    return _in_turn(sizes, bias_pairs=2, fewer={"dense": 1, "stage3.shortcut": 1})


def lstm() -> tuple[Footprint, ...]:
    """Return four parallel LSTM cells with 112 hidden units, for spoken commands.

    Notes
    -----
    For each cell four gates, each with a matrix for the 40 inputs and one for the hidden state, and
    a dense layer to 12 classes, which all work on one time step; two bias pairs each. *Published:*
    32 + 4 matrices, 559,104 + 10,944 cells, 36 cores. Segments are whole cores here: the published
    matrices of 114 pairs are not cut. A second of sound at 16 kHz is 48 windows of 641 samples
    every 320, and as many uses.
    """
    found = []
    for cell in range(4):
        for gate in ("input", "forget", "cell", "output"):
            found.append(_two_bias_pairs(f"cell{cell}.{gate}.x", 40, 112))
            found.append(_two_bias_pairs(f"cell{cell}.{gate}.h", 112, 112))
        found.append(_two_bias_pairs(f"cell{cell}.dense", 112, 12))
    return tuple(found)


def rbm() -> tuple[Footprint, ...]:
    """Return the restricted Boltzmann machine of 794 visible and 120 hidden units, held twice.

    Notes
    -----
    Visible units are pairs of lines, hidden ones single lines, with four lines for the biases of
    the visible units and two pairs in each of eight groups for those of the hidden. *Published:*
    401,760 cells on 16 cores: eight groups, two copies. Ten cycles of Gibbs sampling use it in both
    directions.
    """
    return (Footprint(name="rbm", n_pairs=794, n_columns=120 + 4, bias_pairs=2, uses=20, copies=2),)


def _in_turn(
    sizes: list[tuple[str, int, int, int]], *, bias_pairs: int, fewer: dict[str, int] | None = None
) -> tuple[Footprint, ...]:
    """Return matrices that are used one after the other."""
    return tuple(
        Footprint(
            name=name,
            n_pairs=n_pairs,
            n_columns=n_columns,
            bias_pairs=(fewer or {}).get(name, bias_pairs),
            n_positions=n_positions,
            stage=stage,
        )
        for stage, (name, n_pairs, n_columns, n_positions) in enumerate(sizes)
    )


def _two_bias_pairs(name: str, n_pairs: int, n_columns: int) -> Footprint:
    return Footprint(name=name, n_pairs=n_pairs, n_columns=n_columns, bias_pairs=2, uses=48)
