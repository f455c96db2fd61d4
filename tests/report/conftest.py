"""Results folders made by hand: a plan and records in the store's format, without any training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
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
        self.write()
        return RunFolder(self.folder / spec.run_id)

    def write(self) -> None:
        """Write the plan as it is now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "plan.json").write_bytes(to_json(self.content))

    def run(
        self,
        accuracy: float | None,
        *args: Any,
        environment: Any = None,
        result: Any = None,
        **kwargs: Any,
    ) -> RunFolder:
        """Add a run with this test accuracy in percent; `result` has further numbers."""
        result = {
            "test_accuracy": accuracy,
            "firing_rate": 0.1,
            "negative_weights": None,
            "data_digest": "d1",
            **(result or {}),
        }
        return self._record(self.plan(*args, **kwargs), OK, None, result, environment)

    def probe(
        self,
        gradients: list[float | None],
        *args: Any,
        rate: float = 0.2,
        layers: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> RunFolder:
        """Add a probe with these relative gradients by layer, and further values of `layers`."""
        run = self.plan(*args, **{"probe": {}, **kwargs})
        positive = all(gradients)
        decades = math.log10(max(gradients) / min(gradients)) if positive else None
        result = {"gradient_decades": decades, "dead_gradient_layers": gradients.count(0.0)}
        measured = [
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
                **more,
            }
            for i, (gradient, more) in enumerate(zip_longest(gradients, layers, fillvalue={}), 1)
        ]
        return self._record(run, OK, None, result, None, layers=measured)

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


class FakeSearch:
    """A search's results in the making: its plan, the runs of its trials, and the fresh runs.

    `study` opens a study; the calls after it add to that one, on disk at once.
    """

    def __init__(self, root: Path, name: str = "fair_depth_scaling", **search: Any) -> None:
        self.folder = root / name
        axes = search.pop("axes", ["method", "model.depth"])
        known = {
            "objectives": ["validation_accuracy"],
            "trials": 3,
            "sampler": "tpe",
            "sampler_seed": 0,
            "pruner": "none",
            "seeds": [1000],
            "confirm_seeds": [0, 1, 2],
            "optuna": "5.0.0",
            **search,
        }
        plan = {"suite": name, "title": "Fair & deep", "axes": axes}
        self.tried = FakeSuite(
            self.folder, "search", **plan, kind="search", search=known, studies=[]
        )
        self.fresh = FakeSuite(root, name, **plan, tuned_by=name)
        self.tried.write()

    @property
    def known(self) -> dict[str, Any]:
        """What the plan says of the whole search; `write` after a change."""
        found: dict[str, Any] = self.tried.content["search"]
        return found

    @property
    def last(self) -> dict[str, Any]:
        """The study that was opened last; `write` after a change."""
        found: dict[str, Any] = self.tried.content["studies"][-1]
        return found

    def write(self) -> None:
        """Write the search's plan as it is now."""
        self.tried.write()

    def study(self, name: str, arm: dict[str, Any], space: dict[str, Any], **more: Any) -> None:
        """Open a study without trials; `more` may be winner, importances."""
        empty = {"winner": None, "importances": None}
        study = {"name": name, "arm": arm, "space": space, "trials": [], **empty, **more}
        self.tried.content["studies"].append(study)
        self.write()

    def trial(
        self,
        scores: float | dict[str, float],
        values: dict[str, Any],
        state: str = "complete",
        reason: str | None = None,
        *,
        seconds: float = 60.0,
        epochs: int = 10,
    ) -> None:
        """Add a trial with a run for each seed of the search; the best that counts wins.

        A number in place of scores is the search's metric.
        """
        first = self.known["objectives"][0]
        if not isinstance(scores, dict):
            scores = {first: scores}
        seeds = self.last.get("seeds", self.known["seeds"])
        runs = [self._tried(seed, values, state, reason, scores) for seed in seeds]
        trial = {"number": len(self.last["trials"]), "values": values, "state": state}
        more = {"reason": reason, "scores": scores, "runs": runs}
        self.last["trials"].append({**trial, **more, "seconds": seconds, "epochs": epochs})
        counting = [
            t for t in self.last["trials"] if (t["state"], t["reason"]) == ("complete", None)
        ]
        best = max(counting, key=lambda t: t["scores"][first], default=None)
        self.last["winner"] = best and best["number"]
        self.write()

    def confirm(
        self,
        accuracies: list[float | None],
        gain: float = 0.0,
        seeds: list[int] | None = None,
    ) -> None:
        """Run the winner on fresh seeds, or those of its study; None: missing.

        Validation accuracy is higher by `gain`.
        """
        winner = self.last["trials"][self.last["winner"]]
        for seed, accuracy in zip(seeds or self.known["confirm_seeds"], accuracies, strict=True):
            spec = self._spec(seed, winner["values"])
            if accuracy is None:
                self.fresh.plan(**spec)
            else:
                self.fresh.run(accuracy, **spec, result={"validation_accuracy": accuracy + gain})
            self._label()

    def confirm_failed(self, status: str, reason: str, seed: int) -> None:
        """A fresh run of the winner that ended badly."""
        winner = self.last["trials"][self.last["winner"]]
        self.fresh.fail(status, reason, **self._spec(seed, winner["values"]))
        self._label()

    def _label(self) -> None:
        """A fresh run goes by the arm's method, not by that of its tuned options."""
        self.fresh.content["runs"][-1]["fields"]["method"] = self.last["arm"].get("method", "ei")
        self.fresh.write()

    def _tried(
        self, seed: int, values: dict[str, Any], state: str, reason: str | None, scores: Any
    ) -> str:
        spec = self._spec(seed, values)
        if state == "running":
            return self.tried.plan(**spec).run_id
        if reason is not None:
            status = "diverged" if state == "complete" else "error"
            return self.tried.fail(status, reason, **spec).run_id
        return self.tried.run(50.0, **spec, result=scores).run_id

    def _spec(self, seed: int, values: dict[str, Any]) -> dict[str, Any]:
        """What `FakeSuite.plan` takes for the values of a trial under the arm of its study."""
        arm = {"method": "ei", "model.depth": 4, **self.last["arm"]}
        arm.pop("repeat", None)
        nested: dict[str, Any] = {"method": {"name": arm.pop("method")}, "model": {"name": "plain"}}
        for key, value in (arm | values).items():
            part, _, field = key.partition(".")
            if field:
                nested.setdefault(part, {})[field] = value
            else:
                nested[part] = value
        return {**nested, "seed": seed}


@pytest.fixture
def make_search(tmp_path: Path) -> Callable[..., FakeSearch]:
    """An empty search: `make_search(trials=12, axes=["method"])`."""
    return lambda name="fair_depth_scaling", **search: FakeSearch(tmp_path, name, **search)


RATE = {"low": 0.01, "high": 3.0, "log": True, "step": None}


@pytest.fixture
def fair_search(make_search: Callable[..., FakeSearch]) -> FakeSearch:
    """Two methods at one depth each, three trials each, all confirmed under three seeds."""
    search: FakeSearch = make_search()
    own = {"train.lr": RATE, "method.kappa": {"choices": [0.0, 0.5, 1.0]}}
    shares = {"train.lr": 0.8, "method.kappa": 0.2}
    search.study("ei, depth 4", {"method": "ei", "model.depth": 4}, own, importances=shares)
    search.trial(95.0, {"train.lr": 0.1, "method.kappa": 1.0})
    search.trial(97.5, {"train.lr": 0.0341234, "method.kappa": 0.5})
    search.trial(10.0, {"train.lr": 2.9, "method.kappa": 0.0}, reason="epoch 2: loss is nan")
    search.confirm([96.0, 97.0, 98.0], gain=0.1)
    arm = {"method": "batchnorm", "model.depth": 16}
    search.study("batchnorm, depth 16", arm, {"train.lr": RATE})
    search.trial(96.0, {"train.lr": 0.1})
    search.trial(98.0, {"train.lr": 0.3})
    search.trial(97.0, {"train.lr": 1.0})
    search.confirm([97.0, 97.5, 98.5])
    return search


@pytest.fixture
def repeated_search(make_search: Callable[..., FakeSearch]) -> FakeSearch:
    """Two methods, two studies of two trials each, whose winners share five fresh seeds."""
    axes, more = ["method", "repeat"], {"confirm_seeds": [0, 1, 2, 3, 4], "trials": 2}
    search: FakeSearch = make_search("repeated", axes=axes, **more)
    for method, gain in (("ei", 0.0), ("batchnorm", 1.0)):
        for repeat, (rate, seeds) in enumerate([(0.1, [0, 2, 4]), (0.3, [1, 3])], start=1):
            arm = {"method": method, "repeat": repeat}
            own = {"seeds": [999 + repeat], "importances": {"train.lr": 1.0}}
            search.study(f"{method}, study {repeat}", arm, {"train.lr": RATE}, **own)
            search.trial(90.0 + gain, {"train.lr": 0.2})
            search.trial(96.0 + gain, {"train.lr": rate})
            search.confirm([95.0 + gain + seed for seed in seeds], seeds=seeds)
    return search


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
