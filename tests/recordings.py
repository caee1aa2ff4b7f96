"""Recordings made by hand, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.recording import Activity, build

DT = 0.82e-6


def charge_layer(
    name: str,
    width: int,
    *,
    rows: int = 8,
    cores: int = 1,
    always_on: int = 0,
    signed: bool = False,
) -> ChargeLayer:
    zeros = np.zeros(width, dtype=np.int32)
    return ChargeLayer(
        name=name,
        weight=np.zeros((rows // 2, width), dtype=np.int16),
        bias=zeros,
        threshold=zeros + 1,
        initial=zeros,
        rail=1000,
        quantum=2.0**-22,
        scale=np.ones(width),
        rows=rows,
        cores=cores,
        always_on=always_on,
        spikes="ternary" if signed else "unipolar",
    )


def random_spikes(
    seed: int, samples: int, steps: int, widths: Sequence[int], *, signed: bool = False
) -> tuple[NDArray[np.int8], ...]:
    rng = np.random.default_rng(seed)
    values, share = ([-1, 0, 1], [0.2, 0.6, 0.2]) if signed else ([0, 1], [0.7, 0.3])
    shapes = [(samples, steps, width) for width in widths]
    return tuple(rng.choice(values, size=shape, p=share).astype(np.int8) for shape in shapes)


def recording_of(
    spikes: Sequence[NDArray[np.int8]],
    *,
    output: NDArray[np.float32] | None = None,
    active_rows: NDArray[np.int64] | None = None,
    layers: Sequence[ChargeLayer] | None = None,
    **options: object,
) -> xr.Dataset:
    """Return the recording of given spikes, of layers called a, b, ... unless given."""
    samples, steps, _ = spikes[0].shape
    if layers is None:
        crossbars = spikes[1:] if options.get("has_input") else spikes
        layers = [
            charge_layer("abcdef"[n], s.shape[2], signed=bool((s < 0).any()))
            for n, s in enumerate(crossbars)
        ]
    if output is None:
        output = np.cumsum(spikes[-1], axis=1, dtype=np.float32)
    if active_rows is None:
        active_rows = np.arange(samples * len(layers)).reshape(samples, len(layers))
    membrane = np.zeros(spikes[-1].shape, dtype=np.int32)
    return build(
        Activity(spikes=tuple(spikes), membrane=membrane),
        layers,
        steps=steps,
        dt=DT,
        output=output,
        active_rows=active_rows,
        **options,
    )
