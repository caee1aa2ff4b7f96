"""What the user can do about ONNX's operators that have no spiking form."""

from __future__ import annotations

_GROUPS = {
    "train with ReLU; at the very end of a classifier, leave it out": """
        Celu Elu Erf Gelu HardSigmoid HardSwish Mish Selu Sigmoid Softplus Softsign Swish Tanh
        ThresholdedRelu
    """,
    "convert the model before it is quantised, in float32": """
        ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul
        QuantizeLinear
    """,
    "export the model without control flow": "If Loop Scan",
    "use batch normalisation, which folds into the weights": """
        GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
        MeanVarianceNormalization RMSNormalization
    """,
    "only feed-forward networks are read; unroll it, or train a convolution": "GRU LSTM RNN",
}

_REMEDIES = {kind: remedy for remedy, kinds in _GROUPS.items() for kind in kinds.split()}

AFTER_A_DECISION = frozenset(
    """
    ArgMax Cast Dropout Flatten Identity LogSoftmax Reshape Softmax Squeeze Transpose Unsqueeze
    """.split()
)
"""What may follow a softmax: it computes nothing with the outputs."""


def remedy(
    kind: str, otherwise: str = "replace it in the model, or cut the model before it"
) -> str:
    """Return what to do about an operator that is not read."""
    if "." in kind:
        return "export the model with operators of the standard domain alone"
    return _REMEDIES.get(kind, otherwise)
