"""Kept weights of another run, from which training starts."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from eibench.errors import UserError
from eibench.files import MEBIBYTE, check_path, read_bytes
from eibench.plan.options.base import Options
from eibench.plan.validate import show

WEIGHTS = "model.safetensors"
"""Name of the file of weights in a run's folder."""
LARGEST_WEIGHTS = 1024 * MEBIBYTE
"""Maximal size of that file."""
KEEP_THEM = "`eibench run SUITE --keep best` keeps it; delete the folder of a finished run first"


def _digest_form(value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"must be the 64 hexadecimal digits of a SHA-256, not {show(value)}")
    return value


class InitOptions(Options):
    """Weights to start from; their digest is part of a run's identity, their place is not."""

    run: str = Field(min_length=1)
    """Folder of a run with weights, kept or imported; a path from the current folder."""
    readout: Literal["keep", "new"] = "keep"
    """`new`: draw the readout as a new run does, for other classes or another image size."""
    sha256: Annotated[str | None, AfterValidator(_digest_form)] = None
    """Digest of the file; that of the file as it is now, unless given."""

    @model_validator(mode="before")
    @classmethod
    def _with_digest(cls, values: Any) -> Any:
        """Add the digest of the file where there is none."""
        run = values.get("run") if isinstance(values, dict) else None
        if run and isinstance(run, str) and values.get("sha256") is None:
            return {**values, "sha256": digest_of_weights(run)}
        return values

    def identity(self) -> dict[str, Any]:
        """Return the values that determine numbers, other than defaults."""
        return {key: value for key, value in self.changed().items() if key != "run"}


def digest_of_weights(run: str) -> str:
    """Return the SHA-256 of the weights in the folder `run`; raise `ValueError` without any."""
    path = Path(run) / WEIGHTS
    try:
        if check_path(path).is_symlink():
            raise ValueError(f"{path} is a link, and links to weights are not followed")
        found = os.stat(path)
        return _digest(path, found.st_size, found.st_mtime_ns)
    except FileNotFoundError:
        missing = f"no {WEIGHTS} in {run}" if Path(run).is_dir() else f"no folder {run}"
        raise ValueError(f"{missing}; {KEEP_THEM}") from None
    except UserError as error:
        raise ValueError(str(error)) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, changed: int) -> str:
    """Return the digest of a file in one state."""
    return hashlib.sha256(read_bytes(path, LARGEST_WEIGHTS, follow_links=False)).hexdigest()
