"""`eibench submit`: a batch script for SLURM that runs a suite on many nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say, write
from eibench.cli.options import (
    DataDir,
    Device,
    DeviceOption,
    KeepOption,
    Only,
    Results,
    Seeds,
    Settings,
    Suite,
    read_numbers,
    read_overrides,
)
from eibench.errors import UserError
from eibench.limits import LARGEST


def _text(metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text, show_default=False)
    return option


def submit(
    suite: Suite,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="A job array; a task runs a shard.")
    ] = False,
    ray: Annotated[bool, typer.Option("--ray", help="One job that is a Ray cluster.")] = False,
    go: Annotated[bool, typer.Option("--go", help="Submit the script by sbatch.")] = False,
    tasks: Annotated[
        int, typer.Option(min=1, max=LARGEST, help="Tasks of the array, or nodes of the cluster.")
    ] = 4,
    time: Annotated[str | None, _text("H:MM:SS", "Time limit.")] = None,
    cpus: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST, help="CPUs of each task or node.", show_default=False),
    ] = None,
    gpus: Annotated[str | None, _text("[TYPE:]N", "GPUs of each task or node.")] = None,
    memory: Annotated[str | None, _text("SIZE", "Memory of each node, such as 16G.")] = None,
    partition: Annotated[str | None, _text("NAME", "Partition.")] = None,
    extra: Annotated[
        list[str] | None,
        _text("LINE", "A further option of sbatch (--account=lab), or a command before the run."),
    ] = None,
    settings: Settings = None,
    only: Only = None,
    seeds: Seeds = None,
    device: DeviceOption = Device.auto,
    results: Results = Path("results"),
    keep: KeepOption = None,
    data_dir: DataDir = None,
) -> None:
    """Print a SLURM script that runs a suite: a job array of shards, or a Ray cluster.

    All tasks write to one results folder, which every node must see. Submitting again goes on with
    what is left. `eibench status` says how far the runs are.
    """
    from eibench.execution.batch_script import BatchJob, array_script, quote, ray_script, sbatch
    from eibench.plan import find_suite, load_plan, select

    if slurm == ray:
        raise UserError("name one kind of script: --slurm (a job array) or --ray (a Ray cluster)")
    plan = load_plan(find_suite(suite), read_overrides(settings), read_numbers("--seeds", seeds))
    if keep is not None:
        plan = plan.keeping(keep.value)
    runs = select(plan, read_overrides(only, "--only"))
    job = BatchJob(plan.name, tasks, time, cpus, gpus, memory, partition, extra or ())
    lists = {"--set": settings, "--only": only}
    options = [f"{option}={text}" for option, texts in lists.items() for text in texts or []]
    single = {
        "--seeds": seeds,
        "--device": None if device is Device.auto else device.value,
        "--results": results,
        "--keep": keep and keep.value,
        "--data-dir": data_dir,
    }
    options += [f"{option}={value}" for option, value in single.items() if value is not None]
    suite_file = f"./{suite}" if suite.startswith("-") else suite  # or it would be an option
    command = [sys.executable, "-m", "eibench", "run", suite_file, *options]
    script = (
        ray_script(job, sys.executable, command, Path.cwd())
        if ray
        else array_script(job, command, Path.cwd())
    )
    if not go:
        write(script)
        return
    say(f"{plan.name}: {len(runs)} runs, {tasks} {'nodes' if ray else 'tasks'}; {sbatch(script)}")
    say(f"once a task has begun: eibench status {quote(str(results / plan.name))} --watch")
