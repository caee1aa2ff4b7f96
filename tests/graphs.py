"""What a graph computes, in plain loops: the oracle of importers and of lowering."""

import itertools

import numpy as np

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT


def evaluate(graph, x):
    """Return the graph's output for samples of shape (sample, *graph.input_shape)."""
    x = np.asarray(x, np.float64)
    return np.stack([_one(graph, sample) for sample in x])


def _one(graph, sample):
    values = {INPUT: sample.reshape(graph.input_shape)}
    for node in graph.nodes:
        values[node.name] = _apply(node.op, *(values[name] for name in node.inputs))
    return values[graph.output]


def _apply(op, *inputs):
    if isinstance(op, ops.Add):
        signs = op.signs or (1,) * len(inputs)
        return sum(sign * value for sign, value in zip(signs, inputs))
    if isinstance(op, ops.Concat):
        return np.concatenate(inputs, axis=op.axis)
    (x,) = inputs
    if isinstance(op, ops.Linear):
        return x @ op.weight.T + op.bias
    if isinstance(op, ops.Conv):
        return _convolve(x, op)
    if isinstance(op, ops.ConvTranspose):
        return _convolve_transposed(x, op)
    if isinstance(op, ops.Scale):
        return op.spread(op.factor, x.shape) * x + op.spread(op.shift, x.shape)
    if isinstance(op, ops.Rectifier):
        return _rectify(x, op)
    if isinstance(op, ops.Pool | ops.AdaptivePool):
        return _pool(x, op)
    if isinstance(op, ops.AbstractRearrangement):
        number = op.moved(np.arange(x.size).reshape(x.shape))
        return np.where(number >= 0, x.ravel()[number], 0.0)
    if isinstance(op, ops.Softmax):
        return x
    raise AssertionError(f"no oracle for {op}")


def _rectify(x, op):
    slope = op.slope.reshape(-1, *(1,) * (x.ndim - 1)) if op.slope.ndim else op.slope
    if op.threshold is not None:
        share = np.clip(np.floor(x * op.levels / op.threshold + 0.5) / op.levels, 0, 1)
        return share * op.threshold
    return np.where(x > 0, np.minimum(x, op.limit), slope * x)


def _convolve(x, op):
    width = [(0, 0), *op.padding]
    x = np.pad(x, width)
    n_out, n_in = op.weight.shape[0] // op.groups, op.weight.shape[1]
    reach = [d * (k - 1) + 1 for d, k in zip(op.dilation, op.weight.shape[2:])]
    size = [(n - r) // s + 1 for n, r, s in zip(x.shape[1:], reach, op.stride)]
    out = np.empty((op.weight.shape[0], *size))
    for o in range(op.weight.shape[0]):
        group = o // n_out
        for at in itertools.product(*map(range, size)):
            window = tuple(
                slice(a * s, a * s + r, d) for a, s, r, d in zip(at, op.stride, reach, op.dilation)
            )
            patch = x[(slice(group * n_in, (group + 1) * n_in), *window)]
            out[(o, *at)] = np.sum(patch * op.weight[o]) + op.bias[o]
    return out


def _convolve_transposed(x, op):
    n_axes = op.weight.ndim - 2
    n_in, n_out = op.weight.shape[0] // op.groups, op.weight.shape[1]
    reach = [d * (k - 1) + 1 for d, k in zip(op.dilation, op.weight.shape[2:])]
    whole = [(n - 1) * s + r for n, s, r in zip(x.shape[1:], op.stride, reach)]
    out = np.zeros((n_out * op.groups, *(w + p for w, p in zip(whole, op.output_padding))))
    for i in range(x.shape[0]):
        group = i // n_in
        for at in itertools.product(*map(range, x.shape[1:])):
            window = tuple(
                slice(a * s, a * s + r, d) for a, s, r, d in zip(at, op.stride, reach, op.dilation)
            )
            target = (slice(group * n_out, (group + 1) * n_out), *window)
            out[target] += x[(i, *at)] * op.weight[i]
    cut = tuple(
        slice(before, length - after) for (before, after), length in zip(op.padding, out.shape[1:])
    )
    return out[(slice(None), *cut)] + op.bias.reshape(-1, *(1,) * n_axes)


def _pool(x, op):
    places, counted = op.windows(x.shape)
    out = np.empty((x.shape[0], *(len(axis) for axis in places)))
    for at in itertools.product(*(range(len(axis)) for axis in places)):
        window = [axis[a][axis[a] >= 0] for axis, a in zip(places, at)]
        values = x[np.ix_(range(x.shape[0]), *window)].reshape(x.shape[0], -1)
        if op.kind == "max":
            out[(slice(None), *at)] = values.max(axis=1)
        else:
            divisor = np.prod([np.count_nonzero(c[a]) for c, a in zip(counted, at)])
            out[(slice(None), *at)] = values.sum(axis=1) / divisor
    return out
