"""Export of a search: its suite with the winners' values in place of the search."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from eibench.errors import BadSuite, UserError
from eibench.plan.expand import Expansion
from eibench.plan.find import SUFFIXES
from eibench.plan.layers import LayeredValues, Origin
from eibench.plan.names import NAME
from eibench.plan.search import SearchPlan, Winners
from eibench.plan.suite import SuiteFile
from eibench.plan.suite_checks import within
from eibench.plan.validate import validate
from eibench.plan.yaml_source import dump, parse
from eibench.results.store import write_atomic


def check_export(plan: SearchPlan, path: Path) -> None:
    """Raise `UserError` where no suite can be written: for its name, or for a `--set` that no file
    can express."""
    if path.suffix not in SUFFIXES or not re.fullmatch(NAME, path.stem):
        raise UserError(
            f"--export {path}: must be a file NAME.yaml, the name of letters, digits, `_` and `-`"
        )
    _check_same_runs(plan, {study.name: study.corners()[0] for study in plan.studies}, path)


def tuned_suite(plan: SearchPlan, winners: Winners, path: Path) -> str:
    """Return the YAML for `path`, which names the suite; paths are relative to its folder."""
    before = plan.expansion
    suite = {
        k: v for k, v in before.document.data.items() if k not in ("search", "seeds", "report")
    }
    suite |= _with_settings(plan)
    tuned = [clause.model_dump() for clause in plan.tuned_suite(winners).tuned]
    suite |= {"name": path.stem, "title": f"{plan.title}: winners"}
    suite |= {"tuned": tuned, "tuned_by": plan.name, "seeds": list(plan.seeds)}
    won = {study.label for study in plan.studies if study.name in winners}
    unwon = [dict(study.arm) for study in plan.arms if study.label not in won]
    if unwon:
        suite["exclude"] = [*before.suite.exclude, *unwon]
    if before.suite.references:
        suite["references"] = _moved(before.suite.references, before.folder, path)
    if before.suite.plugins:
        suite["plugins"] = [
            _moved(entry, before.folder, path) if entry.endswith(".py") else entry
            for entry in before.suite.plugins
        ]
    several = f"{plan.options.studies} studies of " * (plan.options.studies > 1)
    budget = f"{several}{plan.trials} trials for each combination, sampler {plan.options.sampler}"
    head = f"# Found by `eibench search` of the suite {plan.name}: {budget}.\n"
    return head + dump(suite, default_flow_style=None, width=120)


def write_tuned_suite(plan: SearchPlan, winners: Winners, path: Path) -> None:
    """Write the suite; raise `UserError` where that fails, or where it would plan other runs."""
    _check_same_runs(plan, winners, path)
    try:
        write_atomic(path, tuned_suite(plan, winners, path).encode())
    except OSError as error:
        raise UserError(f"--export {path}: {error.strerror}") from None


def _with_settings(plan: SearchPlan) -> dict[str, Any]:
    """Return the suite's base, axes and overrides per method under `--set`."""
    before = plan.expansion
    if not before.settings:
        return {}
    draft = LayeredValues(Origin(before.document))
    draft.assign((), before.suite.base, draft.origins[()])
    for setting in before.settings:
        draft.assign(setting.path, setting.value, Origin(before.document, (), str(setting)))
    replaced = {f"{setting.key}." for setting in before.settings}
    per_method = {
        name: {key: value for key, value in values.items() if not within(key, replaced)}
        for name, values in before.suite.per_method.items()
    }
    return {
        "base": draft.values,
        "grid": before.grid,
        "zip": before.zip,
        "per_method": per_method,
    }


def _check_same_runs(plan: SearchPlan, winners: Winners, path: Path) -> None:
    """Raise `UserError` unless the written suite plans the very runs that confirm the winners."""
    expected = [run.run_id for run in plan.confirmation(winners).runs]
    beside = plan.expansion.folder / path.name  # the folder of `path` may not be there yet
    document = parse(tuned_suite(plan, winners, beside), str(beside))
    try:
        written = Expansion(document, validate(SuiteFile, document.data), [])
        found = [run.run_id for run in written.plan(list(plan.seeds)).runs]
    except BadSuite as problem:
        raise _cannot(path, problem.problems[0]) from None
    if found != expected:
        raise _cannot(path, "its runs would differ")


def _cannot(path: Path, reason: str) -> UserError:
    return UserError(
        f"--export {path}: no suite file plans the same runs as this command ({reason}); write"
        " what `--set` changes into the suite that is searched"
    )


def _moved(entry: str, folder: Path, path: Path) -> str:
    """Return a path that is relative to `folder` as one relative to the new suite."""
    return os.path.relpath((folder / entry).resolve(), path.parent.resolve())
