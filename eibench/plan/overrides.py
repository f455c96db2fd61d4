"""Overrides (`--set`) and filters (`--only`) of the command line, and runs defined by it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eibench.errors import BadSuite, UserError, did_you_mean, shorten
from eibench.plan.layers import LayeredValues, Located, Origin
from eibench.plan.spec import RunSpec
from eibench.plan.suite import ABLATION, Plan, PlannedRun
from eibench.plan.yaml_source import DEEPEST, Document, Keys, parse

LONGEST_VALUE = 60


@dataclass(frozen=True)
class Override:
    """`KEY=VALUE` of the option `name`; the value is parsed as YAML."""

    name: str
    text: str
    key: str
    value: Any

    @classmethod
    def read(cls, name: str, text: str) -> Override:
        """Parse `text`; raise `UserError` if it is not KEY=VALUE."""
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UserError(f"{name} {text}: must be KEY=VALUE, such as train.epochs=5")
        if key.count(".") >= DEEPEST:
            raise UserError(f"{name} {text}: a key has at most {DEEPEST} parts")
        return cls(name, text, key, parse(value, f"{name} {text}").data)

    @property
    def path(self) -> Keys:
        """Return the parts of the dotted key."""
        return tuple(self.key.split("."))

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def single_spec(choices: Sequence[Override]) -> RunSpec:
    """Return the run that the command line alone defines; later overrides have precedence.

    Raises:
        BadSuite: every problem, each with the option that caused it.
    """
    nowhere = Document("the command line", {})
    layered = LayeredValues(Origin(nowhere))
    try:
        for choice in choices:
            layered.assign(choice.path, choice.value, Origin(nowhere, (), str(choice)))
        return layered.spec()
    except Located as located:
        raise BadSuite(located.messages) from None


def matches(run: PlannedRun, key: str, wanted: Any) -> bool:
    """Return whether field `key` of `run` is `wanted`, or one of them; a method by name or
    label."""
    choices = wanted if isinstance(wanted, list) else [wanted]
    if key == "method":
        return run.method in choices or run.spec.method.name in choices
    return is_exactly(run, key, choices)


def is_exactly(run: PlannedRun, key: str, wanted: Any) -> bool:
    """Return the same as `matches`, but compare a method by its label only.

    Each variant of a method has its own tuned values.
    """
    fields = run.fields()
    return key in fields and fields[key] in (wanted if isinstance(wanted, list) else [wanted])


def select(plan: Plan, filters: list[Override]) -> tuple[PlannedRun, ...]:
    """Return the runs that satisfy every `--only KEY=VALUE[,VALUE...]`.

    Raises:
        UserError: a key that no run has, a value that no run takes, or no run left.
    """
    kept = plan.runs
    for only in filters:
        wanted = _wanted(plan, only)
        kept = tuple(run for run in kept if matches(run, only.key, wanted))
    if not kept:
        raise UserError(f"{' '.join(map(str, filters))}: no run is left")
    return kept


def _wanted(plan: Plan, only: Override) -> list[Any]:
    """Return the values of one filter, each of which some run takes."""
    known = list(dict.fromkeys(key for run in plan.runs for key in run.fields()))
    if only.key not in known:
        raise UserError(f"{only}: unknown key{did_you_mean(only.key, known)}")
    taken = list(dict.fromkeys(str(run.fields().get(only.key)) for run in plan.runs))
    text = only.text.partition("=")[2].strip()
    if only.key == ABLATION and text in taken:  # a name may hold a comma, or what YAML reads
        return [text]
    wanted = [parse(part, str(only)).data for part in dict.fromkeys(text.split(","))]
    for value in wanted:
        if not any(matches(run, only.key, value) for run in plan.runs):
            hint = f"allowed: {', '.join(taken)}{did_you_mean(value, taken)}"
            raise UserError(f"{only}: no run has {shorten(repr(value), LONGEST_VALUE)}; {hint}")
    return wanted
