"""The document of a suite: one metric over rows and columns, and published numbers below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eibench.report.model.document import NO_CELL, Cell, Column, Document, Table, fixed
from eibench.report.model.labels import field_words, show_field, show_value
from eibench.report.model.layout import Key, Place
from eibench.report.model.notes import EXCLUDES_ZERO, footnotes
from eibench.report.model.pivot import Pivot
from eibench.report.model.published import published_table, published_values
from eibench.report.model.suite_results import UNMEASURED


def result_document(pivot: Pivot) -> Document:
    """Return everything that is reported of a suite's runs."""
    suite, metric, layout = pivot.suite, pivot.metric, pivot.layout
    cells = list(_values(pivot))
    published = published_values(pivot)
    return Document(
        pivot.heading,
        (_table(pivot), *published_table(pivot)),
        subject=str(suite.folder.resolve()),
        values={
            "suite": suite.name,
            "title": suite.title,
            "metric": metric.name,
            "unit": metric.unit,
            "better": metric.better,
            "rows": layout.rows,
            "columns": layout.columns,
            "cells": cells,
            "footnotes": footnotes(pivot),
            **({"published": published} if published else {}),
        },
        records=[_record(pivot, cell) for cell in cells],
        keys=("suite", "metric", *layout.fields),
    )


def _table(pivot: Pivot) -> Table:
    stub = Column(", ".join(map(field_words, pivot.layout.rows)), stub=True)
    return Table(
        columns=(stub, *(part for column in pivot.columns for part in _heads(pivot, column))),
        rows=tuple(
            (
                Cell(_row_name(pivot, row)),
                *(c for key in pivot.columns for c in _cells(pivot, row, key)),
            )
            for row in pivot.rows
        ),
        notes=tuple(footnotes(pivot)),
        caption=pivot.heading,
        label=pivot.suite.name,
        together=2 if pivot.layout.reference else 1,
    )


def _row_name(pivot: Pivot, row: Key) -> str:
    """The row's values, or the metric where no field spans the rows."""
    if len(row) == 1:
        return show_value(row[0])
    pairs = zip(pivot.layout.rows, row, strict=True)
    return ", ".join(show_field(*pair) for pair in pairs) or pivot.metric.label


def _heads(pivot: Pivot, column: Key) -> Iterator[Column]:
    """The heads of a column's means and, where there is a reference, of its differences."""
    fields = pivot.layout.columns
    texts = [show_field(*pair) for pair in zip(fields, column, strict=True)]
    levels = texts if len(fields) != 1 else [field_words(fields[0]), show_value(column[0])]
    name = ", ".join(texts) or pivot.metric.heading
    if pivot.layout.reference is None:
        yield Column(name, tuple(levels))
        return
    difference = f"difference to {pivot.layout.reference[1]}\n[95 % CI]"
    yield Column(name, (*levels, "mean" if fields else pivot.metric.heading))
    yield Column(difference, (*levels, difference))


def _cells(pivot: Pivot, row: Key, column: Key) -> Iterator[Cell]:
    """The mean and, where there is a reference, the difference to it."""
    place = row, column
    cell = pivot.cells.get(place)
    if cell is None:
        yield Cell(NO_CELL)
    elif not cell.n:
        yield Cell("", cell.reasons(pivot.metric))
    else:
        text = fixed(cell.number(pivot.metric))
        yield Cell(text, cell.remark(pivot.metric, pivot.planned), best=cell.best)
    if pivot.layout.reference is not None:
        yield _difference(pivot, place)


def _difference(pivot: Pivot, place: Place) -> Cell:
    """`-4.2 [-5.1, -3.3] †`: mean, interval, mark of an interval that excludes 0.

    There is no interval over a single shared seed, and a dash for the reference itself and for a
    cell without runs.
    """
    found = pivot.differences.get(place)
    if found is None or not pivot.cells[place].n:
        return Cell(NO_CELL)
    if found.mean is None:
        return Cell(fixed("no shared seed"))
    mean, *ends = (f"{x:+z.{pivot.metric.digits}f}" for x in (found.mean, *(found.interval or ())))
    interval = f" [{', '.join(ends)}]" if ends else ""
    mark = f" {EXCLUDES_ZERO}" if found.excludes_zero else ""
    remark = f"(n={found.n})" if found.n < pivot.planned else ""
    return Cell(fixed(f"{mean}{interval}{mark}"), remark)


def _values(pivot: Pivot) -> Iterator[dict[str, Any]]:
    """Yield the cells row by row: row fields, column fields, and the numbers, unrounded."""
    for row in pivot.rows:
        for column in pivot.columns:
            if cell := pivot.cells.get((row, column)):
                yield {
                    "row": dict(zip(pivot.layout.rows, row, strict=True)),
                    "column": dict(zip(pivot.layout.columns, column, strict=True)),
                    "mean": cell.mean,
                    "std": cell.deviation,
                    "n": cell.n,
                    "best": cell.best,
                    "failed": cell.failed,
                    "missing": cell.missing,
                    UNMEASURED: cell.unmeasured,
                    "seeds": sorted(cell.values),
                    **_difference_values(pivot, (row, column)),
                }


def _difference_values(pivot: Pivot, place: Place) -> dict[str, float | None]:
    if pivot.layout.reference is None:
        return {}
    found = pivot.differences.get(place)
    low, high = (found.interval if found else None) or (None, None)
    return {
        "difference": found.mean if found else None,
        "difference_low": low,
        "difference_high": high,
        "difference_n": found.n if found else None,
    }


def _record(pivot: Pivot, cell: dict[str, Any]) -> dict[str, Any]:
    """A cell as a tidy row."""
    numbers = {key: cell[key] for key in cell if key not in ("row", "column", "seeds")}
    seeds = " ".join(map(str, cell["seeds"]))
    front = {"suite": pivot.suite.name, "metric": pivot.metric.name}
    return {**front, **cell["row"], **cell["column"], **numbers, "seeds": seeds}
