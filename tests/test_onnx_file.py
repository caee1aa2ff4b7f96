import contextlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram.conversion.importers import onnx_file
from spikeram.conversion.importers.from_onnx import from_onnx
from spikeram.errors import ConversionError, FileFormatError

from graphs import evaluate
from onnx_models import (
    CASES,
    HALF,
    IMAGE,
    NORM,
    ROW,
    VECTOR,
    TensorProto,
    build,
    helper,
    integers,
    kernel,
    normal,
    one,
    samples,
)


@pytest.mark.parametrize("dims", [[6, 4], [2**31, 2**31], [-1, 18], [1] * 60])
def test_an_initializer_that_claims_another_size_is_refused(dims):
    model = one("MatMul", VECTOR, kernel(6, 3))
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    with pytest.raises(FileFormatError, match="tensor 'w'"):
        from_onnx(model)


def test_weights_that_do_not_fit_are_refused_by_the_name_of_their_node():
    with pytest.raises(ConversionError, match="node 'n0' .Gemm.*5 inputs"):
        from_onnx(one("Gemm", VECTOR, kernel(5, 3)))


@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**62,), (1,) * 40 + (2**30,)])
def test_an_impossibly_large_input_is_refused(shape):
    with pytest.raises(ConversionError, match="elements, which is refused"):
        from_onnx(one("Flatten", shape))


@pytest.mark.parametrize(
    "model",
    [
        one("Pad", VECTOR, {"p": integers(0, 2**40, 0, 0)}),
        one("Resize", VECTOR, {"r": HALF["roi"], "s": np.float32([1, 2**23])}, mode="nearest"),
        one("Conv", ROW, kernel(1, 2, 3), pads=[2**40, 0]),
        one("MaxPool", ROW, kernel_shape=[2**20], pads=[2**20 - 1, 2**20 - 1]),
        one("ConvTranspose", ROW, kernel(2, 1, 3), strides=[2**23]),
    ],
)
def test_a_small_model_cannot_ask_for_a_huge_sample(model):
    with pytest.raises(
        (ConversionError, FileFormatError), match=r"refused|integers from|too large"
    ):
        from_onnx(model)


@pytest.mark.parametrize(
    "nodes",
    [
        [("ConstantOfShape", ["huge"], ["c"], {})],
        [("Expand", ["one", "huge"], ["c"], {})],
        [("Tile", ["vector", "huge"], ["c"], {})],
        [("Tile", ["vector", "empty"], ["c"], {})],
        [("Range", ["zero", "end", "step"], ["c"], {})],
        [("Reshape", ["long", "upright"], ["u"], {}), ("Add", ["u", "long"], ["c"], {})],
    ],
)
def test_a_small_model_cannot_ask_for_huge_constants(nodes):
    constants = {
        "huge": integers(2**16, 2**16),
        "empty": integers(2**40, 0),
        "one": np.float32([1.0]),
        "vector": normal(1, 2),
        "zero": np.array(0, np.int64),
        "end": np.array(2**40, np.int64),
        "step": np.array(1, np.int64),
        "long": normal(2**13),
        "upright": integers(-1, 1),
    }
    model = build([*nodes, ("Add", ["x", "c"], ["y"], {})], VECTOR, constants)
    with pytest.raises(FileFormatError, match="far larger than the file"):
        from_onnx(model)


def nested(depth):
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["b"])], "g", [], [])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["b"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    return graph


def test_control_flow_is_not_followed_without_bound():
    model = build(
        [("If", ["c"], ["y"], {"then_branch": nested(20)})], VECTOR, {"c": np.array(True)}
    )
    with pytest.raises(FileFormatError, match="more than 16 deep"):
        from_onnx(model)


def functions(n_levels, *, closed):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    made = []
    for n in range(n_levels):
        following = f"F{0 if closed and n == n_levels - 1 else n + 1}"
        last = n == n_levels - 1 and not closed
        kind, domain = ("Relu", "") if last else (following, "mine")
        body = [
            helper.make_node(kind, ["a"], ["b"], domain=domain),
            helper.make_node(kind, ["b"], ["c"], domain=domain),
        ]
        made.append(helper.make_function("mine", f"F{n}", ["a"], ["c"], body, opset))
    nodes = [("F0", ["x"], ["y"], {"domain": "mine"})]
    return build(nodes, VECTOR, functions=made, domains=["mine"])


def test_functions_that_double_without_end_are_refused():
    with pytest.raises(FileFormatError, match="grows beyond measure"):
        from_onnx(functions(60, closed=False))


def test_functions_that_call_themselves_are_refused():
    with pytest.raises(FileFormatError, match="calls itself"):
        from_onnx(functions(3, closed=True))


def saved(model, path):
    path.write_bytes(model.SerializeToString())
    return path


def test_a_file_computes_what_the_model_does(tmp_path):
    model, shape = CASES["residual_network"]
    x = samples(shape)
    got = evaluate(from_onnx(saved(model, tmp_path / "m.onnx")), x)
    np.testing.assert_array_equal(got, evaluate(from_onnx(model), x))


def test_a_file_cut_short_anywhere_is_refused_in_one_line(tmp_path):
    whole = CASES["residual_network"][0].SerializeToString()
    path = tmp_path / "m.onnx"
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError) as caught:
            from_onnx(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    path.write_bytes(data)
    with pytest.raises(FileFormatError):
        from_onnx(path)


WHOLE = CASES["residual_network"][0].SerializeToString()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_a_file_with_wrong_bytes_is_read_or_refused_and_nothing_else(tmp_path_factory, changes):
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ConversionError, FileFormatError):
        from_onnx(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="There is no file"):
        from_onnx(tmp_path / "none.onnx")


def test_a_file_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    with pytest.raises(FileFormatError, match="at most 100 are read"):
        from_onnx(saved(CASES["residual_network"][0], tmp_path / "m.onnx"))


def test_something_else_is_refused():
    with pytest.raises(ConversionError, match="a path or an onnx.ModelProto, got int"):
        from_onnx(3)


def external(location, *, offset=None, length=None):
    model = one("MatMul", VECTOR, kernel(6, 3))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return model


def test_external_weights_beside_the_model_are_read(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"12345678" + normal(6, 3).tobytes())
    graph = from_onnx(saved(external("w.bin", offset=8, length=72), tmp_path / "m.onnx"))
    np.testing.assert_array_equal(graph.nodes[0].op.weight, normal(6, 3).T)


@pytest.mark.parametrize(
    "location", ["../w.bin", "a/../../w.bin", "{}/w.bin", "..\\w.bin", "C:\\w"]
)
def test_external_weights_outside_the_folder_are_refused(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(normal(6, 3).tobytes())
    (tmp_path / "inner").mkdir()
    path = saved(external(location.format(tmp_path)), tmp_path / "inner" / "m.onnx")
    with pytest.raises(FileFormatError, match="path traversal is refused"):
        from_onnx(path)


def test_external_weights_behind_a_link_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "w.bin").write_bytes(normal(6, 3).tobytes())
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(FileFormatError, match="path traversal is refused"):
        from_onnx(saved(external("w.bin"), tmp_path / "inner" / "m.onnx"))


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        (80, 72, "claims bytes 80 to 152"),
        (8, 72, "claims bytes 8 to 80"),
        (2**60, None, "claims bytes"),
        (-4, 72, "impossible offset '-4'"),
        (0, "many", "impossible length 'many'"),
        (0, 8, "needs 72 bytes"),
    ],
)
def test_external_weights_that_are_not_there_are_refused(tmp_path, offset, length, message):
    (tmp_path / "w.bin").write_bytes(normal(6, 3).tobytes())
    path = saved(external("w.bin", offset=offset, length=length), tmp_path / "m.onnx")
    with pytest.raises(FileFormatError, match=message):
        from_onnx(path)


@pytest.mark.parametrize("location", ["", "none.bin", "a\0b", "loop"])
def test_external_weights_without_a_file_are_refused(tmp_path, location):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileFormatError, match="there is no such file"):
        from_onnx(saved(external(location), tmp_path / "m.onnx"))


def test_external_weights_of_a_model_in_memory_are_refused():
    with pytest.raises(FileFormatError, match="give the path of the model"):
        from_onnx(external("w.bin"))


def test_external_weights_count_towards_the_limit(tmp_path, monkeypatch):
    (tmp_path / "w.bin").write_bytes(normal(6, 3).tobytes())
    path = saved(external("w.bin"), tmp_path / "m.onnx")
    file = onnx_file.load(path)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 71)
    with pytest.raises(FileFormatError, match="more than 71 bytes of external weights"):
        file.tensor(file.model.graph.initializer[0])


@pytest.mark.parametrize("what", ["input", "output"])
def test_several_inputs_or_outputs_are_named(what):
    model = one("Add", VECTOR, first=("x", "z"))
    ends = getattr(model.graph, what)
    ends.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 6)))
    if what == "output":
        model.graph.node[0].input[1] = "x"
    with pytest.raises(ConversionError, match=f"2 {what}s: '[xy]', 'z'"):
        from_onnx(model)


def test_weights_that_are_not_numbers_are_refused_by_the_name_of_their_node():
    weight = normal(6, 3)
    weight[0, 0] = np.nan
    with pytest.raises(ConversionError, match="node 'n0' .*NaN"):
        from_onnx(one("MatMul", VECTOR, {"w": weight}))


@pytest.mark.parametrize(("opset", "remedy"), [(6, "version_converter"), (999, "newer onnx")])
def test_a_foreign_opset_is_refused(opset, remedy):
    model = one("Relu", VECTOR)
    model.opset_import[0].version = opset
    with pytest.raises(ConversionError, match=f"uses opset {opset}.*{remedy}"):
        from_onnx(model)


def test_nodes_out_of_order_are_refused():
    model = build([("Relu", ["r"], ["y"], {}), ("Relu", ["x"], ["r"], {})], VECTOR)
    with pytest.raises(FileFormatError, match="node 'n0' .*reads 'r' before.*cycle"):
        from_onnx(model)


def test_a_missing_initializer_is_named():
    with pytest.raises(FileFormatError, match="reads 'w', which nothing writes"):
        from_onnx(build([("MatMul", ["x", "w"], ["y"], {})], VECTOR))


def test_a_value_written_twice_is_refused():
    model = build([("Relu", ["x"], ["y"], {}), ("Neg", ["x"], ["y"], {})], VECTOR)
    with pytest.raises(FileFormatError, match="'y' is written twice"):
        from_onnx(model)


DAMAGED = {
    "kernel": (one("MaxPool", IMAGE), "has no kernel_shape"),
    "kernel_of_other_axes": (one("MaxPool", IMAGE, kernel_shape=[2]), "kernel_shape expects 2"),
    "kernel_shape": (
        one("Conv", IMAGE, kernel(1, 2, 2, 2), kernel_shape=[3, 3]),
        "kernel_shape is",
    ),
    "strides": (one("Conv", IMAGE, kernel(1, 2, 2, 2), strides=[0, 1]), "strides expects 2"),
    "auto_pad": (one("Conv", IMAGE, kernel(1, 2, 2, 2), auto_pad="SOME"), "unknown auto_pad"),
    "type": (one("LeakyRelu", IMAGE, alpha="big"), "attribute 'alpha' is a str, not a float"),
    "missing": (one("Conv", IMAGE), "input 1 is missing"),
    "no_input": (
        build([("Relu", [""], ["y"], {})], VECTOR),
        "has no input",
    ),
    "axis": (one("Softmax", VECTOR, axis=7), "axis 7 of an array of 2 axes"),
    "perm": (one("Transpose", IMAGE, perm=[0, 1, 1, 3]), r"perm \(0, 1, 1, 3\)"),
    "pads": (one("Pad", IMAGE, {"p": integers(1, 2)}), "pads expects 8 integers"),
    "scales": (
        one("Resize", IMAGE, {"r": HALF["roi"], "s": np.float32([0.5])}),
        "scales expects 4",
    ),
    "splits": (one("Split", VECTOR, {"s": integers(2, 3)}, axis=1), "Split of 6 into"),
    "gather": (one("Gather", VECTOR, {"i": integers(6)}, axis=1), "outside the 6 of axis 1"),
    "steps": (
        one(
            "Slice",
            VECTOR,
            {"a": integers(0), "b": integers(5), "c": integers(1), "d": integers(0)},
        ),
        "do not fit each other",
    ),
    "empty": (
        one("Slice", VECTOR, {"a": integers(5), "b": integers(5), "c": integers(1)}),
        "are empty",
    ),
    "division": (one("Div", VECTOR, {"c": np.float32([0])}), "constant that is 0"),
    "shapes": (one("Add", VECTOR, {"c": normal(5)}), "does not fit samples"),
    "norm": (
        one("BatchNormalization", (3,), NORM),
        r"expects \(3,\) of each parameter",
    ),
    "variance": (one("BatchNormalization", (2,), NORM | {"v": -NORM["v"]}), "variance > 0"),
    "tile": (one("Tile", VECTOR, {"n": integers(2)}), "Tile of samples"),
    "axes": (
        build(
            [("Expand", ["c", "s"], ["d"], {}), ("Add", ["x", "d"], ["y"], {})],
            VECTOR,
            {"c": normal(6), "s": integers(*(1,) * 40)},
        ),
        "do not fit it",
    ),
    "squeeze": (one("Squeeze", VECTOR, {"a": integers(1)}), "that are not 1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_is_refused_by_the_name_of_its_node(name):
    model, message = DAMAGED[name]
    with pytest.raises((ConversionError, FileFormatError), match=f"node 'n0' .*{message}"):
        from_onnx(model)
