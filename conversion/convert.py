"""convert: from a trained network to a spiking one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion import thresholds
from spikeram.conversion.advice import is_learned
from spikeram.conversion.calibration import calibrate_bias, reconstruct
from spikeram.conversion.importers import read
from spikeram.conversion.methods import AUTO, CANDIDATES, LEARNED, METHODS, Method, method_of
from spikeram.conversion.trained import TrainedLayer, TrainedNetwork
from spikeram.errors import ConversionError
from spikeram.gather import by_column
from spikeram.layer import Layer
from spikeram.network import Node, SpikingNetwork, checked_steps
from spikeram.pool import MaxPool
from spikeram.simulation import simulate
from spikeram.wiring import INPUT

HELD_OUT = 5
"""Of so many calibration samples, ``auto`` holds one back to measure on."""

_ACTIVATION_BYTES = 2**29


def convert(
    model: Any,
    calibration: ArrayLike,
    *,
    steps: int | None = 32,
    method: str | None = None,
    regression: bool = False,
) -> SpikingNetwork:
    """Return the spiking network of a trained one.

    Parameters
    ----------
    model : torch.nn.Module, keras.Model, scikit-learn MLP, TrainedNetwork, Graph, str or Path
        A trained network, or a file of one; see `spikeram.conversion.importers.read`.
    calibration : array_like of shape (sample, ...)
        Inputs like those that the network will see; some hundreds serve. No labels are needed.
    steps : int or None
        Number of steps T that thresholds and biases are chosen for. None, for any T, needs
        a method that does not ask for one, such as ``percentile``. Where ``auto`` takes bursts
        the network has fewer steps that last as long.
    method : str, optional
        One of `spikeram.conversion.methods`, or ``auto``. By default
        ``learned_reconstruction`` where the model was trained with clip-floor-shift activations
        (``learned_signed`` for any T), else ``least_squares``; of many layers,
        ``signed_reconstruction`` keeps more (`inspect` says where).
    regression : bool
        Whether the outputs of a model that does not say so are values instead of classes.

    Returns
    -------
    SpikingNetwork
        With what it was made of in `origin`. The same arguments give the same network.

    Raises
    ------
    ConversionError
        If the model or the calibration set cannot be used; the message says why.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeram.conversion import TrainedNetwork, convert
    >>> trained = TrainedNetwork.chain([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)])
    >>> network = convert(trained, [[0.5, 1.0], [1.0, 0.0]], steps=8)
    >>> [layer.name for layer in network.layers]
    ['dense_1', 'output']
    """
    trained = read(model, input_shape=np.shape(calibration)[1:], regression=regression)
    x = trained.checked_input(calibration)
    n_steps = None if steps is None else checked_steps(steps)
    learned = is_learned(trained)
    if method == AUTO:
        return _measured(trained, x, n_steps, [*CANDIDATES, *(LEARNED if learned else ())])
    usual = "learned_reconstruction" if n_steps is not None else "learned_signed"
    chosen = method_of(method or (usual if learned else "least_squares"))
    if n_steps is None and chosen.needs_steps:
        raise ConversionError(
            f"{chosen.name} chooses thresholds for a number of steps: give steps."
        )
    network = SpikingNetwork(
        nodes=_nodes(trained, x, n_steps, chosen),
        input_scale=float(np.max(np.abs(x))) or 1.0,
        steps=n_steps,
        classes=trained.classes,
        method=chosen.name,
        origin=_origin(model, x, chosen.name, n_steps),
    )
    if n_steps is None or chosen.correction == "none":
        return network
    correct = calibrate_bias if chosen.correction == "bias" else reconstruct
    return correct(network, x, steps=n_steps)


@dataclass(frozen=True)
class LayerReport:
    """What conversion did to one layer, as `report` measured it on inputs.

    Parameters
    ----------
    name : str
        The layer.
    neurons : int
        Its neurons.
    threshold : float
        Median threshold, in the units of the activation.
    clipped : float
        Share of activations above what a spike, or a whole burst, in every step stands for.
    error : float
        Expected error of rate coding at T, root mean square, as a share of the activations'.
    """

    name: str
    neurons: int
    threshold: float
    clipped: float
    error: float


def report(network: SpikingNetwork, x: ArrayLike, *, steps: int | None = None) -> list[LayerReport]:
    """Return, for each rectified layer, its threshold, clipping rate and expected error at T."""
    n_steps = network.steps_or(steps)
    some = network.checked_input(x)[: _affordable(network.layers)]
    rows = []
    for layer, z in zip(network.layers[:-1], network.preactivations(some)):
        activation = np.abs(layer.by_column(layer.activation(z)))
        error = thresholds.expected_error(activation, layer.threshold, n_steps, layer.burst)
        power = float(np.mean(activation**2))
        rows.append(
            LayerReport(
                name=layer.name,
                neurons=layer.n_outputs,
                threshold=float(np.median(layer.threshold)),
                clipped=float(np.mean(activation > layer.burst * layer.threshold)),
                error=float(np.sqrt(np.mean(error) / power)) if power > 0 else 0.0,
            )
        )
    return rows


def _measured(
    trained: TrainedNetwork, x: NDArray[np.float64], steps: int | None, names: list[str]
) -> SpikingNetwork:
    """Return the conversion that agrees best with the trained network on held-out samples."""
    if steps is None:
        raise ConversionError("auto compares methods at a number of steps: give steps.")
    if len(x) < 2 * HELD_OUT:
        raise ConversionError(
            f"auto holds calibration samples back to compare methods on: it expects at least "
            f"{2 * HELD_OUT}, got {len(x)}."
        )
    held = np.arange(len(x)) % HELD_OUT == HELD_OUT - 1
    wanted = trained.forward(x[held])
    found = []
    for name in names:
        own_steps = METHODS[name].steps_in(steps)
        if own_steps == 0:
            continue
        network = convert(trained, x[~held], steps=own_steps, method=name)
        run = simulate(network, x[held], record="counts")
        output = run["output"].values[:, -1].reshape(wanted.shape)
        error = float(np.sqrt(np.mean((output - wanted) ** 2) / np.mean(wanted**2)))
        agreement = _agreement(output, wanted) if trained.classes is not None else 0.0
        found.append((agreement, -error, name))
    _, _, best = max(found)
    told = "; ".join(
        f"{name} {agreement:.2%}, error {-error:.2%}"
        if trained.classes is not None
        else f"{name} error {-error:.2%}"
        for agreement, error, name in sorted(found, reverse=True)
    )
    network = convert(trained, x, steps=METHODS[best].steps_in(steps), method=best)
    number = int(np.count_nonzero(held))
    at = f"T={steps}"
    if network.steps != steps:
        at += f" ({network.steps} steps with bursts, which last as long)"
    choice = f"{best}, measured on {number} held-out samples at {at}: {told}"
    return replace(network, origin={**network.origin, "method": AUTO, "choice": choice})


def _agreement(output: NDArray[np.floating[Any]], wanted: NDArray[np.float64]) -> float:
    """Return the share of samples whose class is that of the trained network."""
    if wanted.shape[1] == 1:
        return float(np.mean((output > 0) == (wanted > 0)))
    return float(np.mean(output.argmax(axis=1) == wanted.argmax(axis=1)))


def _origin(
    model: Any, x: NDArray[np.float64], method: str, steps: int | None
) -> dict[str, object]:
    """Return what a network says about where it came from."""
    from importlib.metadata import version

    name = str(model) if isinstance(model, str) else type(model).__name__
    digest = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
    return {
        "model": getattr(model, "name", None) or name,
        "method": method,
        "steps": steps,
        "calibration_samples": int(x.shape[0]),
        "calibration_sha256": digest,
        "spikeram": version("spikeram"),
    }


def _nodes(
    trained: TrainedNetwork, x: NDArray[np.float64], steps: int | None, method: Method
) -> tuple[Node, ...]:
    sizes = _observed(trained, x)
    chosen = {
        layer.name: _thresholds(layer, sizes[layer.name], steps, method)
        for layer in trained.layers
        if np.any(sizes[layer.name])
    }
    _fill_silent(trained, chosen, float(np.max(np.abs(x))) or 1.0)
    chosen = thresholds.tied(trained, chosen)
    return tuple(
        node
        if isinstance(node, MaxPool)
        else _layer(node, chosen[node.name], method, last=node is trained.nodes[-1])
        for node in trained.nodes
    )


def _layer(
    layer: TrainedLayer, threshold: NDArray[np.float64], method: Method, *, last: bool
) -> Layer:
    signed = method.signed or bool(np.any(layer.slope))
    return Layer(
        name=layer.name,
        weight=layer.weight,
        bias=layer.bias,
        threshold=threshold,
        initial=0.0 if last else method.initial,
        spikes="ternary" if last else "signed" if signed else "unipolar",
        slope=layer.slope if signed and not last else 0.0,
        gather=layer.gather,
        sources=layer.sources,
        burst=1 if last else method.burst,
    )


def _observed(trained: TrainedNetwork, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the sizes of each layer's activations, of shape (observation, column).

    Of the output, which only counts charge, those of its drive: its threshold keeps the membrane
    within one spike.
    """
    some = x[:: -(-len(x) // _affordable(trained.layers))]
    values = trained.values(some)
    found = {}
    for layer in trained.layers:
        found[layer.name] = by_column(np.abs(values.pop(layer.name)), layer.n_positions)
    return found


def _affordable(layers: tuple[TrainedLayer, ...] | tuple[Layer, ...]) -> int:
    """Return how many samples' activations of all layers fit into the memory."""
    return max(1, _ACTIVATION_BYTES // (8 * sum(layer.n_outputs for layer in layers)))


def _thresholds(
    layer: TrainedLayer, size: NDArray[np.float64], steps: int | None, method: Method
) -> NDArray[np.float64]:
    last = layer.name == "output"
    if method.thresholds == "learned" and layer.threshold is not None:
        return np.full(size.shape[1], layer.threshold)
    kind = method.thresholds
    if kind == "least_squares" and steps is not None and not last:
        return thresholds.least_squares(size, steps, method.room)
    observed = size if method.per_channel else size.reshape(-1, 1)
    found = thresholds.largest(observed) if kind == "max" else thresholds.percentile(observed)
    return np.broadcast_to(found, size.shape[1:]).copy()


def _fill_silent(
    trained: TrainedNetwork, chosen: dict[str, NDArray[np.float64]], full_scale: float
) -> None:
    """Give layers that calibration never excites what could excite each column at most."""
    worth: dict[str, NDArray[np.float64]] = {INPUT: np.full(trained.n_inputs, full_scale)}
    for node in trained.nodes:
        sources = [worth[name] for name in trained.wiring.sources[node.name]]
        inputs = np.concatenate(sources)
        if isinstance(node, MaxPool):
            worth[node.name] = node.maxima(inputs[np.newaxis])[0]
            continue
        if node.name not in chosen:
            rows = inputs if node.gather is None else node.gather.rows(inputs[np.newaxis])[0].max(0)
            drive = np.abs(node.weight * rows[:, np.newaxis]).sum(axis=0) + np.abs(node.bias)
            chosen[node.name] = np.where(drive > 0, drive, float(drive.max()) or 1.0)
        worth[node.name] = np.repeat(chosen[node.name], node.n_positions)


__all__ = ["METHODS", "LayerReport", "convert", "report"]
