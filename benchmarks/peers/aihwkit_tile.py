"""aihwkit's analog product of one array, for `benchmarks/mvm.py`: the C++ tile and the torch tile.

8-bit inputs and outputs, rounded to the nearest of 254 steps; no noise or bound management, which
would look at inputs and repeat products; converters as wide as inputs and exact outputs. Read noise
is aihwkit's `w_noise`, referred to the output: its spread is `READ_NOISE` times the root of the sum
of squared inputs. Output noise has one spread for all outputs, that of the former on average.
Tensors are ready before the clock runs, and no gradient is kept.
"""

from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import torch
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from numpy.typing import NDArray

READ_NOISE = 0.0145
"""Of a weight, as a share of the largest: 0.4 uS for each cell of a pair between 1 and 40 uS."""

LARGEST_CODE = 127


def version() -> str:
    """Return versions of what runs."""
    return f"aihwkit {version_of('aihwkit')}, torch {version_of('torch')}"


def noisy(weight: NDArray[np.float32], codes: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """Return the calls of noisy products: weights (input, output), codes (sample, input)."""
    inputs, outputs = _ready(weight, codes)
    spread = READ_NOISE * float(np.sqrt(np.mean(np.sum(inputs.numpy() ** 2, axis=1))))
    read = _layer(InferenceRPUConfig(), weight, outputs, read_noise=READ_NOISE)
    out = _layer(InferenceRPUConfig(), weight, outputs, out_noise=spread)
    in_torch = _layer(TorchInferenceRPUConfig(), weight, outputs, out_noise=spread)
    return {
        "aihwkit layer, read noise": _without_gradients(read, inputs),
        "aihwkit C++ tile, read noise": _tile(read, inputs),
        "aihwkit C++ tile, output noise": _tile(out, inputs),
        "aihwkit torch tile, output noise": _tile(in_torch, inputs),
    }


def quiet(weight: NDArray[np.float32], codes: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """Return the calls of products with converters and without noise."""
    inputs, outputs = _ready(weight, codes)
    layer = _layer(InferenceRPUConfig(), weight, outputs)
    in_torch = _layer(TorchInferenceRPUConfig(), weight, outputs)
    return {
        "aihwkit C++ tile, no noise": _tile(layer, inputs),
        "aihwkit torch tile, no noise": _tile(in_torch, inputs),
    }


def _ready(
    weight: NDArray[np.float32], codes: NDArray[np.float32]
) -> tuple[torch.Tensor, NDArray[np.float32]]:
    """Return inputs between -1 and 1, and outputs for weights between -1 and 1."""
    torch.set_num_threads(1)
    inputs = codes / LARGEST_CODE
    return torch.tensor(inputs), inputs @ (weight / np.abs(weight).max())


def _layer(
    config: Any,
    weight: NDArray[np.float32],
    outputs: NDArray[np.float32],
    *,
    read_noise: float = 0.0,
    out_noise: float = 0.0,
) -> Any:
    io = config.forward
    io.inp_bound, io.out_bound = 1.0, float(np.abs(outputs).max())
    io.inp_res = io.out_res = 1 / (2 * LARGEST_CODE)
    io.noise_management, io.bound_management = NoiseManagementType.NONE, BoundManagementType.NONE
    io.out_noise = out_noise
    if read_noise:
        io.w_noise, io.w_noise_type = read_noise, WeightNoiseType.ADDITIVE_CONSTANT
    config.mapping.weight_scaling_omega = 0.0
    config.mapping.digital_bias = False
    layer = AnalogLinear(*weight.shape, bias=False, rpu_config=config).eval()
    layer.set_weights(torch.tensor(np.ascontiguousarray((weight / np.abs(weight).max()).T)))
    return layer


def _without_gradients(layer: Any, inputs: torch.Tensor) -> Callable[[], Any]:
    @torch.inference_mode()
    def call() -> Any:
        return layer(inputs)

    return call


def _tile(layer: Any, inputs: torch.Tensor) -> Callable[[], Any]:
    """Return the call of what a layer calls in the end: less to pay at small batches."""
    (module,) = layer.analog_tiles()
    forward = module.tile.forward

    # The tile works in memory of the layer, which therefore has to live on.
    @torch.inference_mode()
    def call(_keep: Any = layer) -> Any:
        # Inputs, no bias, neither of them transposed, in inference, and wait.
        return forward(inputs, False, False, False, True, False)

    return call
