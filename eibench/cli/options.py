"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def _use_data_folder(folder: Path | None) -> Path | None:
    """Data sets are looked for in `folder` from here on, in this process and its workers."""
    if folder is not None:
        from eibench.execution.datasets import VARIABLE

        os.environ[VARIABLE] = str(folder)
    return folder


DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        callback=_use_data_folder,
        help="Folder of fetched data sets.",
        show_default="EIBENCH_DATA, or eibench/data in the user's cache",
    ),
]
