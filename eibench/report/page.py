"""Documents of a page about results: tables, charts, failures, cost, provenance and settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eibench.errors import UserError
from eibench.files import read_text
from eibench.plan.find import known_suites
from eibench.plan.spec import PROBE
from eibench.plan.suite import ABLATION, METHOD, read_suite
from eibench.report.model.document import Chart, Column, Document, SourceText, Table, text_cells
from eibench.report.model.notes import reading_notes
from eibench.report.model.pivot import Pivot
from eibench.report.model.provenance import mixed_data, provenance
from eibench.report.model.result_table import result_document
from eibench.report.model.run_tables import (
    cost_table,
    ends,
    failures_table,
    names_note,
    settings_text,
    total_seconds,
    trials_table,
)
from eibench.report.model.search_document import search_document
from eibench.report.model.search_results import Search
from eibench.report.model.suite_results import SuiteResults
from eibench.report.model.summary import summary_document
from eibench.results.cells import Run
from eibench.results.labels import capital, format_duration

NEEDED = ("altair", "vl_convert")
"""Modules of the extra `html`."""
LARGEST_SUITE = 2**18
"""Bytes of a suite file that a page holds."""


def check_extra() -> None:
    """Raise `UserError` where the libraries of a page are not installed."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"--format html needs {' and '.join(lacking)}, which is not installed;"
            " `pip install 'eibench[html]'` installs what is needed"
        )


def page_documents(pivots: Sequence[Pivot], searches: Sequence[Search]) -> list[Document]:
    """Return the documents of a page; those of one suite and its search follow each other."""
    files = known_suites()
    subjects: dict[Path, tuple[list[Search], list[Pivot]]] = {}
    for search in searches:
        subjects.setdefault(search.folder.resolve(), ([], []))[0].append(search)
    for pivot in pivots:
        subjects.setdefault(pivot.suite.folder.resolve(), ([], []))[1].append(pivot)
    found = list(_front(pivots)) if len(subjects) > 1 else []
    for folder in sorted(subjects):
        for document in _subject(*subjects[folder], files):
            found.append(replace(document, subject=str(folder)))
    return found


def _front(pivots: Sequence[Pivot]) -> Iterator[Document]:
    """Yield what is said of all suites together."""
    if not pivots:
        return
    title = "Summary"
    heads = ("suite", "name", "runs", "methods or ablations", "time of all runs")
    rows = tuple(
        text_cells(
            [
                pivot.suite.title,
                pivot.suite.name,
                ends(pivot.suite.runs),
                str(len(_compared(pivot.suite))),
                format_duration(total_seconds(pivot.suite.runs)),
            ]
        )
        for pivot in pivots
    )
    columns = tuple(Column(head, stub=i == 0) for i, head in enumerate(heads))
    yield Document("Suites", (Table(columns, rows),), subject=title, under=title)
    trained = [
        pivot for pivot in pivots if pivot.suite.kind != PROBE and ABLATION not in pivot.suite.axes
    ]
    try:
        summary = summary_document(trained)
    except UserError:  # nothing to compare, or with unlike controls
        return
    yield replace(summary, title="Methods over all suites", subject=title, under=title)


def _compared(suite: SuiteResults) -> set[object]:
    """Return the ablations of a suite, else its methods."""
    field = ABLATION if ABLATION in suite.axes else METHOD
    return {run.value(field) for run in suite.runs}


def _subject(
    searches: Sequence[Search], pivots: Sequence[Pivot], files: dict[str, Path]
) -> Iterator[Document]:
    """Yield the documents of a suite and its search."""
    from eibench.report.charts.search import search_charts

    for pivot in pivots:
        yield from _results(pivot)
    for search in searches:
        charts = tuple(search_charts(search))
        document = search_document(search, recorded=False)
        yield replace(document, title="Search", under=search.title, charts=charts)
    for pivot in pivots:
        yield from _more_charts(pivot)
    tables = [*(failures_table(p.suite) for p in pivots), *map(trials_table, searches)]
    found = tuple(table for table in tables if table is not None)
    if found:
        yield Document("Failures", found, under=_title(searches, pivots))
    trained = [pivot for pivot in pivots if not pivot.suite.evaluates]
    costs = tuple(t for p in trained if (t := cost_table(p.suite)) is not None)
    if costs:
        yield Document("Cost", costs, under=_title(searches, pivots), charts=_cost_charts(trained))
    yield _origin(searches, pivots, files)


def _title(searches: Sequence[Search], pivots: Sequence[Pivot]) -> str:
    return pivots[0].suite.title if pivots else searches[0].title


def _results(pivot: Pivot) -> Iterator[Document]:
    """Yield the table of a suite with its charts."""
    from eibench.report.charts.results import difference_charts, metric_charts

    suite = pivot.suite
    document = result_document(pivot)
    main, *others = document.tables
    main = replace(main, notes=(*reading_notes(pivot), *names_note(suite)))
    heading, took = pivot.metric.heading, format_duration(total_seconds(suite.runs))
    charts = (*metric_charts(suite, pivot.metric), *difference_charts(pivot))
    yield replace(
        document,
        title=capital(heading),
        tables=(main, *others),
        under=suite.title,
        lead=(f"{ends(suite.runs)}, {took} of computing time.",),
        charts=charts,
    )


def _more_charts(pivot: Pivot) -> Iterator[Document]:
    """Yield what was recorded of epochs or layers."""
    from eibench.report.charts.layers import layer_charts
    from eibench.report.charts.learning import learning_charts

    suite, probes = pivot.suite, pivot.suite.kind == PROBE
    charts = tuple(layer_charts(suite) if probes else learning_charts(suite))
    if charts:
        yield Document(
            "Layer by layer" if probes else "Training", (), under=suite.title, charts=charts
        )


def _cost_charts(pivots: Sequence[Pivot]) -> tuple[Chart, ...]:
    from eibench.report.charts.results import cost_charts

    return tuple(c for p in pivots if p.suite.kind != PROBE for c in cost_charts(p.suite))


def _origin(
    searches: Sequence[Search], pivots: Sequence[Pivot], files: dict[str, Path]
) -> Document:
    """Return machines, versions, commits, commands and data, the suite file, and all settings."""
    runs: list[Run] = [run for pivot in pivots for run in pivot.suite.runs]
    runs = runs or [run for search in searches for run in search.runs]
    lead = provenance(runs) or list(mixed_data(runs)) or ["No run has ended."]
    one = pivots[0].suite if pivots else searches[0]
    listings = [*_suite_file(one, files.get(one.name))]
    listings += [SourceText("Settings of all runs", settings_text(p.suite)) for p in pivots]
    return Document(
        "Provenance and settings",
        (),
        under=_title(searches, pivots),
        lead=tuple(lead),
        listings=tuple(listings),
    )


def _suite_file(one: SuiteResults | Search, path: Path | None) -> Iterator[SourceText]:
    """Yield the file of a suite as it is now, if it has the title of the results."""
    try:
        if path is not None and read_suite(path)[1].title == one.title:
            yield SourceText(
                f"Suite file {path.name}, as it is now", read_text(path, LARGEST_SUITE)
            )
    except UserError:  # of no use, and no reason to have no page
        return
