"""What a search spent, and whether it spent the same on all that it compares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eibench.report.model.labels import counted
from eibench.report.model.provenance import code
from eibench.report.model.search_results import COMPLETE, FAILED, PRUNED, RUNNING, Study, Trial

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

    Epochs count only where no trial was cut short: that is what a pruner is for.
    """
    finished = {name: one.finished for name, one in budgets.items()}
    epochs = {name: one.epochs for name, one in budgets.items()}
    if len(set(finished.values())) > 1 or not all(finished.values()):
        yield grouped(finished, "finished trial")
    if len(set(epochs.values())) > 1 and not any(one.cut_short for one in budgets.values()):
        yield grouped(epochs, "epoch")


def grouped(numbers: Mapping[str, int], noun: str) -> str:
    """``12 trials for `a`, `b`; 10 for `c` ``."""
    names: dict[int, list[str]] = {}
    for name, number in numbers.items():
        names.setdefault(number, []).append(code(name))
    first, *others = (f"for {', '.join(who)}" for who in names.values())
    start, *rest = names
    more = (f"; {number} {who}" for number, who in zip(rest, others, strict=True))
    return f"{counted(start, noun)} {first}{''.join(more)}"


def span(epochs: Collection[int]) -> str:
    """`30 epochs`, or `20 to 30 epochs`."""
    low, high = min(epochs), max(epochs)
    return counted(high, "epoch") if low == high else f"{low} to {high} epochs"


def by_name(studies: Sequence[Study]) -> dict[str, Spent]:
    """The budget of each study."""
    return {study.name: spent([study]) for study in studies}
