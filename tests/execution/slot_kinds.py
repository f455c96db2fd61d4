"""Slots of every kind, for tests of what they have in common, and the runs that they compute."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.engine import Engine, LocalEngine
from eibench.execution.environment import SuiteSource
from eibench.execution.ray_engine import RayEngine, Request
from eibench.execution.ray_worker import SharedFile
from eibench.execution.run_one import execute
from eibench.execution.slots import Slot, Slots
from eibench.execution.workers import WorkerProcess
from eibench.plan import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder

SUITE = SuiteSource("tiny")
CPU = torch.device("cpu")
VALUES = {
    "method": "batchnorm",
    "model": {"name": "plain", "depth": 1, "width": 4, "pools": 1},
    "data": "digits",
    "timesteps": 1,
    "train": {"epochs": 2, "batch_size": 512},
}


def planned(seed: int = 0, **changes: Any) -> PlannedRun:
    """A run of a second or less."""
    spec = RunSpec.parse({**VALUES, "seed": seed, **changes})
    return PlannedRun(spec.run_id, spec)


def written(folder: Path) -> Any:
    """All that a run determines: record and epochs without costs, times and places; weights."""
    record = json.loads((folder / "record.json").read_text())
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    for entry in epochs:
        del entry["cost"]
    kept = ("suite", "run_id", "status", "reason", "fields", "result")
    weights = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    names = {path.name for path in folder.iterdir()}
    return {key: record[key] for key in kept}, epochs, weights, names


def reference(run: PlannedRun, folder: Path) -> Any:
    """What `written` gives of a run that nothing disturbs."""
    files = RunFolder(folder / run.run_id)
    execute(run, SUITE, files, DatasetCache(CPU), lambda epoch: None)
    return written(files.path)


@dataclass
class Kind:
    """Slots of a kind that are open, and where their results are."""

    name: str
    slots: Slots
    folder: Path
    plugin: Path

    def __post_init__(self) -> None:
        self.busy: dict[str, Slot] = {}
        for slot in self.slots.slots:
            slot.execute = self._watched(slot)  # type: ignore[method-assign]

    def _watched(self, slot: Slot) -> Callable[..., Any]:
        """The slot's `execute`, which notes first what it computes."""
        real = slot.execute

        def call(run: PlannedRun, *words: Any) -> Any:
            self.busy[run.run_id] = slot
            return real(run, *words)

        return call

    def execute(
        self, run: PlannedRun, on_epoch: Callable[[Any], None] = lambda record: None
    ) -> dict[str, Any]:
        """Execute a run on any slot."""
        return self.slots.execute(run, SUITE, self.files(run), on_epoch)

    def files(self, run: PlannedRun) -> RunFolder:
        """The files of a run."""
        return RunFolder(self.folder / run.run_id)

    def written(self, run: PlannedRun) -> Any:
        """What a run has written."""
        return written(self.files(run).path)

    def slot_of(self, run: PlannedRun) -> Slot:
        """The slot that computes a run."""
        return self.busy[run.run_id]


def lose(slot: Slot) -> None:
    """Take a slot away as a failure does that is none of memory."""
    if isinstance(slot, WorkerProcess):
        slot.process.terminate()
        slot.process.join()
        assert slot.process.exitcode == -signal.SIGTERM
    else:
        import ray

        ray.kill(slot.actor)


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A cluster on this machine with room for two runs, each on a node of its own."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """Add a node with room for one run."""
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()


def remove_node(cluster: Any) -> None:
    """Kill a node, and wait until the cluster knows."""
    import ray

    (victim, *_) = cluster.worker_nodes
    cluster.remove_node(victim, allow_graceful=False)
    deadline = time.monotonic() + 60
    while any(node["NodeID"] == victim.node_id and node["Alive"] for node in ray.nodes()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def local(jobs: int) -> Engine:
    """Slots on this machine."""
    return LocalEngine(CPU, jobs)


def on_cluster(cluster: Any, jobs: int = 2) -> RayEngine:
    """Slots on a cluster."""
    return RayEngine(Request(address=cluster.address, jobs=jobs, device="cpu"))


def unseen(folder: Path) -> SharedFile:
    """A file that no worker sees, as if each machine had a disk of its own."""
    return SharedFile(folder / "nowhere", "nonce")
