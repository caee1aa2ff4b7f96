"""A network as the scripts in `benchmarks/peers` run it, and what they make of it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine_parts.timing import ENOUGH, REPEATS
from spikeram.charge import ChargeLayer
from spikeram.gather import Gather, convolution
from spikeram.pool import MaxPool
from spikeram.wiring import INPUT, Wiring

SCRIPTS = Path(__file__).parent.parent / "peers"
TOOLS = {"spikingjelly": "SpikingJelly", "snntorch": "snnTorch"}

Shape = tuple[int, ...]


class Untold(ValueError):
    """The scripts do not know something of this network."""


@dataclass
class _Told:
    """A network on its way out.

    Parameters
    ----------
    wiring : Wiring
        Its nodes and what drives each.
    layers : list of dict
        Of each node, see `benchmarks/peers/fixed.py`.
    arrays : dict of ndarray
        Weights, biases and membranes, by ``place.name`` or ``place.branch.name``.
    shapes : dict of tuple
        Outputs of each node, (channel, y, x) or (neuron,).
    """

    wiring: Wiring[ChargeLayer]
    layers: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def place(self, source: str) -> int:
        """Return the place of a node; -1 for the input."""
        return -1 if source == INPUT else list(self.shapes).index(source)


def exported(
    nodes: Sequence[ChargeLayer | MaxPool],
    *,
    steps: int,
    drive: Mapping[str, NDArray[np.int32]] | None = None,
    spikes: NDArray[np.int8] | None = None,
) -> dict[str, Any]:
    """Return a network and its stimulus as `benchmarks/peers/fixed.py` reads them.

    Thresholds become 1, and everything else of a neuron is divided by what they were. Sums of whole
    quanta are then rounded, by far less than a quantum; half a quantum more on every membrane
    before the first step puts each comparison in the middle between two possible sums.

    Raises
    ------
    Untold
        Where the scripts do not know a connection or a kind of neuron.
    """
    told = _Told(Wiring(nodes))
    sources = told.wiring.sources
    for place, node in enumerate(nodes):
        if isinstance(node, MaxPool):
            (source,) = sources[node.name]
            channels, *sides = told.shapes[source]
            told.layers.append({"kind": "max_pool", "size": 2, "from": told.place(source)})
            told.shapes[node.name] = (channels, *(-(-side // 2) for side in sides))
            if np.prod(told.shapes[node.name]) != node.n_outputs:
                raise Untold(f"Pool {node.name!r} is no 2 x 2.")
            continue
        _tell(told, place, node, drive, last=place == len(nodes) - 1)
    last = nodes[-1]
    assert isinstance(last, ChargeLayer)
    told.arrays["scale"] = last.scale / last.threshold / steps
    if spikes is not None:
        # Steps first, as SpikingJelly takes them.
        told.arrays["spikes"] = spikes.transpose(1, 0, 2)
    return {"layers": json.dumps(told.layers), "steps": steps, **told.arrays}


def _tell(
    told: _Told,
    place: int,
    node: ChargeLayer,
    drive: Mapping[str, NDArray[np.int32]] | None,
    *,
    last: bool,
) -> None:
    """Add a layer."""
    side = round(node.n_positions**0.5)
    told.shapes[node.name] = (node.n_columns, *((side, side) if node.n_positions > 1 else ()))
    if np.prod(told.shapes[node.name]) != node.n_outputs:
        raise Untold(f"Layer {node.name!r} has no square of positions.")
    layer: dict[str, Any] = {"kind": "layer", "branches": []}
    unit = np.ones(node.n_columns)
    if not last:
        if node.spikes == "ternary" or np.any(node.negative):
            raise Untold(f"Its neurons know no {node.spikes} spikes with a slope below zero.")
        layer["fires"] = node.spikes
        unit = _each(node, node.threshold).astype(np.float64)
        told.arrays[f"{place}.initial"] = (_each(node, node.initial) + 0.5) / unit
    bias = _each(node, node.bias) / unit
    sources = told.wiring.parts(node.name)
    if drive is not None and node.name in drive:
        if len(sources) > 1:
            raise Untold(f"Layer {node.name!r} reads the input and other layers.")
        whole = (drive[node.name] + node.bias) / np.repeat(unit, node.n_positions)
        told.arrays["drive"] = whole.reshape(-1, *told.shapes[node.name])
    else:
        for n, (source, part) in enumerate(sources):
            shape = (part.stop,) if source == INPUT else told.shapes[source]
            branch, weight = _branch(node, part, shape)
            layer["branches"].append({"from": told.place(source), **branch})
            by_unit = unit.reshape(-1, *[1] * (weight.ndim - 1))
            told.arrays[f"{place}.{n}.weight"] = weight / by_unit
        weighted = [n for n, one in enumerate(layer["branches"]) if one["kind"] != "identity"]
        if not weighted:
            raise Untold(f"Layer {node.name!r} has nothing but identities.")
        told.arrays[f"{place}.{weighted[0]}.bias"] = bias
    told.layers.append(layer)


def _branch(
    node: ChargeLayer, part: slice, shape: Shape
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Return how a source drives a layer, and the weights in torch's layout."""
    weight = node.weight.astype(np.float64)
    gather = node.gather
    if gather is None:
        return {"kind": "dense"}, weight[part].T
    index = gather.index
    here = np.any((index >= part.start) & (index < part.stop), axis=(0, 2))
    index = np.where(index[:, here] >= 0, index[:, here] - part.start, -1)
    weight = weight[here]
    channels = shape[0]
    if _is_average(index, shape):
        # A row takes the mean of its taps, of which `weight` has the share of one.
        return {"kind": "dense", "average": shape[1]}, weight.T * index.shape[2]
    kernel = round((index.shape[1] / channels) ** 0.5)
    side = round(index.shape[0] ** 0.5)
    stride, padding = shape[1] // side, (kernel - 1) // 2
    expected, _ = convolution(
        (channels, shape[1], shape[2]), (kernel, kernel), stride=(stride,) * 2,
        padding=(padding,) * 2,
    )  # fmt: skip
    if not np.array_equal(expected.index, Gather(index, expected.n_inputs).index):
        raise Untold(f"Layer {node.name!r} has a connection that is no convolution.")
    if kernel == stride == 1 and _is_diagonal(weight):
        return {"kind": "identity"}, weight.diagonal().copy()
    told = {"kind": "convolution", "padding": padding, "stride": stride}
    return told, weight.T.reshape(node.n_columns, channels, kernel, kernel)


def _is_average(index: NDArray[np.int32], shape: Shape) -> bool:
    """Return whether each row is the mean of a whole channel."""
    pixels = int(np.prod(shape[1:]))
    whole = np.arange(shape[0] * pixels).reshape(1, shape[0], pixels)
    return pixels > 1 and np.array_equal(np.sort(index, axis=2), whole)


def _is_diagonal(weight: NDArray[np.float64]) -> bool:
    return weight.shape[0] == weight.shape[1] and not np.any(weight - np.diag(weight.diagonal()))


def _each(node: ChargeLayer, values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return one value for each column, which is the same at every position."""
    by_column = values.reshape(node.n_columns, -1)
    if np.any(by_column != by_column[:, :1]):
        raise Untold(f"Layer {node.name!r} differs between positions.")
    return by_column[:, 0]


def ran(tool: str, python: str | None, problems: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return seconds, outputs and counts of spikes of a peer, or why there are none.

    All problems run in one process. Counts are of shape (sample, neuron), by place of the layer.
    """
    if python is None:
        return [{"reason": "no --peers"} for _ in problems]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, problem in enumerate(problems):
            np.savez(
                folder / f"{n}.npz", **problem, threads=1, repeats=REPEATS, enough=ENOUGH
            )  # fmt: skip
        done = subprocess.run(
            [python, str(SCRIPTS / f"{tool}_fixed.py"), name],
            env=os.environ, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            return [{"reason": reason} for _ in problems]
        found = []
        for n in range(len(problems)):
            one = json.loads((folder / f"{n}.json").read_text())
            if "seconds" in one:
                with np.load(folder / f"{n}.counts.npz") as counts:
                    one["counts"] = {int(place): counts[place] for place in counts}
            found.append(one)
        return found


def agreement(
    found: dict[str, Any], nodes: Sequence[ChargeLayer | MaxPool], counts: Sequence[NDArray[Any]]
) -> dict[str, int]:
    """Return of how many neurons, in each sample, a peer counts as many spikes as we.

    Parameters
    ----------
    found : dict
        What `ran` returned; its counts are taken out.
    nodes : sequence of ChargeLayer and MaxPool
        The network.
    counts : sequence of ndarray of shape (sample, neuron)
        Ours, of each layer.
    """
    theirs: dict[int, NDArray[Any]] = found.pop("counts")
    places = [place for place, node in enumerate(nodes) if not isinstance(node, MaxPool)]
    ours = {place: own for place, own in zip(places, counts) if place in theirs}
    return {
        "same_counts": sum(
            int(np.sum(theirs[place].reshape(own.shape) == own)) for place, own in ours.items()
        ),
        "counts": sum(own.size for own in ours.values()),
    }
