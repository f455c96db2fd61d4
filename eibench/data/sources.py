"""Download and verification of data sets that no dependency ships.

Each data set has a folder of its own, `data_folder() / NAME`. The folder appears only when
everything has been fetched and verified. Without it, the files of a package of the operating system
are used where one is known and installed.
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
from typing import Any, TypeVar

from eibench.errors import AbsentDataError, DataError, error_line
from eibench.plan.options import DATASETS, DataOptions

VARIABLE = "EIBENCH_DATA"
"""Environment variable that names the folder; `--data-dir` sets it for one command."""
SYSTEM_DATA = Path("/usr/share/datasets")
"""Folder in which Debian's packages install data sets."""
FAILURES = (
    OSError,
    HTTPException,
    RuntimeError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""Exceptions of a download: no network, a truncated or wrong file, or a full disk."""


@dataclass(frozen=True)
class SystemPackage:
    """Package of the operating system that holds a data set."""

    name: str
    subfolder: str
    """Folder of its files in `SYSTEM_DATA`."""
    verify: Callable[[Path], list[str]]
    """Return problems of its files, each naming a file."""

    @property
    def folder(self) -> Path:
        """Return the folder of its files, which need not exist."""
        return SYSTEM_DATA / self.subfolder


@dataclass(frozen=True)
class DataSource:
    """Functions that download and verify one data set."""

    fetch: Callable[[Path], None]
    """Download into the given folder; raises `DataError` or one of `FAILURES`."""
    verify: Callable[[Path], list[str]]
    """Return problems, each naming a file; may raise `OSError`."""
    package: SystemPackage | None = None
    """Package that holds the data set too."""

    def is_packaged(self, folder: Path) -> bool:
        """Return whether `folder` is that of the package."""
        return self.package is not None and folder == self.package.folder

    def find(self, name: str) -> Path | None:
        """Return the folder of the data set `name`: the fetched one, else the package's."""
        folders = [data_folder() / name, *([self.package.folder] if self.package else [])]
        return next((folder for folder in folders if folder.is_dir()), None)

    def problems(self, folder: Path) -> list[str]:
        """Return the problems that `verify` finds; an unreadable file is a problem too."""
        try:
            if self.package is not None and self.is_packaged(folder):
                return self.package.verify(folder)
            return self.verify(folder)
        except OSError as error:
            return [unreadable(error)]


SOURCES: dict[str, DataSource] = {}
"""Download and verification, by name, of data sets that no dependency ships."""
Loader = TypeVar("Loader", bound=Callable[..., Any])


def dataset(
    options: type[DataOptions], source: DataSource | None = None
) -> Callable[[Loader], Loader]:
    """Return a decorator that registers the loading function of the data set of `options`.

    The function receives them as `options`, and the run's `timesteps` for a data set of events.
    """
    if source is not None:
        SOURCES[options.name] = source
    return DATASETS.register(options)


def data_folder() -> Path:
    """Return the folder of fetched data sets: $EIBENCH_DATA, or `eibench/data` in the user's
    cache."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(os.path.expanduser(named))  # unlike Path.expanduser, accepts an unknown ~user
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(cache)) / "eibench" / "data"


def unreadable(error: OSError) -> str:
    """Return the problem text of a file that cannot be read."""
    return f"{error.filename}: unreadable ({error.strerror})"


def absent_error(name: str, folder: Path) -> DataError:
    """Return the error of a data set that is not there, for its loader to raise."""
    source = SOURCES.get(name)
    package = f" or `apt-get install {source.package.name}`" if source and source.package else ""
    return AbsentDataError(
        f"{folder}: no such folder; get it with `eibench data fetch {name}`{package}, or name the "
        f"folder that holds {name}/ with --data-dir or {VARIABLE}"
    )


def damaged_error(name: str, problems: list[str]) -> DataError:
    """Return the error of a data set with `problems`; its message shows the first."""
    more = f" (and {len(problems) - 1} more: `eibench data verify {name}`)"
    return DataError(
        f"{problems[0]}{more * (len(problems) > 1)}; `eibench data fetch {name}` fetches it again"
    )


def dataset_folder(name: str) -> Path:
    """Return the folder of the data set `name`, of those that are fetched or in a package.

    Raises:
        DataError: it is missing.
    """
    folder = SOURCES[name].find(name)
    if folder is None:
        raise absent_error(name, data_folder() / name)
    return folder


def verified_folder(name: str, source: DataSource) -> Path:
    """Return the verified folder of the data set `name`; raise `DataError` when it is damaged."""
    folder = dataset_folder(name)
    if problems := source.problems(folder):
        raise damaged_error(name, problems)
    return folder


def acquire(name: str, source: DataSource) -> bool:
    """Fetch a data set into its folder, replacing a damaged one; return False if it was complete.

    A complete package of the operating system needs no download.

    An interrupted download resumes from the files that it completed, under `.NAME.partial`.

    Raises:
        DataError: it cannot be fetched, or the fetched files are damaged.
    """
    folder = data_folder() / name
    partial = folder.with_name(f".{name}.partial")
    try:
        found = source.find(name)
        if found is not None and not source.problems(found):
            return False
        partial.mkdir(parents=True, exist_ok=True)
        source.fetch(partial)
        if problems := source.problems(partial):
            shutil.rmtree(partial)
            raise DataError(f"what was fetched is damaged: {problems[0]}")
        _replace(folder, partial)
    except FAILURES as error:
        raise DataError(f"{folder}: cannot be fetched: {error_line(error)}") from None
    return True


def _replace(folder: Path, partial: Path) -> None:
    """Move `partial` to `folder`; of a link only the link itself is removed."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def md5_problems(path: Path, md5: str) -> list[str]:
    """Return the problem of the file at `path`, if any, as a list; may raise `OSError`."""
    if not path.is_file():
        return [f"{path}: missing"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    return [] if found == md5 else [f"{path}: damaged, its md5 is {found} and not {md5}"]
