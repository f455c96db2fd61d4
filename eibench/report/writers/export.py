"""Tables for other programs: CSV and JSON with plain names and unrounded numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eibench.report.model.layout import Place
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import UNMEASURED, Pivot
from eibench.report.model.published import published
from eibench.report.model.search_exchange import search_values
from eibench.report.model.search_results import Search
from eibench.report.writers import escape
from eibench.report.writers.csv_text import write_csv


def cell_values(table: Pivot) -> list[dict[str, Any]]:
    """The cells row by row: row fields, column fields, and the numbers, unrounded."""
    return [
        {
            "row": dict(zip(table.layout.rows, row, strict=True)),
            "column": dict(zip(table.layout.columns, column, strict=True)),
            "mean": cell.mean,
            "std": cell.deviation,
            "n": cell.n,
            "best": cell.best,
            "failed": cell.failed,
            "missing": cell.missing,
            UNMEASURED: cell.unmeasured,
            "seeds": sorted(cell.values),
            **_difference(table, (row, column)),
        }
        for row in table.rows
        for column in table.columns
        if (cell := table.cells.get((row, column)))
    ]


def _difference(table: Pivot, place: Place) -> dict[str, float | None]:
    """What an ablation's cell has beside the others; without values for the base."""
    if table.layout.reference is None:
        return {}
    found = table.differences.get(place)
    low, high = (found.interval if found else None) or (None, None)
    return {
        "difference": found.mean if found else None,
        "difference_low": low,
        "difference_high": high,
        "difference_n": found.n if found else None,
    }


def to_csv(tables: Sequence[Pivot]) -> str:
    """Tidy rows, one per cell; several suites share the columns that they have in common."""
    rows: list[dict[str, Any]] = []
    for table in tables:
        for cell in cell_values(table):
            fields = {**cell.pop("row"), **cell.pop("column")}
            seeds = " ".join(map(str, cell.pop("seeds")))
            front = {"suite": table.suite.name, "metric": table.metric.name}
            rows.append({**front, **fields, **cell, "seeds": seeds})
    fields = {field: None for table in tables for field in table.layout.fields}
    keys = {key: None for row in rows for key in row}
    numbers = [key for key in keys if key not in ("suite", "metric", *fields)]
    return write_csv(rows, ["suite", "metric", *fields, *numbers])


def _published(table: Pivot) -> dict[str, Any]:
    """Cells beside published numbers; no key where there are none."""
    found = [
        {
            "row": dict(zip(table.layout.rows, one.place[0], strict=True)),
            "column": dict(zip(table.layout.columns, one.place[1], strict=True)),
            "method": one.reference.method,
            "model": one.reference.model,
            "data": one.reference.data,
            "data_title": one.reference.data_title,
            "mean": one.cell.mean,
            "std": one.cell.deviation,
            "n": one.cell.n,
            "published": one.reference.value,
            "difference": one.difference,
            "protocol": one.protocol,
            "source": one.reference.source,
        }
        for one in published(table)
    ]
    return {"published": found} if found else {}


def _searched(search: Search | None) -> dict[str, Any]:
    """How the values of a suite were found; no key where none were."""
    return {} if search is None else {"search": search_values(search)}


def to_json(tables: Sequence[Pivot], searches: Sequence[Search] = ()) -> str:
    """A list with one object for each suite: its cells, and the notes of the other formats.

    What was searched for a suite stands under its key `search`; where no table of its winners is
    asked for, or none made yet, in an object of its own.
    """
    waiting = {search.folder.resolve(): search for search in searches}
    content: list[dict[str, Any]] = [
        {
            "suite": table.suite.name,
            "title": table.suite.title,
            "metric": table.metric.name,
            "unit": table.metric.unit,
            "better": table.metric.better,
            "rows": table.layout.rows,
            "columns": table.layout.columns,
            "cells": cell_values(table),
            "footnotes": footnotes(table, "Best"),
            **_published(table),
            **_searched(waiting.pop(table.suite.folder.resolve(), None)),
        }
        for table in tables
    ]
    content += [
        {"suite": search.name, "title": search.title, **_searched(search)}
        for search in waiting.values()
    ]
    return escape.json_text(content)
