"""Shared fixtures: a temporary working directory, a tiny suite, and the real command line."""

from __future__ import annotations

import copy
import functools
import gc
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.testing
import yaml
from command_server import CommandServer, in_environment
from hypothesis import settings
from plugin_state import plugins_taken_away
from typer.testing import CliRunner

from eibench.cli import app

settings.register_profile("eibench", deadline=None, database=None, derandomize=True)
settings.load_profile("eibench")
typer.testing._get_command = functools.cache(typer.testing._get_command)  # builds all verbs anew


def pytest_collection_finish() -> None:
    """Look for no garbage among libraries and tests, which stay."""
    gc.collect()
    gc.freeze()


TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "A tiny suite",
    "base": {
        "method": "ei",
        "model": {"name": "plain", "depth": 2, "width": 4, "pools": 1},
        "data": "digits",
        "train": {"epochs": 1, "batch_size": 256},
        "timesteps": 2,
    },
    "grid": {"model.depth": [1, 2]},
    "seeds": [0],
}


def changed(values: Any, changes: Any) -> Any:
    """`values` under `changes`: mappings merge, anything else replaces, `...` removes a key."""
    if not isinstance(values, dict) or not isinstance(changes, Mapping):
        return copy.deepcopy(changes)
    out = {k: v for k, v in values.items() if changes.get(k) is not ...}
    for key, change in changes.items():
        if change is not ...:
            out[key] = changed(out.get(key), change)
    return out


@dataclass(frozen=True)
class Project:
    """A throw-away folder, which is the working directory."""

    path: Path

    def suite(self, file: str = "tiny.yaml", **changes: Any) -> Path:
        """Write the tiny suite under `changes`; those of `base` merge, others replace a key.

        `...` removes one.
        """
        base = changed(TINY["base"], changes.pop("base", {}))
        suite = {**TINY, "base": base, **changes}
        kept = {key: value for key, value in suite.items() if value is not ...}
        return self.write(yaml.safe_dump(kept, sort_keys=False), file)

    def write(self, text: str, file: str = "tiny.yaml") -> Path:
        """Write a file; its path is relative, as a user would name it."""
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text, encoding="utf-8")
        return Path(file)

    def files(self) -> dict[str, bytes | None]:
        """Everything in the folder: bytes of files, None for folders."""
        found = sorted(self.path.rglob("*"))
        return {
            str(p.relative_to(self.path)): p.read_bytes() if p.is_file() else None for p in found
        }

    def records(self, suite: str = "tiny") -> dict[str, dict[str, Any]]:
        """The suite's records by run id."""
        found = sorted(self.path.glob(f"results/{suite}/*/record.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in found}


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The text of every `error:` line."""
        lines = self.err.splitlines()
        return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the source tree, or reads data sets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EIBENCH_DATA", str(tmp_path / "datasets"))
    monkeypatch.setattr("eibench.data.sources.SYSTEM_DATA", tmp_path / "system")


@pytest.fixture(autouse=True)
def forget() -> Iterator[Callable[[], None]]:
    """Takes away what plugins have added, as in a new process; done after every test."""
    with plugins_taken_away() as take_away:
        yield take_away


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A throw-away folder with helpers to write suites into it."""
    return Project(tmp_path)


@pytest.fixture
def cli() -> Callable[..., Outcome]:
    """`cli("run", path, ...)`: the real command, in this process; a traceback fails the test."""

    def call(*words: object) -> Outcome:
        done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        return Outcome(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def commands() -> Iterator[CommandServer]:
    """Real commands in processes of their own; see `command_server`."""
    server = CommandServer()
    yield server
    server.close()


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that this one starts are forks of one that has imported what they need."""
    if os.name == "posix":
        context = multiprocessing.get_context("forkserver")
        needed = ["torch._dynamo", "sklearn.datasets", "sklearn.model_selection"]
        needed += ["eibench.execution.workers", "eibench.data.digits", "eibench.nn"]
        context.set_forkserver_preload(needed)
        process = context.Process

        def start(target: Callable[..., Any], args: tuple[Any, ...], **options: Any) -> Any:
            return process(target=in_environment, args=(dict(os.environ), target, *args), **options)

        monkeypatch.setattr(context, "Process", start)
        monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: context)
