"""Documents for other programs: CSV and JSON with plain names and unrounded numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from eibench.report.model.document import Document
from eibench.report.writers.escape import csv_cell, json_text


def to_csv(documents: Sequence[Document]) -> str:
    """Return the records of all documents under one head; a record is empty where it has no value.

    The columns that documents lead with come first.
    """
    records = [record for document in documents for record in document.records]
    first = [key for document in documents for key in document.keys]
    columns = list(dict.fromkeys([*first, *(key for record in records for key in record)]))
    rows = [[csv_cell(record.get(column)) for column in columns] for record in records]
    heads = list(map(csv_cell, columns))
    return pd.DataFrame(rows, columns=heads, dtype=object).to_csv(index=False, lineterminator="\n")


def to_json(documents: Sequence[Document]) -> str:
    """Return a list with an object for each subject, which all its documents share."""
    subjects: dict[str, dict[str, Any]] = {}
    for document in documents:
        subjects[document.subject] = {**document.values, **subjects.get(document.subject, {})}
    return json_text(list(subjects.values()))
