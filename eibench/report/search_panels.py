"""The page of a search's figure: title, caption, and how studies share it out among themselves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.budget import spent
from eibench.report.figures import PANELS_IN_ROW, machines, write_around
from eibench.report.searches import COMPLETE, Search, Study, Trial
from eibench.report.words import Metric, show_field

TITLE_WIDTH, CAPTION_WIDTH = 10, 20
"""Characters of an inch of the title and of the caption."""
MOST_COLUMNS = 5
Panels = list[list[Study | None]]
"""Studies by row and column of a page; None where a place stays empty."""


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


def groups(search: Search, studies: Sequence[Study]) -> dict[str, list[Study]]:
    """Studies that share panels, told apart by colour: of one method, or of one space.

    The name of a group is empty where there is but one.
    """
    found: dict[Any, list[Study]] = {}
    for study in studies:
        shared = [study.arm.get(axis) for axis in search.axes[:1]] if len(search.axes) > 1 else []
        found.setdefault((tuple(shared), tuple(study.space)), []).append(study)
    if len(found) == 1:
        return {"": list(studies)}
    return {_group_name(search, of): of for of in found.values()}


def _group_name(search: Search, studies: Sequence[Study]) -> str:
    """What the studies' arms have in common."""
    arms = [study.arm for study in studies]
    common = {k: v for k, v in arms[0].items() if all(arm.get(k) == v for arm in arms)}
    return ", ".join(show_field(*pair) for pair in common.items()) or studies[0].name


def name_within(study: Study, studies: Sequence[Study]) -> str:
    """What tells a study from the others of its group."""
    parts = [
        show_field(key, value)
        for key, value in study.arm.items()
        if any(other.arm.get(key) != value for other in studies)
    ]
    return ", ".join(parts) or study.name


def page(search: Search, about: str, size: tuple[float, float], words: Sequence[str]) -> Figure:
    """An empty figure `about` something; `words` and the budget below it."""
    figure = Figure(size)
    title = textwrap.fill(f"{search.title}: {about}", round(TITLE_WIDTH * size[0]))
    lines = [budget(search), "; ".join(words), *machines(search)]
    text = [textwrap.fill(line, round(CAPTION_WIDTH * size[0])) for line in lines if line]
    write_around(figure, title, "\n".join(text))
    return figure


def add_legend(corner: Axes, signs: Mapping[str, Any]) -> None:
    """What each sign is called: right of the panel in the top right corner, or in its place."""
    place = (1.02, 1.04) if corner.axison else (0.0, 1.0)
    corner.legend(signs.values(), signs.keys(), loc="upper left", bbox_to_anchor=place)


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
