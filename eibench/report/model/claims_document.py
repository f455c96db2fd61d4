"""The document of decided claims: a row for each, reasons below, and counts at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eibench.errors import shorten_list
from eibench.report.model.claim_results import (
    ABSENT,
    AGREES,
    DIFFERS,
    PASS,
    STATUSES,
    CellResult,
    ClaimResult,
)
from eibench.report.model.document import NO_CELL, Column, Document, Table, code, text_cells
from eibench.results.labels import counted, stated

MOST_SOURCES = 2


def claims_document(
    results: Sequence[ClaimResult], compared: Sequence[tuple[str, str]] = ()
) -> Document:
    """Return the document of decided claims; `compared` tells how each agrees with others."""
    heads = ["status", "n", "source", *(["evidence"] if compared else [])]
    columns = (
        Column("claim", stub=True),
        *map(Column, heads),
        Column("sentence", paragraph=0.5),
    )
    rows = tuple(
        text_cells(
            [
                result.claim.id,
                result.status,
                _least_n(result),
                source(result),
                *([compared[i][0]] if compared else []),
                result.sentence,
            ]
        )
        for i, result in enumerate(results)
    )
    notes = [*_reasons(results), *_differences(results, compared), counts(results)]
    table = Table(columns, rows, tuple(notes), caption="Claims", label="claims")
    return Document("Claims", (table,), values=_values(results, compared))


def counts(results: Sequence[ClaimResult]) -> str:
    """Return the last line: how many claims have each status."""
    found = Counter(result.status for result in results)
    listed = ", ".join(f"{found[status]} {status}" for status in STATUSES)
    shown = sum(result.claim.relation == "any" for result in results)
    told = f" {shown} report numbers and claim no relation." if shown else ""
    return f"{counted(len(results), 'claim')}: {listed}.{told}"


def source(result: ClaimResult) -> str:
    """Return processor and commit of the runs, in short."""
    known = dict.fromkeys(map(_source, result.environments))
    return shorten_list(known, MOST_SOURCES) or NO_CELL


def _source(environment: Mapping[str, Any]) -> str:
    known = stated(environment)
    commit = str(known.get("commit") or "no commit")[:9].removesuffix(" ")
    return f"{known.get('cpu')} {commit[:8]}"


def _least_n(result: ClaimResult) -> str:
    """Return the least and the largest number of runs behind a mean."""
    sizes = [len(sample) for cell in result.cells.values() for sample in cell.samples.values()]
    if not sizes:
        return NO_CELL
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"


def _reasons(results: Sequence[ClaimResult]) -> Iterator[str]:
    """Yield why claims do not pass."""
    for result in results:
        if result.status != PASS:
            yield f"{result.status}: {code(result.claim.id)}: {'; '.join(result.reasons)}."


def _differences(
    results: Sequence[ClaimResult], compared: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Yield which claims have other numbers than the evidence, and how many agree."""
    for result, (word, details) in zip(results, compared, strict=False):
        if word == DIFFERS:
            yield f"Differs from the evidence: {code(result.claim.id)}: {details}."
    if compared:
        found = Counter(word for word, _ in compared)
        yield (
            f"Numbers beside the evidence: {found[AGREES]} agree, {found[DIFFERS]} differ,"
            f" {found[ABSENT]} are absent on one side. By chance alone about one mean in 20"
            " differs. This does not decide a claim."
        )


def _values(results: Sequence[ClaimResult], compared: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return everything as plain values."""
    claims = [_claim_values(result) for result in results]
    for values, (word, details) in zip(claims, compared, strict=False):
        values["evidence"] = {"agreement": word, "details": details}
    found = Counter(result.status for result in results)
    return {"claims": claims, "counts": {status: found[status] for status in STATUSES}}


def _claim_values(result: ClaimResult) -> dict[str, Any]:
    claim = result.claim
    return {
        **claim.model_dump(exclude={"text", "cells"}),
        "metric": result.metric.name if result.metric else claim.metric,
        "status": result.status,
        "sentence": result.sentence,
        "reasons": result.reasons,
        "source": source(result),
        "cells": {
            name: _cell_values(claim.cells[name], cell) for name, cell in result.cells.items()
        },
    }


def _cell_values(fields: Mapping[str, Any], cell: CellResult) -> dict[str, Any]:
    return {
        "fields": fields,
        "status": cell.status,
        "reason": cell.reason,
        "numbers": dict(cell.numbers),
    }
