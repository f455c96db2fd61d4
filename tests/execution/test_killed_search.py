"""A search killed with SIGKILL, again and again, comes to the trials it would have had."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUITE = """
name: killed
title: Searched under fire
base:
  model: {name: plain, depth: 1, width: 4, pools: 1}
  data: digits
  train: {epochs: 3, batch_size: 256}
  timesteps: 2
grid: {method: [ei, tdbn]}
search:
  space: {train.lr: {low: 0.01, high: 1, log: true}, train.momentum: {choices: [0, 0.9]}}
  tune: {ei: {method.kappa: {choices: [0, 1]}}}
  trials: 8
  seeds: [1000]
  pruner: PRUNER
seeds: [0]
"""


def command(results, jobs):
    words = ["search", "killed.yaml", "--results", results, "--jobs", str(jobs), "--device", "cpu"]
    return [sys.executable, "-m", "eibench", *words]


def whole_trial(trial):
    return {key: value for key, value in trial.items() if key != "seconds"}


def studies(results):
    """Every trial without what the clock says, winners, fronts and importances."""
    content = json.loads(Path(results, "killed/search/plan.json").read_text())
    return [
        {**study, "trials": [whole_trial(trial) for trial in study["trials"]]}
        for study in content["studies"]
    ]


def records(results):
    """What the runs determine, of trials and confirmation alike."""
    out = {}
    for path in sorted(Path(results).rglob("record.json")):
        record = json.loads(path.read_text())
        kept = {key: record[key] for key in ("status", "reason", "fields", "result")}
        out[str(path.relative_to(results))] = kept
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "pruner"), [(1, "hyperband"), (2, "median")])
def test_a_search_that_is_killed_goes_on_to_the_same_winners(tmp_path, monkeypatch, jobs, pruner):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("killed.yaml").write_text(SUITE.replace("PRUNER", pruner))
    subprocess.run(command("whole", jobs=1), check=True, capture_output=True)

    chance, killed = random.Random(jobs), 0
    for lines in (4, 17, 30, 45):  # of the journal, whatever the process does then
        process = subprocess.Popen(command("broken", jobs), stdout=subprocess.DEVNULL)
        journal, deadline = Path("broken/killed/search/journal.log"), time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and len(journal.read_bytes().splitlines()) >= lines:
                time.sleep(chance.random() / 10)
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.002)
        process.wait()
    assert killed >= 3
    done = subprocess.run(command("broken", jobs), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert studies("broken") == studies("whole")
    assert records("broken") == records("whole")
    assert not list(Path("broken").rglob("checkpoint.pt"))
