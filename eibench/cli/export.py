"""`eibench export`: networks for other runtimes, results for trackers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say, working
from eibench.cli.options import Plugins, valid_paths
from eibench.errors import UserError
from eibench.limits import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from eibench.interop.deployed import LoadedRun


class Target(StrEnum):
    """Format or program to export to."""

    onnx = "onnx"
    torch = "torch"
    nir = "nir"


SUFFIXES = {Target.onnx: "onnx", Target.torch: "pt2", Target.nir: "nir"}


def export(
    source: Annotated[
        Path, typer.Argument(callback=valid_paths, help="A run's folder with weights.")
    ],
    to: Annotated[Target, typer.Option(help="The format.")],
    out: Annotated[
        Path | None,
        typer.Option(
            callback=valid_paths, help="The file to write.", show_default="model.* in the run"
        ),
    ] = None,
    timesteps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=NUMBERS["timesteps"][2],
            help="Time steps T of the graph.",
            show_default="those of training",
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Export a run's network: ONNX, a program of torch.export, or NIR.

    ONNX and torch: images [B, C, H, W] to mean logits over T steps. NIR: one step, for networks of
    affine maps and hard-reset neurons.
    """
    from eibench.plan.plugins import load_plugins

    load_plugins(plugin or [])
    with working("importing torch"):
        from eibench.interop.deployed import LoadedRun

    if to is Target.nir and timesteps is not None:
        raise UserError("--timesteps: a NIR graph is one step, run as often as you like")
    path = out or source / f"model.{SUFFIXES[to]}"
    run = LoadedRun.load(source, timesteps)
    with working(f"exporting {run.spec.run_id}"):
        _writer(to)(run, path)
    say(f"{path}: {run.spec.method.label} {run.spec.model.label}, T = {run.spec.timesteps}")


def _writer(to: Target) -> Callable[[LoadedRun, Path], None]:
    """Return the function that writes a format."""
    if to is Target.nir:
        from eibench.interop.nir_graph import export_nir

        return export_nir
    from eibench.interop.programs import export_onnx, export_program

    return export_onnx if to is Target.onnx else export_program
