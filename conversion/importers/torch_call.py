"""One call of a PyTorch function, and what readers of calls share.

A reader takes a `Call` and then what the function took. A tensor on the meta device stands for
activations of `BATCH` samples, of which only the shape is known; other tensors are constants. It
returns one operation, a tuple of them to be applied in turn, a list with one for each output, or
None where the input passes on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spikeram.conversion import ops
from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.errors import ConversionError

BATCH = 13
"""Number of samples in a trace: a prime that hardly any model holds, so that it is recognised."""

Outcome: TypeAlias = AbstractOp | tuple[AbstractOp, ...] | list[AbstractOp] | None
Reader: TypeAlias = Callable[..., Outcome]

_RECTIFY = "train with ReLU"
_NORMALISE = "use batch normalisation, which folds into weights"
_UNROLL = "only feed-forward layers are read"
_REMEDIES = {
    **dict.fromkeys(
        "celu elu gelu glu hardsigmoid hardswish logsigmoid mish selu silu softplus softsign "
        "tanh hardtanh tanhshrink hardshrink softshrink threshold rrelu pow square abs exp".split(),
        _RECTIFY,
    ),
    "sigmoid": f"{_RECTIFY}; at the end of a classifier, leave it out and train with logits",
    **dict.fromkeys(
        "layernorm groupnorm instancenorm1d instancenorm2d localresponsenorm rmsnorm "
        "layer_norm group_norm instance_norm local_response_norm rms_norm normalize".split(),
        _NORMALISE,
    ),
    **dict.fromkeys("lstm gru rnn lstmcell grucell rnncell".split(), _UNROLL),
    **dict.fromkeys(
        "multiheadattention transformer transformerencoder transformerencoderlayer "
        "scaled_dot_product_attention".split(),
        "attention multiplies activations; use convolutions",
    ),
}


@dataclass(frozen=True)
class Call:
    """One call of a function.

    Parameters
    ----------
    kind : str
        What its user knows it by: a module's class, or the function.
    value : Tensor, tuple of Tensor or None
        What it returns, on the meta device.
    failure : str
        What PyTorch says where it returns nothing.
    """

    kind: str
    value: Any
    failure: str = ""

    @property
    def result(self) -> Any:
        """What the call returns."""
        if self.failure:
            raise ConversionError(self.failure)
        return self.value

    def unsupported(self, detail: str = "", remedy: str = "") -> ops.Unsupported:
        """Return the operation that says that this call has no spiking form."""
        advice = remedy or _REMEDIES.get(self.kind.lower(), "leave it out or move it to the host")
        return ops.Unsupported(f"{self.kind} {detail}".strip(), advice)


def array(tensor: Tensor) -> NDArray[np.float64]:
    """Return a constant's values."""
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values


def numbers(value: int | Sequence[int], n_axes: int) -> tuple[int, ...]:
    """Return a setting as a tuple; one number stands for every axis."""
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * n_axes if len(given) == 1 else given


def sample(input: Tensor) -> Shape:
    """Return the shape of one sample of a batch."""
    return tuple(input.shape[1:])


def is_activation(value: Any) -> bool:
    """Return whether a value depends on the input of the model."""
    return isinstance(value, Tensor) and value.is_meta
