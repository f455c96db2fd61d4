"""Files and folders of results, on disk or in a pack.

results/NAME            live runs of a suite
results/evidence/NAME   committed runs of a suite, packed; read where there are no live ones

Links within results are not followed, so that names from a stranger lead nowhere else.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from eibench.errors import UserError
from eibench.files import read_bytes
from eibench.results.archive import LARGEST, PACK, find_member, pack_file, pack_in

RESULTS = Path("results")
EVIDENCE = "evidence"
"""The folder of packed suites within a results folder."""
SEARCH = "search"
"""The folder of a search's trials within its suite's, and the kind of its plan."""
PLAN = "plan.json"
JOURNAL = "journal.log"
"""The record of a search, beside its plan."""
RUNNING = ".running"
"""The folder of locks of runs under way, within a suite's; see `execution.lock`."""


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


def read(path: Path) -> bytes:
    """Return the content of a results file, on disk or else in a pack.

    Raises:
        FileNotFoundError: it is in neither.
        UserError: it is a link, no regular file, or too large.
    """
    if not os.path.lexists(path):
        files, name = find_member(path)
        if files:
            if name in files:
                return files[name]
            raise FileNotFoundError(path)
    return read_bytes(path, LARGEST, follow_links=False)


def exists(path: Path) -> bool:
    """Return whether there is a results file at `path`, on disk or in a pack."""
    if os.path.lexists(path):
        return True
    files, name = find_member(path)
    return name in files


def folders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, on disk or in a pack, sorted; links are left out."""
    files, name = find_member(folder)
    inner = f"{name}/" if name != "." else ""
    packed = (file.removeprefix(inner) for file in files if file.startswith(inner))
    names = {name.partition("/")[0] for name in packed if "/" in name}
    return [folder / name for name in sorted(names.union(_folders_on_disk(folder)))]


def _folders_on_disk(folder: Path) -> list[str]:
    """Return the names of the folders of results in `folder`; none where it cannot be read.

    Those whose name begins with a dot hold locks, or what is being unpacked.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            return [name for name in found if not name.startswith(".")]
    except OSError:
        return []


def has_plan(folder: Path) -> bool:
    """Return whether `folder` is no link and has a plan."""
    return not os.path.islink(folder) and exists(folder / PLAN)


def is_packed(folder: Path) -> bool:
    """Return whether results in `folder` are in a pack, and so are only read."""
    return pack_file(folder) is not None


def suite_folders(path: Path) -> list[Path]:
    """Return the folders with a plan that `path` means, sorted.

    `path` is a results folder, a suite in it, a pack, or the name of a suite in `results`. Packed
    evidence stands in for suites without live runs.
    """
    path = path.parent if path.name == PACK else path
    for place in places(path):
        found = _folders_below(place)
        if found:
            return sorted(folder for folder in found if not _is_outdone(folder, place))
    return []


def live_folders(paths: Iterable[Path]) -> list[Path]:
    """Return the folders with live runs that `paths` mean, each once; see `suite_folders`."""
    found = (folder for path in paths for folder in suite_folders(path))
    live = (f for f in found if not is_packed(f) and not is_packed(f.parent))
    return list(dict.fromkeys(live))


def figures_folder(folder: Path) -> Path:
    """Return where figures of the suite in `folder` go, which is never among the evidence."""
    if folder.parent.name == EVIDENCE and is_packed(folder):
        return member(folder.parent.parent, folder.name, "figures")
    return member(folder.parent if folder.is_file() else folder, "figures")


def evidence_of(folder: Path) -> Path:
    """Return the folder of the evidence of the suite whose live runs are in `folder`."""
    return folder.parent / EVIDENCE / folder.name


def places(path: Path) -> Iterator[Path]:
    """Yield the folders that `path` may mean, the first of which that has results counts."""
    suite = path.parent if path.name == SEARCH and path.parent.name else path
    inner = path.relative_to(suite)
    yield path
    if suite.name in ("", ".."):
        return
    yield evidence_of(suite) / inner
    if suite.parts == (suite.name,):
        yield RESULTS / path
        yield evidence_of(RESULTS / suite) / inner


def _folders_below(path: Path) -> set[Path]:
    """Return the folders at or below `path` that have a plan."""
    found, left = {path} if exists(path / PLAN) else set(), [path]
    while left:
        folder = left.pop()
        packed = [name for name in pack_in(folder) if name.endswith(PLAN)]
        found |= {(folder / name).parent for name in packed}
        if os.path.lexists(folder / PLAN):
            found.add(folder)
        left += [folder / name for name in _folders_on_disk(folder)]
    return found


def _is_outdone(folder: Path, root: Path) -> bool:
    """Return whether `folder` is evidence of a suite of which there are live runs within `root`."""
    above = folder.relative_to(root).parts
    if EVIDENCE not in above[:-1]:
        return False
    index = above.index(EVIDENCE)
    live = root.joinpath(*above[:index], above[index + 1])
    return has_plan(live) or has_plan(live / SEARCH)


def choices_made(path: Path) -> Iterator[str]:
    """Yield a sentence where `path` could mean live runs or evidence: which of them is read."""
    if EVIDENCE in path.parts or is_packed(path):
        return
    suites = {f.parent if f.name == SEARCH else f for f in suite_folders(path)}
    packed = sorted(folder for folder in suites if is_packed(folder))
    live = sorted(folder for folder in suites if is_packed(evidence_of(folder)))
    if packed:
        yield f"reading {_named(packed)}: no live runs of {_counted(packed)}"
    if live:
        evidence = _named([evidence_of(folder) for folder in live])
        yield f"reading live runs in {_named(live)}, not the evidence in {evidence}"


def _named(folders: Sequence[Path]) -> str:
    """Return the one folder, or the folder of all of them."""
    return str(folders[0] if len(folders) == 1 else folders[0].parent)


def _counted(folders: Sequence[Path]) -> str:
    return folders[0].name if len(folders) == 1 else f"{len(folders)} suites"


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
