"""What a command of a network says when it cannot go on: one line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from spikeram.errors import DataError, FileFormatError


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """Turn missing data, damaged files and Ctrl-C into messages of the command line."""
    try:
        yield
    except (DataError, FileFormatError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.ClickException(
            "Interrupted. The same command goes on after the last epoch that was finished."
        ) from None
