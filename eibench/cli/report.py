"""`eibench report`: results as tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from eibench.cli.console import print_documents, say
from eibench.cli.options import OutFile, ResultsFolders, chosen_results, field_names
from eibench.errors import UserError

if TYPE_CHECKING:
    from eibench.plan.suite import NoteLevel


class Format(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    latex = "latex"
    macros = "macros"
    html = "html"
    csv = "csv"
    json = "json"


class NotesOption(StrEnum):
    """Notes below tables."""

    none = "none"
    short = "short"
    full = "full"


def _width(text: str | None) -> str | None:
    """Return a length, which LaTeX can read; raise `BadParameter` for another text."""
    from eibench.plan.lengths import points

    try:
        points(text or "345pt")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


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
    area: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="A number for each curve: the mean over this field, its area over its range.",
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
    notes: Annotated[
        NotesOption | None,
        typer.Option(
            help="Notes below tables; `short` names no runs, files or commands.",
            show_default="short in LaTeX, else full",
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            callback=_width,
            help="A line in LaTeX, such as 3.25in: tables are laid out to fit it.",
            show_default="345pt, article's",
        ),
    ] = None,
    starred: Annotated[
        bool, typer.Option("--starred", help="LaTeX's table*, across all columns of a page.")
    ] = False,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="A whole LaTeX document.")
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

    LaTeX needs booktabs and prints names for a paper (`labels` in a suite). Without an argument it
    has the tables that the suites in suites/ ask for in their `report`, if any does. `macros` are
    single numbers for the text.

    `html` is one page that opens without a network: tables to sort and filter, charts, failures,
    cost, and each suite's settings. It needs the extra `html`: pip install 'eibench[html]'.
    """
    from eibench.plan.lengths import points
    from eibench.report.make import chosen_documents, laid_out, make_documents
    from eibench.report.model.document import Page
    from eibench.report.writers.escape import missing_signs
    from eibench.results.labels import counted

    if form is not Format.latex and (width or starred or standalone):
        raise UserError("--width, --starred and --standalone belong to --format latex")
    shape = (metric, field_names(rows), field_names(columns), against)
    if summary and (rows or columns or pooled):
        raise UserError(
            "--summary has a row for each method; --rows, --columns and --pooled have no use"
        )
    asked = results or summary or pooled or any(x is not None for x in (*shape, area))
    page = Page(points(width) if width else Page.width, starred) if width or starred else None
    level = cast("NoteLevel | None", notes and notes.value)
    documents = [] if asked else chosen_documents(form.value, level, page)
    if documents:
        say(
            f"{counted(len(documents), 'table')} of suites' `report`; name results for others", True
        )
    else:
        where = chosen_results(results)
        found = make_documents(where, *shape, pooled, summary, form=form.value, area=area)
        documents = laid_out(found, form.value, level, page)
    text = print_documents(documents, form.value, out, standalone)
    if form is Format.latex and (missing := missing_signs(text)):
        say(f"warning: LaTeX has no sign for {', '.join(missing)}; its code point is printed", True)


def print_results(folder: Path) -> None:
    """Print the tables of a suite that has run, with short notes; say so where there are none."""
    from eibench.report.make import laid_out, make_documents

    try:
        documents = laid_out(make_documents([folder]), "table", "short")
    except UserError as error:
        say(f"no table: {error}", err=True)
        return
    say()
    print_documents(documents, "table")
