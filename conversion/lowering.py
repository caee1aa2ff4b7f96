"""From a graph of operations to the crossbars, neurons and counters that compute it.

Linear operations add up charge; what follows them joins the same columns as far as it can (see
`spikeram.conversion.values`). A rectifier turns charge into a layer of neurons; charge that
something else needs as a signal gets neurons that fire both ways, a relay.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatchmethod
from typing import Any

import numpy as np

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT, AbstractOp, Graph, Node, Shape, claimed
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork, TrainedNode
from spikeram.conversion.values import (
    Affine,
    Floats,
    Index,
    Maximum,
    Value,
    View,
    blocks,
    common,
    folded,
    moved,
    per_channel,
    repeated,
    shape_of,
    signals,
    windows,
    without_silent_rows,
)
from spikeram.errors import ConversionError
from spikeram.gather import Gather
from spikeram.pool import MaxPool


def lower(graph: Graph) -> TrainedNetwork:
    """Return the crossbars, neurons and counters that compute a graph.

    Raises
    ------
    ConversionError
        If operations have no spiking form: all of them, with their places and remedies.
    """
    problems = refused(graph)
    if problems:
        kinds = {node.name: node.op for node in graph.nodes}
        lines = [f"  {name}: {_kind(kinds[name])} {text}" for name, text in problems.items()]
        number = "An operation" if len(lines) == 1 else f"{len(lines)} operations"
        raise ConversionError(f"{number} of the model cannot be converted:\n" + "\n".join(lines))
    graph.shapes()
    return _Lowering(graph).network()


def refused(graph: Graph) -> dict[str, str]:
    """Return the operations that have no spiking form, with what to do about each, by name."""
    problems = {}
    for node in graph.nodes:
        if isinstance(node.op, ops.Unsupported):
            problems[node.name] = f"cannot be converted: {node.op.remedy}"
        elif isinstance(node.op, ops.Softmax) and not _is_ending(graph, node):
            problems[node.name] = "cannot be converted: it may stand at the end alone"
    return problems


def _is_ending(graph: Graph, node: Node) -> bool:
    """Return whether only what changes no decision follows a node."""
    if graph.output == node.name:
        return True
    after = [other for other in graph.nodes if node.name in other.inputs]
    kinds = (ops.Softmax, ops.AbstractRearrangement)
    return bool(after) and all(isinstance(n.op, kinds) and _is_ending(graph, n) for n in after)


class _Lowering:
    """The state of one `lower`: what has been made so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        n_inputs = math.prod(graph.input_shape)
        self.made: list[TrainedNode] = []
        self.senders: list[str] = [INPUT]
        self.starts: list[int] = [0, n_inputs]
        self.rectified: list[bool] = [False]
        everything = np.arange(n_inputs).reshape(graph.input_shape)
        self.values: dict[str, Value] = {INPUT: signals(everything)}
        self.fates: dict[str, str] = {}
        self.names: set[str] = {INPUT, "output"}
        self.place = graph.nodes[0]

    def network(self) -> TrainedNetwork:
        """Return the network of the whole graph."""
        for node in self.graph.nodes:
            self.place = node
            self.fates[node.name] = "wires"
            value = self.lowered(node.op, *(self.values[name] for name in node.inputs))
            # Charge that several operations need would be computed by each of them anew.
            if isinstance(value, Affine | Maximum) and self.readers(node.name) > 1:
                value = self.signal(value)
            self.values[node.name] = value
        self.place = next(n for n in self.graph.nodes if n.name == self.graph.output)
        self.finish(self.values[self.graph.output])
        return TrainedNetwork(
            nodes=tuple(self.made),
            classes=self.graph.classes,
            input_shape=self.graph.input_shape,
            fates=self.told(),
        )

    def told(self) -> tuple[tuple[str, str, str], ...]:
        return tuple(
            (node.name, type(node.op).__name__, self.fates[node.name]) for node in self.graph.nodes
        )

    def readers(self, name: str) -> int:
        count = sum(node.inputs.count(name) for node in self.graph.nodes)
        return count + (self.graph.output == name)

    # What becomes of each kind of operation.

    @singledispatchmethod
    def lowered(self, op: AbstractOp, *values: Value) -> Value:
        raise ConversionError(f"{type(op).__name__} has no spiking form.")

    @lowered.register
    def _(self, op: ops.Softmax, *values: Value) -> Value:
        self.fates[self.place.name] = "left out: it changes no decision"
        return values[0]

    @lowered.register
    def _(self, op: ops.AbstractRearrangement, *values: Value) -> Value:
        (value,) = values
        elements = np.arange(math.prod(shape_of(value))).reshape(shape_of(value))
        place = op.moved(elements)
        whole = place.size == elements.size and np.array_equal(
            np.sort(place, axis=None), elements.ravel()
        )
        if isinstance(value, Affine) and whole:
            return replace(value, arrangement=value.arrangement.ravel()[place])
        return moved(self.signal(value), place)

    @lowered.register
    def _(self, op: ops.Linear, *values: Value) -> Value:
        view = self.signal(values[0])
        rows = view.shape[-1]
        n_positions = math.prod(view.shape[:-1])
        number = np.arange(n_positions)[:, np.newaxis] + n_positions * np.arange(len(op.weight))
        elements = np.arange(math.prod(view.shape)).reshape(n_positions, rows)
        shape = (*view.shape[:-1], len(op.weight))
        return self.sums(view, elements, op.weight.T, op.bias, number.reshape(shape))

    @lowered.register
    def _(self, op: ops.Conv, *values: Value) -> Value:
        view = self.signal(values[0])
        elements = np.arange(math.prod(view.shape)).reshape(view.shape)
        return self.convolved(view, elements, op, op.shape(view.shape))

    @lowered.register
    def _(self, op: ops.ConvTranspose, *values: Value) -> Value:
        view = self.signal(values[0])
        elements = np.arange(math.prod(view.shape)).reshape(view.shape)
        spread, widths = elements, [(0, 0)]
        for n, stride in enumerate(op.strides):
            length = elements.shape[n + 1]
            size = list(spread.shape)
            size[n + 1] = (length - 1) * stride + 1
            between = np.full(size, -1)
            between[(slice(None),) * (n + 1) + (slice(None, None, stride),)] = spread
            spread = between
            reach = op.dilations[n] * (op.weight.shape[n + 2] - 1)
            before, after = op.pads[n]
            widths.append((reach - before, reach - after + op.output_pads[n]))
        spread = ops.Pad(tuple(widths)).moved(spread)
        # The matrix of a transposed convolution is that of a convolution, turned around.
        flipped = np.flip(op.weight, axis=tuple(range(2, op.weight.ndim)))
        grouped = flipped.reshape(op.groups, -1, *flipped.shape[1:]).swapaxes(1, 2)
        turned = ops.Conv(
            weight=grouped.reshape(-1, *grouped.shape[2:]),
            bias=op.bias,
            dilation=op.dilation,
            groups=op.groups,
        )
        return self.convolved(view, spread, turned, op.shape(view.shape))

    @lowered.register
    def _(self, op: ops.Scale, *values: Value) -> Value:
        (value,) = values
        factor, shift = (op.spread(v, shape_of(value)) for v in (op.factor, op.shift))
        if isinstance(value, Affine):
            factors, shifts = self.by_column(value, factor), self.by_column(value, shift)
            if factors is not None and shifts is not None:
                self.fates[self.place.name] = f"folded into {value.name}"
                return replace(
                    value, weight=value.weight * factors, bias=value.bias * factors + shifts
                )
        view = self.signal(value)
        self.fates[self.place.name] = "folded into what follows"
        return replace(view, factor=view.factor * factor, shift=view.shift * factor + shift)

    @lowered.register
    def _(self, op: ops.Rectifier, *values: Value) -> Value:
        (value,) = values
        if isinstance(value, Maximum):
            neurons = self.lowered(op, value.of)
            assert isinstance(neurons, View)
            return self.counted(neurons, value.index, value.name)
        if isinstance(value, View):
            silent_below = self.positive(value) and op.limit == np.inf and op.threshold is None
            if silent_below:
                self.fates[self.place.name] = "left out: its input is never negative"
                return value
            value = self.charge(value)
        return self.layer(value, op)

    @lowered.register(ops.Pool)
    @lowered.register(ops.AdaptivePool)
    def _(self, op: ops.Pool | ops.AdaptivePool, *values: Value) -> Value:
        (value,) = values
        index, share = windows(op, shape_of(value))
        if op.kind == "max":
            if isinstance(value, Affine):
                # Every rectifier rises: it may come before the maximum as well as after it.
                return Maximum(of=value, index=index, name=self.place.name)
            return self.counted(self.signal(value), index, self.place.name)
        if isinstance(value, Affine):
            averaged = self.averaged(value, index, share)
            if averaged is not None:
                return averaged
        return self.mean(self.signal(value), index, share)

    @lowered.register
    def _(self, op: ops.Concat, *values: Value) -> Value:
        views = [self.signal(value) for value in values]
        taps = math.lcm(*(view.index.shape[-1] for view in views))
        axis = op.axis % len(views[0].shape)
        return View(
            index=np.concatenate([repeated(view.index, taps) for view in views], axis=axis),
            factor=np.concatenate([view.factor for view in views], axis=axis),
            shift=np.concatenate([view.shift for view in views], axis=axis),
        )

    @lowered.register
    def _(self, op: ops.Add, *values: Value) -> Value:
        signs = op.signs or (1,) * len(values)
        terms = [self.signal(v) if isinstance(v, Maximum) else v for v in values]
        main = next((term for term in terms if isinstance(term, Affine)), None)
        if main is None:
            arrangement = np.arange(math.prod(shape_of(terms[0]))).reshape(shape_of(terms[0]))
            columns, name = shape_of(terms[0])[0], self.place.name
        else:
            arrangement, columns, name = main.arrangement, len(main.bias), main.name
        self.fates[self.place.name] = f"rows of {name}"
        parts = [self.onto(term, arrangement, columns, name) for term in terms]
        taps = math.lcm(*(part.index.shape[2] for part in parts))
        return Affine(
            name=name,
            weight=np.vstack([sign * part.weight for sign, part in zip(signs, parts)]),
            index=np.concatenate([repeated(part.index, taps) for part in parts], axis=1),
            bias=np.sum([sign * part.bias for sign, part in zip(signs, parts)], axis=0),
            arrangement=arrangement,
        )

    # What the operations are made of.

    def convolved(self, view: View, elements: Index, op: ops.Conv, shape: Shape) -> Affine:
        """Return the sums of a kernel over `elements`, numbers of the view's; -1 for zero."""
        padded = ops.Pad(((0, 0), *op.pads)).moved(elements)
        channels = np.arange(padded.shape[0])
        n_axes = padded.ndim - 1
        places: list[Any] = [channels.reshape(-1, *(1,) * n_axes)]
        spans: list[Any] = []
        for n in range(n_axes):
            start = np.arange(shape[n + 1]) * op.strides[n]
            span = np.arange(op.weight.shape[n + 2]) * op.dilations[n]
            at = start[:, np.newaxis] + span
            # Positions first, then (channel, kernel): one axis of each for each axis of space.
            shaped = [1] * (2 * n_axes + 1)
            shaped[n], shaped[n_axes + 1 + n] = at.shape
            spans.append(at.reshape(shaped))
        picked = padded[(places[0].reshape(*(1,) * n_axes, -1, *(1,) * n_axes), *spans)]
        rows = picked.reshape(math.prod(shape[1:]), -1)
        weight = blocks(op.weight, op.groups)
        arrangement = np.arange(math.prod(shape)).reshape(shape)
        return self.sums(view, rows, weight, op.bias, arrangement)

    def sums(
        self, view: View, elements: Index, weight: Floats, bias: Floats | None, arrangement: Index
    ) -> Affine:
        """Return weighted sums of a view's elements, of shape (position, row); -1 for zero."""
        assert bias is not None
        held = folded(view, elements, weight)
        if held is None:
            view = self.relayed(view)
            held = folded(view, elements, weight)
            assert held is not None
        weight, extra = held
        taps = view.index.shape[-1]
        silent = np.full((1, taps), -1)
        index = np.concatenate([view.index.reshape(-1, taps), silent])[elements]
        where = "at one position" if len(index) == 1 else f"at {len(index)} positions"
        self.fates[self.place.name] = (
            f"crossbar of {weight.shape[0]} x {weight.shape[1]} weights, used {where}"
        )
        return Affine(
            name=self.place.name,
            weight=weight,
            index=index,
            bias=bias + extra,
            arrangement=arrangement,
        )

    def charge(self, view: View) -> Affine:
        """Return a view as sums of one row each, a column for each channel."""
        arrangement = np.arange(math.prod(view.shape)).reshape(view.shape)
        return self.onto(view, arrangement, view.shape[0], self.place.name)

    def onto(self, term: View | Affine, arrangement: Index, columns: int, name: str) -> Affine:
        """Return a term of a sum on the columns of its main term."""
        if isinstance(term, Affine):
            if np.array_equal(term.arrangement, arrangement) and len(term.bias) == columns:
                return term
            term = self.signal(term)
        elements = np.empty(arrangement.size, np.int64)
        elements[arrangement.ravel()] = np.arange(arrangement.size)
        fate = self.fates[self.place.name]
        sums = self.sums(
            term, elements.reshape(columns, -1).T, np.eye(columns), np.zeros(columns), arrangement
        )
        self.fates[self.place.name] = fate
        return replace(sums, name=name)

    def by_column(self, value: Affine, elements: Floats) -> Floats | None:
        """Return one number for each column, where a value is the same at all its positions."""
        spread = np.empty(value.arrangement.size)
        spread[value.arrangement.ravel()] = elements.ravel()
        columns = spread.reshape(len(value.bias), -1)
        return columns[:, 0] if np.all(columns == columns[:, :1]) else None

    def averaged(self, value: Affine, index: Index, share: Floats) -> Affine | None:
        """Return means over windows of sums, where all windows are whole: sums of means."""
        standard = np.array_equal(value.arrangement.ravel(), np.arange(value.arrangement.size))
        if not standard or index.min() < 0 or not np.all(share == 1.0) or len(value.shape) < 2:
            return None
        if len(value.bias) != value.shape[0]:
            return None
        n_positions = math.prod(value.shape[1:])
        first = index[0].reshape(-1, index.shape[-1]) % n_positions
        gathered = value.index[first].swapaxes(1, 2)
        rows = gathered.reshape(len(first), value.weight.shape[0], -1)
        shape = index.shape[:-1]
        self.fates[self.place.name] = f"rows of {value.name} that share their inputs"
        arrangement = np.arange(math.prod(shape)).reshape(shape)
        return replace(value, index=rows, arrangement=arrangement)

    def mean(self, view: View, index: Index, share: Floats) -> View:
        """Return means over windows of a view; `share` is that of the window that is counted."""
        factor = common(view.factor, index)
        if factor is None:
            view = self.relayed(view)
            factor = np.ones(index.shape[:-1])
        taps = view.index.shape[-1]
        padded = np.concatenate([view.index.reshape(-1, taps), np.full((1, taps), -1)])
        shifts = np.append(view.shift.ravel(), 0.0)
        self.fates[self.place.name] = "rows of what follows that share their inputs"
        return View(
            index=padded[index].reshape(*index.shape[:-1], -1),
            factor=factor * share,
            shift=shifts[index].mean(axis=-1) * share,
        )

    def counted(self, view: View, index: Index, name: str) -> View:
        """Return the maxima over windows of a view, by counters of its spikes."""
        factor, shift = common(view.factor, index), common(view.shift, index)
        single = view.index.shape[-1] == 1
        fits = single and factor is not None and shift is not None and np.all(factor > 0)
        if not fits or np.any(view.index[view.index >= 0] < self.starts[1]):
            view = self.relayed(view)
            factor, shift = np.ones(index.shape[:-1]), np.zeros(index.shape[:-1])
        senders = np.append(view.index.ravel(), -1)[index]
        result = np.full(index.shape[:-1], -1)
        for n in range(1, len(self.senders)):
            inside = (senders >= self.starts[n]) & (senders < self.starts[n + 1])
            own = inside.any(axis=-1)
            if not own.any():
                continue
            if np.any(senders[own] >= 0) and np.any((senders[own] >= 0) & ~inside[own]):
                raise ConversionError(
                    f"Node {self.place.name!r}: a window of a maximum reaches over several layers."
                )
            taps = np.where(inside[own], senders[own] - self.starts[n], -1)
            pool = MaxPool(
                self.unique(f"{name}.max" if own.sum() < own.size else name),
                self.senders[n],
                taps.astype(np.int32),
            )
            result[own] = self.start(pool, self.rectified[n]) + np.arange(own.sum())
        self.fates[name] = f"counting max pool of {result.size} counters"
        assert factor is not None
        assert shift is not None
        shift = np.where(np.any(index >= 0, axis=-1), shift, 0.0)
        return View(index=result[..., np.newaxis], factor=factor, shift=shift)

    def signal(self, value: Value) -> View:
        """Return what neurons send for a value; charge gets a relay."""
        if isinstance(value, View):
            return value
        if isinstance(value, Maximum):
            return self.counted(self.signal(value.of), value.index, value.name)
        return self.layer(value, ops.Rectifier(slope=np.array(1.0)), relay=True)

    def relayed(self, view: View) -> View:
        """Return the same values as the signals of neurons of their own."""
        slope = np.array(0.0 if self.positive(view) else 1.0)
        fate = self.fates[self.place.name]
        if np.all(per_channel(view)):
            charge = self.charge(view)
        else:
            # Values that differ within a channel: a column for each of them.
            flat = View(
                index=view.index.reshape(-1, view.index.shape[-1]),
                factor=view.factor.ravel(),
                shift=view.shift.ravel(),
            )
            charge = self.charge(flat)
            charge = replace(charge, arrangement=charge.arrangement.reshape(view.shape))
        relay = self.layer(charge, ops.Rectifier(slope=slope), relay=True)
        self.fates[self.place.name] = fate
        return relay

    def layer(self, value: Affine, op: ops.Rectifier, *, relay: bool = False) -> View:
        """Return the signals of neurons on the columns of a value."""
        value = without_silent_rows(value)
        slope = op.slope
        if slope.ndim:
            spread = np.broadcast_to(slope.reshape(-1, *(1,) * (len(value.shape) - 1)), value.shape)
            by_column = self.by_column(value, spread)
            if by_column is None:
                raise ConversionError(
                    f"Node {self.place.name!r}: slopes that differ between the positions of one "
                    "column. Use one slope for each channel."
                )
            slope = by_column
        name = self.named(f"{value.name}.relay" if relay else value.name, value)
        sources, index = self.local(value.index)
        made = TrainedLayer(
            name=name,
            sources=sources,
            weight=value.weight,
            bias=value.bias,
            gather=self.gather(sources, index),
            slope=slope,
            limit=op.limit,
            threshold=op.threshold,
            levels=op.levels,
        )
        start = self.start(made, not np.any(made.slope))
        if not relay:
            self.fates[self.place.name] = f"neurons of {name}"
        return signals(start + value.arrangement)

    def finish(self, value: Value) -> None:
        """Make the output: the charge of the last columns, in the order of the elements."""
        if not isinstance(value, Affine):
            value = self.charge(self.signal(value))
        value = without_silent_rows(value)
        order = value.arrangement.ravel()
        if not np.array_equal(order, np.arange(order.size)):
            if value.index.shape[0] == 1:
                value = replace(value, weight=value.weight[:, order], bias=value.bias[order])
            else:
                value = self.charge(moved(self.signal(value), np.arange(order.size)))
        sources, index = self.local(value.index)
        self.made.append(
            TrainedLayer(
                name="output",
                sources=sources,
                weight=value.weight,
                bias=value.bias,
                gather=self.gather(sources, index),
                slope=np.ones(len(value.bias)),
            )
        )

    # Book-keeping.

    def start(self, node: TrainedNode, rectified: bool) -> int:
        """Add a node that sends; return the number of its first neuron."""
        start = self.starts[-1]
        self.made.append(node)
        self.senders.append(node.name)
        self.starts.append(start + node.n_outputs)
        self.rectified.append(rectified)
        return start

    def positive(self, view: View) -> bool:
        """Return whether a view is never negative."""
        used = np.unique(np.searchsorted(self.starts, view.index[view.index >= 0], "right") - 1)
        return bool(
            all(self.rectified[n] for n in used)
            and np.all(view.factor >= 0)
            and np.all(view.shift >= 0)
        )

    def local(self, index: Index) -> tuple[tuple[str, ...], Index]:
        """Return the senders that an index reads, and their numbers one after the other."""
        numbers = np.searchsorted(self.starts, index, "right") - 1
        used = np.unique(numbers[index >= 0])
        sizes = np.diff(self.starts)
        offset = np.zeros(len(self.senders), np.int64)
        offset[used] = (
            np.concatenate([[0], np.cumsum(sizes[used])[:-1]]) - np.array(self.starts)[used]
        )
        inputs = np.where(index >= 0, index + offset[np.maximum(numbers, 0)], -1)
        return tuple(self.senders[n] for n in used), inputs

    def gather(self, sources: Sequence[str], index: Index) -> Gather | None:
        """Return the gather of an index; None where each row is the input of its number."""
        sizes = dict(zip(self.senders, np.diff(self.starts)))
        n_inputs = int(sum(sizes[name] for name in sources))
        plain = index.shape[0] == 1 and index.shape[2] == 1 and index.shape[1] == n_inputs
        if plain and np.array_equal(index.ravel(), np.arange(n_inputs)):
            return None
        return Gather(index.astype(np.int32), n_inputs)

    def named(self, name: str, value: Affine) -> str:
        """Return a name that tells more than the number that a Sequential gives."""
        if re.fullmatch(r"[\d.]+(\.relay)?", name):
            kind = "dense" if value.index.shape[0] == 1 else "conv"
            name = f"{kind}_{sum(isinstance(n, TrainedLayer) for n in self.made) + 1}"
        return self.unique(name)

    def unique(self, name: str) -> str:
        """Return a name that no node has yet."""
        return claimed(name, self.names)


def _kind(op: AbstractOp) -> str:
    return op.kind if isinstance(op, ops.Unsupported) else type(op).__name__
