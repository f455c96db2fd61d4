"""A search by its parameters: scores over each of them, and how much each of them matters.

Studies of one method share their panels and have a colour each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from eibench.report.search_history import WINNER
from eibench.report.search_panels import (
    add_legend,
    counting,
    groups,
    name_within,
    page,
    places,
    scored,
    with_scores,
    wrap,
)
from eibench.report.search_scales import Parameter, Sight
from eibench.report.searches import Search, Study
from eibench.report.styles import COLOURS, MARKERS, STYLE
from eibench.report.words import Metric, key_words

DIVERGED = "X"
"""Its marker."""
BAR = ("s",)
"""In the legend of bars."""
SPREAD = 0.4
"""Share of the way from one choice to the next over which studies are spread."""


def draw_slices(search: Search, metric: Metric) -> Figure | None:
    """The score over each parameter, the winner marked; None without a complete trial."""
    shared = groups(search, with_scores(search, metric))
    rows = [[(name, of, key) for key in of[0].space] for name, of in shared.items()]
    if not rows:
        return None
    wide = max(map(len, rows))
    single = len(rows) == 1 or wide == 1
    panels = (
        wrap(list(itertools.chain(*rows)))
        if single
        else [[*r, *[None] * (wide - len(r))] for r in rows]
    )
    high, wide = len(panels), len(panels[0])
    with mpl.rc_context(STYLE):
        sights = {name: Sight.of(counting(of, metric), metric) for name, of in shared.items()}
        words = _words(shared, sights, metric)
        figure = page(search, "score by parameter", (2.3 * wide + 1.5, 2.0 * high + 1.0), words)
        grid = figure.subplots(high, wide, sharey=False, squeeze=False)
        for axes, (name, studies, key) in places(grid, panels):
            _draw_slice(axes, studies, key, metric, sights[name])
            axes.set_title(name, fontsize=9)
        for row, below in zip(grid, panels, strict=True):
            row[0].set_ylabel(metric.heading, fontsize=9 if high == 1 else 8)
            for axes, panel in zip(row[1:], below[1:], strict=True):
                axes.tick_params(labelleft=panel is not None and panel[0] != below[0][0])
        _name_studies(grid[0, -1], list(shared.values()))
    return figure


def draw_importances(search: Search) -> Figure | None:
    """Each parameter's share in the variance of the score; None where no study can tell."""
    known = [study for study in search.studies if study.importances]
    shared = groups(search, known)
    if not shared:
        return None
    panels = wrap(list(shared.items()))
    high, wide = len(panels), len(panels[0])
    bars = max(len(of) * len(of[0].space) for of in shared.values())
    tall = 0.5 + (0.28 if bars <= 8 else 0.17) * bars
    with mpl.rc_context(STYLE):
        size = (max(2.7 * wide + 1.4, 6.0), (tall + 0.3) * high + 0.8)
        words = ["share in the variance of the score (fANOVA)"]
        figure = page(search, "importances", size, words)
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, (name, studies) in places(grid, panels):
            _draw_bars(axes, studies)
            axes.set_title(name, fontsize=9)
        _name_studies(grid[0, -1], list(shared.values()), BAR)
    return figure


def _words(shared: dict[str, list[Study]], sights: dict[str, Sight], metric: Metric) -> list[str]:
    """What the signs mean that occur."""
    pairs = {name: [p for s in of for p in scored(s.trials, metric)] for name, of in shared.items()}
    diverged = any(trial.diverged for found in pairs.values() for trial, _ in found)
    cut = any(sights[name].cuts([s for _, s in found]) for name, found in pairs.items())
    words = ["dots: complete trials", "star: winner", *["cross: diverged"] * diverged]
    return words + [next(iter(sights.values())).edge] * cut


def _draw_slice(
    axes: Axes, studies: Sequence[Study], key: str, metric: Metric, sight: Sight
) -> None:
    """One parameter of all studies that share the panel."""
    parameter = Parameter.of(key, studies[0].space[key])
    several = len(studies) > 1
    for i, study in enumerate(studies):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        beside = SPREAD * ((i + 0.5) / len(studies) - 0.5) if parameter.choices else 0.0
        for diverged in (False, True):
            points = [
                (parameter.place(trial.values[key]) + beside, sight.place(score))
                for trial, score in scored(study.trials, metric)
                if trial.diverged is diverged
            ]
            axes.scatter([x for x, _ in points], [y for _, y in points], s=26 if diverged else 16,
                         marker=DIVERGED if diverged else marker, color=colour, alpha=0.75,
                         linewidths=0, clip_on=False, zorder=3)  # fmt: skip
        _star(
            axes, study, parameter, beside, metric, sight, {"facecolor": colour} if several else {}
        )
    parameter.apply_x(axes)
    axes.set_xlabel(parameter.heading, fontsize=8)
    axes.set_ylim(*sight.limits)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _star(
    axes: Axes,
    study: Study,
    parameter: Parameter,
    beside: float,
    metric: Metric,
    sight: Sight,
    colour: dict[str, str],
) -> None:
    """The winner, in the colour of its study where there are several."""
    for trial, score in scored(study.trials, metric):
        if trial.number == study.winner:
            place = parameter.place(trial.values[parameter.key]) + beside
            look = {**WINNER, **colour, "clip_on": False}
            axes.scatter([place], [sight.place(score)], **look)


def _draw_bars(axes: Axes, studies: Sequence[Study]) -> None:
    """The most important parameter on top; a bar for each study."""
    names = key_words(list(studies[0].space))

    def mean(key: str) -> float:
        return sum((study.importances or {}).get(key, 0.0) for study in studies) / len(studies)

    keys = sorted(names, key=mean, reverse=True)
    thick = 0.8 / len(studies)
    for (y, key), (i, study) in itertools.product(enumerate(keys), enumerate(studies)):
        share = (study.importances or {}).get(key, 0.0)
        place = y - 0.4 + (i + 0.5) * thick
        axes.barh(place, share, height=0.9 * thick, color=COLOURS[i % len(COLOURS)], zorder=3)
        if len(studies) == 1:
            axes.annotate(f"{share:.2f}", (share, place), (3, 0), textcoords="offset points",
                          va="center", size=8)  # fmt: skip
    axes.set_yticks(range(len(keys)), [names[key] for key in keys])
    axes.set_ylim(len(keys) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("importance")


def _name_studies(
    corner: Axes, shared: Sequence[Sequence[Study]], markers: Sequence[str] = MARKERS
) -> None:
    """A legend of the colours where there are several, by the largest group."""
    most = max(shared, key=len)
    if len(most) == 1:
        return
    signs = {
        name_within(study, most): Line2D(
            [], [], linestyle="", marker=markers[i % len(markers)], color=COLOURS[i % len(COLOURS)]
        )
        for i, study in enumerate(most)
    }
    add_legend(corner, signs)
