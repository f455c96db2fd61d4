"""A run killed with SIGKILL in the middle goes on to the bit-identical result."""

import json
import signal
import time
from pathlib import Path

import pytest
from command_server import Command

SUITE = """
name: killed
title: Killed in the middle
base:
  model: {name: plain, depth: 2, width: 4, pools: 1}
  data: digits
  train: {epochs: 8, batch_size: 256}
  timesteps: 2
grid: {method: [ei, batchnorm]}
seeds: [3]
"""


def words(results):
    return ["run", "killed.yaml", "--results", results, "--device", "cpu"]


def records(results: Path):
    """All that a run determines: its record and epochs without costs, times and machine."""
    out = {}
    for path in sorted(results.glob("killed/*/record.json")):
        record = json.loads(path.read_text())
        epochs = [json.loads(line) for line in (path.parent / "epochs.jsonl").open()]
        for entry in epochs:
            del entry["cost"]
        kept = {k: record[k] for k in ("run_id", "status", "reason", "fields", "result")}
        out[path.parent.name] = (kept, epochs)
    return out


def wait_for(path: Path, lines: int, process: Command) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.005)
    pytest.fail("the run ended, or never came to the epoch in which it was to be killed")


@pytest.fixture
def whole(tmp_path, commands):
    """The records of an undisturbed command."""
    Path("killed.yaml").write_text(SUITE)
    code, _, errors = commands.run(*words("whole"))
    assert code == 0, errors
    return records(Path("whole"))


@pytest.mark.slow
def test_killed_run_resumes_to_the_identical_result(tmp_path, commands, whole):
    process = commands.start(*words("broken"))
    victim = next(name for name in whole if name.startswith("ei"))
    left = tmp_path / "broken/killed" / victim
    wait_for(left / "epochs.jsonl", 3, process)
    process.kill()
    process.wait()
    assert not (left / "record.json").exists()
    assert (left / "checkpoint.pt").exists()

    code, _, errors = commands.run(*words("broken"))
    assert code == 0, errors
    assert len(whole) == 2
    assert records(Path("broken")) == whole
    assert not list(Path("broken").rglob("checkpoint.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_exits_130_and_leaves_results_that_resume(tmp_path, commands, kind):
    longer = SUITE.replace("epochs: 8", "epochs: 40")  # a busy machine may look late
    Path("killed.yaml").write_text(longer)
    process = commands.start(*words("out"))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/killed/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not Path("out/killed/.running").exists()  # where another machine would wait
    code, _, errors = commands.run(*words("out"))
    assert code == 0, errors
    assert len(records(Path("out"))) == 2
