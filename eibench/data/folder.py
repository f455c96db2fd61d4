"""Where data sets that must be fetched lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EIBENCH_DATA"
"""The environment variable that names the folder; `--data-dir` sets it for one command."""


def data_folder() -> Path:
    """The folder of fetched data sets: $EIBENCH_DATA, or `eibench/data` in the user's cache."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(os.path.expanduser(named))  # which, unlike Path's, leaves an unknown ~user
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(cache)) / "eibench" / "data"
