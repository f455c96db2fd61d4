"""Cost of a training step by method, optionally along an axis, as plain values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from eibench.errors import UserError
from eibench.execution.device import device_name
from eibench.execution.environment import environment
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.profile.attribution import shares
from eibench.profile.measures import durations, fit, macs, peak_mib, ratio, summary
from eibench.profile.peer import peer_subject
from eibench.profile.subjects import (
    BARE,
    Subject,
    bare_subject,
    make_experiment,
    method_subject,
    own_subject,
)

REFERENCE = "batchnorm"
"""The method that the others are compared with, where it takes part."""
CHAIN = {"name": "plain", "width": 32, "pools": 0}
"""The network whose depth is varied: every layer costs the same."""


@dataclass(frozen=True)
class ProfileRequest:
    """The networks, sizes and device to profile."""

    specs: Mapping[str, RunSpec]
    """A run for each method, by name."""
    shape: DataShape
    device: torch.device
    steps: int
    peer: bool = False
    axes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Values of `depth`, `timesteps`, `batch_size` along which cost is measured."""


def profile(request: ProfileRequest, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure what `request` asks for; `tell` receives progress messages.

    Raises:
        UserError: a network does not suit the images or the peer is not installed.
    """
    tell("building the networks")
    subjects = _subjects(request, request.specs)
    tell(f"timing {request.steps} rounds of {len(subjects)} subjects")
    taken = durations(subjects, request.steps, request.device)
    first = next(iter(request.specs.values()))
    return {
        "device": device_name(request.device),
        "environment": environment(),
        "model": first.model.label,
        "image": list(request.shape.image),
        "classes": request.shape.classes,
        "batch_size": first.train.batch_size,
        "timesteps": first.timesteps,
        "precision": first.train.precision,
        "steps": request.steps,
        "reference": REFERENCE,
        "rows": [_row(subject, taken, request.device) for subject in subjects],
        "axes": [_axis(request, axis, values, tell) for axis, values in request.axes.items()],
    }


def _subjects(
    request: ProfileRequest, specs: Mapping[str, RunSpec], extra: bool = True
) -> list[Subject]:
    """Return every method, and with `extra` the peer and the bare products."""
    subjects: list[Subject] = []
    own: Subject | None = None
    for name, spec in specs.items():
        experiment = make_experiment(spec, request.shape, request.device)
        subjects.append(method_subject(name, experiment))
        own = own or (own_subject(name, experiment) if extra else None)
        if extra and name == list(specs)[-1]:
            subjects.append(bare_subject(experiment))
    subjects += [own] if own else []
    if extra and request.peer:
        if REFERENCE not in specs:
            raise UserError(f"--peer: stands beside {REFERENCE}, which --methods leaves out")
        subjects.append(
            peer_subject(make_experiment(specs[REFERENCE], request.shape, request.device))
        )
    return subjects


def _row(
    subject: Subject, taken: Mapping[str, Sequence[float]], device: torch.device
) -> dict[str, Any]:
    """Measure one subject: its row of the table."""
    seconds = taken[subject.name]
    values = summary(seconds)
    network = subject.model is not None
    return {
        "name": subject.name,
        "step_seconds": values,
        "images_per_second": subject.images / values["median"],
        "ratio": ratio(seconds, taken[REFERENCE]) if REFERENCE in taken else None,
        "ratio_to_bare": ratio(seconds, taken[BARE]) if BARE in taken else None,
        "peak_mib": peak_mib(subject, device) if network else None,
        "macs_per_image": macs(subject) / subject.images if network else None,
        "shares": shares(subject, device) if network else None,
    }


def _axis(
    request: ProfileRequest, axis: str, values: Sequence[int], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure every method along an axis, and fit a straight line.

    All values take part in every round, so that a busy moment affects all of them.
    """
    tell(f"timing {axis} at {', '.join(map(str, values))}")
    subjects: dict[tuple[str, int], Subject] = {}
    for value in values:
        specs = {name: _at(spec, axis, value) for name, spec in request.specs.items()}
        for subject in _subjects(request, specs, extra=False):
            subjects[subject.name, value] = replace(subject, name=f"{subject.name} {value}")
    taken = durations(list(subjects.values()), request.steps, request.device)
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in request.specs}
    for (name, _), subject in subjects.items():
        median = summary(taken[subject.name])["median"]
        points[name].append((median, peak_mib(subject, request.device)))
    return {
        "axis": axis,
        "values": list(values),
        "model": _at(next(iter(request.specs.values())), axis, values[0]).model.name,
        "lines": [_line(name, values, found) for name, found in points.items()],
    }


def _line(
    name: str, values: Sequence[int], points: Iterable[tuple[float, float]]
) -> dict[str, Any]:
    seconds, mebibytes = zip(*points, strict=True)
    return {
        "name": name,
        "step_seconds": list(seconds),
        "peak_mib": list(mebibytes),
        "time_fit": fit(values, seconds),
        "memory_fit": fit(values, mebibytes),
    }


def _at(spec: RunSpec, axis: str, value: int) -> RunSpec:
    """Return `spec` with its depth, timesteps or batch size set to `value`."""
    if axis == "timesteps":
        return replace(spec, timesteps=value)
    values = copy.deepcopy(spec.to_dict())
    if axis == "batch_size":
        values["train"]["batch_size"] = value
    else:
        values["model"] = {**CHAIN, "depth": value}
    return RunSpec.parse(values)
