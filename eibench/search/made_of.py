"""What the trials of a study are made of, kept beside them: those of another suite never mix in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from eibench.errors import UserError
from eibench.plan.search import SearchPlan, StudyPlan

MADE_OF = "made_of"
"""The attribute of a study that says it."""


def study_name(search: SearchPlan, study: StudyPlan) -> str:
    """The name of a study in the journal."""
    return f"{search.name}: {study.name}"


def made_of(search: SearchPlan, study: StudyPlan) -> dict[str, Any]:
    """All that decides which trials a study draws and what they score; not how many there are."""
    kept = ("objectives", "sampler", "sampler_seed", "pruner", "seeds")
    described = {
        "base": study.base.spec.identity(),
        "search": {
            "space": {key: known.to_dict() for key, known in study.space.items()},
            **{key: getattr(search.options, key) for key in kept},
        },
    }
    return dict(json.loads(json.dumps(described)))  # as the journal gives it back


def refuse_other_trials(search: SearchPlan, storage: BaseStorage, folder: Path) -> None:
    """Raise `UserError` when the journal has trials of this suite as it was before a change."""
    for study in search.studies:
        try:
            known = storage.get_study_id_from_name(study_name(search, study))
        except KeyError:
            continue
        before = storage.get_study_user_attrs(known).get(MADE_OF)
        if before is not None and before != (now := made_of(search, study)):
            keys = ", ".join(sorted(set(_differing(before, now))))
            raise UserError(
                f"{folder}: the trials of {study.name} were made before these settings changed:"
                f" {keys}; give the suite another name, or delete the folder to search anew"
            )


def _differing(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Dotted keys, of base without `base`, whose values are not the same."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping) or "choices" in before:
        if before != now:
            yield key.removeprefix("base.")
        return
    for part in before.keys() | now.keys():
        yield from _differing(before.get(part), now.get(part), f"{key}.{part}".removeprefix("."))
