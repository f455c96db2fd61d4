"""Progress of a suite: a bar on a terminal, a line per run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from eibench.cli.console import make_console, say
from eibench.errors import printable
from eibench.plan.suite import Plan, PlannedRun

if TYPE_CHECKING:
    import torch


class ProgressDisplay:
    """Listener that shows the progress of `total` runs of `suite`."""

    def __init__(self, suite: str, total: int) -> None:
        self.console = make_console()
        self.bars = ProgressBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.total = total
        self.seen = 0
        self.suite = self.bars.add_task(printable(suite), total=total, note="")
        self.running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def skipped(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show a run that had already finished."""
        self._done(run, record, "already finished")

    def started(self, run: PlannedRun) -> None:
        """Show that a run begins or resumes."""
        spec = run.spec
        names = [run.ablation, run.method, spec.model.label, f"seed {spec.seed}"]
        note = printable(", ".join(filter(None, names)))
        self.bars.update(self.suite, note=note)
        if spec.probe is None:
            epochs = spec.train.epochs
            self.running[run.run_id] = self.bars.add_task("  epochs", total=epochs, note=note)

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show the validation accuracy of an epoch."""
        note = f"validation {record['validation_accuracy']:.1f} %"
        self.bars.update(self.running[run.run_id], completed=record["epoch"], note=note)

    def finished(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """Show the outcome of a run."""
        seconds = record["cost"]["seconds"]
        self._done(run, record, f"{seconds:.1f} s" if seconds is not None else "")

    def _done(self, run: PlannedRun, record: dict[str, Any], note: str) -> None:
        self.forget(run)
        outcome = _headline(record["result"]) or record["status"].upper()
        self.line(f"{run.title}  {outcome}  {note}")
        if record["reason"]:
            self._print(f"    {record['reason']}")

    def forget(self, run: PlannedRun) -> None:
        """Remove the bar of a run."""
        if run.run_id in self.running:
            self.bars.remove_task(self.running.pop(run.run_id))

    def line(self, text: str) -> None:
        """Print the line of one more finished run, and advance the bar."""
        self.seen += 1
        self.bars.update(self.suite, completed=self.seen)
        width = len(str(self.total))
        line = f"[{self.seen:>{width}}/{self.total}] {text}"
        self._print(line)

    def _print(self, line: str) -> None:
        self.console.print(printable(line), soft_wrap=True)


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
    device: torch.device,
    fail_fast: bool = False,
    jobs: int = 1,
) -> bool:
    """Run `runs` with progress on the terminal; return whether all are ok."""
    from eibench.execution.run_suite import run_plan

    with ProgressDisplay(plan.name, len(runs)) as progress:
        statuses = run_plan(plan, runs, results, device, progress, fail_fast, jobs)
    failed = sum(status != "ok" for status in statuses)
    left = len(runs) - len(statuses)
    say(
        f"{len(statuses) - failed} of {len(runs)} runs ok"
        + f", {failed} failed" * bool(failed)
        + f", {left} not run" * bool(left)
        + f"; eibench report {results / plan.name}"
    )
    return not failed and not left
