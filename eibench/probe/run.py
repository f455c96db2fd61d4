"""One probe: a network built, prepared, trained for a few steps or none, and measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from eibench.data import ImageData
from eibench.plan.spec import RunSpec
from eibench.probe.propagation import advance, imbalances_of, measure, summarize
from eibench.results.store import DIVERGED
from eibench.training.build import build
from eibench.training.start import set_first_weights


def probe(spec: RunSpec, data: ImageData, begin: Callable[[], None]) -> dict[str, Any]:
    """Measure the network of `spec`; return its record's status, result, layers and seconds.

    `begin` is called when the network is prepared, before it is measured.

    A network with a number that is not finite has diverged; its layers are recorded all the same.
    """
    assert spec.probe is not None
    start = time.perf_counter()
    experiment = build(spec, data)
    torch.manual_seed(spec.seed)  # as for training
    set_first_weights(experiment)
    begin()
    before = imbalances_of(experiment) if spec.probe.steps else None
    following = advance(experiment, spec.probe.steps)
    loss, layers = measure(experiment, before, following)
    cost = {"seconds": time.perf_counter() - start}
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
    """Return a sentence about numbers that are not finite; empty if all are."""
    where: dict[str, list[str]] = {}
    for layer in layers:
        for name in layer["non_finite"]:
            where.setdefault(name, []).append(str(layer["layer"]))
    parts = [] if math.isfinite(loss) else [f"loss is {loss}"]
    parts += [f"{n} is not finite in layers {', '.join(found)}" for n, found in where.items()]
    return "; ".join(parts)
