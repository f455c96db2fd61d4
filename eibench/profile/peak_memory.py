"""Peak memory of a step, counted and not sampled: the same step gives the same number."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.profiler import profile as record

from eibench.execution.memory import MIB
from eibench.profile.subjects import Subject


def peak_mib(subject: Subject, device: torch.device) -> float:
    """Most MiB of tensors at any moment of a step.

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
    """Memory of tensors, each piece of it counted once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
