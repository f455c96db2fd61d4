"""`eibench data`: data sets looked at."""

from __future__ import annotations

import typer

from eibench.cli.speed import speed

data_app = typer.Typer(no_args_is_help=True, help="Look at data sets.")


@data_app.callback()
def data() -> None:
    """Look at data sets."""


data_app.command()(speed)
