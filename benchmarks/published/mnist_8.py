"""The convolutional MNIST network of the ONNX model zoo (onnx/models, mnist-8, from CNTK).

In the layout of that file: two 5 x 5 convolutions with automatic padding, each
with an addition of biases, a ReLU and a max pool (2 x 2, then 3 x 3), and a matrix whose weights
are reshaped within the graph. It takes a batch of exactly one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = (8, 16)
"""Channels of the two convolutions."""


def shapes(channels: tuple[int, int] = CHANNELS) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter, by its name in the file."""
    first, second = channels
    return {
        "Parameter5": (first, 1, 5, 5),
        "Parameter6": (first, 1, 1),
        "Parameter87": (second, first, 5, 5),
        "Parameter88": (second, 1, 1),
        "Parameter193": (second, 4, 4, 10),
        "Parameter194": (1, 10),
    }


def mnist_8(parameters: Mapping[str, NDArray[np.floating[Any]]]) -> Any:
    """Return the ONNX model with these parameters, of the shapes that `shapes` gives."""
    from onnx import TensorProto, helper, numpy_helper

    second = parameters["Parameter88"].size
    convolution: dict[str, Any] = {
        "kernel_shape": [5, 5], "strides": [1, 1], "dilations": [1, 1], "group": 1,
        "auto_pad": "SAME_UPPER",
    }  # fmt: skip
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Reshape", ["Parameter193", "Parameter193_reshape1_shape"], "Parameter193_reshape1", {}),
        ("Conv", ["Input3", "Parameter5"], "Convolution28_Output_0", convolution),
        ("Add", ["Convolution28_Output_0", "Parameter6"], "Plus30_Output_0", {}),
        ("Relu", ["Plus30_Output_0"], "ReLU32_Output_0", {}),
        ("MaxPool", ["ReLU32_Output_0"], "Pooling66_Output_0", _pool(2)),
        ("Conv", ["Pooling66_Output_0", "Parameter87"], "Convolution110_Output_0", convolution),
        ("Add", ["Convolution110_Output_0", "Parameter88"], "Plus112_Output_0", {}),
        ("Relu", ["Plus112_Output_0"], "ReLU114_Output_0", {}),
        ("MaxPool", ["ReLU114_Output_0"], "Pooling160_Output_0", _pool(3)),
        (
            "Reshape",
            ["Pooling160_Output_0", "Pooling160_Output_0_reshape0_shape"],
            "Pooling160_Output_0_reshape0",
            {},
        ),
        (
            "MatMul",
            ["Pooling160_Output_0_reshape0", "Parameter193_reshape1"],
            "Times212_Output_0",
            {},
        ),
        ("Add", ["Times212_Output_0", "Parameter194"], "Plus214_Output_0", {}),
    ]
    constants: dict[str, NDArray[Any]] = {
        **{name: np.asarray(value, np.float32) for name, value in parameters.items()},
        "Parameter193_reshape1_shape": np.array([16 * second, 10], np.int64),
        "Pooling160_Output_0_reshape0_shape": np.array([1, 16 * second], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [output], name=output.removesuffix("_Output_0"), **more)
            for kind, inputs, output, more in nodes
        ],
        "CNTKGraph",
        # Files of that age list their constants among the inputs.
        [
            helper.make_tensor_value_info("Input3", TensorProto.FLOAT, [1, 1, 28, 28]),
            *(
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape
                )
                for name, v in constants.items()
            ),
        ],
        [helper.make_tensor_value_info("Plus214_Output_0", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)
    model.producer_name = "CNTK"
    return model


def _pool(size: int) -> dict[str, Any]:
    return {
        "kernel_shape": [size, size],
        "strides": [size, size],
        "pads": [0, 0, 0, 0],
        "auto_pad": "NOTSET",
    }


def trainable(channels: tuple[int, int] = CHANNELS) -> Any:
    """Return a torch model that computes the same, to train."""
    from torch import nn

    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3),
        nn.Flatten(), nn.Linear(16 * second, 10),
    )  # fmt: skip


def parameters_of(net: Any) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of `trainable`, by their names and of their shapes in the file."""
    found = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    values = [
        found["0.weight"], found["0.bias"], found["3.weight"], found["3.bias"],
        found["7.weight"].T, found["7.bias"],
    ]  # fmt: skip
    wanted = shapes((len(found["0.bias"]), len(found["3.bias"])))
    return {name: value.reshape(wanted[name]) for name, value in zip(wanted, values)}
