"""`eibench run` and `eibench probe`: execute a suite, or show its plan."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say, skip_if_absent, working
from eibench.cli.engine import (
    Address,
    CpusPerRun,
    EngineChoice,
    EngineName,
    EngineOption,
    GpusPerRun,
    Jobs,
)
from eibench.cli.options import (
    DataDir,
    Device,
    DeviceOption,
    DryRun,
    FailFast,
    KeepOption,
    Only,
    Results,
    Seeds,
    Settings,
    ShardOption,
    SkipAbsent,
    Suite,
    read_numbers,
    read_overrides,
    read_shard,
)
from eibench.cli.progress import run_with_progress
from eibench.cli.report import print_results
from eibench.execution.torchrun import Torchrun, refuse_torchrun, torchrun
from eibench.results.labels import format_duration

if TYPE_CHECKING:
    from eibench.plan import Plan, PlannedRun

PRINTED_SWEEPS = 3
"""Sweeps up to which all their tables are printed."""


def run(
    suite: Suite,
    settings: Settings = None,
    only: Only = None,
    seeds: Seeds = None,
    device: DeviceOption = Device.auto,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    engine: EngineOption = EngineName.local,
    jobs: Jobs = None,
    address: Address = None,
    gpus_per_run: GpusPerRun = None,
    cpus_per_run: CpusPerRun = 1,
    shard: ShardOption = None,
    skip_absent: SkipAbsent = False,
    keep: KeepOption = None,
    data_dir: DataDir = None,
) -> None:
    """Run a suite; finished runs are skipped, interrupted runs resume.

    Exit code: 0 all runs are ok, 1 some failed, 2 bad input, 130 interrupted.
    """
    from eibench.plan import find_suite, load_plan

    choice = EngineChoice.read(engine, device, jobs, address, gpus_per_run, cpus_per_run)
    plan = load_plan(find_suite(suite), read_overrides(settings), read_numbers("--seeds", seeds))
    if keep is not None:
        plan = plan.keeping(keep.value)
    _perform(plan, only, choice, results, dry_run, fail_fast, shard, skip_absent)


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
    device: DeviceOption = Device.auto,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    engine: EngineOption = EngineName.local,
    jobs: Jobs = None,
    address: Address = None,
    gpus_per_run: GpusPerRun = None,
    cpus_per_run: CpusPerRun = 1,
    shard: ShardOption = None,
    skip_absent: SkipAbsent = False,
    data_dir: DataDir = None,
) -> None:
    """Measure firing, currents and gradients layer by layer, without training or early in it.

    Works on every suite; one that trains has its probes in a results folder of their own,
    NAME-probe. Exit codes as for run.
    """
    from eibench.plan import find_suite, load_probe

    refuse_torchrun("eibench probe")
    choice = EngineChoice.read(engine, device, jobs, address, gpus_per_run, cpus_per_run)
    counts = read_numbers("--steps", steps)
    seed_list = read_numbers("--seeds", seeds)
    plan = load_probe(find_suite(suite), read_overrides(settings), seed_list, counts)
    _perform(plan, only, choice, results, dry_run, fail_fast, shard, skip_absent)


def _perform(
    plan: Plan,
    only: list[str] | None,
    choice: EngineChoice,
    results: Path,
    dry_run: bool,
    fail_fast: bool,
    shard: str | None,
    skip_absent: bool,
) -> None:
    """Run the chosen runs of `plan`, or show them."""
    from eibench.plan import select

    for plugin in plan.plugins:
        say(f"plugin: {plugin}")
    part = read_shard(shard)
    chosen = part.of(select(plan, read_overrides(only, "--only")))
    if not chosen:
        say(f"{plan.name}: no run is in shard {part}; another number of shards divides them anew")
        return
    place = torchrun()
    if place is not None and place.rank:  # the first process does all but train
        if not dry_run:
            _follow(place, choice.device, plan)
        return
    if dry_run:
        _show_plan(plan, chosen, results, choice.device_here)
        return
    with skip_if_absent(skip_absent, plan.name), ExitStack() as stack:
        engine = choice.opener(len(chosen), stack)
        well = run_with_progress(plan, chosen, results, engine, fail_fast)
        if not (_evaluate_sweeps(plan, chosen, results, choice.device_here) and well):
            raise typer.Exit(1)


def _evaluate_sweeps(
    plan: Plan, runs: tuple[PlannedRun, ...], results: Path, device: Device
) -> bool:
    """Evaluate the weights of `runs` as the suite asks; return whether all went well."""
    if not plan.sweeps:
        return True
    from eibench.execution.device import choose_device
    from eibench.execution.evaluate_suite import evaluate_sweeps

    found = evaluate_sweeps(plan, runs, results, choose_device(device), say)
    for folder, failed in found:
        say(f"{failed} evaluations failed or not run" * bool(failed) or f"eibench report {folder}")
        if len(found) <= PRINTED_SWEEPS:
            print_results(folder)
    return not any(failed for _, failed in found)


def _follow(place: Torchrun, device: Device, plan: Plan) -> None:
    """Train along with the first process, which runs the plan."""
    from eibench.execution.device import choose_device
    from eibench.execution.distributed import follow, join

    where = choose_device(device)
    follow(join(place, where), where, plan.folder)


def _show_plan(plan: Plan, runs: tuple[PlannedRun, ...], results: Path, device: Device) -> None:
    """Print every run with its state and the expected remaining time."""
    with working("importing torch"):
        from eibench.execution.device import choose_device
        from eibench.execution.estimate import Estimator
    from eibench.results.plan_file import same_computations
    from eibench.results.store import RunFolder

    say(f"{plan.title}: {len(runs)} runs, results in {results / plan.name}")
    with working("loading data"):
        where = choose_device(device)
        estimator = Estimator(plan, runs, results, where)
    total = 0.0
    for run in runs:
        folder = RunFolder(results / plan.name / run.run_id)
        record, epochs = folder.record(), len(folder.epochs())
        if record is not None and folder.final_record() is not None:
            say(f"  done ({record['status']})  {run.title}")
            continue
        with working(f"timing {run.title}"):
            seconds = estimator.seconds(run)
        left = None if seconds is None else seconds * (1 - epochs / run.spec.train.epochs)
        total += left or 0.0
        state = f"{record['status']}, tried again" if record else "to do"
        state = f"after epoch {epochs}" if epochs and not record else state
        expected = "will fail" if left is None else format_duration(left)
        say(f"  {state:<10} {expected:>9}  {run.title}")
    say(f"about {format_duration(total)} of one process on {where}, from {estimator.basis()}")
    for note in plan.notes:
        say(f"note: {note}")
    for group in same_computations(plan):
        say(f"note: {' and '.join(group)} are the same computation in these networks")
