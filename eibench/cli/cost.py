"""`eibench cost`: operations, memory and modelled energy of trained or initialised networks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
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
    from eibench.cost.summary import CountedRun
    from eibench.plan import PlannedRun
    from eibench.plan.spec import RunSpec

Named = list[tuple[str, "RunSpec"]]
RUN_FILE = "spec.yaml"


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
        values, title, specs = _of_runs([Path(target) for target in targets], request)
    elif len(targets) == 1:
        chosen = (settings, only, seeds, results)
        values, title, specs = _of_suite(targets[0], request, *chosen)
    else:
        raise UserError(f"{' '.join(targets)}: name one suite, or folders of runs with {RUN_FILE}")
    if train_steps:
        values["training"] = _train(specs, train_steps, device)
    _write(values, title, form, out)
    if values.get("failed"):
        raise typer.Exit(1)


def _is_run(path: Path) -> bool:
    return (path / RUN_FILE).is_file()


def _of_runs(paths: list[Path], request: CostRequest) -> tuple[dict[str, Any], str, Named]:
    """Return the values of the runs in `paths`, with a table of synapses for each."""
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
        row["layers"] = run.result["layers"]
        row["weight_density"] = run.result["weight_density"]
        row["firing_rate_by_layer"] = run.result["firing_rate_by_layer"]
    spec = specs[0][1]
    return values, f"Cost of {spec.model.label} on {spec.data.name}", specs


def _of_suite(
    name: str,
    request: CostRequest,
    settings: list[str] | None,
    only: list[str] | None,
    seeds: str | None,
    results: Path,
) -> tuple[dict[str, Any], str, Named]:
    """Return the values of the suite's networks; a row that could not be counted is said."""
    from eibench.cost.run import cost_of_suite
    from eibench.cost.summary import CountedRun, summarize
    from eibench.plan import find_suite, load_plan, select
    from eibench.results.store import OK

    numbers = seeds and whole_numbers("--seeds", seeds, "a seed", 0, LARGEST_SEED, "0,1")
    plan = load_plan(find_suite(name), read_overrides(settings), numbers or None)
    runs = select(plan, read_overrides(only, "--only"))
    folder, records = cost_of_suite(plan, runs, results, request, lambda text: say(text, err=True))
    names = _names(runs, plan.axes, plan.control)
    counted: list[CountedRun] = []
    failed = []
    for run, record in zip(runs, records, strict=True):
        if record["status"] == OK:
            own, control = names[run.run_id]
            counted.append(CountedRun(own, record["result"], control))
        else:
            failed.append({"run_id": run.run_id, "reason": record["reason"]})
            say(f"{run.run_id}: not counted: {record['reason']}", err=True)
    if not counted:
        raise UserError(f"{name}: no network could be counted")
    say(f"rows: {folder}", err=True)
    specs = [(names[run.run_id][0], run.spec) for run in runs]
    values = {**summarize(counted, plan.control), "failed": failed}
    return values, f"{plan.title}: cost", specs


def _names(
    runs: Sequence[PlannedRun], axes: Sequence[str], control: str | None
) -> dict[str, tuple[str, str]]:
    """Return the name of each run's row, and that of its control's.

    A name is the method's, and the values of other axes that vary.
    """
    fields = {run.run_id: run.fields() for run in runs}
    varied = [
        axis
        for axis in axes
        if axis != "method"
        and not axis.startswith(("method.", "train"))
        and len({repr(known.get(axis)) for known in fields.values()}) > 1
    ]
    named = {}
    for run in runs:
        values = {**fields[run.run_id], "model": run.spec.model.label, "data": run.spec.data.label}
        parts = [f"{axis.rpartition('.')[2]} {values.get(axis)}" for axis in varied]
        parts += [run.ablation] if run.ablation else []
        own, other = (", ".join([str(method), *parts]) for method in (run.method, control))
        named[run.run_id] = own, other
    return named


def _train(specs: Named, steps: int, device: Device) -> dict[str, Any]:
    from eibench.cost.training import training_costs
    from eibench.execution.device import choose_device, keep_freed_memory

    keep_freed_memory()
    return training_costs(specs, steps, choose_device(device), lambda text: say(text, err=True))


def _write(values: dict[str, Any], title: str, form: CostFormat, out: Path | None) -> None:
    from eibench.report import writers
    from eibench.report.make import write_text
    from eibench.report.model.cost import cost_document

    styled = out is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if styled else writers.WIDTH
    text = writers.write([cost_document(values, title)], form.value, width, styled)
    if out is None:
        show(text)
    else:
        write_text(out, text)
        say(str(out))
