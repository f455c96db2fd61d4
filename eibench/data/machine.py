"""What reading images may take of this machine. It changes no number, so no run knows of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from eibench.errors import DataError

MEMORY = "EIBENCH_MEMORY_GIB"
"""The environment variable of the largest data set, in GiB, that is held in memory."""
WORKERS = "EIBENCH_WORKERS"
"""The environment variable of the number of processes that read images."""
DEFAULT_GIB = 4.0
MOST = 16
GIB = 2**30
SHARED = "/dev/shm"
"""Where Linux keeps what processes share."""


def memory_limit() -> float:
    """Bytes that a data set may take in memory; a larger one is read batch by batch."""
    return GIB * _number(MEMORY, DEFAULT_GIB)


def worker_count() -> int:
    """Processes that read images: one for each usable core, at most `MOST`."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return int(_number(WORKERS, min(cores, MOST)))


def shared_memory() -> int | None:
    """Free bytes for what processes share; None where the system does not tell."""
    try:
        found = os.statvfs(SHARED)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def require_memory(nbytes: int, what: str) -> None:
    """Raise `DataError` where `what` needs more memory than the machine has."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return
    if nbytes > whole:
        raise DataError(
            f"{what} would take {nbytes / GIB:,.1f} GiB, and this machine has {whole / GIB:.1f} GiB"
        )


@contextmanager
def setting(**values: float) -> Iterator[None]:
    """Environment variables with other values for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _number(name: str, default: float) -> float:
    """The number in the environment variable `name`; raises `DataError` when it holds none."""
    text = os.environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not number >= 0 or (name == WORKERS and not number.is_integer()):
        kind = "a whole number" if name == WORKERS else "a number"
        raise DataError(f"{name} is {text!r}; it must be {kind} of at least 0")
    return number
