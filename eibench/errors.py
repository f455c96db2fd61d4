"""The two ways eibench says no.

`UserError` is for what a person can mend (a typo, a missing file): the command line prints its
message and exits with code 2. `BadSuite` is the same for a suite file, and carries every problem
found, each with file, line and key. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend; its text is all they need to see."""


class BadSuite(UserError):
    """A suite that cannot be planned; `problems` lists every reason, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'depth'?` for the nearest known name, or nothing when none is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
