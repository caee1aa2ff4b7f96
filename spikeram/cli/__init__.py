"""The command line. What a command needs is imported when it runs: ``--help`` costs nothing."""

from __future__ import annotations

import click

from spikeram.cli.console import Commands
from spikeram.cli.conversion import convert, inspect, verify
from spikeram.cli.demo import demo
from spikeram.cli.doctor import doctor
from spikeram.cli.energy import energy
from spikeram.cli.mapping import map_command
from spikeram.cli.plan import plan
from spikeram.cli.recorded import report, stats
from spikeram.cli.run import run
from spikeram.cli.sweep import sweep


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spikeram")
def main() -> None:
    """Spiking neural networks on analog RRAM crossbars.

    Convert a trained network to spikes, program it on a simulated chip, run it, and look at
    accuracy, spikes and energy. Start with: spikeram demo
    """


for command in (
    demo, inspect, plan, convert, verify, map_command, run, sweep, stats, energy, report, doctor,
):  # fmt: skip
    main.add_command(command)
