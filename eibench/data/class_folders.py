"""Image files in class folders: FOLDER/CLASS/*.png, at any depth below CLASS.

Files and folders of operating systems (hidden files, previews, recycle bins) are skipped. Other
files that are not images are counted, for a note to the user. Links are followed, but no folder is
read twice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from eibench.errors import DataError, shorten_list

SYSTEM_FILES = {
    *("@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found"),
    *("#snapshot", "@recently-snapshot", "recycler", "found.000", "network trash folder"),
    *("system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""Lower-case names that operating systems leave in folders, beside names that begin with a dot."""
IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Extensions that are read: torchvision's list."""


@dataclass
class ClassFolders:
    """Classes and files of a folder, sorted by name."""

    classes: list[str] = field(default_factory=list)
    """Names of the folders."""
    samples: list[tuple[str, int]] = field(default_factory=list)
    """Files with the numbers of their classes."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Numbers of files that are not images, by extension."""
    loose: int = 0
    """Number of images outside the class folders."""


class Lister:
    """Lister of the folders of a data set, shared by its splits to find duplicates."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], str] = {}
        """Folders by what the system knows them by."""

    def list(self, folder: Path) -> ClassFolders:
        """Return the classes and images of `folder`.

        Raises:
            DataError: there is no class folder, one is empty or read twice, or an image is no file.
        """
        found = ClassFolders()
        self._enter(str(folder))
        inside = list(_entries(str(folder)))
        found.loose = sum(not _ask(entry.is_dir) and _is_image(entry.name) for entry in inside)
        for entry in inside:
            if _ask(entry.is_dir):
                self._add_class(found, entry)
        if not found.classes:
            raise DataError(f"{folder}: no class folders; an imagefolder is ROOT/train/CLASS/*")
        filled = {label for _, label in found.samples}
        empty = [name for i, name in enumerate(found.classes) if i not in filled]
        if empty:
            raise DataError(
                f"{folder}: no images in {shorten_list(empty)}"
                f"{describe_skipped(found.passed_over, ' ({})')}; "
                f"allowed extensions: {', '.join(IMG_EXTENSIONS)}"
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
        """Yield all files below `folder`."""
        waiting = [folder]
        while waiting:
            self._enter(folder := waiting.pop())
            for entry in _entries(folder):
                if _ask(entry.is_dir):
                    waiting.append(entry.path)
                elif _ask(entry.is_file) or not _is_image(entry.name):
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
    """Return the sorted names of the folders in `folder`, without those of operating systems."""
    return [entry.name for entry in _entries(str(folder)) if _ask(entry.is_dir)]


def describe_skipped(passed_over: Counter[str], form: str = "{}") -> str:
    """Return `30 files of kinds that are not read: .gif (10), .jfif (20)`, or an empty text."""
    if not passed_over:
        return ""
    count = passed_over.total()
    shown = shorten_list(f"{kind} ({n})" for kind, n in sorted(passed_over.items()))
    files = "1 file of a kind that is" if count == 1 else f"{count} files of kinds that are"
    return form.format(f"{files} not read: {shown}")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Return the sorted entries of `folder`, without those of operating systems."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not _is_system_file(entry.name)]
    except OSError as error:
        raise DataError(f"{folder}: unreadable ({error.strerror})") from None
    return sorted(entries, key=lambda entry: entry.name)


def _ask(question: Callable[[], bool]) -> bool:
    """Return the answer of an entry's test; False for a link to itself."""
    try:
        return question()
    except OSError:
        return False


def _is_system_file(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMG_EXTENSIONS)
