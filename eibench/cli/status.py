"""`eibench status`: what runs where, has ended, failed or was lost, and how long the rest takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eibench.cli.console import say, write
from eibench.cli.job_status import clock
from eibench.cli.options import ResultsFolders
from eibench.errors import UserError, printable, shorten
from eibench.results.labels import LONGEST_REASON

if TYPE_CHECKING:
    from eibench.execution.suite_state import RunState, SuiteState

MOST_RUNS = 20
"""Runs of one state that are named."""
CLEAR = "\x1b[H\x1b[2J"
INTERRUPTED = 130


class StatusFormat(StrEnum):
    """Output formats."""

    text = "text"
    json = "json"


def status(
    paths: ResultsFolders = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, until all runs have ended.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")
    ] = 5.0,
    form: Annotated[
        StatusFormat, typer.Option("--format", help="How to write it.")
    ] = StatusFormat.text,
) -> None:
    """Show how far the runs of suites are: done, failed, running and where, lost, to do.

    Runs of all commands count, on all machines that write to the results folder. A run is lost if
    the process that computed it has died; the next command goes on with it.
    """
    import sys

    from eibench.execution.suite_state import StateReader, all_ended
    from eibench.results.paths import RESULTS

    reader = StateReader()
    clear = CLEAR if watch and form is StatusFormat.text and sys.stdout.isatty() else ""
    try:
        while True:
            suites = [reader.read(folder) for folder in _folders(paths or [RESULTS])]
            text = (
                _text(suites) if form is StatusFormat.text else _json(suites, None if watch else 2)
            )
            write(f"{clear}{text}\n")
            sys.stdout.flush()
            if not watch or all_ended(suites):
                return
            time.sleep(every)
    except KeyboardInterrupt:
        say("no longer watching; the runs go on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _folders(paths: list[Path]) -> list[Path]:
    """Return the folders of the live suites in `paths`."""
    from eibench.results.paths import live_folders

    found = live_folders(paths)
    if not found:
        names = ", ".join(map(str, paths))
        raise UserError(f"{names}: no live runs here; `eibench run SUITE` makes some")
    return found


def _text(suites: list[SuiteState]) -> str:
    return "\n".join(printable(line) for suite in suites for line in _lines(suite))


def _lines(suite: SuiteState) -> Iterator[str]:
    """Yield the numbers of a suite, then the runs that are worth a line."""
    from eibench.execution.suite_state import STATES

    count, left = suite.count(), suite.seconds_left()
    numbers = [f"{count[state]} {state}" for state in STATES if count[state]]
    planned = f"{len(suite.runs)} {'begun' if suite.kind == 'search' else 'planned'}"
    words = [f"{suite.folder}: {planned}", *numbers]
    if count["running"] + count["lost"] + count["to do"]:
        words += ["time left unknown" if left is None else f"about {clock(left)} left"]
    yield ", ".join(words)
    for state in ("running", "lost", "failed"):
        runs = suite.of(state)
        yield from (f"  {state:<8}{run.run_id}  {_note(run)}" for run in runs[:MOST_RUNS])
        if len(runs) > MOST_RUNS:
            yield f"  {state:<8}and {len(runs) - MOST_RUNS} more; --format json names them all"


def _note(run: RunState) -> str:
    if run.holder is None:
        return shorten(run.reason or "", LONGEST_REASON)
    since = shorten(run.holder.since.removesuffix("+00:00").replace("T", " "), LONGEST_REASON)
    epoch = f", epoch {run.epoch} of {run.epochs}" if run.epochs > 1 else ""
    return f"{run.holder.where}, since {since} UTC{epoch}"


def _json(suites: list[SuiteState], indent: int | None) -> str:
    return json.dumps({"suites": [_suite(suite) for suite in suites]}, indent=indent)


def _suite(suite: SuiteState) -> dict[str, Any]:
    from eibench.execution.suite_state import STATES

    count = suite.count()
    return {
        "folder": str(suite.folder),
        "suite": suite.suite,
        "kind": suite.kind,
        "planned": len(suite.runs),
        **{state.replace(" ", "_"): count[state] for state in STATES},
        "seconds_left": suite.seconds_left(),
        "runs": [_run(run) for run in suite.runs if run.state != "done"],
    }


def _run(run: RunState) -> dict[str, Any]:
    found = {key: getattr(run, key) for key in ("run_id", "state", "epoch", "epochs", "reason")}
    if run.holder is not None:
        found |= {key: getattr(run.holder, key) for key in ("host", "pid", "job", "since")}
    return found
