"""A search in each format for people."""

from __future__ import annotations

from collections.abc import Callable

from eibench.report.model.search_results import Search
from eibench.report.model.search_tables import search_grids
from eibench.report.writers import grid
from eibench.report.writers.escape import markdown, terminal


def to_text(search: Search, width: int = 100, bold: Callable[[str], str] = str) -> str:
    """For a terminal of `width` characters."""
    tables = (grid.to_text(table, width, bold) for table in search_grids(search))
    return bold(terminal(_heading(search))) + "\n\n" + "\n\n".join(tables)


def to_markdown(search: Search) -> str:
    """For GitHub: a section with a part for each table."""
    tables = (grid.to_markdown(table) for table in search_grids(search))
    return "\n".join([f"### {markdown(_heading(search))}\n", *tables])


def to_latex(search: Search) -> str:
    """Floating tables, each captioned with the suite's title."""
    return "\n".join(grid.to_latex(table, search.title) for table in search_grids(search))


def _heading(search: Search) -> str:
    return f"{search.title}: search"
