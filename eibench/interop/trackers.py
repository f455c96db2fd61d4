"""Export of results to TensorBoard, Weights & Biases and trackio, offline and any number of times.

Results are exported afterwards, not logged live, so that no worker needs a network. A run has the
same name everywhere, SUITE-RUN, and a second export adds what is new and repeats nothing.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import UserError, error_line, shorten
from eibench.files import read_bytes
from eibench.interop.extras import require
from eibench.interop.tracked import TrackedRun
from eibench.results.paths import member, parse_object, read
from eibench.results.store import OK, to_json, write_atomic

EVENTS = "events.out.tfevents.0.eibench"
"""Name of a run's file for TensorBoard."""
LONGEST = 300
"""Characters of a tracker's error in a message."""
LEDGER = "eibench-exported.json"
"""File that says which epochs of which runs were sent to a tracker."""


def export_tensorboard(runs: Sequence[TrackedRun], out: Path) -> int:
    """Write an event file for each run below `out`; return how many are new or have changed."""
    require("tensorboard", "tensorboard")
    changed = 0
    for run in runs:
        path = member(out, *run.suite.split("/"), run.run_id, EVENTS)
        content = _event_file(run)
        if _content(path, len(content)) != content:
            write_atomic(path, content)
            changed += 1
    return changed


def _content(path: Path, largest: int) -> bytes | None:
    """Return the content of a file; None where there is none, or one of more than `largest`
    bytes."""
    try:
        return read_bytes(path, largest, follow_links=False)
    except (FileNotFoundError, UserError):
        return None


def _event_file(run: TrackedRun) -> bytes:
    """Return the content of an event file; the same for the same run."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in _events(run):
        writer.write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()


def _events(run: TrackedRun) -> Iterator[Any]:
    """Yield the version, the settings, the scalars of each epoch and of the end, and the status."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def scalars(numbers: Mapping[str, float], step: int, time: float) -> Any:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]
        return Event(wall_time=time, step=step, summary=Summary(value=values))

    times = run.times
    begun = times[0] - run.seconds[0] if times else run.ended
    yield Event(wall_time=begun, file_version="brain.Event:2")
    yield Event(wall_time=begun, summary=Summary(value=[_session_start(run, begun)]))
    for step, (numbers, time) in enumerate(zip(run.epochs, times, strict=True), start=1):
        yield scalars(numbers, step, time)
    if run.finished:
        results = {f"result/{key}": value for key, value in run.result.items()}
        yield scalars(results, len(run.epochs), run.ended)
        yield Event(wall_time=run.ended, summary=Summary(value=[_session_end(run)]))


def _session_start(run: TrackedRun, begun: float) -> Any:
    """Return the settings as TensorBoard's page of hyper-parameters reads them."""
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(group_name=run.run_id, start_time_secs=begun)
    for key, value in run.settings.items():
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, str):
            info.hparams[key].string_value = value
        else:
            info.hparams[key].number_value = value
    return _plugin_value(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def _session_end(run: TrackedRun) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    name = "STATUS_SUCCESS" if run.status == OK else "STATUS_FAILURE"
    info = SessionEndInfo(status=Status.Value(name), end_time_secs=run.ended)
    return _plugin_value(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _plugin_value(tag: str, content: Any) -> Any:
    """Return a value of a summary that holds the data of the plugin `hparams`."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.metadata import PLUGIN_NAME

    data = SummaryMetadata.PluginData(
        plugin_name=PLUGIN_NAME, content=content.SerializeToString(deterministic=True)
    )
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data))


# --- Trackers with wandb's interface -------------------------------------------------------------

ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "wandb": {"mode": "offline", "resume": "allow"},
    "trackio": {"resume": "allow"},
}
"""Arguments of `init`; trackio is local by itself."""
NAMES_RUNS = ("wandb",)
"""Trackers whose runs have an id and a group beside their name."""
FOLDERS = {"wandb": "WANDB_DIR", "trackio": "TRACKIO_DIR"}
"""Environment variables of the folder that each writes to."""


def export_tracker(name: str, runs: Sequence[TrackedRun], out: Path, project: str) -> int:
    """Log runs to the tracker `name`, which has wandb's interface; return how many had news.

    A ledger in `out` remembers what was logged to a project.

    Raises:
        UserError: the tracker is not installed, or the ledger is damaged.
    """
    require(name, name)
    path = member(out, LEDGER)
    ledger = _read_ledger(path)
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(FOLDERS[name], str(out))
    tracker = importlib.import_module(name)
    changed = 0
    for run in runs:
        key = f"{name} {project} {run.suite} {run.run_id}"
        known = ledger.get(key, {"epochs": 0, "status": None})
        now = {"epochs": len(run.epochs), "status": run.status}
        if known != now:
            called = f"{run.suite}-{run.run_id}".replace("/", "-")  # a run may be of two suites
            by_id = {"id": called, "group": run.suite} if name in NAMES_RUNS else {}
            arguments = {"project": project, "name": called, **by_id, **ARGUMENTS[name]}
            try:
                _log(tracker, arguments, run, min(known["epochs"], len(run.epochs)))
            except Exception as error:  # a project's name that it refuses, say
                text = shorten(error_line(error), LONGEST)
                raise UserError(f"{name}, project {project!r}: {text}") from None
            ledger[key] = now
            write_atomic(path, to_json(ledger))
            changed += 1
    return changed


def _log(tracker: Any, arguments: Mapping[str, Any], run: TrackedRun, known: int) -> None:
    """Log the epochs of a run after the first `known`, and its result if it has ended."""
    config = {**run.settings, "suite": run.suite, "status": run.status}
    tracker.init(config=config, **arguments)
    for step, numbers in enumerate(run.epochs[known:], start=known + 1):
        tracker.log(dict(numbers), step=step)
    if run.finished and run.result:
        results = {f"result/{key}": value for key, value in run.result.items()}
        tracker.log(results, step=len(run.epochs))
    tracker.finish()


def _read_ledger(path: Path) -> dict[str, Any]:
    """Return what was exported before."""
    try:
        found = parse_object(read(path))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    for value in found.values():
        epochs = value.get("epochs") if isinstance(value, dict) else None
        if type(epochs) is not int or epochs < 0:
            raise _damaged(path, "an entry has no number of epochs")
    return found


def _damaged(path: Path, reason: str) -> UserError:
    text = "delete it to have all runs logged again"
    return UserError(f"{path}: damaged ({reason}); {text}")
