"""Address events: the structured arrays of event cameras, as Tonic has them.

An event is (x, y, t, p): a pixel, a time in whole microseconds, and a polarity, 1 or 0. Neuron
``(p * height + y) * width + x`` is a pixel of one polarity, the order in which Tonic's frames have
channels first. Lenz et al., Tonic (2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.exchange.events import events_of, from_events
from spikeram.units import Quantity

MICROSECOND = 1e-6
DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
"""What `to_address_events` gives."""


def from_address_events(
    samples: NDArray[Any] | list[NDArray[Any]],
    *,
    width: int,
    height: int,
    polarities: int = 2,
    duration: Quantity | None = None,
) -> xr.Dataset:
    """Return the recording of the events of a camera.

    Parameters
    ----------
    samples : structured ndarray, or list of them
        One array, of fields x, y, t [us] and p, for each trial; x may be all of the address.
    width, height, polarities : int
        Size of the sensor, and 2 polarities or 1, which takes both for the same.
    duration : Second, optional
        Length of a trial [s]; by default a microsecond more than the last event.

    Returns
    -------
    xarray.Dataset
        A recording of the layer "camera", with dt of a microsecond.

    Raises
    ------
    ValueError
        If fields are missing or an address lies outside the sensor.
    """
    trials = samples if isinstance(samples, list) else [samples]
    if polarities not in (1, 2):
        raise ValueError(f"from_address_events expects 1 or 2 polarities, got {polarities}.")
    at = [addresses(n, e, width, height, polarities) for n, e in enumerate(trials)]
    time = [events["t"].astype(np.int64) for events in trials]
    last = max((int(t.max()) for t in time if t.size), default=0)
    return from_events(
        np.concatenate(time) * MICROSECOND if trials else [],
        np.concatenate(at) if trials else [],
        trial=np.repeat(np.arange(len(trials)), [t.size for t in time]),
        layers={"camera": polarities * height * width},
        n_trials=len(trials),
        duration=(last + 1) * MICROSECOND if duration is None else duration,
        dt=MICROSECOND,
        provenance={"source": "address events", "width": width, "height": height},
    )


def to_address_events(ds: xr.Dataset, *, width: int, height: int) -> list[NDArray[Any]]:
    """Return the events of a recording, one structured array for each trial.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording of ``width * height`` neurons, or of twice as many: one for each polarity.
    width, height : int
        Size of the sensor.

    Returns
    -------
    list of structured ndarray
        Of fields x, y, t, rounded to microseconds, and p, in the order of time.
    """
    pixels = width * height
    if ds.sizes["neuron"] not in (pixels, 2 * pixels):
        raise ValueError(
            f"to_address_events expects {pixels} or {2 * pixels} neurons for {width} x {height} "
            f"pixels, got {ds.sizes['neuron']}."
        )
    spikes = events_of(ds)
    found = np.empty(spikes.t.size, DTYPE)
    polarity, pixel = np.divmod(spikes.neuron, pixels)
    found["y"], found["x"] = np.divmod(pixel, width)
    found["t"] = np.rint(spikes.t / MICROSECOND)
    found["p"] = polarity if ds.sizes["neuron"] > pixels else spikes.sign > 0
    parts = [found[spikes.trial == s] for s in range(ds.sizes["trial"])]
    return [part[np.argsort(part["t"], kind="stable")] for part in parts]


def addresses(
    n: int, events: NDArray[Any], width: int, height: int, polarities: int
) -> NDArray[np.int64]:
    """Return the neuron of each event of a sample, or say what is wrong with it.

    Parameters
    ----------
    n : int
        Number of the sample, for the message.
    events : structured ndarray
        Of fields x, y, t and p; x may be all of the address.
    width, height, polarities : int
        Size of the sensor, and 2 polarities or 1.
    """
    names = events.dtype.names or ()
    if not {"x", "t"} <= set(names):
        raise ValueError(f"Sample {n} expects the fields x, y, t and p, but has {names or 'none'}.")
    x = events["x"].astype(np.int64)
    y = events["y"].astype(np.int64) if "y" in names else np.zeros_like(x)
    for axis, values, size in (("x", x, width), ("y", y, height)):
        if values.size and not (0 <= values.min() and values.max() < size):
            raise ValueError(
                f"Sample {n} expects {axis} from 0 to {size - 1}, got {values.min()} to "
                f"{values.max()}. Give the size of the sensor that it was taken with."
            )
    address = y * width + x
    signs = polarity(n, events) if polarities == 2 else None
    if signs is not None:
        address += (signs > 0).astype(np.int64) * (width * height)
    return address


def polarity(n: int, events: NDArray[Any]) -> NDArray[np.int8] | None:
    """Return the polarity of each event of a sample, 1 or -1; None if there is none.

    Given as 1 and 0, 1 and -1, or bool, in a field p or, as in AEDAT files, on.
    """
    field = next((name for name in ("p", "on") if name in (events.dtype.names or ())), None)
    if field is None:
        return None
    values = np.asarray(events[field])
    if values.dtype.kind != "b":
        found = np.unique(values)
        if not (set(found.tolist()) <= {0, 1} or set(found.tolist()) <= {-1, 1}):
            raise ValueError(
                f"Sample {n} expects polarities 0 and 1, or -1 and 1, got "
                f"{', '.join(map(str, found[:5]))}."
            )
    return np.where(values > 0, 1, -1).astype(np.int8)
