"""Charts of three kinds: lines in bands, rows of dots with bars, and maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import altair as alt

from eibench.report.charts.vega import (
    COLOUR,
    CROSS,
    NAME,
    NO_LEGEND,
    NUMBER,
    ORDER,
    SHAPE,
    TOLD,
    Legend,
    chart,
    wrapped,
)
from eibench.report.model.document import Chart

Axis = TypeVar("Axis", alt.X, alt.Y)
ROW, ABOVE = 24, -8
"""Pixels of a row of names, and from its middle up to the dots of seeds."""
MAP_ROW, MAP_HEIGHT = 18, 200
"""Pixels of a row of a map by name, and of a map by number."""
ZERO = "#D55E00"
"""Colour of exact zeros, which a log scale lacks."""
ONCE = alt.NamedData("once")
"""Data of marks that stand there once, whatever the rows."""


def line_chart(
    title: str,
    text: str,
    legend: Legend,
    panels: Sequence[str],
    rows: Sequence[Sequence[Any]],
    x: alt.X,
    y: alt.Y,
    ways: Sequence[str] = (),
) -> Chart:
    """Return lines of means in bands, with seeds as dots and failures as crosses at the bottom.

    Rows are name, panel, x, mean, low, high, failed, seed and its value, and if there are several
    `ways`, which of them: the first is solid, the second dashed.
    """
    base = alt.Chart().encode(x, color=COLOUR, detail=NAME)
    told = [*_tips(x), alt.Tooltip("mean:Q", title=_title(y), format=TOLD),
            *(alt.Tooltip(f"{end}:Q", format=TOLD) for end in ("low", "high"))]  # fmt: skip
    dash: Any = {"strokeDash": _dash(ways), **_detail(ways)} if ways else {}
    below = _of(y, "low")
    seed = [*_tips(x), "seed:N", alt.Tooltip("value:Q", title=_title(y), format=TOLD)]
    cross = alt.Chart().transform_filter("datum.failed > 0").mark_point(**CROSS)
    cells = base.transform_filter("!isValid(datum.seed)")
    layers = [
        _band(cells, ways).encode(below, alt.Y2("high")),
        cells.mark_line(strokeWidth=1.8, clip=True).encode(y, **dash),
        base.transform_filter("isValid(datum.mean)" + " && datum.way == 0" * bool(ways))
        .mark_point(filled=True, opacity=1, size=45, clip=True)
        .encode(y, SHAPE, tooltip=told),
        cross.encode(
            x,
            color=COLOUR,
            detail=NAME,
            y=alt.value("height"),
            tooltip=[*_tips(x), alt.Tooltip("failed:Q", title="failed runs")],
        ),
    ]
    if not ways:  # of lonely points a band has no width
        bars = cells.mark_rule(opacity=0.4, clip=True)
        layers.append(bars.encode(below, alt.Y2("high")))
    if any(row[7] is not None for row in rows):
        dots = base.transform_filter("isValid(datum.value)").mark_circle(size=14, opacity=0.6)
        layers.append(dots.encode(_of(y, "value"), tooltip=seed))
    columns = ["name", "panel", "x", "mean", "low", "high", "failed", "seed", "value"]
    columns += ["way"] * bool(ways)
    return chart(title, text, layers, columns, _means_first(rows, 7), legend, panels)


def dot_chart(
    title: str,
    text: str,
    legend: Legend,
    panels: Sequence[str],
    rows: Sequence[Sequence[Any]],
    heading: str,
    domain: Sequence[float] = (),
    zero: float | None = None,
) -> Chart:
    """Return a row for each name: mean, bar, and seeds as small dots.

    Rows are name, panel, mean, low, high, clear, seed and its value. Without `domain` each panel
    has its own. With `zero`, the half width of what counts as equivalent, which may be 0,
    differences stand at both sides of a line.
    """
    y = alt.Y("name:N", sort=ORDER, title=None,
              axis=alt.Axis(grid=False, ticks=False, domain=False))  # fmt: skip
    ends = alt.Scale(domain=list(domain), nice=False, zero=False) if domain else alt.Scale()
    x = alt.X("mean:Q", title=wrapped(heading), scale=ends, axis=alt.Axis(format=NUMBER))
    told = [alt.Tooltip("name:N", title="row"), alt.Tooltip("mean:Q", format=TOLD),
            *(alt.Tooltip(f"{end}:Q", format=TOLD) for end in ("low", "high"))]  # fmt: skip
    base = alt.Chart().encode(y, color=COLOUR, detail=NAME)
    layers = []
    if zero:
        layers.append(alt.Chart(ONCE).mark_rect(opacity=0.15, color="#888888").encode(
            x=alt.datum(-zero), x2=alt.datum(zero)))  # fmt: skip
    if zero is not None:
        layers.append(alt.Chart(ONCE).mark_rule(color="#888888").encode(x=alt.datum(0)))
    layers += [
        base.mark_rule(strokeWidth=2.5, clip=True).encode(_of(x, "low"), alt.X2("high")),
        base.transform_filter("isValid(datum.value)")
        .mark_circle(size=16, opacity=0.6, clip=True, yOffset=ABOVE)
        .encode(
            _of(x, "value"),
            tooltip=[
                alt.Tooltip("name:N", title="row"),
                "seed:N",
                alt.Tooltip("value:Q", format=TOLD),
            ],
        ),
        base.transform_filter("isValid(datum.mean)")
        .mark_point(opacity=1, size=70, strokeWidth=1.5)
        .encode(
            x,
            SHAPE,
            tooltip=told,
            fill=alt.condition("datum.clear", alt.Fill("colour:N", scale=None), alt.value("white")),
        ),
    ]
    columns = ("name", "panel", "mean", "low", "high", "clear", "seed", "value")
    height = ROW * len(legend) + ROW // 2
    return chart(title, text, layers, columns, _means_first(rows, 6), legend, panels, height)


def _means_first(rows: Sequence[Sequence[Any]], seed: int) -> list[Sequence[Any]]:
    """Return the rows without a seed, in place `seed`, before the others; a page packs them so."""
    return sorted(rows, key=lambda row: row[seed] is not None)


def map_chart(
    title: str,
    text: str,
    panels: Sequence[str],
    rows: Sequence[Sequence[Any]],
    x: str,
    y: str | None,
    colour: alt.Color,
    names: Sequence[str] = (),
) -> Chart:
    """Return rectangles by x and y, coloured by value; zeros of a log scale have their own colour.

    Rows are name, panel, x, y and value. Without `y` the names are the rows, first on top; with it
    numbers are, the least at the bottom.
    """
    across = alt.X("x:O", title=x, axis=alt.Axis(labelOverlap=True, labelAngle=0, ticks=False))
    if y is None:
        down = alt.Y("name:N", sort=ORDER, title=None, axis=alt.Axis(ticks=False))
    else:
        down = alt.Y("y:O", sort="descending", title=y,
                     axis=alt.Axis(labelOverlap=True, ticks=False))  # fmt: skip
    told = [*([alt.Tooltip("name:N", title="row")] if y is None else [alt.Tooltip("y:O", title=y)]),
            alt.Tooltip("x:O", title=x), alt.Tooltip("value:Q", format=TOLD)]  # fmt: skip
    base = alt.Chart().encode(across, down, tooltip=told)
    layers = [
        base.transform_filter("datum.value > 0 || datum.value < 0").mark_rect().encode(colour),
        base.transform_filter("datum.value === 0").mark_rect(color=ZERO),
    ]
    if y is not None:  # a linear scale, on which 0 is a number
        layers = [base.mark_rect().encode(colour)]
    columns = ("name", "panel", "x", "y", "value")
    height = MAP_ROW * len(names) if y is None else MAP_HEIGHT
    legend = tuple((name, "", "", "") for name in names) or NO_LEGEND
    return chart(title, text, layers, columns, rows, legend, panels, height)


def _dash(ways: Sequence[str]) -> alt.StrokeDash:
    return alt.StrokeDash("way:N", legend=None, scale=alt.Scale(
        domain=list(range(len(ways))), range=[[1, 0], [5, 3]][: len(ways)]))  # fmt: skip


def _band(cells: alt.Chart, ways: Sequence[str]) -> alt.Chart:
    """Return the band around a line, fainter of the second way."""
    band: alt.Chart = cells.mark_area(opacity=0.14, clip=True)
    if ways:
        faint = alt.condition("datum.way > 0", alt.value(0.05), alt.value(0.14))
        band = cells.mark_area(clip=True).encode(opacity=faint, **_detail(ways))
    return band


def _detail(ways: Sequence[str]) -> dict[str, Any]:
    return {"detail": [NAME, alt.Detail("way:N")]} if ways else {}


def _of(axis: Axis, field: str) -> Axis:
    """Return another column on the same axis, which the layer of means describes."""
    return type(axis)(f"{field}:Q")


def _title(axis: alt.X | alt.Y) -> str:
    values: Any = axis.to_dict()
    title = values.get("title")
    return title if isinstance(title, str) else " ".join(title)


def _tips(x: alt.X) -> list[alt.Tooltip]:
    """Return what a tooltip says first: the line, and the place on the x axis."""
    return [alt.Tooltip("name:N", title="line"), alt.Tooltip("x:Q", title=_title(x), format=NUMBER)]
