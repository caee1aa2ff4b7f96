"""Measure the statistics of spikes, beside Elephant where it is installed.

    python benchmarks/spike_statistics.py

Poisson trains of 20 spikes on average. What both compute is compared before it is timed, but for
the tiling coefficient, whose window Elephant widens with time. Elephant's intervals are timed on
1,000 trains, its pairs on 66, and scaled up. Processor time of one process; this project's pairs
are shared out to all cores, and their time by the clock is given too.
"""

import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from spikeram import statistics
from spikeram.charge import ChargeLayer
from spikeram.recording import Activity, build, select, spike_times

DT = 1e-3
STEPS = 1000
RATE = 0.02
PAIRS_OF_ELEPHANT = 12
INTERVALS_OF_ELEPHANT = 1000


def poisson(neurons: int) -> xr.Dataset:
    """Return a recording of one trial of independent trains, some 20 spikes each."""
    zeros = np.zeros(neurons, np.int32)
    layer = ChargeLayer(
        name="layer", weight=np.zeros((1, neurons), np.int16), bias=zeros, threshold=zeros + 1,
        initial=zeros, rail=1, quantum=1.0, scale=np.ones(neurons), rows=2, cores=1,
    )  # fmt: skip
    spikes = np.random.default_rng(0).random((1, STEPS, neurons)) < RATE
    membrane = np.zeros(spikes.shape, np.int32)
    return build(
        Activity(spikes=(spikes.astype(np.int8),), membrane=membrane),
        [layer],
        steps=STEPS,
        dt=DT,
        output=np.zeros((1, STEPS, 1), np.float32),
        active_rows=np.zeros((1, 1), np.int64),
    )


def best_of(times: int, call: Callable[[], object]) -> tuple[float, float]:
    """Return the shortest processor time and time by the clock of some calls [s]."""
    call()
    found = []
    for _ in range(times):
        clock, processor = time.perf_counter(), time.process_time()
        call()
        found.append((time.process_time() - processor, time.perf_counter() - clock))
    return min(p for p, _ in found), min(c for _, c in found)


def elephants(ds: xr.Dataset) -> dict[str, float]:
    """Return the processor times of Elephant for the same, those of pairs scaled up [s]."""
    import neo
    import quantities as pq
    from elephant import (
        spike_train_correlation as correlation,
        spike_train_dissimilarity as distance,
        statistics as measures,
    )

    neurons, stop = ds.sizes["neuron"], ds.attrs["t_stop"]

    def trains(n: int) -> list[Any]:
        return [neo.SpikeTrain(spike_times(ds, 0, j), units="s", t_stop=stop) for j in range(n)]

    def intervals() -> list[float]:
        found = []
        for train in trains(INTERVALS_OF_ELEPHANT):
            gaps = measures.isi(train)
            measures.mean_firing_rate(train)
            measures.cv(gaps)
            measures.cv2(gaps, with_nan=True)
            measures.lvr(gaps, with_nan=True)
            found.append(measures.lv(gaps, with_nan=True))
        return found

    few = trains(PAIRS_OF_ELEPHANT)
    scale = neurons * (neurons - 1) / (PAIRS_OF_ELEPHANT * (PAIRS_OF_ELEPHANT - 1))

    def tiling() -> None:
        for i, a in enumerate(few):
            for b in few[:i]:
                correlation.spike_time_tiling_coefficient(a, b, dt=5 * DT * pq.s)

    rossum = partial(distance.van_rossum_distance, few, 10 * DT * pq.s)
    purpura = partial(distance.victor_purpura_distance, few, 50 * pq.Hz)
    some = select(ds, neuron=slice(PAIRS_OF_ELEPHANT))
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-6)
    close(statistics.lv(ds)[0, :INTERVALS_OF_ELEPHANT], intervals())
    close(statistics.van_rossum(some, 10 * DT)[0], rossum())
    close(statistics.victor_purpura(some, 50.0)[0], purpura())
    return {
        "intervals": best_of(1, intervals)[0] * neurons / INTERVALS_OF_ELEPHANT,
        "sttc": best_of(1, tiling)[0] * scale,
        "van_rossum": best_of(1, rossum)[0] * scale,
        "victor_purpura": best_of(1, purpura)[0] * scale,
    }


def ours(ds: xr.Dataset, *, pairs: bool) -> dict[str, tuple[float, float]]:
    """Return the times of this project's measures, and of those of pairs."""
    calls: dict[str, Callable[[], object]] = {
        "intervals": partial(statistics.interval_measures, ds),
    }
    if pairs:
        calls |= {
            "sttc": partial(statistics.sttc, ds, 5 * DT),
            "van_rossum": partial(statistics.van_rossum, ds, 10 * DT),
            "victor_purpura": partial(statistics.victor_purpura, ds, 50.0),
            "cross_correlogram": partial(statistics.cross_correlogram, ds, DT, 50 * DT),
            "correlation": partial(statistics.correlation, ds, 5 * DT),
        }
    return {name: best_of(5, call) for name, call in calls.items()}


def main() -> None:
    table = Table("measure", "trains", "processor", "by the clock", "Elephant", "ratio")
    warnings.simplefilter("ignore")
    for neurons in (1000, 10_000):
        ds = poisson(neurons)
        theirs = elephants(ds) if find_spec("elephant") else {}
        for name, (processor, clock) in ours(ds, pairs=neurons == 1000).items():
            peer = theirs.get(name)
            table.add_row(
                name,
                f"{neurons:,}",
                f"{1e3 * processor:,.1f} ms",
                f"{1e3 * clock:,.1f} ms",
                "-" if peer is None else f"{peer:,.1f} s",
                "-" if peer is None else f"{peer / processor:,.0f}",
            )
    console = Console()
    console.print(table)
    if not find_spec("elephant"):
        console.print("Elephant is not installed: pip install 'spikeram[elephant]'.")


if __name__ == "__main__":
    main()
