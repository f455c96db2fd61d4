"""The two ways eibench says no.

`UserError` is for what a person can mend (a typo, a missing file): the command line prints its
message and exits with code 2. `BadSuite` is the same for a suite file, and carries every problem
found, each with file, line and key. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

LONGEST_LINE = 2000
"""Characters of a line of a message; what is longer is cut in the middle."""
MOST_LINES = 50
LONGEST_WORD = 200
"""Characters of a name for which a near one is looked for."""
MOST_KNOWN = 1000
"""Names among which one is looked for."""


class UserError(Exception):
    """Something the user can mend; its text is all they need to see.

    The text quotes files and options, and so is made printable and of bounded length.
    """

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        more = [f"... and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        super().__init__("\n".join([*map(_one_line, lines[:MOST_LINES]), *more]))


class BadSuite(UserError):
    """A suite that cannot be planned; `problems` lists every reason, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[BadSuite], tuple[list[str]]]:
        return type(self), (self.problems,)


class DataError(Exception):
    """A data set that is absent or damaged; the message says which file and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """Return `text` with control, bidirectional and other unprintable characters as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    """The escape of a character; of a byte that was no UTF-8, as Python reads names, its value."""
    byte = ord(char) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return char.encode("unicode_escape").decode()


def shorten(text: str, length: int) -> str:
    """Return `text`, cut in the middle where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 5) * 2 // 3
    return f"{text[:head]} ... {text[len(text) - (length - 5 - head) :]}"


def _one_line(text: str) -> str:
    """A line of a message; cut before it is escaped too, which may take time."""
    return shorten(printable(shorten(text, LONGEST_LINE)), LONGEST_LINE)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'depth'?` for the nearest known name, or nothing when none is near."""
    if len(str(word)) > LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(
        str(word), itertools.islice(known, MOST_KNOWN), n=1, cutoff=0.6
    )
    return f"; did you mean {near[0]!r}?" if near else ""


class Control(BaseException):
    """Ends a run on eibench's own behalf; no failure of the code that runs."""


def pass_on(error: BaseException) -> None:
    """Raise `error` again where it is an interrupt or eibench's own, and so no failure.

    For handlers of `BaseException` around code that may be a plugin's: that can raise `SystemExit`,
    or an exception of its own kind, and none of them may end eibench.
    """
    if isinstance(error, KeyboardInterrupt | Control):
        raise error


def text_of(error: BaseException) -> str:
    """Return the text of an exception, of bounded length; never raises, whatever its class does."""
    try:
        text = str(error)
    except BaseException as other:
        pass_on(other)
        return "(its text cannot be read)"
    return shorten(text, LONGEST_LINE)


def described(error: BaseException) -> str:
    """Return `Type: text` of an exception; of a `UserError` the text alone, which says all."""
    text = text_of(error)
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
