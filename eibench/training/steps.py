"""Reports within an epoch: how far it is, how fast, and the loss so far.

They change no number. A report waits for the device, so there are at most two a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

INTERVAL = 0.5
"""Least number of seconds between two reports."""


class StepReport(NamedTuple):
    """State of a run within an epoch."""

    epoch: int
    step: int
    """Optimizer steps of the epoch that are done."""
    steps: int
    images_per_second: float
    """Since the report before."""
    loss: float
    """Mean over the epoch so far."""


StepListener = Callable[[StepReport], None]


def ignore_steps(report: StepReport) -> None:
    """Do nothing with a report."""


class StepReporter:
    """Counter of an epoch's steps that reports to a listener.

    Each of `processes` counts its own images.

    An epoch that is shorter than `INTERVAL` has no report, a longer one has its last step reported.
    """

    def __init__(self, listener: StepListener, epoch: int, steps: int, processes: int = 1) -> None:
        self.listener, self.epoch, self.steps = listener, epoch, steps
        self.processes = processes
        self.step = self.images = self.reported = 0
        self.last = time.perf_counter()

    def count(self, images: int, total_loss: Tensor) -> None:
        """Count a step over `images`; `total_loss` is the sum of the epoch's losses over images."""
        self.step += 1
        self.images += images
        waited = time.perf_counter() - self.last
        if waited >= INTERVAL or (self.reported and self.step == self.steps):
            self._report(total_loss.item() / self.images)

    def _report(self, loss: float) -> None:
        now = time.perf_counter()  # again: the device was waited for
        speed = self.processes * (self.images - self.reported) / (now - self.last)
        self.last, self.reported = now, self.images
        self.listener(StepReport(self.epoch, self.step, self.steps, speed, loss))
