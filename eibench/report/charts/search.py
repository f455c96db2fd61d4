"""Charts of a search: scores over one parameter or two, and in the order of the trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from matplotlib.colors import to_hex

from eibench.report.charts.marks import line_chart
from eibench.report.charts.vega import (
    COLOUR,
    CROSS,
    MARKS,
    NO_LEGEND,
    NUMBER,
    SHAPE,
    TOLD,
    Legend,
    chart,
    legend_of,
    number_axis,
    short,
    value_colour,
)
from eibench.report.figures.axes import ParameterAxis, doubling
from eibench.report.figures.search_landscape import BRIGHT, Pair, ScoreGrid, choose_pairs
from eibench.report.figures.search_panels import (
    StudyGroup,
    groups,
    looks,
    score_range,
    scored,
    with_history,
    with_scores,
)
from eibench.report.figures.search_trials import LOOKS, best_so_far
from eibench.report.model.document import Chart
from eibench.report.model.search_results import Search, Study, state
from eibench.results.labels import capital, field_words
from eibench.results.metrics import Metric

SIGNS = {"o": "o", "v": "v", "X": "X", "x": "P"}
"""Markers in place of those of the figure of a search."""
STATES: Legend = tuple(
    (kind, to_hex(look["color" if "color" in look else "edgecolor"]), *MARKS[SIGNS[look["marker"]]])
    for kind, look in LOOKS.items()
)
BEST = "best so far"
FRAME = "#D55E00"
"""Colour around the winner."""


def search_charts(search: Search) -> Iterator[Chart]:
    """Yield scores over a single parameter, the landscape of each pair, and the history."""
    by_key: dict[str, list[StudyGroup]] = {}
    for group in groups(search, with_scores(search)):
        if len(group.space) == 1:
            by_key.setdefault(next(iter(group.space)), []).append(group)
    for key, found in by_key.items():
        axis = ParameterAxis.of(key, found[0].space[key])
        if axis.numeric and axis.high > axis.low:
            yield _slices(search, axis, found)
    by_pair: dict[Pair, list[Study]] = {}
    for study in with_scores(search):
        if (pair := choose_pairs(search).get(study.name)) is not None:
            by_pair.setdefault(pair, []).append(study)
    for pair, studies in by_pair.items():
        yield _landscape(search, pair, studies)
    if history := _history(search):
        yield history


def _slices(search: Search, axis: ParameterAxis, found: Sequence[StudyGroup]) -> Chart:
    """Return a line for each study over the one parameter that it searched."""
    metric, known = search.metric, looks(found)
    names = list(known)
    methods = {study.arm.get("method") for group in found for study in group.studies}
    words = {name: search.name_of("method", name) for name in methods if isinstance(name, str)}
    rows = [
        [names.index(name), j, trial.values[axis.key], short(score), None, None, 0, None, None]
        for j, group in enumerate(found)
        for name, study in group.members.items()
        for trial, score in scored(study, metric)
        if not trial.diverged
    ]
    x = alt.X("x:Q", title=axis.heading, scale=_scale(axis), axis=_ticks(axis))
    return line_chart(
        f"Score by {field_words(axis.key)}",
        f"{metric.label.capitalize()} of each complete trial that did not diverge. A line for each"
        " study.",
        legend_of((words.get(name, name), *look) for name, look in known.items()),
        [words.get(group.name, group.name) for group in found],
        rows,
        x,
        number_axis(metric, [row[3] for row in rows]),
    )


def _ticks(axis: ParameterAxis) -> alt.Axis:
    values: Any = {"values": sorted(axis.choices)} if axis.choices else {}
    return alt.Axis(format=NUMBER, grid=False, **values)


def _landscape(search: Search, pair: Pair, studies: Sequence[Study]) -> Chart:
    """Return a panel for each study: cells of a grid, else a dot for each complete trial."""
    metric = search.metric
    grids = [ScoreGrid.of(study, pair, metric) for study in studies]
    scores, _ = score_range(studies, metric)
    colour = value_colour(metric.heading, scores.ends)
    if all(grids):
        rows = [row for j, grid in enumerate(grids) if grid for row in _cells(grid, j)]
        layers = _cell_layers(pair, colour, metric, scores.ends)
        words = "Colour: mean of the cell over what else varies; frame: winner; cross: all diverged"
    else:
        rows = [row for j, study in enumerate(studies) for row in _dots(study, j, pair, metric)]
        layers = _dot_layers(pair, studies[0].space, colour)
        words = (
            "A dot for each complete trial, coloured by its score; star: winner; cross: diverged"
        )
    heads = [search.called(study) for study in studies] if len(search.studies) > 1 else [""]
    return chart(
        f"Landscape over {field_words(pair[0])} and {field_words(pair[1])}",
        f"{metric.label.capitalize()} in {len(rows)} places. {words}.",
        layers,
        ("name", "panel", "x", "y", "value", "trial", "winner", "diverged"),
        rows,
        NO_LEGEND,
        heads,
        300,
    )


def _cells(grid: ScoreGrid, j: int) -> Iterator[list[Any]]:
    for (row, column), mean in np.ndenumerate(grid.means):
        if not math.isnan(mean):
            place = grid.xs[column], grid.ys[row]
            yield [0, j, *place, short(mean), None, place == grid.winner, place in grid.diverged]


def _dots(study: Study, j: int, pair: Pair, metric: Metric) -> Iterator[list[Any]]:
    for trial, score in scored(study, metric):
        place = (trial.values[pair[0]], trial.values[pair[1]])
        won = trial.number == study.winner
        yield [0, j, *place, short(score), trial.number, won, trial.diverged]


def _cell_layers(
    pair: Pair, colour: alt.Color, metric: Metric, ends: Sequence[float]
) -> list[alt.Chart]:
    base = alt.Chart().encode(
        alt.X("x:O", title=field_words(pair[0]), axis=alt.Axis(labelAngle=0, format=".3~g")),
        alt.Y("y:O", title=field_words(pair[1]), sort="descending", axis=alt.Axis(format=".3~g")),
        tooltip=_tips(pair),
    )
    bright = ends[0] + BRIGHT * (ends[1] - ends[0])
    ink = alt.condition(f"datum.value > {bright}", alt.value("black"), alt.value("white"))
    return [
        base.mark_rect().encode(colour),
        base.transform_filter("!datum.diverged")
        .mark_text(fontSize=11)
        .encode(color=ink, text=alt.Text("value:Q", format=f".{metric.digits}f")),
        base.transform_filter("datum.diverged").mark_point(**CROSS, stroke="white"),
        base.transform_filter("datum.winner").mark_rect(filled=False, stroke=FRAME, strokeWidth=4),
    ]


def _dot_layers(pair: Pair, space: Mapping[str, Any], colour: alt.Color) -> list[alt.Chart]:
    x, y = (ParameterAxis.of(key, space[key]) for key in pair)
    base = alt.Chart().encode(
        alt.X("x:Q", title=x.heading, scale=_scale(x), axis=alt.Axis(format=NUMBER, grid=False)),
        alt.Y("y:Q", title=y.heading, scale=_scale(y), axis=alt.Axis(format=NUMBER)),
        tooltip=_tips(pair),
    )
    ring: Any = {"stroke": "#444444", "strokeWidth": 0.7, "opacity": 1, "filled": True}
    marks = {
        "datum.diverged": {"shape": MARKS["X"][1], "size": 80},
        "!datum.diverged && !datum.winner": {"shape": "circle", "size": 70},
        "datum.winner": {"shape": MARKS["*"][1], "size": 380, "stroke": FRAME, "strokeWidth": 2},
    }
    return [
        base.transform_filter(test).mark_point(**{**ring, **mark}).encode(colour)
        for test, mark in marks.items()
    ]


def _scale(axis: ParameterAxis) -> alt.Scale:
    """Return the scale of a parameter over its range, with air at both ends."""
    ends = [*axis.choices] or [axis.low, axis.high]
    ends = [min(ends), max(ends)]
    if axis.log or doubling(sorted(axis.choices)):
        factor = (ends[1] / ends[0]) ** 0.05
        return alt.Scale(type="log", domain=[ends[0] / factor, ends[1] * factor], nice=False)
    air = 0.05 * (ends[1] - ends[0]) or 0.5
    return alt.Scale(domain=[ends[0] - air, ends[1] + air], nice=False)


def _tips(pair: Pair) -> list[alt.Tooltip]:
    fields = {"x": field_words(pair[0]), "y": field_words(pair[1]), "value": "score"}
    numbers = [alt.Tooltip(f"{k}:Q", title=title, format=TOLD) for k, title in fields.items()]
    return [*numbers, alt.Tooltip("trial:N")]


def _history(search: Search) -> Chart | None:
    """Return the score of each trial in order, and the best so far, a panel for each study."""
    studies = with_history(search)
    if not studies:
        return None
    metric = search.metric
    scores, clipped = score_range(with_scores(search), metric)
    ended = {state(trial) for study in studies for trial in study.trials}
    known = tuple(one for one in STATES if one[0] in ended)
    legend: Legend = (*known, (BEST, FRAME, "\N{EM DASH}", "circle"))
    kinds = [kind for kind, *_ in legend]
    rows: list[list[Any]] = []
    for j, study in enumerate(studies):
        for trial in study.trials:
            if (score := trial.scores.get(metric.name)) is not None and state(trial) in kinds:
                place = short(scores.place(score))
                won = trial.number == study.winner
                rows.append([kinds.index(state(trial)), j, trial.number, place, short(score), won])
        rows += [[len(known), j, n, short(scores.place(s)), short(s), False]
                 for n, s in best_so_far(study, metric)]  # fmt: skip
    if not rows:
        return None
    return chart(
        "Score by trial",
        f"{metric.label.capitalize()} of each trial in their order, and the best so far of those"
        f" that can win; star: winner.{f' {capital(scores.edge)}.' * clipped}",
        _history_layers(metric, list(scores.limits)),
        ("name", "panel", "x", "y", "score", "winner"),
        rows,
        legend,
        [search.called(study) for study in studies] if len(search.studies) > 1 else [""],
    )


def _history_layers(metric: Metric, ends: list[float]) -> list[alt.Chart]:
    base = alt.Chart().encode(
        alt.X("x:Q", title="trial", axis=alt.Axis(tickMinStep=1, format=NUMBER, grid=False)),
        alt.Y("y:Q", title=metric.heading, scale=alt.Scale(domain=ends, nice=False)),
        COLOUR,
    )
    told = [alt.Tooltip("x:Q", title="trial"), alt.Tooltip("name:N", title="state"),
            alt.Tooltip("score:Q", format=TOLD)]  # fmt: skip
    own = f"datum.name == '{BEST}'"
    return [
        base.transform_filter(own).mark_line(interpolate="step-after", strokeWidth=1.8),
        base.transform_filter(f"!({own})")
        .mark_point(filled=True, size=36, opacity=0.9)
        .encode(SHAPE, tooltip=told),
        base.transform_filter("datum.winner")
        .mark_point(
            filled=True, shape=MARKS["*"][1], size=260, opacity=1, stroke="#444444", strokeWidth=0.7
        )
        .encode(color=alt.value("#E69F00"), tooltip=told),
    ]
