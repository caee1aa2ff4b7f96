"""Streams of address events: what an event camera, or any other source of spikes, sends.

An event is a time and an address, with a sign where there is one. The samples of a stream lie one
after the other, each in the order of time. Times are counted in ticks, whole microseconds for
cameras, so that what is simultaneous stays so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram import recording
from spikeram.exchange.address_events import MICROSECOND, addresses, polarity as polarity_of
from spikeram.exchange.aedat import read_aedat
from spikeram.exchange.events import events_of, trial_duration
from spikeram.exchange.n_mnist import SIDE, read_n_mnist
from spikeram.units import Quantity, Second, as_si

Polarity: TypeAlias = Literal["channel", "sign", "ignore"]

_MOST_BINNED = 2**31
_WHOLE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class EventStream:
    """Address events of one sample or more.

    Parameters
    ----------
    t : array_like of shape (event,)
        Time of each event from the start of its sample, in ticks, in order within each sample.
    address : array_like of int of shape (event,)
        Which input each is of.
    n_addresses : int
        Number of inputs.
    sign : array_like of shape (event,), optional
        1 or -1; all positive by default.
    offsets : array_like of int of shape (sample + 1,), optional
        Events ``offsets[s]`` to ``offsets[s + 1]`` are those of sample s; all of one by default.
    tick : Second
        Unit of time [s]; by default a microsecond. Give 1 for times in seconds.
    duration : Second, optional
        Length of every sample [s]; by default a microsecond, or a shorter tick, more than the last
        event of all.

    Raises
    ------
    ValueError
        If a time is not finite, below 0 or out of order, or an address or sign is not among those
        there are; the message says where.

    Examples
    --------
    >>> stream = EventStream(t=[0, 30, 30, 2000], address=[5, 1, 2, 0], n_addresses=6)
    >>> stream.n_samples, round(stream.duration, 6)
    (1, 0.002001)
    """

    t: NDArray[np.float64]
    address: NDArray[np.int64]
    n_addresses: int
    sign: NDArray[np.int8] = None  # type: ignore[assignment]
    offsets: NDArray[np.int64] = None  # type: ignore[assignment]
    tick: Second = MICROSECOND
    duration: Second = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        tick = as_si(self.tick, "s", "EventStream.tick")
        if not 0 < tick < np.inf:
            raise ValueError(f"EventStream.tick expects a time > 0, got {tick} s.")
        t = _numbers(self.t, "times").astype(np.float64)
        address = _whole(self.address, "addresses")
        sign = np.ones(t.shape, np.int8) if self.sign is None else _whole(self.sign, "signs")
        offsets = np.array([0, t.size]) if self.offsets is None else _whole(self.offsets, "offsets")
        if not (t.ndim == 1 and t.shape == address.shape == sign.shape):
            raise ValueError(
                "EventStream expects as many addresses and signs as times, got shapes "
                f"{address.shape}, {sign.shape} and {t.shape}."
            )
        _check_offsets(offsets, t.size)
        where = _Places(offsets)
        where.check("a finite time >= 0", t, np.isfinite(t) & (t >= 0))
        inside = (address >= 0) & (address < self.n_addresses)
        where.check(f"an address from 0 to {self.n_addresses - 1}", address, inside)
        where.check("a sign of 1 or -1", sign, np.abs(sign) == 1)
        where.check_order(t)
        values: dict[str, NDArray[Any]] = {
            "t": t, "address": address, "sign": sign.astype(np.int8), "offsets": offsets,
        }  # fmt: skip
        for name, value in values.items():
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "tick", tick)
        last = float(t.max(initial=0.0)) * tick
        length = last + min(tick, MICROSECOND)
        if self.duration is not None:
            length = as_si(self.duration, "s", "EventStream.duration")
            if not last < length < np.inf:
                raise ValueError(
                    f"EventStream.duration expects a time beyond the last event at {last:g} s, got "
                    f"{length:g} s."
                )
        object.__setattr__(self, "duration", length)

    @classmethod
    def from_camera(
        cls,
        samples: NDArray[Any] | Sequence[NDArray[Any]],
        *,
        width: int,
        height: int,
        polarity: Polarity = "channel",
    ) -> EventStream:
        """Return the stream of an event camera, from structured arrays such as Tonic's.

        Parameters
        ----------
        samples : structured ndarray, or list of them
            One array for each sample, of the fields x, y, t [us] and p, or on, in any order; x may
            be all of the address. Polarities are 1 and 0, 1 and -1, or bool.
        width, height : int
            Size of the sensor.
        polarity : {"channel", "sign", "ignore"}
            ``channel``: input ``(p * height + y) * width + x``, two channels as in Tonic's frames.
            ``sign``: one channel, whose events of polarity 0 or -1 are negative spikes.
            ``ignore``: one channel of positive spikes.

        Raises
        ------
        ValueError
            If fields are missing, an address lies outside the sensor, or polarities or times are
            not as they must be.
        """
        given = [samples] if isinstance(samples, np.ndarray) else list(samples)
        if polarity not in get_args(Polarity):
            raise ValueError(
                f"polarity expects one of {', '.join(get_args(Polarity))}, got {polarity!r}."
            )
        channels = 2 if polarity == "channel" else 1
        at, signs = [], []
        for n, events in enumerate(given):
            at.append(addresses(n, events, width, height, channels))
            signed = np.ones(events.size, np.int8)
            if polarity != "ignore":
                found = polarity_of(n, events)
                if found is None:
                    raise ValueError(
                        f"Sample {n} has no polarities: polarity={polarity!r} expects a field p. "
                        "Use polarity='ignore'."
                    )
                signed = found if polarity == "sign" else signed
            signs.append(signed)
        return cls(
            t=_joined([np.asarray(events["t"]) for events in given], np.int64),
            address=_joined(at, np.int64),
            sign=_joined(signs, np.int8),
            offsets=np.cumsum([0, *(events.size for events in given)], dtype=np.int64),
            n_addresses=channels * height * width,
        )

    @classmethod
    def from_n_mnist(
        cls,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        polarity: Polarity = "channel",
    ) -> EventStream:
        """Return the stream of N-MNIST's .bin files, a sample each.

        Parameters
        ----------
        paths : path-like, or several
            The files, of 34 x 34 pixels.
        polarity : {"channel", "sign", "ignore"}
            As for `from_camera`.

        Raises
        ------
        FileFormatError
            If a file is cut off, or holds events that are none of this sensor's.
        """
        some = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        return cls.from_camera(
            [read_n_mnist(path) for path in some],
            width=SIDE,
            height=SIDE,
            polarity=polarity,
        )

    @classmethod
    def from_aedat(
        cls, path: str | os.PathLike[str], *, polarity: Polarity = "channel"
    ) -> EventStream:
        """Return the events in an AEDAT 4 file as a stream of one sample, from the first event on.

        Parameters
        ----------
        path : path-like
            The file; reading it needs the package aedat.
        polarity : {"channel", "sign", "ignore"}
            As for `from_camera`.
        """
        events, width, height = read_aedat(path)
        return cls.from_camera(events, width=width, height=height, polarity=polarity)

    @classmethod
    def from_recording(cls, ds: xr.Dataset, layer: str | None = None) -> EventStream:
        """Return the spikes of a recording as a stream, a sample for each trial.

        So come files that `spikeram.exchange` reads: NWB, SONATA, Neo and others.

        Parameters
        ----------
        ds : xarray.Dataset
            A recording with spike times.
        layer : str, optional
            Which layer; by default all neurons.
        """
        part = ds if layer is None else recording.select(ds, neuron=recording.members(ds, layer))
        spikes = events_of(part)
        order = np.lexsort((spikes.t, spikes.trial))
        counts = np.bincount(spikes.trial, minlength=part.sizes["trial"])
        return cls(
            t=spikes.t[order],
            address=spikes.neuron[order],
            sign=spikes.sign[order],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            n_addresses=part.sizes["neuron"],
            tick=1.0,
            duration=trial_duration(ds),
        )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.offsets.size) - 1

    def samples(self, which: slice) -> EventStream:
        """Return the stream of some samples that follow each other."""
        start, stop, step = which.indices(self.n_samples)
        if step != 1:
            raise ValueError(f"samples expects a slice of step 1, got {step}.")
        stop = max(start, stop)
        events = slice(self.offsets[start], self.offsets[stop])
        return EventStream(
            t=self.t[events],
            address=self.address[events],
            sign=self.sign[events],
            offsets=self.offsets[start : stop + 1] - self.offsets[start],
            n_addresses=self.n_addresses,
            tick=self.tick,
            duration=self.duration,
        )

    def binned(self, steps: int, *, duration: Quantity | None = None) -> NDArray[np.int8]:
        """Return at most one spike of each input in each step, for ``encoding="spikes"``.

        Parameters
        ----------
        steps : int
            Number of steps.
        duration : Second, optional
            Length of all steps together [s]; by default the stream's. Later events are left out.

        Returns
        -------
        int8 ndarray of shape (sample, step, input)
            The sign of the sum of each step's events.
        """
        size = self.n_samples * steps * self.n_addresses
        if steps < 1 or size > _MOST_BINNED:
            raise ValueError(
                f"binned expects at least one step, and at most {_MOST_BINNED} values, got {steps} "
                f"steps and {size} values. Take fewer samples or steps."
            )
        length = self.duration if duration is None else as_si(duration, "s", "duration")
        step = np.floor(self.t * steps / in_ticks(length, self.tick)).astype(np.int64)
        sample = np.repeat(np.arange(self.n_samples), np.diff(self.offsets))
        inside = step < steps
        sums = np.zeros((self.n_samples, steps, self.n_addresses), np.int32)
        at = (sample[inside], step[inside], self.address[inside])
        np.add.at(sums, at, self.sign[inside].astype(np.int32))
        return np.sign(sums).astype(np.int8)


def in_ticks(seconds: Second, tick: Second) -> float:
    """Return a time in ticks, whole where it is so but for rounding: 1 ms is 1000 us."""
    found = seconds / tick
    whole = round(found)
    return float(whole) if abs(found - whole) <= _WHOLE * max(1.0, abs(found)) else found


class _Places:
    """Where events lie, to say which one is wrong."""

    def __init__(self, offsets: NDArray[np.int64]) -> None:
        self._offsets = offsets

    def _name(self, n: int) -> str:
        sample = int(np.searchsorted(self._offsets, n, side="right")) - 1
        return f"Event {n - self._offsets[sample]} of sample {sample}"

    def check(self, rule: str, values: NDArray[Any], good: NDArray[np.bool_]) -> None:
        """Refuse the first value that is not good."""
        if not good.all():
            n = int(np.argmin(good))
            raise ValueError(f"{self._name(n)} expects {rule}, got {values[n]}.")

    def check_order(self, t: NDArray[np.float64]) -> None:
        """Refuse the first event that is earlier than the one before it."""
        back = t[1:] < t[:-1]
        starts = self._offsets[(self._offsets > 0) & (self._offsets < t.size)]
        back[starts - 1] = False
        if back.any():
            n = int(np.argmax(back)) + 1
            raise ValueError(
                f"{self._name(n)} is at {t[n]:g} ticks, before the event ahead of it at "
                f"{t[n - 1]:g}. Sort each sample by time."
            )


def _check_offsets(offsets: NDArray[np.int64], n_events: int) -> None:
    good = offsets.ndim == 1 and offsets.size >= 2
    if not (good and offsets[0] == 0 and offsets[-1] == n_events and np.all(np.diff(offsets) >= 0)):
        raise ValueError(
            f"EventStream expects offsets that ascend from 0 to the {n_events} events, one more "
            f"than samples, got {offsets}."
        )


def _numbers(values: ArrayLike, what: str) -> NDArray[Any]:
    found = np.array(values)
    if found.size and found.dtype.kind not in "biuf":
        raise ValueError(f"EventStream expects numbers as {what}, got {found.dtype}.")
    return found


def _whole(values: ArrayLike, what: str) -> NDArray[np.int64]:
    found = _numbers(values, what)
    if found.dtype.kind == "f" and not np.array_equal(np.rint(found), found):
        raise ValueError(f"EventStream expects whole numbers as {what}, got others.")
    return found.astype(np.int64)


def _joined(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
