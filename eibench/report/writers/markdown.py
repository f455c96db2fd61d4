"""Documents as Markdown for GitHub: a section each, the best cells in bold, notes as lists."""

from __future__ import annotations

from tabulate import tabulate

from eibench.report.model.document import Cell, Document, Table, bolded
from eibench.report.writers.escape import markdown, markdown_note


def to_markdown(document: Document) -> str:
    """Return the document as a section, with a part for each table that has a title."""
    blocks = [f"### {markdown(document.title)}"]
    for table in document.tables:
        blocks += [f"#### {markdown(table.title)}"] if table.title else []
        blocks.append(_grid(table))
        if table.notes:
            blocks.append("\n".join(f"- {markdown_note(bolded(note))}" for note in table.notes))
    return "\n\n".join(blocks) + "\n"


def _grid(table: Table) -> str:
    heads = [markdown(column.name) for column in table.columns]
    body = [list(map(_cell, row)) for row in table.rows]
    return tabulate(body, heads, "github", disable_numparse=True)


def _cell(cell: Cell) -> str:
    text = markdown(cell.text)
    return f"{f'**{text}**' if cell.best else text} {markdown(cell.remark)}".strip()
