"""`eibench profile`: what a training step costs, method beside method."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eibench.cli.console import say, write
from eibench.cli.options import Device, DeviceOption, read_overrides, valid_paths, whole_numbers
from eibench.errors import UserError
from eibench.limits import LARGEST

if TYPE_CHECKING:
    from eibench.plan.layers import Override
    from eibench.plan.options import DataShape
    from eibench.plan.spec import RunSpec

QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR", "KINETO_LOG_LEVEL": "99"}
"""Keeps the remarks of torch's profiler off the terminal; read when torch is loaded."""


class Form(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    json = "json"


def profile(
    model: Annotated[str, typer.Option(help="An architecture, perhaps with a depth.")] = "vgg8",
    methods: Annotated[
        str, typer.Option(metavar="NAME,...", help="What is compared; a preset is ei-blanket.")
    ] = ("ei,batchnorm,no_norm,tdbn"),
    batch_size: Annotated[int, typer.Option(min=2, max=LARGEST, help="Images of a step.")] = 32,
    timesteps: Annotated[int, typer.Option(min=1, max=LARGEST, help="T.")] = 4,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Data set that gives shape and classes; is not loaded."),
    ] = None,
    image: Annotated[str, typer.Option(metavar="CxHxW", help="Shape of the images.")] = "3x32x32",
    classes: Annotated[int, typer.Option(min=2, max=LARGEST, help="Number of classes.")] = 10,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other field of the runs."),
    ] = None,
    depths: Annotated[
        str | None, typer.Option(metavar="2,4,...", help="Also cost by depth, of a plain chain.")
    ] = None,
    times: Annotated[
        str | None, typer.Option(metavar="1,2,...", help="Also cost by number of time steps.")
    ] = None,
    batch_sizes: Annotated[
        str | None, typer.Option(metavar="8,16,...", help="Also cost by batch size.")
    ] = None,
    steps: Annotated[int, typer.Option(min=3, max=LARGEST, help="Steps timed of each.")] = 20,
    device: DeviceOption = Device.auto,
    peer: Annotated[
        bool, typer.Option("--peer", help="Also SpikingJelly's neuron with torch's batch norm.")
    ] = False,
    form: Annotated[Form, typer.Option("--format", help="How to write it.")] = Form.table,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=valid_paths, help="Also a figure, as FILE.png and FILE.pdf."
        ),
    ] = None,
) -> None:
    """Time a training step of each method, in one process and in turns, on random images.

    Step time, images per second, peak memory, ratios to batch norm and to the bare convolutions,
    and where the time goes.
    """
    axes = {
        "depth": _numbers("--depths", depths),
        "timesteps": _numbers("--times", times),
        "batch_size": _numbers("--batch-sizes", batch_sizes, least=2),
    }
    shape = _shape(data, image, classes)
    values: dict[str, Any] = {
        "model": _model(model),
        "timesteps": timesteps,
        "train": {"batch_size": batch_size},
    }
    changes = read_overrides(settings)
    names = [name.strip() for name in methods.split(",")]
    specs = {name: _spec(name, values, changes) for name in names}

    for variable, level in QUIET.items():
        os.environ.setdefault(variable, level)

    from eibench.execution.device import choose_device, keep_freed_memory
    from eibench.profile.step_cost import ProfileRequest, profile

    keep_freed_memory()
    chosen = {axis: listed for axis, listed in axes.items() if listed}
    request = ProfileRequest(specs, shape, choose_device(device), steps, peer, chosen)
    result = profile(request, lambda text: say(text, err=True))
    _show(result, Form.json if as_json else form)
    if out is not None:
        _draw(result, out)


def _spec(method: str, values: dict[str, Any], settings: list[Override]) -> RunSpec:
    """Return the run of `method`, a name or `NAME-PRESET`; raise `UserError` with every problem."""
    from eibench.plan.spec import RunSpec
    from eibench.plan.validate import Invalid

    name, dash, preset = method.partition("-")
    chosen = {"name": name, "preset": preset} if dash else {"name": name}
    merged: dict[str, Any] = {"method": chosen, "data": "digits", **values}
    merged = copy.deepcopy(merged)
    for setting in settings:
        *sections, key = setting.path
        place: Any = merged
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise UserError(f"{setting}: {section} has no keys of its own")
        place[key] = setting.value
    try:
        return RunSpec.parse(merged)
    except Invalid as invalid:
        texts = [f"{'.'.join(map(str, p.keys))}: {p.text}" for p in invalid.problems]
        raise UserError("\n".join(texts)) from None


def _model(text: str) -> dict[str, Any]:
    """Return the model of a name: `vgg8` is `vgg` of depth 8, `vgg` has its default depth."""
    found = re.fullmatch(r"(.*?)([0-9]{1,9})", text)
    return {"name": found[1], "depth": int(found[2])} if found else {"name": text}


def _shape(data: str | None, image: str, classes: int) -> DataShape:
    """Return the shape of the data that a network is built for."""
    from eibench.plan.options import DataShape

    if data is not None:
        return _known_shape(data)
    found = re.fullmatch("x".join([r"([1-9][0-9]{0,3})"] * 3), image)
    if not found:
        text = "must be channels, height and width (each at most 9999), such as 3x32x32"
        raise UserError(f"--image {image}: {text}")
    channels, height, width = map(int, found.groups())
    return DataShape((channels, height, width), classes)


def _known_shape(name: str) -> DataShape:
    from eibench.plan.options import DATASETS
    from eibench.plan.validate import Invalid, choose

    try:
        shape = choose("data set", DATASETS, name).shape()
    except Invalid as invalid:
        problem = invalid.problems[0]
        text = " ".join([*map(str, problem.keys), problem.text])
        raise UserError(f"--data {name}: {text}") from None
    if shape is None:
        raise UserError(
            f"--data {name}: its shape is only in its files; give --image and --classes"
        )
    return shape


def _numbers(option: str, text: str | None, least: int = 1) -> Sequence[int]:
    """Return the whole numbers in `1,2,4`, at least three of them, rising."""
    if text is None:
        return ()
    numbers = whole_numbers(option, text, "a number", least, LARGEST, "2,4,8")
    if len(numbers) < 3 or sorted(set(numbers)) != numbers:
        raise UserError(f"{option} {text}: a line needs three or more numbers, rising")
    return numbers


def _show(result: dict[str, Any], form: Form) -> None:
    from eibench.report import writers
    from eibench.report.model.profile import profile_document

    if form is Form.json:
        say(json.dumps(result, indent=2))
    else:
        markdown = form is Form.markdown
        write(writers.write([profile_document(result)], "markdown" if markdown else "table"))


def _draw(result: dict[str, Any], out: Path) -> None:
    from eibench.report.figures.cost import draw_cost
    from eibench.report.figures.style import save

    suffix = out.suffix in (".png", ".pdf")
    for path in save(draw_cost(result), out.with_suffix("") if suffix else out):
        say(str(path), err=True)
