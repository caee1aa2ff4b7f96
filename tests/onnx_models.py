"""Small ONNX models, and what they compute is known to onnxruntime."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

IMAGE, ROW, VECTOR = (2, 5, 6), (2, 9), (6,)


def normal(*shape, seed=0, scale=0.5):
    return np.random.default_rng((seed, *shape)).normal(0, scale, shape).astype(np.float32)


def integers(*values):
    return np.array(values, np.int64)


def build(nodes, shape, constants=None, *, opset=17, batch="N", functions=(), domains=()):
    """Return a model from x of shape (batch, *shape) to y, of nodes (kind, inputs, attributes)."""
    made = []
    for number, (kind, inputs, outputs, attributes) in enumerate(nodes):
        made.append(helper.make_node(kind, inputs, outputs, name=f"n{number}", **attributes))
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=functions)


def one(kind, shape, constants=None, *, opset=17, batch="N", first=(), **attributes):
    """Return a model of one node, whose inputs are `first` or x, and then the constants."""
    inputs = [*(first or ("x",)), *(name for name in constants or {} if name not in first)]
    return build([(kind, inputs, ["y"], attributes)], shape, constants, opset=opset, batch=batch)


def samples(shape, n_samples=2):
    return normal(n_samples, *shape, seed=1, scale=1.0)


def kernel(*shape):
    return {"w": normal(*shape)}


def pool(kind, shape, **attributes):
    return one(kind, shape, opset=attributes.pop("opset", 19), **attributes)


def shape_arithmetic():
    """Return what PyTorch writes for ``x.view(x.size(0), -1)``."""
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
        ("Unsqueeze", ["n", "axes"], ["n1"], {}),
        ("Concat", ["n1", "rest"], ["size"], {"axis": 0}),
        ("Reshape", ["x", "size"], ["y"], {}),
    ]
    constants = {"zero": np.array(0, np.int64), "axes": integers(0), "rest": integers(-1)}
    return build(nodes, (3, 4, 5), constants)


def doubled_size():
    """Return nearest upsampling to sizes computed from the input's shape."""
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Slice", ["s", "two", "four"], ["yx"], {}),
        ("Mul", ["yx", "two"], ["larger"], {}),
        ("Slice", ["s", "zero", "two"], ["nc"], {}),
        ("Concat", ["nc", "larger"], ["size"], {"axis": 0}),
        ("Resize", ["x", "", "", "size"], ["y"], {"mode": "nearest"}),
    ]
    return build(nodes, (2, 3, 4), {"zero": integers(0), "two": integers(2), "four": integers(4)})


def zeros_of_the_batch():
    """Return a sum with zeros made for as many samples as there are."""
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("ConstantOfShape", ["s"], ["zeros"], {"value": helper.make_tensor("v", 1, [1], [0.5])}),
        ("Add", ["x", "zeros"], ["y"], {}),
    ]
    return build(nodes, (6,))


def broadcast_sum():
    nodes = [("GlobalMaxPool", ["x"], ["g"], {}), ("Sub", ["g", "x"], ["y"], {})]
    return build(nodes, IMAGE)


def residual():
    nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"], {"epsilon": 0.01}),
        ("Relu", ["n"], ["r"], {}),
        ("Add", ["r", "x"], ["a"], {}),
        ("GlobalAveragePool", ["a"], ["p"], {}),
        ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "u", "q"], ["y"], {"transB": 1}),
    ]
    constants = {"w": normal(3, 3, 3, 3), "b": normal(3), "s": normal(3), "t": normal(3, seed=1)}
    constants |= {"m": normal(3, seed=2), "v": np.abs(normal(3, seed=3)) + 0.1}
    return build(nodes, (3, 5, 5), {**constants, "u": normal(4, 3), "q": normal(4)})


def split_and_join():
    nodes = [
        ("Split", ["x"], ["a", "b"], {"axis": 1}),
        ("Sub", ["a", "b"], ["d"], {}),
        ("Concat", ["d", "a"], ["y"], {"axis": -3}),
    ]
    return build(nodes, (4, 3, 2))


def channels_last():
    """Return what tf2onnx writes for a Keras model: channels last outside, first inside."""
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["t", "w"], ["c"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Relu", ["c"], ["r"], {}),
        ("Transpose", ["r"], ["u"], {"perm": [0, 2, 3, 1]}),
        ("ReduceMean", ["u"], ["m"], {"axes": [1, 2], "keepdims": 0}),
        ("MatMul", ["m", "k"], ["d"], {}),
        ("Add", ["d", "b"], ["y"], {}),
    ]
    constants = {"w": normal(3, 2, 3, 3), "k": normal(3, 4), "b": normal(4)}
    return build(nodes, (5, 6, 2), constants)


NORM = {name: np.abs(normal(2, seed=n)) + 0.1 for n, name in enumerate("stmv")}
HALF = {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 3], np.float32)}

CASES = {
    "gemm": (
        one("Gemm", VECTOR, {"w": normal(6, 4), "b": normal(1, 4)}, alpha=0.5, beta=2.0),
        VECTOR,
    ),
    "gemm_transposed": (one("Gemm", VECTOR, kernel(4, 6), transB=1), VECTOR),
    "gemm_one_bias": (
        one("Gemm", VECTOR, {"w": normal(4, 6), "b": normal()}, transB=1),
        VECTOR,
    ),
    "matmul": (one("MatMul", VECTOR, kernel(6, 3)), VECTOR),
    "matmul_of_a_sequence": (one("MatMul", (4, 6), kernel(1, 6, 3)), (4, 6)),
    "matmul_from_the_left": (one("MatMul", (4, 6), kernel(3, 4), first=("w", "x")), (4, 6)),
    "conv": (one("Conv", IMAGE, {"w": normal(4, 2, 3, 2), "b": normal(4)}), IMAGE),
    "conv_all": (
        one("Conv", IMAGE, kernel(4, 2, 2, 3), pads=[1, 0, 2, 3], strides=[2, 1], dilations=[1, 2]),
        IMAGE,
    ),
    "conv_groups": (one("Conv", (4, 5, 5), kernel(6, 2, 3, 3), group=2), (4, 5, 5)),
    "conv_depthwise": (one("Conv", (3, 5, 5), kernel(3, 1, 3, 3), group=3), (3, 5, 5)),
    "conv_1d": (one("Conv", ROW, kernel(3, 2, 3), strides=[2], pads=[1, 0]), ROW),
    "conv_same_upper": (
        one("Conv", IMAGE, kernel(3, 2, 2, 3), auto_pad="SAME_UPPER", strides=[1, 2]),
        IMAGE,
    ),
    "conv_same_lower": (one("Conv", IMAGE, kernel(3, 2, 2, 4), auto_pad="SAME_LOWER"), IMAGE),
    "conv_valid": (one("Conv", IMAGE, kernel(3, 2, 2, 4), auto_pad="VALID"), IMAGE),
    "conv_transpose": (
        one(
            "ConvTranspose",
            IMAGE,
            {"w": normal(2, 3, 3, 3), "b": normal(3)},
            strides=[2, 2],
            pads=[1, 0, 1, 2],
            output_padding=[1, 0],
        ),
        IMAGE,
    ),
    "conv_transpose_groups": (
        one("ConvTranspose", (4, 3, 3), kernel(4, 2, 2, 2), group=2, dilations=[2, 1]),
        (4, 3, 3),
    ),
    "conv_transpose_to_a_shape": (
        one("ConvTranspose", IMAGE, kernel(2, 3, 4, 3), strides=[2, 2], output_shape=[9, 12]),
        IMAGE,
    ),
    "conv_transpose_to_a_shape_upper": (
        one(
            "ConvTranspose",
            IMAGE,
            kernel(2, 3, 4, 3),
            strides=[2, 2],
            output_shape=[9, 12],
            auto_pad="SAME_UPPER",
        ),
        IMAGE,
    ),
    "conv_transpose_same_upper": (
        one("ConvTranspose", IMAGE, kernel(2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
        IMAGE,
    ),
    "conv_transpose_same_lower": (
        one("ConvTranspose", IMAGE, kernel(2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
        IMAGE,
    ),
    "conv_transpose_1d": (one("ConvTranspose", ROW, kernel(2, 3, 3), strides=[3]), ROW),
    "batch_norm": (one("BatchNormalization", IMAGE, NORM, epsilon=0.1), IMAGE),
    "batch_norm_of_vectors": (one("BatchNormalization", (2,), NORM), (2,)),
    "relu": (one("Relu", IMAGE), IMAGE),
    "relu6": (one("Clip", IMAGE, {"min": np.float32(0), "max": np.float32(0.6)}), IMAGE),
    "relu6_old": (one("Clip", IMAGE, opset=10, min=0.0, max=0.6), IMAGE),
    "clip_without_maximum": (one("Clip", IMAGE, {"min": np.float32(0)}), IMAGE),
    "max_of_zero": (one("Max", IMAGE, {"zero": np.zeros(1, np.float32)}), IMAGE),
    "leaky_relu": (one("LeakyRelu", IMAGE, alpha=0.2), IMAGE),
    "leaky_relu_default": (one("LeakyRelu", IMAGE), IMAGE),
    "prelu": (one("PRelu", IMAGE, {"slope": np.full((2, 1, 1), [[[0.1]], [[0.9]]], "f4")}), IMAGE),
    "prelu_scalar": (one("PRelu", IMAGE, {"slope": np.float32([0.3])}), IMAGE),
    "average_pool": (pool("AveragePool", IMAGE, kernel_shape=[2, 3]), IMAGE),
    "average_pool_padded": (
        pool("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 2]),
        IMAGE,
    ),
    "average_pool_counts_padding": (
        pool("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 2, 0], count_include_pad=1),
        IMAGE,
    ),
    "average_pool_ceil": (
        pool("AveragePool", IMAGE, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
        IMAGE,
    ),
    "average_pool_ceil_counts_padding": (
        pool(
            "AveragePool",
            IMAGE,
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            ceil_mode=1,
            count_include_pad=1,
        ),
        IMAGE,
    ),
    "average_pool_same": (
        pool("AveragePool", IMAGE, kernel_shape=[2, 3], strides=[2, 1], auto_pad="SAME_UPPER"),
        IMAGE,
    ),
    "average_pool_dilated": (
        pool("AveragePool", IMAGE, kernel_shape=[2, 2], dilations=[2, 3]),
        IMAGE,
    ),
    "average_pool_1d": (pool("AveragePool", ROW, kernel_shape=[3], strides=[2]), ROW),
    "max_pool": (pool("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]), IMAGE),
    "max_pool_padded": (
        pool("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        IMAGE,
    ),
    "max_pool_dilated": (pool("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 3]), IMAGE),
    "max_pool_ceil": (
        pool("MaxPool", IMAGE, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
        IMAGE,
    ),
    "max_pool_same_lower": (
        pool("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
        IMAGE,
    ),
    "global_average_pool": (one("GlobalAveragePool", IMAGE), IMAGE),
    "global_max_pool": (one("GlobalMaxPool", ROW), ROW),
    "reduce_mean": (one("ReduceMean", IMAGE, axes=[2, 3]), IMAGE),
    "reduce_mean_by_input": (
        one("ReduceMean", IMAGE, {"axes": integers(-1, -2)}, opset=18, keepdims=0),
        IMAGE,
    ),
    "reduce_mean_of_one_axis": (one("ReduceMean", IMAGE, axes=[3], keepdims=0), IMAGE),
    "reduce_mean_of_channels": (one("ReduceMean", IMAGE, axes=[1, 2], keepdims=1), IMAGE),
    "reduce_max": (one("ReduceMax", IMAGE, axes=[2, 3], keepdims=0), IMAGE),
    "reduce_sum": (one("ReduceSum", IMAGE, {"axes": integers(2)}), IMAGE),
    "flatten": (one("Flatten", IMAGE), IMAGE),
    "reshape": (one("Reshape", IMAGE, {"size": integers(0, -1, 2)}), IMAGE),
    "reshape_free_batch": (one("Reshape", IMAGE, {"size": integers(-1, 60)}), IMAGE),
    "reshape_by_the_input": (shape_arithmetic(), (3, 4, 5)),
    "transpose": (one("Transpose", IMAGE, perm=[0, 2, 3, 1]), IMAGE),
    "squeeze": (one("Squeeze", (3, 1, 2), {"axes": integers(2)}), (3, 1, 2)),
    "squeeze_old": (one("Squeeze", (3, 1, 2), opset=11, axes=[2]), (3, 1, 2)),
    "squeeze_all": (one("Squeeze", (3, 1, 2)), (3, 1, 2)),
    "unsqueeze": (one("Unsqueeze", ROW, {"axes": integers(-1, 1)}), ROW),
    "slice": (
        one(
            "Slice",
            IMAGE,
            {
                "a": integers(1, -1),
                "b": integers(5, -(2**62)),
                "c": integers(2, 3),
                "d": integers(2, -1),
            },
        ),
        IMAGE,
    ),
    "slice_old": (one("Slice", IMAGE, opset=9, starts=[0, 1], ends=[2**31, 4], axes=[0, 2]), IMAGE),
    "split": (split_and_join(), (4, 3, 2)),
    "gather_one": (one("Gather", IMAGE, {"i": np.array(-1, np.int64)}, axis=2), IMAGE),
    "gather_range": (one("Gather", IMAGE, {"i": integers(1, 3, 5)}, axis=3), IMAGE),
    "pad": (one("Pad", IMAGE, {"pads": integers(0, 0, 1, 2, 0, 1, 0, -1)}), IMAGE),
    "pad_old": (one("Pad", IMAGE, opset=10, pads=[0, 0, 1, 2, 0, 0, 0, 3]), IMAGE),
    "resize_asymmetric": (
        one(
            "Resize",
            IMAGE,
            HALF,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        IMAGE,
    ),
    "resize_half_pixel": (one("Resize", IMAGE, HALF, mode="nearest"), IMAGE),
    "resize_old": (one("Resize", IMAGE, {"s": HALF["scales"]}, opset=10, mode="nearest"), IMAGE),
    "resize_to_computed_sizes": (doubled_size(), (2, 3, 4)),
    "upsample": (one("Upsample", IMAGE, {"s": HALF["scales"]}, opset=9, mode="nearest"), IMAGE),
    "depth_to_space": (one("DepthToSpace", (12, 2, 3), blocksize=2), (12, 2, 3)),
    "depth_to_space_columns_first": (
        one("DepthToSpace", (18, 2, 3), blocksize=3, mode="CRD"),
        (18, 2, 3),
    ),
    "space_to_depth": (one("SpaceToDepth", (2, 4, 6), blocksize=2), (2, 4, 6)),
    "add_itself": (one("Add", IMAGE, first=("x", "x")), IMAGE),
    "add_constant": (one("Add", IMAGE, {"b": normal(2, 1, 1)}), IMAGE),
    "add_row": (one("Add", IMAGE, {"b": normal(6)}), IMAGE),
    "add_whole": (one("Add", IMAGE, {"b": normal(1, 2, 5, 6)}), IMAGE),
    "add_zeros_of_the_batch": (zeros_of_the_batch(), VECTOR),
    "subtract_from_a_constant": (one("Sub", IMAGE, {"b": normal(5, 1)}, first=("b", "x")), IMAGE),
    "multiply": (one("Mul", IMAGE, {"b": normal(5, 6)}, first=("b", "x")), IMAGE),
    "divide": (one("Div", IMAGE, {"b": np.float32([[[3.0]], [[-2.0]]])}), IMAGE),
    "sum": (one("Sum", IMAGE, {"b": normal(2, 1, 1), "c": normal(6)}, first=("x", "x")), IMAGE),
    "negate": (one("Neg", IMAGE), IMAGE),
    "identity": (one("Identity", IMAGE), IMAGE),
    "dropout": (one("Dropout", IMAGE), IMAGE),
    "cast": (
        build([("Cast", ["x"], ["d"], {"to": 11}), ("Cast", ["d"], ["y"], {"to": 1})], IMAGE),
        IMAGE,
    ),
    "tile": (one("Tile", IMAGE, {"n": integers(1, 2, 1, 3)}), IMAGE),
    "expand": (one("Expand", (2, 1, 3), {"n": integers(1, 4, 1)}), (2, 1, 3)),
    "add_broadcast": (broadcast_sum(), IMAGE),
    "residual_network": (residual(), (3, 5, 5)),
    "keras_network": (channels_last(), (5, 6, 2)),
}
