"""Packing live runs as evidence, and unpacking evidence as live runs; neither loses a byte."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eibench.errors import UserError
from eibench.files import read_bytes
from eibench.plan.options.init_from import WEIGHTS
from eibench.results.archive import LARGEST, PACK, Files, is_packable, pack_file, pack_in, to_pack
from eibench.results.paths import (
    EVIDENCE,
    PLAN,
    RESULTS,
    SEARCH,
    folders,
    has_plan,
    is_packed,
    member,
    places,
    read,
    suite_folders,
)
from eibench.results.store import RECORD, read_plan, write_atomic

Treatment = Literal["refuse", "merge", "replace"]
"""Treatment of packed runs that the live results lack."""


@dataclass(frozen=True)
class Packed:
    """A pack that was written."""

    path: Path
    runs: int
    kept: int
    """Runs of the earlier pack that the live results lack."""
    left_out: Counter[str]
    """Files that no pack holds, by name."""


def live_suites(path: Path) -> list[Path]:
    """Return the folders of the suites with live runs that `path` means; see `suite_folders`.

    Raises:
        UserError: there are none.
    """
    found = dict.fromkeys(
        folder.parent if folder.name == SEARCH else folder
        for folder in suite_folders(path)
        if not is_packed(folder) and not is_packed(folder.parent)
    )
    if not found:
        raise UserError(f"{path}: no live runs here; `eibench run SUITE` makes some")
    return list(found)


def packed_suites(path: Path) -> list[Path]:
    """Return the folders with a pack that `path` means, whether or not there are live runs.

    Raises:
        UserError: there are none.
    """
    path = path.parent if path.name == PACK else path
    for place in (*places(path), path / EVIDENCE):
        below = [Path(root) for root, _, _ in os.walk(place)] or [place]
        if found := sorted(filter(is_packed, below)):
            return found
    raise UserError(f"{path}: no packed results here; `eibench results pack` makes some")


def pack(folder: Path, out: Path, existing: Treatment = "refuse") -> Packed:
    """Pack the live results of a suite in `folder` into `out`/NAME.

    Raises:
        UserError: there are none, or the pack there holds runs that would be lost.
    """
    files, left_out = _live_files(folder)
    target = out / folder.resolve().name
    earlier = pack_in(target)
    lost = _lost(earlier, files)
    path = member(target, PACK)
    if lost and existing == "refuse":
        raise UserError(
            f"{path}: holds {len(lost)} runs that {folder} lacks, such as {min(lost)};"
            " --merge keeps them, --replace drops them"
        )
    kept = lost if existing == "merge" else set()
    if existing == "merge":
        files = _merged(earlier, files, kept)
    if files != earlier:
        write_atomic(path, to_pack(files))
    return Packed(path, len(_runs(files)), len(kept), left_out)


def _live_files(folder: Path) -> tuple[dict[str, bytes], Counter[str]]:
    """Return the files of a suite that a pack holds, and what is left out."""
    files: dict[str, bytes] = {}
    left_out: Counter[str] = Counter()
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if is_packable(name):
            files[name] = read(path)
        else:
            left_out[_in_short(name)] += 1
    if not files.keys() & {PLAN, f"{SEARCH}/{PLAN}"}:
        raise UserError(f"{folder}: no live runs here; `eibench run SUITE` makes some")
    return files, left_out


def results_digest(folder: Path) -> bytes:
    """Return a digest of the results in `folder`, packed or live; there may be none."""
    content = hashlib.sha256()
    if file := pack_file(folder):
        content.update(read_bytes(file, LARGEST, follow_links=False))
    elif has_plan(folder) or has_plan(folder / SEARCH):
        for name, data in sorted(_live_files(folder)[0].items()):
            content.update(f"{name} {len(data)}\n".encode() + data)
    return content.digest()


def _files_below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (folder / e.name for e in entries if not e.is_dir(follow_symlinks=False))
    for inner in folders(folder):
        yield from _files_below(inner)


def _in_short(name: str) -> str:
    """Return the name under which a file that is left out is counted."""
    *above, last = name.split("/")
    if last.startswith(".") and last.endswith(".tmp"):
        return "temporary files"
    return last if last in (".lock", "checkpoint.pt", WEIGHTS) or not above else f"{above[0]}/"


def _runs(files: Iterable[str]) -> set[str]:
    """Return the folders of runs, which may be those of a search's trials."""
    return {name.rpartition("/")[0] for name in files} - {"", SEARCH}


def _lost(earlier: Files, files: Files) -> set[str]:
    """Return the runs that `earlier` has and `files` lacks, or has without a record."""
    ended = {name.rpartition("/")[0] for name in earlier.keys() - files.keys() if RECORD in name}
    return ended | (_runs(earlier) - _runs(files))


def _merged(earlier: Files, files: Files, kept: set[str]) -> dict[str, bytes]:
    """Return `files` with the runs of `earlier` that are kept."""
    fresh = {name: c for name, c in files.items() if name.rpartition("/")[0] not in kept}
    old = {name: c for name, c in earlier.items() if name.rpartition("/")[0] in kept}
    plans = {name: earlier[name] for name in earlier if "/" not in name or not _runs([name])}
    merged = {**plans, **old, **fresh}
    if PLAN in earlier and PLAN in files and _planned(files) < _planned(earlier):
        merged[PLAN] = earlier[PLAN]  # the command planned part of the suite
    return merged


def _planned(files: Files) -> set[str]:
    return {run["run_id"] for run in json.loads(files[PLAN])["runs"]}


def unpack(folder: Path, out: Path = RESULTS) -> Path:
    """Unpack the results in `folder`, which has or is a pack, into `out`/NAME, and return that.

    Raises:
        UserError: there is no pack, it is damaged, or there are results already.
    """
    files = pack_in(folder)
    plan = read_plan(folder if PLAN in files else folder / SEARCH)
    target = member(out, plan["suite"])
    if has_plan(target) or folders(target):
        raise UserError(f"{target}: holds results already; choose another --out")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".unpacking.") as made:
        for name, content in files.items():
            path = Path(made, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in sorted(os.listdir(made), key=lambda name: name == PLAN):  # the plan last
            os.replace(Path(made, name), target / name)
    return target
