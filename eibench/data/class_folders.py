"""Which files a folder of class folders holds: FOLDER/CLASS/*.png, at any depth below CLASS.

Files and folders of systems (hidden ones, previews, recycle bins) are passed over. What else is no
image is counted, so that a user can be told. Links are followed, but no folder counts twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from eibench.errors import DataError

OF_SYSTEMS = {
    *("@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found"),
    *("#snapshot", "@recently-snapshot", "recycler", "found.000", "network trash folder"),
    *("system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""Names, in small letters, that systems leave in folders, beside those that begin with a dot."""
IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Files that are read: torchvision's list."""
MOST = 5
"""Names or kinds that a message lists."""


@dataclass
class ClassFolders:
    """What was found, in the order of names."""

    classes: list[str] = field(default_factory=list)
    """Names of the folders."""
    samples: list[tuple[str, int]] = field(default_factory=list)
    """Files, and the numbers of their classes."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Files that are no images, by kind."""
    loose: int = 0
    """Images that lie outside of the class folders."""


class Lister:
    """Lists the folders of a data set; one lister for all its splits."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], str] = {}
        """Folders by what the system knows them by."""

    def list(self, folder: Path) -> ClassFolders:
        """The classes and images of `folder`.

        Raises:
            DataError: no class folder is there, one holds no image, a folder counts twice, or what
                is called an image is no file.
        """
        found = ClassFolders()
        self._enter(str(folder))
        inside = list(_entries(str(folder)))
        found.loose = sum(not _is(entry.is_dir) and _is_image(entry.name) for entry in inside)
        for entry in inside:
            if _is(entry.is_dir):
                self._add_class(found, entry)
        if not found.classes:
            raise DataError(f"{folder}: no class folders; an imagefolder is ROOT/train/CLASS/*")
        filled = {label for _, label in found.samples}
        empty = [name for i, name in enumerate(found.classes) if i not in filled]
        if empty:
            raise DataError(
                f"{folder}: no images in {listed(empty)}{kinds(found.passed_over, ' ({})')}; read "
                f"are {', '.join(IMG_EXTENSIONS)}"
            )
        return found

    def _add_class(self, found: ClassFolders, entry: os.DirEntry[str]) -> None:
        label = len(found.classes)
        found.classes.append(entry.name)
        files = sorted(map(os.path.split, self._walk(entry.path)))
        for head, name in files:
            if _is_image(name):
                found.samples.append((os.path.join(head, name), label))
            else:
                found.passed_over[os.path.splitext(name)[1].lower() or "no ending"] += 1

    def _walk(self, folder: str) -> Iterator[str]:
        """All files below `folder`."""
        waiting = [folder]
        while waiting:
            self._enter(folder := waiting.pop())
            for entry in _entries(folder):
                if _is(entry.is_dir):
                    waiting.append(entry.path)
                elif _is(entry.is_file) or not _is_image(entry.name):
                    yield entry.path
                else:
                    kind = "a link that leads nowhere" if entry.is_symlink() else "no regular file"
                    raise DataError(f"{entry.path}: not a readable image ({kind})")

    def _enter(self, folder: str) -> None:
        try:
            known = os.stat(folder)
        except OSError as error:
            raise DataError(f"{folder}: unreadable ({error.strerror})") from None
        earlier = self.seen.setdefault((known.st_dev, known.st_ino), folder)
        if earlier != folder:
            raise DataError(
                f"{folder}: is the same folder as {earlier}, and its images would count twice; "
                "remove the link"
            )


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in `folder`, in order, without those of systems."""
    return [entry.name for entry in _entries(str(folder)) if _is(entry.is_dir)]


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:MOST]) + f" and {len(names) - MOST} more" * (len(names) > MOST)


def kinds(passed_over: Counter[str], form: str = "{}") -> str:
    """`30 files of kinds that are not read: .gif (10), .jfif (20)`; empty where there are none."""
    if not passed_over:
        return ""
    count = passed_over.total()
    shown = listed(f"{kind} ({n})" for kind, n in sorted(passed_over.items()))
    files = "1 file of a kind that is" if count == 1 else f"{count} files of kinds that are"
    return form.format(f"{files} not read: {shown}")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in `folder`, in the order of names, but for what systems leave there."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not _is_of_a_system(entry.name)]
    except OSError as error:
        raise DataError(f"{folder}: unreadable ({error.strerror})") from None
    return sorted(entries, key=lambda entry: entry.name)


def _is(question: Callable[[], bool]) -> bool:
    """The answer on an entry; no for a link to itself, which the system cannot follow."""
    try:
        return question()
    except OSError:
        return False


def _is_of_a_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in OF_SYSTEMS


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS)
