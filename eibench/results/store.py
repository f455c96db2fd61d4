"""Where results live, and how they are written so that a crash leaves no half file.

results/<suite>/plan.json                what was asked for, so that missing runs show
results/<suite>/<run id>/spec.yaml       the run's whole spec, defaults included
                        /epochs.jsonl    one line per epoch; none for a probe
                        /record.json     how it ended; a run is finished when this exists
                        /checkpoint.pt   while it runs; removed when it ends well
                        /model.safetensors  the weights, where `train.keep` asks for them
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from eibench.errors import UserError
from eibench.plan.validate import show
from eibench.plan.yaml_source import dump
from eibench.results.checks import check, check_order, check_plan, check_record, damaged
from eibench.results.paths import (
    PLAN,
    SEARCH,
    exists,
    folders,
    member,
    open_regular,
    parse_json,
    parse_object,
    read,
)
from eibench.results.plan_schema import PlanFile, SearchPlanFile
from eibench.results.schema import SCHEMA, EpochLine, RecordFile

OK = "ok"
DIVERGED = "diverged"
OUT_OF_MEMORY = "out_of_memory"
ERROR = "error"
INTERRUPTED = "interrupted"
MISSING = "missing"

RECORD = "record.json"
COST = "cost"
"""The kind of a folder that holds counted networks; ends its name."""

FINAL = (OK, DIVERGED)
"""Statuses that another attempt would only repeat; the others are tried again."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` by renaming a finished temporary file over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; raise `UserError` when `path` cannot be written."""
    try:
        write_atomic(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def to_json(value: Any) -> bytes:
    """`value` as readable JSON; NaN and infinity are refused, they have no JSON."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    def file(self, name: str) -> Path:
        """Return the path of a file of the run; raises `UserError` where it or its folder is a
        link."""
        return member(self.path.parent, self.path.name, name)

    @property
    def checkpoint(self) -> Path:
        """The state between two epochs; exists while the run can go on from it."""
        return self.file("checkpoint.pt")

    @property
    def run_id(self) -> str:
        """The run's identity, which names its folder."""
        return self.path.name

    def record(self) -> dict[str, Any] | None:
        """Return how the run ended, or None while it has not.

        Raises:
            UserError: the record is damaged, of another version, or another run's.
        """
        path = self.file(RECORD)
        record = read_json(path, RecordFile)
        if record is not None:
            check_record(record, self.run_id, path)
        return record

    def final_record(self) -> dict[str, Any] | None:
        """Return the record of a run that another attempt would only repeat; None if an attempt
        is due."""
        record = self.record()
        return record if record is not None and record["status"] in FINAL else None

    def outcome(self) -> dict[str, Any]:
        """Return the record, or a substitute while the run has not ended."""
        record = self.record()
        if record is not None:
            return record
        epochs = len(self.epochs())
        if epochs:
            return {"status": INTERRUPTED, "reason": f"stopped after epoch {epochs}"}
        return {"status": MISSING, "reason": "not run"}

    def epochs(self) -> list[dict[str, Any]]:
        """Return the epoch records so far; a last line cut off by a crash is left out.

        Raises:
            UserError: a line before it is damaged.
        """
        path = self.file("epochs.jsonl")
        found = read_lines(EpochLine, path, "delete the run's folder to have it made again")
        check_order([line["epoch"] for line in found], "epoch", path)
        return found

    def begin(self, spec: dict[str, Any]) -> None:
        """Lay the folder out; removes temporary files that a killed process has left."""
        for stale in self.path.glob(".*.tmp"):
            stale.unlink(missing_ok=True)
        write_atomic(self.file("spec.yaml"), dump(spec).encode())

    def begin_epochs(self, history: list[dict[str, Any]]) -> None:
        """Write epochs.jsonl anew, with the epochs of `history`."""
        write_atomic(self.file("epochs.jsonl"), b"".join(map(_line, history)))

    def append_epoch(self, record: dict[str, Any]) -> None:
        """Add one line to epochs.jsonl."""
        with open_regular(self.file("epochs.jsonl"), "ab") as file:
            file.write(_line(record))

    def follow(self, history: list[dict[str, Any]]) -> None:
        """Bring epochs.jsonl up to `history`, whose last epoch is new; anew where the lines before
        are not as they were written, since the file was cut, replaced or deleted."""
        try:
            found = read(self.file("epochs.jsonl"))
        except FileNotFoundError:
            found = None
        if found == b"".join(map(_line, history[:-1])):
            self.append_epoch(history[-1])
        else:
            self.begin_epochs(history)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the record; drop the checkpoint unless another attempt could go on from it."""
        write_atomic(self.file(RECORD), to_json(record))
        if record["status"] in FINAL:
            self.checkpoint.unlink(missing_ok=True)


def _line(record: dict[str, Any]) -> bytes:
    return f"{json.dumps(record, allow_nan=False)}\n".encode()


def recorded_runs(folder: Path) -> list[RunFolder]:
    """Return the runs in a suite's results `folder` that have a record, sorted."""
    return [RunFolder(p) for p in folders(folder) if exists(p / RECORD)]


def read_lines(cls: type[BaseModel], path: Path, hint: str) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines, without a last line that is not whole.

    Raises:
        UserError: the file cannot be read, or an earlier line is damaged.
    """
    return [value for value, _ in _lines(cls, path, hint)]


def check_lines(cls: type[BaseModel], path: Path, hint: str) -> int:
    """Return the number of bytes in the whole lines of such a file."""
    return max((end for _, end in _lines(cls, path, hint)), default=0)


def _lines(cls: type[BaseModel], path: Path, hint: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each object of a file of JSON lines, and where its line ends."""
    try:
        content = read(path)
    except FileNotFoundError:
        return
    end = 0
    for number, line in enumerate(io.BytesIO(content), start=1):
        end += len(line)
        try:
            value = parse_object(line)
        except ValueError as error:
            if end < len(content):
                raise damaged(path, [f"line {number}: {error}"], hint) from None
            return  # a crash came while it was written
        if not line.endswith(b"\n"):
            return
        yield check(cls, value, path, hint, f"line {number}: "), end


def read_json(path: Path, cls: type[PlanFile] | type[RecordFile]) -> dict[str, Any] | None:
    """Return the object in `path`, which is as `cls` says; None when there is no such file.

    Raises:
        UserError: the file is damaged, or of another version of eibench. We write by renaming, so
            something else touched it.
    """
    try:
        content = parse_json(read(path))
    except FileNotFoundError:
        return None
    except ValueError as error:  # not JSON, or not even text
        raise damaged(path, [str(error)]) from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found is not None and (found != SCHEMA or isinstance(found, bool)):
        raise UserError(f"{path}: has schema {show(found)}, this eibench reads {SCHEMA}")
    return check(cls, content, path)


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan in a suite's results `folder`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = member(folder, PLAN)
    plan = read_json(path, PlanFile)
    if plan is None:
        raise UserError(f"{folder}: no results here; `eibench run SUITE` makes some")
    if kind_of(plan) == SEARCH:
        check(SearchPlanFile, plan, path)
    check_plan(plan, path)
    return plan


def kind_of(plan: Mapping[str, Any]) -> str:
    """`train`, `probe` or `search`; plans written before there were probes do not say."""
    return str(plan.get("kind", "train"))
