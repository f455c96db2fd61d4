"""Text from outside in each language that a report is written in, never read as that language."""

from __future__ import annotations

import html
import json
import re
import textwrap
from typing import Any

from eibench.errors import printable
from eibench.report.model.document import FIXED
from eibench.report.writers.signs import sign

_LATEX = {
    **{char: f"\\{char}" for char in "_%&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
}
"""Signs of ASCII that LaTeX would misread."""
_UNKNOWN = re.compile(r"\[U\+([0-9A-F]{4,6})\]")
_MARKDOWN = re.compile(
    r"(?P<interval>\[[-+]?[\d.]+, [-+]?[\d.]+\](?![(\[:]))|[\\`*\[\]<>|#~$]|&(?=#?\w)"
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of cells that a spreadsheet would compute."""


def terminal(text: str) -> str:
    """Return `text` on one line, its control and other unprintable characters as escapes."""
    return FIXED.join(map(printable, text.split(FIXED)))


def plain(text: str) -> str:
    """Return `text` with ordinary spaces in place of fixed ones."""
    return text.replace(FIXED, " ")


def break_lines(text: str, width: int, keep_fixed: bool = False) -> str:
    """Return `text` in lines of at most `width` characters where its spaces allow that.

    A fixed space stays one with `keep_fixed`; else it is a break where a line is too long without.
    """
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    if keep_fixed:
        return "\n".join(lines)
    if max(map(len, lines), default=0) > width and FIXED in text:
        return break_lines(plain(text), width)
    return plain("\n".join(lines))


def latex(text: str) -> str:
    """Return `text` as LaTeX prints it with no package; white space becomes a space.

    A sign that LaTeX lacks appears as `[U+1F600]`; see `missing_signs`.
    """
    return "".join(map(_latex_char, text))


def _latex_char(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    if char.isascii():
        return char if char.isprintable() else " " if char.isspace() else _unknown(char)
    found = sign(char)
    return _unknown(char) if found is None else found


def _unknown(char: str) -> str:
    return f"[U+{ord(char):04X}]"


def missing_signs(text: str) -> list[str]:
    """Return the signs that stand in LaTeX `text` by their numbers, each once."""
    codes = dict.fromkeys(_UNKNOWN.findall(text))
    return [f"{printable(chr(int(code, 16)))} (U+{code})" for code in codes]


def latex_label(text: str) -> str:
    """Return `text` as part of a label or file name: letters, digits and `-_.` alone."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)


def markdown(text: str) -> str:
    """Return `text` on one line without a meaning in Markdown or HTML.

    Underscores inside words and brackets around an interval have none on GitHub.
    """
    return _markdown(printable(" ".join(text.split())))


def markdown_note(note: str) -> str:
    """Return a note, in which names stand between backticks, as Markdown."""
    parts = [printable(part) for part in note.split("`")]
    parts[::2] = map(_markdown, parts[::2])
    return "`".join(parts)


def _markdown(line: str) -> str:
    line = _MARKDOWN.sub(lambda found: found["interval"] or rf"\{found[0]}", line)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", line)


def markup(text: str) -> str:
    """Return `text` as HTML prints it, in an element or an attribute."""
    return html.escape(terminal(text))


def markup_note(note: str) -> str:
    """Return a note, in which names stand between backticks, as HTML."""
    parts = list(map(markup, note.split("`")))
    parts[1::2] = (f"<code>{part}</code>" for part in parts[1::2])
    return "".join(parts)


def script_json(content: Any) -> str:
    """Return `content` as short JSON that can stand in a script element of HTML."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def csv_cell(value: Any) -> Any:
    """Return what CSV has of `value`: text that would be a formula has an apostrophe in front."""
    if not isinstance(value, str):
        return value
    guard = "'" if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value) else ""
    return guard + "\n".join(map(printable, value.split("\n")))


def json_text(content: Any) -> str:
    """Return `content` as JSON of the same value, without unprintable characters."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub(r"[^\n -~]", lambda found: _json_char(found[0]), text)


def _json_char(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]
