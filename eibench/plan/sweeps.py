"""The `evaluate` section of a suite: conditions under which every trained run is evaluated.

    evaluate:
      steps: {timesteps: [1, 2, 4, 8]}
      contrast: {contrast: [0.3, 0.6, 1.0]}
      both: {timesteps: [2, 4], contrast: [0.3, 1.0]}     every combination

The results of each sweep are a folder of their own, SUITE-steps, with a row for each run and
combination: `report` and `plot` read it as they read any suite.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eibench.errors import MOST_LINES
from eibench.plan.conditions import (
    Value,
    check_count,
    check_values,
    combinations,
    fields_of,
    misfits,
)
from eibench.plan.options import DataOptions
from eibench.plan.validate import Invalid, Note, Problem
from eibench.plan.yaml_source import Keys

SECTION = "evaluate"
TAKEN = ("probe", "cost")
"""Names that a sweep cannot have: SUITE-probe and SUITE-cost have the results of `eibench probe`
and `eibench cost`."""


@dataclass(frozen=True)
class Sweep:
    """A section of a suite's `evaluate`: every combination of some conditions, for every run."""

    name: str
    axes: Mapping[str, Sequence[Value]]

    def folder(self, suite: str) -> str:
        """Return the name of the results, beside those of `suite`."""
        return f"{suite}-{self.name}"

    @property
    def conditions(self) -> list[dict[str, Value]]:
        """The combinations, the last condition changing first."""
        return combinations(self.axes)

    @property
    def fields(self) -> list[str]:
        """The fields of the axes."""
        return list(fields_of(dict.fromkeys(self.axes, 0)))

    @property
    def varying(self) -> list[str]:
        """The fields with several values; the first one where there are none."""
        several = [len(values) > 1 for values in self.axes.values()]
        return list(itertools.compress(self.fields, several)) or self.fields[:1]


def read_sweeps(
    section: Mapping[str, Mapping[str, Sequence[Value]]], data: Iterable[DataOptions], note: Note
) -> tuple[Sweep, ...]:
    """Return the sweeps of a suite; tell `note` of conditions that its data sets cannot have."""
    sweeps = tuple(Sweep(name, axes) for name, axes in section.items())
    distinct = {repr(options): options for options in data}.values()
    for sweep in sweeps:
        for key, text in dict(
            m for options in distinct for m in misfits(sweep.axes, options)
        ).items():
            note(text, SECTION, sweep.name, key)
    return sweeps


def sweep_problems(section: Any) -> Iterator[Problem]:
    """Yield unknown conditions, values out of range, and too many combinations.

    `section` may be as the file has it: parts of another form are passed over.
    """
    for name, axes in itertools.islice(_items(section), MOST_LINES):
        if name in TAKEN:
            text = f"is the name of the suite's {name}s; give it another"
            yield Problem((SECTION, name), text)
        if axes == {}:
            yield Problem((SECTION, name), "must name a condition")
        listed = {key: values for key, values in _items(axes) if isinstance(values, list)}
        for key, values in listed.items():
            yield from _raised((SECTION, name, key), check_values, key, values)
        yield from _raised((SECTION, name), check_count, listed)


def _items(values: Any) -> Iterable[tuple[Any, Any]]:
    return values.items() if isinstance(values, Mapping) else ()


def _raised(keys: Keys, check: Callable[..., None], *given: Any) -> Iterator[Problem]:
    """Yield the problems that `check` raises, at `keys`."""
    try:
        check(*given)
    except Invalid as invalid:
        for problem in invalid.problems:
            yield Problem((*keys, *problem.keys), problem.text)
