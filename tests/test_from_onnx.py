import numpy as np
import pytest

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT
from spikeram.conversion.importers.from_onnx import from_onnx
from spikeram.errors import ConversionError

from graphs import evaluate
from onnx_models import (
    CASES,
    HALF,
    IMAGE,
    NORM,
    VECTOR,
    TensorProto,
    build,
    helper,
    integers,
    kernel,
    normal,
    numpy_helper,
    one,
    onnx,
    samples,
)


def runtime(model, x):
    session = pytest.importorskip("onnxruntime")
    options = session.SessionOptions()
    options.log_severity_level = 4
    data = model.SerializeToString()
    run = session.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return run.run(None, {run.get_inputs()[0].name: x})[0]


def check(model, shape, n_samples=2, **options):
    x = samples(shape, n_samples)
    expected = runtime(model, x)
    got = evaluate(from_onnx(model, **options), x)
    assert got.shape == expected.shape
    # onnxruntime computes in float32.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_a_model_computes_what_onnxruntime_computes(name):
    check(*CASES[name])


@pytest.mark.parametrize(
    "name", ["relu", "residual_network", "reshape_free_batch", "keras_network"]
)
def test_a_fixed_batch_is_no_part_of_a_sample(name):
    model, shape = CASES[name]
    model = onnx.ModelProto.FromString(model.SerializeToString())
    dim = model.graph.input[0].type.tensor_type.shape.dim[0]
    dim.dim_value = 3
    check(model, shape, n_samples=3)


SHAPE = ("Shape", ["x"], ["s"], {})

FOLDS = {
    "gather": [("Gather", ["table", "places"], ["c"], {"axis": 1})],
    "slice": [
        ("Slice", ["row", "two", "zero", "last", "minus"], ["d"], {}),
        ("Tile", ["d", "two"], ["c"], {}),
    ],
    "split": [("Split", ["table"], ["c", "d"], {"num_outputs": 2, "axis": 0})],
    "split_sizes": [
        ("Split", ["row", "parts"], ["d", "e"], {"axis": 0}),
        ("Concat", ["e", "d"], ["c"], {"axis": 0}),
    ],
    "expand": [("ReduceSum", ["row"], ["d"], {}), ("Expand", ["d", "six"], ["c"], {})],
    "where": [("Greater", ["row", "half"], ["d"], {}), ("Where", ["d", "row", "half"], ["c"], {})],
    "not": [
        ("Less", ["row", "half"], ["d"], {}),
        ("Not", ["d"], ["e"], {}),
        ("Cast", ["e"], ["c"], {"to": 1}),
    ],
    "range": [("Range", ["from", "to", "step"], ["d"], {}), ("Cast", ["d"], ["c"], {"to": 1})],
    "matmul": [("MatMul", ["row", "square"], ["c"], {})],
    "transpose": [
        ("Transpose", ["square"], ["d"], {}),
        ("ReduceMean", ["d", "zero"], ["c"], {"keepdims": 0}),
    ],
    "axes": [
        ("Unsqueeze", ["row", "zero"], ["d"], {}),
        ("Squeeze", ["d"], ["e"], {}),
        ("Flatten", ["e"], ["f"], {"axis": 0}),
        ("Reshape", ["f", "six"], ["c"], {}),
    ],
    "functions": [
        ("Abs", ["row"], ["d"], {}),
        ("Sqrt", ["d"], ["e"], {}),
        ("Exp", ["e"], ["f"], {}),
        ("Reciprocal", ["f"], ["g"], {}),
        ("Floor", ["row"], ["h"], {}),
        ("Pow", ["g", "half"], ["i"], {}),
        ("Sum", ["i", "h", "half"], ["j"], {}),
        ("Max", ["j", "half"], ["k"], {}),
        ("Min", ["k", "half", "row"], ["c"], {}),
    ],
    "integers": [
        SHAPE,
        ("Gather", ["s", "minus"], ["d"], {}),
        ("Neg", ["d"], ["e"], {}),
        ("Div", ["e", "four"], ["f"], {}),
        ("Mod", ["e", "four"], ["g"], {}),
        ("Sub", ["g", "f"], ["h"], {}),
        ("Cast", ["h"], ["c"], {"to": 1}),
    ],
    "sizes": [
        ("Size", ["table"], ["d"], {}),
        ("Cast", ["d"], ["e"], {"to": 1}),
        ("Expand", ["e", "six"], ["c"], {}),
    ],
    "constant": [("Constant", [], ["c"], {"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})],
    "reduce": [
        ("ReduceProd", ["square", "zero"], ["d"], {"keepdims": 0}),
        ("ReduceMax", ["square", "zero"], ["e"], {"keepdims": 1}),
        ("ReduceMin", ["square", "zero"], ["f"], {}),
        ("Sub", ["e", "f"], ["g"], {}),
        ("Mul", ["d", "g"], ["c"], {}),
    ],
    "equal": [("Equal", ["four", "six"], ["d"], {}), ("Cast", ["d"], ["c"], {"to": 1})],
    "ceil": [("Ceil", ["row"], ["d"], {}), ("Identity", ["d"], ["c"], {})],
}


@pytest.mark.parametrize("name", FOLDS)
def test_a_computed_constant_is_worked_out_as_onnxruntime_does(name):
    constants = {
        "table": normal(2, 6),
        "row": normal(6),
        "square": normal(6, 6, seed=4),
        "half": np.float32([0.5]),
        "places": np.array([5, -1, 0, 2, 2, 3], np.int64),
        "zero": integers(0),
        "two": integers(2),
        "four": integers(4),
        "six": integers(6),
        "last": integers(-1),
        "minus": integers(-1),
        "parts": integers(2, 4),
        "from": np.array(12, np.int64),
        "to": np.array(0, np.int64),
        "step": np.array(-2, np.int64),
    }
    nodes = [*FOLDS[name], ("Add", ["x", "c"], ["y"], {})]
    if name == "slice":
        constants["zero"] = integers(-7)
    read = {source for node in nodes for source in node[1]}
    held = {key: value for key, value in constants.items() if key in read}
    shape = (2, 6) if name == "gather" else VECTOR
    check(build(nodes, shape, held, opset=18), shape)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "ArgMax"])
def test_a_decision_at_the_end_is_marked_and_left_out(kind):
    nodes = [("Gemm", ["x", "w"], ["g"], {}), (kind, ["g"], ["y"], {"axis": -1})]
    graph = from_onnx(build(nodes, VECTOR, kernel(6, 3)))
    assert isinstance(graph.nodes[-1].op, ops.Softmax)
    np.testing.assert_array_equal(graph.classes, [0, 1, 2])


def test_a_softmax_inside_the_network_is_unsupported():
    nodes = [("Softmax", ["x"], ["s"], {}), ("MatMul", ["s", "w"], ["y"], {})]
    graph = from_onnx(build(nodes, VECTOR, kernel(6, 3)))
    assert graph.nodes[0].op.kind == "Softmax"
    assert "attention" in graph.nodes[0].op.remedy


def test_an_argmax_may_be_cast_to_integers():
    nodes = [("ArgMax", ["x"], ["a"], {"axis": 1}), ("Cast", ["a"], ["y"], {"to": 6})]
    assert not unsupported(build(nodes, VECTOR))


def test_nodes_keep_their_names_and_unnamed_ones_get_that_of_their_output():
    model = build([("Relu", ["x"], ["r"], {}), ("Relu", ["r"], ["y"], {})], VECTOR)
    model.graph.node[1].name = ""
    assert [node.name for node in from_onnx(model).nodes] == ["n0", "y"]


def test_names_are_made_different():
    model = build([("Relu", ["x"], ["r"], {}), ("Relu", ["r"], ["y"], {})], VECTOR)
    for node in model.graph.node:
        node.name = INPUT
    names = [node.name for node in from_onnx(model).nodes]
    assert names == ["input_2", "input_3"]


def test_a_name_cannot_write_to_the_terminal():
    model = build([("Sigmoid", ["x"], ["y"], {})], VECTOR)
    model.graph.node[0].name = "a\x1b[2J\nb"
    assert [node.name for node in from_onnx(model).nodes] == ["a?[2J?b"]


def test_what_the_output_does_not_depend_on_is_left_out():
    model = build([("Sigmoid", ["x"], ["unused"], {}), ("Relu", ["x"], ["y"], {})], VECTOR)
    assert [node.name for node in from_onnx(model).nodes] == ["n1"]


def test_classes_and_regression_are_passed_on():
    model = one("MatMul", VECTOR, kernel(6, 3))
    assert list(from_onnx(model, classes=["a", "b", "c"]).classes) == ["a", "b", "c"]
    assert from_onnx(model, regression=True).classes is None


def test_a_wrong_number_of_classes_is_refused():
    with pytest.raises(ConversionError, match="3 outputs; classes expects as many"):
        from_onnx(one("MatMul", VECTOR, kernel(6, 3)), classes=["a"])


def test_half_precision_weights_are_read():
    model = one("MatMul", VECTOR, kernel(6, 3))
    weight = normal(6, 3).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    np.testing.assert_array_equal(from_onnx(model).nodes[0].op.weight, weight.T)


@pytest.mark.parametrize(
    "kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT32", "INT64", "UINT8"]
)
@pytest.mark.parametrize("raw", [False, True])
def test_every_way_of_storing_numbers_is_read(kind, raw):
    number = getattr(TensorProto, kind)
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    tensor = helper.make_tensor("w", number, (2, 2), [1, 2, 3, 4])
    if raw:
        # A bfloat16 is the upper half of a float32.
        half = (values.astype("<f4").view("<u4") >> 16).astype("<u2")
        dtype = None if kind == "BFLOAT16" else helper.tensor_dtype_to_np_dtype(number)
        data = (half if dtype is None else values.astype(dtype)).tobytes()
        tensor = TensorProto(name="w", data_type=number, dims=(2, 2), raw_data=data)
    model = one("MatMul", (2,), kernel(2, 2))
    model.graph.initializer[0].CopyFrom(tensor)
    np.testing.assert_array_equal(from_onnx(model).nodes[0].op.weight, [[1, 3], [2, 4]])


def test_local_functions_are_put_in_place():
    body = [
        helper.make_node("MatMul", ["a", "k"], ["p"]),
        helper.make_node("Relu", ["p"], ["r"]),
    ]
    opset = [helper.make_opsetid("", 17)]
    layer = helper.make_function("mine", "Layer", ["a", "k"], ["r"], body, opset)
    nodes = [
        ("Layer", ["x", "w"], ["h"], {"domain": "mine"}),
        ("Layer", ["h", "w"], ["y"], {"domain": "mine"}),
    ]
    model = build(nodes, VECTOR, kernel(6, 6), functions=[layer], domains=["mine"])
    assert len(from_onnx(model).nodes) == 4
    check(model, VECTOR)


# PyTorch's exporters use what PyTorch has deprecated.
QUIET = [f"ignore::{kind}" for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]


def torch_model(nn):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            return nn.functional.relu(self.norm(self.conv(x)) + x)

    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        nn.MaxPool2d(2),
        Block(),
        nn.AvgPool2d(2, padding=1, ceil_mode=True),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.LeakyReLU(0.25),
        nn.Linear(5, 3),
    )


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("dynamo", [False, True])
def test_a_residual_network_of_pytorch_comes_over(dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = torch_model(torch.nn)
    for _ in range(3):
        model(torch.randn(16, 1, 9, 9))
    model.eval()
    path = tmp_path / "model.onnx"
    x = samples((1, 9, 9))
    torch.onnx.export(model, (torch.from_numpy(x),), str(path), dynamo=dynamo)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    got = evaluate(from_onnx(path), x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.filterwarnings(*QUIET)
def test_pytorch_with_a_free_batch_and_shape_arithmetic_comes_over(tmp_path):
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 4, 3, stride=2)
            self.last = torch.nn.Linear(16, 3)

        def forward(self, x):
            x = torch.nn.functional.interpolate(torch.relu(self.conv(x)), scale_factor=2)
            x = torch.cat([x[:, :2], x.mean(dim=1, keepdim=True).repeat(1, 2, 1, 1)], dim=1)
            x = torch.nn.functional.adaptive_avg_pool2d(x, (2, 2))
            return self.last(x.view(x.size(0), -1))

    torch.manual_seed(0)
    model = Model().eval()
    path = tmp_path / "model.onnx"
    x = samples((2, 6, 6))
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, "dynamo": False}
    torch.onnx.export(model, (torch.from_numpy(x),), str(path), **names)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    got = evaluate(from_onnx(path), x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def unsupported(model, **options):
    graph = from_onnx(model, **options)
    return [node.op for node in graph.nodes if isinstance(node.op, ops.Unsupported)]


UNSUPPORTED = {
    "sigmoid": (one("Sigmoid", VECTOR), "train with ReLU"),
    "clip": (one("Clip", VECTOR, {"min": np.float32(-1)}), r"it clips to \[-1, inf\]"),
    "leaky_relu": (one("LeakyRelu", VECTOR, alpha=1.5), "leaves 0 to 1"),
    "transpose": (one("Transpose", (2, 3), perm=[1, 0, 2]), "batch axis"),
    "transpose_default": (one("Transpose", VECTOR), "batch axis"),
    "flatten": (one("Flatten", IMAGE, axis=2), "batch axis"),
    "reshape": (one("Reshape", (4,), {"s": integers(-1, 2)}), "batch axis"),
    "softmax": (one("Softmax", VECTOR, axis=0), "batch axis"),
    "concat": (one("Concat", VECTOR, first=("x", "x"), axis=0), "batch axis"),
    "concat_constant": (one("Concat", VECTOR, {"c": normal(1, 6)}, axis=1), "to a constant"),
    "split": (one("Split", VECTOR, axis=0, opset=11), "batch axis"),
    "slice": (one("Slice", VECTOR, {"a": integers(1), "b": integers(2)}), "batch axis"),
    "unsqueeze": (one("Unsqueeze", VECTOR, {"axes": integers(0)}), "batch axis"),
    "reduce_mean": (one("ReduceMean", VECTOR), "batch axis"),
    "gate": (one("Mul", VECTOR, first=("x", "x")), "gate"),
    "attention": (one("MatMul", (6, 6), first=("x", "x")), "attention"),
    "broadcast": (one("Add", (2, 1), {"b": normal(2, 3)}), "spreads"),
    "reflect": (one("Pad", (9,), {"p": integers(0, 1, 0, 1)}, mode="reflect"), "pad with zeros"),
    "pad_value": (one("Pad", (9,), {"p": integers(0, 1, 0, 1), "v": np.float32(2)}), "pads with 2"),
    "linear_resize": (one("Resize", IMAGE, HALF, mode="linear"), "'linear'"),
    "shifted_resize": (
        one(
            "Resize",
            IMAGE,
            HALF,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="ceil",
        ),
        "repeating every pixel",
    ),
    "conv_3d": (one("Conv", (1, 4, 4, 4), kernel(1, 1, 2, 2, 2)), "one or two axes"),
    "quantised": (
        one("QuantizeLinear", VECTOR, {"s": np.float32(0.1), "z": np.uint8(3)}),
        "before it is quantised",
    ),
    "norm": (one("LayerNormalization", VECTOR, {"s": normal(6)}), "batch normalisation"),
    "cast": (one("Cast", VECTOR, to=TensorProto.INT8), "stay with floats"),
    "dropout": (
        one("Dropout", VECTOR, {"r": np.float32(0.5), "t": np.array(True)}),
        "evaluation mode",
    ),
    "batch_norm": (
        build(
            [("BatchNormalization", ["x", *"stmv"], ["y", "p", "q"], {"training_mode": 1})],
            (2,),
            NORM,
        ),
        "evaluation mode",
    ),
    "gather": (one("Gather", VECTOR, {"i": integers(0, 4, 1)}, axis=1), "even order"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_spiking_form_keeps_its_place_with_a_remedy(name):
    model, remedy = UNSUPPORTED[name]
    (op,) = unsupported(model)
    assert op.kind == model.graph.node[-1].op_type
    with pytest.raises(ConversionError, match=remedy):
        op.shape()


def test_all_unsupported_nodes_are_found_at_once():
    nodes = [
        ("Tanh", ["x"], ["t"], {}),
        ("Conv", ["t", "w"], ["c"], {}),
        ("Sigmoid", ["c"], ["s"], {}),
        ("Transpose", ["s"], ["y"], {"perm": [1, 0, 2, 3]}),
    ]
    found = unsupported(build(nodes, IMAGE, kernel(3, 2, 2, 2)))
    assert [op.kind for op in found] == ["Tanh", "Sigmoid", "Transpose"]


def test_shapes_behind_an_unsupported_node_are_known():
    nodes = [
        ("LpPool", ["x"], ["p"], {"kernel_shape": [2, 2]}),
        ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "w"], ["y"], {}),
    ]
    graph = from_onnx(build(nodes, IMAGE, kernel(40, 3)))
    assert [type(node.op) for node in graph.nodes] == [ops.Unsupported, ops.Flatten, ops.Linear]


def test_a_custom_domain_is_unsupported():
    model = build([("Thing", ["x"], ["y"], {"domain": "strange"})], VECTOR, domains=["strange"])
    (op,) = unsupported(model)
    assert op.kind == "strange.Thing"


def test_control_flow_is_unsupported():
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["b"])],
        "body",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    nodes = [("If", ["c"], ["b"], {"then_branch": body, "else_branch": body})]
    nodes.append(("Add", ["x", "b"], ["y"], {}))
    (op,) = unsupported(build(nodes, VECTOR, {"c": np.array(True)}))
    assert (op.kind, op.remedy) == ("If", "export the model without control flow")


def test_an_unsupported_branch_is_found_behind_a_join():
    nodes = [
        ("Tanh", ["x"], ["t"], {}),
        ("TopK", ["t", "k"], ["u", ""], {}),
        ("Sigmoid", ["x"], ["s"], {}),
        ("TopK", ["s", "k"], ["v", ""], {}),
        ("Add", ["u", "v"], ["y"], {}),
    ]
    found = unsupported(build(nodes, VECTOR, {"k": integers(2)}))
    assert [op.kind for op in found] == ["Tanh", "TopK", "Sigmoid", "TopK"]


def test_computing_with_the_batch_is_unsupported():
    nodes = [
        ("Shape", ["x"], ["s"], {"start": 0, "end": 1}),
        ("Cast", ["s"], ["n"], {"to": 1}),
        ("Div", ["x", "n"], ["y"], {}),
    ]
    (op,) = unsupported(build(nodes, VECTOR))
    assert "number of samples" in op.remedy


def test_an_open_length_is_named_with_its_remedy():
    model = one("Relu", (3, "height", 4))
    with pytest.raises(ConversionError, match=r"axis 2 .*'x'.*open length \(height\).*input_shape"):
        from_onnx(model)


def test_input_shape_fills_open_lengths():
    assert from_onnx(one("Relu", (3, "height", 4)), input_shape=(3, 7, 4)).input_shape == (3, 7, 4)


def test_an_input_shape_that_contradicts_the_model_is_refused():
    with pytest.raises(ConversionError, match=r"\(3, 5, 4\), but input_shape is \(5, 4, 3\)"):
        from_onnx(one("Relu", (3, 5, 4)), input_shape=(5, 4, 3))
