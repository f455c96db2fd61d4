"""Options shared by several commands, and functions that read their values."""

from __future__ import annotations

import math
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from eibench.cli.console import say
from eibench.errors import UserError
from eibench.files import check_path
from eibench.limits import LARGEST, LARGEST_SEED

if TYPE_CHECKING:
    from eibench.plan.layers import Override
    from eibench.plan.options.base import Choice
    from eibench.plan.shard import Shard

Paths = TypeVar("Paths", Path, list[Path], None)
AnyChoice = TypeVar("AnyChoice", bound="Choice")


class Device(StrEnum):
    """Device on which to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Keep(StrEnum):
    """Weights of each run to keep."""

    none = "none"
    best = "best"
    last = "last"


# ----------------------------------------------------------------- callbacks and readers of values


def valid_paths(paths: Paths) -> Paths:
    """Return `paths`; raise `UserError` for a name that no file can have."""
    several: list[Path] = [paths] if isinstance(paths, Path) else paths or []
    for path in several:
        check_path(path)
    return paths


def writable_file(path: Path | None) -> Path | None:
    """Return `path`, a new file or a regular file to replace; raise `UserError` otherwise."""
    if path is not None and check_path(path).exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise UserError(f"{path}: cannot be written: it is {kind}; name a new or a regular file")
    return path


def chosen_results(paths: list[Path] | None) -> list[Path]:
    """Return the results to read, by default all; say whether they are live runs or evidence."""
    from eibench.results.paths import RESULTS, choices_made

    chosen = paths or [RESULTS]
    for path in chosen:
        for remark in choices_made(path):
            say(remark, err=True)
    return chosen


def finite(number: float) -> float:
    """Return `number`; raise `BadParameter` when it is infinite or NaN."""
    if not math.isfinite(number):
        raise typer.BadParameter(f"{number} is not a finite number.")
    return number


def whole_numbers(
    option: str, text: str, item: str, least: int, most: int, example: str
) -> list[int]:
    """Return the integers in a list such as `0,1,2`; messages call each of them `item`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[-+]?[0-9]{1,30}", part) for part in parts):
        raise UserError(f"{option} {text}: must be whole numbers, such as {example}")
    numbers = [int(part) for part in parts]
    if min(numbers) < least:
        raise UserError(f"{option} {text}: {item} is at least {least}")
    if max(numbers) > most:
        raise UserError(f"{option} {text}: {item} is at most {most}")
    return numbers


_LISTS = {"--seeds": ("a seed", LARGEST_SEED), "--steps": ("a number of steps", LARGEST)}
"""For each option: the name of an item in messages, and its largest value."""


def read_numbers(option: str, text: str | None) -> list[int] | None:
    """Return the distinct integers in a list such as `0,1,2`."""
    if text is None:
        return None
    item, largest = _LISTS[option]
    numbers = whole_numbers(option, text, item, 0, largest, "0,1,2")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{option} {text}: {item} is listed twice")
    return numbers


def field_names(text: str | None) -> list[str] | None:
    """Return the names in a list such as `a,b`; an empty text gives an empty list."""
    return None if text is None else [name.strip() for name in text.split(",") if name]


def read_overrides(settings: list[str] | None, option: str = "--set") -> list[Override]:
    """Parse the `KEY=VALUE` texts of a repeated option."""
    from eibench.plan.layers import Override

    return [Override.read(option, text) for text in settings or []]


def validate_settings(cls: type[AnyChoice], name: str, values: dict[str, Any]) -> AnyChoice:
    """Build the options of class `cls` from `values`; messages call the choice `name`."""
    from eibench.plan.validate import Invalid, validate

    try:
        return validate(cls, values)
    except Invalid as invalid:
        texts = [f"{name}: {'.'.join(map(str, p.keys))} {p.text}" for p in invalid.problems]
        raise UserError("\n".join(f"{text}; --set gives options" for text in texts)) from None


def read_shard(text: str | None) -> Shard:
    """Return the part of a plan that `--shard K/N` means; the whole without the option."""
    from eibench.plan.shard import Shard

    return Shard.read("--shard", text) if text is not None else Shard()


def _set_data_folder(folder: Path | None) -> Path | None:
    """Look for data sets in `folder` from here on, in this process and its workers."""
    if folder is not None:
        from eibench.execution.dataset_cache import VARIABLE

        os.environ[VARIABLE] = str(check_path(folder))
    return folder


# ------------------------------------------------------------------------------ arguments, options

Suite = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A suite file, or a name that `eibench list suites` prints."
    ),
]
ResultsFolders = Annotated[
    list[Path] | None,
    typer.Argument(
        callback=valid_paths, help="Results folders, or suites in them.", show_default="results"
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a field in every run."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY=VALUE", help="Only runs with a value (a,b: either)."),
]
Seeds = Annotated[
    str | None, typer.Option(metavar="0,1,...", help="Seeds in place of the suite's.")
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
Results = Annotated[Path, typer.Option(callback=valid_paths, help="Folder for results.")]
KeepOption = Annotated[
    Keep | None,
    typer.Option(
        help="Weights to keep beside each run's record: of the best or last epoch.",
        show_default="train.keep of the suite",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan and an estimate of time; run nothing.")
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Only the K-th of N parts of the runs, for N commands on one results folder.",
        show_default=False,
    ),
]
SkipAbsent = Annotated[
    bool,
    typer.Option(
        "--skip-absent", help="Skip the suite, in one line, if its data set is not on this machine."
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|NAME", help="Load a plugin first, as a suite would."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        callback=_set_data_folder,
        help="Folder of fetched data sets.",
        show_default="EIBENCH_DATA, or eibench/data in the user's cache",
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", callback=writable_file, help="Write to a file.", show_default=False
    ),
]
