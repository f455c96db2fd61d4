"""Limits on memory and worker processes for reading images; they change no result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from eibench.errors import DataError

MEMORY = "EIBENCH_MEMORY_GIB"
"""Environment variable: size in GiB of the largest data set that is held in memory."""
WORKERS = "EIBENCH_WORKERS"
"""Environment variable: number of processes that read images."""
DEFAULT_GIB = 4.0
MOST = 16
GIB = 2**30
SHARED = "/dev/shm"
"""Linux' file system of shared memory."""


def memory_limit() -> float:
    """Return the largest data set in bytes that is held in memory; larger ones are streamed."""
    return GIB * _number(MEMORY, DEFAULT_GIB)


def worker_count() -> int:
    """Return the number of processes that read images: one per usable core, at most `MOST`."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return int(_number(WORKERS, min(cores, MOST)))


def shared_memory() -> int | None:
    """Return the free bytes of shared memory; None where the system does not report them."""
    try:
        found = os.statvfs(SHARED)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def memory_bytes() -> int:
    """Return the main memory in bytes; where it is not known, as much as any number needs."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 2**63


def require_memory(nbytes: int, what: str) -> None:
    """Raise `DataError` if `what` needs more memory than the machine has."""
    whole = memory_bytes()
    if nbytes > whole:
        raise DataError(
            f"{what} would take {nbytes / GIB:,.1f} GiB, and this machine has {whole / GIB:.1f} GiB"
        )


@contextmanager
def environment_variables(**values: float) -> Iterator[None]:
    """Set environment variables within the context."""
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
    """Return the number in the environment variable `name`; raise `DataError` for any other
    text."""
    text = os.environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not number >= 0 or (name == WORKERS and not number.is_integer()):
        kind = "a whole number" if name == WORKERS else "a number"
        raise DataError(f"{name} is {text!r}; it must be {kind} of at least 0")
    return number
