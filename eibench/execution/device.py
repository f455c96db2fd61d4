"""The device of a run: its choice, name and memory."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

import torch

from eibench.errors import UserError

MIB = 2**20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
LARGEST_BLOCK = 2**31 - 1
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Variable that names the GPUs which a process may see."""


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means here.

    Raises:
        UserError: CUDA was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: torch sees no CUDA device here; `eibench doctor` says why")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_name(device: torch.device, jobs: int = 1) -> str:
    """Return the device's name for a record: the GPU's, or the CPU threads of each of `jobs`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = threads_of_job(jobs)
    return f"cpu, {threads} thread{'s' * (threads != 1)}"


def threads_of_job(jobs: int) -> int:
    """Return the CPU threads of each of `jobs` processes."""
    return max(1, torch.get_num_threads() // jobs)


def gpus_of_jobs(device: torch.device, jobs: int) -> list[str | None]:
    """Return for each of `jobs` processes the GPU that it may see, in turn; None on a CPU.

    GPUs are named as `CUDA_VISIBLE_DEVICES` does, where this process has it.
    """
    if device.type != "cuda":
        return [None] * jobs
    count, listed = torch.cuda.device_count(), os.environ.get(VISIBLE)
    names = listed.split(",")[:count] if listed else [str(i) for i in range(count)]
    return [names[i % len(names)].strip() for i in range(jobs)]


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
    """Return a function of the process's C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None


def _give_back() -> None:
    """Return freed memory to the system now, so that it does not count as used by what follows."""
    gc.collect()  # networks of earlier runs, held by reference cycles
    gc.freeze()  # the libraries' million objects are looked through once, not before every run
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


class PeakMemory:
    """The peak of memory in use since this was made, above what was in use then.

    On a GPU what torch has allocated, on a CPU the process's resident memory. What the process held
    before (libraries, data sets, earlier runs) does not count, nor do processes that read images.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            gc.collect()
            torch.cuda.reset_peak_memory_stats(device)
            self.before: float | None = torch.cuda.memory_allocated(device) / MIB
        else:
            _give_back()
            self.before = _resident_mib("VmRSS") if _reset_peak() else None

    def mib(self) -> float | None:
        """Return the peak so far in MiB; None where it is not known (a CPU outside Linux)."""
        if self.device.type == "cuda":
            peak: float | None = torch.cuda.max_memory_allocated(self.device) / MIB
        else:
            peak = _resident_mib("VmHWM")
        if peak is None or self.before is None:
            return None
        return round(max(peak - self.before, 0.0), 1)


def _reset_peak() -> bool:
    """Reset the process's peak of resident memory; return False where that fails.

    The peak would then be that of an earlier run.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM (proc(5), Linux >= 4.0)
    except OSError:
        return False
    return True


def _resident_mib(name: str) -> float | None:
    """Return `VmRSS` (resident memory) or `VmHWM` (its peak) in MiB; None outside Linux."""
    try:
        status = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in status if line.startswith(f"{name}:")), None)
    return None if kib is None else int(kib) / 1024
