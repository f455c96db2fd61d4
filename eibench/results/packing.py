"""Packing live runs as evidence, and unpacking evidence as live runs; neither loses a byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eibench.errors import UserError
from eibench.files import read_bytes
from eibench.plan.conditions import FROM
from eibench.plan.options.init_from import WEIGHTS
from eibench.plan.suite import SEED
from eibench.results.archive import (
    DAMAGE,
    LARGEST,
    PACK,
    Files,
    is_packable,
    pack_file,
    pack_in,
    to_pack,
    unpacked,
)
from eibench.results.paths import (
    EVIDENCE,
    JOURNAL,
    PLAN,
    RESULTS,
    SEARCH,
    folders,
    has_plan,
    is_packed,
    live_folders,
    member,
    parse_object,
    places,
    read,
)
from eibench.results.store import FINAL, RECORD, kind_of, read_plan, to_json, write_atomic

Treatment = Literal["refuse", "merge", "replace"]
"""Treatment of packed runs that the live results lack."""


UNPACKING = ".unpacking."
"""Begin of the name of a folder in which files lie until they are complete."""


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
        folder.parent if folder.name == SEARCH else folder for folder in live_folders([path])
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
        UserError: there are none, they are too large for a pack, the pack there holds runs that
            would be lost, or is of another plan or search and cannot be merged.
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
        files = _merged(earlier, files, kept, target, folder)
    if files != earlier:
        content = to_pack(files)
        try:
            unpacked(content)
        except DAMAGE as error:
            raise UserError(f"{folder}: too large for a pack: {error}") from None
        write_atomic(path, content)
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
    """Return the runs that have come further in `earlier` than in `files`."""
    before, now = _runs(earlier), _runs(files)
    return {run for run in before if run not in now or _ending(files, run) < _ending(earlier, run)}


def _ending(files: Files, run: str) -> int:
    """Return 2 for a run that has ended for good, 1 for one with another record, else 0."""
    try:
        status = parse_object(files[f"{run}/{RECORD}"]).get("status")
    except KeyError:
        return 0
    except ValueError:
        return 1
    return 2 if status in FINAL else 1


def _merged(
    earlier: Files, files: Files, kept: set[str], packed: Path, live: Path
) -> dict[str, bytes]:
    """Return `files` of the folder `live` with the runs of `earlier`, `packed`, that are kept."""
    fresh = {name: c for name, c in files.items() if name.rpartition("/")[0] not in kept}
    old = {name: c for name, c in earlier.items() if name.rpartition("/")[0] in kept}
    plans = {name: earlier[name] for name in earlier if "/" not in name or not _runs([name])}
    merged = {**plans, **old, **fresh}
    both = earlier.keys() & files.keys()
    for place in ("", f"{SEARCH}/"):
        if f"{place}{PLAN}" in both:
            confirms = not place and f"{SEARCH}/{PLAN}" in files
            merged |= _joint_plan(earlier, packed, live, place, confirms)
    return merged


def _joint_plan(
    earlier: Files, packed: Path, live: Path, place: str, confirms: bool
) -> dict[str, bytes]:
    """Return the files of the plan in `place` for all runs, where that is not the live one.

    Of a search the live plan confirms its winners: others have no place beside them.
    """
    before, now = read_plan(packed / place), read_plan(live / place)
    if _planned(before) <= _planned(now):
        return {}
    if _planned(now) < _planned(before):  # the command planned part of the suite
        names = {f"{place}{PLAN}", f"{place}{JOURNAL}"}
        return {name: earlier[name] for name in names & earlier.keys()}
    if confirms:
        return {}
    return {f"{place}{PLAN}": to_json(_united(before, now, packed / place))}


def _united(before: dict[str, Any], now: dict[str, Any], packed: Path) -> dict[str, Any]:
    """Return the plan of two commands that differ in their seeds alone."""
    differ = {key for key in before | now if before.get(key) != now.get(key)}
    unlike = _cells(before) != _cells(now) or _references(before).keys() != _references(now).keys()
    if differ - {"runs", "flags", "references"} or kind_of(now) == SEARCH or unlike:
        raise UserError(
            f"{packed}: its plan differs from that of the live runs in more than seeds, so they"
            " cannot be merged; choose another --out"
        )
    runs = {run["run_id"]: run for run in (*before["runs"], *now["runs"])}
    flags = [*before.get("flags", [{}]), *now.get("flags", [{}])]
    earlier = _references(before)
    references = [
        {**known, "runs": list(dict.fromkeys([*earlier[key]["runs"], *known["runs"]]))}
        for key, known in _references(now).items()
    ]
    found = {**now, "runs": list(runs.values()), "flags": flags}
    return found | ({"references": references} if references else {})


def _cells(plan: dict[str, Any]) -> set[bytes]:
    """Return what each run of a plan is, but for its seed and the trained run of that seed."""
    found = [{**run["fields"], SEED: None} for run in plan["runs"]]
    return {
        to_json({k: v for k, v in fields.items() if k.partition(".")[0] != FROM})
        for fields in found
    }


def _references(plan: dict[str, Any]) -> dict[bytes, dict[str, Any]]:
    """Return the published numbers of a plan by what they are, without the runs that match."""
    return {to_json({**known, "runs": None}): known for known in plan.get("references", ())}


def _planned(plan: dict[str, Any]) -> set[str]:
    return {run["run_id"] for run in plan["runs"]}


def unpack(folder: Path, out: Path = RESULTS) -> Path:
    """Unpack the results in `folder`, which has or is a pack, into `out`/NAME, and return that.

    Raises:
        UserError: there is no pack, it is damaged, or there are results already.
    """
    files = pack_in(folder)
    plan = read_plan(folder if PLAN in files else folder / SEARCH)
    target = member(out, plan["suite"])
    parts = {name.partition("/")[0] for name in files}
    if has_plan(target) or {folder.name for folder in folders(target)} - parts:
        raise UserError(f"{target}: holds results already; choose another --out")
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob(f"{UNPACKING}*"):  # of a command that was killed, as are parts there
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=target, prefix=UNPACKING) as made:
        for name, content in files.items():
            path = Path(made, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in sorted(parts, key=lambda name: name == PLAN):  # the plan last
            if not (target / name).is_dir():
                os.replace(Path(made, name), target / name)
    return target
