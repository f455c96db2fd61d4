"""`eibench cost`: operations, memory and modelled energy of trained or initialised networks."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eibench.cli.console import say, working
from eibench.cli.console import write as show
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
    from eibench.report.model.suite_results import SuiteResults
    from eibench.results.cells import Run

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
            raise UserError(f"{targets[0]}: these networks are counted; it takes no option")
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
    spec = specs[0][1]
    return _Counted(f"{HEADING}: {spec.model.label}, {spec.data.label}", values, specs)


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
    from eibench.cost.summary import is_whole
    from eibench.report.model.suite_results import read_suite
    from eibench.results.store import ERROR, OK

    suite = read_suite(folder)
    damaged: dict[str, Any] = {
        "status": ERROR,
        "reason": "its row is damaged or of an older version",
    }
    runs = [
        run if run.status != OK or is_whole(run.result) else replace(run, **damaged)
        for run in suite.runs
        if specs is None or run.run_id in specs
    ]
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.status != OK:
            say(f"{_counted_run(run)}: not counted: {run.reason}", err=True)
        found.setdefault(_condition(run, runs, suite.axes), []).append(run)
    counted = [_under(key, group, suite, specs or {}, paper) for key, group in found.items()]
    if not any(one.values["rows"] for one in counted):
        raise UserError(f"{folder}: no network could be counted")
    return [one for one in counted if one.values["rows"]]


def _counted_run(run: Run) -> str:
    """Return the id of the run whose network a row is of."""
    from eibench.plan.conditions import FROM

    return str(run.fields.get(f"{FROM}.run", run.run_id))


def _condition(run: Run, runs: Sequence[Run], axes: Sequence[str]) -> str:
    """Return the values of axes that vary, other than the method and how it is trained."""
    listed = [axis for axis in axes if not f"{axis}.".startswith(("method.", "train."))]
    varied = [a for a in listed if len({repr(_values(one, a)) for one in runs}) > 1]
    return ", ".join(f"{a.rpartition('.')[2]} {_label(run, runs, a)}" for a in varied)


def _values(run: Run, axis: str) -> dict[str, Any]:
    """Return what a run has on an axis, which may be a whole part of it."""
    return {key: value for key, value in run.fields.items() if f"{key}.".startswith(f"{axis}.")}


def _label(run: Run, runs: Sequence[Run], axis: str) -> str:
    """Return what tells a run on an axis: its value, and options where they vary under it."""
    own = _values(run, axis)
    others = [_values(one, axis) for one in runs if one.fields.get(axis) == own.get(axis)]
    told = [key for key in own if key == axis or any(one.get(key) != own[key] for one in others)]
    return " ".join(str(own[key]) for key in told)


def _under(
    condition: str,
    runs: Sequence[Run],
    suite: SuiteResults,
    specs: Mapping[str, RunSpec],
    paper: bool,
) -> _Counted:
    """Return the costs of the networks under one condition."""
    from eibench.cost.summary import CountedRun, summarize
    from eibench.results.display import shown
    from eibench.results.store import OK

    def name(run: Run, method: str) -> str:
        text = shown("method", method, suite.labels) if paper else method
        return ", ".join([text, *([run.fields["ablation"]] if "ablation" in run.fields else [])])

    control = suite.control or ""
    named = [(run, name(run, run.fields["method"])) for run in runs]
    networks = [CountedRun(x, r.result, name(r, control)) for r, x in named if r.status == OK]
    failed = [{"run_id": _counted_run(r), "reason": r.reason} for r in runs if r.status != OK]
    word = name(runs[0], control).partition(", ")[0]
    values = {**summarize(networks, word), "failed": failed}
    title = suite.title + (f", {condition}" if condition else "")
    return _Counted(title, values, [(own, specs[r.run_id]) for r, own in named if specs])


def _train(counted: list[_Counted], steps: int, device: Device) -> None:
    """Time training steps of the networks, and add them to the values."""
    from eibench.cost.training import training_costs
    from eibench.execution.device import choose_device, keep_freed_memory

    keep_freed_memory()
    where = choose_device(device)
    for one in counted:
        there = {row["name"] for row in one.values["rows"]}
        specs = {name: spec for name, spec in one.specs if name in there}
        tell = functools.partial(say, err=True)
        one.values["training"] = training_costs(specs, steps, where, tell)


def _write(counted: list[_Counted], form: CostFormat, out: Path | None) -> None:
    from eibench.report import writers
    from eibench.report.make import write_text
    from eibench.report.model.cost import cost_document

    styled = out is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if styled else writers.WIDTH
    documents = [cost_document(one.values, one.title) for one in counted]
    text = writers.write(documents, form.value, width, styled)
    if out is None:
        show(text)
    else:
        write_text(out, text)
        say(str(out))
