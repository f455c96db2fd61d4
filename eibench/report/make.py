"""From results folders to documents, text and files, as `report` and `tables` ask."""

from __future__ import annotations

import functools
import hashlib
import heapq
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import BadSuite, UserError
from eibench.plan.layers import Origin
from eibench.plan.suite import FigureSection, SuiteFile, read_suite
from eibench.plan.yaml_source import Keys
from eibench.report.model.document import Document
from eibench.report.model.layers import make_pivots
from eibench.report.model.pivot import Pivot
from eibench.report.model.result_table import result_document
from eibench.report.model.search_document import search_document
from eibench.report.model.search_results import Search, read_searches
from eibench.report.model.summary import summary_document
from eibench.report.writers import WIDTH, Format, write
from eibench.results.metrics import find_metric
from eibench.results.packing import results_digest
from eibench.results.paths import is_packed, member, parse_object, read
from eibench.results.store import to_json, write_atomic

SUFFIXES = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json"}
STAMP = ".made.json"
"""Remembers, outside git, of what the files in its folder were made."""
FILE = re.compile(
    r"(?!plan\.)[A-Za-z0-9_][\w.-]*\.(md|tex|csv|json)|figures/\w[\w.-]*\.(png|pdf)", re.A
)
"""Name of a file in a stamp, relative to the folder."""
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
) -> list[Document]:
    """Return all that is reported of `results`; options and errors are those of `make_pivots`.

    Searches are left out where an option asks for a table of another shape, if there is any table.
    A `summary` is one table over all suites.
    """
    pivots = make_pivots(results, metric, rows, columns, against, pooled, summary)
    if summary:
        return [summary_document(pivots)]
    shaped = any(asked is not None for asked in (metric, rows, columns, against))
    return documents(pivots, [] if shaped and pivots else read_searches(results))


def documents(pivots: Sequence[Pivot], searches: Sequence[Search] = ()) -> list[Document]:
    """Return the documents of pivots and searches, sorted by folder.

    A search stands before the table of its winners' fresh runs. Its trials are records only where
    there are no tables.
    """
    found = [search_document(search, recorded=not pivots) for search in searches]
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
    return write(documents(pivots, searches), form, width, styled)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing; raise `UserError` when `path` cannot be written."""
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


class SuiteReport:
    """The tables and figures of one suite, from its results in `folder`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.document, self.suite = read_suite(path)
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
            write_text(path, text)
            yield path
        for i, figure in enumerate(self.suite.report.figures):
            yield from self._figures(figure, ("report", "figures", i))

    def tables(self) -> Iterator[tuple[str, str]]:
        """Yield file name and content of each table; raises as `make`."""
        for i, section in enumerate(self.suite.report.tables):
            self._check_metric(section.metric, ("report", "tables", i))
            shape = (section.metric, section.rows, section.columns, section.against)
            documents = make_documents([self.folder], *shape, section.pooled)
            for form in section.formats:
                yield f"{section.name}.{SUFFIXES[form]}", write(documents, form)

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
        content.update(json.dumps(self.suite.report.model_dump()).encode())
        for folder in (self.folder, *_searched(self.suite, self.folder)):
            content.update(results_digest(folder))
        return content.hexdigest()


def _searched(suite: SuiteFile, folder: Path) -> Iterator[Path]:
    """Yield the folder of the suite in which values were found, which footnotes tell of."""
    if suite.tuned_by not in (None, suite.name):
        yield folder.parent / str(suite.tuned_by)


@functools.cache
def _code() -> bytes:
    """Return a digest of the version and of the code that makes tables and figures."""
    root = Path(__file__).parents[1]
    content = hashlib.sha256()
    sources = sorted(path for room in SOURCES for path in (root / room).rglob("*.py"))
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
