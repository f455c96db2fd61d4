"""`eibench report`: results as tables."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.console import write as show
from eibench.cli.options import OutFile, ResultsFolders, chosen_results, field_names


class Format(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


def report(
    results: ResultsFolders = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.table,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The number to report; `eibench list metrics` names all.",
            show_default="test_accuracy, or gradient_decades of probes",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD,...", help="Fields of the rows.", show_default="ablation or method"
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD,...",
            help="Fields of the columns.",
            show_default="the suite's other axes",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A method or ablation: all others have their difference to it; or `none`.",
            show_default="the suite's control, or the base of ablations",
        ),
    ] = None,
    pooled: Annotated[
        bool,
        typer.Option("--pooled", help="Intervals as if all methods had one variance."),
    ] = False,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="One table: each method against the control, all suites."),
    ] = False,
    out: OutFile = None,
) -> None:
    """Report a metric of each suite: mean, spread and n over seeds, failures, and footnotes.

    Beside a mean stands its difference to one control, with a 95 % confidence interval and a
    verdict in words: better, worse, equivalent within the suite's margin, or undecided. Ablations
    have their difference to the base run. Probes have a field `layer` for rows or columns.

    A search comes before the table of its winners' fresh runs, unless an option asks for a table of
    another shape: their scores in the search beside
    the confirmed ones, budgets, importances, best trials. A folder NAME/search is the search alone,
    and its CSV has a row for each trial.
    """
    from eibench.report.make import make_documents, write_text
    from eibench.report.writers import WIDTH, write
    from eibench.report.writers.escape import missing_signs

    folders = chosen_results(results)
    shape = (metric, field_names(rows), field_names(columns), against)
    documents = make_documents(folders, *shape, pooled, summary)
    styled = out is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if styled else WIDTH
    text = write(documents, form.value, width, styled)
    if out is None:
        show(text)
    else:
        write_text(out, text)
        say(str(out))
    if form is Format.latex and (missing := missing_signs(text)):
        say(f"warning: LaTeX has no sign for {', '.join(missing)}; its code point is printed", True)
