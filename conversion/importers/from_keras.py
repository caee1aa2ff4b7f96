"""From a model of Keras 3 to a `Graph`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import Graph
from spikeram.conversion.importers.channels_last import GraphWriter, Value
from spikeram.conversion.importers.keras_call import Call, is_of_keras, write_call
from spikeram.conversion.importers.keras_files import import_keras, load_keras
from spikeram.conversion.importers.keras_layers import LAYERS, OPERATIONS
from spikeram.errors import ConversionError

if TYPE_CHECKING:
    import keras


def from_keras(
    model: keras.Model | str | Path,
    *,
    classes: NDArray[np.generic] | None = None,
    regression: bool = False,
) -> Graph:
    """Return the graph of a Keras model.

    It computes what ``model.predict`` does, by TensorFlow's rule for padding "same" whatever the
    backend. It takes samples as the model does: images have their channels last where the model
    has them so. Nodes are called as the layers, those of an inner model ``outer/inner``.

    Parameters
    ----------
    model : keras.Model, str or Path
        A ``Sequential`` or functional model of any backend with one input and one output, or the
        name of a ``.keras`` file, or of an ``.h5`` file of Keras 2 or 3. Nothing in a file is run.
    classes : ndarray, optional
        Labels of the outputs; by default 0, 1, 2 ...
    regression : bool
        Whether the outputs are values, and not those of a classifier.

    Returns
    -------
    Graph
        With an `ops.Unsupported` wherever a layer has no spiking form.

    Raises
    ------
    ConversionError
        If the model as a whole cannot be read: it is not built, has several inputs or outputs, a
        free length or code of its own.
    FileFormatError
        If a file is missing, damaged or of another format.
    """
    if regression and classes is not None:
        raise ConversionError("from_keras expects classes or regression=True, got both.")
    if isinstance(model, (str, Path)):
        model = load_keras(Path(model))
    source, target = _check_model(import_keras("Reading a Keras model"), model)
    graph = GraphWriter(tuple(source.shape[1:]))
    (value,) = _write_model(graph, model, (graph.input,), "")
    labels = None
    if not regression:
        n_outputs = math.prod(n or 1 for n in target.shape[1:])
        labels = np.arange(max(n_outputs, 2)) if classes is None else np.asarray(classes)
        if labels.shape != (max(n_outputs, 2),):
            raise ConversionError(
                f"A classifier of {n_outputs} outputs expects {max(n_outputs, 2)} classes, got "
                f"{labels.shape}."
            )
    return graph.finish(value, classes=labels)


def _check_model(keras: Any, model: Any) -> tuple[Any, Any]:
    """Return the one input and the one output of a model that can be read."""
    kind = type(model).__name__
    if not isinstance(model, keras.Model):
        raise ConversionError(
            f"from_keras expects a model of Keras 3, a .keras file or an .h5 file, got {kind}. A "
            "model of tf.keras before version 3 can be saved with model.save('model.h5')."
        )
    if not _is_graph(keras, model):
        raise ConversionError(
            f"{kind} has a call of its own, which cannot be read. Build it as a Sequential or "
            "functional model, or export it to ONNX."
        )
    try:
        inputs, outputs = model.inputs, model.outputs
    except (AttributeError, ValueError):
        inputs = outputs = None
    if not inputs or not outputs:
        raise ConversionError(
            f"{model.name!r} is not built, so that it has no weights. Begin it with "
            "keras.Input(shape), or call model.build((None, ...))."
        )
    for what, tensors in (("input", inputs), ("output", outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor._keras_history.operation.name for tensor in tensors)
            raise ConversionError(
                f"{model.name!r} expects one {what}, got {len(tensors)}: {names}. Build a "
                f"keras.Model of one {what} from its layers."
            )
    if None in inputs[0].shape[1:]:
        raise ConversionError(
            f"{model.name!r} expects an input of fixed shape, got {tuple(inputs[0].shape[1:])}. "
            "Build it again with keras.Input(shape) in numbers, and set_weights(get_weights())."
        )
    return inputs[0], outputs[0]


def _is_graph(keras: Any, layer: Any) -> bool:
    """Return whether a layer is a model whose own layers say what it computes."""
    return isinstance(layer, keras.Model) and is_of_keras(type(layer).call)


def _write_model(
    graph: GraphWriter, model: Any, given: Sequence[Value], prefix: str
) -> tuple[Value, ...]:
    """Write the layers of a model between its inputs and its outputs."""
    import keras

    values = {id(tensor): value for tensor, value in zip(model.inputs, given)}
    for node in _ordered(model):
        layer, arguments = node.operation, node.arguments
        call = Call(
            graph=graph,
            place=graph.place(prefix + layer.name),
            layer=layer,
            inputs=tuple(values[id(tensor)] for tensor in node.input_tensors),
            shapes=tuple(tuple(tensor.shape[1:]) for tensor in node.outputs),
            arguments=(*arguments.args, *arguments.kwargs.values()),
        )
        if _is_graph(keras, layer) and _fits(layer, node):
            written = _write_model(graph, layer, call.inputs, f"{call.place}/")
        else:
            is_layer = isinstance(layer, keras.Layer)
            written = write_call(LAYERS if is_layer else OPERATIONS, call)
        values.update((id(tensor), value) for tensor, value in zip(node.outputs, written))
    return tuple(values[id(tensor)] for tensor in model.outputs)


def _fits(model: Any, node: Any) -> bool:
    """Return whether an inner model takes the tensors as they come, and reads them alone."""
    try:
        inputs = model.inputs
    except (AttributeError, ValueError):
        return False
    ranks = [len(tensor.shape) for tensor in node.input_tensors]
    return bool(inputs) and ranks == [len(tensor.shape) for tensor in inputs]


def _node(tensor: Any) -> Any:
    """Return the call that computes a tensor."""
    operation, n, _ = tensor._keras_history
    return operation._inbound_nodes[n]


def _ordered(model: Any) -> list[Any]:
    """Return the calls between the inputs and the outputs, each after those it depends on."""
    known = {id(tensor) for tensor in model.inputs}
    order: list[Any] = []
    seen: set[int] = set()
    waiting = [(tensor, False) for tensor in reversed(model.outputs)]
    while waiting:
        tensor, ready = waiting.pop()
        if id(tensor) in known:
            continue
        node = _node(tensor)
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((tensor, True))
            waiting += [(before, False) for before in reversed(node.input_tensors)]
    return order
