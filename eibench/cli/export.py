"""`eibench export`: networks for other runtimes, results for trackers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say, working
from eibench.cli.options import Plugins, valid_paths, writable_file
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
    tensorboard = "tensorboard"
    wandb = "wandb"
    trackio = "trackio"


PROJECT = "eibench"
SUFFIXES = {Target.onnx: "onnx", Target.torch: "pt2", Target.nir: "nir"}
"""Suffixes of files of networks; the other targets are trackers of results."""


def export(
    source: Annotated[
        Path,
        typer.Argument(
            callback=valid_paths,
            help="A run's folder with weights; for trackers, results or a suite in them.",
        ),
    ],
    to: Annotated[Target, typer.Option(help="The format or tracker.")],
    out: Annotated[
        Path | None,
        typer.Option(
            callback=valid_paths,
            help="The file to write, or the tracker's folder.",
            show_default="model.* in the run, or the tracker's name",
        ),
    ] = None,
    timesteps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=NUMBERS["timesteps"][2],
            help="Time steps T of a network's graph.",
            show_default="those of training",
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Project of wandb and trackio.", show_default=PROJECT)
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Export a run's network, or the numbers of runs to a tracker, offline.

    ONNX and torch: images [B, C, H, W] to mean logits over T steps. NIR: one step, for networks of
    affine maps and hard-reset neurons. Trackers: a second export adds what is new.
    """
    is_network = to in SUFFIXES
    if project is not None and (is_network or to is Target.tensorboard):
        raise UserError(f"--project: only of wandb and trackio, not of {to.value}")
    if timesteps is not None and not is_network:
        raise UserError(f"--timesteps: only of networks, not of results in {to.value}")
    if not is_network:
        _export_results(source, to, out or Path(to.value), project or PROJECT)
        return
    path = out or source / f"model.{SUFFIXES[to]}"
    writable_file(path)
    from eibench.plan.plugins import load_plugins

    load_plugins(plugin or [])
    with working("importing torch"):
        from eibench.interop.deployed import LoadedRun

    if to is Target.nir and timesteps is not None:
        raise UserError("--timesteps: a NIR graph is one step, run as often as you like")
    run = LoadedRun.load(source, timesteps)
    with working(f"exporting {run.spec.run_id}"):
        _writer(to)(run, path)
    say(f"{path}: {run.spec.method.label} {run.spec.model.label}, T = {run.spec.timesteps}")


def _export_results(source: Path, to: Target, out: Path, project: str) -> None:
    """Export the numbers of all runs at or below `source`."""
    from eibench.cli.options import chosen_results
    from eibench.interop.tracked import tracked_runs
    from eibench.interop.trackers import export_tensorboard, export_tracker

    runs = tracked_runs(*chosen_results([source]))
    if to is Target.tensorboard:
        changed = export_tensorboard(runs, out)
    else:
        changed = export_tracker(to.value, runs, out, project)
    say(f"{out}: {len(runs)} runs, {changed} new or changed")


def _writer(to: Target) -> Callable[[LoadedRun, Path], None]:
    """Return the function that writes a format."""
    if to is Target.nir:
        from eibench.interop.nir_graph import export_nir

        return export_nir
    from eibench.interop.programs import export_onnx, export_program

    return export_onnx if to is Target.onnx else export_program
