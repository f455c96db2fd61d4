"""Exceptions for users, and functions that make their text safe to print.

`UserError` is for problems that a user can solve (a typo, a missing file): the command line prints
its message and exits with code 2. `BadSuite` is a `UserError` of a suite file; it lists every
problem with file, line and key. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable

remark_listeners: list[Callable[[str], object]] = []
"""Receivers of remarks to the user that are no errors; the command line prints them."""
LONGEST_LINE = 2000
"""Maximal length of a line of a message in characters; longer lines are shortened in the middle."""
MOST_LINES = 50
LONGEST_WORD = 200
"""Length in characters above which no similar name is searched for."""
MOST_KNOWN = 1000
"""Number of names among which a similar one is searched for."""


class UserError(Exception):
    """Problem that the user can solve; the text is all they need to see.

    The text may quote files and options, so it is made printable and its length is bounded.
    """

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        more = [f"... and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        super().__init__("\n".join([*map(_one_line, lines[:MOST_LINES]), *more]))


class BadSuite(UserError):
    """Suite that cannot be planned; `problems` lists every reason, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[BadSuite], tuple[list[str]]]:
        return type(self), (self.problems,)


class DataError(Exception):
    """Data set that is missing or damaged; the message names the file and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class AbsentDataError(DataError):
    """Data set that is not on this machine."""


class AbsentData(UserError):
    """Runs that need a data set that is not on this machine."""


def printable(text: str) -> str:
    """Return `text` with control, bidirectional and other unprintable characters as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    """Return the escape sequence of a character, or of a byte that is not valid UTF-8."""
    byte = ord(char) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return char.encode("unicode_escape").decode()


def shorten(text: str, length: int) -> str:
    """Return `text`, shortened in the middle if it has more than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 5) * 2 // 3
    return f"{text[:head]} ... {text[len(text) - (length - 5 - head) :]}"


def _one_line(text: str) -> str:
    """Return a printable line of bounded length; shortened first, since escaping may take time."""
    return shorten(printable(shorten(text, LONGEST_LINE)), LONGEST_LINE)


def shorten_list(names: Iterable[str], most: int = 5) -> str:
    """Join the first `most` names; say how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'depth'?` for the most similar known name, or an empty text."""
    if len(str(word)) > LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(
        str(word), itertools.islice(known, MOST_KNOWN), n=1, cutoff=0.6
    )
    return f"; did you mean {near[0]!r}?" if near else ""


class ControlFlow(BaseException):
    """Base of exceptions by which eibench ends a run; not a failure of the code that runs."""


def reraise_interrupt(error: BaseException) -> None:
    """Raise `error` again if it is an interrupt or a `ControlFlow`, and so no failure.

    For handlers of `BaseException` around code that may belong to a plugin. Such code can raise
    `SystemExit` or exceptions derived from `BaseException`, and none of them may end eibench.
    """
    if isinstance(error, KeyboardInterrupt | ControlFlow):
        raise error


def error_text(error: BaseException) -> str:
    """Return the text of an exception, of bounded length; never raises, whatever its class does."""
    try:
        text = str(error)
    except BaseException as other:
        reraise_interrupt(other)
        return "(its text cannot be read)"
    return shorten(text, LONGEST_LINE)


def describe_error(error: BaseException) -> str:
    """Return `Type: text` of an exception; of a `UserError` only the text."""
    text = error_text(error)
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def error_line(error: BaseException) -> str:
    """Return the text of an exception in one line, or its type if it has no text."""
    return " ".join(error_text(error).split()) or type(error).__name__
