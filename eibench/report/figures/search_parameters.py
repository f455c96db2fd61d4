"""A search by its parameters: score over each, all of them side by side, and how much each matters.

Studies of one method share their panels of slices and importances, and have a colour each.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.axes import ParameterAxis, ScoreRange
from eibench.report.figures.look import style
from eibench.report.figures.search_panels import (
    WINNER,
    StudyGroup,
    arrange,
    groups,
    looks,
    name_looks,
    score_range,
    scored,
    search_page,
    with_scores,
)
from eibench.report.figures.style import COLOUR_MAP, COLOURS, in_rows
from eibench.report.model.search_results import Search, Study
from eibench.results.labels import key_words
from eibench.results.metrics import Metric

BESIDE = 0.4
"""Share of the way from one choice to the next over which studies are spread."""
LABEL = 11
"""Characters to which names beside parallel axes are wrapped."""
STRIP = 0.09
"""Width of the strip of colours, in distances between parallel axes."""
THICK, THIN, MANY = 0.28, 0.17, 8
"""Inches of a bar where they are few, and where there are more than so many in a panel."""


@dataclass(frozen=True)
class Slice:
    """A panel: one parameter of the studies of a group."""

    group: StudyGroup
    parameter: ParameterAxis
    scores: ScoreRange


@style()
def draw_slices(search: Search) -> Figure | None:
    """Draw the score over each parameter, the winner marked; None without a complete trial."""
    found, metric = groups(search, with_scores(search)), search.metric
    if not found:
        return None
    known = looks(found)
    ranges = [score_range(group.studies, metric) for group in found]
    rows = _fill(
        [
            [Slice(group, ParameterAxis.of(*item), scores) for item in group.space.items()]
            for group, (scores, _) in zip(found, ranges, strict=True)
        ]
    )
    trials = [trial for group in found for study in group.studies for trial in study.trials]
    words = [
        "dots: complete trials",
        "star: winner",
        *["cross: diverged"] * any(trial.diverged for trial in trials),
        *[ranges[0][0].edge] * any(clipped for _, clipped in ranges),
    ]
    wide = {1: 4.4, 2: 2.8, 3: 2.3}.get(len(rows[0]), 2.0)
    panel = (wide, 3.2 if wide > 4 else 2.0)
    figure, grid, pairs = search_page(search, "score by parameter", rows, panel, words)
    for axes, item in pairs:
        _draw_slice(axes, item, known, metric)
    for line, slices in zip(grid, rows, strict=True):
        line[0].set_ylabel(metric.heading, fontsize=9 if len(rows) == 1 else 8)
        for axes, (left, item) in zip(line[1:], itertools.pairwise(slices), strict=True):
            axes.tick_params(labelleft=bool(left and item and left.group != item.group))
    name_looks(grid, known)
    return figure


def _fill(rows: Sequence[list[Slice]]) -> list[list[Slice | None]]:
    """Return a row of panels for each group; a single row, or a single column, is wrapped."""
    wide = max(map(len, rows))
    if len(rows) == 1 or wide == 1:
        return in_rows(list(itertools.chain(*rows)))
    return [[*row, *[None] * (wide - len(row))] for row in rows]


def _draw_slice(
    axes: Axes, panel: Slice, known: Mapping[str, tuple[str, str]], metric: Metric
) -> None:
    """Draw the trials of all studies that share the panel, winners in their study's colour."""
    parameter = panel.parameter
    for label, study in panel.group.members.items():
        colour, own_marker = known[label]
        beside = 0.0
        if parameter.choices:
            beside = BESIDE * (([*known].index(label) + 0.5) / len(known) - 0.5)
        places = [
            (parameter.place(trial.values[parameter.key]) + beside, panel.scores.place(score))
            for trial, score in scored(study, metric)
        ]
        if len(study.space) == 1:  # with more, other values differ too
            axes.plot(*zip(*sorted(places), strict=True), color=colour, linewidth=1.0, alpha=0.6)
        for (trial, _), (x, y) in zip(scored(study, metric), places, strict=True):
            size, marker = (26, "X") if trial.diverged else (16, own_marker)
            axes.scatter(x, y, s=size, marker=marker, color=colour, alpha=0.75, linewidths=0,
                         clip_on=False, zorder=3)  # fmt: skip
            if trial.number == study.winner:
                own = {"facecolor": colour} if len(known) > 1 else {}
                axes.scatter(x, y, **{**WINNER, **own})
    parameter.apply(axes, "x")
    axes.xaxis.label.set_fontsize(8)
    axes.set_title(panel.group.name)
    axes.set_ylim(*panel.scores.limits)
    axes.yaxis.set_major_locator(MaxNLocator(5))


@style()
def draw_parallel(search: Search) -> Figure | None:
    """Draw a line for each trial through all that it set, to its score.

    A panel for each study with two parameters or more; None where there is none.
    """
    studies = [study for study in with_scores(search) if len(study.space) > 1]
    if not studies:
        return None
    metric, rows = search.metric, arrange(search, studies)
    longest = max(len(study.space) for study in studies)
    wide = max(1.05 * longest - 0.4, 4.4) if len(rows[0]) == 1 else 0.8 * longest - 0.2
    panel = (min(max(wide, 2.2), 6.0), 3.4 if len(rows) == 1 else 2.2)
    clipped = any(score_range([study], metric)[1] for study in studies)
    words = ["line: a complete trial", "thick: winner", *["palest colour: that or worse"] * clipped]
    figure, _, pairs = search_page(search, "all parameters", rows, panel, words)
    for axes, study in pairs:
        _draw_lines(axes, study, metric)
        axes.set_title(axes.get_title(), pad=9)
    return figure


def _draw_lines(axes: Axes, study: Study, metric: Metric) -> None:
    """Draw the trials of one study, the best on top and, as on white, the best dark."""
    scores, _ = score_range([study], metric)
    low, high = scores.ends
    parameters = [ParameterAxis.of(key, space) for key, space in study.space.items()]
    colours = mpl.colormaps[f"{COLOUR_MAP}_r"]
    for trial, score in scored(study, metric):
        heights = [p.share(p.place(trial.values[p.key])) for p in parameters]
        end = min(max((score - low) / (high - low), 0.0), 1.0)
        (line,) = axes.plot([*heights, end], solid_joinstyle="round", zorder=3, linewidth=1.0,
                            alpha=0.8, color=colours(scores.share(score)))  # fmt: skip
        if trial.number == study.winner:
            line.set(color=COLOURS[1], linewidth=2.6, alpha=1.0, zorder=4)
    for i, parameter in enumerate(parameters):
        axes.axvline(i, color="#444444", linewidth=0.8, zorder=2)
        _label(axes, i, {parameter.share(place): text for place, text in parameter.ticks().items()})
    _draw_strip(axes, len(parameters), scores)
    names = [*key_words(list(study.space)).values(), metric.heading]
    axes.set_xticks(range(len(names)), [textwrap.fill(n, LABEL) for n in names], fontsize=7)
    axes.tick_params(axis="both", length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set(xlim=(-0.15, len(parameters) + 0.55), ylim=(-0.04, 1.04))


def _label(axes: Axes, x: float, heights: Mapping[float, str]) -> None:
    """Write the values beside an axis."""
    for height, text in heights.items():
        axes.text(x + 0.04, height, textwrap.fill(text, LABEL), size=6.5, va="center", zorder=5,
                  bbox={"color": "white", "alpha": 0.75, "pad": 0.6, "linewidth": 0})  # fmt: skip


def _draw_strip(axes: Axes, x: float, scores: ScoreRange) -> None:
    """Draw the last axis: scores, and their colours."""
    low, high = scores.ends
    shares = np.array([[scores.share(float(s))] for s in np.linspace(low, high, 128)])
    axes.imshow(shares, extent=(x, x + STRIP, 0, 1), origin="lower", aspect="auto", vmin=0, vmax=1,
                cmap=f"{COLOUR_MAP}_r", zorder=2)  # fmt: skip
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    _label(axes, x + STRIP, {(tick - low) / (high - low): f"{tick:g}" for tick in ticks})


@style()
def draw_importances(search: Search) -> Figure | None:
    """Draw each parameter's share in the variance of the score, as bars.

    None where no study of several parameters has importances.
    """
    found = groups(search, [s for s in search.studies if s.importances and len(s.space) > 1])
    if not found:
        return None
    rows = in_rows(found)
    known = {label: (colour, "s") for label, (colour, _) in looks(found).items()}
    bars = max(len(group.members) * len(group.space) for group in found)
    panel = (2.7 if len(found) > 1 else 4.4, 0.8 + (THIN if bars > MANY else THICK) * bars)
    words = ["share in the variance of the score (fANOVA)"]
    figure, grid, pairs = search_page(search, "importances", rows, panel, words)
    for axes, group in pairs:
        _draw_bars(axes, group, known)
    name_looks(grid, known)
    return figure


def _draw_bars(axes: Axes, group: StudyGroup, known: Mapping[str, tuple[str, str]]) -> None:
    """Draw the most important parameter on top; a bar for each study."""
    shares = {
        key: [(study.importances or {}).get(key, 0.0) for study in group.studies]
        for key in group.space
    }
    keys = sorted(shares, key=lambda key: -fmean(shares[key]))
    thick = 0.8 / len(group.members)
    for y, key in enumerate(keys):
        for i, (label, share) in enumerate(zip(group.members, shares[key], strict=True)):
            place, (colour, _) = y - 0.4 + (i + 0.5) * thick, known[label]
            axes.barh(place, share, height=0.9 * thick, color=colour, zorder=3)
            if len(group.members) == 1:
                axes.annotate(f"{share:.2f}", (share, place), (3, 0), textcoords="offset points",
                              va="center", size=8)  # fmt: skip
    names = key_words(group.space)
    axes.set_title(group.name)
    axes.set_yticks(range(len(keys)), [names[key] for key in keys])
    axes.set(xlim=(0, 1), ylim=(len(keys) - 0.5, -0.5), xlabel="importance")
    axes.grid(axis="y", visible=False)
