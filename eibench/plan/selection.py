"""Runs that a clause of a suite or `--only` selects by the values of their fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eibench.errors import UserError, did_you_mean, shorten
from eibench.plan.layers import Override
from eibench.plan.suite import ABLATION, Plan, PlannedRun
from eibench.plan.yaml_source import parse

LONGEST_VALUE = 60


def chosen(runs: Sequence[PlannedRun], key: str, wanted: Any) -> list[Any]:
    """Return the values of field `key` that `wanted` names: itself, or each value of a list.

    A name of a method which is no variant's label stands for all its variants.
    """
    values = wanted if isinstance(wanted, list) else [wanted]
    if key != "method":
        return values
    labels = dict.fromkeys((run.method, run.spec.method.name) for run in runs)
    exact = [label for label, _ in labels]
    return [
        label
        for value in values
        for label in ([value] if value in exact else [la for la, name in labels if name == value])
    ]


def unknown_values(runs: Sequence[PlannedRun], key: str, wanted: Any) -> Iterator[tuple[str, str]]:
    """Yield the values under `wanted` that no run takes in field `key`, each with a hint."""
    taken = {
        str(fields[key]): fields[key] for fields in map(PlannedRun.fields, runs) if key in fields
    }
    known = list(taken.values())
    if key == "method":
        known += {run.spec.method.name for run in runs}
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if value not in known:
            yield shorten(repr(value), LONGEST_VALUE), did_you_mean(value, taken)


def is_exactly(run: PlannedRun, key: str, wanted: Any) -> bool:
    """Return whether field `key` of `run` is `wanted`, or one of them; a method by its label.

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
        wanted = chosen(plan.runs, only.key, _wanted(plan, only))
        kept = tuple(run for run in kept if is_exactly(run, only.key, wanted))
    if not kept:
        raise UserError(f"{' '.join(map(str, filters))}: no run is left")
    return kept


def _wanted(plan: Plan, only: Override) -> list[Any]:
    """Return the values of one filter, each of which some run takes."""
    known = list(dict.fromkeys(key for run in plan.runs for key in run.fields()))
    if only.key not in known:
        raise UserError(f"{only}: unknown key{did_you_mean(only.key, known)}")
    taken = dict.fromkeys(str(run.fields().get(only.key)) for run in plan.runs)
    text = only.text.partition("=")[2].strip()
    if only.key == ABLATION and text in taken:  # a name may hold a comma, or what YAML reads
        return [text]
    wanted = [parse(part, str(only)).data for part in dict.fromkeys(text.split(","))]
    for value, near in unknown_values(plan.runs, only.key, wanted):
        raise UserError(f"{only}: no run has {value}; allowed: {', '.join(taken)}{near}")
    return wanted
