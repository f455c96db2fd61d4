"""`eibench run` and `eibench probe`: execute a suite, or show its plan."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import MOST_JOBS, DataDir, possible, whole_numbers
from eibench.errors import UserError
from eibench.plan import Override, Plan, PlannedRun, find_suite, load_plan, load_probe, select
from eibench.plan.options import LARGEST
from eibench.plan.options.base import LARGEST_SEED
from eibench.plan.plugins import Loaded

if TYPE_CHECKING:
    import torch


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Suite = Annotated[str, typer.Argument(help="A suite file, or the name of one in suites/.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a field in every run."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY=VALUE", help="Only runs with a value (a,b: either)."),
]
Seeds = Annotated[
    str | None, typer.Option(metavar="0,1,...", help="Seeds in place of the suite's.")
]
Where = Annotated[Device, typer.Option(help="Where to compute.")]
Results = Annotated[Path, typer.Option(callback=possible, help="Folder for results.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan and an estimate of time; run nothing.")
]
Jobs = Annotated[
    int,
    typer.Option(
        min=1, max=MOST_JOBS, help="Runs at a time, each in a process with its share of the cores."
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")]


def run(
    suite: Suite,
    settings: Settings = None,
    only: Only = None,
    seeds: Seeds = None,
    device: Where = Device.auto,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    jobs: Jobs = 1,
    data_dir: DataDir = None,
) -> None:
    """Run a suite: finished runs are skipped, interrupted ones go on where they were.

    Exit code: 0 all runs are ok, 1 some failed, 2 bad input, 130 interrupted.
    """
    plan = load_plan(find_suite(suite), overrides(settings), _numbers("--seeds", seeds))
    _perform(plan, only, device, results, dry_run, fail_fast, jobs)


def probe(
    suite: Suite,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="0,50,...",
            help="Optimizer steps before measuring, in place of the suite's.",
            show_default="0",
        ),
    ] = None,
    settings: Settings = None,
    only: Only = None,
    seeds: Seeds = None,
    device: Where = Device.auto,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    jobs: Jobs = 1,
    data_dir: DataDir = None,
) -> None:
    """Measure firing, currents and gradients layer by layer, without training or early in it.

    Works on every suite; one that trains has its probes in a results folder of their own,
    NAME-probe. Exit codes as for run.
    """
    counts = _numbers("--steps", steps)
    seed_list = _numbers("--seeds", seeds)
    plan = load_probe(find_suite(suite), overrides(settings), seed_list, counts)
    _perform(plan, only, device, results, dry_run, fail_fast, jobs)


def overrides(settings: list[str] | None) -> list[Override]:
    """What the options `--set` say."""
    return [Override.read("--set", text) for text in settings or []]


def _perform(
    plan: Plan,
    only: list[str] | None,
    device: Device,
    results: Path,
    dry_run: bool,
    fail_fast: bool,
    jobs: int,
) -> None:
    """Execute what is chosen of `plan`, or show it."""
    show_plugins(plan.plugins)
    chosen = select(plan, [Override.read("--only", text) for text in only or []])

    from eibench.execution.device import choose_device

    where = choose_device(device)
    if dry_run:
        _show_plan(plan, chosen, results, where)
    elif not execute(plan, chosen, results, where, fail_fast, jobs):
        raise typer.Exit(1)


_LISTS = {"--seeds": ("a seed", LARGEST_SEED), "--steps": ("a number of steps", LARGEST)}
"""What each option lists, and the largest of it."""


def _numbers(option: str, text: str | None) -> list[int] | None:
    """The whole numbers in `0,1,2`."""
    if text is None:
        return None
    one, largest = _LISTS[option]
    numbers = whole_numbers(option, text, one, 0, largest, "0,1,2")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{option} {text}: {one} stands twice")
    return numbers


def show_plugins(plugins: Sequence[Loaded]) -> None:
    """A line for each plugin, with what it adds."""
    for plugin in plugins:
        say(f"plugin: {plugin}")


def execute(
    plan: Plan,
    runs: tuple[PlannedRun, ...],
    results: Path,
    device: torch.device,
    fail_fast: bool = False,
    jobs: int = 1,
) -> bool:
    """Run with progress on the terminal; whether every run is ok."""
    from eibench.cli.progress import Progress
    from eibench.execution.local import run_plan

    with Progress(plan.name, len(runs)) as progress:
        statuses = run_plan(plan, runs, results, device, progress, fail_fast, jobs)
    failed = sum(status != "ok" for status in statuses)
    left = len(runs) - len(statuses)
    say(
        f"{len(statuses) - failed} of {len(runs)} runs ok"
        + f", {failed} failed" * bool(failed)
        + f", {left} not run" * bool(left)
        + f"; eibench report {results / plan.name}"
    )
    return not failed and not left


def _show_plan(
    plan: Plan, runs: tuple[PlannedRun, ...], results: Path, device: torch.device
) -> None:
    """Print every run, its state, and how long what is left may take."""
    from eibench.execution.estimate import estimates
    from eibench.results.plan_file import same_computations
    from eibench.results.store import RunFolder

    say(f"{plan.title}: {len(runs)} runs, results in {results / plan.name}")
    total = 0.0
    for run, seconds in estimates(plan, runs, results, device):
        folder = RunFolder(results / plan.name / run.run_id)
        record, epochs = folder.record(), len(folder.epochs())
        if record is not None and folder.final_record() is not None:
            say(f"  done ({record['status']})  {run.title}")
            continue
        left = None if seconds is None else seconds * (1 - epochs / run.spec.train.epochs)
        total += left or 0.0
        state = f"{record['status']}, tried again" if record else "to do"
        state = f"after epoch {epochs}" if epochs and not record else state
        expected = "will fail" if left is None else duration(left)
        say(f"  {state:<10} {expected:>9}  {run.title}")
    say(f"about {duration(total)} on {device}, measured on a few training steps")
    for group in same_computations(plan):
        say(f"note: {' and '.join(group)} are the same computation in these networks")


def duration(seconds: float) -> str:
    """Seconds for a person: 8 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
