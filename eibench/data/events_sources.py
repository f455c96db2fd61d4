"""How event sets are fetched, and how what was fetched is verified; both by tonic."""

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
from eibench.data.sources import FAILURES, DataSource
from eibench.errors import DataError


def source(events: EventSet) -> DataSource:
    """How `events` are fetched and verified."""
    return DataSource(fetch=partial(fetch, events), verify=partial(verify, events))


def fetch(events: EventSet, folder: Path) -> None:
    """Download and unpack into `folder`; an archive that is there and whole is used again.

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
    """Problems, each naming a file: archives by their MD5, files by the archives, and then every
    recording is read."""
    base = folder / events.reader
    problems = [text for archive in _archives(events, base) for text in archive.problems(base)]
    for part in events.parts:
        problems += _unreadable(events, part, folder)
    return list(dict.fromkeys(problems))


class _Archive(NamedTuple):
    """A file that was fetched, its published MD5 and address; without these from within another."""

    path: Path
    md5: str | None = None
    url: str = ""

    def fetch(self, base: Path) -> None:
        """Download it unless it is there and whole, and unpack it into `base`."""
        from tonic.download_utils import download_url

        download_url(self.url, str(base), self.path.name, self.md5)
        check_sha256(self.path, self.md5 or "")
        unpack(self.path, base)

    def problems(self, base: Path) -> list[str]:
        """What is wrong with it, or with what was unpacked from it into `base`."""
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
            if path.suffix == ".zip":  # an archive of its own, needed no longer
                continue
            if not path.is_file():
                yield f"{path}: is missing; it is in {self.path.name}"
            elif path.stat().st_size != size:
                yield f"{path}: has {path.stat().st_size} bytes, in {self.path.name} it has {size}"

    def _members(self) -> list[tuple[str, int]]:
        """Names and sizes of the files in it."""
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(self.path) as packed:
                return [(m.filename, m.file_size) for m in packed.infolist() if not m.is_dir()]
        with tarfile.open(self.path) as tar:
            return [(m.name, m.size) for m in tar.getmembers() if m.isfile()]


def _published(events: EventSet, base: Path) -> list[_Archive]:
    """The archives of a set, as tonic knows them."""
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
    """Archives that are unpacked from the published one."""
    known = reader(events, present=True)
    return (
        [_Archive(base / name) for name in known.data_filename] if "whole" in events.parts else []
    )


def _archives(events: EventSet, base: Path) -> list[_Archive]:
    """Those that are still there; without them, missing recordings can be counted, not named."""
    found = [*_published(events, base), *_inner(events, base)]
    return [archive for archive in found if archive.path.is_file()]


def _unreadable(events: EventSet, part: str, folder: Path) -> list[str]:
    """What loading a part would say, of every recording."""
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


EVENT_SOURCES = {events.name: source(events) for events in (CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD)}
