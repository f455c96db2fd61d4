"""Provenance of a number: versions, source commit, machine.

It does without torch, so that `doctor` can say when torch is missing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from eibench.version import __version__

DATA = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|"
    r"symlinks|autocrlf|eol|abbrev|quotepath|longpaths|sharedrepository|untrackedcache)|"
    r"remote\..*\.(url|pushurl|fetch|tagopt|prune|gh-resolved)|(branch|user|gc|pull|push|http)\..*|"
    r"submodule\..*\.(url|active)|lfs\.repositoryformatversion",
    re.DOTALL,
)
"""Settings of a repository that name no command and no other file, for what is asked here."""
HARMLESS = ("--no-optional-locks", "-c", f"core.hooksPath={os.devnull}")
"""Options of git under which it writes nothing and runs no hook."""
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return versions, commit and machine, as they go into every record."""
    return {
        "eibench": __version__,
        **source_commit(),
        "python": platform.python_version(),
        **{name: package_version(name) for name in PACKAGES},
        "host": host_label(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": available_cores(),
        "command": shlex.join(["eibench", *sys.argv[1:]]),
    }


@functools.cache
def package_version(name: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def source_commit() -> dict[str, Any]:
    """Return the commit of the source tree that runs, and whether its code had changes.

    Both are None when eibench was installed from a package, and its version says it all.
    """
    package = Path(__file__).resolve().parents[1]
    commit = _git(package, "rev-parse", "HEAD")
    tracked = commit and _git(package, "ls-files", "--error-unmatch", "__init__.py")
    if not tracked:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(_git(package, "status", "--porcelain", "--", "."))}


@dataclass(frozen=True)
class SuiteSource:
    """The suite whose runs are recorded, and the state of its files in version control."""

    name: str
    state: Mapping[str, Any] = field(default_factory=dict)
    """Goes into every record's environment."""


def suite_source(name: str, files: Iterable[Path]) -> SuiteSource:
    """Return the suite `name` with `files` of its own: suite, references, plugins, local data.

    `dirty` then says whether eibench's code or one of these files differs from the commit of the
    repository that it lies in (a file that is new there does), and `changed` names those files.
    Files outside any repository, or ignored by it, have no commit to differ from: they are passed
    over, and `dirty` is None where nothing is under version control. So are those of a repository
    whose settings could name a command, since git would run it.
    """
    own = source_commit()["dirty"]
    states = {path: _differs(path) for path in dict.fromkeys(files)}
    known = [state for state in (own, *states.values()) if state is not None]
    changed = [path.name for path, differs in states.items() if differs]
    state: dict[str, Any] = {"dirty": any(known) if known else None}
    return SuiteSource(name, {**state, "changed": changed} if changed else state)


def _differs(path: Path) -> bool | None:
    """Return whether a file, or one in a folder, differs from its repository's last commit.

    None where it is in no repository, or ignored there.
    """
    path = path.absolute()
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir() or _git(folder, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    if not _names_no_command(folder):
        return None
    target = "." if path.is_dir() else path.name
    if _git(folder, "check-ignore", "-q", "--", target) is not None:
        return None
    found = _git(folder, "status", "--porcelain", "--ignore-submodules=all", "--", target)
    return None if found is None else bool(found)


def _names_no_command(folder: Path) -> bool:
    """Return whether the settings of the repository around `folder` are all known to be data.

    A folder of a stranger may bring a `.git` whose `core.fsmonitor` or filters git would run.
    """
    place = _git(folder, "rev-parse", "--git-common-dir")
    if place is None:
        return False
    config = str(folder / place / "config")
    names = _git(folder, "config", "--file", config, "--no-includes", "--name-only", "-z", "--list")
    return names is not None and all(map(DATA.fullmatch, filter(None, names.split("\0"))))


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", *HARMLESS, "-C", str(folder), *arguments]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip()


@functools.cache
def cpu_name() -> str:
    """Return the processor's name as its maker gives it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


@functools.cache
def host_label() -> str:
    """Return a label that is the same for all records of this machine and does not tell its name.

    It is a hash of the machine's id, which is not to be published, and of its name, since
    containers of one image share the id.
    """
    ids = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
    known = [path.read_text().strip() for path in ids if os.access(path, os.R_OK)]
    secret = known[0] if known and known[0] else f"{uuid.getnode():x}"
    text = f"eibench {secret} {platform.node()}"
    return f"host-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
