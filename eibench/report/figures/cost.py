"""Figure of what `eibench profile` measured: steps and memory by method, cost along each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.figures.axes import name_rows
from eibench.report.figures.look import style
from eibench.report.figures.palette import method_colour
from eibench.report.figures.style import MARKERS, write_around
from eibench.report.model.profile import Profile, heading

MILLI = 1e-3
"""Seconds to milliseconds on an axis."""


@style()
def draw_cost(profile: Profile) -> Figure:
    """Draw steps with quartiles, peak memory, and one panel for each axis."""
    rows, axes, known = profile["rows"], profile["axes"], profile["environment"]
    figure = Figure((3.2 * (2 + len(axes)) + 1.0, 0.35 * len(rows) + 2.6))
    text = f"{known['cpu']}, torch {known['torch']}; box: quartiles of the step, line: median"
    write_around(figure, heading(profile), text)
    panels = figure.subplots(1, 2 + len(axes), squeeze=False)[0]
    for i, row in enumerate(rows):
        _draw_row(panels[0], panels[1], i, row)
    for panel, words in ((panels[0], "training step (ms)"), (panels[1], "peak memory (MiB)")):
        name_rows(panel, [row["name"] for row in rows])
        panel.set(xlabel=words, xlim=(0, None))
    panels[1].tick_params(labelleft=False)
    for panel, axis in zip(panels[2:], axes, strict=True):
        _draw_axis(panel, axis["axis"], axis["values"], axis["lines"])
    return figure


def _draw_row(steps: Axes, memory: Axes, i: int, row: Mapping[str, Any]) -> None:
    """Draw one method's steps, and its peak memory where it was measured."""
    values = {key: value / MILLI for key, value in row["step_seconds"].items()}
    low, high = values["lower_quartile"], values["upper_quartile"]
    colour = _colour(row["name"])
    steps.barh(i, high - low, left=low, height=0.5, color=colour, alpha=0.4)
    steps.plot([values["median"]] * 2, [i - 0.35, i + 0.35], color=colour, linewidth=2)
    if row["peak_mib"] is not None:
        memory.barh(i, row["peak_mib"], height=0.5, color=colour)


def _colour(name: str) -> str:
    """Return the colour of a method, which is the last word of a name such as `bare ei`."""
    return method_colour(name.rpartition(" ")[2])


def _draw_axis(
    panel: Axes, name: str, values: Sequence[float], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Draw what was measured along an axis, and the straight lines fitted to it."""
    ends = np.asarray(values)
    for i, line in enumerate(lines):
        colour, fitted = _colour(line["name"]), line["time_fit"]
        measured = np.asarray(line["step_seconds"]) / MILLI
        panel.plot(ends, measured, MARKERS[i % len(MARKERS)], color=colour, label=line["name"])
        straight = (fitted["intercept"] + fitted["slope"] * ends) / MILLI
        panel.plot(ends, straight, color=colour, linewidth=1)
    panel.set(xlabel=name, ylabel="training step (ms)", xlim=(0, None), ylim=(0, None))
    panel.legend()
