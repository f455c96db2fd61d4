"""Optuna's journal: one file of JSON lines that outlives a kill at any moment.

It is read and written by the one process that holds the results folder.
"""

from __future__ import annotations

from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from eibench.errors import UserError

NAME = "journal.log"


def open_journal(folder: Path) -> JournalStorage:
    """The storage in `folder`, made anew where there is none; nobody else may work there.

    Removes what a killed process can leave: a line cut off in the middle, onto which the next one
    would be written, and the lock.

    Raises:
        UserError: the file cannot be read or written, or is damaged.
    """
    path = folder / NAME
    try:
        for stale in folder.glob(f"{NAME}.lock*"):
            stale.unlink(missing_ok=True)
        if path.exists():
            _drop_half_line(path)
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except OSError as error:
        raise UserError(f"{path}: cannot be read and written: {error.strerror}") from None
    except Exception as error:  # Optuna replays the lines, and trips over a wrong one in many ways
        raise UserError(
            f"{path}: damaged ({type(error).__name__}: {error}); delete it to have the trials drawn"
            " again: those whose runs have ended cost nothing"
        ) from None


def _drop_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
