"""The page of a search's figure: title, caption, and how studies share it out among themselves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eibench.report.figures.style import COLOURS
from eibench.report.figures.tables import PANELS_IN_ROW, machines, write_around
from eibench.report.model.budget import spent
from eibench.report.model.labels import show_field
from eibench.report.model.search_results import COMPLETE, Search, Study, Trial
from eibench.results.metrics import Metric

CAPTION_WIDTH = 20
"""Characters of an inch of the caption."""
MOST_COLUMNS = 5
Panels = list[list[Study | None]]
"""Studies by row and column of a page; None where a place stays empty."""


@dataclass(frozen=True)
class Group:
    """Studies that share panels."""

    name: str
    """Empty for a group that has all studies."""
    members: Mapping[str, Study]
    """By label: what tells a study from the others."""

    @property
    def studies(self) -> list[Study]:
        """Without their labels."""
        return list(self.members.values())

    @property
    def space(self) -> Mapping[str, Mapping[str, Any]]:
        """What all of them searched."""
        return self.studies[0].space


def score_of(trial: Trial, metric: Metric) -> float | None:
    """The objective of a trial; None where it has come to none."""
    return trial.scores.get(metric.name)


def scored(trials: Iterable[Trial], metric: Metric) -> list[tuple[Trial, float]]:
    """The complete trials and their scores, those that diverged among them."""
    pairs = [(trial, score_of(trial, metric)) for trial in trials if trial.state == COMPLETE]
    return [(trial, score) for trial, score in pairs if score is not None]


def counting(studies: Iterable[Study], metric: Metric) -> list[float]:
    """Scores of the trials that can win; of all complete ones where none can."""
    pairs = [pair for study in studies for pair in scored(study.trials, metric)]
    return [score for trial, score in pairs if trial.counts] or [score for _, score in pairs]


def with_scores(search: Search, metric: Metric) -> list[Study]:
    """The studies of which there is something to draw."""
    return [study for study in search.studies if scored(study.trials, metric)]


def arrange(search: Search, studies: Sequence[Study]) -> Panels:
    """The studies' panels: a row for each value of the first axis, else rows of equal length."""
    first, *rest = search.axes or [""]
    rows = list(dict.fromkeys(study.arm.get(first) for study in studies))
    others = [tuple(study.arm.get(axis) for axis in rest) for study in studies]
    columns = list(dict.fromkeys(others))
    if len(rows) > 1 and 1 < len(columns) <= MOST_COLUMNS:
        table: Panels = [[None] * len(columns) for _ in rows]
        for study, other in zip(studies, others, strict=True):
            table[rows.index(study.arm.get(first))][columns.index(other)] = study
        return table
    return [list(row) for row in wrap(studies)]


def wrap(items: Sequence[Any]) -> list[list[Any]]:
    """`items` in rows of nearly one length, None where the last row ends."""
    high = math.ceil(len(items) / PANELS_IN_ROW)
    wide = math.ceil(len(items) / high)
    filled = [*items, *[None] * (high * wide - len(items))]
    return [filled[i : i + wide] for i in range(0, len(filled), wide)]


def groups(search: Search, studies: Sequence[Study]) -> list[Group]:
    """Studies of one space that share panels: those of one method, or all of them.

    They are grouped by the first axis that leaves one space in each group. Where no axis does,
    or a single one has nothing left to tell studies apart by, each has panels of its own.
    """
    alone = len(studies) == 1 < len(search.studies)
    if len({tuple(study.space) for study in studies}) == 1 and len(search.axes) < 2 and not alone:
        return [Group("", {_label(study, search.axes): study for study in studies})]
    for axis in search.axes if len(search.axes) > 1 and not alone else ():
        values = dict.fromkeys(study.arm.get(axis) for study in studies)
        found = [[s for s in studies if s.arm.get(axis) == value] for value in values]
        if all(len({tuple(study.space) for study in of}) == 1 for of in found):
            rest = [other for other in search.axes if other != axis]
            names = [_label(of[0], [axis]) for of in found]
            members = [{_label(study, rest): study for study in of} for of in found]
            return list(map(Group, names, members))
    return [Group(study.name, {"": study}) for study in studies]


def _label(study: Study, axes: Sequence[str]) -> str:
    """A study's values of some axes in words."""
    return ", ".join(show_field(axis, study.arm.get(axis)) for axis in axes)


def labels(found: Sequence[Group]) -> list[str]:
    """All labels of some groups; the place of a label is the number of its look in all of them."""
    return list(dict.fromkeys(label for group in found for label in group.members))


def page(search: Search, about: str, size: tuple[float, float], words: Sequence[str]) -> Figure:
    """An empty figure `about` something; `words` and the budget below it."""
    figure = Figure(size)
    lines = [budget(search), "; ".join(words), *machines(search)]
    text = [textwrap.fill(line, round(CAPTION_WIDTH * size[0])) for line in lines if line]
    write_around(figure, f"{search.title}: {about}", "\n".join(text))
    return figure


def add_legend(corner: Axes, signs: Mapping[str, Any]) -> None:
    """What each sign is called: right of the panel in the top right corner, or in its place."""
    place = (1.02, 1.04) if corner.axison else (0.0, 1.0)
    corner.legend(signs.values(), signs.keys(), loc="upper left", bbox_to_anchor=place)


def name_looks(corner: Axes, names: Sequence[str], markers: Sequence[str]) -> None:
    """A legend of colours and markers by label, where there are several."""
    if len(names) > 1:
        looks = [(COLOURS[i % len(COLOURS)], markers[i % len(markers)]) for i in range(len(names))]
        lines = [Line2D([], [], linestyle="", color=c, marker=marker) for c, marker in looks]
        add_legend(corner, dict(zip(names, lines, strict=True)))


def budget(search: Search) -> str:
    """How many trials, how those ended that cannot win, their seeds, and what chose them."""
    counts = [len(study.trials) for study in search.studies] or [0]
    number = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
    ends = {way: n for way, n in spent(search.studies).states.items() if n and way != COMPLETE}
    listed = ", ".join(f"{n} {way}" for way, n in ends.items())
    each = f" in each of {len(counts)} studies" * (len(counts) > 1) + f" ({listed})" * bool(ends)
    seeds = f"seed{'s' * (len(search.seeds) > 1)} {', '.join(map(str, search.seeds))} of the search"
    sampler = f"sampler: {search.sampler} (seed {search.sampler_seed})"
    pruner = [f"pruner: {search.pruner}"] * (search.pruner != "none")
    return "; ".join([f"n = {number} trials{each}", seeds, sampler, *pruner])


def places(grid: Any, panels: Sequence[Sequence[Any]]) -> Iterator[tuple[Axes, Any]]:
    """Each panel with its axes; those of empty places show nothing, but can hold a legend."""
    for row_of_axes, row in zip(grid, panels, strict=True):
        for axes, panel in zip(row_of_axes, row, strict=True):
            if panel is None:
                axes.set_axis_off()
            else:
                yield axes, panel
