"""Panels of a search's figures: which trials have a score, and how studies share a page."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eibench.report.figures.axes import ScoreRange
from eibench.report.figures.palette import colours_of
from eibench.report.figures.style import (
    COLOURS,
    MARKERS,
    add_legend,
    in_rows,
    machines,
    open_page,
)
from eibench.report.model.search_results import COMPLETE, RUNNING, Search, Study, Trial, spent
from eibench.results.labels import show_field
from eibench.results.metrics import Metric

MOST_COLUMNS = 5
WINNER: dict[str, Any] = {
    "marker": "*",
    "s": 150,
    "facecolor": COLOURS[4],
    "edgecolor": "black",
    "linewidths": 0.8,
    "zorder": 6,
    "clip_on": False,
}
Panels = list[list[Study | None]]
"""Studies by row and column of a page; None where a place stays empty."""


@dataclass(frozen=True)
class StudyGroup:
    """Studies that share panels."""

    name: str
    """Empty for a group that has all studies."""
    members: Mapping[str, Study]
    """Studies by label, which tells them apart."""

    @property
    def studies(self) -> list[Study]:
        """Studies without their labels."""
        return list(self.members.values())

    @property
    def space(self) -> Mapping[str, Mapping[str, Any]]:
        """Space that all of them searched."""
        return self.studies[0].space


def scored(study: Study, metric: Metric) -> list[tuple[Trial, float]]:
    """Return the complete trials, diverged ones too, and their scores, the best last."""
    complete = [trial for trial in study.trials if trial.state == COMPLETE]
    pairs = [
        (trial, trial.scores[metric.name]) for trial in complete if metric.name in trial.scores
    ]
    return sorted(pairs, key=lambda pair: pair[1], reverse=metric.better != "higher")


def score_range(studies: Iterable[Study], metric: Metric) -> tuple[ScoreRange, bool]:
    """Return the range of the trials that can win, and whether it clips any complete trial.

    Where no trial can win, the range is that of all complete ones.
    """
    pairs = [pair for study in studies for pair in scored(study, metric)]
    counting = [score for trial, score in pairs if trial.counts] or [score for _, score in pairs]
    found = ScoreRange.of(counting or [0.0], metric)
    return found, found.clips(score for _, score in pairs)


def with_history(search: Search) -> list[Study]:
    """Return the studies with an ended trial; none of a grid, whose trials follow the grid, not
    what came before."""
    if search.sampler == "grid":
        return []
    return [s for s in search.studies if any(t.state != RUNNING for t in s.trials)]


def with_scores(search: Search) -> list[Study]:
    """Return the studies with a complete trial."""
    return [study for study in search.studies if scored(study, search.metric)]


def arrange(search: Search, studies: Sequence[Study]) -> Panels:
    """Return the studies' panels: a row for each value of the first axis, else equal rows."""
    first, *rest = search.axes or [""]
    rows = list(dict.fromkeys(study.arm.get(first) for study in studies))
    others = [tuple(study.arm.get(axis) for axis in rest) for study in studies]
    columns = list(dict.fromkeys(others))
    if len(rows) > 1 and 1 < len(columns) <= MOST_COLUMNS:
        table: Panels = [[None] * len(columns) for _ in rows]
        for study, other in zip(studies, others, strict=True):
            table[rows.index(study.arm.get(first))][columns.index(other)] = study
        return table
    return in_rows(studies)


def groups(search: Search, studies: Sequence[Study]) -> list[StudyGroup]:
    """Return studies of one space that share panels: those of one method, or all of them.

    They are grouped by the first axis that leaves one space in each group. Where no axis does,
    or a single one has nothing left to tell studies apart by, each has panels of its own.
    """
    alone = len(studies) == 1 < len(search.studies)
    if _one_space(studies) and len(search.axes) < 2 and not alone:
        return [StudyGroup("", {_label(study, search.axes): study for study in studies})]
    for axis in search.axes if len(search.axes) > 1 and not alone else ():
        values = dict.fromkeys(study.arm.get(axis) for study in studies)
        found = [[s for s in studies if s.arm.get(axis) == value] for value in values]
        if all(map(_one_space, found)):
            rest = [other for other in search.axes if other != axis]
            return [
                StudyGroup(_label(of[0], [axis]), {_label(study, rest): study for study in of})
                for of in found
            ]
    return [StudyGroup(study.name, {"": study}) for study in studies]


def _one_space(studies: Sequence[Study]) -> bool:
    return len({tuple(study.space) for study in studies}) == 1


def _label(study: Study, axes: Sequence[str]) -> str:
    """Return a study's values of some axes in words."""
    return ", ".join(show_field(axis, study.arm.get(axis)) for axis in axes)


def looks(found: Sequence[StudyGroup]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each label of some groups."""
    names = list(dict.fromkeys(label for group in found for label in group.members))
    markers = itertools.cycle(MARKERS)
    return dict(zip(names, zip(colours_of(names), markers, strict=False), strict=True))


def search_page(
    search: Search,
    about: str,
    rows: Sequence[Sequence[Any]],
    panel: tuple[float, float],
    words: Iterable[str],
    **options: Any,
) -> tuple[Figure, Any, list[tuple[Axes, Any]]]:
    """Return `open_page` of a figure `about` something, with the budget and `words` below.

    A study's name stands above its panel, where there are several.
    """
    text = "\n".join([budget(search), "; ".join(words), *machines(search.runs)])
    figure, grid, pairs = open_page(
        f"{search.title}: {about}", text, rows, panel, (1.6, 1.0), **options
    )
    for axes, item in pairs:
        if isinstance(item, Study) and len(search.studies) > 1:
            axes.set_title(item.name)
    return figure, grid, pairs


def name_looks(grid: Any, known: Mapping[str, tuple[str, str]]) -> None:
    """Add a legend of colours and markers by label, where there are several."""
    if len(known) > 1:
        lines = {
            name: Line2D([], [], linestyle="", color=colour, marker=marker)
            for name, (colour, marker) in known.items()
        }
        add_legend(grid, lines, handlelength=1.0)


def budget(search: Search) -> str:
    """Return how many trials, how those ended that cannot win, their seeds, and the sampler."""
    counts = [len(study.trials) for study in search.studies] or [0]
    number = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
    ends = {way: n for way, n in spent(search.studies).states.items() if n and way != COMPLETE}
    listed = ", ".join(f"{n} {way}" for way, n in ends.items())
    each = f" in each of {len(counts)} studies" * (len(counts) > 1) + f" ({listed})" * bool(ends)
    seeds = f"{search.tried_under} of the search"
    sampler = f"sampler: {search.sampler} (seed {search.sampler_seed})"
    pruner = [f"pruner: {search.pruner}"] * (search.pruner != "none")
    return "; ".join([f"n = {number} trials{each}", seeds, sampler, *pruner])
