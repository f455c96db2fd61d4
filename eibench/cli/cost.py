"""`eibench cost`: operations, memory and modelled energy of trained or initialised networks."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eibench.cli.console import print_documents, say, working
from eibench.cli.options import (
    DataDir,
    Device,
    DeviceOption,
    Only,
    OutFile,
    Plugins,
    Results,
    Seeds,
    Settings,
    read_overrides,
    whole_numbers,
)
from eibench.cli.profile import QUIET
from eibench.errors import UserError
from eibench.limits import LARGEST, LARGEST_SEED

if TYPE_CHECKING:
    from eibench.cost.run import CostRequest
    from eibench.plan.spec import RunSpec

RUN_FILE = "spec.yaml"
HEADING = "Cost of an image"
OF_A_RUN = ("layers", "weight_density", "firing_rate_by_layer")
"""Parts of a count that are shown of single runs."""


class CostFormat(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    latex = "latex"
    html = "html"
    csv = "csv"
    json = "json"


def cost(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="SUITE|RUN...",
            help="A suite whose runs keep weights, folders of such runs, or a folder NAME-cost.",
        ),
    ],
    initialised: Annotated[
        bool, typer.Option("--initialised", help="Count a suite's networks before training.")
    ] = False,
    images: Annotated[
        int, typer.Option(min=1, max=LARGEST, help="Test images whose activity is counted.")
    ] = 256,
    train_steps: Annotated[
        int, typer.Option(min=0, max=LARGEST, help="Also time so many training steps of each row.")
    ] = 0,
    settings: Settings = None,
    only: Only = None,
    seeds: Seeds = None,
    results: Results = Path("results"),
    device: DeviceOption = Device.auto,
    form: Annotated[CostFormat, typer.Option("--format", help="How to write it.")] = (
        CostFormat.table
    ),
    out: OutFile = None,
    plugin: Plugins = None,
    data_dir: DataDir = None,
) -> None:
    """Count what an image costs, on real activity: MAC and AC, division, memory traffic, energy.

    Operations are counted by NeuroBench's definition and in full, with norms folded and not. Energy
    is a model: its constants and their range are printed with it. Rows of a suite are results too,
    in NAME-cost: `report` and `plot` read them, and `eibench cost NAME-cost` prints the tables
    again. Counting is on the CPU, `--device` is for `--train-steps`. Exit code: 0 all were counted,
    1 some were not, 2 bad input.
    """
    from eibench.plan.plugins import load_plugins

    for variable, level in QUIET.items() if train_steps else ():
        os.environ.setdefault(variable, level)

    from eibench.cost.run import CostRequest

    load_plugins(plugin or [])
    request = CostRequest(images, initialised)
    paper = form in (CostFormat.latex, CostFormat.html)
    if all(_is_run(Path(target)) for target in targets):
        if initialised or settings or only or seeds:
            raise UserError("--initialised, --set, --only and --seeds are for suites, not for runs")
        counted = [_of_runs([Path(target) for target in targets], request)]
    elif len(targets) == 1 and _has_rows(Path(targets[0])):
        if initialised or settings or only or seeds or train_steps:
            raise UserError(
                f"{targets[0]}: these networks are counted; only --format and --out apply"
            )
        counted = _of_rows(Path(targets[0]), paper=paper)
    elif len(targets) == 1:
        counted = _of_suite(targets[0], request, settings, only, seeds, results, paper)
    else:
        raise UserError(f"{' '.join(targets)}: name one suite, or folders of runs with {RUN_FILE}")
    if train_steps:
        _train(counted, train_steps, device)
    _write(counted, form, out)
    if any(one.values.get("failed") for one in counted):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Counted:
    """Networks under one condition: the values of their tables, and their specs by row."""

    title: str
    values: dict[str, Any]
    specs: list[tuple[str, RunSpec]]


def _is_run(path: Path) -> bool:
    return (path / RUN_FILE).is_file()


def _has_rows(path: Path) -> bool:
    from eibench.results.paths import has_plan
    from eibench.results.store import COST, kind_of, read_plan

    return has_plan(path) and kind_of(read_plan(path)) == COST


def _of_runs(paths: list[Path], request: CostRequest) -> _Counted:
    """Return the costs of the runs in `paths`, with a table of synapses for each."""
    from eibench.cost.run import cost_of_run
    from eibench.cost.summary import CountedRun, summarize

    runs, specs = [], []
    paths = [path if path.name else path.resolve() for path in paths]
    alike = len({path.name for path in paths}) < len(paths)
    for path in paths:
        with working(f"counting {path.name}"):
            spec, result = cost_of_run(path, request)
        name = spec.method.label if len(paths) == 1 else str(path) if alike else path.name
        runs.append(CountedRun(name, result))
        specs.append((name, spec))
    values = summarize(runs)
    for row, run in zip(values["rows"], runs, strict=True):
        row |= {key: run.result[key] for key in OF_A_RUN}
    named = dict.fromkeys(f"{spec.model.label}, {spec.data.label}" for _, spec in specs)
    return _Counted(f"{HEADING}: {'; '.join(named)}", values, specs)


def _of_suite(
    name: str,
    request: CostRequest,
    settings: list[str] | None,
    only: list[str] | None,
    seeds: str | None,
    results: Path,
    paper: bool,
) -> list[_Counted]:
    """Count the suite's networks; return their costs, by condition."""
    from eibench.cost.run import cost_of_suite
    from eibench.plan import find_suite, load_plan, select

    if Path(name).is_dir():
        raise UserError(f"{name}: a folder without {RUN_FILE}; name a suite or folders of its runs")
    numbers = seeds and whole_numbers("--seeds", seeds, "a seed", 0, LARGEST_SEED, "0,1")
    plan = load_plan(find_suite(name), read_overrides(settings), numbers or None)
    runs = select(plan, read_overrides(only, "--only"))
    folder, records = cost_of_suite(plan, runs, results, request, lambda text: say(text, err=True))
    say(f"rows: {folder}", err=True)
    specs = {record["run_id"]: run.spec for run, record in zip(runs, records, strict=True)}
    return _of_rows(folder, specs, paper)


def _of_rows(
    folder: Path, specs: Mapping[str, RunSpec] | None = None, paper: bool = False
) -> list[_Counted]:
    """Return the costs that were counted into `folder`, by condition; name those that were not.

    With `specs` the rows are those alone. With `paper` methods have the names of a paper.
    """
    from eibench.cost.rows import costs_by_condition, counted_run, whole
    from eibench.report.model.suite_results import read_suite
    from eibench.results.store import OK

    suite = read_suite(folder)
    runs = [whole(run) for run in suite.runs if specs is None or run.run_id in specs]
    for run in runs:
        if run.status != OK:
            say(f"{counted_run(run)}: not counted: {run.reason}", err=True)
    labels = suite.labels if paper else None
    found = [
        _Counted(
            suite.title + (f", {condition}" if condition else ""),
            values,
            [(name, specs[run_id]) for run_id, name in names.items() if specs],
        )
        for condition, values, names in costs_by_condition(
            runs, suite.axes, suite.control or "", labels
        )
    ]
    kept = [one for one in found if one.values["rows"]]
    if not kept:
        raise UserError(f"{folder}: no network could be counted")
    for one in found:
        if one not in kept:
            kept[0].values["failed"] += one.values["failed"]
    return kept


def _train(counted: list[_Counted], steps: int, device: Device) -> None:
    """Time training steps of the networks, and add them to the values."""
    from eibench.cost.training import training_costs
    from eibench.execution.device import choose_device, keep_freed_memory

    keep_freed_memory()
    where = choose_device(device)
    for one in counted:
        there = {row["name"] for row in one.values["rows"]}
        specs = {name: spec for name, spec in one.specs if name in there}
        if len({_problem(spec) for spec in specs.values()}) > 1:
            raise UserError(
                "--train-steps times networks that share data, time steps and batch size; these"
                " do not"
            )
        tell = functools.partial(say, err=True)
        one.values["training"] = training_costs(specs, steps, where, tell)


def _problem(spec: RunSpec) -> tuple[object, ...]:
    """Return what networks that are timed side by side must share."""
    return repr(spec.data), spec.timesteps, spec.train.batch_size


def _write(counted: list[_Counted], form: CostFormat, out: Path | None) -> None:
    from eibench.report.model.cost import cost_document

    print_documents([cost_document(one.values, one.title) for one in counted], form.value, out)
