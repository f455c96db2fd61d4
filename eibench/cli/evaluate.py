"""`eibench evaluate`: kept weights on a data set, as rows that reports read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from eibench.cli.console import say
from eibench.cli.data import DataSettings, data_options
from eibench.cli.options import DataDir, Device, DeviceOption, Plugins, Results, valid_paths
from eibench.errors import UserError
from eibench.execution.torchrun import refuse_torchrun

UNDER = "--under"


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            callback=valid_paths,
            help="Folders of runs with weights, kept or imported.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="A data set.", show_default="that of training")
    ] = None,
    settings: DataSettings = None,
    timesteps: Annotated[
        str | None,
        typer.Option(metavar="1,2,4,...", help="Time steps T.", show_default="those of training"),
    ] = None,
    under: Annotated[
        list[str] | None,
        typer.Option(
            UNDER,
            metavar="NAME=VALUE,...",
            help="A condition: contrast, weight_bits ...; of several, every combination.",
        ),
    ] = None,
    results: Results = Path("results"),
    device: DeviceOption = Device.auto,
    plugin: Plugins = None,
    data_dir: DataDir = None,
) -> None:
    """Evaluate weights on the test split of a data set, under conditions; nothing is trained.

    Each evaluation is a row of the results `evaluations`, which `report` and `plot` read.
    """
    from eibench.plan.conditions import combinations
    from eibench.plan.plugins import load_plugins

    refuse_torchrun("eibench evaluate")
    axes = _axes([*([f"timesteps={timesteps}"] if timesteps else []), *(under or [])])
    load_plugins(plugin or [])
    if data is None and settings:
        raise UserError("--set gives options of --data; name a data set")
    options = None if data is None else data_options(data, settings, plugin)

    from eibench.execution.device import choose_device
    from eibench.execution.evaluate_run import NAME, evaluate_runs

    where = choose_device(device)
    for record in evaluate_runs(runs, options, combinations(axes), results, where):
        accuracy = record["result"]["test_accuracy"]
        say(f"{results / NAME / record['run_id']}: {accuracy:.2f} % of test images")


def _axes(texts: list[str]) -> dict[str, list[Any]]:
    """Return the values of each condition in texts such as `contrast=0.3,1`."""
    from eibench.plan.conditions import check_count, check_values
    from eibench.plan.layers import Override
    from eibench.plan.validate import Invalid
    from eibench.plan.yaml_source import parse

    axes: dict[str, list[Any]] = {}
    for text in texts:
        given = Override.read(UNDER, text, "contrast=0.5")
        listed = text.partition("=")[2].split(",")
        values = [parse(part.strip(), str(given)).data for part in listed]
        try:
            check_values(given.key, values)
        except Invalid as invalid:
            raise UserError(f"{given}: {invalid.problems[0].text}") from None
        if given.key in axes:
            raise UserError(f"{given}: {given.key} is given twice")
        axes[given.key] = values
    try:
        check_count(axes)
    except Invalid as invalid:
        raise UserError(f"{UNDER}: {invalid.problems[0].text}") from None
    return axes
