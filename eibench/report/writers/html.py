"""Documents as one page of HTML that opens anywhere: no network, no other file.

A policy in its head allows the page's own style and scripts, known by their digests, and nothing
else. Charts are drawn from JSON that no text of a suite can leave.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import shorten
from eibench.report.model.document import Cell, Chart, Column, Document, SourceText, Table, bolded
from eibench.report.writers.escape import markup, markup_note, script_json
from eibench.version import __version__

STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}") for kind in ("css", "js"))
LONGEST_TITLE = 200
MOST_OPEN = 5
"""Notes below a table that are shown at once; the others are unfolded."""
FEW_ROWS = 6
"""Rows up to which a table has no filter."""
ABOUT = (
    "Charts have about 2000 rows at most: of longer lines and maps they keep every k-th point and"
    " the last; their numbers have four digits. Tables are complete. `eibench.load_results`,"
    " `load_epochs` and `load_layers` have all numbers."
)


Layers = dict[str, int]
"""Layers of charts as JSON and their places; charts of several suites share most of them."""


def to_html(documents: Sequence[Document]) -> str:
    """Return the page: a section for each subject, in the order of the documents."""
    groups = [list(group) for _, group in itertools.groupby(documents, lambda d: d.subject)]
    title = _heading(groups[0][0]) if len(groups) == 1 else "eibench results"
    drawn = any(document.charts for document in documents)
    scripts = [*([_bundle()] if drawn else []), SCRIPT.read_text(encoding="utf-8")]
    style = STYLE.read_text(encoding="utf-8")
    anchors = _anchors(groups)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, scripts)}">',
        '<meta name="referrer" content="no-referrer">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_title(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#main">Skip to the results</a>',
        f"<header><h1>{_title(title)}</h1>",
        *_contents(groups, anchors),
        "</header>",
        '<main id="main">',
        "<noscript><p>Charts, sorting and filters need JavaScript. Tables are complete"
        " without.</p></noscript>",
    ]
    layers: Layers = {}
    for group, anchor in zip(groups, anchors, strict=True):
        parts += _section(group, anchor, len(groups) > 1, layers)
    parts += ["</main>", f"<footer><p>{markup_note(ABOUT)}</p>",
              f"<p>Made with eibench {__version__}.</p></footer>"]  # fmt: skip
    parts += [
        f'<script type="application/json" id="layers.all">[{",".join(layers)}]</script>'
    ] * drawn
    parts += [f"<script>{script}</script>" for script in scripts]
    return "\n".join([*parts, "</body>", "</html>", ""])


@functools.cache
def _bundle() -> str:
    """Return the library that draws charts, once for all of them."""
    import vl_convert

    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", text, flags=re.I)


def _policy(style: str, scripts: Iterable[str]) -> str:
    """Return what the page may do: apply its own style and run its own scripts."""
    allowed = " ".join(map(_digest, scripts))
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; {rest}"


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _heading(document: Document) -> str:
    return document.under or document.title


def _title(text: str) -> str:
    return markup(shorten(text, LONGEST_TITLE))


def _anchors(groups: Sequence[Sequence[Document]]) -> list[str]:
    """Return a name for each section that no other has."""
    taken: dict[str, int] = {}
    found = []
    for group in groups:
        name = re.sub(r"[^a-z0-9]+", "-", _heading(group[0])[:60].lower()).strip("-") or "section"
        taken[name] = taken.get(name, 0) + 1
        found.append(f"{name}-{taken[name]}" if taken[name] > 1 else name)
    return found


def _contents(groups: Sequence[Sequence[Document]], anchors: Sequence[str]) -> Iterator[str]:
    """Yield the table of contents: sections, or the parts of the only one."""
    if len(groups) > 1:
        links = [(a, _heading(group[0])) for a, group in zip(anchors, groups, strict=True)]
    else:
        links = [(_part(anchors[0], i), d.title) for i, d in enumerate(groups[0], start=1)]
    if len(links) > 1:
        yield '<nav aria-label="Contents"><ul>'
        for anchor, title in links:
            yield f'<li><a href="#{anchor}">{_title(title)}</a></li>'
        yield "</ul></nav>"


def _part(anchor: str, i: int) -> str:
    return f"{anchor}.{i}"


def _section(
    group: Sequence[Document], anchor: str, several: bool, layers: Layers
) -> Iterator[str]:
    """Yield a section; its title is that of the page where it is the only one."""
    yield f'<section aria-labelledby="{anchor}">' if several else "<section>"
    if several:
        yield f'<h2 id="{anchor}">{_title(_heading(group[0]))}</h2>'
    for i, document in enumerate(group, start=1):
        level = 3 if several else 2
        name = _part(anchor, i)
        if document.under or not several:
            yield f'<h{level} id="{name}">{_title(document.title)}</h{level}>'
        yield from (f'<p class="lead">{markup_note(note)}</p>' for note in document.lead)
        for table in document.tables:
            yield from _table(table, document.title, level + 1)
        if document.charts:
            yield '<div class="charts">'
            for chart in document.charts:
                yield from _chart(chart, level + 1, layers)
            yield "</div>"
        for listing in document.listings:
            yield from _listing(listing)
    yield "</section>"


def _table(table: Table, title: str, level: int) -> Iterator[str]:
    """Yield a table in a box of its own that scrolls, and the notes below."""
    if table.title:
        yield f"<h{level}>{_title(table.title)}</h{level}>"
    name = _title(table.title or title)
    few = " few" * (len(table.rows) <= FEW_ROWS)
    yield f'<div class="table{few}">'
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
    yield "<table>"
    yield f'<caption class="hidden">{name}</caption>'
    yield from _head(table)
    yield "<tbody>"
    above = [Cell("")] * table.stubs
    for row in table.rows:
        names = [c if c.text else up for c, up in zip(row, above, strict=False)]
        cells = [*names, *row[len(names) :]]
        above = names
        heads = zip(cells, table.columns, strict=True)
        yield f"<tr>{''.join(_cell(cell, column) for cell, column in heads)}</tr>"
    yield "</tbody></table></div></div>"
    yield from _notes(table.notes)


def _head(table: Table) -> Iterator[str]:
    """Yield the heads of the columns, whose buttons sort; above them those of groups."""
    others = table.columns[table.stubs :]
    grouped = bool(others) and all(len(column.levels) > 1 for column in others)
    yield "<thead>"
    if grouped:
        yield "<tr>" + '<td class="stub"></td>' * table.stubs
        for name, span in _groups(table):
            yield f'<th scope="colgroup" colspan="{span}">{_lines(name)}</th>'
        yield "</tr>"
    yield "<tr>"
    for column in table.columns:
        text = column.levels[-1] if grouped and not column.stub else column.name
        kind = ' class="stub"' if column.stub else ""
        yield f'<th scope="col"{kind}><button type="button">{_lines(text)}</button></th>'
    yield "</tr></thead>"


def _groups(table: Table) -> Iterator[tuple[str, int]]:
    """Yield the name and the width of neighbours that share all but their last level."""
    columns = table.columns[table.stubs :]
    for levels, same in itertools.groupby(columns, key=lambda column: column.levels[:-1]):
        first, *others = same
        yield (first.name if table.together > 1 else ", ".join(levels)), 1 + len(others)


def _lines(text: str) -> str:
    return "<br>".join(map(markup, text.split("\n")))


def _cell(cell: Cell, column: Column) -> str:
    text = _lines(cell.text)
    text = f"<strong>{text}</strong>" if cell.best else text
    remark = f' <span class="remark">{markup(cell.remark)}</span>' if cell.remark else ""
    if column.stub:
        return f'<th scope="row" class="stub">{text}{remark}</th>'
    kind = ' class="long"' if column.paragraph else ""
    return f"<td{kind}>{text}{remark}</td>"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """Yield notes as a list, the later ones of many folded."""
    items = [f"<li>{markup_note(bolded(note))}</li>" for note in notes]
    if items:
        yield f'<ul class="notes">{"".join(items[:MOST_OPEN])}</ul>'
    if more := items[MOST_OPEN:]:
        yield f'<details class="notes"><summary>{len(more)} more notes</summary>'
        yield f"<ul>{''.join(more)}</ul></details>"


def _chart(chart: Chart, level: int, layers: Layers) -> Iterator[str]:
    """Yield the place of a chart, its description, and its data; `layers` takes its layers."""
    drawn = [layers.setdefault(script_json(layer), len(layers)) for layer in chart.spec["layer"]]
    data = {
        "title": chart.title,
        "spec": {**chart.spec, "layer": drawn},
        "length": len(chart.rows),
        "columns": {name: _packed(column) for name, column in _columns(chart)},
        "series": chart.series,
        "panels": chart.panels,
    }
    yield f'<figure class="chart"><h{level}>{_title(chart.title)}</h{level}>'
    yield f"<figcaption>{markup_note(chart.text)}</figcaption>"
    yield f'<script type="application/json">{script_json(data)}</script></figure>'


def _columns(chart: Chart) -> Iterator[tuple[str, list[Any]]]:
    return ((name, [row[i] for row in chart.rows]) for i, name in enumerate(chart.columns))


def _packed(column: Sequence[Any]) -> Any:
    """Return a column in short.

    Equal values that are together are `{"runs": [value, count, ...]}`; what begins again is
    `{"cycle": [its first values]}`.
    """
    runs = [(value, len(list(same))) for value, same in itertools.groupby(column, key=repr)]
    if 2 * len(runs) < len(column):
        starts = itertools.accumulate((count for _, count in runs[:-1]), initial=0)
        pairs = zip(starts, runs, strict=True)
        return {"runs": [x for start, (_, n) in pairs for x in (column[start], n)]}
    names = [value for value, count in runs for _ in range(count)]
    for period in range(1, len(names) // 2 + 1):
        if names[period] == names[0] and names[period:] == names[:-period]:
            return {"cycle": column[:period]}
    return column


def _listing(listing: SourceText) -> Iterator[str]:
    """Yield a text that is unfolded; it has line breaks and no other control characters."""
    yield f"<details><summary>{_title(listing.title)}</summary>"
    lines = "\n".join(map(markup, listing.text.rstrip("\n").split("\n")))
    yield f'<pre tabindex="0" role="region" aria-label="{_title(listing.title)}">{lines}</pre>'
    yield "</details>"
