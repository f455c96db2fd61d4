"""Cost of a training step of a suite's methods: time, memory, operations, a proxy of energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from eibench.cost.constants import BASE
from eibench.execution.dataset_cache import DatasetCache
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.profile.step_cost import ProfileRequest, profile


def training_costs(
    specs: Mapping[str, RunSpec],
    steps: int,
    device: torch.device,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time `steps` training steps of each row's network, as `eibench profile` does.

    The networks share model, data, T and batch size. The proxy of energy is that of the
    multiply-accumulates, forward and backward, at the base constants: no memory, no elementwise
    operation, no optimizer.
    """
    request = ProfileRequest(specs, _shape(next(iter(specs.values()))), device, steps)
    measured = profile(request, tell)
    rows = [_row(row) for row in measured["rows"] if row["name"] in specs]
    known = {key: measured[key] for key in ("environment", "device", "batch_size")}
    return {"steps": steps, **known, "rows": rows}


def _shape(spec: RunSpec) -> DataShape:
    return spec.data.shape() or DatasetCache(torch.device("cpu")).get(spec).shape


def _row(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("name", "images_per_second", "peak_mib", "macs_per_image")}
    nanojoules = row["macs_per_image"] * (BASE.multiply + BASE.add) / 1000
    return {**kept, "step_seconds": row["step_seconds"]["median"], "energy_per_image": nanojoules}
