"""A slot on a Ray cluster: an actor on some node, and another one when it is lost."""

from __future__ import annotations

import threading
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayError

from eibench.errors import UserError, error_text
from eibench.execution.conversation import converse
from eibench.execution.environment import SuiteSource
from eibench.execution.ray_worker import ClusterSettings, RayWorker
from eibench.execution.run_one import EpochListener
from eibench.execution.slots import Slot, SlotLost, Stop
from eibench.execution.worker import RunRequest
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training.steps import StepListener, ignore_steps

STARTS = 5
"""Actors that may die one after another before any of them is ready."""


class RaySlot(Slot):
    """An actor that executes the runs it is sent, on whatever node has room for it."""

    def __init__(self, settings: ClusterSettings, cpus: float, gpus: float, name: str) -> None:
        self.settings, self.name = settings, name
        self.needs = {"num_cpus": cpus, "num_gpus": gpus}
        self.ready = self.ended = self.shared = False
        self.lock = threading.Lock()
        self.actor: Any = None
        self.files: dict[str, bytes | None] = {}
        """Files that the run under way goes on from, where they are not shared."""

    def start(self) -> None:
        """Wait until a node has room and the actor is ready; see `Slot.start`."""
        for _ in range(STARTS):
            with self.lock:
                if self.ended:
                    raise KeyboardInterrupt
                self.actor = ray.remote(RayWorker).options(**self.needs).remote(self.settings)
            try:
                problem, self.shared = ray.get(self.actor.prepare.remote())
            except RayActorError as error:
                if self.ended:
                    raise KeyboardInterrupt from None
                if not error.actor_init_failed:  # its node has died
                    continue
                problem = _last_line(error)
            except RayError as error:
                problem = _last_line(error)
            if problem is None:
                self.ready = True
                return
            raise UserError(f"--engine ray: {problem}")
        raise UserError(f"--engine ray: {STARTS} workers died one after another as they started")

    def execute(
        self,
        run: PlannedRun,
        suite: SuiteSource,
        folder: RunFolder,
        on_epoch: EpochListener,
        on_step: StepListener = ignore_steps,
    ) -> dict[str, Any]:
        """Return the record of `run`, executed by the actor; see `Slot.execute`."""
        there = RunFolder(folder.path.resolve())
        self.files = {}
        if not self.shared and there.checkpoint.is_file():
            self.files = {there.checkpoint.name: there.checkpoint.read_bytes()}
        try:
            return converse(self, run, suite, there, on_epoch, on_step)
        except RayError as error:
            if self.ended:  # by us, after an interrupt
                raise KeyboardInterrupt from None
            self._abandon()
            raise SlotLost(*_cause(error)) from None
        except Stop:
            raise
        except BaseException:  # of the listener; the actor waits for an answer
            self._abandon()
            raise

    def send(self, message: object) -> None:
        """Send a message to the actor."""
        files = self.files if isinstance(message, RunRequest) else {}
        self.actor.send.remote(message, files)

    def receive(self) -> Any:
        """Return the next message of the actor."""
        return ray.get(self.actor.receive.remote())

    def _abandon(self) -> None:
        """End the actor; the next run gets a new one."""
        self.ready = False
        if self.actor is not None:
            ray.kill(self.actor)

    def end(self) -> None:
        """End the actor at once; there will be no other."""
        with self.lock:
            self.ended = True
            self._abandon()


def _last_line(error: RayError) -> str:
    """Return the last line of an error; those before it are a traceback."""
    return error_text(error).strip().rpartition("\n")[2].strip()


def _cause(error: RayError) -> tuple[str, bool]:
    """Return why an actor was lost, and whether to try again; Ray's own words hold addresses."""
    if isinstance(error, OutOfMemoryError):
        return "Ray ended the worker that ran it, since its node ran out of memory", False
    if isinstance(error, RayActorError) and error.preempted:
        return "the node that ran it was taken back", True
    if isinstance(error, ActorDiedError) and "node has died" in str(error):
        return "the node that ran it died", True
    return f"the worker that ran it was lost ({type(error).__name__})", True
