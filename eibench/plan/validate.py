"""Conversion of plain values to option objects, with messages that list what is allowed.

pydantic finds the errors. This module rewrites them for a user who edits the YAML: allowed keys or
values, the value found, and the most similar name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eibench.errors import MOST_LINES, did_you_mean
from eibench.plan.options.base import NESTED, PRESET, Choice
from eibench.plan.yaml_source import Keys

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Choice)


class Problem(NamedTuple):
    """Text of a problem with the value at `keys`, relative to the values that were checked."""

    keys: Keys
    text: str


class Note(Protocol):
    """A receiver of problems, each with the keys of its place."""

    def __call__(self, text: str, *keys: str | int) -> None:
        """Record a problem."""


class Invalid(Exception):
    """Error of values that do not define the requested object."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(problems)


def validate(cls: type[M], values: Any) -> M:
    """Build a `cls` from `values`; raise `Invalid` with all problems, or the first of many."""
    if not isinstance(values, Mapping):
        raise Invalid([Problem((), f"must be a mapping of keys to values, not {show(values)}")])
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False)[:MOST_LINES]
        raise Invalid([problem for e in found for problem in _problems(cls, e)]) from None


def choose(kind: str, registry: Mapping[str, type[C]], values: Any) -> C:
    """Build the options of the entry that `values["name"]` (or `values`, if it is a name) names."""
    values = {"name": values} if isinstance(values, str) else values
    if not isinstance(values, Mapping):
        raise Invalid([Problem((), f"must be a name or a mapping with one, not {show(values)}")])
    name = values.get("name")
    if name is None:
        raise Invalid([Problem((), f"needs a name; allowed: {', '.join(registry)}")])
    if not isinstance(name, str) or name not in registry:
        allowed = f"allowed: {', '.join(registry)}{did_you_mean(name, registry)}"
        raise Invalid([Problem(("name",), f"unknown {kind} {show(name)}; {allowed}")])
    options = {k: v for k, v in values.items() if k != "name"}
    return validate(registry[name], _without_preset(registry[name], options))


def _without_preset(cls: type[Choice], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace a preset by the options that it stands for; options given beside it have precedence.

    A preset of null means none, so that a search or an ablation can choose whether there is one.
    """
    if PRESET not in values or not cls.presets:
        return values
    others = {k: v for k, v in values.items() if k != PRESET}
    chosen = values[PRESET]
    if chosen is None:
        return others
    if not isinstance(chosen, str) or chosen not in cls.presets:
        allowed = f"allowed: {', '.join(cls.presets)}{did_you_mean(chosen, cls.presets)}"
        text = f"unknown preset {show(chosen)} of {cls.name}; {allowed}"
        raise Invalid([Problem((PRESET,), text)])
    return {**cls.presets[chosen].values, **others}


def show(value: Any) -> str:
    """Return a value as quoted in messages: short, in YAML's notation."""
    if value is None or isinstance(value, bool):
        return str({None: "nothing", True: "true", False: "false"}[value])
    if isinstance(value, Mapping):
        return "a mapping"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number that is too large"
    return text if len(text) <= 60 else text[:57] + "..."


def repeats(values: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the index and value of each of `values` that is equal to one before it."""
    seen: set[Any] = set()
    for i, value in enumerate(values):
        key = _hashable(value)
        if key in seen:
            yield i, value
        seen.add(key)


def _hashable(value: Any) -> Any:
    """Return a hashable value that is equal for equal plain data."""
    if isinstance(value, Mapping):
        return dict, frozenset((key, _hashable(inner)) for key, inner in value.items())
    return (list, tuple(map(_hashable, value))) if isinstance(value, list) else value


def unknown_key(key: object, allowed: list[str]) -> str:
    """Return the message for a key that does not exist."""
    listed = ", ".join(sorted(allowed)) or "none"
    return f"unknown key; allowed here: {listed}{did_you_mean(key, allowed)}"


_WORDS = {
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be letters, digits, `_`, `.` and `-`, not {got}",
    "int_type": "must be a whole number, not {got}",
    "int_from_float": "must be a whole number, not {got}",
    "float_type": "must be a number, not {got}",
    "bool_type": "must be true or false, not {got}",
    "string_type": "must be text, not {got}",
    "list_type": "must be a list, not {got}",
    "model_type": "must be a mapping of keys to values, not {got}",
    "dict_type": "must be a mapping of keys to values, not {got}",
    "finite_number": "must be finite, not {got}",
    "less_than_equal": "must be at most {le}, not {got}",
    "too_long": "must have at most {max_length}, not {actual_length}",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be above {gt}, not {got}",
    "greater_than_equal": "must be at least {ge}, not {got}",
    "less_than": "must be below {lt}, not {got}",
    "literal_error": "must be {expected}, not {got}",
    "value_error": "{error}",
}
"""Our messages for pydantic's types of error, with pydantic's context in braces."""


def _problems(cls: type[BaseModel], error: ErrorDetails) -> list[Problem]:
    """Convert a pydantic error; an error of a nested choice gives each of its problems."""
    if error["type"] == NESTED:
        return [Problem((*error["loc"], *p.keys), p.text) for p in error["ctx"]["problems"]]
    return [_problem(cls, error)]


def _problem(cls: type[BaseModel], error: ErrorDetails) -> Problem:
    """Convert one pydantic error."""
    keys: Keys = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        more = ["name"] if issubclass(cls, Choice) else []
        more += [PRESET] if issubclass(cls, Choice) and cls.presets else []
        return Problem(keys, unknown_key(keys[-1], [*_model_at(cls, keys).model_fields, *more]))
    context, got = error.get("ctx", {}), show(error["input"])
    words = _WORDS.get(error["type"])
    text = words.format(got=got, **context) if words else f"{error['msg']}, not {got}"
    text = text.removesuffix(", not None")  # a mapping's length, which pydantic does not tell
    near = _quoted(context.get("expected", "")) if isinstance(error["input"], str) else []
    return Problem(keys, text + did_you_mean(error["input"], near))


def _model_at(cls: type[BaseModel], keys: Keys) -> type[BaseModel]:
    """Return the model within `cls` that the last of `keys` belongs to."""
    for key in keys[:-1]:
        field = cls.model_fields.get(str(key))
        cls = cls if field is None else next(_models(field.annotation), cls)
    return cls


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type such as `dict[str, Parameter]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _quoted(expected: str) -> list[str]:
    """Return the allowed values in pydantic's sentence `'a', 'b' or 'c'`."""
    return re.findall(r"'([^']+)'", expected)
