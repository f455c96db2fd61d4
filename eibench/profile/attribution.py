"""Attribution of a step's time to parts of the network, by torch's profiler.

Modules are labelled while they run. What runs under a label belongs to it, and so does the
backward pass of every operation that ran under it: both carry the same sequence number. Within an
E-I layer convolutions and matrix products with the input are `conv`, the rest is `circuit`, its
neurons with it where the two are computed as one. What no label claims (pooling, loss, sums of
gradients, Python) is `other`.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as record

from eibench.nn import EILayer
from eibench.nn.sequence_norms import StepBoundNorm2d
from eibench.profile.measures import wait_for
from eibench.profile.subjects import Subject

PARTS = ("conv", "circuit", "neuron", "norm", "optimizer", "other")
PREFIX = "part:"
PRODUCTS = ("aten::conv2d", "aten::linear")
BACKWARD = "autograd::engine::evaluate_function"
UPDATES = ("Optimizer.", "aten::_foreach")
"""The optimizer, clipping of gradients and projection."""
WHOLE = "step"
STEPS = 5
"""Steps, after one that is left out, whose median shares are taken: a slow one does not show."""


def shares(subject: Subject, device: torch.device) -> dict[str, float]:
    """Return each part's share of the time of a step; they sum to 1."""
    with _labelled(subject):
        _, *steps = [_shares_of_one_step(subject, device) for _ in range(1 + STEPS)]
    medians = {part: statistics.median(step[part] for step in steps) for part in PARTS}
    total = sum(medians.values())
    return {part: median / total for part, median in medians.items()}


def _shares_of_one_step(subject: Subject, device: torch.device) -> dict[str, float]:
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with record(activities=activities) as recorded, record_function(WHOLE):
        subject.step()
        wait_for(device)
    return _attribute(list(recorded.events() or []), device.type == "cuda")


def _part(module: nn.Module, neuron: type[nn.Module]) -> str | None:
    """Return the part that `module` is; None for one made of other modules."""
    if isinstance(module, neuron):
        return "neuron"
    if isinstance(module, EILayer):
        return "circuit"
    if isinstance(module, nn.Conv2d | nn.Linear):
        return "conv"
    norms = _NormBase | nn.GroupNorm | StepBoundNorm2d
    return "norm" if isinstance(module, norms) else None


@contextmanager
def _labelled(subject: Subject) -> Iterator[None]:
    """Put a label around every module that is a part.

    Classes are changed, not modules: a module whose own `forward` was replaced is computed apart
    from its neighbours (`eibench.nn.Chain`).
    """
    modules = [] if subject.model is None else list(subject.model.modules())
    kinds = {type(m) for m in modules if _part(m, subject.neuron) is not None}
    changed: dict[tuple[type, str], Callable[..., Any]] = {}
    for kind, entry in itertools.product(kinds, ("forward", "fire")):
        owner = next((base for base in kind.__mro__ if entry in vars(base)), None)
        if owner is not None and (owner, entry) not in changed:
            changed[owner, entry] = getattr(owner, entry)
            setattr(owner, entry, _under(subject.neuron, getattr(owner, entry)))
    try:
        yield
    finally:
        for (owner, entry), original in changed.items():
            setattr(owner, entry, original)


def _under(neuron: type[nn.Module], forward: Callable[..., Any]) -> Callable[..., Any]:
    def labelled(module: nn.Module, *arguments: Any) -> Any:
        part = _part(module, neuron)
        if part is None:
            return forward(module, *arguments)
        with record_function(PREFIX + part):
            return forward(module, *arguments)

    return labelled


def _attribute(events: list[Any], on_gpu: bool) -> dict[str, float]:
    """Return shares from the profiler's events, each of which is counted once."""

    def duration(event: Any) -> float:
        return float(event.device_time_total if on_gpu else event.cpu_time_total)

    # Forward: labelled modules, without the products inside a circuit; then the optimizer.
    spent = dict.fromkeys(PARTS, 0.0)
    for event in events:
        if event.name.startswith(PREFIX) and not _inside(event, PREFIX):
            part = event.name.removeprefix(PREFIX)
            inner = sum(duration(child) for child in _products(event, part))
            spent[part] += duration(event) - inner
            spent["conv"] += inner
        elif event.name.startswith(UPDATES) and not _inside(event, UPDATES):
            spent["optimizer"] += duration(event)
    # Backward: the part that owns the operation of the same sequence number.
    owners = _owners(events)
    for event in events:
        if event.name.startswith(BACKWARD) and event.sequence_nr in owners:
            spent[owners[event.sequence_nr]] += duration(event)
    # The rest of the step.
    whole = sum(duration(event) for event in events if event.name == WHOLE)
    spent["other"] = max(0.0, whole - sum(spent.values()))
    total = sum(spent.values())
    return {part: value / total for part, value in spent.items()}


def _owners(events: list[Any]) -> dict[int, str]:
    """Return the part of each operation that has a backward pass, by sequence number.

    An operation without one carries the number that the next one gets, so the last to show a number
    owns it.
    """
    owners: dict[int, str] = {}
    forward = [e for e in events if e.sequence_nr >= 0 and not e.name.startswith(BACKWARD)]
    for event in sorted(forward, key=lambda event: event.time_range.start):
        if _inside(event, BACKWARD) or event.name.startswith("autograd::"):
            continue
        label = _inside(event, PREFIX)
        part = label.removeprefix(PREFIX) if label else "other"
        within = event.name in PRODUCTS or _inside(event, PRODUCTS)
        owners[event.sequence_nr] = "conv" if part == "circuit" and within else part
    return owners


def _inside(event: Any, names: str | tuple[str, ...]) -> str:
    """Return the name of the outermost event around `event` that starts with `names`, or ""."""
    found = ""
    above = event.cpu_parent
    while above is not None:
        found = above.name if above.name.startswith(names) else found
        above = above.cpu_parent
    return found


def _products(event: Any, part: str) -> list[Any]:
    """Return the convolutions and matrix products directly in a labelled circuit."""
    return [c for c in event.cpu_children if part == "circuit" and c.name in PRODUCTS]
