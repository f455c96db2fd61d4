"""A metric over a numeric field: mean, one standard deviation, and every seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from eibench.report.figures.style import Series
from eibench.report.model.labels import field_heading, show_value
from eibench.report.model.layout import Key
from eibench.report.model.pivot import Aggregate, Pivot

SPREAD = 0.3
"""Share of the least distance on the x axis over which the dots of all series are spread."""


@dataclass(frozen=True)
class Scale:
    """An x axis that all panels share."""

    heading: str
    positions: dict[float, float]
    """Where each value of the field stands, ascending."""

    @classmethod
    def of(cls, table: Pivot, x: str) -> Scale:
        """The scale of the last column field `x`: binary logarithms where values double."""
        values = sorted({float(column[-1] or 0) for column in table.columns})
        if doubling(values):
            return cls(f"{field_heading(x)}, log scale", {v: math.log2(v) for v in values})
        return cls(field_heading(x), {v: v for v in values})

    @property
    def step(self) -> float:
        """The least distance between neighbours."""
        return min((b - a for a, b in itertools.pairwise(self.positions.values())), default=1.0)

    def apply(self, axes: Axes) -> None:
        """Ticks at the values, and half a step of air beside them."""
        places = list(self.positions.values())
        axes.set_xticks(places, [show_value(value) for value in self.positions])
        axes.set_xlim(places[0] - self.step / 2, places[-1] + self.step / 2)
        axes.set_xlabel(self.heading)


def doubling(values: Sequence[float]) -> bool:
    """Whether a log scale suits ascending values: three or more, each at least twice the last."""
    pairs = list(itertools.pairwise(values))
    return len(pairs) > 1 and all(0 < 2 * a <= b for a, b in pairs)


def draw_curves(
    axes: Axes, table: Pivot, series: Sequence[Series], columns: Sequence[Key], scale: Scale
) -> None:
    """One panel: the cells of `columns`, whose last value is the place on the x axis."""
    places = [scale.positions[float(column[-1] or 0)] for column in columns]
    for one in series:
        cells = [table.cells.get((one.row, column), Aggregate({}, {})) for column in columns]
        beside = [place + SPREAD * scale.step * one.shift for place in places]
        _curve(axes, one, cells, places)
        _seeds(axes, one, cells, beside)
        _failures(axes, one, cells, beside)
    scale.apply(axes)


def _curve(axes: Axes, one: Series, cells: Sequence[Aggregate], places: Sequence[float]) -> None:
    """Mean line and band, which stop where a cell has no number; a bar shows a lonely spread."""
    means = [math.nan if cell.mean is None else cell.mean for cell in cells]
    spreads = [math.nan if cell.deviation is None else cell.deviation for cell in cells]
    low = [m - s for m, s in zip(means, spreads, strict=True)]
    high = [m + s for m, s in zip(means, spreads, strict=True)]
    axes.fill_between(places, low, high, color=one.colour, alpha=0.13, linewidth=0)
    axes.vlines(places, low, high, color=one.colour, alpha=0.35, linewidth=1)
    axes.plot(places, means, **one.look)


def _seeds(axes: Axes, one: Series, cells: Sequence[Aggregate], places: Sequence[float]) -> None:
    for cell, place in zip(cells, places, strict=True):
        if cell.n > 1:
            axes.scatter(
                [place] * cell.n,
                list(cell.values.values()),
                s=7,
                color=one.colour,
                alpha=0.55,
                linewidths=0,
            )


def _failures(axes: Axes, one: Series, cells: Sequence[Aggregate], places: Sequence[float]) -> None:
    """A cross on the bottom axis where runs of a cell failed."""
    failed = [place for cell, place in zip(cells, places, strict=True) if cell.failed]
    axes.scatter(
        failed,
        [0.0] * len(failed),
        transform=axes.get_xaxis_transform(),
        marker="x",
        s=45,
        linewidths=1.8,
        color=one.colour,
        clip_on=False,
        zorder=6,
    )
