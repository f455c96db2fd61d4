"""`eibench show`: a network's layers and cost, before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import make_console, say
from eibench.cli.options import AsJson, Plugins, read_overrides

if TYPE_CHECKING:
    from eibench.plan.options import DataShape
    from eibench.plan.spec import RunSpec
    from eibench.profile.model_summary import LayerSummary

COLUMNS = ("layer", "kind", "output", "fan-in", "parameters", "operations")
WIDTH = 100
"""Width of the table if the terminal does not report one."""
COUNTED = """\
An operation is one multiply-accumulate of a convolution or matrix, for one image over all {steps}
time steps, zeros included; of an E-I circuit W_EE, W_IE, and W_EI once for each inhibition, or
where it is linear (Dale's law, no division) one matrix made of all three. Elementwise work
(norms, neurons, division, pooling, additions) is not counted."""


def show(
    model: Annotated[str, typer.Argument(help="A model, as `eibench list models` names it.")],
    data: Annotated[str, typer.Option(help="A data set.")] = "digits",
    method: Annotated[str, typer.Option(help="A method.")] = "ei",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option, such as model.depth=16."),
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Show a network: layers, shapes, fan-in, parameters and operations; nothing is trained."""
    from eibench.plan.layers import Override, single_spec
    from eibench.plan.plugins import load_plugins

    load_plugins(plugin or [])
    choices = [("MODEL", "model", model), ("--data", "data", data), ("--method", "method", method)]
    chosen = [Override(option, name, key, name) for option, key, name in choices]
    spec = single_spec([*chosen, *read_overrides(settings)])

    from eibench.profile.model_summary import model_summary

    network, shape = model_summary(spec)
    if as_json:
        values = {**shape._asdict(), "network": dataclasses.asdict(network)}
        say(json.dumps({"run": spec.to_dict(), **values}, indent=2))
    else:
        _print(spec, network, shape)


def _print(spec: RunSpec, network: LayerSummary, shape: DataShape) -> None:
    from rich.table import Table

    console = make_console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(
        f"{spec.model.label}, method {spec.method.label}, data {spec.data.name}: images "
        f"{_shape(shape.image)}, {shape.classes} classes, T = {spec.timesteps}\n"
    )
    table = Table(*COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns[2:]:
        column.justify = "right"
    for row in _rows(network.parts):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"\n{network.parameters:,} parameters, {_short(network.operations)} operations, "
        f"{network.neurons:,} neurons in {network.neuron_layers} layers\n"
    )
    console.print(COUNTED.format(steps=spec.timesteps))


def _rows(parts: tuple[LayerSummary, ...], stem: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row of the table per part, with the branches of the tree before its name."""
    for i, part in enumerate(parts, start=1):
        last = i == len(parts)
        yield (
            f"{stem}{'└─' if last else '├─'} {part.name}",
            part.kind,
            _shape(part.output),
            f"{part.fan_in:,}" if part.fan_in else "",
            f"{part.parameters:,}" if part.parameters else "",
            _short(part.operations) if part.operations else "",
        )
        yield from _rows(part.parts, stem + ("   " if last else "│  "))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _short(count: int) -> str:
    """Return a count with three digits: 940, 2.36 k, 556 M, 1.20 G, 7.3 T."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
