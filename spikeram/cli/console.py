"""How commands talk: lines, tables, bars, and errors in one line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from spikeram.report import Table

FILE = click.Path(path_type=Path)
"""Type of arguments that are files."""

INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended: 128 and the number of the signal."""


class Commands(click.Group):
    """A group whose commands report what went wrong in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn what went wrong into one line."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = warn
                return super().invoke(ctx)
        except (ValueError, ImportError, OSError) as error:
            if os.environ.get("SPIKERAM_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            say("Stopped.")
            raise SystemExit(INTERRUPTED) from None


def with_suffix(path: Path, *suffixes: str, option: str = "--output") -> Path:
    """Return the name of an output file, or say how it must end."""
    if path.suffix not in suffixes:
        ends = " or ".join(suffixes)
        raise ValueError(f"{option} expects a name that ends in {ends}, got {path}.")
    return path


def warn(message: Warning | str, *_details: Any, **_more: Any) -> None:
    """Print a warning, as `warnings.showwarning` does."""
    click.echo(f"Warning: {message}", err=True)


def console() -> Any:
    """Return where tables and bars are drawn."""
    from rich.console import Console

    return Console(highlight=False)


def say(text: str) -> None:
    """Print a line."""
    click.echo(text)


def show(table: Table, title: str, *, text_columns: int = 1) -> None:
    """Draw a table; so many of its columns are text, the others numbers."""
    from rich.table import Table as Grid
    from rich.text import Text

    # Plain strings would be read as markup, in which [kHz] is a style.
    grid = Grid(title=Text(title), title_justify="left")
    for n, name in enumerate(table.header):
        grid.add_column(Text(name), justify="left" if n < text_columns else "right")
    for row in table.rows:
        grid.add_row(*map(Text, row))
    console().print(grid)


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show a spinner on a terminal, one line elsewhere."""
    from rich.text import Text

    screen = console()
    if not screen.is_terminal:
        say(f"{text} ...")
        yield
        return
    with screen.status(Text(text)):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """Yield a function that starts a bar of a given length and returns how to advance it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console()
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:

        def start(total: int) -> Callable[[int], None]:
            task = bar.add_task(text, total=total)
            return lambda cells: bar.advance(task, cells)

        yield start
