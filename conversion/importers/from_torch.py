"""From a ``torch.nn.Module`` of any structure to a `Graph`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import Graph, Node, Shape
from spikeram.errors import ConversionError, MissingExtraError
from spikeram.network import check_classes


def from_torch(
    model: Any,
    *,
    input_shape: tuple[int, ...] | None = None,
    classes: NDArray[np.generic] | None = None,
    regression: bool = False,
) -> Graph:
    """Return the graph of a PyTorch model, as it computes in evaluation.

    The model's ``forward`` runs once, symbolically (`torch.fx`), with lengths that are numbers: it
    may compute with shapes and branch on them, and may not branch on values. Weights are read and
    nothing of the model is changed. What has no spiking form becomes an `ops.Unsupported` at its
    place, so that all of it can be reported together.

    Parameters
    ----------
    model : torch.nn.Module
        A model of one input and one output tensor, samples first and images channel first.
    input_shape : tuple of int, optional
        Shape of one sample, such as (channel, y, x). A model that begins with a ``Linear`` tells
        it.
    classes : ndarray, optional
        Labels of the outputs; by default 0, 1, 2 ...
    regression : bool
        Whether the outputs are values, and not those of a classifier.

    Raises
    ------
    ConversionError
        If the model cannot be traced, does not take such samples, holds parameters that are not
        finite, or normalises by the batch it sees; the message names the place.

    Examples
    --------
    >>> from torch import nn
    >>> graph = from_torch(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    >>> [node.name for node in graph.nodes]
    ['0', '1', '2']
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch", "Reading a PyTorch model") from None
    from spikeram.conversion.importers.torch_trace import trace

    model = _readable(torch.nn, model)
    shape = _sample_shape(torch.nn, model, input_shape)
    try:
        nodes, output, output_shape = trace(model, shape)
    except ConversionError as error:
        if input_shape is not None:
            raise
        raise ConversionError(
            f"{error} The shape of a sample was taken to be {shape}, from the model's first "
            "Linear; where that is wrong, give input_shape."
        ) from error
    labels = None
    if not regression:
        n_outputs = math.prod(output_shape)
        labels = np.arange(max(n_outputs, 2)) if classes is None else np.asarray(classes)
        # Objects could hold anything; files hold plain values alone.
        labels = labels.astype(str) if labels.dtype == object else labels
        check_classes(labels, n_outputs)
    nodes = _softmax_at_the_end(_needed(nodes, output))
    return Graph(nodes=nodes, input_shape=shape, output=output, classes=labels)


def _readable(nn: Any, model: Any) -> Any:
    """Return the model inside its wrappers, or say why it cannot be read."""
    # torch.compile keeps the module that it was given under this name.
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    if not isinstance(model, nn.Module):
        raise ConversionError(
            f"from_torch expects a torch.nn.Module, got {type(model).__name__}. Load weights into "
            "their model with load_state_dict first."
        )
    if type(model).__module__.startswith("torch.jit"):
        raise ConversionError(
            "A scripted or traced module cannot be read: give the module that it was made from."
        )
    lazy = [
        name or type(module).__name__
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params()
    ]
    if lazy:
        raise ConversionError(
            f"The lazy modules {', '.join(lazy)} have no weights yet: call the model once with a "
            "sample."
        )
    empty = [name for name, values in model.named_parameters() if values.is_meta]
    if empty:
        raise ConversionError(
            f"The parameters {', '.join(empty)} lie on the meta device and have no values: load "
            "the model's weights first."
        )
    return model


def _sample_shape(nn: Any, model: Any, given: tuple[int, ...] | None) -> Shape:
    """Return the shape of one sample, from the model's first layer where it is not given."""
    if given is not None:
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in given):
            raise ConversionError(
                f"from_torch expects input_shape of one sample, in counts >= 1, got {given}."
            )
        return tuple(int(n) for n in given)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            return (int(module.in_features),)
        passing = (nn.Flatten, nn.Identity, nn.Dropout, nn.ReLU)
        if not isinstance(module, passing) and next(module.children(), None) is None:
            break
    raise ConversionError(
        f"{type(model).__name__} needs the shape of its input: give samples, or input_shape of one "
        "sample, such as (channel, y, x)."
    )


def _needed(nodes: Sequence[Node], output: str) -> tuple[Node, ...]:
    """Return the nodes that the output depends on."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _softmax_at_the_end(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes, with a softmax whose values are used for more made unsupported."""
    passing = (ops.Softmax, ops.AbstractRearrangement)
    read = {name for node in nodes if not isinstance(node.op, passing) for name in node.inputs}
    for node in reversed(nodes):
        if node.name in read:
            read.update(node.inputs if isinstance(node.op, passing) else ())
    wrong = ops.Unsupported("Softmax inside a network", "let it stand at the end alone")
    return tuple(
        replace(node, op=wrong) if isinstance(node.op, ops.Softmax) and node.name in read else node
        for node in nodes
    )
