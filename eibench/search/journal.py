"""Optuna's journal: one file of JSON lines that outlives a kill at any moment.

It is read and written by the one process that holds the results folder.
"""

from __future__ import annotations

from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

NAME = "journal.log"


def open_journal(folder: Path) -> JournalStorage:
    """The storage in `folder`, made anew where there is none; nobody else may work there.

    Removes what a killed process can leave: a line cut off in the middle, onto which the next one
    would be written, and the lock.
    """
    path = folder / NAME
    for stale in folder.glob(f"{NAME}.lock*"):
        stale.unlink(missing_ok=True)
    if path.exists():
        _drop_half_line(path)
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def _drop_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
