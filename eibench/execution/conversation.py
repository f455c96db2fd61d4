"""The conversation of a command with a worker elsewhere, over any channel.

command -> worker   a `RunRequest`, then True (go on) or False (stop) after each epoch
worker -> command   ("step", report) and ("epoch", record) ..., then one of ("record", record),
                    ("failed", reason), ("stopped", None),
                    ("unwritten", arguments of an OSError)
                    ("files", contents by name) before it, where files are not shared
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import EpochListener, failure
from eibench.execution.slots import Stop
from eibench.execution.worker import RunRequest
from eibench.plan.suite import PlannedRun
from eibench.results.store import ERROR, RunFolder, write_atomic
from eibench.training.steps import StepListener


class Channel(Protocol):
    """The command's end of a connection to a worker; its errors say that the worker is lost."""

    def send(self, message: object) -> None:
        """Send a message."""

    def receive(self) -> Any:
        """Return the next message."""


def converse(
    channel: Channel,
    run: PlannedRun,
    suite: SuiteSource,
    folder: RunFolder,
    on_epoch: EpochListener,
    on_step: StepListener,
) -> dict[str, Any]:
    """Have the worker execute `run`, answer each epoch, and return the record.

    Raises:
        Stop: `on_epoch` raised it. Other exceptions of the listeners (a full disk, perhaps) pass.
        OSError: the record cannot be written.
    """
    spec = run.spec.to_dict()
    channel.send(RunRequest(run.run_id, spec, run.ablation, run.called, suite, folder.path))
    while True:
        kind, content = channel.receive()
        if kind == "epoch":
            channel.send(_may_go_on(on_epoch, content))
        elif kind == "step":
            on_step(content)
        elif kind == "files":
            write_files(folder, content)
        elif kind == "record":
            return dict(content)
        elif kind == "failed":
            return failure(run, suite, folder, ERROR, content)
        elif kind == "unwritten":
            raise OSError(*content)
        else:
            raise Stop


def _may_go_on(on_epoch: EpochListener, record: dict[str, Any]) -> bool:
    """Tell the listener of an epoch; return False if it stops the run."""
    try:
        on_epoch(record)
    except Stop:
        return False
    return True


def write_files(folder: RunFolder, files: Mapping[str, bytes | None]) -> None:
    """Write files of a run that came from a worker; None stands for one that was removed."""
    for name, content in files.items():
        if content is None:
            folder.file(name).unlink(missing_ok=True)
        else:
            write_atomic(folder.file(name), content)
