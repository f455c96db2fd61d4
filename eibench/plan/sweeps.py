"""The `evaluate` section of a suite: conditions under which every trained run is evaluated.

    evaluate:
      steps: {timesteps: [1, 2, 4, 8]}
      contrast: {contrast: [0.3, 0.6, 1.0]}
      both: {timesteps: [2, 4], contrast: [0.3, 1.0]}     every combination

The results of each sweep are a folder of their own, SUITE-steps, with a row for each run and
combination: `report` and `plot` read it as they read any suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from eibench.plan.conditions import (
    Value,
    check_count,
    check_values,
    combinations,
    fields_of,
    misfits,
)
from eibench.plan.options import DataOptions
from eibench.plan.validate import Invalid

SECTION = "evaluate"
PROBE = "probe"
"""Name that a sweep cannot have: SUITE-probe has the results of `eibench probe SUITE`."""


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


class Note(Protocol):
    """A receiver of problems, each with the keys of its place."""

    def __call__(self, text: str, *keys: str | int) -> None:
        """Record a problem."""


def read_sweeps(
    section: Mapping[str, Mapping[str, Sequence[Value]]], data: Iterable[DataOptions], note: Note
) -> tuple[Sweep, ...]:
    """Return the sweeps of a suite on the data sets `data`; tell `note` of problems."""
    sweeps = tuple(Sweep(name, axes) for name, axes in section.items())
    distinct = {repr(options): options for options in data}.values()
    for sweep in sweeps:
        _check(sweep, note)
        for key, text in dict(
            m for options in distinct for m in misfits(sweep.axes, options)
        ).items():
            note(text, SECTION, sweep.name, key)
    return sweeps


def _check(sweep: Sweep, note: Note) -> None:
    """Tell `note` of unknown conditions, values out of range, and too many combinations."""
    if not sweep.axes:
        note("must name a condition", SECTION, sweep.name)
    for key, values in sweep.axes.items():
        with _noting(note, SECTION, sweep.name, key):
            check_values(key, values)
    with _noting(note, SECTION, sweep.name):
        check_count(sweep.axes)
    if sweep.name == PROBE:
        note("is the name of the suite's probes; give it another", SECTION, sweep.name)


@contextmanager
def _noting(note: Note, *keys: str) -> Iterator[None]:
    """Tell `note` of the problems that the block raises, at `keys`."""
    try:
        yield
    except Invalid as invalid:
        for problem in invalid.problems:
            note(problem.text, *keys, *problem.keys)
