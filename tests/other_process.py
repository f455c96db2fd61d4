"""A process that holds a lock in a folder of results."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from eibench.execution.lock import shared
with shared(Path(sys.argv[1])) as locks:
    for name in sys.argv[2:]:
        assert locks.take(name) is None
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path, *names: str, kill: bool = False) -> Iterator[str]:
    """Let another process hold locks until the block ends, and then end or kill it.

    Gives its place as messages name it.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield f"{socket.gethostname()}, process {process.pid}"
    finally:
        if kill:
            process.kill()
        process.communicate()
