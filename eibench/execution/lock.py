"""One process at a time in one suite's results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eibench.errors import UserError
from eibench.results.paths import member, open_regular

try:
    import fcntl
except ImportError:  # not a POSIX system: no lock, the user takes care
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` until the block ends; the system lets go when the process dies.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    try:
        member(folder.parent, folder.name).mkdir(parents=True, exist_ok=True)
        file = open_regular(folder / ".lock", "rb+")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"{folder}: another eibench run is working here") from None
        yield
