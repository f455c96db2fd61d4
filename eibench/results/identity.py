"""The run that fields belong to: a record that is another run's does not pass for this one's."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from eibench.limits import NUMBERS
from eibench.plan.options import CHOICES
from eibench.plan.spec import INIT, RunSpec
from eibench.plan.suite import ABLATION
from eibench.plan.validate import Invalid


def run_id_of(fields: Mapping[str, Any]) -> str | None:
    """Return the id of the run with these flat fields, the inverse of `RunSpec.fields`.

    None where it cannot be told: part of the fields, plugins, options of another version.
    """
    if not {*CHOICES, *NUMBERS} <= fields.keys():
        return None
    return _run_id_of(json.dumps(fields))


@functools.lru_cache(maxsize=2**16)
def _run_id_of(fields: str) -> str | None:
    try:
        spec = RunSpec.parse(_nested(json.loads(fields)))
    except Invalid:
        return None
    return None if spec.plugins() else spec.run_id


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as a suite's `base` has them; a choice's name stands at its own key."""
    nested: dict[str, Any] = {}
    for key, value in sorted(fields.items()):  # a choice comes before its options
        *above, last = key.split(".")
        place = nested
        for part in above:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = place[part] = {"name": inner}
            place = inner
        place[last] = value
    nested.pop(ABLATION, None)
    if isinstance(start := nested.get(INIT), dict):
        start["run"] = start.pop("name", None)
    known, label = CHOICES["method"], _name(nested["method"])
    name = _longest(n for n in known if label == n or str(label).startswith(f"{n}-"))
    method = nested["method"] if isinstance(nested["method"], dict) else {}
    return {**nested, "method": {**method, "name": name}}


def _name(choice: Any) -> Any:
    return choice.get("name") if isinstance(choice, dict) else choice


def _longest(names: Iterable[str]) -> str | None:
    return max(names, key=len, default=None)
