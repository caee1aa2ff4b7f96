"""Peers: how other frameworks run a NIR file, in this process, and how we expect them to.

Each peer has the graph as it reads it, with what it ignores replaced, and conventions under
which `spikeram.conversion.nir.run` does the same.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from spikeram.conversion.nir import neurons
from spikeram.conversion.nir.assume import USUAL_DT, Conventions
from spikeram.conversion.nir.graph import Leaf, NIRGraph
from spikeram.conversion.nir.parameters import Array

NORSE_DT = 1e-3
"""Step that norse takes for granted [s]."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A framework that reads NIR files.

    Parameters
    ----------
    name : str
        Of the framework, and of its package.
    modules : tuple of str
        What must be importable.
    execute : callable
        From a path and inputs (sample, step, ...) to outputs of the same axes.
    conventions : Conventions
        What it does where the file says nothing, or something else.
    as_read : callable
        From a flat graph to the one that the framework makes of it.
    """

    name: str
    modules: tuple[str, ...]
    execute: Callable[[Path, Array], Array]
    conventions: Conventions
    as_read: Callable[[NIRGraph], NIRGraph]

    def missing(self) -> str:
        """Return the first package that is not installed; empty where all are."""
        for module in self.modules:
            try:
                with _quiet():
                    importlib.import_module(module)
            except ImportError as error:
                return str(error.name or module)
        return ""

    def run(self, path: str | Path, x: Array) -> Array:
        """Return what the framework makes of inputs of shape (sample, step, ...)."""
        with _quiet():
            return np.asarray(self.execute(Path(path), x), dtype=np.float64)


@contextlib.contextmanager
def _quiet() -> Any:
    """Hold back warnings, prints and logs of a framework."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _tensor(values: Array) -> Any:
    torch = importlib.import_module("torch")
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _stepped(model: Any, x: Array, *, batch: bool) -> Array:
    """Return the outputs of a model that takes one step and its state at a time."""
    torch = importlib.import_module("torch")
    state, steps = None, []
    with torch.no_grad():
        for k in range(x.shape[1]):
            now = _tensor(x[:, k] if batch else x[0, k])
            out, state = model(now, state)
            steps.append(out.numpy() if batch else out.numpy()[np.newaxis])
    return np.stack(steps, axis=1)


def _one_by_one(load: Callable[[Any], Any], path: Path, x: Array) -> Array:
    """Return outputs sample by sample: these frameworks flatten a batch axis away."""
    nir = importlib.import_module("nir")
    parts = [_stepped(load(nir.read(path)), x[s : s + 1], batch=False) for s in range(len(x))]
    return np.concatenate(parts)


def _norse(path: Path, x: Array) -> Array:
    norse = importlib.import_module("norse.torch.utils.import_nir")
    return _one_by_one(lambda graph: norse.from_nir(graph, dt=NORSE_DT), path, x)


def _snntorch(path: Path, x: Array) -> Array:
    snntorch = importlib.import_module("snntorch.import_nir")
    return _one_by_one(snntorch.import_from_nir, path, x)


def _spikingjelly(path: Path, x: Array) -> Array:
    exchange = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    return _stepped(exchange.import_from_nir(str(path), dt=USUAL_DT), x, batch=True)


def _sinabs(path: Path, x: Array) -> Array:
    torch, nir = importlib.import_module("torch"), importlib.import_module("nir")
    model = importlib.import_module("sinabs.nir").from_nir(nir.read(path), batch_size=len(x))
    with torch.no_grad():
        out, _ = model(_tensor(x.reshape(-1, *x.shape[2:])))
    made: Array = out.numpy().reshape(*x.shape[:2], *out.shape[1:])
    return made


def _changed(graph: NIRGraph, change: Callable[[Leaf], Leaf]) -> NIRGraph:
    changed = {name: change(node) for name, node in graph.leaves().items()}
    return NIRGraph(nodes=changed, edges=graph.edges, metadata=graph.metadata)


def _of_norse(node: Leaf) -> Leaf:
    if isinstance(node, neurons.IF):
        one = np.ones_like(node.r)
        return replace(node, r=one / NORSE_DT, v_reset=np.zeros_like(node.v_threshold))
    if isinstance(node, neurons.LIF):
        zero = np.zeros_like(node.v_threshold)
        return replace(node, r=np.ones_like(node.r), v_reset=zero)
    return node


def _of_sinabs(node: Leaf) -> Leaf:
    if isinstance(node, neurons.IF | neurons.LIF):
        return replace(node, r=np.ones_like(node.r))
    return node


def _as_it_is(node: Leaf) -> Leaf:
    return node


def _flat(change: Callable[[Leaf], Leaf]) -> Callable[[NIRGraph], NIRGraph]:
    return lambda graph: _changed(graph.flattened(), change)


PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            Peer(
                name="sinabs",
                modules=("torch", "nir", "nirtorch", "sinabs.nir"),
                execute=_sinabs,
                conventions=Conventions(
                    dt=1.0, reset="subtract", resistance="per_step", leak="exponential",
                    fires="at", spikes="many", floor="threshold", initial="rest",
                ),
                as_read=_flat(_of_sinabs),
            ),
            Peer(
                name="norse",
                modules=("torch", "nir", "nirtorch", "norse.torch.utils.import_nir"),
                execute=_norse,
                conventions=Conventions(
                    dt=NORSE_DT, reset="v_reset", resistance="continuous", fires="above",
                    initial="rest",
                ),
                as_read=_flat(_of_norse),
            ),
            Peer(
                name="spikingjelly",
                modules=(
                    "torch", "nir", "nirtorch", "spikingjelly.activation_based.nir_exchange",
                ),
                execute=_spikingjelly,
                conventions=Conventions(
                    dt=USUAL_DT, reset="v_reset", resistance="continuous", fires="at",
                    initial="rest",
                ),
                as_read=_flat(_as_it_is),
            ),
            Peer(
                name="snntorch",
                modules=("torch", "nir", "nirtorch", "snntorch.import_nir"),
                execute=_snntorch,
                conventions=Conventions(
                    dt=USUAL_DT, reset="v_reset", resistance="continuous", fires="above",
                    initial="rest",
                ),
                as_read=_flat(_as_it_is),
            ),
        )
    }
)  # fmt: skip
"""The peers that can be run here, by name."""
