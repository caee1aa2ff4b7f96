"""duplicate: a convolution on several crossbars at once, each at a part of the positions.

A convolution uses one small matrix at many positions, one after the other. Held several times, the
copies share the positions out and work at the same time. Copies are layers of their own, so that
programming, noise, energy and latency of each follow as for any layer; the network computes what
it did, and ideal hardware fires the same spikes.

A max pool counts the spikes of its taps, so positions that meet in a pool stay in one copy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spikeram.gather import Gather, every_input
from spikeram.network import Layer, Node, SpikingNetwork
from spikeram.pool import MaxPool


def duplicate(network: SpikingNetwork, name: str, copies: int) -> SpikingNetwork:
    """Return a network in which a convolution is held by several layers.

    Parameters
    ----------
    network : SpikingNetwork
        What to rewrite; it is not changed.
    name : str
        The convolution. Its copies are called ``"name.0"``, ``"name.1"`` and so on, as are those
        of max pools that read it.
    copies : int
        Number of copies, each with an equal part of the positions as far as pools allow.

    Raises
    ------
    ValueError
        If there is no such convolution, it is the output layer, or its positions cannot be shared
        out: there are too few, or pools whose windows overlap tie them together.
    """
    layer, gather = _convolution(network, name)
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise ValueError(f"duplicate expects a number of copies >= 1, got {copies!r}.")
    if copies == 1:
        return network
    shares = _shares(_ties(network, layer), gather, copies, name)
    moved: dict[str, _Parts] = {}
    nodes: list[Node] = []
    for node in network.nodes:
        sources = network.wiring.sources[node.name]
        if node.name == name:
            parts = [_copy(layer, gather, n, at, sources) for n, at in enumerate(shares)]
            moved[name] = [(part.name, outputs) for part, outputs in parts]
            nodes += [part for part, _ in parts]
        elif not any(source in moved for source in sources):
            nodes.append(_told(node, sources))
        elif isinstance(node, MaxPool):
            pools = _pools(node, moved[sources[0]])
            moved[node.name] = [(pool.name, outputs) for pool, outputs in pools]
            nodes += [pool for pool, _ in pools]
        else:
            nodes.append(_rewired(network, node, moved))
    return replace(network, nodes=tuple(nodes))


_Parts: TypeAlias = list[tuple[str, NDArray[np.int64]]]
"""The nodes that a node was cut into, each with the numbers that its outputs had in the whole."""


def _convolution(network: SpikingNetwork, name: str) -> tuple[Layer, Gather]:
    for layer in network.layers:
        if layer.name == name and layer.gather is not None and layer.n_positions > 1:
            if layer is network.nodes[-1]:
                raise ValueError(
                    f"duplicate expects a layer before the output, got the output layer {name!r}."
                )
            return layer, layer.gather
    known = [layer.name for layer in network.layers if layer.n_positions > 1]
    raise ValueError(
        f"duplicate expects the name of a convolution ({', '.join(known) or 'there is none'}), "
        f"got {name!r}."
    )


def _ties(network: SpikingNetwork, layer: Layer) -> NDArray[np.int64]:
    """Return the group of each position: those that meet in a pool are of one group."""
    # For each output of a node, a position that it stems from.
    stems = {layer.name: np.tile(np.arange(layer.n_positions), layer.n_columns)}
    tied = [np.zeros((2, 0), np.int64)]
    for node in network.nodes:
        if not isinstance(node, MaxPool):
            continue
        (source,) = network.wiring.sources[node.name]
        if source not in stems:
            continue
        there = node.index >= 0
        at_taps = stems[source][node.index]
        first = np.take_along_axis(at_taps, np.argmax(there, axis=1)[:, np.newaxis], axis=1)
        tied.append(np.stack([at_taps[there], np.broadcast_to(first, at_taps.shape)[there]]))
        stems[node.name] = first[:, 0]
    one, other = np.concatenate(tied, axis=1)
    shape = (layer.n_positions, layer.n_positions)
    ties = coo_array((np.ones(one.size, np.int8), (one, other)), shape=shape)
    group: NDArray[np.int64] = connected_components(ties, directed=False)[1].astype(np.int64)
    return group


def _shares(
    group: NDArray[np.int64], gather: Gather, copies: int, name: str
) -> list[NDArray[np.int64]]:
    """Return the positions of each copy: whole groups, as equal as they allow."""
    _, first, which, sizes = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    if first.size < copies:
        raise ValueError(
            f"duplicate cannot share the {group.size} positions of layer {name!r} out to {copies} "
            f"copies: max pools leave {first.size} groups that can be separated. Use fewer copies."
        )
    in_order = np.argsort(first)
    before = np.cumsum(sizes[in_order]) - sizes[in_order]
    number = np.arange(first.size)
    # Blocks of equal numbers of positions, or of groups; or groups dealt out one by one.
    for dealt in (before * copies // group.size, number * copies // first.size, number % copies):
        copy_of = np.empty(first.size, np.int64)
        copy_of[in_order] = dealt
        shares = [np.flatnonzero(copy_of[which] == copy) for copy in range(copies)]
        if all(share.size and _drives_the_same_rows(gather, share) for share in shares):
            return shares
    raise ValueError(
        f"duplicate cannot share the positions of layer {name!r} out to {copies} copies: padding "
        "would leave some with rows that nothing drives. Use fewer copies."
    )


def _drives_the_same_rows(gather: Gather, positions: NDArray[np.int64]) -> bool:
    """Return whether some positions drive all rows that are driven at all.

    A row that sees padding alone stands for nothing, and a copy with such a row would be another
    matrix.
    """
    at_some, at_all = (
        np.any(index >= 0, axis=(0, 2)) for index in (gather.index[positions], gather.index)
    )
    return bool(np.all(at_some == at_all))


def _copy(
    layer: Layer, gather: Gather, n: int, positions: NDArray[np.int64], sources: tuple[str, ...]
) -> tuple[Layer, NDArray[np.int64]]:
    """Return copy `n` of a convolution, and the numbers of its outputs in the whole."""
    part = replace(
        layer,
        name=f"{layer.name}.{n}",
        gather=Gather(gather.index[positions], gather.n_inputs),
        sources=sources,
    )
    columns = np.arange(layer.n_columns)[:, np.newaxis]
    return part, (columns * layer.n_positions + positions).ravel()


def _pools(pool: MaxPool, parts: _Parts) -> list[tuple[MaxPool, NDArray[np.int64]]]:
    """Return a pool for each part of its source, and the numbers of its outputs in the whole."""
    n_inputs = sum(outputs.size for _, outputs in parts)
    owner, place = np.zeros(n_inputs, np.int64), np.zeros(n_inputs, np.int64)
    for n, (_, outputs) in enumerate(parts):
        owner[outputs], place[outputs] = n, np.arange(outputs.size)
    there = pool.index >= 0
    first = np.argmax(there, axis=1)
    owner_of = owner[pool.index[np.arange(len(first)), first]]
    if np.any(there & (owner[pool.index] != owner_of[:, np.newaxis])):
        raise ValueError(
            f"duplicate finds taps of MaxPool {pool.name!r} in several copies; one of them is a "
            "pool without inputs. Remove it first."
        )
    index = np.where(there, place[pool.index], -1)
    found = []
    for n, (source, _) in enumerate(parts):
        outputs = np.flatnonzero(owner_of == n)
        if outputs.size:
            found.append((MaxPool(f"{pool.name}.{n}", source, index[outputs]), outputs))
    return found


def _rewired(network: SpikingNetwork, layer: Layer, moved: dict[str, _Parts]) -> Layer:
    """Return a layer that reads the parts of its sources; its matrix stays as it is."""
    names: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    for source, inputs in network.wiring.parts(layer.name):
        whole = [(source, np.arange(inputs.stop - inputs.start))]
        for name, outputs in moved.get(source, whole):
            names.append(name)
            numbers.append(inputs.start + outputs)
    now_at = np.argsort(np.concatenate(numbers))
    gather = every_input(layer.n_inputs) if layer.gather is None else layer.gather
    index = np.where(gather.index >= 0, now_at[gather.index], -1)
    return replace(
        layer, gather=Gather(index.astype(np.int32), layer.n_inputs), sources=tuple(names)
    )


def _told(node: Node, sources: tuple[str, ...]) -> Node:
    """Return a node that names its sources, since the node before it may be another now."""
    if isinstance(node, MaxPool):
        return MaxPool(node.name, sources[0], node.index)
    return replace(node, sources=sources)
