"""Twenty kills at random instants of runs, searches and several runs at a time: what is left goes
on to the files of an undisturbed command, in every field that is not of the clock or the machine.

A server imports torch once and forks for each command, so that a kill costs what it interrupts.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = {"run": 6, "search": 5, "run-jobs": 4, "search-jobs": 5}
LIMIT = 240.0
"""Seconds for one kind of command, on a busy machine."""
BASE = """
title: Killed at random
base:
  model: {name: plain, depth: 1, width: 4, pools: 1}
  data: digits
  train: {epochs: 3, batch_size: 256, optimizer: adamw}
  timesteps: 2
"""
SUITES = {
    "run": "grid: {method: [ei, tebn]}\nseeds: [0]\n",
    "search": """
grid: {method: [ei, tdbn]}
seeds: [0]
search:
  space: {train.lr: {low: 0.01, high: 1, log: true}}
  trials: 2
  seeds: [7]
  pruner: median
""",
    "search-jobs": """
grid: {method: [ei, tdbn]}
seeds: [0]
search:
  space: {train.lr: {low: 0.01, high: 1, log: true}, train.momentum: {choices: [0, 0.9]}}
  tune: {ei: {method.kappa: {choices: [0, 1]}}}
  trials: 4
  seeds: [1000]
  pruner: hyperband
""",
}
SERVER = """
import os, sys, traceback
import torch, optuna
import eibench.cli, eibench.execution.run_suite, eibench.search.driver, eibench.search.export
from eibench.data.digits import digits
torch.set_num_threads(1)
digits()
for line in sys.stdin:
    words = line.split()
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(null, 0), os.dup2(log, 1), os.dup2(log, 2)
        sys.argv = ["eibench", *words]
        code = 70
        try:
            eibench.cli.app(words)
        except SystemExit as leaving:
            code = leaving.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
JOBS = """
import multiprocessing
context = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda method=None: context
"""
"""Worker processes as forks: new ones would import torch at every kill."""
CLOCK = ("finished", "environment", "cost", "seconds")


class Server:
    """Starts commands; `kill_after` seconds they are killed, with all that they started."""

    def __init__(self, jobs: bool) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", (JOBS if jobs else "") + SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def start(self, *words: str) -> int:
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def code(self) -> int:
        return int(self.process.stdout.readline())

    def call(self, *words: str, kill_after: float | None = None) -> int:
        child = self.start(*words)
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it has ended, or not begun
                os.killpg(child, signal.SIGKILL)
        return self.code()


@pytest.fixture
def server(request):
    made = Server(jobs=request.param.endswith("jobs"))
    yield made
    made.process.kill()
    made.process.communicate()


def without_clock(value):
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in CLOCK}
    return [without_clock(part) for part in value] if isinstance(value, list) else value


def files(results):
    """What all files hold, by path; of the journal no more than that it is there."""
    found = {}
    for path in sorted(p for p in Path(results).rglob("*") if p.is_file()):
        text = path.read_text()
        if path.suffix == ".json":
            text = without_clock(json.loads(text))
        elif path.suffix == ".jsonl":
            text = [without_clock(json.loads(line)) for line in text.splitlines()]
        found[str(path.relative_to(results))] = None if path.name == "journal.log" else text
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("server", "kind"), [(k, k) for k in KILLS], indirect=["server"])
def test_a_command_killed_at_any_instant_goes_on_to_the_same_files(
    tmp_path, monkeypatch, server, kind
):
    monkeypatch.chdir(tmp_path)
    verb, *several = kind.split("-")
    base = BASE.replace("adamw", "sgd") if kind == "search-jobs" else BASE  # which has momentum
    Path("s.yaml").write_text(f"name: killed{base}{SUITES.get(kind, SUITES[verb])}")
    words = [verb, "s.yaml", "--device", "cpu", *(["--jobs", "2"] if several else [])]
    chance = random.Random(kind)
    server.process.stdin.flush()
    server.call(*words, "--results", "warm")
    start = time.monotonic()
    assert server.call(*words, "--results", "timed") == 0, Path("log").read_text()
    lasts = time.monotonic() - start
    alone = [*words[:-1], "1"] if several else words
    assert server.call(*alone, "--results", "whole") == 0, Path("log").read_text()
    whole = files("whole")
    killed, attempt, begun = 0, 0, time.monotonic()
    while killed < KILLS[kind] and time.monotonic() - begun < LIMIT:
        results = f"broken{attempt}"
        attempt += 1
        code = -signal.SIGKILL
        while code == -signal.SIGKILL and killed < KILLS[kind]:
            code = server.call(*words, "--results", results, kill_after=chance.uniform(0, lasts))
            killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL), Path("log").read_text()
        assert server.call(*words, "--results", results) == 0, Path("log").read_text()
        assert leftover(files(results)) == leftover(whole)
    assert killed == KILLS[kind]
    assert "Traceback" not in Path("log").read_text()
    assert not list(Path().rglob("checkpoint.pt"))


def leftover(found):
    """Without what a kill may leave behind: a temporary file beside the one that it was to be."""
    return {name: text for name, text in found.items() if not name.endswith(".tmp")}
