"""Rules that make a search a fair comparison: seeds, settings tried first, and keys of a method's
own."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from eibench.errors import did_you_mean
from eibench.limits import LARGEST_SEED
from eibench.plan.search import StudyPlan
from eibench.plan.space import SearchFile
from eibench.plan.validate import repeats, show
from eibench.plan.yaml_source import Keys

MOST_OWN = 1
"""Keys of its own over which a method may be searched, beside the common ones."""
ONE_SEED = (
    "ONE TUNING SEED: a trial's score is that of one seed, so luck takes part in the choice; two"
    " or more `seeds` of the search average over it."
)


# ---------------------------------------------------------------------------------- seeds


def tuning_seeds(options: SearchFile, fresh: Collection[int]) -> list[tuple[int, ...]]:
    """Return the seeds of the trials for each study of an arm.

    The first study has the listed seeds. The others have as many each, counted on from the largest
    one, none of them in `fresh`. There are fewer studies where seeds run out.
    """
    listed, first = tuple(options.seeds), max(options.seeds) + 1
    free = (seed for seed in range(first, LARGEST_SEED + 1) if seed not in fresh)
    others = [tuple(itertools.islice(free, len(listed))) for _ in range(1, options.studies)]
    return [listed, *(seeds for seeds in others if len(seeds) == len(listed))]


def fresh_seeds(number: int, used: Collection[int]) -> list[int]:
    """Return the first `number` seeds, from 0, that are not `used`."""
    return list(itertools.islice((seed for seed in itertools.count() if seed not in used), number))


# --------------------------------------------------------------------- settings tried first


def enqueue_problems(options: SearchFile) -> Iterator[tuple[str, Keys]]:
    """Yield problems of settings to try first, each with its place below `search`."""
    if options.enqueue and options.sampler == "grid":
        yield "a grid has its own order, in which every point is tried", ("enqueue",)
    for i, _ in repeats(options.enqueue):
        yield "is listed twice", ("enqueue", i)
    for i, setting in enumerate(options.enqueue):
        if not setting:
            yield "is empty", ("enqueue", i)
        for key in setting:
            if key not in options.space:
                known = ", ".join(options.space) or "none"
                near = did_you_mean(key, options.space)
                text = f"is no key of `space`, which all methods share; allowed: {known}{near}"
                yield text, ("enqueue", i, key)


def misfits(studies: Iterable[StudyPlan], options: SearchFile) -> Iterator[tuple[str, Keys]]:
    """Yield values to try first that lie outside of a study's range, each key once."""
    found: dict[Keys, str] = {}
    for study in studies:
        for i, setting in enumerate(options.enqueue):
            for key, value in setting.items():
                known = study.space.get(key)
                if known is not None and not known.holds(value):
                    text = f"{show(value)} is outside of {known.words()}, the space of {study.name}"
                    found.setdefault(("enqueue", i, key), text)
    yield from ((text, keys) for keys, text in found.items())


def enqueued(options: SearchFile, study: StudyPlan) -> list[dict[str, Any]]:
    """Return the settings that `study` tries first; keys that it does not search are left out."""
    return [
        {
            key: study.space[key].as_listed(value)
            for key, value in setting.items()
            if key in study.space
        }
        for setting in options.enqueue
    ]


# ------------------------------------------------------------------------------ space rule


def own_keys(spaces: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """Return, by method, the searched keys that not all studies have.

    `spaces` holds the method and the keys of each study.
    """
    known = [(method, list(keys)) for method, keys in spaces]
    common = set.intersection(*(set(keys) for _, keys in known)) if known else set()
    found: dict[str, dict[str, None]] = {}
    for method, keys in known:
        found.setdefault(method, {}).update(dict.fromkeys(k for k in keys if k not in common))
    return {method: list(keys) for method, keys in found.items()}


def space_rule(own: Mapping[str, Sequence[str]]) -> str | None:
    """Return a note on methods with too many keys of their own, or None."""
    many = {method: len(keys) for method, keys in own.items() if len(keys) > MOST_OWN}
    if not many:
        return None
    (first, number), *others = many.items()
    listed = [f"`{first}` is searched over {number} keys of its own"]
    listed += [f"`{method}` over {number}" for method, number in others]
    return f"SPACE RULE: {', '.join(listed)}; a fair comparison gives each method at most one."
