"""Conditions under which trained weights are evaluated: time steps, changes of input and network.

A condition has a name and a number, and one number leaves the network and its input as they were.
Its code is found by name: changes of images are in `eibench.data.corruptions`, those of the network
in `eibench.nn.perturbations`.
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
    acts_on: Literal["input", "network"] = "input"
    whole: bool = False
    """True where the number must be whole."""


def _of_network(
    summary: str, neutral: float, least: float, largest: float, whole: bool = False
) -> Condition:
    return Condition(summary, neutral, least, largest, "network", whole)


CONDITIONS: Mapping[str, Condition] = {
    "contrast": Condition("factor on the difference to each channel's mean", 1.0, 0.0, 10.0),
    "brightness": Condition("added to every pixel", 0.0, -1.0, 1.0),
    "gaussian_noise": Condition("standard deviation of noise on every pixel", 0.0, 0.0, 10.0),
    "impulse_noise": Condition("share of values set to 0 or 1", 0.0, 0.0, 1.0),
    "gaussian_blur": Condition("standard deviation of the blur in pixels", 0.0, 0.0, 100.0),
    "occlusion": Condition("share of the area that a rectangle of zeros covers", 0.0, 0.0, 1.0),
    "folded": _of_network("1: inhibition that only subtracts is in signed weights", 0, 0, 1, True),
    "fan_in": _of_network("share of each neuron's synapses kept, the largest", 1.0, 0.0, 1.0),
    "random_fan_in": _of_network("share of each neuron's synapses kept, at random", 1.0, 0.0, 1.0),
    "weight_bits": _of_network("bits of a weight, one scale for each tensor", 32, 2, 32, True),
    "channel_bits": _of_network("bits of a weight, one scale for each neuron", 32, 2, 32, True),
    "weight_noise": _of_network("relative deviation of noise on every weight", 0.0, 0.0, 10.0),
    "additive_noise": _of_network(
        "deviation of noise on every weight, over the root mean square of its tensor",
        *(0.0, 0.0, 10.0),
    ),
    "stuck_at_zero": _of_network("share of weights set to 0", 0.0, 0.0, 1.0),
    "stuck_at_largest": _of_network(
        "share of weights set to the largest of their tensor", 0.0, 0.0, 1.0
    ),
    "lesion": _of_network("share of inhibitory cells that are missing", 0.0, 0.0, 1.0),
    "rebalanced": _of_network("1: inhibition is scaled to restore each balance", 0, 0, 1, True),
    "threshold_noise": _of_network("relative deviation of neurons' thresholds", 0.0, 0.0, 10.0),
    "spike_drop": _of_network("probability that a spike is lost", 0.0, 0.0, 1.0),
    "spike_jitter": _of_network("probability that a spike is a step late", 0.0, 0.0, 1.0),
}
"""By name, in the order in which they are applied. Images stay within [0, 1]."""


def check_values(name: str, values: Sequence[Any]) -> None:
    """Raise `Invalid` unless `name` is a condition and `values` are distinct and within its range.

    Keys of problems are relative to the condition: the index of a value, or none.
    """
    known = [TIMESTEPS, *CONDITIONS]
    if name not in known:
        hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
        raise Invalid([Problem((), f"unknown condition {show(name)}; {hint}")])
    problems = [Problem((i,), t) for i, v in enumerate(values) if (t := _problem(name, v))]
    problems += [Problem((i,), f"{show(value)} is listed twice") for i, value in repeats(values)]
    if problems:
        raise Invalid(problems)


def check_count(axes: Mapping[str, Sequence[Any]]) -> None:
    """Raise `Invalid` if the values of `axes` have too many combinations."""
    count = math.prod(map(len, axes.values()))
    if count > MOST_CONDITIONS:
        raise Invalid([Problem((), f"has {count:,} combinations; at most {MOST_CONDITIONS:,}")])


def _problem(name: str, value: Any) -> str:
    """Return what is wrong with a value, or an empty text."""
    whole = name == TIMESTEPS or CONDITIONS[name].whole
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"must be a {'whole ' * whole}number, not {show(value)}"
    least, largest = NUMBERS[TIMESTEPS][1:] if name == TIMESTEPS else CONDITIONS[name][2:4]
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


def acting_on(part: str, strengths: Mapping[str, float]) -> dict[str, float]:
    """Return those of `strengths` that change `part`: `input` or `network`."""
    return {name: x for name, x in strengths.items() if CONDITIONS[name].acts_on == part}


def fields_of(conditions: Conditions) -> dict[str, Value]:
    """Return the fields of a record that was made under `conditions`."""
    return {k if k == TIMESTEPS else f"{PREFIX}{k}": v for k, v in conditions.items()}
