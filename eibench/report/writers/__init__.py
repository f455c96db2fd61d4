"""From documents to text: terminal, Markdown, LaTeX, macros, HTML, CSV and JSON, a module each."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Literal

from eibench.report.model.document import Document

Format = Literal["table", "markdown", "latex", "macros", "html", "csv", "json"]
WIDTH = 100
"""Characters of a line where there is no terminal to ask."""
_MODULES = {
    "table": "text",
    "markdown": "markdown",
    "latex": "latex",
    "macros": "macros",
    "html": "html",
    "csv": "data",
    "json": "data",
}


def write(
    documents: Sequence[Document],
    form: Format,
    width: int = WIDTH,
    styled: bool = False,
    standalone: bool = False,
) -> str:
    """Return documents as text in `form`.

    `width` and `styled` are for a terminal; with `standalone` LaTeX is a whole document.
    """
    writer = importlib.import_module(f"{__name__}.{_MODULES[form]}")  # each loads its own library
    if form == "table":
        return "\n\n".join(writer.to_text(document, width, styled) for document in documents)
    if form == "markdown":
        return "\n".join(writer.to_markdown(document) for document in documents)
    more = {"standalone": standalone} if form == "latex" else {}
    text: str = getattr(writer, f"to_{form}")(documents, **more)
    return text
