"""What time, heat and faults cost a network: the demo's digits on chips that grow old.

The 64-128-64-10 network of the demo at T = 32, on chips of two devices. Every chip is programmed
once (three rounds), read a day later, and then kept at a temperature for years; at each age it is
read as it is, recalibrated, or with the cells that left their window written again a day before. A
second table breaks lines and neurons at given rates. Takes a few minutes.

    python benchmarks/ageing.py
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from spikeram import demo, registry
from spikeram.chip import Chip, ProgrammedChip
from spikeram.conversion import convert, recalibrate
from spikeram.device import AbstractDevice
from spikeram.faults import KINDS, Faults
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.statistics import accuracy
from spikeram.upkeep import age, reprogram

STEPS = 32
RECALIBRATION = 300
DEVICES = ("neurram", "levy_c")
CELSIUS = (25, 55, 85)
AGES = ("1 day", "1 year", "10 years")
RATES = (0.01, 0.03, 19 / 256)


def percent(model: SpikingNetwork | ProgrammedChip, data: demo.Digits) -> float:
    run = simulate(model, data.x_test, record="counts")
    return 100 * float(accuracy(run, data.y_test)[-1])


def mean_and_worst(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({np.min(values):.2f})"


def programmed(network: SpikingNetwork, chip: Chip, n: int, seed: int) -> Iterator[ProgrammedChip]:
    return (program(network, chip=chip, delay="1 day", seed=seed, index=i) for i in range(n))


def with_device(name: str) -> Chip:
    device: AbstractDevice = registry.lookup("devices", name)()
    return replace(chips.neurram(), device=device)


def row(
    old: list[ProgrammedChip], data: demo.Digits, again: Callable[[ProgrammedChip], ProgrammedChip]
) -> list[str]:
    written = [again(chip) for chip in old]
    recalibrated = [recalibrate(chip, data.x_train[:RECALIBRATION]) for chip in old]
    cells = [
        mean_and_worst([percent(chip, data) for chip in some])
        for some in (old, recalibrated, written)
    ]
    pulses = [float(np.mean([chip.mean_pulses for chip in some])) for some in (old, written)]
    return [*cells, *(f"{p:.1f}" for p in pulses)]


def ageing(network: SpikingNetwork, data: demo.Digits, n: int, seed: int) -> Table:
    table = Table("device", "C", "age")
    for name in ("as it is %", "recalibrated %", "written again %", "pulses", "after writing"):
        table.add_column(name, justify="right")
    for device in DEVICES:
        young = list(programmed(network, with_device(device), n, seed))
        for celsius in CELSIUS:
            kelvin = celsius + 273.15
            for time in AGES[1:] if celsius > CELSIUS[0] else AGES:
                old = [age(c, time, temperature=kelvin) if time != AGES[0] else c for c in young]
                table.add_row(device, str(celsius), time, *row(old, data, reprogram))
    return table


def faults(network: SpikingNetwork, data: demo.Digits, n: int, seed: int) -> Table:
    table = Table("faults", *(f"{100 * rate:.1f} %" for rate in (0.0, *RATES)))
    for kind in KINDS:
        cells = []
        for rate in (0.0, *RATES):
            values = []
            for index in range(n):
                broken = Faults.draw({kind: rate}, seed=seed, index=index)
                chip = program(
                    network, chip=replace(chips.neurram(), faults=broken), seed=seed, index=index
                )
                values.append(percent(recalibrate(chip, data.x_train[:RECALIBRATION]), data))
            cells.append(mean_and_worst(values))
        table.add_row(kind, *cells)
    return table


@click.command()
@click.option("--chips", "n", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def main(n: int, seed: int) -> None:
    """Print mean (and worst) accuracies over some chips, in %."""
    data = demo.digits()
    trained = demo.train(data, seed=0)
    network = convert(trained, data.x_train, steps=STEPS)
    console = Console(width=130)
    software = 100 * float(np.mean(trained.predict(data.x_test) == data.y_test))
    console.print(f"software {software:.2f} %, ideal hardware {percent(network, data):.2f} %")
    console.print(ageing(network, data, n, seed))
    console.print("Lines and neurons that do not work, a day old and recalibrated:")
    console.print(faults(network, data, n, seed))


if __name__ == "__main__":
    main()
