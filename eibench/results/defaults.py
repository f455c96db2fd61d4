"""Default options of methods that stand in a table beside the same method with other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from eibench.plan.suite import METHOD
from eibench.results.cells import Run, Value


def defaults_beside(runs: Sequence[Run]) -> dict[str, dict[str, Value]]:
    """Return, by method, the options that it leaves at their default and a neighbour changes.

    A neighbour has the method's options and some more, with no other method of the runs between
    them: of `ei` beside `ei-ei_ratio2` the `ei_ratio`.
    """
    options = {run.fields[METHOD]: dict(_options(run.fields)) for run in runs}
    words = {label: frozenset(label.split("-")) for label in options}
    found: dict[str, dict[str, Value]] = {}
    for label, own in options.items():
        wider = [other for other in options if words[label] < words[other]]
        for other in wider:
            if not any(words[one] < words[other] for one in wider):
                changed = {k: v for k, v in own.items() if options[other].get(k) != v}
                if len(changed) <= len(words[other] - words[label]):  # else a preset
                    found.setdefault(label, {}).update(changed)
    return {label: changed for label, changed in found.items() if changed}


def _options(fields: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Yield the options of a run's method."""
    for key, value in fields.items():
        if key.startswith(f"{METHOD}."):
            yield key.removeprefix(f"{METHOD}."), value
