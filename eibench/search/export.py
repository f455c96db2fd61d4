"""The suite that a search has made: the same networks, with the values that won."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from eibench.errors import UserError
from eibench.plan.search import SearchPlan
from eibench.plan.suite import NAME, SUFFIXES
from eibench.results.store import write_atomic


def check_name(path: Path) -> None:
    """Raise `UserError` when a file of that name cannot be a suite: it is the suite's name."""
    if path.suffix not in SUFFIXES or not re.fullmatch(NAME, path.stem):
        raise UserError(
            f"--export {path}: must be a file NAME.yaml, the name of letters, digits, `_` and `-`"
        )


def tuned_suite(plan: SearchPlan, winners: Mapping[str, Mapping[str, Any]], path: Path) -> str:
    """YAML for `path`, whose name is the suite's; paths in it are relative to its folder."""
    before = plan.expansion
    suite = {k: v for k, v in before.document.data.items() if k not in ("search", "seeds")}
    tuned = plan.tuned_suite(winners).tuned
    suite |= {"name": path.stem, "title": f"{plan.title}, tuned"}
    suite |= {"tuned": [clause.model_dump() for clause in tuned], "tuned_by": plan.name}
    suite |= {"seeds": list(plan.seeds)}
    if before.suite.references:
        suite["references"] = _moved(before.suite.references, before.folder, path)
    if before.suite.plugins:
        suite["plugins"] = [
            _moved(entry, before.folder, path) if entry.endswith(".py") else entry
            for entry in before.suite.plugins
        ]
    budget = f"{plan.trials} trials for each combination, sampler {plan.options.sampler}"
    head = f"# Found by `eibench search` of the suite {plan.name}: {budget}.\n"
    return head + yaml.safe_dump(suite, sort_keys=False, default_flow_style=None, width=120)


def write_tuned_suite(
    plan: SearchPlan, winners: Mapping[str, Mapping[str, Any]], path: Path
) -> None:
    """Write it; raises `UserError` when it cannot be written."""
    text = tuned_suite(plan, winners, path)
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise UserError(f"--export {path}: {error.strerror}") from None


def _moved(entry: str, folder: Path, path: Path) -> str:
    """A path relative to `folder` as one relative to where the new suite lies."""
    return os.path.relpath((folder / entry).resolve(), path.parent.resolve())
