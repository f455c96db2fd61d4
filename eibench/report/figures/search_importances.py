"""How much each parameter of a search matters, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.figures.search_panels import (
    Group,
    groups,
    labels,
    name_looks,
    page,
    places,
    wrap,
)
from eibench.report.figures.style import COLOURS, style
from eibench.report.model.labels import key_words
from eibench.report.model.search_results import Search

BAR = ("s",)
"""In the legend."""
THICK, THIN, MANY = 0.28, 0.17, 8
"""Inches of a bar where they are few, and where there are more than so many in a panel."""


def draw_importances(search: Search) -> Figure | None:
    """Each parameter's share in the variance of the score; None where no study can tell.

    Of a single parameter there is nothing to tell.
    """
    known = [study for study in search.studies if study.importances and len(study.space) > 1]
    if not known:
        return None
    found = groups(search, known)
    panels = wrap(found)
    high, wide = len(panels), len(panels[0])
    bars = max(len(group.members) * len(group.space) for group in found)
    with style():
        tall = 0.8 + (THIN if bars > MANY else THICK) * bars
        size = (max(2.7 * wide + 1.4, 6.0), tall * high + 0.8)
        words = ["share in the variance of the score (fANOVA)"]
        figure = page(search, "importances", size, words)
        grid = figure.subplots(high, wide, squeeze=False)
        for axes, group in places(grid, panels):
            _draw_bars(axes, group, labels(found))
        name_looks(grid[0, -1], labels(found), BAR)
    return figure


def _draw_bars(axes: Axes, group: Group, looks: Sequence[str]) -> None:
    """The most important parameter on top; a bar for each study."""
    shares = {key: _shares(group, key) for key in group.space}
    keys = sorted(shares, key=lambda key: -fmean(shares[key].values()))
    thick = 0.8 / len(group.members)
    for y, key in enumerate(keys):
        for i, (label, share) in enumerate(shares[key].items()):
            place, colour = y - 0.4 + (i + 0.5) * thick, COLOURS[looks.index(label) % len(COLOURS)]
            axes.barh(place, share, height=0.9 * thick, color=colour, zorder=3)
            if len(group.members) == 1:
                axes.annotate(f"{share:.2f}", (share, place), (3, 0), textcoords="offset points",
                              va="center", size=8)  # fmt: skip
    names = key_words(group.space)
    axes.set_title(group.name, fontsize=9)
    axes.set_yticks(range(len(keys)), [names[key] for key in keys])
    axes.set_ylim(len(keys) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("importance")


def _shares(group: Group, key: str) -> dict[str, float]:
    """By label."""
    return {label: (of.importances or {}).get(key, 0.0) for label, of in group.members.items()}
