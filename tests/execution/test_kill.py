"""A run killed with SIGKILL in the middle goes on to the bit-identical result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUITE = """
name: killed
title: Killed in the middle
base:
  model: {name: plain, depth: 2, width: 4}
  data: digits
  train: {epochs: 8, batch_size: 64}
  timesteps: 2
grid: {method: [ei, batchnorm]}
seeds: [3]
"""


def command(results):
    arguments = ["run", "killed.yaml", "--results", str(results), "--device", "cpu"]
    return [sys.executable, "-m", "eibench", *arguments]


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


def wait_for(path: Path, lines: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.005)
    pytest.fail("the run ended, or never came to the epoch in which it was to be killed")


@pytest.mark.slow
def test_killed_run_resumes_to_the_identical_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("killed.yaml").write_text(SUITE)
    subprocess.run(command("whole"), check=True, capture_output=True)

    process = subprocess.Popen(command("broken"), stdout=subprocess.DEVNULL)
    victim = next(name for name in records(Path("whole")) if name.startswith("ei"))
    wait_for(tmp_path / "broken/killed" / victim / "epochs.jsonl", 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = tmp_path / "broken/killed" / victim
    assert not (left / "record.json").exists()
    assert (left / "checkpoint.pt").exists()

    subprocess.run(command("broken"), check=True, capture_output=True)
    assert len(records(Path("whole"))) == 2
    assert records(Path("broken")) == records(Path("whole"))
    assert not list(Path("broken").rglob("checkpoint.pt"))


@pytest.mark.slow
def test_interrupt_exits_130_and_leaves_results_that_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    longer = SUITE.replace("epochs: 8", "epochs: 40")  # a busy machine may look late
    Path("killed.yaml").write_text(longer)
    process = subprocess.Popen(
        command("out"),
        stderr=subprocess.PIPE,
        text=True,
        # whoever started the tests in the background has made them, and so this, deaf to it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/killed/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    again = subprocess.run(command("out"), capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert len(records(Path("out"))) == 2
