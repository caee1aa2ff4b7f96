"""Write and summarise a recording of 10^8 spikes, and say what memory it takes.

    python benchmarks/large_recording.py --spikes 1e8

Random trains of 1,000 neurons, a trial after the other, as an engine would hand them over.
"""

import resource
import shutil
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import track

from spikeram import statistics
from spikeram.charge import ChargeLayer
from spikeram.recorder import Recorder, open_lazily
from spikeram.recording import Activity, build

NEURONS, STEPS, TRIALS = 1000, 1000, 10
ACTIVITY = 0.1


def part(number: int) -> xr.Dataset:
    """Return the recording of some trials, about a million spikes."""
    zeros = np.zeros(NEURONS, np.int32)
    layer = ChargeLayer(
        name="layer", weight=np.zeros((1, NEURONS), np.int16), bias=zeros, threshold=zeros + 1,
        initial=zeros, rail=1, quantum=1.0, scale=np.ones(NEURONS), rows=2, cores=1,
    )  # fmt: skip
    rng = np.random.default_rng(number)
    spikes = rng.integers(0, 256, (TRIALS, STEPS, NEURONS), np.uint8) < 256 * ACTIVITY
    return build(
        Activity(
            spikes=(spikes.astype(np.int8),), membrane=np.zeros((TRIALS, STEPS, NEURONS), np.int32)
        ),
        [layer],
        steps=STEPS,
        dt=1e-6,
        output=np.zeros((TRIALS, STEPS, 10), np.float32),
        active_rows=np.zeros((TRIALS, 1), np.int64),
        first_trial=number * TRIALS,
    )


def peak() -> float:
    """Return the largest resident memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@click.command()
@click.option("--spikes", type=float, default=1e8, show_default=True)
def main(spikes: float) -> None:
    parts = max(1, round(spikes / (TRIALS * STEPS * NEURONS * ACTIVITY)))
    folder = Path(tempfile.mkdtemp())
    console = Console()
    try:
        start = time.process_time()
        with Recorder(folder / "run.zarr", n_trials=parts * TRIALS, provenance={}) as recorder:
            making = 0.0
            for number in track(range(parts), "Writing"):
                before = time.process_time()
                trials = part(number)
                making += time.process_time() - before
                recorder.append(trials)
            recorder.result()
        writing = time.process_time() - start - making
        console.print(f"written in {writing:.0f} s of the processor, peak memory {peak():.2f} GB")
        start = time.process_time()
        ds = open_lazily(folder / "run.zarr")
        table = statistics.summary(ds)
        console.print(
            f"{ds.sizes['event']:,} spikes summarised in {time.process_time() - start:.0f} s of "
            f"the processor, peak memory {peak():.2f} GB"
        )
        console.print(table.to_dataframe())
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        console.print(f"{size / 1e6:,.0f} MB on the disk")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
