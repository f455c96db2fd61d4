"""Frames that took minutes to compute, kept in `data_folder() / "cache"`; safe to delete.

A file's name holds a hash of all that its content depends on, so one that is out of date is never
found again; one that is damaged is computed anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from eibench.data.folder import data_folder

VERSION = 1
"""To be raised when events become other frames than before."""


def cached(name: str, depends_on: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `compute` gives, from the file of an earlier call where there is one.

    `depends_on` is a value of plain numbers, text and tuples. A folder that cannot be written to
    costs the time of computing again, nothing else.
    """
    digest = hashlib.sha256(repr((VERSION, depends_on)).encode()).hexdigest()[:16]
    path = data_folder() / "cache" / f"{name}-{digest}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
    array = compute()
    with contextlib.suppress(OSError):
        _write(path, array)
    return array


def _write(path: Path, array: np.ndarray) -> None:
    """By rename, so that no other process ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
