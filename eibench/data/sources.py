"""Where data sets come from that ship with no dependency: how each is fetched and verified.

Each lies in a folder of its own, `data_folder() / NAME`, which appears there only when all of it
has been fetched and verified.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from eibench.errors import DataError

VARIABLE = "EIBENCH_DATA"
"""The environment variable that names the folder; `--data-dir` sets it for one command."""
FAILURES = (
    OSError,
    HTTPException,
    RuntimeError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""What a download raises on no network, a short or wrong file, or a full disk."""


@dataclass(frozen=True)
class DataSource:
    """Where a data set comes from that ships with no dependency."""

    fetch: Callable[[Path], None]
    """Download into the set's own folder; raises `DataError` or one of `FAILURES`."""
    verify: Callable[[Path], list[str]]
    """Problems, each naming a file; empty when everything is whole. May raise `OSError`."""

    def problems(self, folder: Path) -> list[str]:
        """What `verify` finds; a file that cannot be read is one more problem."""
        try:
            return self.verify(folder)
        except OSError as error:
            return [unreadable(error)]


def data_folder() -> Path:
    """The folder of fetched data sets: $EIBENCH_DATA, or `eibench/data` in the user's cache."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(os.path.expanduser(named))  # which, unlike Path's, leaves an unknown ~user
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(cache)) / "eibench" / "data"


def unreadable(error: OSError) -> str:
    """The problem of a file that the system does not give."""
    return f"{error.filename}: unreadable ({error.strerror})"


def absent(name: str, folder: Path) -> DataError:
    """The one message for a data set that is not there, for its loader to raise."""
    return DataError(
        f"{folder}: no such folder; get it with `eibench data fetch {name}`, or name the folder "
        f"that holds {name}/ with --data-dir or {VARIABLE}"
    )


def damaged(name: str, problems: list[str]) -> DataError:
    """The message for a data set with `problems`, of which it holds the first."""
    more = f" (and {len(problems) - 1} more: `eibench data verify {name}`)"
    return DataError(
        f"{problems[0]}{more * (len(problems) > 1)}; `eibench data fetch {name}` gets it anew"
    )


def folder_of(name: str) -> Path:
    """The folder of the fetched set `name`; raises `DataError` when it is not there."""
    folder = data_folder() / name
    if not folder.is_dir():
        raise absent(name, folder)
    return folder


def whole_folder(name: str, source: DataSource) -> Path:
    """The folder of the fetched set `name`, verified; raises `DataError` naming what is not."""
    folder = folder_of(name)
    if problems := source.problems(folder):
        raise damaged(name, problems)
    return folder


def acquire(name: str, source: DataSource) -> bool:
    """Bring the set to its folder, in place of a damaged one; False when it was whole already.

    An interrupted download goes on from the files that it finished, under `.NAME.partial`.

    Raises:
        DataError: it cannot be fetched, or what came is damaged.
    """
    folder = data_folder() / name
    partial = folder.with_name(f".{name}.partial")
    try:
        if folder.is_dir() and not source.problems(folder):
            return False
        partial.mkdir(parents=True, exist_ok=True)
        source.fetch(partial)
        if problems := source.problems(partial):
            shutil.rmtree(partial)
            raise DataError(f"what was fetched is damaged: {problems[0]}")
        _replace(folder, partial)
    except FAILURES as error:
        raise DataError(f"{folder}: cannot be fetched: {_in_a_line(error)}") from None
    return True


def _replace(folder: Path, partial: Path) -> None:
    """Put `partial` in the place of `folder`; a link that stood there is left behind alone."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def md5_problems(path: Path, md5: str) -> list[str]:
    """What is wrong with the file at `path`: nothing, or one problem; may raise `OSError`."""
    if not path.is_file():
        return [f"{path}: missing"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    return [] if found == md5 else [f"{path}: damaged, its md5 is {found} and not {md5}"]
