"""From scikit-learn's perceptrons to a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT, Graph, Node
from spikeram.errors import ConversionError


def from_sklearn(model: Any) -> Graph:
    """Return the graph of a fitted ``MLPClassifier`` or ``MLPRegressor``."""
    name = type(model).__name__
    if name not in ("MLPClassifier", "MLPRegressor"):
        raise ConversionError(
            f"Of scikit-learn, convert reads MLPClassifier and MLPRegressor, got {name}."
        )
    if not hasattr(model, "coefs_"):
        raise ConversionError(f"This {name} is not fitted. Call its fit(x, y) first.")
    if model.activation != "relu" and len(model.coefs_) > 1:
        raise ConversionError(
            f"{name} expects activation='relu', got {model.activation!r}, which has no rate-coded "
            "form. Train it with ReLU."
        )
    if model.out_activation_ not in ("identity", "softmax", "logistic"):
        raise ConversionError(
            f"{name} expects an output activation that leaves decisions and values as they are, "
            f"got {model.out_activation_!r}."
        )
    classes = None
    if name == "MLPClassifier":
        classes = np.asarray(model.classes_)
        if model.out_activation_ == "logistic" and model.coefs_[-1].shape[1] > 1:
            raise ConversionError("A multilabel MLPClassifier cannot be converted: one label only.")
    nodes: list[Node] = []
    last = len(model.coefs_) - 1
    for n, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_)):
        before = nodes[-1].name if nodes else INPUT
        linear = ops.Linear(weight=np.asarray(weight).T, bias=bias)
        nodes.append(Node(name=f"dense_{n + 1}", op=linear, inputs=(before,)))
        if n < last:
            relu = Node(name=f"relu_{n + 1}", op=ops.Rectifier(), inputs=(nodes[-1].name,))
            nodes.append(relu)
    return Graph(nodes=tuple(nodes), input_shape=(model.coefs_[0].shape[0],), classes=classes)
