"""Spikes as Neo objects: a block with a segment for each trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from spikeram import recording
from spikeram.errors import MissingExtraError
from spikeram.exchange.events import from_events
from spikeram.units import Quantity, as_si


def to_neo(ds: xr.Dataset) -> Any:
    """Return a recording as a neo.Block.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    neo.Block
        A segment for each trial, with a SpikeTrain for each neuron over the window of its layer,
        annotated with layer, unit and the signs of its spikes. Building them takes some 0.3 ms a
        train: use `spikeram.statistics` for measures of many.
    """
    neo = _neo()
    window = ds.attrs["duration"]
    sign = recording.signs(ds)
    bounds = recording.offsets(ds)
    block = neo.Block(name="spikeram", dt=ds.attrs["dt"], provenance=ds.attrs["provenance"])
    neurons = ds.sizes["neuron"]
    layer, unit = ds["layer"].values, ds["unit"].values
    start = ds["window_start"].values
    # Rounding must not put a last spike behind the end.
    slack = 1e-6 * ds.attrs["dt"]
    for s, trial in enumerate(ds["trial"].values.tolist()):
        segment = neo.Segment(index=s, name=f"trial {trial}")
        for j in range(neurons):
            events = slice(*bounds[s * neurons + j :][:2])
            train = neo.SpikeTrain(
                ds["t"].values[events],
                units="s",
                t_start=start[j] - slack,
                t_stop=start[j] + window + slack,
                layer=str(layer[j]),
                unit=int(unit[j]),
            )
            train.array_annotations["sign"] = sign[events]
            segment.spiketrains.append(train)
        block.segments.append(segment)
    return block


def from_neo(
    block: Any, *, duration: Quantity | None = None, dt: Quantity | None = None
) -> xr.Dataset:
    """Return the recording of the spike trains in a neo.Block.

    Parameters
    ----------
    block : neo.Block
        Segments are trials; all hold as many spike trains, those of the same neurons.
    duration : Second, optional
        Length of a trial [s]; by default up to the last t_stop.
    dt : Second, optional
        Resolution of time [s]; by default as the block is annotated, or else one over the sampling
        rate of its trains.
    """
    _neo()
    segments = list(block.segments)
    widths = {len(segment.spiketrains) for segment in segments}
    if len(widths) != 1 or widths == {0}:
        raise ValueError(
            f"from_neo expects as many spike trains in each segment, got {sorted(widths)}."
        )
    trains = list(segments[0].spiketrains)
    names = [str(train.annotations.get("layer", "spikes")) for train in trains]
    sizes = {name: names.count(name) for name in dict.fromkeys(names)}
    if names != [name for name, n in sizes.items() for _ in range(n)]:
        raise ValueError("from_neo expects the trains of each layer side by side.")
    t, neuron, trial, sign = [], [], [], []
    for s, segment in enumerate(segments):
        for j, train in enumerate(segment.spiketrains):
            times = np.asarray(train.rescale("s").magnitude, dtype=np.float64)
            t.append(times)
            neuron.append(np.full(times.size, j))
            trial.append(np.full(times.size, s))
            sign.append(train.array_annotations.get("sign", np.ones(times.size, np.int8)))
    stops = [float(train.t_stop.rescale("s")) for part in segments for train in part.spiketrains]
    return from_events(
        np.concatenate(t),
        np.concatenate(neuron),
        trial=np.concatenate(trial),
        sign=np.concatenate(sign),
        layers=sizes,
        n_trials=len(segments),
        duration=max(stops) if duration is None else duration,
        dt=_resolution(block, trains[0]) if dt is None else as_si(dt, "s", "dt"),
        provenance={"source": "neo.Block"},
    )


def _resolution(block: Any, train: Any) -> float:
    told = block.annotations.get("dt")
    if told is not None:
        return float(told)
    if getattr(train, "sampling_rate", None) is not None:
        return float((1 / train.sampling_rate).rescale("s"))
    raise ValueError("This block does not tell the resolution of time: give dt.")


def _neo() -> Any:
    try:
        import neo
    except ImportError:
        raise MissingExtraError("neo", "elephant", "Exchange with Neo") from None
    return neo
