"""`eibench run`: execute a suite, or show its plan."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.errors import UserError
from eibench.plan import Override, Plan, PlannedRun, find_suite, load_plan, select
from eibench.plan.spec import LARGEST_SEED

if TYPE_CHECKING:
    import torch


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def run(
    suite: Annotated[str, typer.Argument(help="A suite file, or the name of one in suites/.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a field in every run."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KEY=VALUE", help="Only runs with a value (a,b: either)."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,...", help="Seeds in place of the suite's.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    results: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and an estimate of time; run nothing.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")
    ] = False,
) -> None:
    """Run a suite: finished runs are skipped, interrupted ones go on where they were.

    Exit code: 0 all runs are ok, 1 some failed, 2 bad input, 130 interrupted.
    """
    overrides = [Override.read("--set", text) for text in settings or []]
    plan = load_plan(find_suite(suite), overrides, _seeds(seeds))
    chosen = select(plan, [Override.read("--only", text) for text in only or []])

    from eibench.execution.device import choose_device

    where = choose_device(device)
    if dry_run:
        _show_plan(plan, chosen, results, where)
    elif not _execute(plan, chosen, results, where, fail_fast):
        raise typer.Exit(1)


def _seeds(text: str | None) -> list[int] | None:
    """The seeds in `0,1,2`."""
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text}: must be whole numbers, such as 0,1,2") from None
    if min(seeds) < 0:
        raise UserError(f"--seeds {text}: a seed is at least 0")
    if max(seeds) > LARGEST_SEED:
        raise UserError(f"--seeds {text}: a seed is at most {LARGEST_SEED}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: a seed stands twice")
    return seeds


def _execute(
    plan: Plan,
    runs: tuple[PlannedRun, ...],
    results: Path,
    device: torch.device,
    fail_fast: bool,
) -> bool:
    """Run with progress on the terminal; whether every run is ok."""
    from eibench.cli.progress import Progress
    from eibench.execution.local import run_plan

    with Progress(plan.name, len(runs)) as progress:
        statuses = run_plan(plan, runs, results, device, progress, fail_fast)
    failed = sum(status != "ok" for status in statuses)
    left = len(runs) - len(statuses)
    typer.echo(
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

    typer.echo(f"{plan.title}: {len(runs)} runs, results in {results / plan.name}")
    total = 0.0
    for run, seconds in estimates(plan, runs, results, device):
        folder = RunFolder(results / plan.name / run.run_id)
        record, epochs = folder.record(), len(folder.epochs())
        if record is not None and folder.final_record() is not None:
            typer.echo(f"  done ({record['status']})  {run.title}")
            continue
        left = None if seconds is None else seconds * (1 - epochs / run.spec.train.epochs)
        total += left or 0.0
        state = f"{record['status']}, tried again" if record else "to do"
        state = f"after epoch {epochs}" if epochs and not record else state
        expected = "will fail" if left is None else duration(left)
        typer.echo(f"  {state:<10} {expected:>9}  {run.title}")
    typer.echo(f"about {duration(total)} on {device}, measured on a few training steps")
    for group in same_computations(plan):
        typer.echo(f"note: {' and '.join(group)} are the same computation in these networks")


def duration(seconds: float) -> str:
    """Seconds for a person: 8 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
