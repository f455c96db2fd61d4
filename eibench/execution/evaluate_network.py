"""Trained weights on the test split of a data set under conditions, as a record.

Fields of a record are those of the run that trained the weights, with the data set and T of the
evaluation, its other conditions (`evaluate.contrast`), `weights.run` and `weights.sha256`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eibench.data.batches import Change
from eibench.data.corruptions import corrupt
from eibench.errors import UserError, error_line
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import device_name
from eibench.execution.environment import environment
from eibench.plan.conditions import (
    FROM,
    TIMESTEPS,
    Conditions,
    acting_on,
    effective,
    misfits,
)
from eibench.plan.options import DataOptions, DataShape
from eibench.plan.options.init_from import WEIGHTS
from eibench.plan.spec import RunSpec
from eibench.plan.sweeps import SECTION
from eibench.results.paths import PLAN, member
from eibench.results.plan_schema import PlanFile
from eibench.results.schema import SCHEMA
from eibench.results.store import RunFolder, read_json
from eibench.training.build import make_input
from eibench.training.evaluate import evaluate, negative_weights
from eibench.training.optim import autocast
from eibench.training.perturbed import perturbed, words_of_form
from eibench.training.seeds import generator
from eibench.training.weights import load_run


@dataclass(frozen=True)
class TrainedNetwork:
    """Kept or imported weights on a device: the run's spec, the shape of its data, the network."""

    spec: RunSpec
    shape: DataShape
    network: torch.nn.Module
    digest: str
    """SHA-256 of the file of weights."""

    @classmethod
    def load(cls, run: Path, device: torch.device) -> TrainedNetwork:
        """Load the weights in the folder `run`; raise `UserError` where there are none."""
        spec, shape, network = load_run(run)
        digest = hashlib.sha256(member(run, WEIGHTS).read_bytes()).hexdigest()
        return cls(spec, shape, network.to(device), digest)

    def under(self, data: DataOptions | None, conditions: Conditions) -> RunSpec:
        """Return the run's spec with the data set and T of an evaluation."""
        steps = int(conditions.get(TIMESTEPS, self.spec.timesteps))
        return replace(self.spec, data=data or self.spec.data, timesteps=steps)

    def result(
        self, spec: RunSpec, conditions: Conditions, datasets: DatasetCache
    ) -> dict[str, Any]:
        """Return the numbers on the test split of the data set of `spec`, at its T.

        Raises:
            UserError: the weights do not fit the data or the conditions.
        """
        strengths = effective(conditions)
        if problem := next(misfits(strengths, spec.data), None):
            raise UserError(problem[1])
        data = datasets.get(spec)
        found = data.shape
        if found != self.shape:
            raise UserError(
                f"data set {spec.data.name}: has images of {_words(found)}, the network was built "
                f"for {_words(self.shape)}"
            )
        _, normalization = make_input(spec, data)
        size = spec.train.batch_size
        change = _change(acting_on("input", strengths), spec.seed)
        network, of_network = self.network, acting_on("network", strengths)
        try:
            if of_network:
                network = perturbed(network, of_network, spec.seed)
            with autocast(spec.train.precision, data.test.labels.device):
                measured = evaluate(network, data.test, spec.timesteps, size, normalization, change)
        except ValueError as error:  # of layers made for another T, or that have no hardware form
            text = f"method {spec.method.label} at T = {spec.timesteps}: {error_line(error)}"
            raise UserError(text) from None
        if not math.isfinite(measured.loss):
            raise UserError(
                f"the loss is {measured.loss}: the weights or the conditions are unusable"
            )
        return {
            "test_accuracy": measured.accuracy,
            "test_loss": measured.loss,
            "firing_rate": measured.firing_rate,
            "firing_rate_by_layer": measured.firing_rate_by_layer,
            "silent_share": measured.silent_share,
            "negative_weights": negative_weights(network),
            "form": words_of_form(self.network, network, of_network),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "test_images": len(data.test),
            "classes": len(data.classes),
            "data_digest": data.digest,
        }


def _change(strengths: Mapping[str, float], seed: int) -> Change | None:
    """Return the corruption of images; its chance depends on the run's seed and on nothing else.

    So runs of one seed see equal images under every method.
    """
    if not strengths:
        return None

    def change(images: Tensor, batch: int) -> Tensor:
        return corrupt(images, strengths, lambda name: generator(seed, SECTION, name, batch))

    return change


def _words(shape: DataShape) -> str:
    return f"{'x'.join(map(str, shape.image))} and {shape.classes} classes"


def row_id(stem: str, *seen: object) -> str:
    """Return the name of a record: that of the run `stem`, with a hash of what it saw."""
    digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:8]
    return f"{stem.rpartition('_')[0]}_{digest}"


def check_own(folder: Path) -> None:
    """Raise `UserError` where `folder` has a damaged plan, or runs of a suite of this name."""
    plan = read_json(member(folder, PLAN), PlanFile) or {"runs": []}
    if any(f"{FROM}.run" not in run["fields"] for run in plan["runs"]):
        raise UserError(
            f"{folder}: holds the runs of a suite called {folder.name}, so no evaluations go there;"
            " move it, or name another folder by --results"
        )


@dataclass(frozen=True)
class RecordWriter:
    """Writer of records of one results folder, all from this process and device."""

    folder: Path
    device: torch.device

    def write(
        self,
        run_id: str,
        fields: Mapping[str, Any],
        spec: RunSpec,
        outcome: Mapping[str, Any],
        started: float,
    ) -> dict[str, Any]:
        """Write a record with the status, reason and result of `outcome`, and return it."""
        record = {
            "schema": SCHEMA,
            "suite": self.folder.name,
            "run_id": run_id,
            "fields": dict(fields),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": {
                **environment(),
                "device": device_name(self.device),
                **spec.sources(),
            },
            **outcome,
            "cost": {
                "seconds": time.perf_counter() - started,
                "images_per_second": None,
                "peak_memory_mib": None,
            },
        }
        files = RunFolder(member(self.folder, run_id))
        files.begin({**spec.to_dict(), **spec.sources(), FROM: fields[f"{FROM}.run"]})
        files.finish(record)
        return record


def rows_plan(
    name: str, title: str, axes: Iterable[str], runs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a plan of rows, by their id with their fields, that compares with no control."""
    return {
        "schema": SCHEMA,
        "suite": name,
        "title": title,
        "kind": "train",
        "axes": list(dict.fromkeys(axes)),
        "tuned_by": None,
        "control": None,
        "margin": None,
        "same": [],
        "runs": [{"run_id": run_id, "fields": dict(f)} for run_id, f in runs.items()],
    }
