"""Matching of published numbers with runs of the same method, network and data set.

A suite on a copy of a data set (its JPEG files, say) can ask for the numbers of the original, and
then states the title of the copy:

    stands_for: {imagefolder: {data: cifar10, title: CIFAR-10 (JPEG)}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eibench.errors import did_you_mean
from eibench.plan.options import DATASETS, Options
from eibench.plan.options.base import Line
from eibench.plan.references import PublishedResult
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid, Note, show, validate


class StandIn(Options):
    """Declaration that a data set is a copy of another one."""

    data: str
    """Data set whose published numbers are shown."""
    title: Line
    """Title of the copy in the report."""


@dataclass(frozen=True)
class Match:
    """Published number, and the runs of a plan that it is compared with."""

    published: PublishedResult
    run_ids: tuple[str, ...]
    data_title: str | None
    """Title of the runs' data set if it is a copy of the published one."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a report."""
        known = self.published
        model = {"name": known.spec.model.name, **known.spec.model.model_dump(exclude_unset=True)}
        return {
            "method": known.spec.method.label,
            "model": model,
            "data": known.spec.data.name,
            "data_title": self.data_title,
            "metric": known.metric,
            "value": known.value,
            "source": known.source,
            "fields": dict(known.fields),
            "notes": known.notes.changed(),
            "runs": list(self.run_ids),
        }


def find_matches(
    published: Iterable[PublishedResult],
    runs: Mapping[str, RunSpec],
    stands_for: Mapping[str, StandIn],
) -> Iterator[Match]:
    """Yield the published numbers that match any of `runs` (by id), in the file's order.

    Runs on the published data set and runs on a copy of it are separate matches.
    """
    by_network: dict[tuple[str, str], list[tuple[str, RunSpec]]] = {}
    for run_id, spec in runs.items():
        by_network.setdefault(_network(spec), []).append((run_id, spec))
    for entry in published:
        found: dict[str | None, list[str]] = {}
        for run_id, spec in by_network.get(_network(entry.spec), []):
            subsets = entry.spec.data.is_subset, spec.data.is_subset
            if entry.spec.model != spec.model or len(set(subsets)) > 1:
                continue
            copy = stands_for.get(spec.data.name)
            if _same_data(entry.spec, spec):
                found.setdefault(None, []).append(run_id)
            elif copy is not None and copy.data == entry.spec.data.name:
                found.setdefault(copy.title, []).append(run_id)
        for title, ids in found.items():
            yield Match(entry, tuple(ids), title)


def _network(spec: RunSpec) -> tuple[str, str]:
    """Return the labels that must be equal for numbers to be comparable."""
    return spec.method.label, spec.model.label


def _same_data(published: RunSpec, ours: RunSpec) -> bool:
    """Return whether the data set is the same, including the options that the entry states."""
    stated = published.data.model_dump(exclude_unset=True)
    known = ours.data.model_dump()
    same = all(known.get(key) == value for key, value in stated.items())
    return same and published.data.name == ours.data.name


def read_stand_ins(values: Mapping[str, Any], note: Note) -> dict[str, StandIn]:
    """Return the copies that a suite declares, by data set; record problems."""
    found: dict[str, StandIn] = {}
    for name, copy in values.items():
        try:
            found[name] = validate(StandIn, copy)
        except Invalid as invalid:
            for problem in invalid.problems:
                note(problem.text, "stands_for", name, *problem.keys)
            continue
        original = found[name].data
        if original not in DATASETS:
            hint = f"allowed: {', '.join(DATASETS)}{did_you_mean(original, DATASETS)}"
            note(f"unknown data set {show(original)}; {hint}", "stands_for", name, "data")
    return found


def check_used(stands_for: Iterable[str], runs: Iterable[RunSpec], note: Note) -> None:
    """Record copies that no run uses."""
    known = sorted({spec.data.name for spec in runs})
    for name in stands_for:
        if name not in known:
            hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
            note(f"no run uses this data set; {hint}", "stands_for", name)
