"""`eibench plot`: results as figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import ResultsFolders, chosen_results, field_names, valid_paths
from eibench.errors import UserError

LEAST, GREATEST = 1.0, 50.0
"""Inches of a figure's side."""


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
    curves: Annotated[
        bool,
        typer.Option("--curves", help="Draw loss, accuracy and firing rates by epoch instead."),
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Draw accuracy against time and memory instead.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(metavar="W,H", help="Width and height in inches.", show_default="by content"),
    ] = None,
    title: Annotated[
        bool,
        typer.Option(
            "--title/--no-title",
            help="Title and notes; without, notes are printed, and methods have a paper's names.",
        ),
    ] = True,
    style: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="matplotlib style over that of eibench.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw a metric of each suite as PNG and PDF: mean, spread, every seed, and failures.

    A suite without a numeric axis is drawn as points by method, one with ablations as differences
    to its base run, with 95 % confidence intervals. Probes are drawn layer by layer, unless a
    metric, x or by is named. A search has figures of its own: history, slices, parallel
    coordinates, importances, confirmation, and its landscape, over --x KEY --by KEY if named.

    The look is a matplotlib style file, eibench/report/figures/eibench.mplstyle; --style sets one
    of yours over it. A method has one colour in all figures, its variants have shades of it.
    """
    names = ["curves", "rate_map"] * curves + ["cost"] * cost
    inches = _inches(size)
    if names and (metric, x) != (None, None):
        raise UserError(f"--{names[0]} takes no --metric and no --x")
    from eibench.report.figures.draw import make_figures
    from eibench.report.figures.look import Look, find_style, use_look

    look = Look(find_style(style) if style else {}, inches, title)
    drawn: list[bool] = []
    problems: list[str] = []
    with use_look(look):
        for one in make_figures(
            chosen_results(results), metric, x, field_names(by), out, names=names
        ):
            drawn.append(not one.problem)
            if one.problem:
                problems.append(one.problem)
                continue
            if one.points:
                say(f"{one.suite}: no numeric axis, so no lines but points by row", err=True)
            for path in one.paths:
                say(str(path))
            if not title:
                say(one.caption, err=True)
    if names and not drawn:
        raise UserError(f"--{names[0]}: no run here has recorded any")
    if problems and not any(drawn):
        raise UserError("\n".join(problems))
    for problem in problems:
        say(f"skipped: {problem}", err=True)


def _inches(size: str | None) -> tuple[float, float] | None:
    """Return the numbers in a size such as `5.5,3`; raise `UserError` for anything else."""
    if size is None:
        return None
    found = re.fullmatch(r"([0-9.]+)[,x]([0-9.]+)", size.replace(" ", ""))
    try:
        width, height = map(float, found.groups() if found else ())
    except ValueError:
        width = height = 0.0
    if not all(LEAST <= inches <= GREATEST for inches in (width, height)):
        allowed = f"width and height from {LEAST:g} to {GREATEST:g} inches, such as 5.5,3"
        raise UserError(f"--size {size}: must be {allowed}")
    return width, height
