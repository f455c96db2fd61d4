"""Printing, logging and the standard streams.

Text from outside (names of files, options) is printed with control characters escaped, so that it
never acts on the terminal. Streams may be closed, full, cut off, or of another encoding.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from eibench.errors import AbsentData, printable
from eibench.execution.torchrun import prints

if TYPE_CHECKING:
    from rich.console import Console

    from eibench.report.model.document import Document
    from eibench.report.writers import Format

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a full or read-only disk, which carry no file name."""
STREAM_FAILED = 2
"""Exit code when standard output cannot be written."""


def say(text: str = "", err: bool = False) -> None:
    """Print lines of text with control characters escaped."""
    write("\n".join(map(printable, text.split("\n"))) + "\n", err)


@contextlib.contextmanager
def skip_if_absent(skip: bool, suite: str) -> Iterator[None]:
    """Print one line in place of `AbsentData` if `skip`."""
    try:
        yield
    except AbsentData as error:
        if not skip:
            raise
        say(f"{suite} is skipped: {error}")


def write(text: str, err: bool = False) -> None:
    """Print text that is printable already, without a line end.

    Of the processes of `torchrun` one prints on each machine.
    """
    if prints():
        typer.echo(text, nl=False, err=err)


def print_documents(
    documents: Sequence[Document], form: Format, out: Path | None = None, standalone: bool = False
) -> str:
    """Print documents, as wide as a terminal is, or write them to `out`; return the text."""
    from eibench.report import writers
    from eibench.results.store import write_file

    styled = out is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if styled else writers.WIDTH
    text = writers.write(documents, form, width, styled, standalone)
    if out is None:
        write(text)
    else:
        write_file(out, text.encode())
        say(str(out))
    return text


def make_console() -> Console:
    """Return a rich console without markup, emoji and highlighting."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Show what is being done, on a terminal and until it is done."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False, highlight=False).status(printable(text)):
        yield


def print_warnings() -> None:
    """Print the package's log messages on stderr."""
    log = logging.getLogger("eibench")
    if not log.handlers:
        log.addHandler(_LogHandler())


class _LogHandler(logging.Handler):
    """Log handler that prints on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), err=True)


def is_user_error(error: OSError) -> bool:
    """Return whether a user can repair `error`: it concerns a file or a disk."""
    return error.filename is not None or error.errno in DISK_ERRORS


def prepare_streams() -> None:
    """Open closed standard streams on the null device, and escape what they cannot encode.

    Otherwise a file opened later would get the number of a closed stream, and receive its text.
    """
    closed = [number for number in (0, 1, 2) if _is_closed(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if sys.stdout is None or 1 in closed:
        text = "error: standard output is closed; redirect it to a file or to /dev/null"
        print(text, file=sys.stderr)
        sys.exit(STREAM_FAILED)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def flush_streams() -> None:
    """Flush standard output; ignore a closed pipe (`| head`), report a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python flushes again at exit, and fails
        if error.errno != errno.EPIPE:
            print(f"error: standard output: {error.strerror}", file=sys.stderr)
            sys.exit(STREAM_FAILED)
