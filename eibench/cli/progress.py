"""What a person sees while a suite runs: a bar on a terminal, a line per run elsewhere."""

from __future__ import annotations

from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from eibench.cli.console import make_console
from eibench.errors import printable
from eibench.plan.suite import PlannedRun


class Progress:
    """Listens to an execution of `total` runs of `suite` and shows it."""

    def __init__(self, suite: str, total: int) -> None:
        self.console = make_console()
        self.bars = Bars(
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
        """A run that had already finished."""
        self._done(run, record, "already there")

    def started(self, run: PlannedRun) -> None:
        """A run begins or goes on."""
        spec = run.spec
        names = [run.ablation, run.method, spec.model.label, f"seed {spec.seed}"]
        note = printable(", ".join(filter(None, names)))
        self.bars.update(self.suite, note=note)
        if spec.probe is None:
            epochs = spec.train.epochs
            self.running[run.run_id] = self.bars.add_task("  epochs", total=epochs, note=note)

    def epoch(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """An epoch is done."""
        note = f"validation {record['validation_accuracy']:.1f} %"
        self.bars.update(self.running[run.run_id], completed=record["epoch"], note=note)

    def finished(self, run: PlannedRun, record: dict[str, Any]) -> None:
        """A run has its record."""
        seconds = record["cost"]["seconds"]
        self._done(run, record, f"{seconds:.1f} s" if seconds is not None else "")

    def _done(self, run: PlannedRun, record: dict[str, Any], note: str) -> None:
        self.forget(run)
        outcome = _headline(record["result"]) or record["status"].upper()
        self.line(f"{run.title}  {outcome}  {note}")
        if record["reason"]:
            self._print(f"    {record['reason']}")

    def forget(self, run: PlannedRun) -> None:
        """Take the bar of a run away."""
        if run.run_id in self.running:
            self.bars.remove_task(self.running.pop(run.run_id))

    def line(self, text: str) -> None:
        """One more of all is done: a line that says so."""
        self.seen += 1
        self.bars.update(self.suite, completed=self.seen)
        width = len(str(self.total))
        line = f"[{self.seen:>{width}}/{self.total}] {text}"
        self._print(line)

    def _print(self, line: str) -> None:
        self.console.print(printable(line), soft_wrap=True)


def _headline(result: dict[str, Any]) -> str:
    """What a run's line says of its result: test accuracy, or the spread of a probe's gradients."""
    if result.get("test_accuracy") is not None:
        return f"{result['test_accuracy']:5.1f} %"
    if "gradient_decades" not in result:
        return ""
    decades = result["gradient_decades"]
    return "gradient 0" if decades is None else f"gradient over {decades:.1f} decades"
