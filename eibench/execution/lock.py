"""One process at a time in one suite's results."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from eibench.errors import UserError
from eibench.results.paths import is_packed, member, open_regular

try:
    import fcntl
except ImportError:  # not a POSIX system: folders cannot be locked, and no worker is waited for
    fcntl = None  # type: ignore[assignment]


PATIENCE = 10.0
"""Seconds that workers of a killed command have to notice it."""


@functools.cache
def attend(folder: Path) -> None:
    """Make known, until this process ends, that it works in `folder` for the command that holds
    it: a command that was killed leaves such processes for a moment."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)


def _wait_for_attendants(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    text = "workers of an earlier eibench run are still working here"
                    raise UserError(f"{folder}: {text}") from None
            except OSError:  # a file system that locks no folders
                return
            time.sleep(0.01)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` until the block ends; the system lets go when the process dies.

    Raises:
        UserError: another process holds it, or it cannot be written, now or within the block.
    """
    if is_packed(folder):
        raise UserError(f"{folder}: holds packed results, which are only read; name another folder")
    try:
        member(folder.parent, folder.name).mkdir(parents=True, exist_ok=True)
        open_regular(folder / ".lock", "rb+").close()
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another eibench run is working here") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        if fcntl is not None:
            _wait_for_attendants(folder)
        yield
    except OSError as error:  # a full disk, a folder that is no longer there
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{error.strerror or error}") from None
    finally:
        lock.release()
