"""One probe: a network built, prepared, trained for a few steps or none, and measured."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from eibench.data import ImageData
from eibench.execution.memory import reset_peak
from eibench.plan.spec import RunSpec
from eibench.results.store import DIVERGED, RunFolder
from eibench.training.build import build, prepare
from eibench.training.propagation import advance, imbalances_of, measure, summarize


def probe(spec: RunSpec, folder: RunFolder, data: ImageData) -> dict[str, Any]:
    """Measure the network of `spec`: the part of its record that says what was found.

    A network with a number that is not finite has diverged; its layers are recorded all the same.
    """
    assert spec.probe is not None
    start = time.perf_counter()
    device = data.train.labels.device
    peak = reset_peak(device)
    experiment = build(spec, data)
    torch.manual_seed(spec.seed)  # as for training
    prepare(experiment)
    folder.begin({**spec.to_dict(), **spec.sources()})
    before = imbalances_of(experiment) if spec.probe.steps else None
    advance(experiment, spec.probe.steps)
    loss, layers = measure(experiment, before)
    cost = {"seconds": time.perf_counter() - start, "peak_memory_mib": peak.mib()}
    if reason := _not_finite(loss, layers):
        return {"status": DIVERGED, "reason": reason, "cost": cost, "layers": layers}
    result = {
        **summarize(layers),
        "loss": loss,
        "parameters": sum(p.numel() for p in experiment.model.parameters()),
        "data_digest": data.digest,
    }
    return {"result": result, "cost": cost, "layers": layers}


def _not_finite(loss: float, layers: list[dict[str, Any]]) -> str:
    """What is not finite, in words; empty where everything is."""
    where: dict[str, list[str]] = {}
    for layer in layers:
        for name in layer["non_finite"]:
            where.setdefault(name, []).append(str(layer["layer"]))
    parts = [] if math.isfinite(loss) else [f"loss is {loss}"]
    parts += [f"{n} is not finite in layers {', '.join(found)}" for n, found in where.items()]
    return "; ".join(parts)
