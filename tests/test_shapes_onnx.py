"""Matrices of ONNX graphs, whose weights need not be there."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from spikeram.conversion.shapes import shapes_of  # noqa: E402
from spikeram.errors import ConversionError, FileFormatError  # noqa: E402

from onnx_models import build, integers, one  # noqa: E402


def sizes(model, **options):
    found = shapes_of(model, **options)
    return [(m.rows, m.columns, m.groups, m.positions) for m in found.matrices]


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (one("MatMul", (7,), {"w": zeros(7, 5)}), [(7, 5, 1, 1)]),
        (one("MatMul", (3, 7), {"w": zeros(7, 5)}), [(7, 5, 1, 3)]),
        (one("MatMul", (7,), {"w": zeros(7)}), [(7, 1, 1, 1)]),
        (one("Gemm", (7,), {"w": zeros(5, 7), "b": zeros(5)}, transB=1), [(7, 5, 1, 1)]),
        (one("Gemm", (7,), {"w": zeros(7, 5)}), [(7, 5, 1, 1)]),
        (one("Conv", (3, 9, 9), {"w": zeros(8, 3, 3, 3)}, strides=[2, 2]), [(27, 8, 1, 16)]),
        (one("Conv", (6, 9, 9), {"w": zeros(12, 1, 3, 3)}, group=6), [(9, 2, 6, 49)]),
        (one("Conv", (6, 9, 9), {"w": zeros(4, 3, 1, 1)}, group=2), [(3, 2, 2, 81)]),
        (one("ConvTranspose", (4, 5, 5), {"w": zeros(4, 6, 2, 2)}), [(16, 6, 1, 36)]),
        (one("Einsum", (3, 7), {"w": zeros(7, 5)}, equation="btd,de->bte"), [(7, 5, 1, 3)]),
        (
            one("Einsum", (3, 2, 7), {"w": zeros(2, 7, 5)}, equation="bthd,hde->bthe"),
            [(7, 5, 2, 3)],
        ),
    ],
)
def test_weights_have_the_sizes_that_their_operation_gives_them(model, expected):
    assert sizes(model) == expected


def test_a_depthwise_convolution_is_told():
    model = one("Conv", (6, 9, 9), {"w": zeros(6, 1, 3, 3)}, group=6)
    assert shapes_of(model).matrices[0].kind == "depthwise"


def test_a_recurrence_has_an_input_and_a_state_matrix_in_each_direction():
    constants = {"w": zeros(2, 16, 6), "r": zeros(2, 16, 4)}
    graph = helper.make_graph(
        [
            helper.make_node(
                "LSTM", ["x", "w", "r"], ["y"], hidden_size=4, direction="bidirectional"
            )
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (9, 1, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert sizes(model) == [(6, 16, 1, 9)] * 2 + [(4, 16, 1, 9)] * 2


def test_products_of_two_activations_are_listed_and_not_placed():
    nodes = [
        ("MatMul", ["x", "w"], ["q"], {}),
        ("Transpose", ["q"], ["t"], {"perm": [0, 2, 1]}),
        ("MatMul", ["q", "t"], ["y"], {}),
    ]
    found = shapes_of(build(nodes, (3, 7), {"w": zeros(7, 5)}))
    assert len(found.matrices) == 1
    assert found.weightless == {"Transpose": 1, "MatMul of two activations": 1}


def test_weights_may_be_made_of_other_constants():
    nodes = [
        ("DequantizeLinear", ["q", "scale"], ["d"], {}),
        ("Transpose", ["d"], ["w"], {}),
        ("MatMul", ["x", "w"], ["y"], {}),
    ]
    constants = {"q": np.zeros((50, 70), np.int8), "scale": np.float32(0.1)}
    assert sizes(build(nodes, (70,), constants)) == [(70, 50, 1, 1)]


def test_shapes_that_are_computed_are_followed():
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {}),
        ("Concat", ["n", "rest"], ["size"], {"axis": 0}),
        ("Reshape", ["x", "size"], ["flat"], {}),
        ("MatMul", ["flat", "w"], ["y"], {}),
    ]
    constants = {"zero": integers(0), "rest": integers(-1), "w": zeros(60, 5)}
    assert sizes(build(nodes, (3, 4, 5), constants)) == [(60, 5, 1, 1)]


def test_unknown_operations_are_reported_and_not_fatal():
    nodes = [
        ("MatMul", ["x", "w"], ["h"], {}),
        ("Mystery", ["h", "big"], ["m"], {"domain": "org.nowhere"}),
        ("MatMul", ["m", "v"], ["y"], {}),
    ]
    constants = {"w": zeros(7, 5), "big": zeros(50, 50), "v": zeros(9, 2)}
    found = shapes_of(build(nodes, (7,), constants, domains=("org.nowhere",)))
    assert [m.rows for m in found.matrices] == [7]
    assert found.unknown == (
        "n1 (Mystery): weights in an unknown operation",
        "n2 (MatMul): the shape of 'm' is open",
    )


def test_bodies_of_control_flow_are_reported():
    body = helper.make_graph(
        [helper.make_node("Relu", ["h"], ["z"])],
        "body",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    nodes = [
        ("MatMul", ["x", "w"], ["h"], {}),
        ("If", ["c"], ["y"], {"then_branch": body, "else_branch": body}),
    ]
    model = build(nodes, (7,), {"w": zeros(7, 5)})
    # The condition must not be a constant, or the node would not depend on the input.
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, ()))
    assert "n1 (If): its body is not looked into" in shapes_of(model).unknown


def external(name, *dims):
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="nowhere.bin")
    return tensor


def billions(path, width=32_768, layers=4):
    """Write a model of 4.3e9 weights, which lie in a file that does not exist."""
    names = [f"h{n}" for n in range(layers + 1)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]], name=f"layer{n}")
            for n in range(layers)
        ],
        "g",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ("batch", "tokens", width))],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, None)],
        [external(f"w{n}", width, width) for n in range(layers)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_weights_that_are_not_there_are_not_missed(tmp_path):
    found = shapes_of(billions(tmp_path / "big.onnx"), input_shape=(1, 16, 32_768))
    assert sum(m.weights for m in found.matrices) == 4 * 32_768**2 > 4e9
    assert {m.positions for m in found.matrices} == {16}
    assert found.other_parameters == 0


def test_a_model_of_billions_takes_little_memory(tmp_path):
    path = billions(tmp_path / "big.onnx")
    shapes_of(path, input_shape=(1, 16, 32_768))
    tracemalloc.start()
    shapes_of(path, input_shape=(1, 16, 32_768))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Its weights would take 17 GB.
    assert peak < 2**20


def test_open_lengths_say_how_to_give_them(tmp_path):
    path = billions(tmp_path / "big.onnx")
    with pytest.raises(ConversionError, match=r"open: 1, tokens, 32768\. .*--shape h0=1x\?x32768"):
        shapes_of(path)
    assert sizes(path, shapes={"h0": (1, 3, 32_768)})[0] == (32_768, 32_768, 1, 3)


def test_an_open_batch_is_one_sample():
    assert sizes(one("MatMul", (3, 7), {"w": zeros(7, 5)}, batch="N")) == [(7, 5, 1, 3)]
    assert sizes(one("MatMul", (3, 7), {"w": zeros(7, 5)}, batch=4)) == [(7, 5, 1, 12)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": {"z": (1, 2)}}, "has no input z: there are x"),
        ({"shapes": {"x": (1, 2)}}, r"input 'x' expects lengths >= 1 of \?x\?x7, got 1x2"),
        ({"shapes": {"x": (1, 0, 7)}}, r"lengths >= 1 of \?x\?x7, got 1x0x7"),
        ({"shapes": {"x": (1, 3, 8)}}, r"lengths >= 1 of \?x\?x7, got 1x3x8"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(options, message):
    model = one("MatMul", ("a", 7), {"w": zeros(7, 5)})
    with pytest.raises(ConversionError, match=message):
        shapes_of(model, **options)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(FileFormatError, match="bad.onnx is not an ONNX model"):
        shapes_of(path)


def test_a_model_without_weights_says_what_it_has():
    with pytest.raises(ConversionError, match="holds no matrix of weights"):
        shapes_of(one("Relu", (7,)))
