"""Peak memory of a run, measured where the system lets it be measured."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import torch

MIB = 2**20


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
LARGEST_BLOCK = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep the memory that tensors on the CPU give back, for the next ones.

    By default glibc returns large blocks to the system at once, and a training step spends a good
    part of its time on fresh pages for tensors like those it has just freed. Elsewhere than under
    glibc nothing is done.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, LARGEST_BLOCK)


def _of_libc(name: str) -> Callable[..., int] | None:
    """A function of the C library that the process runs on; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None


def _give_back() -> None:
    """Return freed memory to the system now, so that it does not count as used by what follows."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement: the device's allocator, or the process's resident memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    _give_back()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM (proc(5), Linux >= 4.0)


def peak_mib(device: torch.device) -> float | None:
    """Peak since `reset_peak` in MiB: allocated on a GPU, resident in the process on a CPU.

    None where the system does not tell (a CPU outside Linux).
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / MIB, 1)
    try:
        status = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in status if line.startswith("VmHWM:")), None)
    return None if kib is None else round(int(kib) / 1024, 1)
