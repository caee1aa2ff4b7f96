"""Spikes as a pandas DataFrame, one row each."""

from __future__ import annotations

from typing import Any

import xarray as xr

from spikeram.exchange.events import events_of, from_events, layer_sizes, trial_duration
from spikeram.units import Quantity


def to_pandas(ds: xr.Dataset) -> Any:
    """Return the spikes of a recording as a DataFrame.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    pandas.DataFrame
        Columns trial, layer, unit, neuron, t [s] and sign; in ``attrs`` what `from_pandas` needs.
    """
    import pandas as pd

    spikes = events_of(ds)
    frame = pd.DataFrame(
        {
            "trial": spikes.trial,
            "layer": ds["layer"].values[spikes.neuron],
            "unit": ds["unit"].values[spikes.neuron],
            "neuron": spikes.neuron,
            "t": spikes.t,
            "sign": spikes.sign,
        }
    )
    frame.attrs = {
        "layers": layer_sizes(ds),
        "n_trials": ds.sizes["trial"],
        "duration": trial_duration(ds),
        "dt": ds.attrs["dt"],
    }
    return frame


def from_pandas(
    frame: Any,
    *,
    layers: dict[str, int] | int | None = None,
    n_trials: int | None = None,
    duration: Quantity | None = None,
    dt: Quantity | None = None,
) -> xr.Dataset:
    """Return the recording of the spikes in a DataFrame.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns t [s] and neuron, and if there are any trial and sign.
    layers, n_trials, duration, dt : mapping or int, int, Second, Second
        As for `spikeram.exchange.from_events`; by default those of ``frame.attrs``.
    """
    missing = [name for name in ("t", "neuron") if name not in frame]
    if missing:
        raise ValueError(f"from_pandas expects the columns t and neuron; missing: {missing}.")
    given = {"layers": layers, "n_trials": n_trials, "duration": duration, "dt": dt}
    known: dict[str, Any] = {k: frame.attrs.get(k) if v is None else v for k, v in given.items()}
    unknown = [k for k in ("layers", "duration", "dt") if known[k] is None]
    if unknown:
        raise ValueError(f"This DataFrame does not tell {', '.join(unknown)}: give them.")
    return from_events(
        frame["t"],
        frame["neuron"],
        trial=frame["trial"] if "trial" in frame else None,
        sign=frame["sign"] if "sign" in frame else None,
        **known,
    )
