"""Several runs at a time: the same results, and processes that die, are interrupted or left alone.

Where a process is as a user starts it, each of its processes imports torch anew.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]

SUITE = """
name: several
title: Several at a time
base:
  model: {name: plain, depth: 2, width: 4, pools: 1}
  data: digits
  train: {epochs: EPOCHS, batch_size: 256}
  timesteps: 2
grid: {method: [ei, batchnorm, tdbn, no_norm]}
seeds: [3]
"""
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
RESULTS = ("--results", "results", "--jobs", "2")


def words(*options, epochs=2):
    Path("several.yaml").write_text(SUITE.replace("EPOCHS", str(epochs)))
    return ["run", "several.yaml", "--device", "cpu", *options]


@pytest.fixture
def start(commands):
    """`start(*RESULTS, epochs=2)`: the command in a process group of its own."""
    return lambda *options, **size: commands.start(*words(*options, **size))


@pytest.fixture
def start_anew():
    """The same with a new interpreter for each process, as a terminal starts it."""

    def call(*options, **size):
        return subprocess.Popen(
            [sys.executable, "-m", "eibench", *words(*options, **size)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ONE_THREAD,
            start_new_session=True,
            # whoever started the tests in the background has made them, and so this, deaf to it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return call


def records(results="results"):
    out = {}
    for path in sorted(Path(results).glob("several/*/record.json")):
        record = json.loads(path.read_text())
        out[record["fields"]["method"]] = record
    return out


def results_of(found):
    return {name: (record["status"], record["result"]) for name, record in found.items()}


def until(condition, process, seconds=300):
    """Return the value of `condition` as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.01)
    process.kill()
    return pytest.fail(f"never came to it: {process.communicate()}")


def proc(pid, name):
    """A file of /proc/PID, empty where the process has ended (it may at any moment)."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def stat(pid):
    """State and parent of a process; a zombie's, and none, where it has ended."""
    return (proc(pid, "stat").rpartition(")")[2].split() or ["Z", "0"])[:2]


def children(parent):
    """Processes of `parent` that execute runs (not the one that tidies up after them)."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        if stat(path.name)[1] != str(parent):
            continue
        begun_as = proc(path.name, "cmdline")
        if "spawn_main" in begun_as or "command_server" in begun_as:
            found.append(int(path.name))
    return found


def alive(pid):
    return stat(pid)[0] != "Z"


@pytest.fixture
def whole(tmp_path, commands):
    """The results of one run after another."""
    code, _, errors = commands.run(*words("--results", "whole"))
    assert code == 0, errors
    return results_of(records("whole"))


def training(count):
    """Return whether so many runs have saved an epoch and not ended."""
    return lambda: len(list(Path("results").glob("several/*/checkpoint.pt"))) >= count


def test_two_at_a_time_give_the_results_of_one(whole, start_anew):
    process = start_anew(*RESULTS)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "4 of 4 runs ok" in out
    assert errors == ""
    assert results_of(records()) == whole


def test_a_process_that_is_killed_takes_one_run_with_it(start):
    process = start(*RESULTS, epochs=24)
    until(training(2), process)
    victims = children(process.pid)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "3 of 4 runs ok, 1 failed" in out
    assert "Traceback" not in out + errors
    (broken,) = [r for r in records().values() if r["status"] != "ok"]
    assert broken["status"] == "error"
    assert broken["reason"] == (
        "the process that ran it died (signal 9); the system ends what needs too much memory so"
    )
    assert broken["cost"]["seconds"] is None

    again = start(*RESULTS, epochs=24)
    out, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert out.count("already finished") == 3
    assert {r["status"] for r in records().values()} == {"ok"}


@pytest.mark.parametrize("early", [True, False])
def test_an_interrupt_ends_all_at_once_and_they_go_on_later(start, start_anew, early):
    """From the keyboard it reaches the whole group: early, while the children import torch."""
    process = (start_anew if early else start)(*RESULTS, epochs=400)
    until((lambda: children(process.pid)) if early else training(2), process)
    left = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)  # of 400 epochs, on however busy a machine
    assert process.returncode == 130, errors
    assert errors == "interrupted; run the same command again to resume\n"
    assert not any(alive(pid) for pid in left)
    assert not records()
    if not early:
        ends = [
            len(path.read_text().splitlines()) for path in Path("results").rglob("epochs.jsonl")
        ]
        assert 1 <= min(ends) <= max(ends) < 400


def test_children_end_when_the_parent_is_killed(start):
    process = start(*RESULTS, epochs=400)
    until(training(2), process)
    left = children(process.pid)
    assert len(left) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 120
    while any(alive(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in left)


def test_interrupted_and_gone_on_the_results_are_those_of_one(whole, start):
    process = start(*RESULTS)
    until(training(1), process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=300)
    again = start(*RESULTS)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert results_of(records()) == whole
