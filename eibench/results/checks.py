"""Checks of what was read from a results folder; a file that cannot be believed is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from eibench.errors import UserError
from eibench.plan.validate import Invalid, validate
from eibench.results.identity import run_id_of

HINT = "delete it to have it made again"
MOST_PROBLEMS = 5
"""Told of one file."""


def check(
    cls: type[BaseModel], content: Any, path: Path, hint: str = HINT, place: str = ""
) -> dict[str, Any]:
    """Return `content`, which was read at a `place` in `path`, if it is a `cls`.

    Raises:
        UserError: every key that is missing, or has a value of a wrong type or out of range.
    """
    if not isinstance(content, Mapping):
        raise damaged(path, [f"{place}must be an object with keys"], hint)
    try:
        validate(cls, content)
    except Invalid as invalid:
        found = [f"{place}{'.'.join(map(str, p.keys))}: {p.text}" for p in invalid.problems]
        raise damaged(path, found, hint) from None
    return dict(content)


def damaged(path: Path, problems: Sequence[str], hint: str = HINT) -> UserError:
    """Return the message for a file that cannot be believed."""
    more = [f"and {len(problems) - MOST_PROBLEMS} more"] * (len(problems) > MOST_PROBLEMS)
    return UserError(f"{path}: damaged ({'; '.join([*problems[:MOST_PROBLEMS], *more])}); {hint}")


def check_plan(plan: Mapping[str, Any], path: Path) -> None:
    """Raise `UserError` where parts of a plan contradict each other."""
    if problems := list(_contradictions(plan)):
        raise damaged(path, problems)


def _contradictions(plan: Mapping[str, Any]) -> Iterator[str]:
    runs = [run["run_id"] for run in plan["runs"]]
    known = set(runs)
    if not runs and plan.get("kind") != "search":
        yield "runs: must not be empty"
    if len(known) < len(runs):
        yield f"runs: {Counter(runs).most_common(1)[0][0]} is listed twice"
    for i, run in enumerate(plan["runs"]):
        made = run_id_of(run["fields"])
        if made not in (None, run["run_id"]):
            yield f"runs.{i}.fields: of another run, {made}, not {run['run_id']}"
    for i, reference in enumerate(plan.get("references", [])):
        yield from _unknown(f"references.{i}.runs", reference["runs"], known)
    for i, study in enumerate(plan.get("studies", [])):
        objectives = plan["search"]["objectives"]
        found = _study_contradictions(study, known, objectives)
        yield from (f"studies.{i}.{text}" for text in found)


def _study_contradictions(
    study: Mapping[str, Any], runs: set[str], objectives: Sequence[str]
) -> Iterator[str]:
    for number, trial in enumerate(study["trials"]):
        if trial["number"] != number:
            yield f"trials.{number}.number: must be {number}, not {trial['number']}"
        yield from _unknown(f"trials.{number}.runs", trial["runs"], runs)
        found = _trial_contradictions(trial["values"], study["space"])
        yield from (f"trials.{number}.values.{text}" for text in found)
        for name in objectives if trial["state"] == "complete" else ():
            if not _is_number(trial["scores"].get(name)):
                yield f"trials.{number}.scores.{name}: must be a number"
    count = len(study["trials"])
    if study["winner"] is not None:
        if study["winner"] >= count:
            yield f"winner: no such trial; there are {count}"
        elif study["trials"][study["winner"]]["state"] != "complete":
            yield f"winner: trial {study['winner']} is not complete"


def _trial_contradictions(
    values: Mapping[str, Any], space: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Problems of the values of a trial: each key has one of its range."""
    for key, known in space.items():
        if key not in values:
            yield f"{key}: is missing"
        elif "choices" in known:
            if values[key] not in known["choices"]:
                yield f"{key}: is none of its choices"
        elif not _is_number(values[key]):
            yield f"{key}: must be a number"
        elif not known["low"] <= values[key] <= known["high"]:
            yield f"{key}: lies outside of its range"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown(key: str, runs: Iterable[str], known: set[str]) -> Iterator[str]:
    for run in runs:
        if run not in known:
            yield f"{key}: {run} is no run of this plan"


def check_record(record: Mapping[str, Any], run_id: str, path: Path) -> None:
    """Raise `UserError` where a record is not that of the run `run_id`."""
    made = run_id_of(record["fields"]) or run_id
    found = {"run_id": record.get("run_id") or run_id, "fields": made}
    problems = [f"{key}: of another run, {f}, not {run_id}" for key, f in found.items()]
    problems = [text for text, f in zip(problems, found.values(), strict=True) if f != run_id]
    if record["status"] == "ok":
        problems += _result_contradictions(record["result"])
    if problems:
        raise damaged(path, problems)
    check_order([layer["layer"] for layer in record.get("layers", [])], "layers", path)


def _result_contradictions(result: Mapping[str, Any]) -> Iterator[str]:
    """Problems of a result: a run that ended well has the number that it was made for."""
    others = ("gradient_decades", "nb_dense")
    if result.get("test_accuracy") is None and not any(name in result for name in others):
        yield "result.test_accuracy: must be a number, as the run is ok"
    best, epochs = result.get("best_epoch"), result.get("epochs")
    if best is not None and epochs is not None and best > epochs:
        yield f"result.best_epoch: must be at most {epochs}, the number of epochs, not {best}"


def check_order(numbers: Sequence[int], key: str, path: Path) -> None:
    """Raise `UserError` unless `numbers` count from 1."""
    if list(numbers) != list(range(1, len(numbers) + 1)):
        raise damaged(path, [f"{key}: must be numbered 1, 2, ..."])
