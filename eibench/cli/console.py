"""Printing: text from outside appears as it is, and never acts on the terminal."""

from __future__ import annotations

import logging

import typer
from rich.console import Console

from eibench.errors import printable


def say(text: str = "", err: bool = False) -> None:
    """Print lines of text; control characters, also those of odd file names, appear as escapes."""
    write("\n".join(map(printable, text.split("\n"))) + "\n", err)


def write(text: str, err: bool = False) -> None:
    """Print text that is printable already."""
    typer.echo(text, nl=False, err=err)


def make_console() -> Console:
    """Return a console of rich that reads no markup, emoji or highlights in what it prints."""
    return Console(highlight=False, markup=False, emoji=False)


def print_warnings() -> None:
    """Print the package's log messages like all others."""
    log = logging.getLogger("eibench")
    if not log.handlers:
        log.addHandler(_Handler())


class _Handler(logging.Handler):
    """Prints log messages on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), err=True)
