"""Locks in a suite's results: several commands share its runs, and each run is computed once.

A lock is a file that names its holder; see `lock_file`. Neither the files nor their takeover need
more of a file system than NFS has.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from eibench.errors import UserError
from eibench.execution.holder import Holder, this_process
from eibench.execution.lock_file import (
    EXPIRY,
    lock_files,
    make_lock,
    read_chain,
    write_temporary,
)
from eibench.results.paths import RUNNING, is_packed, member

RENEWAL = 30.0
"""Seconds between two renewals of a lock."""
DRIVER = "driver"
"""The lock of a command that works alone in a folder."""


@dataclass
class _HeldLock:
    holder: Holder
    renewed: float
    """When it was taken or renewed, by the monotonic clock."""

    def expired(self) -> bool:
        """Return whether others may have taken it over: this process was suspended, perhaps."""
        return time.monotonic() - self.renewed > EXPIRY


class Locks:
    """The locks that this process holds in a folder; a context manager that releases them."""

    def __init__(self, folder: Path) -> None:
        self.folder = member(folder, RUNNING)
        self.held: dict[str, _HeldLock] = {}
        self.began = 0.0
        """When the command began, by the clock of the file system."""
        self.closed = threading.Event()
        self.renewing: threading.Thread | None = None

    def take(self, name: str) -> Holder | None:
        """Take the lock `name`; return its holder if another process has it."""
        holder = this_process()
        temporary = write_temporary(self.folder, holder)
        try:
            other = make_lock(temporary, self.folder / name, holder)
        finally:
            temporary.unlink(missing_ok=True)
        if other is None:
            self.held[name] = _HeldLock(holder, time.monotonic())
            if self.renewing is None:
                self.renewing = threading.Thread(target=self._renew, daemon=True)
                self.renewing.start()
        return other

    def release(self, name: str) -> None:
        """Release the lock `name`, unless it was lost."""
        held = self.held.pop(name, None)
        if held and self._is_ours(name, held):
            (self.folder / name).unlink(missing_ok=True)

    def is_lost(self, name: str) -> bool:
        """Return whether another process has taken the lock over, since it was not renewed.

        The clock does not tell: it stands still while a machine sleeps.
        """
        held, other = self.held.get(name), None
        with contextlib.suppress(OSError, UserError):  # a server that does not answer now
            other = self.holder(name)
        if held is None or other is None:  # its file was deleted, perhaps with all results
            return held is None or held.expired()
        return other != held.holder

    def holder(self, name: str) -> Holder | None:
        """Return the present holder of the lock `name`, alive or not."""
        chain = read_chain(self.folder / name)
        return chain[-1].holder if chain else None

    def _is_ours(self, name: str, held: _HeldLock) -> bool:
        return self.holder(name) == held.holder

    def _renew(self) -> None:
        while not self.closed.wait(RENEWAL):
            for name, held in list(self.held.items()):
                with contextlib.suppress(OSError, UserError):  # the next renewal may succeed
                    if self._is_ours(name, held):
                        os.utime(self.folder / name, follow_symlinks=False)
                        held.renewed = time.monotonic()

    @contextmanager
    def holding(self, name: str, patience: float = EXPIRY) -> Iterator[None]:
        """Hold the lock `name` until the block ends; wait for it first.

        Raises:
            UserError: another process has held it for longer than `patience` in seconds.
        """
        deadline = time.monotonic() + patience
        while (other := self.take(name)) is not None:
            if time.monotonic() > deadline:
                raise UserError(f"{self.folder.parent}: {name} is locked by {other.where}")
            time.sleep(0.02)
        try:
            yield
        finally:
            self.release(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        with contextlib.suppress(OSError, UserError):  # the folder may be gone, or others be there
            for name in list(self.held):
                self.release(name)
            for name in lock_files(self.folder.parent):  # of commands that were killed
                if self.take(name) is None:
                    self.release(name)
            self.folder.rmdir()


@contextmanager
def shared(folder: Path) -> Iterator[Locks]:
    """Work in `folder` beside other commands until the block ends; gives the locks of its runs.

    Raises:
        UserError: it holds packed results, or cannot be written, now or within the block.
    """
    if is_packed(folder):
        raise UserError(f"{folder}: holds packed results, which are only read; name another folder")
    try:
        member(folder.parent, folder.name).mkdir(parents=True, exist_ok=True)
        locks = Locks(folder)
        probe = write_temporary(locks.folder, this_process())
        locks.began = probe.stat().st_mtime
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        with locks:
            yield locks
    except OSError as error:  # a full disk, a folder that is no longer there
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{error.strerror or error}") from None


@contextmanager
def locked(folder: Path) -> Iterator[Locks]:
    """Work alone in `folder` until the block ends; gives the locks of its runs.

    Raises:
        UserError: as `shared`, or another process works there.
    """
    with shared(folder) as locks:
        if (other := locks.take(DRIVER)) is not None:
            where = f"{other.where}, since {other.since}" if other.since else other.where
            raise UserError(f"{folder}: another eibench run is working here ({where})")
        yield locks
