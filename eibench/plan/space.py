"""The `search` section of a suite: what is searched, how, and with what budget.

search:
  space:                              for every method
    train.lr: {low: 0.01, high: 1, log: true}
  tune:                               each method's own, by name or label, beside the common one;
    ei: {method.kappa: {choices: [0, 0.5, 1]}}          null takes a key out
  trials: 30                          for each combination of the suite's axes
  sampler: tpe                        or grid: all points, in order
  sampler_seed: 0
  pruner: none                        or median: stops trials that are worse than half of the others
  seeds: [1000]                       of the trials; the suite's `seeds` are the fresh ones
  studies: 1                          searches of each combination, each with seeds of its own
  enqueue: [{train.lr: 0.1}]          settings that every method tries first, after the base's own
  confirm: 10                         number of fresh seeds, in place of the suite's `seeds`
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeGuard

from pydantic import Field, WrapValidator, model_validator

from eibench.limits import LARGEST, LARGEST_SEED
from eibench.plan.options import Options
from eibench.plan.options.base import Count
from eibench.plan.validate import repeats, show


def _as_written(value: Any, check: Callable[[Any], float]) -> Any:
    check(value)
    return value


Number = Annotated[float, WrapValidator(_as_written)]
"""A number as it is written: 1 stays whole."""
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


DIGITS = 3
"""Significant digits of a number from a range: more than a search can tell apart."""
EDGE = 0.02
"""Share of a range, on its scale, that counts as its edge."""
DEFAULT_TRIALS = 30
MOST_KEYS = 100
"""Keys that are searched, and methods with keys of their own."""
MOST_SEEDS = 1000
"""Runs of a trial."""
MOST_REPEATS = 100
"""Studies of one combination of the suite's axes."""
MOST_ENQUEUED = 100
MOST_CHOICES = 1000
MOST_POINTS = 100_000
"""Values of a range with a step, or of whole numbers."""


class SearchParameter(Options):
    """A range of numbers, or a list of choices, that is searched for one key."""

    choices: list[Any] | None = Field(None, min_length=1, max_length=MOST_CHOICES)
    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_of_two_kinds(self) -> Self:
        ends = (self.low, self.high)
        if self.choices is not None:
            if ends != (None, None) or self.log or self.step is not None:
                raise ValueError("has choices, and so no low, high, log or step")
            if len(self.choices) == 1:
                raise ValueError("has one choice alone, which leaves nothing to search")
            for _, repeated in repeats(self.choices):
                raise ValueError(f"{show(repeated)} is listed twice in choices")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs `low` and `high`, or `choices`")
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 on a log scale, not {self.low}")
        if self.log and self.step is not None:
            raise ValueError("has a step, which a log scale cannot have")
        if not math.isfinite(float(self.high) - float(self.low)):
            raise ValueError(f"{self.low} to {self.high} is wider than a number can be")
        if self.step is not None:
            self._check_step()
        return self

    def _check_step(self) -> None:
        if problem := self.too_many():
            raise ValueError(problem)
        count = self.count() or 0
        if count < 2:
            raise ValueError(f"step ({self.step}) leads from low ({self.low}) beyond high")
        if self.point(0) == self.point(1) or self.point(count - 2) == self.point(count - 1):
            raise ValueError(f"step ({self.step}) is too small to tell values apart")

    def too_many(self) -> str | None:
        """Return why a range has more values than a search may choose from, or None."""
        if self.step is None or self._steps() < MOST_POINTS:
            return None
        words = f"{self.low} to {self.high} in steps of {self.step}"
        return f"{words} has too many values; at most {MOST_POINTS:,}"

    def ends(self) -> list[Any]:
        """Return the values that are checked before a search begins: all choices, or both ends of a
        range and its first step."""
        if self.choices is not None:
            return list(self.choices)
        count = self.count()
        if count is None:
            return [self.low, self.high]
        return [self.point(i) for i in sorted({0, 1, count - 1})]

    def count(self) -> int | None:
        """Return the number of values; None for a range without a step."""
        if self.choices is not None:
            return len(self.choices)
        return None if self.step is None else math.floor(self._steps() + 1e-9) + 1

    def point(self, i: int) -> Any:
        """Return value number `i`, from 0, of a list or of a range with a step."""
        if self.choices is not None:
            return self.choices[i]
        assert self.low is not None
        assert self.step is not None
        return tidy(self.low + i * self.step)

    def _steps(self) -> float:
        assert self.low is not None
        assert self.high is not None
        assert self.step is not None
        return (self.high - self.low) / self.step

    def holds(self, value: Any) -> bool:
        """Return True if the value may be chosen."""
        if self.choices is not None:
            return value in self.choices
        if not _is_number(value):
            return False
        assert self.low is not None
        assert self.high is not None
        step = self.step or 0
        if self.step is None or not self.low - step <= value <= self.high + step:
            return self.low <= value <= self.high
        index = round((value - self.low) / self.step)
        return 0 <= index < (self.count() or 0) and value == self.point(index)

    def edge(self, value: Any) -> Any:
        """Return the end of a range, if `value` lies in its outermost `EDGE`; None otherwise.

        Three numbers or more to choose from are a range too: its ends are the least and greatest.
        """
        if self.choices is not None:
            numbers = self.choices if all(map(_is_number, self.choices)) else []
            ends = (min(numbers), max(numbers)) if len(set(numbers)) > 2 else ()
            return value if value in ends else None
        low, high = self.low, self.ends()[-1]  # steps may end below `high`
        if not _is_number(value) or low is None or not low <= value <= high or low == high:
            return None
        scale = math.log if self.log else float
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        return low if share <= EDGE else high if share >= 1 - EDGE else None

    def as_listed(self, value: Any) -> Any:
        """Return the choice that is equal to `value` (1.0 to 1); a number of a range as it is."""
        return value if self.choices is None else self.choices[self.choices.index(value)]

    def whole(self) -> SearchParameter:
        """Return the same range, of whole numbers only."""
        return self if self.step is not None else self.model_copy(update={"step": 1})

    def rounded(self, value: Any) -> Any:
        """Return a drawn number with `DIGITS` significant digits, within the range.

        Choices and values of a range with a step stay as they are.
        """
        if self.low is None or self.high is None or self.step is not None:
            return value
        return float(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    def words(self) -> str:
        """Return the choices or the range as text: `0.01 to 1 (log)`, `1 to 8 in steps of 1`."""
        if self.choices is not None:
            return ", ".join(map(str, self.choices))
        step = f" in steps of {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{' (log)' if self.log else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return the choices, or the range, as plain values."""
        if self.choices is not None:
            return {"choices": self.choices}
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


def tidy(value: Number) -> Number:
    """Return `value` without the rounding errors that adding up steps leaves."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


class SearchFile(Options):
    """The keys of a suite's `search`."""

    space: dict[str, SearchParameter] = Field(default_factory=dict, max_length=MOST_KEYS)
    tune: dict[str, dict[str, SearchParameter | None]] = Field(
        default_factory=dict, max_length=MOST_KEYS
    )
    """By name or label; None takes out what `space`, or the method's name, has under the key."""
    trials: Count | None = None
    """Number of trials of each study; None: `DEFAULT_TRIALS`, or all points of a grid."""
    sampler: Literal["tpe", "grid"] = "tpe"
    sampler_seed: int = Field(0, ge=0, le=LARGEST)
    pruner: Literal["none", "median"] = "none"
    seeds: list[Seed] = Field(min_length=1, max_length=MOST_SEEDS)
    studies: Annotated[int, Field(ge=1, le=MOST_REPEATS)] = 1
    """Searches of each combination of the axes, so that a spread holds that of tuning as well."""
    enqueue: list[dict[str, Any]] = Field(default_factory=list, max_length=MOST_ENQUEUED)
    """Settings by keys of `space`, which all methods try first."""
    confirm: Annotated[int, Field(ge=1, le=MOST_SEEDS)] | None = None
    """Number of fresh seeds of the winners; None: the suite's `seeds`."""
