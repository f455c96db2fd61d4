"""Time, peak memory and operations of steps.

Durations are taken in turns, so that a busy moment of the machine meets every subject. Peak memory
is counted and not sampled: the same step gives the same number.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.profiler import profile as record
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from eibench.execution.device import MIB
from eibench.profile.subjects import Subject

WARM_UP = 2
"""Rounds that are not counted."""


def durations(
    subjects: Sequence[Subject], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Return the seconds of `rounds` steps of each subject, one of each in a round."""
    taken: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for i in range(WARM_UP + rounds):
        for subject in subjects:
            wait_for(device)
            start = time.perf_counter()
            subject.step()
            wait_for(device)
            if i >= WARM_UP:
                taken[subject.name].append(time.perf_counter() - start)
    return taken


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of a step, in seconds."""
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return {"median": float(median), "lower_quartile": float(low), "upper_quartile": float(high)}


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """Return the median over rounds of a subject's step over that of `base` in the same round."""
    return float(np.median(np.asarray(seconds) / np.asarray(base)))


def fit(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Fit a straight line through (x, y) by least squares, and measure its residuals.

    `residual` is the largest distance of a point from the line over the line's value there.
    """
    slope, intercept = np.polyfit(x, y, 1)
    line = slope * np.asarray(x) + intercept
    spread = np.sum((np.asarray(y) - np.mean(y)) ** 2)
    missed = np.sum((np.asarray(y) - line) ** 2)
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r_squared": float(1 - missed / spread) if spread > 0 else None,
        "residual": float(np.max(np.abs(np.asarray(y) - line) / np.abs(line))),
    }


def macs(subject: Subject) -> int:
    """Return the multiply-accumulates of a step's convolutions and products of matrices."""
    with _Products() as counter:
        subject.step()
    return int(counter.flops) // 2


class _Products(TorchDispatchMode):
    """Context that adds up the FLOPs of products.

    It sets no hooks, as `FlopCounterMode` does: under them layers are not computed as in training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out: Any = func(*args, **(kwargs or {}))
        if (rule := flop_registry.get(func.overloadpacket)) is not None:
            self.flops += int(rule(*args, **(kwargs or {}), out_val=out))
        return out


def peak_mib(subject: Subject, device: torch.device) -> float:
    """Return the most MiB of tensors at any moment of a step.

    On a GPU what its allocator handed out. On a CPU what is held between steps, and on top the
    largest sum of what torch allocated and freed in two steps, from its profiler, which sees the
    gradients of the first under the forward pass of the second; memory inside libraries (oneDNN's
    copies of weights and activity) is not seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        own = _bytes([*subject.held, *subject.gradients()])
        others = torch.cuda.memory_allocated(device) - own
        torch.cuda.reset_peak_memory_stats(device)
        subject.step()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - others) / MIB
    with record(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        subject.step()
        subject.step()
    assert recorded.profiler is not None
    results = recorded.profiler.kineto_results
    assert results is not None
    events = [event for event in results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return (_bytes(subject.held) + most) / MIB


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Return the memory of tensors, each storage counted once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
