"""A search's landscape: the score over two numeric parameters, as cells or as coloured points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from eibench.report.figures.search_axes import Parameter, Sight
from eibench.report.figures.search_cells import COLOUR_MAP, Cells, Pair, draw_cells
from eibench.report.figures.search_history import WINNER
from eibench.report.figures.search_panels import (
    arrange,
    counting,
    page,
    places,
    scored,
    with_scores,
)
from eibench.report.figures.style import style
from eibench.report.model.labels import field_heading, field_words
from eibench.report.model.search_results import Search, Study
from eibench.results.metrics import Metric


def draw_landscape(search: Search, metric: Metric, pairs: Mapping[str, Pair]) -> Figure | None:
    """A panel for each study named in `pairs`; None where none of them has a complete trial.

    Studies with the same value of the first of several axes share a row, its colours and their bar;
    otherwise all studies share one.
    """
    studies = [study for study in with_scores(search, metric) if study.name in pairs]
    if not studies:
        return None
    panels = arrange(search, studies)
    high, wide = len(panels), len(panels[0])
    cells = {study.name: Cells.of(study, pairs[study.name], metric) for study in studies}
    size = (6.2, 5.2) if high * wide == 1 else (2.9 * wide + 1.4, 2.5 * high + 1.0)
    blocks = range(high) if len(search.axes) > 1 else [slice(None)]
    with style():
        about = _about(metric, [pairs[study.name] for study in studies])
        figure = page(search, about, size, _words(studies, cells))
        grid = figure.subplots(high, wide, squeeze=False)
        drawn = list(places(grid, panels))
        for block in blocks:
            within = set(grid[block].flat)
            of = [(axes, study) for axes, study in drawn if axes in within]
            norm = _colour_bar(figure, of, metric)
            for axes, study in of:
                _draw_panel(axes, study, pairs[study.name], metric, cells[study.name], norm)
                if len(search.studies) > 1:
                    axes.set_title(study.name, fontsize=9)
    return figure


def _about(metric: Metric, pairs: Sequence[Pair]) -> str:
    """The axes where they are the same in all panels."""
    if len(set(pairs)) > 1:
        return f"{metric.label} over two parameters"
    x, y = pairs[0]
    return f"{metric.label} over {field_words(x)} and {field_words(y)}"


def _words(studies: Sequence[Study], cells: Mapping[str, Cells | None]) -> list[str]:
    """What the signs mean that occur."""
    grids = [known for known in cells.values() if known is not None]
    dotted = [study for study in studies if cells[study.name] is None]
    diverged = any(trial.diverged for study in dotted for trial in study.trials)
    return [
        *["frame: winner"] * any(known.winner for known in grids),
        *["numbers and colours: means over what else varies"] * any(g.several for g in grids),
        *["hatched: no complete trial"] * any(not known.full for known in grids),
        *["dots: complete trials", "star: winner"] * bool(dotted),
        *["cross: diverged"] * (diverged or any(known.diverged for known in grids)),
    ]


def _draw_panel(
    axes: Axes, study: Study, pair: Pair, metric: Metric, cells: Cells | None, norm: Normalize
) -> None:
    """One study; cells stand at equal distances, points on an axis with a scale."""
    x, y = (Parameter.of(key, study.space[key]) for key in pair)
    if cells is None:
        _draw_points(axes, study, x, y, metric, norm)
        axes.set_xlabel(x.heading)
        axes.set_ylabel(y.heading)
    else:
        draw_cells(axes, cells, metric, norm)
        axes.set_xlabel(field_heading(x.key))
        axes.set_ylabel(field_heading(y.key))


def _draw_points(
    axes: Axes, study: Study, x: Parameter, y: Parameter, metric: Metric, norm: Normalize
) -> None:
    """A dot for each complete trial, the best on top."""
    found = scored(study.trials, metric)
    found.sort(key=lambda pair: pair[1], reverse=metric.better != "higher")
    for marker, diverged in (("X", True), ("o", False)):
        points = [(t.values, score) for t, score in found if t.diverged is diverged]
        across = [x.place(values[x.key]) for values, _ in points]
        up = [y.place(values[y.key]) for values, _ in points]
        axes.scatter(across, up, c=[score for _, score in points], norm=norm, cmap=COLOUR_MAP,
                     marker=marker, s=46, edgecolors="black", linewidths=0.5, zorder=3,
                     clip_on=False)  # fmt: skip
    if study.best is not None:
        values = study.best.values
        axes.scatter([x.place(values[x.key])], [y.place(values[y.key])], clip_on=False, **WINNER)
    x.apply_x(axes)
    y.apply_y(axes)


def _colour_bar(figure: Figure, panels: Sequence[tuple[Axes, Study]], metric: Metric) -> Normalize:
    """The colours that `panels` share, and their bar; pointed where scores lie beyond its end."""
    studies = [study for _, study in panels]
    sight = Sight.of(counting(studies, metric), metric)
    cut = sight.cuts([score for study in studies for _, score in scored(study.trials, metric)])
    worse = "min" if sight.worst < sight.best else "max"
    norm = Normalize(sight.low, sight.high)
    bar = figure.colorbar(
        ScalarMappable(norm, COLOUR_MAP),
        ax=[axes for axes, _ in panels],
        extend=worse if cut else "neither",
        aspect=28 if len(panels) == 1 else 20,
    )
    bar.set_label(metric.heading)
    return norm
