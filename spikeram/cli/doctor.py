"""The command that looks at the installation."""

from __future__ import annotations

import click

from spikeram.cli.console import console


@click.command()
def doctor() -> None:
    """Show versions, and what is known not to work together."""
    from rich.table import Table
    from rich.text import Text

    from spikeram.doctor import examine

    findings = examine()
    grid = Table(box=None, show_header=False, pad_edge=False)
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    for finding in findings:
        state = Text(finding.state, style=colours[finding.state])
        grid.add_row(state, *map(Text, (finding.what, finding.found, finding.remedy)))
    console().print(grid)
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)
