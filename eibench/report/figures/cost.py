"""What `eibench profile` measured, drawn: steps and memory by method, and cost along each axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eibench.report.figures.style import COLOURS, MARKERS, style
from eibench.report.figures.tables import write_around
from eibench.report.model.profile import Profile, heading

NARROW = 1e-3
"""Seconds to milliseconds on an axis."""


def draw_cost(profile: Profile) -> Figure:
    """Steps with quartiles, peak memory, and one panel for each axis."""
    axes = profile["axes"]
    with style():
        figure = Figure((3.2 * (2 + len(axes)) + 1.0, 0.35 * len(profile["rows"]) + 2.6))
        known = profile["environment"]
        text = f"{known['cpu']}, torch {known['torch']}; box: quartiles of the step, line: median"
        write_around(figure, heading(profile), text)
        panels = figure.subplots(1, 2 + len(axes), squeeze=False)[0]
        _draw_steps(panels[0], profile["rows"])
        _draw_memory(panels[1], profile["rows"])
        for panel, axis in zip(panels[2:], axes, strict=True):
            _draw_axis(panel, axis)
    return figure


def _draw_steps(panel: Axes, rows: list[dict[str, Any]]) -> None:
    for i, row in enumerate(rows):
        values = {key: value / NARROW for key, value in row["step_seconds"].items()}
        low, high = values["lower_quartile"], values["upper_quartile"]
        colour = COLOURS[i % len(COLOURS)]
        panel.barh(i, high - low, left=low, height=0.5, color=colour, alpha=0.4)
        panel.plot([values["median"]] * 2, [i - 0.35, i + 0.35], color=colour, linewidth=2)
    _name_rows(panel, rows)
    panel.set_xlim(left=0)
    panel.set_xlabel("training step (ms)")


def _draw_memory(panel: Axes, rows: list[dict[str, Any]]) -> None:
    for i, row in enumerate(rows):
        if row["peak_mib"] is not None:
            panel.barh(i, row["peak_mib"], height=0.5, color=COLOURS[i % len(COLOURS)])
    _name_rows(panel, rows)
    panel.tick_params(labelleft=False)
    panel.set_xlabel("peak memory (MiB)")


def _name_rows(panel: Axes, rows: list[dict[str, Any]]) -> None:
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)


def _draw_axis(panel: Axes, axis: Mapping[str, Any]) -> None:
    values = np.asarray(axis["values"])
    for i, line in enumerate(axis["lines"]):
        colour, fitted = COLOURS[i % len(COLOURS)], line["time_fit"]
        measured = np.asarray(line["step_seconds"]) / NARROW
        panel.plot(values, measured, MARKERS[i % len(MARKERS)], color=colour, label=line["name"])
        straight = (fitted["intercept"] + fitted["slope"] * values) / NARROW
        panel.plot(values, straight, color=colour, linewidth=1)
    panel.set_xlabel(axis["axis"])
    panel.set_ylabel("training step (ms)")
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    panel.legend()
