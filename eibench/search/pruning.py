"""Whether a trial shall end early, from what it may know alone.

Optuna's pruners compare with all that the storage holds, which depends on how fast other workers
were and on when a search was killed. Here they are asked in a study made for the question: the
trials whose outcomes were known when this one was drawn, and its own epochs from the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial


@dataclass(frozen=True)
class Verdict:
    """What a pruner says of a trial."""

    stops: bool
    notes: Mapping[str, Any]
    """What the pruner notes at the trial (hyperband: its rungs), for those that are compared."""


def verdict(
    pruner: BasePruner,
    name: str,
    known: Sequence[FrozenTrial],
    number: int,
    scores: Mapping[int, float],
) -> Verdict:
    """Whether trial `number` of the study `name` ends after `scores` (by step), given `known`."""
    study = optuna.create_study(
        study_name=name, direction="maximize", pruner=pruner, sampler=RandomSampler(seed=0)
    )
    unknown = [create_trial(state=TrialState.FAIL)] * (number - len(known))
    study.add_trials([*known, *unknown, create_trial(state=TrialState.RUNNING)])
    trial = Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    stops = False
    for step in sorted(scores):
        trial.report(scores[step], step)
        stops = stops or trial.should_prune()
    return Verdict(stops, study.get_trials(deepcopy=False)[number].system_attrs)
