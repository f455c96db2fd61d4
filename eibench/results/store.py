"""Where results live, and how they are written so that a crash leaves no half file.

results/<suite>/plan.json                what was asked for, so that missing runs show
results/<suite>/<run id>/spec.yaml       the run's whole spec, defaults included
                        /epochs.jsonl    one line per epoch; none for a probe
                        /record.json     how it ended; a run is finished when this exists
                        /checkpoint.pt   while it runs; removed when it ends well
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eibench.errors import UserError

SCHEMA = 1

OK = "ok"
DIVERGED = "diverged"
OUT_OF_MEMORY = "out_of_memory"
ERROR = "error"
INTERRUPTED = "interrupted"
MISSING = "missing"

SEARCH = "search"
"""The kind of a folder that holds a search's trials, and its name within the suite's results."""

FINAL = (OK, DIVERGED)
"""Statuses that another attempt would only repeat; the others are tried again."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` by renaming a finished temporary file over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def to_json(value: Any) -> bytes:
    """`value` as readable JSON; NaN and infinity are refused, they have no JSON."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The state between two epochs; exists while the run can go on from it."""
        return self.path / "checkpoint.pt"

    @property
    def run_id(self) -> str:
        """The run's identity, which names its folder."""
        return self.path.name

    def record(self) -> dict[str, Any] | None:
        """How the run ended, or None while it has not; raises `UserError` when it is damaged."""
        return read_json(self.path / "record.json", ("status", "fields", "result", "cost"))

    def final_record(self) -> dict[str, Any] | None:
        """The record of a run that another attempt would only repeat; None while one is due."""
        record = self.record()
        return record if record is not None and record["status"] in FINAL else None

    def outcome(self) -> dict[str, Any]:
        """The record, or what stands in for it while the run has not ended."""
        record = self.record()
        if record is not None:
            return record
        epochs = len(self.epochs())
        if epochs:
            return {"status": INTERRUPTED, "reason": f"stopped after epoch {epochs}"}
        return {"status": MISSING, "reason": "not run"}

    def epochs(self) -> list[dict[str, Any]]:
        """The epoch records so far; a line cut off by a crash is left out."""
        try:
            text = (self.path / "epochs.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return list(_whole_lines(text.splitlines()))

    def begin(self, spec: dict[str, Any]) -> None:
        """Lay the folder out."""
        text = yaml.safe_dump(spec, sort_keys=False)
        write_atomic(self.path / "spec.yaml", text.encode())

    def begin_epochs(self, history: list[dict[str, Any]]) -> None:
        """Start epochs.jsonl with the epochs that a checkpoint already holds."""
        lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in history)
        write_atomic(self.path / "epochs.jsonl", lines.encode())

    def append_epoch(self, record: dict[str, Any]) -> None:
        """Add one line to epochs.jsonl."""
        with (self.path / "epochs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def finish(self, record: dict[str, Any]) -> None:
        """Write the record; drop the checkpoint unless another attempt could go on from it."""
        write_atomic(self.path / "record.json", to_json(record))
        if record["status"] in FINAL:
            self.checkpoint.unlink(missing_ok=True)


def _whole_lines(lines: list[str]) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file up to the first line that is not whole."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def read_json(path: Path, keys: Iterable[str]) -> dict[str, Any] | None:
    """The object with `keys` in `path`; None when there is no such file.

    Raises:
        UserError: the file is damaged, or of another version of eibench. We write by renaming, so
            something else touched it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # not JSON, or not even text
        raise UserError(f"{path}: damaged ({error}); delete it to have it made again") from None
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise UserError(f"{path}: damaged (keys are missing); delete it to have it made again")
    if content.get("schema") != SCHEMA:
        found = content.get("schema")
        raise UserError(f"{path}: has schema {found!r}, this eibench reads {SCHEMA}")
    return content


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan in a suite's results `folder`; raises `UserError` where there is none."""
    plan = read_json(folder / "plan.json", ("suite", "title", "axes", "tuned_by", "same", "runs"))
    if plan is None:
        raise UserError(f"{folder}: no results here; `eibench run SUITE` makes some")
    return plan


def kind_of(plan: dict[str, Any]) -> str:
    """`train`, `probe` or `search`; plans written before there were probes do not say."""
    return str(plan.get("kind", "train"))


def suite_folders(path: Path) -> Iterator[Path]:
    """The folders at or below `path` that hold a suite's plan, sorted."""
    yield from sorted(found.parent for found in path.rglob("plan.json"))
