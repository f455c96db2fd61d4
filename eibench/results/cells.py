"""A planned run and what became of it, and the cell of a table: runs that differ in their seed."""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eibench.plan.options.divided import BY_SEED, divided_splits
from eibench.results.metrics import Metric
from eibench.results.store import DIVERGED, INTERRUPTED, MISSING, OK

SCORE_DIGITS = 9
"""Digits behind the point in which scores are equal: a sum depends on its order."""
GUESSES = 0.999
"""Share of guessers that a run must beat to count as one that trains."""
DIGITS = 12
"""Significant digits of a number; those beyond are rounding errors, which are no spread."""
MOST_IMAGES = 2**31
"""Larger test sets, which only a damaged record has, count as this large."""
SPLITS = ".splits"
"""End of the field that says how a data set is divided."""
ASKED = "asked_images"
"""The result of a count: the number of images that was asked for."""
DIGEST = "data_digest"
"""The result that tells images apart."""
UNMEASURED = "not_measured"
"""Stands beside the statuses: the run is ok, but this metric does not exist for it."""
Value = str | float | bool | None
"""A field's value; None where the run has no such field."""


@dataclass(frozen=True)
class Run:
    """A planned run: its fields, how it ended, its numbers, and what computed it."""

    run_id: str
    fields: Mapping[str, Any]
    status: str
    reason: str
    result: Mapping[str, Any]
    environment: Mapping[str, Any]
    """Empty while the run has no record."""
    layers: Sequence[Mapping[str, Any]] = ()
    """A probe's layers in forward order."""

    @property
    def seed(self) -> int:
        """The seed, over which a cell's mean is taken."""
        return int(self.fields["seed"])

    @property
    def failed(self) -> bool:
        """True if it ended without a result; a run that has not ended did not fail."""
        return self.status not in (OK, MISSING, INTERRUPTED)

    @property
    def by_seed(self) -> bool:
        """True if the splits that are not official ones are drawn from the seed."""
        return bool(self._drawn())

    @property
    def redraws_test(self) -> bool:
        """True if the test images are drawn from the seed too."""
        return any("test" in divided_splits(name) for name in self._drawn())

    def _drawn(self) -> list[str]:
        """Return the names of data sets whose splits are drawn from the seed."""
        keys = [k for k, v in self.fields.items() if k.endswith(SPLITS) and v == BY_SEED]
        return [str(self.fields.get(key.removesuffix(SPLITS))) for key in keys]

    @property
    def trains(self) -> bool | None:
        """True if more test images are right than `GUESSES` of all guesses reach; False for runs
        that diverged, None where no record tells, as of a run that broke off."""
        if self.status == DIVERGED:
            return False
        images, classes = self.result.get("test_images"), self.result.get("classes")
        accuracy = self.number("test_accuracy")
        if accuracy is None or not images or not classes:
            return None
        return accuracy > most_guessed(int(images), int(classes))

    def number(self, metric: str) -> float | None:
        """Return the metric; None for runs that are not ok, and where it was not measured."""
        number = self.result.get(metric) if self.status == OK else None
        return None if number is None else float(number)

    def value(self, field: str) -> Value:
        """Return the field's value in a form that can be a key."""
        value = self.fields.get(field)
        return value if isinstance(value, str | int | float | None) else str(value)

    def values(self, fields: Iterable[str]) -> tuple[Value, ...]:
        """Return the values of several fields."""
        return tuple(self.value(field) for field in fields)


@dataclass(frozen=True)
class Aggregate:
    """The runs of one cell, which differ in nothing but their seed."""

    values: Mapping[int, float]
    """The metric by seed, of the runs that have it."""
    absent: Mapping[str, int]
    """Number of the other runs, by status."""
    best: bool = False
    trained: frozenset[int] | None = None
    """Seeds whose run trains; None where that is not known of every run."""

    @property
    def n(self) -> int:
        """Runs behind the mean."""
        return len(self.values)

    @property
    def planned(self) -> int:
        """Runs of the cell, with and without a number."""
        return self.n + sum(self.absent.values())

    @property
    def untrained(self) -> int:
        """Runs that do not train; 0 where that is not known of every run."""
        return 0 if self.trained is None else self.planned - len(self.trained)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without numbers."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for n < 2."""
        return statistics.stdev(self.values.values()) if self.n > 1 else None

    @property
    def missing(self) -> int:
        """Runs that have not ended."""
        return self.absent.get(MISSING, 0) + self.absent.get(INTERRUPTED, 0)

    @property
    def unmeasured(self) -> int:
        """Runs that ended well and lack this metric."""
        return self.absent.get(UNMEASURED, 0)

    @property
    def failed(self) -> int:
        """Runs that ended without a result."""
        return sum(self.absent.values()) - self.missing - self.unmeasured

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers as plain values."""
        numbers = {"mean": self.mean, "std": self.deviation, "n": self.n}
        trained = None if self.trained is None else len(self.trained)
        counts = {"failed": self.failed, "missing": self.missing, "trained": trained}
        return {**numbers, **counts}

    def number(self, metric: Metric) -> str:
        """Return `97.2 ± 0.3`, or without the spread where there is none."""
        assert self.mean is not None
        spread = "" if self.deviation is None else f" ± {metric.show(self.deviation)}"
        return metric.show(self.mean) + spread

    def remark(self, metric: Metric, planned: int) -> str:
        """Return `(n=2, 1 diverged)` where fewer than `planned` runs have the number, and
        `(3 of 5 train: 97.9)` where some do not train."""
        absent = [f"{count} {_absence(s, metric)}" for s, count in self.absent.items()]
        parts = [] if self.n == planned else [f"n={self.n}", *absent]
        if metric.unit == "%" and self.trained is not None and self.untrained:
            share = f"{len(self.trained)} of {self.planned} train"
            parts.append(f"{share}{self._of_trained(metric)}")
        return f"({', '.join(parts)})" if parts else ""

    def mark(self, metric: Metric, planned: int) -> str:
        """Return the remark as a sign: `n=2`, and `3/5` where three of five runs train."""
        parts = [] if self.n == planned else [f"n={self.n}"]
        if metric.unit == "%" and self.untrained:
            parts.append(f"{self.planned - self.untrained}/{self.planned}")
        return ", ".join(parts)

    def _of_trained(self, metric: Metric) -> str:
        """Return the mean of the seeds that train, where it says more than the mean of all."""
        values = [self.values[seed] for seed in self.trained or () if seed in self.values]
        more = 0 < len(values) < self.n
        return f": {metric.show(statistics.fmean(values))}" if more else ""

    def reasons(self, metric: Metric) -> str:
        """Return `diverged (2), missing (1)`, in place of a number."""
        return ", ".join(f"{_absence(s, metric)} ({count})" for s, count in self.absent.items())


def _absence(status: str, metric: Metric) -> str:
    return metric.unmeasured if status == UNMEASURED else status.replace("_", " ")


def aggregate(runs: Iterable[Run], metric: Metric) -> Aggregate:
    """Return the metric of runs that differ in their seed alone, without what rounding added."""
    values: dict[int, float] = {}
    absent: Counter[str] = Counter()
    runs = [*runs]
    for run in runs:
        number = run.number(metric.name)
        if number is None:
            absent[UNMEASURED if run.status == OK else run.status] += 1
        else:
            values[run.seed] = float(f"{number:.{DIGITS}g}")
    ends = {run.seed: run.trains for run in runs}
    known = all(end is not None for end in ends.values())
    trained = frozenset(seed for seed, end in ends.items() if end) if known else None
    return Aggregate(values, absent, trained=trained)


def unlike_images(runs: Iterable[Run]) -> bool:
    """Return whether runs of one data set had unlike images, by their digests.

    Splits that are drawn by seed are compared among runs of one seed.
    """
    digests: dict[str, set[str]] = {}
    for run in runs:
        if DIGEST in run.result:
            parts = ("data", "timesteps")  # recordings are binned into T frames
            fields = {k: v for k, v in run.fields.items() if k.partition(".")[0] in parts}
            key = repr((fields, run.seed if run.by_seed else None))
            digests.setdefault(key, set()).add(run.result[DIGEST])
    return any(len(found) > 1 for found in digests.values())


def count_words(run: Run) -> tuple[str, str]:
    """Return how a cost was counted: of which network, and on how many images, as asked for.

    Only a trained network has a test accuracy.
    """
    trained = run.result.get("test_accuracy") is not None
    return "trained" if trained else "before training", f"{run.result.get(ASKED)} images"


@functools.cache
def most_guessed(images: int, classes: int) -> float:
    """Return the accuracy in percent that `GUESSES` of all guessers stay at or below."""
    from scipy.stats import binom  # takes a while to load

    images = min(images, MOST_IMAGES)
    return 100 * float(binom.ppf(GUESSES, images, 1 / classes)) / images
