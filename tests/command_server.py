"""Real eibench commands without the seconds that importing torch takes.

A server process imports everything once and forks for each command. The child has standard streams,
a working directory, an environment and a process group of its own, runs `python -m eibench`, and
leaves as any Python process does. Its worker processes are forks too.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

WIDTH = 12
"""Bytes of a number between the processes."""


def read_number(pipe: socket.socket) -> int:
    """Return the next number that the other process has written."""
    return int(pipe.recv(WIDTH, socket.MSG_WAITALL))


class Command:
    """A command that has started; the part of `subprocess.Popen` that tests need."""

    def __init__(self, pipe: socket.socket, out: IO[bytes], err: IO[bytes]) -> None:
        self.pipe, self.out, self.err = pipe, out, err
        self.pid = read_number(self.pipe)
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative for a signal."""
        if self.returncode is None:
            if not select.select([self.pipe], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("eibench", timeout)
            self.returncode = read_number(self.pipe)
            self.pipe.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return output and errors."""
        self.wait(timeout)
        return tuple(Path(file.name).read_text() for file in (self.out, self.err))

    def send_signal(self, number: int) -> None:
        """Send a signal to the command alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command and all that it started; one that has ended stays as it is."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class CommandServer:
    """A process that forks for each command."""

    def __init__(self) -> None:
        self.socket, other = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(other.fileno())],
            pass_fds=[other.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        other.close()

    def start(self, *words: object) -> Command:
        """Begin `eibench WORDS` in the working directory of this moment."""
        ours, theirs = socket.socketpair()
        out, err = (tempfile.NamedTemporaryFile() for _ in range(2))  # noqa: SIM115
        request = {
            "words": [str(word) for word in words],
            "folder": os.getcwd(),
            "environment": {**os.environ, "OMP_NUM_THREADS": "1"},
        }
        files = [theirs.fileno(), out.fileno(), err.fileno()]
        text = json.dumps(request).encode()
        socket.send_fds(self.socket, [b"%*d" % (WIDTH, len(text))], files)
        self.socket.sendall(text)
        theirs.close()
        return Command(ours, out, err)

    def run(self, *words: object, timeout: float = 300) -> tuple[int, str, str]:
        """Run a command; return its exit code, output and errors."""
        command = self.start(*words)
        out, errors = command.communicate(timeout)
        return command.wait(), out, errors

    def close(self) -> None:
        """End the server and wait for it: its commands have ended."""
        self.socket.close()
        self.process.wait()


def in_environment(environment: dict[str, str], work: Callable[..., None], *words: Any) -> None:
    """Do `work` in a process whose environment is that of an earlier moment."""
    os.environ.clear()
    os.environ.update(environment)
    work(*words)


# ---------------------------------------------------------------------------- in the server


def prepare() -> None:
    """Import all that commands need, and start no thread."""
    import optuna  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.datasets
    import sklearn.model_selection  # noqa: F401
    import torch._dynamo  # noqa: F401

    import eibench

    for module in pkgutil.walk_packages(eibench.__path__, "eibench."):
        if not module.name.endswith(("__main__", "ray_slot")):  # Ray starts threads
            with contextlib.suppress(ImportError):  # Triton is not everywhere
                importlib.import_module(module.name)
    context = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: context
    gc.freeze()


def serve(requests: socket.socket) -> None:
    """Fork for each request; return in the child that is to be a command."""
    while True:
        size, files, _, _ = socket.recv_fds(requests, WIDTH, 3)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG if size else 0)[0]:
                pass
        if not size:
            os._exit(0)
        text = requests.recv(int(size), socket.MSG_WAITALL)
        if os.fork() == 0 and become(json.loads(text), files):
            requests.close()
            return
        for file in files:
            os.close(file)


def become(request: dict[str, Any], files: list[int]) -> bool:
    """Be a command in a child; in this process wait for it and tell how it ended."""
    status, out, err = files
    child = os.fork()
    if child:
        os.setpgid(child, child)
        os.write(status, b"%*d" % (WIDTH, child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(status, b"%*d" % (WIDTH, code))
        os._exit(0)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((null, 0), (out, 1), (err, 2)):
        os.dup2(file, number)
    for file in (null, *files):
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["eibench", *request["words"]]
    return True


if __name__ == "__main__":
    prepare()
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("eibench", run_name="__main__", alter_sys=True)
