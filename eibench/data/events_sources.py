"""Download and verification of event sets, both through tonic."""

from __future__ import annotations

import contextlib
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from eibench.data.archives import check_sha256, unpack
from eibench.data.events import (
    CIFAR10_DVS,
    DVS_GESTURE,
    NMNIST,
    SHD,
    EventSet,
    Recordings,
    reader,
)
from eibench.data.sources import FAILURES, SOURCES, DataSource
from eibench.errors import DataError


def source(events: EventSet) -> DataSource:
    """Return the download and verification functions of `events`."""
    return DataSource(fetch=partial(fetch, events), verify=partial(verify, events))


def fetch(events: EventSet, folder: Path) -> None:
    """Download and unpack into `folder`; a complete archive that is present is reused.

    Raises:
        DataError: tonic is not installed; or one of `sources.FAILURES`.
    """
    base = folder / events.reader
    for archive in _published(events, base):
        with contextlib.redirect_stdout(sys.stderr):
            archive.fetch(base)
    for inner in _inner(events, base):
        unpack(inner.path, base)


def verify(events: EventSet, folder: Path) -> list[str]:
    """Return problems, each naming a file.

    Archives are compared with their MD5, files with the archives, and every recording is read.
    """
    base = folder / events.reader
    problems = [text for archive in _archives(events, base) for text in archive.problems(base)]
    for part in events.parts:
        problems += _unreadable(events, part, folder)
    return list(dict.fromkeys(problems))


class _Archive(NamedTuple):
    """Downloaded file with published MD5 and address; an archive within another has neither."""

    path: Path
    md5: str | None = None
    url: str = ""

    def fetch(self, base: Path) -> None:
        """Download unless present and complete, and unpack into `base`."""
        from tonic.download_utils import download_url

        download_url(self.url, str(base), self.path.name, self.md5)
        check_sha256(self.path, self.md5 or "")
        unpack(self.path, base)

    def problems(self, base: Path) -> list[str]:
        """Return the problems of the archive and of the files unpacked from it into `base`."""
        from tonic.download_utils import check_md5

        if self.md5 is not None and not check_md5(str(self.path), self.md5):
            return [f"{self.path}: its MD5 is not the published {self.md5}"]
        try:
            return list(self._differences(base))
        except (*FAILURES, zlib.error) as error:
            return [f"{self.path}: cannot be unpacked ({error})"]

    def _differences(self, base: Path) -> Iterator[str]:
        for name, size in self._members():
            path = base / name
            if path.suffix == ".zip":  # an inner archive; it may have been deleted
                continue
            if not path.is_file():
                yield f"{path}: is missing; it is in {self.path.name}"
            elif path.stat().st_size != size:
                yield f"{path}: has {path.stat().st_size} bytes, in {self.path.name} it has {size}"

    def _members(self) -> list[tuple[str, int]]:
        """Return names and sizes of the files in the archive."""
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(self.path) as packed:
                return [(m.filename, m.file_size) for m in packed.infolist() if not m.is_dir()]
        with tarfile.open(self.path) as tar:
            return [(m.name, m.size) for m in tar.getmembers() if m.isfile()]


def _published(events: EventSet, base: Path) -> list[_Archive]:
    """Return the published archives of a data set, as tonic lists them."""
    known = reader(events, present=True)
    if "whole" in events.parts:
        return [_Archive(base / known.filename, known.file_md5, known.url)]
    kind = "zip" if events.one_file else "filename"
    names = {part: getattr(known, f"{part}_{kind}") for part in events.parts}
    return [
        _Archive(
            base / name,
            getattr(known, f"{part}_md5"),
            known.base_url + name if events.one_file else getattr(known, f"{part}_url"),
        )
        for part, name in names.items()
    ]


def _inner(events: EventSet, base: Path) -> list[_Archive]:
    """Return the archives that are unpacked from the published one."""
    known = reader(events, present=True)
    return (
        [_Archive(base / name) for name in known.data_filename] if "whole" in events.parts else []
    )


def _archives(events: EventSet, base: Path) -> list[_Archive]:
    """Return the archives that are present; without them, missing recordings are only counted."""
    found = [*_published(events, base), *_inner(events, base)]
    return [archive for archive in found if archive.path.is_file()]


def _unreadable(events: EventSet, part: str, folder: Path) -> list[str]:
    """Return the errors of loading a part and of reading each recording."""
    try:
        recordings = Recordings(events, part, folder)
    except DataError as error:
        return [str(error)]
    problems = []
    for i in range(len(recordings)):
        try:
            recordings.read(i)
        except DataError as error:
            problems.append(str(error))
    return problems


SOURCES.update({e.name: source(e) for e in (CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD)})
