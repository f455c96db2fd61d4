"""How a trial's values are drawn: Optuna's samplers and distributions, from a suite's words.

Each trial has a sampler of its own, seeded by the study and the trial's number. So a search that
was stopped goes on with the trials that it would have had, and never draws its first ones again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from eibench.plan.space import Parameter, tidy

LEAST_STARTUP, MOST_STARTUP = 4, 10
"""Trials drawn at random before the sampler has something to go by: a third, within these."""
SCALARS = (str, int, float, bool, type(None))


def make_sampler(name: str, seed: int, trials: int) -> BaseSampler:
    """The sampler of one trial in a study of `trials`."""
    startup = max(LEAST_STARTUP, min(MOST_STARTUP, trials // 3))
    made: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
        ),
        "random": lambda: RandomSampler(seed=seed),
        "gp": lambda: GPSampler(seed=seed, n_startup_trials=startup),
        "grid": lambda: RandomSampler(seed=seed),  # whose points are all enqueued
    }
    return made[name]()


def make_pruner(name: str, epochs: int, trials: int) -> BasePruner:
    """The pruner of a study whose trials train for `epochs` in all."""
    if name == "median":
        startup = max(LEAST_STARTUP, min(MOST_STARTUP, trials // 3))
        return MedianPruner(n_startup_trials=startup, n_warmup_steps=max(1, epochs // 4))
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return NopPruner()


def distribution(known: Parameter) -> BaseDistribution:
    """What Optuna draws a parameter from."""
    if known.choices is not None:
        return CategoricalDistribution([_encoded(choice) for choice in known.choices])
    low, high, step = known.low, known.high, known.step
    assert low is not None
    assert high is not None
    if (count := known.count()) is not None:
        high = known.point(count - 1)  # Optuna warns of a range that is no multiple of its step
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return IntDistribution(low, high, known.log, step)
    return FloatDistribution(float(low), float(high), known.log, step)


def to_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a run as Optuna's parameters."""
    return {key: _encoded(value) for key, value in values.items()}


def to_values(
    params: Mapping[str, Any], space: Mapping[str, Parameter], drawn: bool = True
) -> dict[str, Any]:
    """Optuna's parameters as values of a run, in the space's order; `drawn` ones are rounded."""
    return {key: _value(params[key], known, drawn) for key, known in space.items() if key in params}


def _value(param: Any, known: Parameter, drawn: bool) -> Any:
    if known.choices is not None:
        return next(choice for choice in known.choices if _encoded(choice) == param)
    if known.step is not None:
        return tidy(param)
    return known.rounded(param) if drawn else param


def _encoded(choice: Any) -> Any:
    """A choice as Optuna can hold it: mappings and lists as JSON."""
    return choice if isinstance(choice, SCALARS) else json.dumps(choice, sort_keys=True)
