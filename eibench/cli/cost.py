"""`eibench cost`: operations, memory and modelled energy of trained or initialised networks."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
    from eibench.plan import Plan, PlannedRun
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
            metavar="SUITE|RUN...", help="A suite whose runs keep weights, or folders of such runs."
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
    in NAME-cost, which `report` and `plot` read; counting is on the CPU, `--device` is for
    `--train-steps`. Exit code: 0 all were counted, 1 some were not, 2 bad input.
    """
    from eibench.plan.plugins import load_plugins

    for variable, level in QUIET.items() if train_steps else ():
        os.environ.setdefault(variable, level)

    from eibench.cost.run import CostRequest

    load_plugins(plugin or [])
    request = CostRequest(images, initialised)
    if all(_is_run(Path(target)) for target in targets):
        if initialised or settings or only or seeds:
            raise UserError("--initialised, --set, --only and --seeds are for suites, not for runs")
        counted = [_of_runs([Path(target) for target in targets], request)]
    elif len(targets) == 1:
        paper = form in (CostFormat.latex, CostFormat.html)
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
    """Return the costs of the suite's networks, by condition; name those that were not counted.

    With `paper` methods have the names of a paper.
    """
    from eibench.cost.run import cost_of_suite
    from eibench.plan import find_suite, load_plan, select

    if Path(name).is_dir():
        raise UserError(
            f"{name}: a folder without {RUN_FILE}; name a suite, or folders of its runs"
        )
    numbers = seeds and whole_numbers("--seeds", seeds, "a seed", 0, LARGEST_SEED, "0,1")
    plan = load_plan(find_suite(name), read_overrides(settings), numbers or None)
    runs = select(plan, read_overrides(only, "--only"))
    folder, records = cost_of_suite(plan, runs, results, request, lambda text: say(text, err=True))
    say(f"rows: {folder}", err=True)
    found: dict[str, list[tuple[PlannedRun, dict[str, Any]]]] = {}
    for run, record in zip(runs, records, strict=True):
        found.setdefault(_condition(run, runs, plan.axes), []).append((run, record))
        if record["reason"]:
            say(f"{run.run_id}: not counted: {record['reason']}", err=True)
    counted = [_under(key, pairs, plan, paper) for key, pairs in found.items()]
    if not any(one.values["rows"] for one in counted):
        raise UserError(f"{name}: no network could be counted")
    return [one for one in counted if one.values["rows"]]


def _condition(run: PlannedRun, runs: Sequence[PlannedRun], axes: Sequence[str]) -> str:
    """Return the values of axes that vary, other than the method and how it is trained."""
    fields = {**run.fields(), "model": run.spec.model.label, "data": run.spec.data.label}
    listed = [axis for axis in axes if not f"{axis}.".startswith(("method.", "train."))]
    varied = [a for a in listed if len({repr(_value(one, a)) for one in runs}) > 1]
    return ", ".join(f"{axis.rpartition('.')[2]} {fields.get(axis)}" for axis in varied)


def _value(run: PlannedRun, axis: str) -> Any:
    """Return what a run has on an axis, which may be a whole part of it."""
    return [value for key, value in run.fields().items() if f"{key}.".startswith(f"{axis}.")]


def _under(
    condition: str, pairs: list[tuple[PlannedRun, dict[str, Any]]], plan: Plan, paper: bool
) -> _Counted:
    """Return the costs of the networks under one condition."""
    from eibench.cost.summary import CountedRun, summarize
    from eibench.results.display import shown
    from eibench.results.store import OK

    def name(run: PlannedRun, method: str) -> str:
        text = shown("method", method, plan.labels) if paper else method
        return ", ".join([text, *([run.ablation] if run.ablation else [])])

    control = plan.control or ""
    networks = [
        CountedRun(name(run, run.method), record["result"], name(run, control))
        for run, record in pairs
        if record["status"] == OK
    ]
    failed = [
        {"run_id": run.run_id, "reason": record["reason"]}
        for run, record in pairs
        if record["status"] != OK
    ]
    word = name(pairs[0][0], control).partition(", ")[0]
    values = {**summarize(networks, word), "failed": failed}
    title = f"{HEADING}: {plan.title}" + (f", {condition}" if condition else "")
    return _Counted(title, values, [(name(run, run.method), run.spec) for run, _ in pairs])


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
