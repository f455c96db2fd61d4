"""`eibench import`: networks of other programs as runs with kept weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.help import command_group
from eibench.cli.options import valid_paths

import_app = command_group("Import networks of other programs.")


@import_app.callback()
def _group() -> None:
    """Import networks of other programs."""


@import_app.command()
def deepeisnn(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            callback=valid_paths,
            help="A training checkpoint, or a folder with config.json and model.safetensors.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", callback=valid_paths, help="Folder to make.")],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG.yaml",
            callback=valid_paths,
            help="The run's configuration.",
            show_default="the one in the checkpoint",
        ),
    ] = None,
) -> None:
    """Import a checkpoint of the E-I paper's authors (DeepEISNN) as a run with weights.

    `eibench.load_model(RUN)` returns its network. No code in the files is run.
    """
    from eibench.interop.deepeisnn import import_checkpoint

    spec = import_checkpoint(checkpoint, config, out)
    say(f"{out}: {spec.method.label} {spec.model.label}, {spec.data.name}, T = {spec.timesteps}")
