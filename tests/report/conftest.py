"""Results folders made by hand: a plan and records in the store's format, without any training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eibench.plan import PlannedRun, RunSpec
from eibench.results.store import OK, SCHEMA, RunFolder, to_json

ENVIRONMENT = {
    "eibench": "0.1.0",
    "commit": "0123456789abcdef",
    "dirty": False,
    "python": "3.12.1",
    "torch": "2.6.0",
    "cpu": "Abacus 9000",
    "cores": 4,
    "device": "cpu, 2 threads",
    "command": "eibench run depth_scaling",
}


class FakeSuite:
    """A suite's results in the making: each call adds a run, on disk at once."""

    def __init__(self, root: Path, name: str = "depth_scaling", **plan: Any) -> None:
        self.folder = root / name
        self.content: dict[str, Any] = {
            "schema": SCHEMA,
            "suite": name,
            "title": "Depth & norms",
            "axes": ["method", "model.depth"],
            "tuned_by": None,
            "same": [],
            "runs": [],
            **plan,
        }

    def plan(self, method: Any = "ei", depth: int = 4, seed: int = 0, **values: Any) -> RunFolder:
        """Add a run to the plan: the folder where its files would be."""
        model = values.pop("model", {"name": "plain", "depth": depth})
        ablation = values.pop("ablation", None)
        base = {"method": method, "model": model, "data": "digits", "seed": seed}
        spec = RunSpec.parse({**base, **values})
        run = PlannedRun(spec.run_id, spec, ablation)
        self.content["runs"].append({"run_id": run.run_id, "fields": run.fields()})
        self.folder.mkdir(exist_ok=True)
        (self.folder / "plan.json").write_bytes(to_json(self.content))
        return RunFolder(self.folder / spec.run_id)

    def run(
        self, accuracy: float | None, *args: Any, environment: Any = None, **kwargs: Any
    ) -> RunFolder:
        """Add a run with this test accuracy in percent."""
        result = {
            "test_accuracy": accuracy,
            "firing_rate": 0.1,
            "negative_weights": None,
            "data_digest": "d1",
        }
        return self._record(self.plan(*args, **kwargs), OK, None, result, environment)

    def probe(
        self, gradients: list[float | None], *args: Any, rate: float = 0.2, **kwargs: Any
    ) -> RunFolder:
        """Add a probe with these relative gradients by layer."""
        run = self.plan(*args, **{"probe": {}, **kwargs})
        positive = all(gradients)
        decades = math.log10(max(gradients) / min(gradients)) if positive else None
        result = {"gradient_decades": decades, "dead_gradient_layers": gradients.count(0.0)}
        layers = [
            {
                "layer": i,
                "name": f"neuron{i}",
                "neurons": 8,
                "firing_rate": rate,
                "silent_share": 0.0,
                "current_std": 1.0,
                "balance": None,
                "gradient": gradient,
                "non_finite": [],
            }
            for i, gradient in enumerate(gradients, start=1)
        ]
        return self._record(run, OK, None, result, None, layers=layers)

    def fail(self, status: str, reason: str, *args: Any, **kwargs: Any) -> RunFolder:
        """Add a run that ended badly."""
        return self._record(self.plan(*args, **kwargs), status, reason, {}, None)

    def seeds(self, accuracies: list[float], *args: Any, **kwargs: Any) -> None:
        """Add runs with seeds 0, 1 ..."""
        for seed, accuracy in enumerate(accuracies):
            self.run(accuracy, *args, seed=seed, **kwargs)

    def _record(
        self,
        run: RunFolder,
        status: str,
        reason: str | None,
        result: Any,
        environment: Any,
        **more: Any,
    ) -> RunFolder:
        record = {
            "schema": SCHEMA,
            "status": status,
            "reason": reason,
            "fields": self.content["runs"][-1]["fields"],
            "result": result,
            "cost": {"seconds": 10.0},
            "environment": {**ENVIRONMENT, **(environment or {})},
            **more,
        }
        run.path.mkdir(parents=True, exist_ok=True)
        (run.path / "record.json").write_bytes(to_json(record))
        return run


@pytest.fixture
def suite(tmp_path: Path) -> FakeSuite:
    """An empty suite `depth_scaling` of methods by depths."""
    return FakeSuite(tmp_path)


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[..., FakeSuite]:
    """Another suite beside it: `make_suite(name, axes=[...])`."""
    return lambda name, **plan: FakeSuite(tmp_path, name, **plan)


@pytest.fixture
def propagation(make_suite: Callable[..., FakeSuite]) -> FakeSuite:
    """Probes of three methods at two depths under two seeds, with zeros, a failed and a missing."""
    suite = make_suite("propagation", kind="probe")
    for seed in (0, 1):
        suite.probe([1.0, 0.1], "ei", 2, seed)
        suite.probe([10.0 + 10 * seed, 1.0, 0.1], "ei", 3, seed)
        suite.probe([1e-15, 0.0], "no_norm", 2, seed, rate=0.0)
        suite.probe([0.0, 0.0, 0.0], "no_norm", 3, seed, rate=0.0)
    suite.probe([2.0, 0.2], "batchnorm", 2, 0)
    suite.plan("batchnorm", 2, 1, probe={})
    suite.probe([2.0, 2.0, 2.0], "batchnorm", 3, 0)
    suite.fail("out_of_memory", "no room", "batchnorm", 3, 1, probe={})
    return suite


@pytest.fixture
def depth_scaling(suite: FakeSuite) -> FakeSuite:
    """Two methods at two depths under three seeds, with a failed, a missing and an odd run."""
    suite.content["same"] = [["batchnorm", "tdbn"]]
    lr = {"train": {"lr": 0.03}}
    for seed, (shallow, deep) in enumerate([(97.1, 96.0), (97.5, 95.5), (97.3, 96.2)]):
        suite.run(shallow, "ei", 4, seed)
        suite.run(shallow + 0.5 + 0.1 * seed, "batchnorm", 4, seed, **lr)
        suite.run(shallow + 0.5 + 0.1 * seed, "tdbn", 4, seed, **lr)
        suite.run(deep, "ei", 16, seed)
        if seed < 2:
            suite.run(deep - 4 - seed, "batchnorm", 16, seed, **lr)
            suite.fail("diverged", "epoch 3: loss is nan", "tdbn", 16, seed, **lr)
        else:
            suite.fail("out_of_memory", "CUDA: no {room} & 100% full", "batchnorm", 16, seed, **lr)
            suite.plan("tdbn", 16, seed, **lr)
    return suite
