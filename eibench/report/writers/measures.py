"""Estimates of the width and height of text in LaTeX's Computer Modern, in points."""

from __future__ import annotations

import functools

SMALL, FOOTNOTE, SCRIPT = 0.925, 0.85, 0.8
"""Width of type in LaTeX's sizes, relative to 10 pt."""
BOLD = 1.15
"""Width of bold type, relative to upright type."""
_CLASSES = {
    2.8: "ijl.,:;'!|[]",
    3.4: " frtsI()/-`\N{NO-BREAK SPACE}",
    4.5: "cezv",
    5.0: '0123456789abghnopqudkxy"*$?\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079',
    8.5: "mMWw%@\u00b1+=<>\u2212\u2264\u2265\u2248\u2192\u00d7&",
}
_WIDTHS = {char: width for width, chars in _CLASSES.items() for char in chars}
_OTHER = 7.2
"""Width of all other characters, such as capitals."""


@functools.lru_cache(10_000)
def text_width(text: str, size: float = SMALL, signed: bool = False) -> float:
    """Return about how wide `text` is on one line; with `signed` hyphens are minus signs."""
    shown = text.replace("-", "\u2212") if signed else text
    return size * sum(_WIDTHS.get(char, _OTHER) for char in shown)


def lines_of(text: str, width: float, size: float = FOOTNOTE) -> int:
    """Return about how many lines `text` takes in a paragraph of `width` points."""
    return int(1.05 * text_width(text, size) / width) + 1
