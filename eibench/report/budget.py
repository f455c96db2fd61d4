"""What a search spent, and whether it spent the same on all that it compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eibench.report.provenance import code
from eibench.report.searches import COMPLETE, FAILED, PRUNED, RUNNING, Study, Trial

DIVERGED = "diverged"
"""Stands beside the states of a trial: it is complete, and its score is that of chance."""
STATES = (COMPLETE, DIVERGED, PRUNED, FAILED, RUNNING)


@dataclass(frozen=True)
class Spent:
    """Trials by their end, and what they cost together."""

    states: Mapping[str, int]
    """Number of trials in each of `STATES`."""
    epochs: int
    seconds: float

    @property
    def finished(self) -> int:
        """Trials that have ended in any way."""
        return sum(self.states.values()) - self.states[RUNNING]

    @property
    def cut_short(self) -> int:
        """Trials that may have had fewer epochs than they would have had."""
        return self.states[DIVERGED] + self.states[PRUNED] + self.states[FAILED]


def state(trial: Trial) -> str:
    """How a trial ended: one of `STATES`."""
    return DIVERGED if trial.diverged else trial.state


def spent(studies: Iterable[Study]) -> Spent:
    """What some studies spent together."""
    trials = [trial for study in studies for trial in study.trials]
    states = [state(trial) for trial in trials]
    return Spent(
        {known: states.count(known) for known in STATES},
        sum(trial.epochs for trial in trials),
        sum(trial.seconds for trial in trials),
    )


def unequal(budgets: Mapping[str, Spent]) -> Iterator[str]:
    """In what the budgets differ, each in words; nothing for fair ones.

    Epochs do so only where no trial was cut short: that is what a pruner is for.
    """
    if len({one.finished for one in budgets.values()}) > 1:
        yield f"finished trials: {grouped({n: one.finished for n, one in budgets.items()})}"
    if unlike_epochs(budgets) and not any(one.cut_short for one in budgets.values()):
        yield f"epochs: {grouped({n: one.epochs for n, one in budgets.items()})}"


def unlike_epochs(budgets: Mapping[str, Spent]) -> bool:
    """Whether the numbers of epochs differ, for whatever reason."""
    return len({one.epochs for one in budgets.values()}) > 1


def grouped(numbers: Mapping[str, int]) -> str:
    """``12 for `a`, `b`; none for `c` ``."""
    names: dict[int, list[str]] = {}
    for name, number in numbers.items():
        names.setdefault(number, []).append(code(name))
    return "; ".join(f"{number or 'none'} for {', '.join(who)}" for number, who in names.items())


def by_name(studies: Sequence[Study]) -> dict[str, Spent]:
    """The budget of each study."""
    return {study.name: spent([study]) for study in studies}
