"""From an ONNX model to a `Graph`: the way in for Keras, TensorFlow, JAX and PyTorch.

The file may come from anybody: no code of it runs, and every claim it makes is checked. What has
no spiking form keeps its place as `ops.Unsupported`, so that all of it is reported at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT, Graph, Node, Shape, claimed
from spikeram.conversion.importers.onnx_constants import Budget, fold, shape_of
from spikeram.conversion.importers.onnx_file import OnnxFile, load, printable
from spikeram.conversion.importers.onnx_node import (
    Activation,
    Known,
    NoSpikingForm,
    OnnxNode,
    attributes_of,
    check_size,
)
from spikeram.conversion.importers.onnx_readers import READERS
from spikeram.conversion.importers.onnx_remedies import AFTER_A_DECISION, remedy
from spikeram.errors import ConversionError, FileFormatError

if TYPE_CHECKING:
    import onnx


# What Python and numpy raise of nonsense that no check foresaw; numpy has RuntimeError for axes.
_MISFITS = (ArithmeticError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)


def from_onnx(
    source: str | Path | onnx.ModelProto,
    *,
    input_shape: tuple[int, ...] | None = None,
    classes: ArrayLike | None = None,
    regression: bool = False,
) -> Graph:
    """Return the graph of an ONNX model of one input and one output.

    Axis 0 of the input is the batch; the graph describes one sample of it. Local functions are put
    in place of their calls, constants that are computed are worked out, and nodes that the output
    does not depend on are left out. A node has its ONNX name, or that of its first output.

    Parameters
    ----------
    source : str, Path or onnx.ModelProto
        A file of up to 1 GiB, or a model in memory. External weights are read from the folder of
        the file and from nowhere else.
    input_shape : tuple of int, optional
        Shape of one sample, without the batch; needed where the model leaves lengths open.
    classes : array_like, optional
        Labels of the outputs; by default 0, 1, 2 ...
    regression : bool
        Whether the outputs are values, and not those of a classifier.

    Raises
    ------
    ConversionError
        If the model has several inputs or outputs, open lengths, or parameters that cannot be.
    FileFormatError
        If the file is missing, damaged, foreign, too large, or reaches outside its folder.
    MissingExtraError
        If onnx is not installed.
    """
    try:
        # What overflows is refused where it is used, as a value that is not finite.
        with np.errstate(all="ignore"):
            graph = _Walk(load(source), input_shape).graph()
    except (ConversionError, FileFormatError) as error:
        raise type(error)(printable(str(error), 800)) from None
    labels = None if regression else _labels(graph, classes)
    return Graph(nodes=graph.nodes, input_shape=graph.input_shape, classes=labels)


def _labels(graph: Graph, classes: ArrayLike | None) -> NDArray[np.generic] | None:
    if any(isinstance(node.op, ops.Unsupported) for node in graph.nodes):
        return None if classes is None else np.asarray(classes)
    n_outputs = max(math.prod(graph.shapes()[graph.output]), 2)
    labels = np.arange(n_outputs) if classes is None else np.asarray(classes)
    if labels.shape != (n_outputs,):
        raise ConversionError(
            f"The model has {n_outputs} outputs; classes expects as many labels, got "
            f"{labels.shape}."
        )
    return labels


class _Walk:
    """Goes through the nodes of a model in their order."""

    def __init__(self, file: OnnxFile, input_shape: tuple[int, ...] | None) -> None:
        self.file = file
        self.nodes: list[Node] = []
        self.names = {INPUT}
        self.budget = Budget(4 * file.n_bytes + 2**24)
        self.constants = {tensor.name: tensor for tensor in file.model.graph.initializer}
        self.values: dict[str, Known | Activation] = {}
        self.inferred: dict[str, Shape] | None = None
        if file.model.graph.sparse_initializer:
            raise ConversionError(f"{file.where} holds sparse weights: export them dense.")
        self.input, self.output = self._ends()
        self.batch, self.input_shape = _input_shape(self.input, input_shape, file.where)
        self.values[self.input.name] = Activation(INPUT, self.input_shape)
        self.read = {self.output} | {
            name for node in file.model.graph.node for name in node.input if name
        }
        self.later = {name for node in file.model.graph.node for name in node.output if name}

    def _ends(self) -> tuple[Any, str]:
        graph = self.file.model.graph
        inputs = [value for value in graph.input if value.name not in self.constants]
        for ends, what in ((inputs, "input"), (graph.output, "output")):
            if len(ends) != 1:
                names = ", ".join(repr(value.name) for value in list(ends)[:16])
                raise ConversionError(
                    f"{self.file.where} has {len(ends)} {what}s{': ' if names else ''}{names}. "
                    f"Exactly one {what} is read: cut the model down with "
                    "onnx.utils.extract_model."
                )
        return inputs[0], graph.output[0].name

    def graph(self) -> Graph:
        """Return the graph of the whole model."""
        for node in self.file.model.graph.node:
            self._node(node)
        result = self.values.get(self.output)
        if not isinstance(result, Activation):
            raise ConversionError(
                f"{self.file.where}: the output {self.output!r} does not depend on the input."
            )
        wanted = {result.node}
        kept = []
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
                kept.append(node)
        return Graph(nodes=tuple(reversed(kept)), input_shape=self.input_shape)

    def _node(self, node: Any) -> None:
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        kind = printable(kind)
        outputs = list(node.output)
        label = printable(node.name or next((name for name in outputs if name), kind))
        place = f"{self.file.where}: node {label!r} ({kind})"
        try:
            inputs = tuple(self._value(name) if name else None for name in node.input)
            results = self._results(
                OnnxNode(
                    name=label,
                    kind=kind,
                    attributes=attributes_of(node, self.file),
                    inputs=inputs,
                    n_outputs=len(outputs),
                    opset=self.file.opset,
                    batch=self.batch,
                    nodes=self.nodes,
                    unique=self._unique,
                ),
                outputs,
            )
        except ConversionError as error:
            raise ConversionError(f"{place}: {error}") from None
        except FileFormatError as error:
            line = str(error).removeprefix(f"{self.file.where}: ")
            raise FileFormatError(f"{place}: {line}") from None
        except _MISFITS as error:
            raise FileFormatError(
                f"{place}: its inputs and attributes do not fit it: {error}. The file is damaged."
            ) from None
        for name, result in zip(outputs, results):
            if name and (name in self.values or name in self.constants):
                raise FileFormatError(f"{place}: {name!r} is written twice: the file is damaged.")
            self.values[name] = result

    def _results(self, call: OnnxNode, outputs: list[str]) -> Sequence[Known | Activation]:
        before = len(self.nodes)
        try:
            self._check_decision(call)
            known = self._known(call)
            return self._computed(call, outputs) if known is None else known
        except NoSpikingForm as error:
            del self.nodes[before:]
            return self._unsupported(call, outputs, str(error))

    def _known(self, call: OnnxNode) -> Sequence[Known] | None:
        """Return the outputs of a node that does not depend on the input, else None."""
        first = call.given(0)
        if isinstance(first, Activation) and first.shape is not None and call.kind == "Shape":
            sizes = [(self.batch or n, *first.shape) for n in (1, 2)]
            return [Known(*(shape_of(size, call) for size in sizes))]
        if isinstance(first, Activation) and first.shape is not None and call.kind == "Size":
            count = math.prod(first.shape)
            return [Known(*(np.asarray(count * (self.batch or n), np.int64) for n in (1, 2)))]
        if any(isinstance(value, Activation) for value in call.inputs):
            return None
        if call.kind in READERS and not any(call.inputs):
            raise FileFormatError("it has no input: the file is damaged.")
        known = [value if isinstance(value, Known) else None for value in call.inputs]
        at_one = fold(call, [v.at_one if v else None for v in known], self.budget)
        if all(v is None or v.at_two is v.at_one for v in known):
            return [Known(value, value) for value in at_one]
        at_two = fold(call, [v.at_two if v else None for v in known], self.budget)
        return [Known(*pair) for pair in zip(at_one, at_two)]

    def _computed(self, call: OnnxNode, outputs: list[str]) -> Sequence[Activation]:
        reader = READERS.get(call.kind)
        if reader is None:
            raise NoSpikingForm(remedy(call.kind))
        if call.kind != "Split" and any(name in self.read for name in outputs[1:] if name):
            raise NoSpikingForm("its further outputs are used; use the first alone")
        activations = [value for value in call.inputs if isinstance(value, Activation)]
        if any(value.shape is None for value in activations):
            # Behind what is unsupported or decided; it only keeps its place and its inputs.
            op = ops.Add() if len(activations) > 1 else ops.Identity()
            after = call.emit(op, *activations)
            return [Activation(after.node, self._shape(name), after.decided) for name in outputs]
        results = reader(call)
        return results if isinstance(results, tuple) else [results]

    def _check_decision(self, call: OnnxNode) -> None:
        """Refuse the softmax whose result this node computes with."""
        if call.kind in AFTER_A_DECISION:
            return
        decided = {value.decided for value in call.inputs if isinstance(value, Activation)}
        for n, node in enumerate(self.nodes):
            if node.name in decided and isinstance(node.op, ops.Softmax):
                inside = "it stands inside the network (attention); only at the end it is left out"
                op = ops.Unsupported("Softmax", inside)
                self.nodes[n] = Node(name=node.name, op=op, inputs=node.inputs)

    def _unsupported(self, call: OnnxNode, outputs: list[str], advice: str) -> Sequence[Activation]:
        inputs = tuple(v.node for v in call.inputs if isinstance(v, Activation))
        name = self._unique(call.name)
        op = ops.Unsupported(call.kind, advice)
        self.nodes.append(Node(name=name, op=op, inputs=inputs))
        return [Activation(name, self._shape(output)) for output in outputs]

    def _value(self, name: str) -> Known | Activation:
        if name not in self.values:
            if name in self.constants:
                array = self.file.tensor(self.constants[name])
                self.values[name] = Known(array, array)
                del self.constants[name]
            elif name in self.later:
                raise FileFormatError(
                    f"it reads {name!r} before that is written: the nodes form a cycle, or are out "
                    "of order."
                )
            else:
                raise FileFormatError(
                    f"it reads {name!r}, which nothing writes: an initializer is missing."
                )
        return self.values[name]

    def _unique(self, name: str) -> str:
        return claimed(name, self.names)

    def _shape(self, name: str) -> Shape | None:
        """Return the shape of one sample that onnx finds for an output."""
        if self.inferred is None:
            self.inferred = _inferred_shapes(
                self.file, self.input.name, (self.batch or 1, *self.input_shape)
            )
        return self.inferred.get(name)


def _input_shape(value: Any, asked: tuple[int, ...] | None, where: str) -> tuple[int | None, Shape]:
    """Return the length of the batch axis, None for an open one, and the shape of one sample."""
    kind = value.type.tensor_type
    if value.type.WhichOneof("value") not in ("tensor_type", None):
        raise ConversionError(f"{where}: the input {value.name!r} is no tensor.")
    if not kind.HasField("shape"):
        if asked is None:
            raise ConversionError(
                f"{where} does not say the shape of its input {value.name!r}: give input_shape, "
                "that of one sample."
            )
        shape = tuple(asked)
        check_size(shape)
        return None, shape
    if not kind.shape.dim:
        raise ConversionError(f"{where}: the input {value.name!r} has no axis of samples.")
    batch, *rest = kind.shape.dim
    if asked is not None and len(asked) != len(rest):
        raise ConversionError(
            f"{where}: input_shape expects {len(rest)} lengths, without the batch, got {asked}."
        )
    shape = ()
    for axis, dim in enumerate(rest, start=1):
        length = int(dim.dim_value) if dim.HasField("dim_value") else 0
        given = None if asked is None else int(asked[axis - 1])
        if length < 1 and given is None:
            raise ConversionError(
                f"{where}: axis {axis} of the input {value.name!r} has an open length "
                f"({dim.dim_param or 'unnamed'}): give input_shape, that of one sample without the "
                "batch."
            )
        if length >= 1 and given is not None and length != given:
            fixed = tuple(int(d.dim_value) or None for d in rest)
            raise ConversionError(
                f"{where}: the input {value.name!r} has samples of shape {fixed}, but input_shape "
                f"is {asked}. Give it in the model's own order of axes."
            )
        shape = (*shape, length if given is None else given)
    check_size(shape)
    n_samples = int(batch.dim_value) if batch.HasField("dim_value") else 0
    return (n_samples if n_samples > 0 else None), shape


def _inferred_shapes(file: OnnxFile, name: str, input_shape: Shape) -> dict[str, Shape]:
    """Return the shapes of one sample that onnx infers, of those that it can.

    It is given neither weights nor bodies of control flow: shapes are all it needs.
    """
    import onnx

    graph = onnx.GraphProto(name="shapes")
    for node in file.model.graph.node:
        if not any(attribute.type in (5, 10) for attribute in node.attribute):
            graph.node.append(node)
    for value in file.model.graph.input:
        graph.input.append(value)
    for value in graph.input:
        if value.name == name:
            del value.type.tensor_type.shape.dim[:]
            for length in input_shape:
                value.type.tensor_type.shape.dim.add(dim_value=length)
    for tensor in file.model.graph.initializer:
        if math.prod(tensor.dims) <= 64 and tensor.data_location != 1:
            graph.initializer.append(tensor)
        else:
            graph.initializer.add(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    for value in file.model.graph.output:
        graph.output.add(name=value.name)
    model = onnx.ModelProto(ir_version=file.model.ir_version, graph=graph)
    model.opset_import.extend(file.model.opset_import)
    try:
        found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # whatever the checks inside onnx raise; shapes are then not known
        return {}
    shapes = {}
    for value in (*found.value_info, *found.output):
        kind = value.type.tensor_type
        lengths = tuple(int(dim.dim_value) for dim in kind.shape.dim)
        if lengths and all(n > 0 for n in lengths):
            shapes[value.name] = lengths[1:]
    return shapes
