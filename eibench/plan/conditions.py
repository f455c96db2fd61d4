"""Conditions under which trained weights are evaluated: time steps, and changes of the input.

A condition has a name and a number, and one number leaves the network and its input as they were.
Its code is found by name: changes of images are in `eibench.data.corruptions`. A change of another
kind (of weights, of spikes) is one more entry here, with another `acts_on`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from eibench.errors import did_you_mean
from eibench.limits import NUMBERS
from eibench.plan.options import DataOptions
from eibench.plan.validate import Invalid, Problem, repeats, show

TIMESTEPS = "timesteps"
"""The condition that is an option of every run; its neutral value is that of training."""
PREFIX = "evaluate."
"""Begins the fields of other conditions in records: `evaluate.contrast`."""
FROM = "weights"
"""Begins the fields of records that name the weights; no option of a run has this name."""
MOST_CONDITIONS = 10_000
"""Maximal number of combinations in one grid of conditions."""
Value = float | int
Conditions = Mapping[str, Value]
"""Values by name; those that are absent are neutral."""


class Condition(NamedTuple):
    """A change of what a trained network sees or is."""

    summary: str
    neutral: float
    least: float
    largest: float
    acts_on: Literal["input"] = "input"


CONDITIONS: Mapping[str, Condition] = {
    "contrast": Condition("factor on the difference to each channel's mean", 1.0, 0.0, 10.0),
    "brightness": Condition("added to every pixel", 0.0, -1.0, 1.0),
    "gaussian_noise": Condition("standard deviation of noise on every pixel", 0.0, 0.0, 10.0),
    "impulse_noise": Condition("share of values set to 0 or 1", 0.0, 0.0, 1.0),
    "gaussian_blur": Condition("standard deviation of the blur in pixels", 0.0, 0.0, 100.0),
    "occlusion": Condition("share of the area that a square of zeros covers", 0.0, 0.0, 1.0),
}
"""By name, in the order in which they are applied. Images stay within [0, 1]."""


def known_conditions() -> list[str]:
    """Return the names of all conditions."""
    return [TIMESTEPS, *CONDITIONS]


def check_values(name: str, values: Sequence[Any]) -> None:
    """Raise `Invalid` unless `name` is a condition and `values` are distinct and within its range.

    Keys of problems are relative to the condition: the index of a value, or none.
    """
    if name not in known_conditions():
        allowed = ", ".join(known_conditions())
        near = did_you_mean(name, known_conditions())
        raise Invalid([Problem((), f"unknown condition {show(name)}; allowed: {allowed}{near}")])
    problems = [Problem((i,), t) for i, v in enumerate(values) if (t := _problem(name, v))]
    problems += [Problem((i,), f"{show(value)} is listed twice") for i, value in repeats(values)]
    if problems:
        raise Invalid(problems)


def _problem(name: str, value: Any) -> str:
    """Return what is wrong with a value, or an empty text."""
    whole = name == TIMESTEPS
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"must be a {'whole ' * whole}number, not {show(value)}"
    least, largest = NUMBERS[TIMESTEPS][1:] if whole else CONDITIONS[name][2:4]
    if not math.isfinite(value) or not least <= value <= largest:
        return f"must be from {least:g} to {largest:g}, not {show(value)}"
    return ""


def misfits(names: Iterable[str], data: DataOptions) -> Iterator[tuple[str, str]]:
    """Yield each condition that `data` cannot have, with the reason."""
    for name in names:
        if name in CONDITIONS and CONDITIONS[name].acts_on == "input" and data.events:
            yield name, f"{name} is for images in [0, 1]; {data.name} has counts of events"


def combinations(axes: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """Return every combination of the values of `axes`; one without conditions if there are no
    axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def effective(conditions: Conditions) -> dict[str, float]:
    """Return the conditions other than T that change something, in the order of application."""
    return {
        name: float(conditions[name])
        for name, known in CONDITIONS.items()
        if conditions.get(name, known.neutral) != known.neutral
    }


def fields_of(conditions: Conditions) -> dict[str, Value]:
    """Return the fields of a record that was made under `conditions`."""
    return {k if k == TIMESTEPS else f"{PREFIX}{k}": v for k, v in conditions.items()}
