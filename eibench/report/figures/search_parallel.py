"""Parallel coordinates of a search: a line for each trial through all that it set, to its score."""

from __future__ import annotations

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eibench.report.figures.search_axes import Parameter, Sight
from eibench.report.figures.search_panels import (
    arrange,
    counting,
    page,
    places,
    scored,
    with_scores,
)
from eibench.report.figures.style import COLOURS, style
from eibench.report.model.labels import key_words
from eibench.report.model.search_results import Search, Study
from eibench.results.metrics import Metric

COLOUR_MAP = "viridis_r"
"""Reversed: on white the best lines must be the dark ones."""
LABEL = 11
"""Characters to which names are wrapped."""
STRIP = 0.09
"""Width of the last axis, which shows the colours, in distances between axes."""


def draw_parallel(search: Search, metric: Metric) -> Figure | None:
    """A panel for each study with two parameters or more; None where there is none."""
    studies = [study for study in with_scores(search, metric) if len(study.space) > 1]
    if not studies:
        return None
    panels = arrange(search, studies)
    high, wide = len(panels), len(panels[0])
    longest = max(len(study.space) for study in studies)
    across = 1.05 * longest + 0.9 if wide == 1 else min(max(0.8 * longest + 0.7, 2.5), 4.2)
    size = (across * wide + 0.3, (3.4 if high == 1 else 2.2) * high + 1.0)
    cut = any(
        Sight.of(counting([study], metric), metric).cuts(
            [score for _, score in scored(study.trials, metric)]
        )
        for study in studies
    )
    words = ["line: a complete trial", "thick: winner", *["palest colour: that or worse"] * cut]
    with style():
        figure = page(search, "all parameters", (max(size[0], 6.0), size[1]), words)
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, study in places(grid, panels):
            _draw_lines(axes, study, metric)
            if len(search.studies) > 1:
                axes.set_title(study.name, fontsize=9, pad=9)
    return figure


def _draw_lines(axes: Axes, study: Study, metric: Metric) -> None:
    """The trials of one study, the best on top."""
    sight = Sight.of(counting([study], metric), metric)
    parameters = [Parameter.of(key, space) for key, space in study.space.items()]
    colours = mpl.colormaps[COLOUR_MAP]
    pairs = scored(study.trials, metric)
    pairs.sort(key=lambda pair: pair[1], reverse=metric.better != "higher")
    for trial, score in pairs:
        heights = [p.share(p.place(trial.values[p.key])) for p in parameters]
        end = (sight.place(score) - sight.low) / (sight.high - sight.low)
        won = trial.number == study.winner
        axes.plot(
            range(len(heights) + 1),
            [*heights, min(max(end, 0.0), 1.0)],
            color=COLOURS[1] if won else colours(sight.share(score)),
            linewidth=2.6 if won else 1.0,
            alpha=1.0 if won else 0.8,
            zorder=4 if won else 3,
            solid_joinstyle="round",
        )
    for i, parameter in enumerate(parameters):
        axes.axvline(i, color="#444444", linewidth=0.8, zorder=2)
        heights_of = {parameter.share(place): text for place, text in parameter.ticks().items()}
        _label(axes, i, heights_of)
    _draw_scale(axes, len(parameters), sight)
    names = key_words(list(study.space))
    words = [textwrap.fill(name, LABEL) for name in [*names.values(), metric.heading]]
    axes.set_xticks(range(len(words)), words, fontsize=7)
    axes.tick_params(axis="both", length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlim(-0.15, len(parameters) + 0.55)
    axes.set_ylim(-0.04, 1.04)


def _label(axes: Axes, x: float, heights: dict[float, str]) -> None:
    """The values beside an axis."""
    for height, text in heights.items():
        axes.text(x + 0.04, height, textwrap.fill(text, LABEL), size=6.5, va="center", zorder=5,
                  bbox={"color": "white", "alpha": 0.75, "pad": 0.6, "linewidth": 0})  # fmt: skip


def _draw_scale(axes: Axes, x: float, sight: Sight) -> None:
    """The last axis: scores, and their colours."""
    colours = np.linspace(sight.low, sight.high, 128)
    shares = np.array([[sight.share(float(score))] for score in colours])
    axes.imshow(shares, extent=(x, x + STRIP, 0, 1), origin="lower", aspect="auto", vmin=0, vmax=1,
                cmap=COLOUR_MAP, zorder=2)  # fmt: skip
    ticks = MaxNLocator(4).tick_values(sight.low, sight.high)
    inside = [float(tick) for tick in ticks if sight.low <= tick <= sight.high]
    length = sight.high - sight.low
    _label(axes, x + STRIP, {(tick - sight.low) / length: f"{tick:g}" for tick in inside})
