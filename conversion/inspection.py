"""What would become of a model, before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spikeram import registry
from spikeram.chip import Chip
from spikeram.conversion import ops
from spikeram.conversion.advice import advice, depth
from spikeram.conversion.graph import Graph, Node
from spikeram.conversion.importers import graph_of
from spikeram.conversion.lowering import lower, refused
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork
from spikeram.packing import cores_needed
from spikeram.placement import Footprint


@dataclass(frozen=True, kw_only=True)
class OperationRow:
    """One operation of a model.

    Parameters
    ----------
    name : str
        Its place in the model.
    kind : str
        What it computes.
    shape : str
        Shape of one sample's output; empty where it is not known.
    fate : str
        What becomes of it.
    supported : bool
        Whether it can be converted.
    """

    name: str
    kind: str
    shape: str
    fate: str
    supported: bool = True


@dataclass(frozen=True, kw_only=True)
class CrossbarRow:
    """One crossbar that a model takes.

    Parameters
    ----------
    name : str
        The layer.
    reads : str
        What drives it.
    rows, columns, positions : int
        Signed inputs, columns, and how often a step uses them.
    neurons : str
        How many neurons of which kind it ends in.
    cells, cores : int
        RRAM cells, with one pair of rows for biases, and cores of the chip.
    """

    name: str
    reads: str
    rows: int
    columns: int
    positions: int
    neurons: str
    cells: int
    cores: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `inspect` found.

    Parameters
    ----------
    operations : tuple of OperationRow
        Every operation of the model; none for a network without its model.
    crossbars : tuple of CrossbarRow
        The crossbars; none where an operation cannot be converted.
    chip : str
        Name of the chip that cores are counted on.
    n_cores : int
        Cores that it has.
    merged : int
        Cores that the crossbars take where small ones share a core.
    depth : int
        Rectified layers that follow each other at most; 0 where an operation cannot be converted.
    advice : str
        A sentence that names a better method of `convert` than its default; empty if it serves.
    """

    operations: tuple[OperationRow, ...]
    crossbars: tuple[CrossbarRow, ...]
    chip: str
    n_cores: int
    merged: int
    depth: int
    advice: str

    @property
    def supported(self) -> bool:
        """Whether every operation can be converted."""
        return all(row.supported for row in self.operations)

    @property
    def cells(self) -> int:
        """Cells in all."""
        return sum(row.cells for row in self.crossbars)

    @property
    def cores(self) -> int:
        """Cores in all."""
        return sum(row.cores for row in self.crossbars)


def inspect(
    model: Any, *, input_shape: tuple[int, ...] | None = None, chip: str | Chip = "neurram"
) -> Inspection:
    """Return what becomes of each operation of a model, and the crossbars that it takes.

    Parameters
    ----------
    model : model of a framework, Graph, TrainedNetwork, str or Path
        See `spikeram.conversion.importers.graph_of`. Nothing is converted.
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves it open.
    chip : str or Chip
        Chip, or the name of one, on which cores are counted.
    """
    chosen = registry.lookup("chips", chip)() if isinstance(chip, str) else chip
    found = graph_of(model, input_shape=input_shape)
    network: TrainedNetwork | None = None
    operations: tuple[OperationRow, ...] = ()
    if isinstance(found, TrainedNetwork):
        network = found
        operations = tuple(
            OperationRow(name=name, kind=kind, shape="", fate=fate)
            for name, kind, fate in found.fates
        )
    else:
        problems = refused(found)
        if not problems:
            network = lower(found)
        operations = _operations(found, problems, network)
    layers = () if network is None else network.layers
    return Inspection(
        operations=operations,
        crossbars=tuple(_crossbar(layer, chosen) for layer in layers),
        chip=chosen.name,
        n_cores=chosen.n_cores,
        merged=cores_needed(_footprints(layers, chosen), chosen.stack()) if layers else 0,
        depth=0 if network is None else depth(network),
        advice="" if network is None else advice(network),
    )


def _operations(
    graph: Graph, problems: dict[str, str], network: TrainedNetwork | None
) -> tuple[OperationRow, ...]:
    fates = {} if network is None else {name: fate for name, _, fate in network.fates}
    shapes = {} if network is None else graph.shapes()
    return tuple(
        OperationRow(
            name=node.name,
            kind=_kind(node),
            shape=" x ".join(map(str, shapes.get(node.name, ()))),
            fate=problems.get(node.name, fates.get(node.name, "")),
            supported=node.name not in problems,
        )
        for node in graph.nodes
    )


def _kind(node: Node) -> str:
    return node.op.kind if isinstance(node.op, ops.Unsupported) else type(node.op).__name__


def _footprints(layers: Sequence[TrainedLayer], chip: Chip) -> list[Footprint]:
    """Return what a chip has to hold, with one row for the biases of each layer."""
    in_turn = any(layer.n_positions > 1 for layer in layers)
    return [
        Footprint(
            name=layer.name,
            n_pairs=(layer.weight.shape[0] + 1) * chip.pairs_per_weight,
            n_columns=layer.weight.shape[1],
            stage=n if in_turn else 0,
        )
        for n, layer in enumerate(layers)
    ]


def _crossbar(layer: TrainedLayer, chip: Chip) -> CrossbarRow:
    rows, columns = layer.weight.shape
    kind = "read out" if layer.name == "output" else "fire +1"
    if layer.name != "output" and layer.slope.any():
        kind = "fire +1 and -1"
    return CrossbarRow(
        name=layer.name,
        reads=", ".join(layer.sources),
        rows=rows,
        columns=columns,
        positions=layer.n_positions,
        neurons=f"{layer.n_outputs} {kind}",
        cells=2 * chip.pairs_per_weight * (rows + 1) * columns,
        cores=chip.cores_for(rows + 1, columns),
    )
