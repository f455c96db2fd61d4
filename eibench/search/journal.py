"""Optuna's journal: one file of JSON lines that outlives a kill at any moment.

It is read and written by the one process that holds the results folder, so no lock is needed: a
stale one would be waited for, without end.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any, Literal

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import Field

from eibench.errors import UserError, described
from eibench.results.paths import member, open_regular
from eibench.results.schema import Count, Number, Open, Text
from eibench.results.store import check_lines

NAME = "journal.log"
HINT = "delete it to have the trials drawn again: those whose runs have ended cost nothing"


class JournalLine(Open):
    """An operation on the studies; what each kind of operation needs, Optuna checks."""

    op_code: Annotated[int, Field(ge=0, le=10)]
    worker_id: Text
    study_id: Count = 0
    study_name: Text = ""
    directions: Annotated[list[Literal[1, 2]], Field(default_factory=list)]
    trial_id: Count = 0
    state: Annotated[int, Field(ge=0, le=4)] = 0
    values: list[Number] | None = None
    step: Count = 0
    intermediate_value: Number = 0.0
    param_name: Text = ""
    param_value_internal: Number = 0.0
    distribution: Text = ""


class _NoLock(JournalFileOpenLock):
    """The lock of a file that nobody else writes."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return


class _Journal(JournalFileBackend):
    """The file, which is not written on where it was replaced or deleted meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _NoLock(str(path)))
        self.path = path
        self.file = self._state()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        self._check()
        return super().read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._check()
        super().append_logs(logs)
        self.file = self._state()

    def _check(self) -> None:
        if self._state() != self.file:
            raise UserError(
                f"{self.path}: was deleted or replaced while the search ran; the same command goes"
                " on: runs that have ended cost nothing"
            )

    def _state(self) -> tuple[int, int] | None:
        """Which file it is, and its size; None where there is none."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return None
        return found.st_ino, found.st_size


def open_journal(folder: Path) -> JournalStorage:
    """Return the storage in `folder`, made anew where there is none; nobody else may work there.

    Removes what a killed process can leave: a line cut off in the middle, onto which the next one
    would be written.

    Raises:
        UserError: the file cannot be read or written, is a link, or is damaged.
    """
    path = member(folder, NAME)
    try:
        with open_regular(path, "rb+") as file:
            file.truncate(check_lines(JournalLine, path, HINT))
        storage = JournalStorage(_Journal(path))
        _check_trials(storage)
    except OSError as error:
        raise UserError(f"{path}: cannot be read and written: {error.strerror}") from None
    except UserError:
        raise
    except Exception as error:  # Optuna replays the lines, and trips over a wrong one in many ways
        raise UserError(f"{path}: damaged ({described(error)}); {HINT}") from None
    return storage


def _check_trials(storage: JournalStorage) -> None:
    """Raise any error where a trial has values that it cannot have."""
    for study in storage.get_all_studies():
        for trial in storage.get_all_trials(study._study_id, deepcopy=False):
            _check_trial(trial, len(study.directions))


def _check_trial(trial: FrozenTrial, objectives: int) -> None:
    if trial.state == TrialState.COMPLETE and len(trial.values or []) != objectives:
        raise ValueError(f"trial {trial.number} has not {objectives} values")
    if not isinstance(trial.user_attrs.get("reason", ""), str):
        raise ValueError(f"the reason of trial {trial.number} is no text")
    create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
