"""An ONNX graph by its shapes: no external weight is opened, none in the file is copied."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spikeram.conversion.importers.onnx_file import load, printable
from spikeram.conversion.shapes.matrix import MatrixShape, Shapes
from spikeram.errors import ConversionError

Shape: TypeAlias = tuple[int, ...]

_KEPT_ELEMENTS = 1024
"""Elements of the largest constant whose values shapes may depend on."""

_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
_TABLES = ("Gather", "EmbedLayerNormalization")


def from_onnx(source: Any, shapes: Mapping[str, Shape], input_shape: Shape | None = None) -> Shapes:
    """Return the matrices of an ONNX model.

    Parameters
    ----------
    source : path-like or onnx.ModelProto
        The model.
    shapes : mapping of str to tuple of int
        Shapes of its inputs, with the batch, where the model leaves lengths open.
    input_shape : tuple of int, optional
        The same for a model with one input.

    Raises
    ------
    ConversionError
        If lengths stay open; the message says how to give them.
    FileFormatError
        If the file is missing, damaged or foreign.
    """
    file = load(source)
    stripped = _stripped(file.model)
    _fix_inputs(stripped.graph, shapes, input_shape, file.where)
    known = _known_shapes(stripped, file.where)
    reader = _Reader(known, _constants(file.model.graph))
    for node in file.model.graph.node:
        reader.read(node)
    held = sum(matrix.weights for matrix in reader.matrices)
    total = sum(math.prod(tensor.dims) for tensor in file.model.graph.initializer)
    return Shapes(
        matrices=tuple(reader.matrices),
        weightless=reader.weightless,
        unknown=tuple(reader.unknown),
        other_parameters=max(0, total - held),
        where=file.where,
    )


def _stripped(model: Any) -> Any:
    """Return a copy in which large constants are inputs: they have shapes and no values."""
    from onnx import GraphProto, ModelProto, helper

    graph = model.graph
    large = [t for t in graph.initializer if math.prod(t.dims) > _KEPT_ELEMENTS or t.data_location]
    names = {tensor.name for tensor in large}
    bare = GraphProto(
        name=graph.name or "graph",
        node=graph.node,
        output=graph.output,
        value_info=graph.value_info,
        initializer=[t for t in graph.initializer if t.name not in names],
        input=[value for value in graph.input if value.name not in names],
    )
    bare.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in large)
    return ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=bare)


def _fix_inputs(
    graph: Any, shapes: Mapping[str, Shape], input_shape: Shape | None, where: str
) -> None:
    """Write the lengths of all inputs into a graph: an open batch is 1."""
    constant = {tensor.name for tensor in graph.initializer}
    names = [v.name for v in graph.input if v.name not in constant and not _is_fixed(v)]
    inputs = [v for v in graph.input if v.name not in constant]
    given = dict(shapes)
    if input_shape is not None:
        first = names or [inputs[0].name]
        if len(first) > 1:
            raise ConversionError(
                f"{where} has the inputs {', '.join(map(printable, first))}: give the shape of "
                "each by its name."
            )
        given.setdefault(first[0], input_shape)
    strange = sorted(set(given) - {value.name for value in inputs})
    if strange:
        raise ConversionError(
            f"{where} has no input {', '.join(strange)}: there are "
            f"{', '.join(printable(name) for name in names) or 'none with open lengths'}."
        )
    open_ones = []
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        if value.name in given:
            lengths = given[value.name]
            fixed = [dim.dim_value for dim in dims]
            fits = not fixed or (
                len(fixed) == len(lengths)
                and all(has <= 0 or has == length for has, length in zip(fixed[1:], lengths[1:]))
            )
            if any(length < 1 for length in lengths) or not fits:
                wanted = "x".join(str(n) if n > 0 else "?" for n in fixed)
                raise ConversionError(
                    f"{where}: input {printable(value.name)!r} expects lengths >= 1 of {wanted}, "
                    f"got {'x'.join(map(str, lengths))}."
                )
            del dims[:]
            for length in lengths:
                dims.add().dim_value = length
        for axis, dim in enumerate(dims):
            if dim.dim_value <= 0:
                if axis:
                    open_ones.append((value.name, tuple(d.dim_value or d.dim_param for d in dims)))
                    break
                dim.dim_value = 1
    if open_ones:
        name, lengths = open_ones[0]
        example = "x".join(str(n) if isinstance(n, int) and n > 0 else "?" for n in lengths)
        raise ConversionError(
            f"{where} leaves lengths of the input {printable(name)!r} open: "
            f"{', '.join(printable(str(n)) or '?' for n in lengths)}. Give them: --shape "
            f"{printable(name)}={example} with numbers, or shapes={{{name!r}: (...)}} in Python."
        )


def _is_fixed(value: Any) -> bool:
    return all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)


def _known_shapes(model: Any, where: str) -> dict[str, Shape]:
    from onnx import shape_inference

    # What the file claims of values inside may have been made for open lengths.
    del model.graph.value_info[:]
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # whatever the checks inside onnx raise
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionError(f"{where} has shapes that do not fit together: {line}") from None
    graph = inferred.graph
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.dim_value > 0 for dim in kind.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return found


def _constants(graph: Any) -> set[str]:
    """Return the names of values that do not depend on the input."""
    constant = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if all(name in constant for name in inputs):
            constant.update(node.output)
    return constant


@dataclass
class _Reader:
    """What has been found while walking through a graph."""

    known: Mapping[str, Shape]
    constant: set[str]
    matrices: list[MatrixShape] = field(default_factory=list)
    weightless: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    def read(self, node: Any) -> None:
        """Size one node."""
        read = _READERS.get(node.op_type)
        if all(name in self.constant for name in node.output):
            return
        name = printable(node.name or (node.output[0] if node.output else node.op_type))
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            self.unknown.append(f"{name} ({node.op_type}): its body is not looked into")
            return
        if read is None:
            if self._holds_weights(node) and node.op_type not in _HARMLESS:
                self.unknown.append(f"{name} ({node.op_type}): weights in an unknown operation")
            else:
                self.weightless[node.op_type] += 1
            return
        try:
            found = list(read(self, node, name))
        except (_OpenError, ValueError, IndexError) as error:
            self.unknown.append(f"{name} ({node.op_type}): {error}")
            return
        if not found:
            self.weightless[f"{node.op_type} of two activations"] += 1
        self.matrices.extend(found)

    def _holds_weights(self, node: Any) -> bool:
        return any(
            name in self.constant and math.prod(self.known.get(name, ())) > _KEPT_ELEMENTS
            for name in node.input
        )

    def shape(self, name: str) -> Shape:
        """Return the shape of a value, or say that it is open."""
        if name not in self.known:
            raise _OpenError(f"the shape of {printable(name)!r} is open")
        return self.known[name]


class _OpenError(ConversionError):
    """A shape is not known."""


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _convolution(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    place = 3 if node.op_type == "QLinearConv" else 1
    weight, groups = reader.shape(node.input[place]), int(_attribute(node, "group", 1))
    x, y = reader.shape(node.input[0]), reader.shape(node.output[0])
    if node.input[place] not in reader.constant:
        return
    if node.op_type == "ConvTranspose":
        rows, columns = weight[0] // groups * math.prod(weight[2:]), weight[1]
    else:
        rows, columns = math.prod(weight[1:]), weight[0] // groups
    depthwise = groups > 1 and groups == x[1]
    yield MatrixShape(
        name=name,
        kind="depthwise" if depthwise else "convolution",
        rows=rows,
        columns=columns,
        groups=groups,
        positions=math.prod(y[2:]) * y[0],
        inputs=math.prod(x),
    )


def _product(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    place = 3 if node.op_type == "QLinearMatMul" else 1
    first, second = node.input[0], node.input[place]
    a, b = reader.shape(first), reader.shape(second)
    if second in reader.constant:
        x, w = a, (b if len(b) > 1 else (*b, 1))
        rows, columns = w[-2], w[-1]
        groups = math.prod(w[:-2])
        positions = max(1, math.prod(x[:-1]) // groups)
    elif first in reader.constant:
        x, w = b, a
        rows, columns = w[-1], math.prod(w[-2:-1])
        groups = math.prod(w[:-2])
        positions = max(1, math.prod(x) // rows // groups)
    else:
        return
    yield MatrixShape(
        name=name,
        rows=rows,
        columns=columns,
        groups=groups,
        positions=positions,
        inputs=math.prod(x),
    )


def _gemm(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    if node.input[1] not in reader.constant:
        return
    weight, x = reader.shape(node.input[1]), reader.shape(node.input[0])
    rows, columns = weight[::-1] if _attribute(node, "transB", 0) else weight
    yield MatrixShape(
        name=name,
        rows=rows,
        columns=columns,
        positions=math.prod(x) // rows,
        inputs=math.prod(x),
    )


def _recurrence(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    x, w, r = (reader.shape(node.input[n]) for n in range(3))
    if node.input[1] not in reader.constant or node.input[2] not in reader.constant:
        return
    tokens = x[0] * x[1]
    for what, shape, values in (("input", w, math.prod(x)), ("state", r, tokens * r[2])):
        for direction in range(shape[0]):
            way = f".{direction}" if shape[0] > 1 else ""
            yield MatrixShape(
                name=f"{name}.{what}{way}",
                kind=f"{node.op_type}, {_RECURRENT[node.op_type]} gates",
                rows=shape[2],
                columns=shape[1],
                positions=tokens,
                inputs=values,
            )


def _packed(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    """Size a product with weights of few bits, packed so that their shape does not tell."""
    rows, columns = int(_attribute(node, "K", 0)), int(_attribute(node, "N", 0))
    x = reader.shape(node.input[0])
    yield MatrixShape(
        name=name,
        rows=rows,
        columns=columns,
        positions=math.prod(x[:-1]),
        inputs=math.prod(x),
    )


def _einsum(reader: _Reader, node: Any, name: str) -> Iterator[MatrixShape]:
    equation = _attribute(node, "equation", b"").decode().replace(" ", "")
    terms, arrow, output = equation.partition("->")
    letters = terms.split(",")
    fixed = [n for n, value in enumerate(node.input) if value in reader.constant]
    if not fixed:
        return
    if len(letters) != 2 or not arrow or "." in equation:
        raise _OpenError(f"the equation {printable(equation)!r} is not read")
    w = fixed[0]
    length = dict(zip(letters[w], reader.shape(node.input[w])))
    x = dict(zip(letters[1 - w], reader.shape(node.input[1 - w])))
    rows = math.prod(length[i] for i in length if i in x and i not in output)
    columns = math.prod(length[i] for i in length if i not in x)
    groups = math.prod(length[i] for i in length if i in x and i in output)
    positions = math.prod(x[i] for i in x if i not in length)
    yield MatrixShape(
        name=name,
        rows=rows,
        columns=columns,
        groups=groups,
        positions=positions,
        inputs=math.prod(x.values()),
    )


_READERS: Mapping[str, Callable[[_Reader, Any, str], Iterator[MatrixShape]]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv", "ConvTranspose"), _convolution),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul"), _product),
    "Attention": _product,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    **dict.fromkeys(_RECURRENT, _recurrence),
    "MatMulNBits": _packed,
    "Einsum": _einsum,
}

# Operations that may read large constants, and do not multiply matrices with them.
_HARMLESS = frozenset(
    (
        *_TABLES,
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Where",
        "Concat",
        "PRelu",
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "SimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "RMSNormalization",
        "BiasGelu",
        "FastGelu",
        "RotaryEmbedding",
        "Scatter",
        "ScatterElements",
        "ScatterND",
        "Expand",
        "Max",
        "Min",
        "Equal",
        "Less",
        "Greater",
        "And",
        "Or",
        "GatherElements",
        "GatherND",
        "QuantizeLinear",
        "DequantizeLinear",
        "Pad",
        "Slice",
        "Reshape",
        "Resize",
    )
)
