"""`eibench search`: tune a suite under one budget, and run the winners under fresh seeds."""

from __future__ import annotations

from collections.abc import Iterable
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
    Results,
    Settings,
    SkipAbsent,
    Suite,
    read_overrides,
    writable_file,
)
from eibench.cli.progress import run_with_progress
from eibench.cli.report import print_results
from eibench.cli.search_progress import SearchProgress
from eibench.limits import LARGEST
from eibench.results.labels import format_duration

if TYPE_CHECKING:
    from eibench.execution.engine import Engine
    from eibench.plan.search import SearchPlan
    from eibench.search.driver import SearchResult


def search(
    suite: Suite,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=LARGEST,
            help="Trials of each study in all, in place of the suite's.",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=writable_file,
            help="Write a suite with the values that won.",
            show_default=False,
        ),
    ] = None,
    settings: Settings = None,
    device: DeviceOption = Device.auto,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    engine: EngineOption = EngineName.local,
    jobs: Jobs = None,
    address: Address = None,
    gpus_per_run: GpusPerRun = None,
    cpus_per_run: CpusPerRun = 1,
    skip_absent: SkipAbsent = False,
    data_dir: DataDir = None,
) -> None:
    """Search a suite's `search` space, every method with the same budget, and confirm the winners.

    Trials that have ended are kept: the same command goes on up to the number of trials in all.
    Exit code: 0 all well, 1 trials or confirming runs failed, 2 bad input, 130 interrupted.
    """
    from eibench.execution.torchrun import refuse_torchrun
    from eibench.plan.find import find_suite
    from eibench.plan.protocol import own_keys, space_rule
    from eibench.plan.read_search import load_search

    refuse_torchrun("eibench search")
    choice = EngineChoice.read(engine, device, jobs, address, gpus_per_run, cpus_per_run)
    plan = load_search(find_suite(suite), read_overrides(settings), trials)
    for plugin in plan.expansion.plugins:
        say(f"plugin: {plugin}")
    keys = own_keys((study.base.method, study.space) for study in plan.arms)
    if (note := space_rule(keys)) is not None:
        say(note, err=True)
    if dry_run:
        _show_plan(plan, results, device)
        return
    if export is not None:
        from eibench.search.export import check_export

        check_export(plan, export)
    with skip_if_absent(skip_absent, plan.name):
        if not _search(plan, results, choice, export):
            raise typer.Exit(1)


def _search(plan: SearchPlan, results: Path, choice: EngineChoice, export: Path | None) -> bool:
    """Search, confirm and export; return True if nothing failed."""
    total = sum(map(plan.budget, plan.studies))
    with ExitStack() as stack:
        with SearchProgress(plan, total) as progress:
            from eibench.execution.remaining import known_costs
            from eibench.search.driver import search as find

            engine, base = choice.opener(total, stack)(), plan.base_plan()
            progress.status.parallel = engine.jobs
            progress.costs = known_costs(
                base, results, engine.device, engine.jobs, plan.options.seeds
            )
            found = find(plan, results, engine, progress)
        return _confirm(plan, found, total, results, engine, export)


def _confirm(
    plan: SearchPlan,
    found: SearchResult,
    total: int,
    results: Path,
    engine: Engine,
    export: Path | None,
) -> bool:
    """Run the winners and export them; return True if nothing has failed, in the search either."""
    say(
        f"{found.trials} of {total} trials"
        + f", {found.failed} failed" * bool(found.failed)
        + f"; {len(found.winners)} of {len(plan.studies)} winners to confirm"
    )
    if not found.winners:
        print_results(results / plan.name)
        return False
    confirming = plan.confirmation(found.winners)
    well = run_with_progress(confirming, confirming.runs, results, lambda: engine)
    if export is not None:
        from eibench.search.export import write_tuned_suite

        write_tuned_suite(plan, found.winners, export)
        say(str(export))
    return well and not found.failed and len(found.winners) == len(plan.studies)


def _show_plan(plan: SearchPlan, results: Path, device: Device) -> None:
    """Print studies, spaces, budget, and how long it may take."""
    with working("importing torch"):
        from eibench.execution.device import choose_device
        from eibench.execution.estimate import Estimator
    from eibench.plan.protocol import ONE_SEED
    from eibench.results.labels import counted

    base, times, enqueued = plan.base_plan(), plan.options.studies, plan.options.enqueue
    each = f", {times} for each combination," * (times > 1)
    say(
        f"{plan.title}: {len(plan.studies)} studies{each} of {plan.trials} trials"
        f" ({plan.options.sampler}; seeds {'; '.join(map(_listed, plan.tuning_seeds))}), winners"
        f" run again under seeds {_listed(plan.seeds)}"
    )
    if enqueued:
        say(f"Tried first by all methods alike: {counted(len(enqueued), 'setting')} of the suite.")
    if len(plan.options.seeds) == 1:
        say(ONE_SEED)
    with working("loading data"):
        where = choose_device(device)
        estimator = Estimator(base, base.runs, results, where, plan.options.seeds)
    total = 0.0
    for study in plan.arms:
        with working(f"timing {study.label}"):
            seconds = estimator.seconds(study.base)
        runs = times * plan.budget(study) * len(study.seeds) + len(plan.seeds)
        expected = None if seconds is None else seconds * runs
        total += expected or 0.0
        say(f"  {'will fail' if expected is None else format_duration(expected):>9}  {study.label}")
        for key, known in study.space.items():
            say(f"             {key}: {known.words()}")
    say(f"about {format_duration(total)} of one process on {where}, from {estimator.basis()}")


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
