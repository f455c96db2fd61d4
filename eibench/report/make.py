"""From results folders to documents, and to text: what the command `report` calls."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from eibench.errors import UserError
from eibench.report.model.document import Document
from eibench.report.model.layers import make_pivots
from eibench.report.model.pivot import Pivot
from eibench.report.model.result_table import result_document
from eibench.report.model.search_document import search_document
from eibench.report.model.search_results import Search, read_searches
from eibench.report.writers import WIDTH, Format, write
from eibench.results.store import write_atomic


def make_documents(
    results: Sequence[Path],
    metric: str | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
) -> list[Document]:
    """Return all that is reported of `results`; options and errors are those of `make_pivots`.

    Searches are left out where an option asks for a table of another shape, if there is any table.
    """
    pivots = make_pivots(results, metric, rows, columns, against)
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
        raise UserError(f"--out {path}: {error.strerror}") from None
