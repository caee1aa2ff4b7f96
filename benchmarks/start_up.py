"""Processor time of a first import and of the help page, against bare Python.

python benchmarks/start_up.py
"""

import os
import subprocess
import sys

import click
from rich.console import Console
from rich.table import Table

CASES = {
    "python": "pass",
    "import spikeram": "import spikeram",
    "spikeram --help": "import sys; sys.argv = ['spikeram', '--help']\n"
    "from spikeram.cli import main\nmain()",
    "import numpy": "import numpy",
    "import brian2": "import brian2",
}


def cpu_seconds(code: str) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


@click.command()
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(repeats: int) -> None:
    """Print the least processor time of several starts, and its ratio to bare Python's."""
    least = {name: min(cpu_seconds(code) for _ in range(repeats)) for name, code in CASES.items()}
    table = Table("start", "CPU [s]", "times bare Python")
    for name, seconds in least.items():
        table.add_row(name, f"{seconds:.3f}", f"{seconds / least['python']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
