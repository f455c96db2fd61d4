"""Parts of Vega-Lite specs, made with Altair: axes, legends, colours, and rows cut to size.

A chart has one spec for all its panels. Its data are rows apart from it, so that a page can keep
them short, and can leave lines out. Texts of suites are data alone: none is part of an expression.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import altair as alt

from eibench.report.figures.axes import TICKS, LogAxis, doubling
from eibench.report.model.document import Chart
from eibench.results.labels import field_heading
from eibench.results.metrics import Metric

MOST_COLUMNS, MOST_ROWS = 100, 2000
"""Columns of a map, and rows of a chart that are kept."""
MARKS = {
    "o": ("\N{BLACK CIRCLE}", "circle"),
    "s": ("\N{BLACK SQUARE}", "square"),
    "^": ("\N{BLACK UP-POINTING TRIANGLE}", "triangle-up"),
    "D": ("\N{BLACK DIAMOND}", "diamond"),
    "v": ("\N{BLACK DOWN-POINTING TRIANGLE}", "triangle-down"),
    "P": ("\N{HEAVY GREEK CROSS}", "cross"),
    "X": (
        "\N{HEAVY MULTIPLICATION X}",
        "M-.9,-.5L-.5,-.9L0,-.4L.5,-.9L.9,-.5L.4,0L.9,.5L.5,.9L0,.4L-.5,.9L-.9,.5L-.4,0Z",
    ),
    "*": (
        "\N{BLACK STAR}",
        "M0,-1L.22,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.22,-.31Z",
    ),
    "<": ("\N{BLACK LEFT-POINTING TRIANGLE}", "triangle-left"),
    ">": ("\N{BLACK RIGHT-POINTING TRIANGLE}", "triangle-right"),
    "h": ("\N{BLACK HEXAGON}", "M0,1L.87,.5L.87,-.5L0,-1L-.87,-.5L-.87,.5Z"),
}
"""Sign in a legend and shape in Vega of each of matplotlib's markers."""
NUMBER = ".6~g"
"""Format of ticks; without a precision 100 would be 1e+2."""
NO_LEGEND: Any = (("", "", "", ""),)
CROSS: Any = {
    "shape": "M-.7,-.7L.7,.7M-.7,.7L.7,-.7",
    "size": 90,
    "strokeWidth": 2,
    "filled": False,
}
"""Look of what failed."""
SCHEME: Any = "viridis"
HEIGHT = 230
"""Pixels of a picture."""
TOLD = ".4~g"
"""Format of numbers in tooltips."""
LINE = 36
"""Characters of a line of an axis' title."""
AIR = 0.04
"""Share of an axis that stays free at each end."""
COLOUR, SHAPE = alt.Color("colour:N", scale=None), alt.Shape("shape:N", scale=None)
"""Encodings of columns that the page adds by the name of a row, as its legend says."""
NAME, ORDER = alt.Detail("name:N"), alt.EncodingSortField("order", op="min")
Legend = tuple[tuple[str, str, str, str], ...]
"""Name, colour, sign and shape of each line; the first two columns of all rows are its place and
that of the panel."""


def legend_of(keys: Iterable[tuple[str, str, str]]) -> Legend:
    """Return a legend of labels, colours and markers; a label that is taken gets a number."""
    taken: dict[str, int] = {}
    found = []
    for label, colour, marker in keys:
        taken[label] = taken.get(label, 0) + 1
        name = label if taken[label] == 1 else f"{label} ({taken[label]})"
        found.append((name, colour, *MARKS[marker]))
    return tuple(found)


def thinned(items: Sequence[Any], most: int) -> list[Any]:
    """Return every `k`th of `items` and the last one, at most `most`."""
    step = max(1, math.ceil(len(items) / most))
    kept = list(items[step - 1 :: step])
    return kept if len(items) % step == 0 else [*kept[: most - 1], items[-1]]


def short(number: float | None) -> float | None:
    """Return `number` to four digits, which keeps a page small; None for NaN."""
    if number is None or not math.isfinite(number):
        return None
    rounded = float(f"{number:.4g}")
    return int(rounded) if rounded == int(rounded) else rounded


def limits(values: Iterable[float | None], greatest: float = math.inf) -> list[float]:
    """Return the ends of an axis over `values`, with air, above 0 where all are."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    air = AIR * (high - low) or abs(high) * AIR or 1.0
    least = 0.0 if low >= 0 else -math.inf
    return [float(f"{max(low - air, least):.5g}"), float(f"{min(high + air, greatest + 2):.5g}")]


def wrapped(title: str) -> list[str]:
    """Return the title of an axis in lines no longer than the axis."""
    return wrap(title, LINE) or [""]


def field_axis(values: Sequence[float], field: str) -> alt.X:
    """Return the x axis of a numeric field: log2 where its values double."""
    ticks = sorted(set(values))
    scale = {"type": "log", "base": 2} if doubling(ticks) else {"zero": False}
    ends = _around(ticks, "type" in scale)
    return alt.X("x:Q", title=field_heading(field), scale=alt.Scale(domain=ends, **scale),
                 axis=alt.Axis(values=ticks, format=NUMBER, grid=False))  # fmt: skip


def _around(ticks: Sequence[float], log: bool) -> list[float]:
    """Return the ends of an axis of ticks, with air at both ends."""
    if log:
        factor = (ticks[-1] / ticks[0]) ** AIR
        return [ticks[0] / factor, ticks[-1] * factor]
    air = AIR * (ticks[-1] - ticks[0]) or 0.5
    return [ticks[0] - air, ticks[-1] + air]


def counted_axis(title: str, last: float) -> alt.X:
    """Return an x axis of whole numbers from 1."""
    air = AIR * last
    return alt.X("x:Q", title=title, scale=alt.Scale(domain=[1 - air, last + air], nice=False),
                 axis=alt.Axis(tickMinStep=1, format=NUMBER, grid=False))  # fmt: skip


def number_axis(metric: Metric, values: Iterable[float | None]) -> alt.Y:
    """Return the y axis of a metric over all `values`."""
    return alt.Y("mean:Q", title=wrapped(metric.heading), axis=alt.Axis(format=NUMBER),
                 scale=alt.Scale(domain=limits(values, metric.greatest), nice=False))  # fmt: skip


def power_axis(title: str, axis: LogAxis) -> alt.Y:
    """Return the y axis of powers of ten, whose exact zeros stand below all others."""
    step = math.ceil((axis.high - axis.low) / TICKS)
    ticks = [*([axis.zero] if axis.zeros else []), *range(axis.low, axis.high + 1, step)]
    margin = AIR * (axis.high - axis.low)
    ends = [min(axis.low, axis.zero if axis.zeros else axis.low) - margin, axis.high + margin]
    label = f"datum.value < {axis.low} ? '0' : '1e' + datum.value"
    return alt.Y("mean:Q", title=wrapped(title), scale=alt.Scale(domain=ends, nice=False),
                 axis=alt.Axis(values=ticks, labelExpr=label))  # fmt: skip


def value_colour(title: str, domain: Sequence[float], log: bool = False) -> alt.Color:
    """Return the colours of numbers from one end of `domain` to the other."""
    kind: Any = {"type": "log", "base": 10} if log else {}
    scale = alt.Scale(scheme=SCHEME, domain=list(domain), clamp=True, nice=False, **kind)
    bar = alt.Legend(orient="top", title=title, gradientLength=180, titleLimit=400,
                     format=".0e" if log else TOLD)  # fmt: skip
    return alt.Color("value:Q", scale=scale, legend=bar)


def chart(
    title: str,
    text: str,
    layers: Sequence[alt.Chart],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    legend: Legend,
    panels: Sequence[str],
    height: int = HEIGHT,
) -> Chart:
    """Return the chart of some layers, as wide as its place on the page."""
    whole = alt.layer(*layers, data=alt.NamedData("rows")).properties(
        width="container", height=height
    )
    spec = whole.to_dict(validate=False)  # tests do, as it takes long
    for key in ("config", "$schema"):
        spec.pop(key, None)
    spec["encoding"] = _shared([layer["encoding"] for layer in spec["layer"]])
    return Chart(title, text, spec, tuple(columns), rows, legend, tuple(panels))


def _shared(encodings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Take the channels that all layers encode alike out of them; layers inherit the chart's."""
    alike = [key for key in encodings[0] if all(e.get(key) == encodings[0][key] for e in encodings)]
    shared = {key: encodings[0][key] for key in alike}
    for encoding in encodings:
        for key in alike:
            del encoding[key]
    return shared
