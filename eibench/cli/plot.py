"""`eibench plot`: results as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import ResultsFolders, chosen_results, field_names, valid_paths


def plot(
    results: ResultsFolders = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The number to draw; `eibench list metrics` names all.",
            show_default="test_accuracy, or gradient_decades of probes",
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Field of the x axis.", show_default="the first numeric axis"
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD,...", help="Fields of the lines.", show_default="ablation or method"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            callback=valid_paths,
            help="Where to.",
            show_default="each suite's figures/",
        ),
    ] = None,
) -> None:
    """Draw a metric of each suite as PNG and PDF: mean, spread, every seed, and failures.

    A suite without a numeric axis is drawn as points by method, one with ablations as differences
    to its base run, with 95 % confidence intervals. Probes are drawn layer by layer, unless a
    metric, x or by is named. A search has figures of its own: history, slices, parallel
    coordinates, importances, confirmation, and its landscape, over --x KEY --by KEY if named.
    """
    from eibench.report.figures.draw import make_figures

    for drawn in make_figures(chosen_results(results), metric, x, field_names(by), out):
        if drawn.points:
            say(f"{drawn.suite}: no numeric axis, so no lines but points by row", err=True)
        for path in drawn.paths:
            say(str(path))
