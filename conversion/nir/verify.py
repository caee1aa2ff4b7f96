"""verify: what each installed framework makes of a NIR file, beside what is meant."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spikeram.conversion.nir import nodes
from spikeram.conversion.nir.assume import Conventions, NIRAssumption
from spikeram.conversion.nir.file import read
from spikeram.conversion.nir.graph import NIRGraph
from spikeram.conversion.nir.parameters import Array
from spikeram.conversion.nir.peers import PEERS, Peer
from spikeram.conversion.nir.run import run

_SHOWN = 8
_USUAL_STEPS = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class PeerResult:
    """What one framework made of a file.

    Parameters
    ----------
    name, version : str
        Of the framework; no version where it is not installed.
    counts : ndarray of shape (sample, output) or None
        Sums over the steps of what left the graph; None where it did not run.
    expected : ndarray of shape (sample, output) or None
        The same by this simulator, under the framework's rules; None where it could not be told.
    problem : str
        Why it did not run, or nothing.
    """

    name: str
    version: str
    counts: Array | None
    expected: Array | None
    problem: str

    @property
    def as_expected(self) -> bool:
        """Whether it ran, and did what was expected of it, within float32."""
        if self.counts is None or self.expected is None:
            return False
        if self.counts.shape != self.expected.shape:
            return False
        return bool(np.allclose(self.counts, self.expected, rtol=1e-4, atol=1e-3))


@dataclass(frozen=True, eq=False, kw_only=True)
class Verification:
    """What a file means, and what frameworks make of it; printing it gives a table.

    Parameters
    ----------
    path : str
        The file.
    meant : ndarray of shape (sample, output)
        Sums over the steps of what leaves the graph, by this simulator and the file's metadata.
    peers : tuple of PeerResult
        The frameworks.
    assumed : tuple of str
        What the file leaves open.
    """

    path: str
    meant: Array
    peers: tuple[PeerResult, ...]
    assumed: tuple[str, ...]

    def __str__(self) -> str:
        rows = [("spikeram, as the file means it", _line(self.meant), "", "")]
        for peer in self.peers:
            name = f"{peer.name} {peer.version}".strip()
            verdict = peer.problem or ("as expected" if peer.as_expected else "NOT as expected")
            expected = "" if peer.expected is None else _line(peer.expected)
            rows.append(
                (name, "" if peer.counts is None else _line(peer.counts), expected, verdict)
            )
        head = ("who", "sums over steps", "expected of it", "")
        widths = [max(len(row[n]) for row in [head, *rows]) for n in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]).rstrip()
            for row in [head, *rows]
        ]
        return "\n".join([*lines, *self.assumed])


def verify(
    path: str | Path,
    x: ArrayLike | None = None,
    *,
    backends: Sequence[str] | None = None,
    conventions: Conventions | None = None,
) -> Verification:
    """Run a NIR file here and in other frameworks on the same input, and compare.

    Frameworks run in this process, from an empty membrane and with their own reset. What is
    expected of each is computed here under its rules, so that a difference from that is news, and a
    difference from what the file means is the price of the framework.

    Parameters
    ----------
    path : str or Path
        The file.
    x : array_like of shape (sample, step, ...), optional
        Inputs. By default one sample, constant over the steps, of values spread over 0 to 1.
    backends : sequence of str, optional
        Frameworks; by default all that are known. Those that are not installed are named as such.
    conventions : Conventions, optional
        How the file itself is meant, where its metadata do not say.

    Returns
    -------
    Verification

    Raises
    ------
    FileFormatError, ConversionError
        If this simulator cannot run the file.
    """
    names = list(PEERS) if backends is None else list(backends)
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(f"backends expects some of {', '.join(PEERS)}, got {', '.join(unknown)}.")
    graph = read(path)
    inputs = _usual_input(graph) if x is None else np.asarray(x, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NIRAssumption)
        meant = run(graph, inputs, conventions=conventions)
        shaped = inputs.reshape(*inputs.shape[:2], *_input_shape(graph))
        peers = tuple(_result(PEERS[name], graph, path, shaped) for name in names)
    return Verification(
        path=str(path),
        meant=meant.counts.reshape(len(inputs), -1),
        peers=peers,
        assumed=meant.assumed,
    )


def _result(peer: Peer, graph: NIRGraph, path: str | Path, x: Array) -> PeerResult:
    missing = peer.missing()
    if missing:
        problem = f"not installed: no module {missing}"
        return PeerResult(name=peer.name, version="", counts=None, expected=None, problem=problem)
    counts, problem = None, ""
    try:
        counts = peer.run(path, x).sum(axis=1).reshape(len(x), -1)
    except Exception as error:  # a framework may fail in any way on a file that it does not read
        line = (str(error).strip().splitlines() or [""])[0]
        problem = f"does not run it: {type(error).__name__}: {line}"
    expected = run(peer.as_read(graph), x, conventions=peer.conventions).counts
    return PeerResult(
        name=peer.name,
        version=_version(peer.name),
        counts=counts,
        expected=expected.reshape(len(x), -1),
        problem=problem,
    )


def _input_shape(graph: NIRGraph) -> tuple[int, ...]:
    names = graph.named(nodes.Input)
    if len(names) != 1:
        raise ValueError(f"verify expects a graph with one input, got {len(names)}.")
    node = graph.nodes[names[0]]
    return node.shape if isinstance(node, nodes.Input) else ()


def _usual_input(graph: NIRGraph) -> Array:
    """Return one constant sample: multiples of the golden ratio, which spread evenly."""
    shape = _input_shape(graph)
    steps = graph.metadata.get("steps")
    n_steps = int(steps) if isinstance(steps, int) and steps > 0 else _USUAL_STEPS
    values = np.arange(1, np.prod(shape) + 1) * (np.sqrt(5) - 1) / 2 % 1
    # On the input converter's grid, which float32 holds.
    values = np.rint(values * 256) / 256
    sample = np.tile(values, (1, n_steps, 1))
    extra = str(graph.metadata.get("extra_inputs", ""))
    for place, word in enumerate(reversed([word for word in extra.split("; ") if word])):
        sample[:, :, -1 - place] = 1.0
        if word.startswith("1 in the first"):
            sample[:, 1:, -1 - place] = 0.0
    return sample.reshape(1, n_steps, *shape)


def _line(counts: Array) -> str:
    values = counts[0]
    text = ", ".join(f"{value:.6g}" for value in values[:_SHOWN])
    more = ", ..." if len(values) > _SHOWN else ""
    return f"[{text}{more}]" + (f" and {len(counts) - 1} more" if len(counts) > 1 else "")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
