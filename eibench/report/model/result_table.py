"""The document of a suite: one metric over rows and columns, and published numbers below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eibench.plan.suite import LAYER, NOTHING
from eibench.report.model.document import NO_CELL, Cell, Column, Document, Table, fixed
from eibench.report.model.layers import DEFAULTS
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import Key, Pivot, Place, choose_layout
from eibench.report.model.published import published_table, published_values
from eibench.report.model.short_notes import legend, short_notes, sign_of
from eibench.results.cells import DIGITS, UNMEASURED
from eibench.results.labels import field_words, show_field
from eibench.results.statistics import MOST_SEEDS, Verdict


def result_document(pivot: Pivot) -> Document:
    """Return everything that is reported of a suite's runs."""
    suite, metric, layout = pivot.suite, pivot.metric, pivot.layout
    cells, numbers = list(_values(pivot)), published_values(pivot)
    notes = footnotes(pivot)
    return Document(
        pivot.heading,
        (_table(pivot, notes), *published_table(pivot)),
        subject=str(suite.folder.resolve()),
        values={
            "suite": suite.name,
            "title": suite.title,
            "metric": metric.name,
            "unit": metric.unit,
            "better": metric.better,
            "rows": layout.rows,
            "columns": layout.columns,
            "control": layout.reference[1] if layout.reference else None,
            "margin": pivot.margin,
            "paired": pivot.paired,
            "cells": cells,
            "footnotes": notes,
            **({"published": numbers} if numbers else {}),
        },
        records=[_record(pivot, cell) for cell in cells],
        keys=("suite", "metric", *layout.fields),
        numbers=tuple(_numbers(pivot)),
    )


def _numbers(pivot: Pivot) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every number of every cell as the table rounds it, with what names it."""
    layout, metric, label = pivot.layout, pivot.metric, _label(pivot)
    for place, cell in pivot.cells.items():
        values = zip(layout.fields, (*place[0], *place[1]), strict=True)
        words = (label, *(show_field(*pair) for pair in values))
        found = pivot.differences.get(place)
        low, high = (found.interval if found else None) or (None, None)
        differences = {"difference": found.mean if found else None, "low": low, "high": high}
        shown = {
            "mean": None if cell.mean is None else metric.show(cell.mean),
            "deviation": None if cell.deviation is None else metric.show(cell.deviation),
            "n": str(cell.n),
            **{k: None if x is None else _signed(x, pivot, place) for k, x in differences.items()},
        }
        yield from (((*words, key), text) for key, text in shown.items() if text is not None)


def _table(pivot: Pivot, notes: list[str]) -> Table:
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
        notes=tuple(notes),
        short=tuple(short_notes(pivot)),
        legend=tuple(legend(pivot)),
        caption=pivot.heading,
        label=_label(pivot),
        together=2 if pivot.layout.reference else 1,
    )


def _label(pivot: Pivot) -> str:
    """Return the suite's name, and what tells this table from the suite's first one."""
    suite, layout = pivot.suite, pivot.layout
    usual = choose_layout(suite) if LAYER not in layout.fields else None
    parts = [suite.name]
    if pivot.metric.name not in DEFAULTS.values():
        parts.append(pivot.metric.name)
    if suite.area is not None:
        parts.append(f"area-{suite.area}")
    if usual is None or layout.fields != usual.fields:
        parts.append(f"{'.'.join(layout.rows)}-by-{'.'.join(layout.columns)}")
    if usual is not None and layout.reference != usual.reference:
        parts.append(f"against-{layout.reference[1] if layout.reference else NOTHING}")
    return "-".join([*parts, *["pooled"] * pivot.pooled])


def _row_name(pivot: Pivot, row: Key) -> str:
    """Return the row's values, or the metric where no field spans the rows."""
    if len(row) == 1:
        return pivot.suite.name_of(pivot.layout.rows[0], row[0])
    pairs = zip(pivot.layout.rows, row, strict=True)
    return ", ".join(pivot.suite.named(*pair) for pair in pairs) or pivot.metric.label


def _heads(pivot: Pivot, column: Key) -> Iterator[Column]:
    """Yield the heads of a column's means and, where there is a reference, of its differences."""
    fields, suite = pivot.layout.columns, pivot.suite
    texts = [suite.named(*pair) for pair in zip(fields, column, strict=True)]
    last = [field_words(fields[-1]), suite.name_of(fields[-1], column[-1])] if fields else []
    levels = [*texts[:-1], *last]
    name = ", ".join(texts) or pivot.metric_heading
    if pivot.layout.reference is None:
        yield Column(name, tuple(levels))
        return
    difference = f"difference to {suite.name_of(*pivot.layout.reference)},\n95 % CI"
    yield Column(name, (*levels, "mean" if fields else pivot.metric_heading))
    yield Column(difference, (*levels, difference))


def _cells(pivot: Pivot, row: Key, column: Key) -> Iterator[Cell]:
    """Yield the mean and, where there is a reference, the difference to it."""
    place = row, column
    cell = pivot.cells.get(place)
    if cell is None:
        yield Cell(NO_CELL)
    elif not cell.n:
        yield Cell("", cell.reasons(pivot.metric))
    else:
        metric, planned = pivot.metric, pivot.planned
        text = fixed(cell.number(metric))
        yield Cell(text, cell.remark(metric, planned), cell.best, cell.mark(metric, planned))
    if pivot.layout.reference is not None:
        yield _difference(pivot, place)


def _difference(pivot: Pivot, place: Place) -> Cell:
    """Return `-4.2 [-5.1, -3.3]`, mean and interval, and the verdict in words.

    There is a dash for the control itself and for a cell without numbers.
    """
    found = pivot.differences.get(place)
    if found is None:
        return Cell(NO_CELL)
    mean, *ends = (_signed(x, pivot, place) for x in (found.mean, *(found.interval or ())))
    interval = f" [{', '.join(ends)}]" if ends else ""
    return Cell(fixed(f"{mean}{interval}"), _words(pivot, place), mark=sign_of(pivot, place))


def _signed(number: float, pivot: Pivot, place: Place) -> str:
    """Return a difference, or an end of its interval, to the digits of both."""
    found, digits = pivot.differences[place], pivot.metric.digits
    if pivot.metric.scientific:  # digits are significant ones
        return f"{number:+z.{digits}g}"
    ends = found.interval or ()
    while found.excludes_zero and digits < DIGITS and 0.0 in (round(x, digits) for x in ends):
        digits += 1  # so that no end of an interval that excludes 0 reads as 0
    return f"{number:+z.{digits}f}"


def _words(pivot: Pivot, place: Place) -> str:
    """Return the verdict, and of an undecided one how many seeds would decide."""
    found, verdict = pivot.differences[place], pivot.verdict(place)
    if verdict is None:
        equal = pivot.cells[place].values == pivot.cells[pivot.layout.base_of(*place)].values
        return "equal" if equal else "no spread" if found.interval is None else "runs failed"
    if verdict is Verdict.UNDECIDED:
        if pivot.some_fail(place):
            return f"{verdict} (seeds fail)"
        return f"{verdict} ({pivot.needed(place) or f'over {MOST_SEEDS}'} seeds)"
    clear = verdict is not Verdict.EQUIVALENT and found.within(pivot.margin)
    return f"{verdict}, within margin" if clear else str(verdict)


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
                    "trained": cell.summary["trained"],
                    UNMEASURED: cell.unmeasured,
                    "seeds": sorted(cell.values),
                    **_difference_values(pivot, (row, column)),
                }


def _difference_values(pivot: Pivot, place: Place) -> dict[str, Any]:
    if pivot.layout.reference is None:
        return {}
    found = pivot.differences.get(place)
    low, high = (found.interval if found else None) or (None, None)
    return {
        "difference": found.mean if found else None,
        "difference_low": low,
        "difference_high": high,
        "verdict": pivot.verdict(place) if found else None,
        "seeds_needed": pivot.needed(place) if found else None,
    }


def _record(pivot: Pivot, cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell as a tidy row."""
    front = {
        "suite": pivot.suite.name,
        "metric": pivot.metric.name,
        **cell["row"],
        **cell["column"],
    }
    numbers = {key: cell[key] for key in cell if key not in ("row", "column", "seeds")}
    return {**front, **numbers, "seeds": " ".join(map(str, cell["seeds"]))}
