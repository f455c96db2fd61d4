"""Lock files: how one is made, read, taken over and removed.

    results/SUITE/.running/NAME          who holds the lock NAME: a run's identity, or another word
    results/SUITE/.running/NAME.NONCE    who takes it over from the holder with this nonce

A lock file appears with its content, by a hard link, which is atomic on NFS too. Its holder renews
its time stamp. A lock is stale if its process is dead, as seen on the same machine, or else if it
was not renewed for `EXPIRY`. Any number of processes may try to take a stale lock over at once. The
file of the successor has a unique name: one process alone makes it, and replaces the lock file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from eibench.errors import UserError
from eibench.execution.holder import DAMAGED, NONCE, Holder, parse_holder
from eibench.files import read_bytes
from eibench.results.paths import RUNNING, member

try:
    import fcntl
except ImportError:  # not a POSIX system: files cannot be locked, and no worker is waited for
    fcntl = None  # type: ignore[assignment]

EXPIRY = 300.0
"""Seconds without renewal after which a lock is stale if its process cannot be seen from here; NFS
clients remember time stamps for up to 60 seconds."""
PATIENCE = 10.0
"""Seconds that workers of a killed command have to notice it."""
LARGEST = 2**16
"""Bytes of a lock file."""
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)
"""Errors of file systems without hard links."""
OF_SUCCESSOR = re.compile(rf"\.(?:{NONCE}|{DAMAGED})$")


class LockFile(NamedTuple):
    """A lock file as it was read."""

    path: Path
    holder: Holder
    renewed: float
    """Time stamp, by the clock of the file system."""

    def is_stale(self, now: float) -> bool:
        """Return whether the holder is gone; `now` is of the file system's clock."""
        alive = self.holder.alive()
        return now - self.renewed > EXPIRY if alive is None else not alive


def lock_files(folder: Path) -> dict[str, LockFile]:
    """Return the locks in a suite's results `folder` by name, each with its last holder."""
    running = member(folder, RUNNING)
    try:
        names = sorted(os.listdir(running))
    except OSError:  # nothing runs, or ran
        return {}
    chains = {
        name: read_chain(running / name)
        for name in names
        if not name.endswith(".tmp") and not OF_SUCCESSOR.search(name)
    }
    return {name: chain[-1] for name, chain in chains.items() if chain}


def read_chain(path: Path) -> list[LockFile]:
    """Return the lock file at `path` and those that take over from it; empty without any.

    A chain ends where a nonce comes again: of two damaged files, say.
    """
    found: dict[str, LockFile] = {}
    file = _read(path)
    while file is not None and file.holder.nonce not in found:
        found[file.holder.nonce] = file
        file = _read(_successor(path, file.holder))
    return list(found.values())


def _read(path: Path) -> LockFile | None:
    try:
        content = read_bytes(path, LARGEST, follow_links=False)
        return LockFile(path, parse_holder(content), os.lstat(path).st_mtime)
    except FileNotFoundError:
        return None


def _successor(path: Path, holder: Holder) -> Path:
    return path.with_name(f"{path.name}.{holder.nonce}")


def write_temporary(folder: Path, holder: Holder) -> Path:
    """Write a file that is to be a lock file in `folder`."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle, path = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        except FileNotFoundError:  # another process has just removed the empty folder
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(holder.to_json())
        os.chmod(path, 0o644)  # other users read who holds it
        return Path(path)


def make_lock(temporary: Path, path: Path, holder: Holder) -> Holder | None:
    """Make the lock file `path` of `temporary`, or take it over; return the holder if another
    process has it."""
    now = temporary.stat().st_mtime
    while not _publish(temporary, path):
        chain = read_chain(path)
        if not chain:
            continue  # released in this moment
        last = chain[-1].holder
        if not chain[-1].is_stale(now) or not _workers_ended(chain):
            return last
        successor = _successor(path, last)
        if not _publish(temporary, successor):
            there = _read(successor)
            if there and there.holder.nonce in (file.holder.nonce for file in chain):
                raise UserError(f"{path}: damaged, as is its successor; delete {path.name}*")
            continue  # another process was faster
        expected = [*(file.holder for file in chain), holder]
        if [file.holder for file in read_chain(path)] != expected:
            successor.unlink(missing_ok=True)  # it was taken over and released since it was read
            continue
        os.replace(temporary, path)
        for old in path.parent.glob(f"{path.name}.*"):
            old.unlink(missing_ok=True)
        return None
    return None


def _publish(temporary: Path, path: Path) -> bool:
    """Make the file `path` with the content of `temporary`; return False if there is one."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        with contextlib.suppress(OSError):
            return os.path.samefile(temporary, path)  # made by us: a server's answer was lost
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            with path.open("xb") as file:
                file.write(temporary.read_bytes())
        except FileExistsError:
            return False
    return True


def _workers_ended(chain: list[LockFile]) -> bool:
    """Wait for the workers of a command that was killed; return False if they go on."""
    deadline = time.monotonic() + PATIENCE
    while fcntl is not None and any(_has_worker(file.path) for file in chain):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _has_worker(path: Path) -> bool:
    """Return whether a process attends to the lock file; see `attending`."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that locks no files
        return False
    finally:
        os.close(handle)
    return False


@contextmanager
def attending(folder: Path) -> Iterator[None]:
    """Make known, until the block ends, that this worker computes the run in `folder` for the
    command that holds its lock: a command that is killed leaves such processes for a moment."""
    handle = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            handle = os.open(folder.parent / RUNNING / folder.name, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_SH)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
