"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from eibench.errors import UserError
from eibench.files import check_path

P = TypeVar("P", Path, list[Path], None)
MOST_JOBS = 1024


def possible(paths: P) -> P:
    """Return paths that files can have, as a callback of options and arguments."""
    several: list[Path] = [paths] if isinstance(paths, Path) else paths or []
    for path in several:
        check_path(path)
    return paths


def writable_file(path: Path | None) -> Path | None:
    """Return the path of a file to write: a new one, or a regular one that is replaced."""
    if path is not None and check_path(path).exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise UserError(f"{path}: is {kind}, and cannot be replaced by what is written")
    return path


def finite(number: float) -> float:
    """Return a number that is neither infinite nor NaN, as a callback of options."""
    if not math.isfinite(number):
        raise typer.BadParameter(f"{number} is not a finite number.")
    return number


def whole_numbers(
    option: str, text: str, one: str, least: int, most: int, example: str
) -> list[int]:
    """Return the whole numbers in `0,1,2`; `one` names one of them in messages."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[-+]?[0-9]{1,30}", part) for part in parts):
        raise UserError(f"{option} {text}: must be whole numbers, such as {example}")
    numbers = [int(part) for part in parts]
    if min(numbers) < least:
        raise UserError(f"{option} {text}: {one} is at least {least}")
    if max(numbers) > most:
        raise UserError(f"{option} {text}: {one} is at most {most}")
    return numbers


def _use_data_folder(folder: Path | None) -> Path | None:
    """Data sets are looked for in `folder` from here on, in this process and its workers."""
    if folder is not None:
        from eibench.execution.datasets import VARIABLE

        os.environ[VARIABLE] = str(check_path(folder))
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
