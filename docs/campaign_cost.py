"""The cost of campaigns beside training: plan, bookkeeping of runs, resume, status, report, pack.

    python docs/campaign_cost.py 1000 2000 4000 10000

Runs are fake: each writes its files at once. All else is what the commands do.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from eibench.cli import app
from eibench.execution import run_one
from eibench.plan import load_plan
from eibench.results.store import RunFolder

CELLS = {"method": ["ei", "batchnorm"], "model.depth": [1, 2, 3, 4, 5]}
STEPS = ("plan", "run", "resume", "status", "report", "pack")
COMMANDS = {
    "run": ["run", "campaign.yaml"],
    "resume": ["run", "campaign.yaml"],
    "status": ["status"],
    "report": ["report", "results/campaign", "--format", "markdown"],
    "pack": ["results", "pack", "results/campaign"],
}


def write_suite(runs: int) -> None:
    """Write a suite of `runs` runs: ten cells, and as many seeds as that takes."""
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
    train = {"epochs": 1, "batch_size": 256}
    base = {"model": model, "data": "digits", "train": train, "timesteps": 2}
    suite = {"name": "campaign", "title": "Campaign", "base": base, "grid": CELLS}
    suite["seeds"] = list(range(runs // 10))
    Path("campaign.yaml").write_text(yaml.safe_dump(suite))


def fake_training(run: Any, folder: RunFolder, *_: object) -> dict[str, Any]:
    """Write the files of a run in place of training, and return its result."""
    epoch = {"epoch": 1, "train_loss": 1.0, "validation_accuracy": 50.0, "lr": 0.1}
    folder.begin({**run.spec.to_dict(), **run.spec.sources()})
    folder.begin_epochs([epoch])
    accuracy = 50 + hash(run.run_id) % 1000 / 100
    return {"test_accuracy": accuracy, "validation_accuracy": accuracy, "epochs": 1, "classes": 10}


def do(step: str) -> None:
    """Do one step in the current folder, without its output."""
    run_one._train = fake_training  # type: ignore[assignment]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        if step == "plan":
            load_plan(Path("campaign.yaml"), [])
        else:
            app(COMMANDS[step])


def measured(work: Callable[..., None], *words: str) -> tuple[float, float]:
    """Return seconds and MiB of `work` in a process of its own."""
    ours, theirs = multiprocessing.Pipe()

    def child() -> None:
        start = time.perf_counter()
        work(*words)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        theirs.send((time.perf_counter() - start, peak))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    found: tuple[float, float] = ours.recv()
    process.join()
    return found


def campaign(runs: int, steps: Sequence[str] = STEPS) -> dict[str, float]:
    """Return the seconds of each step of a campaign, its files, MiB on disk and of the driver."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_suite(runs)
            found, peaks = {}, {}
            for step in steps:
                found[step], peaks[step] = measured(do, step)
            files = [p for p in Path("results/campaign").rglob("*") if p.is_file()]
            sizes = {"files": len(files), "disk": sum(p.stat().st_size for p in files) / 2**20}
            return found | sizes | {"memory": peaks.get("run", 0.0)}
        finally:
            os.chdir(before)


def main() -> None:
    """Print a row for each size of campaign."""
    import optuna  # noqa: F401
    import pandas  # noqa: F401

    heads = (*(f"{step} (s)" for step in STEPS), "files", "MiB on disk", "MiB of the driver")
    print(f"| runs | {' | '.join(heads)} |\n|{'---:|' * (len(heads) + 1)}")
    for runs in map(int, sys.argv[1:] or ["1000"]):
        cells = campaign(runs).values()
        numbers = (f"{v:,.1f}" if isinstance(v, float) else f"{v:,}" for v in cells)
        print(f"| {runs:,} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
