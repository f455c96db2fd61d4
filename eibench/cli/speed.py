"""`eibench data speed`: does reading and augmenting images keep up with training?"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import (
    AsJson,
    DataDir,
    Device,
    DeviceOption,
    Plugins,
    finite,
    read_overrides,
)
from eibench.limits import LARGEST

if TYPE_CHECKING:
    from eibench.plan.spec import RunSpec
    from eibench.profile.throughput import LoadingRate, Throughput

USUAL = ("input.crop=4", "input.flip=true", "input.cutout=8")
"""Augmentation, where `--set` says nothing else: that of the paper for 32x32 images."""


def speed(
    data: Annotated[str, typer.Argument(help="A data set.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A field of the run, such as data.root."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model whose training is to be kept busy.")
    ] = "vgg",
    method: Annotated[str, typer.Option(help="Its method.")] = "batchnorm",
    batch_size: Annotated[int, typer.Option(min=1, max=LARGEST, help="Images of a batch.")] = 128,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, max=3600, callback=finite, help="How long each rate is measured."),
    ] = 3.0,
    device: DeviceOption = Device.auto,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure images per second, held in memory and streamed, against what training takes."""
    from eibench.plan.layers import Override, single_spec
    from eibench.plan.plugins import load_plugins

    load_plugins(plugin or [])
    choices = [("DATA", "data", data), ("--model", "model", model), ("--method", "method", method)]
    spec = single_spec(
        [
            *(Override(option, name, key, name) for option, key, name in choices),
            Override("--batch-size", str(batch_size), "train.batch_size", batch_size),
            *(Override.read("by default", text) for text in USUAL),
            *read_overrides(settings),
        ]
    )

    from eibench.execution.device import choose_device
    from eibench.profile.throughput import measure_throughput

    found = measure_throughput(spec, choose_device(device), seconds)
    if as_json:
        values = {**dataclasses.asdict(found), "verdicts": verdicts(found)}
        say(json.dumps({"run": spec.to_dict(), **values}, indent=2))
    else:
        _print(spec, found)


def _print(spec: RunSpec, found: Throughput) -> None:
    from tabulate import tabulate

    size = "x".join(map(str, found.image))
    say(
        f"{spec.data.name}: {found.images:,} training images of {size}, "
        f"in batches of {spec.train.batch_size}, on {found.device}\n"
    )
    rows = [[*_words(rate), f"{rate.images_per_second:,.0f}"] for rate in found.rates]
    training = f"training step of {spec.model.label}, {spec.method.label}, T = {spec.timesteps}"
    rows.append([training, "", f"{found.training:,.0f}"])
    head = ["", "augmentation", "images/s"]
    say(tabulate(rows, head, colalign=("left", "left", "right"), disable_numparse=True))
    say("\n" + "\n".join(verdicts(found)))


def _words(rate: LoadingRate) -> tuple[str, str]:
    """Return where the images are, and whether they are augmented."""
    workers = {None: "held in memory", 0: "streamed, no workers", 1: "streamed, 1 worker"}
    where = workers.get(rate.workers, f"streamed, {rate.workers} workers")
    return where, "yes" if rate.augmented else "no"


def verdicts(found: Throughput) -> list[str]:
    """Return a sentence for each place of the images: whether loading keeps up with training."""
    lines = []
    for rate in found.rates:
        if not rate.augmented:
            continue
        share = rate.images_per_second / found.training
        is_slow = "is no bottleneck" if share >= 1 else "IS THE BOTTLENECK"
        times = f"{share:,.0f}" if share >= 10 else f"{share:.3g}"
        lines.append(f"{_words(rate)[0]}: {times} times what training takes; {is_slow}")
    return lines
