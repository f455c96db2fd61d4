"""Suites by name: those in the folder suites/ here, then those that ship with eibench."""

from __future__ import annotations

import os
from pathlib import Path

from eibench.errors import UserError, did_you_mean

LOCAL = Path("suites")
SUFFIXES = (".yaml", ".yml")
REFERENCES = "references"
"""Name, without suffix, of the file in a folder of suites that is not a suite."""


def suite_files(folder: Path) -> list[Path]:
    """Return the sorted suites in `folder`: its YAML files except `references.yaml`."""
    found = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    return [path for path in found if path.stem != REFERENCES]


def shipped_folder() -> Path:
    """Return the folder of eibench's own suites: in a wheel, or beside the package in a
    checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / LOCAL
    return inside if inside.is_dir() else package.parent / LOCAL


def known_suites() -> dict[str, Path]:
    """Return all suites by name; one in the local folder hides a shipped one of its name."""
    found = {path.stem: path for path in suite_files(LOCAL)}
    return found | {p.stem: p for p in suite_files(shipped_folder()) if p.stem not in found}


def find_suite(name: str) -> Path:
    """Return the path of a suite: `name` itself if it is a file, else the suite of that name.

    Raises:
        UserError: there is none; with the most similar name.
    """
    path = Path(name)
    if os.path.exists(path):  # unlike Path.exists, never raises
        return path
    if path.suffix in SUFFIXES:
        if path.stem in {shipped.stem for shipped in suite_files(shipped_folder())}:
            raise UserError(f"{name}: no such file; {path.stem!r} is eibench's suite of this name")
        return path
    known = known_suites()
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) or "; `eibench list suites` lists all"
    raise UserError(f"{name}: no such suite or file{hint}")
