"""`eibench evaluate`: kept weights on a data set, as rows that reports read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.data import DataSettings, data_options
from eibench.cli.options import DataDir, Device, DeviceOption, Plugins, Results, valid_paths
from eibench.errors import UserError
from eibench.limits import NUMBERS


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(callback=valid_paths, help="A run's folder with weights, kept or imported."),
    ],
    data: Annotated[
        str | None, typer.Option(help="A data set.", show_default="that of training")
    ] = None,
    settings: DataSettings = None,
    timesteps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=NUMBERS["timesteps"][2],
            help="Time steps T.",
            show_default="that of training",
        ),
    ] = None,
    results: Results = Path("results"),
    device: DeviceOption = Device.auto,
    plugin: Plugins = None,
    data_dir: DataDir = None,
) -> None:
    """Evaluate a run's weights on the test split of a data set; nothing is trained.

    Each evaluation is a row of the results `evaluations`, which `report` and `plot` read.
    """
    from eibench.plan.plugins import load_plugins

    load_plugins(plugin or [])
    if data is None and settings:
        raise UserError("--set gives options of --data; name a data set")
    options = None if data is None else data_options(data, settings, plugin)

    from eibench.execution.device import choose_device
    from eibench.execution.evaluate_run import NAME, evaluate_run

    record = evaluate_run(run, options, timesteps, results, choose_device(device))
    accuracy = record["result"]["test_accuracy"]
    say(f"{results / NAME / record['run_id']}: {accuracy:.2f} % of test images")
