"""Runs on a Ray cluster (extra `ray`): one that is there already, or one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from eibench.errors import UserError, error_line
from eibench.execution.dataset_cache import VARIABLE, DatasetCache
from eibench.execution.engine import Engine
from eibench.execution.slots import Slots
from eibench.execution.worker import Settings
from eibench.plan.plugins import Loaded
from eibench.results.store import write_atomic
from eibench.training.checkpoint import CODE_DIGEST

INSTALL = "pip install 'eibench[ray]'"
CUDA = torch.device("cuda")
SHARED = ".shared-"
"""Prefix of the file by which workers tell whether they see the results folder."""
DAY = 86400.0
CONNECTING = 10.0
"""Seconds in which a cluster has to answer."""
LARGEST_PORT = 65535


@dataclass(frozen=True)
class Request:
    """Wishes of the command line; None where it leaves the choice to the cluster."""

    address: str | None = None
    jobs: int | None = None
    device: str = "auto"
    gpus_per_run: float | None = None
    cpus_per_run: float = 1


class RayEngine(Engine):
    """Slots on a Ray cluster, each an actor; within the context this process is connected to it."""

    device = torch.device("cpu")

    def __init__(self, request: Request, runs: int | None = None) -> None:
        self.request, self.runs = request, runs
        self.gpus = request.gpus_per_run or 0.0

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            UserError: there is no Ray, no cluster at the address, or no node has room for a run.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError:
            raise UserError(f"--engine ray needs the package ray: {INSTALL}") from None
        _check_address(self.request.address or os.environ.get("RAY_ADDRESS") or "auto")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            ray.init(self.request.address, configure_logging=False, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self.request.address or os.environ.get("RAY_ADDRESS") or "this machine"
            raise UserError(f"--engine ray: no cluster at {where}: {error_line(error)}") from None
        try:
            self._choose([node["Resources"] for node in ray.nodes() if node["Alive"]])
        except BaseException:
            ray.shutdown()
            raise
        return self

    def _choose(self, nodes: Sequence[dict[str, float]]) -> None:
        """Choose the device and the number of jobs for a cluster of these `nodes`."""
        known, device = self.request, self.request.device
        has_gpu = any(node.get("GPU", 0) > 0 for node in nodes)
        if known.gpus_per_run is None:
            self.gpus = 1.0 if device == "cuda" or (device == "auto" and has_gpu) else 0.0
        needs = {"CPU": known.cpus_per_run, "GPU": self.gpus}
        room = sum(_room(node, needs) for node in nodes)
        if not room:
            listed = ", ".join(f"{count:g} of {kind}" for kind, count in needs.items() if count)
            raise UserError(
                f"--engine ray: no node of the cluster has what a run asks for ({listed});"
                " --cpus-per-run and --gpus-per-run say it"
            )
        self.jobs = known.jobs or (room if self.runs is None else max(1, min(room, self.runs)))

    def open(self, datasets: DatasetCache, plugins: Sequence[Loaded], folder: Path) -> Slots:
        """Return the slots; see `Engine.open`. Those without room wait for it."""
        from eibench.execution.ray_slot import RaySlot
        from eibench.execution.ray_worker import ClusterSettings, PluginSource

        cpus = self.request.cpus_per_run
        own = datasets.folder.resolve() if datasets.folder else None
        device = "cuda" if self.gpus else "cpu"
        shared = _write_shared(folder.resolve())
        settings = ClusterSettings(
            Settings(device, max(1, int(cpus)), [], own),
            [PluginSource.of(plugin) for plugin in plugins],
            sys.argv[1:],
            os.getcwd(),
            os.environ.get(VARIABLE),
            shared,
            CODE_DIGEST,
        )
        names = [f"ray {i}" for i in range(1, self.jobs + 1)]
        return Slots(
            [RaySlot(settings, cpus, self.gpus, name) for name in names],
            clean_up=lambda: shared.path.unlink(missing_ok=True),
        )

    def __exit__(self, *error: object) -> None:
        """Disconnect; a cluster that was started for this command ends."""
        import ray

        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `UserError` where nothing answers: Ray would try for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or int(port) > LARGEST_PORT:
        raise UserError(f"--address {address}: must be HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECTING).close()
    except OSError as error:
        text = f"no cluster at {address}: {error_line(error)}"
        raise UserError(f"--engine ray: {text}") from None


def _room(node: dict[str, float], needs: dict[str, float]) -> int:
    """Return how many runs fit on a node at a time."""
    return min(int(node.get(kind, 0) / count) for kind, count in needs.items() if count)


def _write_shared(folder: Path) -> Any:
    """Write the file by which workers tell that they see `folder`."""
    from eibench.execution.ray_worker import SharedFile

    for stale in folder.glob(f"{SHARED}*"):  # of commands that were killed
        with contextlib.suppress(OSError):
            if time.time() - stale.stat().st_mtime > DAY:
                stale.unlink()
    nonce = secrets.token_hex(16)
    found = SharedFile(folder / f"{SHARED}{nonce[:8]}", nonce)
    write_atomic(found.path, nonce.encode())
    return found
