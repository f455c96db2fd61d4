"""Names of suites and of what is made of them; each is a folder or file on every system."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
PORTS = (f"{port}{i}" for port in ("com", "lpt") for i in range(10))
FOLDERS = ("search", "evidence")
"""Folders within results that hold trials, and the results of many suites."""
RESERVED = {"con", "prn", "aux", "nul", *PORTS}
"""Names of devices on Windows, in any case and with any suffix."""


def _names_a_folder(name: str) -> str:
    if name.partition(".")[0].lower() in RESERVED or name.endswith("."):
        raise ValueError(f"{name!r} cannot be a folder's name on every system")
    return name


SuiteName = Annotated[
    str, Field(pattern=f"^{NAME}$", max_length=100), AfterValidator(_names_a_folder)
]


def _names_no_plan(name: str) -> str:
    if name.lower().partition(".")[0] == "plan":
        raise ValueError("plan.json is the file of the plan; give the table another name")
    return name


TableName = Annotated[SuiteName, AfterValidator(_names_no_plan)]


def _holds_no_others(name: str) -> str:
    if name in FOLDERS:
        raise ValueError(f"{name!r} is the name of a folder within results; give another one")
    return name


OwnFolder = Annotated[SuiteName, AfterValidator(_holds_no_others)]
"""Name of a suite whose results have a folder to themselves."""
