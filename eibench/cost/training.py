"""Cost of a training step of a suite's methods: time, memory, operations, a proxy of energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from eibench.cost.constants import BASE
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.environment import environment
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.profile.step_cost import ProfileRequest, profile


def training_costs(
    specs: Sequence[tuple[str, RunSpec]],
    steps: int,
    device: torch.device,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time `steps` training steps of each row's network, as `eibench profile` does.

    The proxy of energy is that of the multiply-accumulates, forward and backward, at the base
    constants: no memory, no elementwise operation, no optimizer.
    """
    groups: dict[tuple[Any, ...], dict[str, RunSpec]] = {}
    for name, spec in specs:
        key = spec.model.label, spec.data.label, spec.timesteps, spec.train.batch_size
        groups.setdefault(key, {}).setdefault(name, spec)
    rows: list[dict[str, Any]] = []
    for group in groups.values():
        request = ProfileRequest(group, _shape(next(iter(group.values()))), device, steps)
        rows += [_row(row) for row in profile(request, tell)["rows"] if row["name"] in group]
    return {"steps": steps, "environment": environment(), "device": str(device), "rows": rows}


def _shape(spec: RunSpec) -> DataShape:
    if (shape := spec.data.shape()) is not None:
        return shape
    data = DatasetCache(torch.device("cpu")).get(spec)
    return DataShape(data.image, len(data.classes))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("name", "images_per_second", "peak_mib", "macs_per_image")}
    nanojoules = row["macs_per_image"] * (BASE.multiply + BASE.add) / 1000
    return {**kept, "step_seconds": row["step_seconds"]["median"], "energy_per_image": nanojoules}
