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

GRID = {"method": ["ei", "batchnorm"], "model.depth": [1, 2, 3, 4, 5]}
SEEDS = [0, 1, 2, 3, 4]
STEPS = ("plan", "run", "resume", "status", "report", "pack")
COMMANDS = {
    "run": ["run", "campaign.yaml"],
    "resume": ["run", "campaign.yaml"],
    "status": ["status"],
    "report": ["report", "results/campaign", "--format", "markdown"],
    "pack": ["results", "pack", "results/campaign"],
}


def write_suite(runs: int) -> None:
    """Write a suite of `runs` runs: five seeds, and as many learning rates as that takes."""
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
    train = {"epochs": 1, "batch_size": 256}
    base = {"model": model, "data": "digits", "train": train, "timesteps": 2}
    rates = [round(0.001 * (i + 1), 4) for i in range(runs // 50)]
    grid = {**GRID, "train.lr": rates}
    suite = {"name": "campaign", "title": "Campaign", "base": base, "grid": grid, "seeds": SEEDS}
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


def measured(work: Callable[..., None], *words: str) -> tuple[float, float, float]:
    """Return processor time, time and MiB of `work` in a process of its own."""
    ours, theirs = multiprocessing.Pipe()

    def child() -> None:
        start, cpu = time.perf_counter(), time.process_time()
        work(*words)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        theirs.send((time.process_time() - cpu, time.perf_counter() - start, peak))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    found: tuple[float, float, float] = ours.recv()
    process.join()
    return found


def campaign(runs: int, steps: Sequence[str] = STEPS) -> dict[str, float]:
    """Return the processor time of each step of a campaign in seconds, and what else it costs."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_suite(runs)
            costs = {step: measured(do, step) for step in steps}
            files = [p for p in Path("results/campaign").rglob("*") if p.is_file()]
            size = sum(p.stat().st_size for p in files) / 2**20
        finally:
            os.chdir(before)
    seconds = {step: cpu for step, (cpu, _, _) in costs.items()}
    others = {"time of run": costs["run"][1], "files": len(files), "MiB on disk": size}
    return {**seconds, **others, "MiB of memory": max(peak for _, _, peak in costs.values())}


def main() -> None:
    """Print a row for each size of campaign."""
    import optuna  # noqa: F401
    import pandas  # noqa: F401
    import torch._dynamo  # noqa: F401

    for i, runs in enumerate(map(int, sys.argv[1:] or ["1000"])):
        costs = campaign(runs)
        if i == 0:
            print(f"| runs | {' | '.join(costs)} |\n|{'---:|' * (len(costs) + 1)}")
        numbers = (f"{v:,.1f}" if isinstance(v, float) else f"{v:,}" for v in costs.values())
        print(f"| {runs:,} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
