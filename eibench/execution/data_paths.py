"""Paths in data options: relative to the current folder, else to the folder of the suite.

A path is part of a run's identity as the suite has it; only reading looks in the suite's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eibench.plan.options import DataOptions
from eibench.plan.spec import RunSpec

PATHS = ("root", "path", "file", "folder")
"""Options of a data set that name a file or folder on this machine."""


def resolve_paths(options: DataOptions, folder: Path | None) -> DataOptions:
    """Return the options to read a data set with: a path that leads nowhere from here, but to
    something from `folder`, becomes that."""
    changes: dict[str, Any] = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, DataOptions):
            changes[name] = resolve_paths(value, folder)
        elif name in PATHS and isinstance(value, str):
            changes[name] = _resolve(value, folder)
    return options.model_copy(update=changes)


def _resolve(text: str, folder: Path | None) -> str:
    path = os.path.expanduser(text)
    if folder is None or os.path.isabs(path) or os.path.exists(path):
        return text
    beside = os.path.join(folder, path)
    return beside if os.path.exists(beside) else text


def local_data(specs: Iterable[RunSpec], folder: Path | None = None) -> Iterator[Path]:
    """Yield the user's own folders and files that data options name."""
    for spec in specs:
        yield from _paths(resolve_paths(spec.data, folder))


def _paths(options: DataOptions) -> Iterator[Path]:
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, DataOptions):
            yield from _paths(value)
        elif name in PATHS and isinstance(value, str):
            yield Path(os.path.expanduser(value))
