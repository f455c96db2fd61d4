"""Optuna's journal of a search, one file of JSON lines, and the fingerprint of each study in it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, create_trial
from pydantic import AfterValidator, Field

from eibench.errors import UserError, describe_error
from eibench.plan.search import SearchPlan, StudyPlan
from eibench.results.checks import check
from eibench.results.paths import JOURNAL, member, open_regular
from eibench.results.schema import (
    DEEPEST,
    Count,
    Number,
    Open,
    Part,
    RunId,
    Seconds,
    Text,
    plain,
)
from eibench.results.store import check_lines, read_lines

HINT = "delete it to have the trials drawn again: those whose runs have ended cost nothing"
FINGERPRINT = "fingerprint"
"""The user attribute of a study that holds it."""
SETTINGS = ("sampler", "sampler_seed", "pruner")
"""Keys of `search` that belong to the fingerprint, beside seeds and settings tried first."""


Nested = Annotated[Any, AfterValidator(functools.partial(plain, left=2 * DEEPEST))]
"""A fingerprint holds choices that are mappings, which are nested themselves."""


class JournalLine(Open):
    """An operation on the studies. Optuna checks what each kind of operation needs."""

    __pydantic_extra__: dict[str, Nested] = Field(init=False)

    op_code: Annotated[int, Field(ge=0, le=10)]
    worker_id: Text


class TrialNotes(Part):
    """The user attributes of an ended trial, and its scores."""

    reason: Text | None
    """The reason why it diverged or failed."""
    loss: Number | None
    seconds: Seconds
    epochs: Count
    runs: list[RunId]
    scores: list[Number]


class _JournalFile(BaseJournalBackend):
    """The file, which one process alone writes: the one that holds the results folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_regular(path, "rb+") as file:
            file.truncate(check_lines(JournalLine, path, HINT))  # cuts off an incomplete last line
            self.state = _state(file.fileno())
        self.logs = read_lines(JournalLine, path, HINT)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with open_regular(self.path, "ab") as file:
            if _state(file.fileno()) != self.state:
                raise UserError(
                    f"{self.path}: was deleted or replaced while the search ran; the same command"
                    " goes on: runs that have ended cost nothing"
                )
            lines = [json.dumps(log, separators=(",", ":")) for log in logs]
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
            self.state = _state(file.fileno())
        self.logs += map(json.loads, lines)


def _state(handle: int) -> tuple[int, int]:
    """Return the number and the size of an open file."""
    found = os.fstat(handle)
    return found.st_ino, found.st_size


def open_journal(folder: Path) -> JournalStorage:
    """Open the journal in `folder`, or make it; no other process may work there.

    Raises:
        UserError: the file cannot be read or written, is a link, or is damaged.
    """
    path = member(folder, JOURNAL)
    try:
        storage = JournalStorage(_JournalFile(path))
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            own = FINGERPRINT in study.user_attrs
            for trial in study.get_trials(deepcopy=False):
                _check_trial(trial, path, own)
    except OSError as error:
        raise UserError(f"{path}: cannot be read and written: {error.strerror}") from None
    except UserError:
        raise
    except Exception as error:  # Optuna replays the lines, and fails in many ways on a wrong one
        raise UserError(f"{path}: damaged ({describe_error(error)}); {HINT}") from None
    return storage


def _check_trial(trial: FrozenTrial, path: Path, own: bool) -> None:
    """Raise an error where a trial is damaged; `own`: it was written by this version."""
    create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
    )
    if own:
        scores = [*(trial.values or []), *trial.intermediate_values.values()]
        notes = {**trial.user_attrs, "scores": scores}
        check(TrialNotes, notes, path, HINT, f"trial {trial.number}: ")
        if not trial.state.is_finished():
            raise ValueError(f"trial {trial.number} has not ended")


# ---------------------------------------------------------------------------- fingerprint


def study_name(search: SearchPlan, study: StudyPlan) -> str:
    """Return the name of a study in the journal."""
    return f"{search.name}: {study.stream}"


def fingerprint(search: SearchPlan, study: StudyPlan) -> dict[str, Any]:
    """Return every setting that decides which trials are drawn and how they score.

    The number of trials is none of them: a search may be prolonged.
    """
    settings = {
        "base": study.base.spec.identity(),
        "search": {
            "space": {key: known.to_dict() for key, known in study.space.items()},
            **{key: getattr(search.options, key) for key in SETTINGS},
            "seeds": study.seeds,
            **({"enqueue": study.enqueued} if study.enqueued else {}),
        },
    }
    return dict(json.loads(json.dumps(settings)))  # as the journal returns it


def refuse_other_trials(search: SearchPlan, storage: JournalStorage, folder: Path) -> None:
    """Raise `UserError` where the journal has trials of other settings, or of an older eibench."""
    for study in search.studies:
        try:
            known = optuna.load_study(study_name=study_name(search, study), storage=storage)
        except KeyError:
            continue
        before, now = known.user_attrs.get(FINGERPRINT), fingerprint(search, study)
        if before == now or not known.get_trials(deepcopy=False):
            continue
        if before is None:
            reason = "by an earlier version of eibench, which drew them by another rule"
        else:
            keys = sorted(set(_changed_keys(before, now)))
            reason = f"before these settings changed: {', '.join(keys)}"
        raise UserError(
            f"{folder}: the trials of {study.name} were made {reason}; give the suite another"
            " name, or delete the folder to search anew"
        )


def _changed_keys(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Yield the dotted keys whose values differ, those of the base without `base`."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping) or "choices" in before:
        if before != now:
            yield key.removeprefix("base.")
        return
    for part in before.keys() | now.keys():
        yield from _changed_keys(before.get(part), now.get(part), f"{key}.{part}".removeprefix("."))
