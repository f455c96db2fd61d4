"""Peak memory of a run, measured where the system lets it be measured."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

MIB = 2**20


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement: the device's allocator, or the process's resident memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
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
