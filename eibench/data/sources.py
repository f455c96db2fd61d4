"""Where data sets come from that ship with no dependency: how each is fetched and verified.

Each lies in a folder of its own, `data_folder() / NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eibench.data.base import DataError
from eibench.data.folder import VARIABLE


@dataclass(frozen=True)
class Source:
    """Where a data set comes from that ships with no dependency."""

    fetch: Callable[[Path], None]
    """Download into the set's own folder; raises `DataError` when that fails."""
    verify: Callable[[Path], list[str]]
    """Problems, each naming a file; empty when everything is whole."""


def absent(name: str, folder: Path) -> DataError:
    """The one message for a data set that is not there, for its loader to raise."""
    return DataError(
        f"{name} is not in {folder}; get it with `eibench data fetch {name}`, or name the folder "
        f"that holds {name}/ with --data-dir or {VARIABLE}"
    )
