"""The verbs together, and what every verb shares: how errors and interrupts end.

Exit codes: 0 all well, 1 some runs failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from eibench.cli import streams
from eibench.cli.check import check
from eibench.cli.console import print_warnings, say
from eibench.cli.data import data_app
from eibench.cli.doctor import doctor
from eibench.cli.listing import list_app
from eibench.cli.plot import plot
from eibench.cli.profile import profile
from eibench.cli.report import report
from eibench.cli.run import probe, run
from eibench.cli.search import search
from eibench.cli.show import show
from eibench.errors import UserError, printable, shorten
from eibench.plan import plugins
from eibench.version import __version__

BAD_INPUT = 2
INTERRUPTED = 130
LONGEST_USAGE = 500
"""Characters of what is said of a command line that cannot be read."""


class _Group(TyperGroup):
    """Turns what a user can mend into a message, and an interrupt into its exit code."""

    def make_context(self, *words: Any, **options: Any) -> Any:
        with _usage_in_short():
            return super().make_context(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _usage_in_short():
                return super().invoke(ctx)
        except UserError as error:
            raise _refusal(str(error)) from None
        except KeyboardInterrupt:
            say("interrupted; the same command goes on from here", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BaseException as error:
            if (words := _in_words(error)) is None:
                raise
            raise _refusal(words) from None


def _refusal(text: str) -> typer.Exit:
    """Print a message; the exit that ends the command."""
    for line in text.split("\n"):
        say(f"error: {line}", err=True)
    return typer.Exit(BAD_INPUT)


def _in_words(error: BaseException) -> str | None:
    """Return the message of an error of a plugin's code, a disk or a file; None for all others."""
    words = plugins.plugin_error(error)
    if words is None and isinstance(error, OSError) and streams.is_mendable(error):
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None if words is None else str(UserError(words))


@contextmanager
def _usage_in_short() -> Iterator[None]:
    """Bound what the library says of a command line, which may quote all of it."""
    try:
        yield
    except Exception as error:
        usage: Any = error
        if hasattr(error, "exit_code") and isinstance(getattr(error, "message", None), str):
            usage.message = shorten(printable(usage.message), LONGEST_USAGE)
        raise


def _version(asked: bool) -> None:
    if asked:
        say(f"eibench {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Can inhibition replace normalization? Suites of spiking networks, run and reported."""
    if _remark not in plugins.listeners:
        plugins.listeners.append(_remark)


def _remark(text: str) -> None:
    """Print a remark where it does not mix with the results of a command."""
    say(text, err=True)


app.command()(run)
app.command()(probe)
app.command()(search)
app.command()(report)
app.command()(plot)
app.add_typer(list_app, name="list")
app.add_typer(data_app, name="data")
app.command()(show)
app.command()(check)
app.command()(doctor)
app.command()(profile)


def main() -> None:
    """Entry point of the `eibench` command."""
    spare_collector()
    print_warnings()
    os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's backend may not be here
    streams.prepare()
    try:
        app()
    finally:
        streams.flush()


def spare_collector() -> None:
    """Look for garbage seldom, and not at all on leaving.

    Python does after some hundred new objects and at the end; of the libraries' hundred thousands
    none is garbage, and looking through them takes a second at the start and one at the end.
    """
    gc.set_threshold(50_000, 50)
    atexit.register(gc.freeze)
