"""Paths within a results folder: names and links of a stranger lead nowhere else."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from eibench.errors import UserError

LARGEST = 64 * 2**20
"""Bytes of a file that is read."""


def member(folder: Path, *names: str) -> Path:
    """Return the path of a file or folder below `folder`, which may itself be a link.

    Raises:
        UserError: a link stands where one of `names` should.
    """
    path = folder
    for name in names:
        path = path / name
        if os.path.islink(path):
            raise UserError(
                f"{path}: is a link, and within results links are not followed; put what it points"
                " to in its place, or name that folder itself"
            )
    return path


def open_regular(path: Path, mode: str) -> IO[bytes]:
    """Open a regular file to append (`ab`) or change (`rb+`); it is made if it is not there.

    Raises:
        UserError: it is a link, or no regular file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if mode == "ab" else 0)
    more = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
    flags |= sum(getattr(os, flag, 0) for flag in more)
    handle = os.open(member(path.parent, path.name), flags, 0o644)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{path}: is not a regular file")
    return os.fdopen(handle, mode)


def real_folders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted, without links; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def suite_folders(path: Path) -> Iterator[Path]:
    """Yield the folders at or below `path` that hold a suite's plan, sorted."""
    found, left = [], [path]
    while left:
        folder = left.pop()
        if os.path.lexists(folder / "plan.json"):
            found.append(folder)
        left += real_folders(folder)
    yield from sorted(found)


def has_plan(folder: Path) -> bool:
    """Return whether `folder` is no link and has a plan."""
    return not os.path.islink(folder) and os.path.lexists(folder / "plan.json")


def parse_json(content: bytes) -> Any:
    """Return the value that UTF-8 JSON stands for; raises `ValueError` for anything else.

    NaN and infinity are left to the schema, which names their key.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that `content` is; raises `ValueError` for anything else."""
    value = parse_json(content)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"duplicate key {counts.most_common(1)[0][0]!r}")
    return found
