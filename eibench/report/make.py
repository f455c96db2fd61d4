"""From results folders to documents, text and files, as `report` and `tables` ask."""

from __future__ import annotations

import functools
import hashlib
import heapq
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eibench.errors import BadSuite, UserError
from eibench.plan.find import known_suites
from eibench.plan.layers import Origin
from eibench.plan.lengths import points
from eibench.plan.suite import FigureSection, NoteLevel, SuiteFile, read_suite
from eibench.plan.sweeps import Sweep
from eibench.plan.yaml_source import Keys
from eibench.report.model.document import Document, Page
from eibench.report.model.layers import make_pivots
from eibench.report.model.pivot import Pivot
from eibench.report.model.result_table import result_document
from eibench.report.model.search_document import search_document
from eibench.report.model.search_results import Search, read_searches
from eibench.report.model.summary import summary_document
from eibench.report.model.tuning import tuning_places
from eibench.report.page import check_extra, page_documents
from eibench.report.writers import WIDTH, Format, write
from eibench.results.metrics import find_metric
from eibench.results.packing import results_digest
from eibench.results.paths import (
    RESULTS,
    SEARCH,
    evidence_of,
    has_plan,
    is_packed,
    member,
    parse_object,
    read,
)
from eibench.results.store import to_json, write_atomic, write_file

SUFFIXES = {
    "markdown": "md",
    "latex": "tex",
    "macros": "macros.tex",
    "csv": "csv",
    "json": "json",
}
STAMP = ".made.json"
"""Remembers, outside git, of what the files in its folder were made."""
FILE = re.compile(
    r"(?!plan\.)[A-Za-z0-9_][\w.-]*\.(md|tex|csv|json)|figures/\w[\w.-]*\.(png|pdf)", re.A
)
"""Name of a file in a stamp, relative to the folder."""
CHOSEN = ("latex", "macros")
"""Formats of which only what suites ask for is printed, where no results are named."""
SOURCES = ("plan", "report", "results")
"""Rooms whose code decides what tables and figures look like."""


def make_documents(
    results: Sequence[Path],
    metric: str | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
    pooled: bool = False,
    summary: bool = False,
    form: Format = "table",
    labels: Mapping[str, str] | None = None,
    area: str | None = None,
    whole: bool = True,
) -> list[Document]:
    """Return all that is reported of `results`; options and errors are those of `make_pivots`.

    Of searches only the winners beside their fresh runs, unless they are `whole`.

    Searches are left out where an option asks for a table of another shape, if there is any table.
    A `summary` is one table over all suites. For LaTeX and HTML names are those of a paper;
    `labels` go before those that the results hold.
    """
    if form == "html":
        check_extra()
    pivots = make_pivots(results, metric, rows, columns, against, pooled, summary, area)
    if labels is not None:
        pivots = [replace(p, suite=replace(p.suite, labels=labels)) for p in pivots]
    shaped = any(asked is not None for asked in (metric, rows, columns, against, area))
    searches = [] if summary or (shaped and pivots) else read_searches(results)
    if form in ("latex", "html"):
        pivots, searches = _displayed(pivots, searches)
    if form == "html" and not summary:
        return page_documents(pivots, searches)
    return [summary_document(pivots)] if summary else documents(pivots, searches, whole)


def _displayed(
    pivots: Sequence[Pivot], searches: Sequence[Search]
) -> tuple[list[Pivot], list[Search]]:
    """Return the same with the names of a paper."""
    return (
        [replace(pivot, suite=replace(pivot.suite, displayed=True)) for pivot in pivots],
        [replace(search, displayed=True) for search in searches],
    )


def laid_out(
    documents: Sequence[Document], form: Format, notes: NoteLevel | None, page: Page | None = None
) -> list[Document]:
    """Return documents with the notes asked for, by default short ones in LaTeX, and their page."""
    level = notes or ("short" if form == "latex" else "full")
    return [replace(one.at(level), page=page or one.page) for one in documents]


def documents(
    pivots: Sequence[Pivot], searches: Sequence[Search] = (), whole: bool = True
) -> list[Document]:
    """Return the documents of pivots and searches, sorted by folder.

    A search stands before the table of its winners' fresh runs. Its trials are records only where
    there are no tables.
    """
    found = [search_document(search, not pivots, whole) for search in searches]
    results = [result_document(pivot) for pivot in pivots]
    return list(heapq.merge(found, results, key=lambda document: document.subject))


def render(
    pivots: Sequence[Pivot],
    form: Format,
    width: int = WIDTH,
    styled: bool = False,
    searches: Sequence[Search] = (),
) -> str:
    """Return pivots and searches as text in `form`; `width` and `styled` are for a terminal."""
    if form == "latex":
        pivots, searches = _displayed(pivots, searches)
    return write(laid_out(documents(pivots, searches), form, None), form, width, styled)


class SuiteReport:
    """The tables and figures of one suite or of its sweep, from its results in `folder`."""

    def __init__(self, path: Path, folder: Path, sweep: Sweep | None = None) -> None:
        self.document, suite = read_suite(path)
        self.suite = suite.reporting(sweep) if sweep else suite
        self.folder = folder

    def make(self, always: bool = False) -> Iterator[Path]:
        """Make what the suite asks for, and yield each file; none if all is up to date.

        Files that an earlier version of the suite asked for are removed.

        Raises:
            UserError: the results cannot be read, or do not have what is asked for.
        """
        stamp = member(self.folder, STAMP)
        digest, earlier = self._digest(), _read_stamp(stamp)
        files = earlier.get("files", [])
        if not always and earlier.get("digest") == digest and all(map(self._is_there, files)):
            return
        made: list[str] = []
        for path in self._made():
            made.append(path.relative_to(self.folder).as_posix())
            yield path
        for name in set(files) - set(made):
            if self._is_there(name):
                member(self.folder, *name.split("/")).unlink()
        write_atomic(stamp, to_json({"digest": digest, "files": made}))

    def _is_there(self, name: str) -> bool:
        return member(self.folder, *name.split("/")).is_file()

    def _made(self) -> Iterator[Path]:
        for name, text in self.tables():
            path = member(self.folder, name)
            write_file(path, text.encode())
            yield path
        for i, figure in enumerate(self.suite.report.figures):
            yield from self._figures(figure, ("report", "figures", i))

    def tables(self) -> Iterator[tuple[str, str]]:
        """Yield file name and content of each table; raises as `make`."""
        for i, section in enumerate(self.suite.report.tables):
            for form in section.formats:
                yield f"{section.name}.{SUFFIXES[form]}", write(self.table(i, form), form)

    def table(
        self, i: int, form: Format, notes: NoteLevel | None = None, page: Page | None = None
    ) -> list[Document]:
        """Return what the table's section asks for, or `notes` and `page`; raises as `make`."""
        section = self.suite.report.tables[i]
        self._check_metric(section.metric, ("report", "tables", i))
        shape = (section.metric, section.rows, section.columns, section.against)
        labels = self.suite.labels or None
        found = make_documents(
            [self.folder], *shape, section.pooled, form=form, labels=labels, whole=False
        )
        own = Page(points(section.width) if section.width else Page.width, section.starred)
        return laid_out(found, form, notes or section.notes, page or own)

    def _figures(self, section: FigureSection, keys: Keys) -> Iterator[Path]:
        from eibench.report.figures import draw  # matplotlib takes seconds to load

        self._check_metric(section.metric, keys)
        out = member(self.folder, "figures")
        formats = ("png",) if is_packed(self.folder) else ("png", "pdf")
        x, by = section.x, section.by
        if section.name is None:
            for drawn in draw.make_figures([self.folder], section.metric, x, by, out, formats):
                yield from drawn.paths
            return
        try:
            if section.metric is not None:
                raise UserError("stands beside `metric`; give one of both")
            yield from draw.draw(section.name, [self.folder], out, x, by, formats)
        except UserError as error:
            origin = Origin(self.document, (*keys, "name"))
            raise BadSuite([origin.message(str(error))]) from None

    def _check_metric(self, name: str | None, keys: Keys) -> None:
        if name is not None:
            try:
                find_metric(name)
            except UserError as error:
                text = str(error).partition(": ")[2]
                origin = Origin(self.document, (*keys, "metric"))
                raise BadSuite([origin.message(f"{name}: {text}")]) from None

    def _digest(self) -> str:
        """Return a digest of all that the files are made from: results, sections and code."""
        content = hashlib.sha256(_code())
        asked = [self.suite.report.model_dump(), self.suite.labels]
        content.update(json.dumps(asked).encode())
        for folder in (self.folder, *_searched(self.suite, self.folder)):
            content.update(results_digest(folder))
        return content.hexdigest()


def chosen_documents(
    form: Format, notes: NoteLevel | None = None, page: Page | None = None
) -> list[Document]:
    """Return the tables in LaTeX of all suites that have results; none for another format.

    Live runs go before packed evidence.
    """
    found: list[Document] = []
    for path in known_suites().values() if form in CHOSEN else []:
        suite = read_suite(path)[1]
        wanted = [i for i, one in enumerate(suite.report.tables) if {*CHOSEN} & {*one.formats}]
        places = (RESULTS / suite.name, evidence_of(RESULTS / suite.name))
        folder = next((p for p in places if has_plan(p) or has_plan(p / SEARCH)), None)
        if wanted and folder is not None:
            report = SuiteReport(path, folder)
            found += [one for i in wanted for one in report.table(i, form, notes, page)]
    return found


def _searched(suite: SuiteFile, folder: Path) -> Iterator[Path]:
    """Yield where the values may have been found that footnotes tell of."""
    if suite.tuned_by not in (None, suite.name):
        yield from tuning_places(folder, str(suite.tuned_by))


@functools.cache
def _code() -> bytes:
    """Return a digest of the version and of the code that makes tables and figures."""
    root = Path(__file__).parents[1]
    content = hashlib.sha256()
    found = (path for room in SOURCES for path in (root / room).rglob("*"))
    sources = sorted(path for path in found if path.suffix in (".py", ".mplstyle"))
    for path in (root / "version.py", *sources):
        content.update(path.read_bytes())
    return content.digest()


def _read_stamp(path: Path) -> dict[str, Any]:
    """Return the content of a stamp; empty where there is none, or it is damaged."""
    try:
        found = parse_object(read(path))
    except (FileNotFoundError, ValueError):
        return {}
    files = found.get("files")
    known = isinstance(files, list) and all(
        isinstance(name, str) and FILE.fullmatch(name) for name in files
    )
    return found if known else {}
