"""Single numbers as LaTeX macros, for the text of a paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from eibench.report.model.document import Document
from eibench.report.writers.escape import terminal

PREFIX = "eib"
"""Beginning of every name, so that none is a command of LaTeX or of another package."""
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
HEADER = "% Numbers of tables; mean, deviation, n, and difference to the control with its interval."


def to_macros(documents: Sequence[Document]) -> str:
    r"""Return a `\\newcommand` for every number, each under a name that no other has."""
    taken: set[str] = set()
    lines = [HEADER]
    last: tuple[str, ...] = ()
    for document in documents:
        for words, text in document.numbers:
            if words[:-1] != last:
                last = words[:-1]
                lines.append(f"% {terminal(', '.join(last))}")
            name = next(name for name in _names(words) if name not in taken)
            taken.add(name)
            lines.append(rf"\newcommand{{\{name}}}{{\ensuremath{{{_number(text)}}}}}")
    return "\n".join(lines) + "\n"


def _names(words: Sequence[str]) -> Iterator[str]:
    """Yield the name of a macro, then others for where it is taken."""
    *front, last = map(_letters, words)
    yield PREFIX + "".join([*front, last])
    for i in range(2, 10**6):
        yield PREFIX + "".join([*front, "Again", _letters(str(i)), last])


def _letters(text: str) -> str:
    """Return `depth 16` as `DepthOneSix`: the letters that a macro's name may have."""
    spelled = re.sub(r"(?<=\d)\.(?=\d)", " Point ", text)
    parts = re.findall(r"[A-Za-z]+|[0-9]|[^\x00-\x7f]", unicodedata.normalize("NFKD", spelled))
    return "".join(map(_word, parts))


def _word(part: str) -> str:
    if part.isdigit() and part.isascii():
        return _DIGITS[int(part)]
    if part.isascii():
        return part[0].upper() + part[1:]
    if unicodedata.combining(part):
        return ""
    name = unicodedata.name(part, "") if part.isalpha() else ""
    return re.sub("[^A-Za-z]", "", name.rpartition(" ")[2].capitalize())


def _number(text: str) -> str:
    """Return a number as mathematics: `1e-05` as a power of ten."""
    return re.sub(r"e([-+]\d+)$", lambda found: rf"\cdot 10^{{{int(found[1])}}}", text)
