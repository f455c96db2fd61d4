"""Twenty kills at random instants of runs, searches and several runs at a time: what is left goes
on to the files of an undisturbed command, in every field that is not of the clock or the machine.

Commands are forks of a server, so that a kill costs what it interrupts.
"""

import json
import os
import random
import signal
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
  train: {epochs: 3, batch_size: 512, optimizer: adamw}
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
  trials: 5
  seeds: [1000]
  pruner: median
""",
}
CLOCK = ("finished", "environment", "cost", "seconds")


def without_clock(value):
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in CLOCK}
    return [without_clock(part) for part in value] if isinstance(value, list) else value


def files(results):
    """Return the content of all files by path; of the journal only that it exists."""
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
@pytest.mark.parametrize("kind", KILLS)
def test_a_command_killed_at_any_instant_goes_on_to_the_same_files(tmp_path, commands, kind):
    verb, *several = kind.split("-")
    base = BASE.replace("adamw", "sgd") if kind == "search-jobs" else BASE  # which has momentum
    Path("s.yaml").write_text(f"name: killed{base}{SUITES.get(kind, SUITES[verb])}")
    words = [verb, "s.yaml", "--device", "cpu", "--jobs"]

    def complete(results, jobs):
        """The files of the command, which ends well, and the seconds that it takes."""
        begun = time.monotonic()
        code, out, errors = commands.run(*words, jobs, "--results", results)
        assert code == 0, out + errors
        assert "Traceback" not in errors
        return leftover(files(results)), time.monotonic() - begun

    def killed(results, after):
        """Return whether the command was still running when it was killed `after` seconds."""
        command = commands.start(*words, jobs, "--results", results)
        time.sleep(after)
        command.kill()
        out, errors = command.communicate()
        assert command.returncode in (0, -signal.SIGKILL), out + errors
        assert "Traceback" not in errors
        return command.returncode != 0

    jobs = len(several) + 1
    whole, lasts = complete("whole", 1)
    if several:
        _, lasts = complete("timed", jobs)
    chance, kills, begun = random.Random(kind), 0, time.monotonic()
    while kills < KILLS[kind] and time.monotonic() - begun < LIMIT:
        results = f"broken{kills}"
        while kills < KILLS[kind] and killed(results, chance.uniform(0, lasts)):
            kills += 1
        assert complete(results, jobs)[0] == whole
    assert kills == KILLS[kind]
    assert not list(Path().rglob("checkpoint.pt"))


def leftover(found):
    """Without what a kill may leave behind: a temporary file beside the one that it was to be."""
    return {name: text for name, text in found.items() if not name.endswith(".tmp")}
