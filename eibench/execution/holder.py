"""The process that holds a lock: where it runs, and whether it is still there."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from eibench.errors import printable, shorten

NONCE = "[0-9a-f]{16}"
"""Form of a nonce, which is part of a file's name."""
DAMAGED = "damaged"
"""In place of a nonce."""
LONGEST_NAME = 60
"""Characters of a host's name in messages."""


@dataclass(frozen=True)
class Holder:
    """A process at work, as its lock files describe it.

    Processes on one machine see each other if host, boot and namespace agree. A process identifier
    is used again after a while; with the start time it is unique.
    """

    nonce: str
    """Unique for each lock that was ever taken."""
    host: str = ""
    boot: str = ""
    """Identifies the boot of the machine; empty where the system does not say."""
    namespace: int = 0
    """The namespace of process identifiers: containers on one machine have their own."""
    pid: int = 0
    started: int = 0
    """Start time of the process in clock ticks since the boot; 0 where the system does not tell."""
    since: str = ""
    """Time in UTC at which the lock was taken."""
    job: str = ""
    """The batch job, if any."""

    def to_json(self) -> bytes:
        """Return the content of a lock file."""
        return json.dumps(asdict(self)).encode()

    @property
    def where(self) -> str:
        """Return host, process and batch job in words; they are printable."""
        if not self.host:
            return "an unknown host"
        names = {"": self.host, "process ": str(self.pid), "job ": self.job}
        words = (
            f"{kind}{shorten(printable(name), LONGEST_NAME)}"
            for kind, name in names.items()
            if name
        )
        return ", ".join(words)

    def alive(self) -> bool | None:
        """Return whether the process runs; None if that cannot be seen from here."""
        here = (socket.gethostname(), _boot(), _namespace())
        if os.name != "posix" or here != (self.host, self.boot, self.namespace) or self.pid <= 0:
            return None
        started = _start_time(self.pid)
        if started is None:  # a process of another user perhaps
            return None if _exists(self.pid) else False
        return self.started == started


def parse_holder(content: bytes) -> Holder:
    """Return the holder in a lock file; one without a host if the file is damaged or cut."""
    try:
        found = json.loads(content.decode())
        values = {f.name: found[f.name] for f in fields(Holder)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return Holder(DAMAGED)
    types = {"namespace": int, "pid": int, "started": int}
    right = all(type(value) is types.get(name, str) for name, value in values.items())
    return Holder(**values) if right and re.fullmatch(NONCE, values["nonce"]) else Holder(DAMAGED)


def this_process() -> Holder:
    """Return this process as a new holder, of a lock that it takes now."""
    return Holder(
        nonce=secrets.token_hex(8),
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=os.getpid(),
        started=_start_time(os.getpid()) or 0,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        job=_batch_job(),
    )


def _boot() -> str:
    """Return an identifier of this boot of the machine, or else of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"


def _namespace() -> int:
    """Return the namespace of process identifiers, of which each container has its own."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_time(pid: int) -> int | None:
    """Return the start time of a process; -1 if it has ended, None where it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *numbers = text.rpartition(")")[2].split()  # the name before it may hold spaces
    return -1 if state in "ZX" else int(numbers[18])


def _exists(pid: int) -> bool:
    """Return whether there is a process `pid`, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _batch_job() -> str:
    """Return the identifier of the SLURM job that this process belongs to, or an empty text."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}") for name in ("JOB_ID", "TASK_ID"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
