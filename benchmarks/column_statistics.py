"""Which non-ideality spreads slopes, residuals and intercepts of columns before calibration.

A layer of 100 rectified inputs of 3 bits and 64 columns of normal weights whose scales differ from
column to column, one range of conductances for all, read with 6 bits at an operating point that
fills the converter. Values are scaled to a standard deviation of 0.7, about that of activations
clipped at 1 to 2. Printed: mean slope and its spread over columns, residual over slope, and
intercepts in decrements; published figures of the chip stand in the last row.

    python benchmarks/column_statistics.py
"""

from dataclasses import dataclass, replace

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.adc import ADC
from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.inference import filling, largest_settled
from spikeram.models import devices
from spikeram.neuron import SamplingNeuron
from spikeram.product import Correction, LineErrors, OperatingPoint, Product, fitted
from spikeram.write_verify import write_and_relax

ROWS, COLUMNS, SAMPLES = 100, 64, 2000
SIGMA_VALUE = 0.7


@dataclass(frozen=True, kw_only=True)
class Case:
    """Which non-idealities there are."""

    name: str
    scales: float = 0.0
    relaxed: bool = False
    stuck: bool = False
    read: float = 0.0
    sample: float = 0.0
    comparator: float = 0.0


ALONE = (
    Case(name="quantisation alone"),
    Case(name="scales of columns differ by 12 %", scales=0.12),
    Case(name="one day of relaxation", relaxed=True),
    Case(name="the same with stuck cells", relaxed=True, stuck=True),
    Case(name="read noise 0.4 uS, kT/C", read=0.4e-6),
    Case(name="offset of samples 3 mV", sample=3e-3),
    Case(name="offset of comparators 17.5 mV", comparator=17.5e-3),
    Case(
        name="all together",
        scales=0.12,
        relaxed=True,
        stuck=True,
        read=0.4e-6,
        sample=3e-3,
        comparator=17.5e-3,
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Statistics:
    """Of the lines that readings follow, over columns."""

    slope: NDArray[np.float64]
    residual: NDArray[np.float64]
    intercept: NDArray[np.float64]


def statistics(case: Case, seed: int) -> Statistics:
    rng = np.random.default_rng(seed)
    scale = np.exp(case.scales * rng.normal(size=COLUMNS))
    weight = rng.normal(size=(ROWS, COLUMNS)) * scale
    w_max = float(np.quantile(np.abs(weight), 0.95))
    weight = np.clip(weight, -w_max, w_max)
    target = conductance_from_weight(weight, g_min="1 uS", g_max="40 uS", w_max=w_max)
    written = target
    if case.relaxed:
        device = devices.neurram()
        if not case.stuck:
            device = replace(device, stuck_low=0.0, stuck_high=0.0)
        written = write_and_relax(target, device, delay=86400.0, seed=seed, rounds=3).conductance
    activation = np.maximum(rng.normal(size=(SAMPLES, ROWS)), 0)
    activation /= np.quantile(activation, 0.99)
    neuron = SamplingNeuron(temperature=300 if case.read else 0)
    point = OperatingPoint(input_bits=3, signed=False, adc=ADC(bits=6))
    codes = point.codes(activation, 1.0)
    point = filling(point, largest_settled(Crossbar(conductance=target), codes, point), neuron)
    array = Product(
        crossbar=Crossbar(conductance=written, neuron=neuron),
        point=point,
        errors=LineErrors(
            sigma_read=case.read,
            sample=case.sample * rng.normal(size=COLUMNS),
            comparator=case.comparator * rng.normal(size=COLUMNS),
        ),
        seed=seed,
    )
    readings = array.readings(codes)
    value = activation @ weight
    value *= SIGMA_VALUE / value.std()
    start = np.full((1, COLUMNS), readings.std() / SIGMA_VALUE)
    line = fitted(readings, value[np.newaxis], Correction(slope=start, intercept=0 * start))
    rest = readings[0] - value * line.slope[0] - line.intercept[0]
    return Statistics(
        slope=line.slope[0], residual=rest.std(axis=0) / line.slope[0], intercept=line.intercept[0]
    )


@click.command()
@click.option("--layers", type=click.IntRange(min=1), default=5, show_default=True)
def main(layers: int) -> None:
    """Print what spreads columns, averaged over several layers."""
    table = Table("non-idealities", "slope", "spread", "residual / slope", "(range)", "intercept")
    for case in ALONE:
        found = [statistics(case, seed) for seed in range(layers)]
        residual = np.concatenate([one.residual for one in found])
        spread = np.mean([one.slope.std() / one.slope.mean() for one in found])
        low, high = np.quantile(residual, [0.05, 0.95])
        table.add_row(
            case.name,
            f"{np.mean([one.slope.mean() for one in found]):.1f}",
            f"{100 * spread:.1f} %",
            f"{residual.mean():.3f}",
            f"{low:.2f} to {high:.2f}",
            f"{np.mean([one.intercept.std() for one in found]):.2f}",
        )
    table.add_row("published", "5.9", "13 %", "0.136", "0.10 to 0.21", "2 to 4")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
