"""Progress of a suite: a live picture on a terminal, lines of text elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from eibench.cli.console import make_console, say
from eibench.cli.job_status import Job, Status, title_of
from eibench.cli.report import print_results
from eibench.errors import printable, shorten, shorten_list

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from rich.console import RenderableType

    from eibench.execution.engine import Engine
    from eibench.execution.holder import Holder
    from eibench.execution.remaining import RemainingWork
    from eibench.execution.run_suite import StepReport
    from eibench.plan.suite import Plan, PlannedRun

QUIET = 30.0
"""Seconds without a line after which one is printed where there is no terminal."""
REFRESHES = 2
"""Pictures a second on a terminal."""
BAR = 24
"""Characters of the bar."""
GAP = 2
"""Characters between columns."""
LEAST_TITLE = 12
"""Characters of a run's title on a terminal that is too narrow."""
HEADS = ("run", "epoch", "step", "images/s", "loss", "validation")


class ProgressDisplay:
    """Listener that shows runs, or trials, as they go on; it is called from several threads."""

    def __init__(self, name: str, total: int, unit: str = "run", jobs: int = 1) -> None:
        self.status = Status(name, total, unit, jobs)
        self.console = make_console()
        self.lock = threading.RLock()
        self.printed = time.monotonic()
        self.closed = threading.Event()
        self.reminder = threading.Thread(target=self._remind, daemon=True)
        self.live = self._live() if self.console.is_terminal else None

    def __enter__(self) -> Self:
        if self.live:
            self.live.start(refresh=True)
        else:
            status = self.status
            self._print(f"{status.name}: {status.total} {status.units}; {status.phase}")
            self.reminder.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        if self.live:
            self.live.stop()
        else:
            self.reminder.join()

    # ------------------------------------------------------------------- what listeners hear

    def preparing(self, text: str) -> None:
        """Show what is done before the first run."""
        with self.lock:
            self.status.phase = printable(text)

    def expect(self, work: RemainingWork) -> None:
        """Tell the time that is left from `work`."""
        with self.lock:
            self.status.work = work

    def skipped(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show a run that had already finished."""
        self._done(run, record, "already finished")

    def started(self, run: PlannedRun) -> None:
        """Show that a run begins or resumes."""
        from eibench.execution.estimate import kind_of_run

        self._start(run, kind_of_run(run.spec))

    def _start(self, run: PlannedRun, kind: Hashable) -> None:
        epochs = 0 if run.spec.probe else run.spec.train.epochs
        with self.lock:
            self.status.phase = None
            self.status.jobs[run.run_id] = Job(title_of(run), kind, epochs, todo=epochs or 1)

    def step(self, run: PlannedRun, report: StepReport) -> None:
        """Show how far a run is within an epoch."""
        with self.lock:
            job = self.status.jobs[run.run_id]
            self._advance(job, *job.step(report))

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show the loss and the validation accuracy of an epoch."""
        with self.lock:
            job = self.status.jobs[run.run_id]
            self._advance(job, *job.end_epoch(record))

    def _advance(self, job: Job, epochs: float, seconds: float) -> None:
        if self.status.work:
            self.status.work.advance(job.kind, epochs, seconds)

    def finished(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show the outcome of a run."""
        seconds = record["cost"]["seconds"]
        self._done(run, record, f"{seconds:.1f} s" if seconds is not None else "")

    def elsewhere(self, holders: Sequence[Holder]) -> None:
        """Show how many runs other commands compute, and where."""
        count = Counter(holder.where for holder in holders)
        words = shorten_list(f"{number} on {where}" for where, number in count.items())
        self._print(f"other commands compute {len(holders)} of these runs: {words}")

    def _done(self, run: PlannedRun, record: dict[str, Any], note: str) -> None:
        job, seconds = self.forget(run), record["cost"]["seconds"]
        if job and run.spec.probe and seconds is not None:
            self._advance(job, 1, seconds)
        elif job and self.status.work:
            self.status.work.drop(job.kind, job.todo)
        outcome = _headline(record["result"]) or record["status"].upper()
        self.line(f"{run.title}  {outcome}  {note}")
        if record["reason"]:
            self._print(f"    {record['reason']}")

    def forget(self, run: PlannedRun) -> Job | None:
        """Return the job of a run, which is shown no more; None if it never began."""
        with self.lock:
            return self.status.jobs.pop(run.run_id, None)

    # ---------------------------------------------------------------------------- printing

    def line(self, text: str) -> None:
        """Print the line of one more that has ended."""
        with self.lock:
            self.status.done += 1
            done, total = self.status.done, self.status.total
        self._print(f"[{done:>{len(str(total))}}/{total}] {text}")

    def _print(self, line: str) -> None:
        self.printed = time.monotonic()
        self.console.print(printable(line), soft_wrap=True)

    def _remind(self) -> None:
        """Print the state whenever nothing was printed for a while."""
        while not self.closed.wait(max(0.0, self.printed + QUIET - time.monotonic())):
            if time.monotonic() >= self.printed + QUIET:
                with self.lock:
                    line = self.status.line()
                self._print(line)

    def _live(self) -> Any:
        from rich.live import Live

        return Live(
            get_renderable=self._picture,
            console=self.console,
            refresh_per_second=REFRESHES,
            transient=True,
        )

    def _picture(self) -> RenderableType:
        """Return the state as a picture: a bar with numbers, and a row for each run under way."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self.lock:
            status, rows = self.status, [job.cells() for job in self.status.jobs.values()]
            head = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(status.total, 1), completed=status.done, width=BAR)
            head.add_row(Text(status.name), bar, Text(status.counts(), no_wrap=True))
            lines = [Text(f"  {line}", no_wrap=True, overflow="ellipsis")
                     for line in (status.phase, status.bests()) if line]  # fmt: skip
        return Group(head, *lines, *([self._table(rows)] if rows else []))

    def _table(self, rows: Sequence[tuple[str, ...]]) -> RenderableType:
        """Return a row for each run under way; titles have the room that numbers leave."""
        from rich.table import Table
        from rich.text import Text

        numbers = zip(HEADS[1:], *(cells[1:] for cells in rows), strict=True)
        room = self.console.width - sum(max(map(len, column)) + GAP for column in numbers)
        table = Table(*HEADS, box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        for column in table.columns[1:]:
            column.no_wrap, column.justify = True, "right"
        for title, *cells in rows:
            table.add_row(Text(shorten(title, max(room, LEAST_TITLE)), no_wrap=True), *cells)
        return table


def _headline(result: dict[str, Any]) -> str:
    """Return the test accuracy of a result, or the spread of a probe's gradients."""
    if result.get("test_accuracy") is not None:
        return f"{result['test_accuracy']:5.1f} %"
    if "gradient_decades" not in result:
        return ""
    decades = result["gradient_decades"]
    return "gradient 0" if decades is None else f"gradient over {decades:.1f} decades"


def run_with_progress(
    plan: Plan,
    runs: tuple[PlannedRun, ...],
    results: Path,
    open_engine: Callable[[], Engine],
    fail_fast: bool = False,
) -> bool:
    """Run `runs` with progress on the terminal, then print the table; return whether all are ok."""
    with ProgressDisplay(plan.name, len(runs)) as progress:
        from eibench.execution.remaining import work_of
        from eibench.execution.run_suite import run_plan

        engine = open_engine()
        progress.status.parallel = engine.jobs
        progress.expect(work_of(plan, runs, results, engine.device, engine.jobs))
        statuses = run_plan(plan, runs, results, engine, progress, fail_fast)
    failed = sum(status != "ok" for status in statuses)
    left = len(runs) - len(statuses)
    say(
        f"{len(statuses) - failed} of {len(runs)} runs ok"
        + f", {failed} failed" * bool(failed)
        + f", {left} not run" * bool(left)
        + f"; eibench report {results / plan.name}"
    )
    print_results(results / plan.name)
    return not failed and not left
