"""State of a suite's or search's runs, as text: what runs, how far it is, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eibench.errors import printable, shorten

if TYPE_CHECKING:
    from eibench.execution.remaining import RemainingWork
    from eibench.execution.run_suite import StepReport
    from eibench.plan.suite import PlannedRun

LONGEST_TITLE = 60
VALIDATING = "validating"
SHOWN_JOBS = 4
"""Runs at a time that a line of text names."""


def clock(seconds: float) -> str:
    """Return a duration as 0:42, 12:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Job:
    """A run under way."""

    title: str
    kind: Hashable
    epochs: int
    todo: float
    """Epochs that are left."""
    epoch: int = 0
    """Epochs that are done."""
    part: float = 0.0
    """Part of the next epoch that is done, and the seconds that it took."""
    part_seconds: float = 0.0
    heard: float = field(default_factory=time.monotonic)
    report: StepReport | None = None
    """The last report within the epoch under way."""
    loss: float | None = None
    validation: float | None = None

    def step(self, report: StepReport) -> tuple[float, float]:
        """Note a report; return the epochs, and seconds, since the last news."""
        now, part = time.monotonic(), report.step / report.steps
        epochs, seconds = part - self.part, now - self.heard
        self.epoch, self.part, self.report = report.epoch - 1, part, report
        self.part_seconds, self.heard = self.part_seconds + seconds, now
        self.loss = report.loss
        self.todo -= epochs
        return epochs, seconds

    def end_epoch(self, record: dict[str, Any]) -> tuple[float, float]:
        """Note an epoch's record; return the epochs, and seconds, since the last news."""
        cost = record["cost"]["train_seconds"] + record["cost"]["evaluation_seconds"]
        epochs, seconds = 1 - self.part, max(cost - self.part_seconds, 0.0)
        self.epoch, self.todo = record["epoch"], self.epochs - record["epoch"]
        self.part, self.part_seconds, self.heard = 0.0, 0.0, time.monotonic()
        self.report, self.loss = None, record["train_loss"]
        self.validation = record["validation_accuracy"]
        return epochs, seconds

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return title, epoch, step, images per second, loss and validation accuracy."""
        report = self.report
        step = f"{report.step}/{report.steps}" if report else ""
        return (
            self.title,
            f"{min(self.epoch + 1, self.epochs)}/{self.epochs}" if self.epochs else "",
            VALIDATING if report and report.step == report.steps else step,
            f"{report.images_per_second:,.0f}" if report else "",
            "" if self.loss is None else f"{self.loss:.3f}",
            "" if self.validation is None else f"{self.validation:.1f} %",
        )

    def words(self) -> str:
        """Return the same in a line."""
        title, epoch, step, speed, loss, validation = self.cells()
        step = step if step == VALIDATING else f"step {step}"
        said = {"epoch {}": epoch, step: speed, "{} images/s": speed}
        said |= {"loss {}": loss, "validation {}": validation}
        words = [form.format(value) for form, value in said.items() if value]
        return f"{title}: {', '.join(words)}" if words else title


def title_of(run: PlannedRun) -> str:
    """Return a short name of a run."""
    spec = run.spec
    names = [run.ablation, run.method, spec.model.label, f"seed {spec.seed}"]
    return printable(", ".join(shorten(name, LONGEST_TITLE) for name in names if name))


class Status:
    """Numbers of ended runs, the runs under way, and the time that is left."""

    def __init__(self, name: str, total: int, unit: str = "run", jobs: int = 1) -> None:
        self.name, self.total, self.parallel = printable(name), total, jobs
        self.units = unit + "s" * (total != 1)
        self.began = time.monotonic()
        self.phase: str | None = "importing torch"
        """Work before the first run; None from then on."""
        self.done = 0
        self.jobs: dict[str, Job] = {}
        self.work: RemainingWork | None = None
        self.best: dict[str, float] = {}
        """Best score of each study of a search."""

    def counts(self) -> str:
        """Return the number of ended runs, the time since the start, and the time left."""
        words = [f"{self.done} of {self.total} {self.units}", clock(time.monotonic() - self.began)]
        left = self.work.seconds(self.parallel) if self.work else None
        words += [] if left is None or self.phase else [f"about {clock(left)} left"]
        return ", ".join(words)

    def bests(self) -> str:
        """Return the best score of each study, or an empty text."""
        scores = [f"{name}: {score:.1f} %" for name, score in self.best.items()]
        return f"best so far: {'; '.join(scores)}" if scores else ""

    def line(self) -> str:
        """Return all of it in one line."""
        return f"{self.name}: {'; '.join(self._parts())}"

    def _parts(self) -> Iterator[str]:
        yield self.counts()
        if self.phase:
            yield self.phase
        if self.bests():
            yield self.bests()
        if self.jobs:
            shown = [job.words() for job in self.jobs.values()][:SHOWN_JOBS]
            more = len(self.jobs) - len(shown)
            yield "; ".join([*shown, *([f"and {more} more"] if more else [])])
