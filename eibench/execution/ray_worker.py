"""A worker on a Ray cluster: an actor that executes the runs that a command sends.

The actor's methods are one end of the channel of `conversation`; a thread of it computes. Where the
results folder is not shared with the command, runs are computed in a temporary folder, and its
files travel with each epoch.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from eibench.errors import describe_error
from eibench.execution.conversation import write_files
from eibench.execution.dataset_cache import VARIABLE
from eibench.execution.worker import RunRequest, Settings, serve_runs
from eibench.plan.plugins import Loaded
from eibench.results.store import RunFolder
from eibench.training.checkpoint import CODE_DIGEST


@dataclass(frozen=True)
class SharedFile:
    """A file that the command has written beside its results, to be found by its workers."""

    path: Path
    nonce: str

    def is_visible(self) -> bool:
        """Return whether this machine sees the very file."""
        try:
            return self.path.read_text() == self.nonce
        except OSError:
            return False


@dataclass(frozen=True)
class PluginSource:
    """A plugin as it travels: a file with its content, or the name of an installed one."""

    entry: str
    content: bytes | None = None

    @classmethod
    def of(cls, plugin: Loaded) -> PluginSource:
        """Return the plugin with the present content of its file."""
        path = Path(plugin.entry)
        return cls(plugin.entry, path.read_bytes() if path.suffix == ".py" else None)

    def local_entry(self, folder: Path) -> str:
        """Return the entry that loads it here: its own file if it is the same, else a copy."""
        if self.content is None:
            return self.entry
        own = Path(self.entry)
        if own.is_file() and own.read_bytes() == self.content:
            return self.entry
        copy = folder / hashlib.sha256(self.content).hexdigest() / own.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(self.content)
        return str(copy)


class ClusterSettings(NamedTuple):
    """Settings of a worker on a cluster."""

    worker: Settings
    """Without plugins."""
    plugins: Sequence[PluginSource]
    arguments: Sequence[str]
    """Those of the command line, for records."""
    folder: str
    """The command's current folder, which counts where it exists: suites name files from it."""
    data_folder: str | None
    """The command's folder of fetched data sets, which counts where it exists."""
    shared: SharedFile
    code: str
    """Digest of the command's code."""


class RayWorker:
    """Actor that executes runs; see the module."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self.temporary = tempfile.TemporaryDirectory(prefix="eibench-")
        self.pipe = QueuePipe()
        self.shares_files = settings.shared.is_visible()

    def prepare(self) -> tuple[str | None, bool]:
        """Start the thread that computes.

        Returns:
            The reason why this machine cannot, or None; and whether it sees the results folder.
        """
        settings, folder = self.settings, Path(self.temporary.name)
        if settings.code != CODE_DIGEST:
            return "eibench's code on a node of the cluster is not that of this command", False
        sys.argv = ["eibench", *settings.arguments]
        if os.path.isdir(settings.folder):
            os.chdir(settings.folder)
        if settings.data_folder and os.path.isdir(settings.data_folder):
            os.environ[VARIABLE] = settings.data_folder
        entries = [plugin.local_entry(folder) for plugin in settings.plugins]
        worker = settings.worker._replace(plugins=entries)
        threading.Thread(target=self._serve, args=(worker,), daemon=True).start()
        return None, self.shares_files

    def send(self, message: Any, files: Mapping[str, bytes | None]) -> None:
        """Take a message of the command, and before a run the files that it goes on from."""
        try:
            if isinstance(message, RunRequest) and not self.shares_files:
                message = replace(message, folder=self._folder(message.run_id, files))
        except OSError as error:
            self.pipe.outbox.put(("failed", describe_error(error)))
        else:
            self.pipe.inbox.put(message)

    def _folder(self, run_id: str, files: Mapping[str, bytes | None]) -> Path:
        """Return a folder of this machine for a run, with its `files`; remove the last one's."""
        if self.pipe.mirror is not None:
            shutil.rmtree(self.pipe.mirror.folder, ignore_errors=True)
        folder = RunFolder(Path(self.temporary.name) / "runs" / run_id)
        write_files(folder, files)
        self.pipe.mirror = Mirror(folder.path)
        return folder.path

    def receive(self) -> Any:
        """Return the next message to the command; wait for it."""
        return self.pipe.outbox.get()

    def _serve(self, settings: Settings) -> None:
        try:
            serve_runs(self.pipe, settings)
        finally:  # nobody would ever answer
            os._exit(1)


class QueuePipe:
    """The worker's end of the channel, within the actor."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.mirror: Mirror | None = None

    def send(self, message: Any) -> None:
        """Send a message; before it the files that have changed, but for news within epochs."""
        if self.mirror is not None and message[0] != "step":
            self.outbox.put(("files", self.mirror.changes()))
        self.outbox.put(message)

    def recv(self) -> Any:
        """Return the next message of the command."""
        return self.inbox.get()


class Mirror:
    """The files of a run that have changed since the command was sent them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, tuple[int, int, int]] = self._state()

    def changes(self) -> dict[str, bytes | None]:
        """Return contents by name, and None for removed files; the record comes last."""
        now = self._state()
        changed = [name for name, state in now.items() if self.seen.get(name) != state]
        files: dict[str, bytes | None] = {
            name: (self.folder / name).read_bytes()
            for name in sorted(changed, key=lambda name: name == "record.json")
        }
        gone = dict.fromkeys(self.seen.keys() - now.keys())
        self.seen = now
        return {**files, **gone}

    def _state(self) -> dict[str, tuple[int, int, int]]:
        if not self.folder.is_dir():
            return {}
        paths = [path for path in self.folder.iterdir() if path.is_file()]
        found = {path.name: path.stat() for path in paths if not path.name.startswith(".")}
        return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found.items()}
