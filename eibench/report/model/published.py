"""Published numbers beside ours: the difference, and what differs in protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eibench.plan.suite import METHOD
from eibench.report.model.document import NO_CELL, Cell, Column, Table, fixed
from eibench.report.model.pivot import Pivot, Place
from eibench.report.model.suite_results import Reference
from eibench.results.cells import Aggregate, Run
from eibench.results.labels import field_words, show_value

TITLE = "Published numbers"
WORDS = {"selection": "epoch selected on validation, theirs", "other": "theirs"}
"""Words before a note on their protocol, where the note's key does not say it."""


@dataclass(frozen=True)
class Published:
    """A cell of a table and a published number of the same method, network and data set."""

    place: Place
    cell: Aggregate
    reference: Reference
    names: tuple[str, ...]
    """Method, network, data, and whatever else tells the cell from others."""
    protocol: tuple[str, ...]
    """Differences in protocol, one each; ours first."""

    @property
    def difference(self) -> float | None:
        """Our mean less theirs; None without numbers of ours."""
        return None if self.cell.mean is None else self.cell.mean - self.reference.value


def published(table: Pivot) -> tuple[Published, ...]:
    """Return the cells of `table` beside published numbers of its metric, in order."""
    layout = table.layout
    first: dict[Place, Run] = {}
    for run in table.suite.runs:
        first.setdefault((run.values(layout.rows), run.values(layout.columns)), run)
    known = [r for r in table.suite.references if r.metric == table.metric.name]
    return tuple(
        _published(table, (row, column), first[row, column], reference)
        for row in table.rows
        for column in table.columns
        if (row, column) in first
        for reference in known
        if first[row, column].run_id in reference.runs
    )


def published_table(table: Pivot) -> list[Table]:
    """Return the table of published numbers beside ours; none where there are no such numbers."""
    found = published(table)
    if not found:
        return []
    first = Column("cell", stub=True, paragraph=0.2)
    last = Column("what differs: ours for theirs", paragraph=0.3)
    return [
        Table(
            (first, Column("ours"), Column("published"), Column("difference"), last),
            tuple(_row(one, table, sources(found)) for one in found),
            tuple(reference_notes(table, found)),
            title=TITLE,
            caption=f"{table.heading}; {TITLE.lower()}",
            label=f"{table.suite.name}-published",
        )
    ]


def _row(one: Published, table: Pivot, known: list[str]) -> tuple[Cell, ...]:
    metric, ours = table.metric, one.cell
    remark = ours.remark(metric, table.planned) or f"(n={ours.n})"
    difference = NO_CELL if one.difference is None else f"{one.difference:+z.{metric.digits}f}"
    return (
        Cell(", ".join(one.names)),
        Cell(fixed(ours.number(metric)), remark) if ours.n else Cell("", ours.reasons(metric)),
        Cell(f"{one.reference.value:g} [{known.index(one.reference.source) + 1}]"),
        Cell(difference),
        Cell("; ".join(one.protocol) or "nothing that is recorded differs"),
    )


def published_values(table: Pivot) -> list[dict[str, Any]]:
    """Return the same as plain values, unrounded."""
    return [
        {
            "row": dict(zip(table.layout.rows, one.place[0], strict=True)),
            "column": dict(zip(table.layout.columns, one.place[1], strict=True)),
            **{k: getattr(one.reference, k) for k in ("method", "model", "data", "data_title")},
            **{k: one.cell.summary[k] for k in ("mean", "std", "n")},
            "published": one.reference.value,
            "difference": one.difference,
            "protocol": one.protocol,
            "source": one.reference.source,
        }
        for one in published(table)
    ]


def sources(found: tuple[Published, ...]) -> list[str]:
    """Return the sources, each once; `[n]` beside a number means the n-th."""
    return list(dict.fromkeys(one.reference.source for one in found))


def reference_notes(table: Pivot, found: tuple[Published, ...]) -> list[str]:
    """Return what a reader must know to judge the comparison, and the sources."""
    unit = f" in {table.metric.difference_unit}" if table.metric.difference_unit else ""
    note = (
        f"Difference: our mean less the published number{unit}. Other code, machines and protocols"
        " made the published ones; what is named differs, what is not named may. Ours train without"
        " the validation split."
    )
    return [
        note,
        *(f"[{i}] {text}.".replace("`", "'") for i, text in enumerate(sources(found), start=1)),
    ]


def _published(table: Pivot, place: Place, run: Run, reference: Reference) -> Published:
    cell = table.cells[place]
    protocol = tuple(_protocol(cell, run, reference))
    return Published(place, cell, reference, tuple(_names(table, run, reference)), protocol)


def _names(table: Pivot, run: Run, reference: Reference) -> Iterator[str]:
    yield table.suite.name_of(METHOD, reference.method)
    name, *options = reference.model.items()
    yield " ".join([str(name[1]), *(f"{key} {show_value(value)}" for key, value in options)])
    yield reference.data_title or reference.data
    for field in table.layout.fields:
        if field.partition(".")[0] not in (METHOD, "model") and field != "data":
            yield table.suite.named(field, run.value(field))


def _protocol(cell: Aggregate, run: Run, reference: Reference) -> Iterator[str]:
    """Yield what differs from the protocol behind the published number, ours first."""
    if reference.data_title is not None:
        yield f"data {reference.data_title} for {reference.data}"
    for field, value in reference.fields.items():
        if (ours := run.value(field)) != value:
            yield f"{field_words(field)} {_shown(ours)} for {_shown(value)}"
    for key, value in reference.notes.items():
        if key == "seeds":
            if cell.n not in (0, value):
                yield f"n = {cell.n} for {value}"
        else:
            yield f"{WORDS.get(key, f'{key}, theirs')}: {value}"


def _shown(value: object) -> str:
    return "none" if value is None else show_value(value)
