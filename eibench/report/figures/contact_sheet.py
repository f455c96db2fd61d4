"""Contact sheet: some images of each class, or the frames of one recording of each, in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from eibench.errors import printable
from eibench.report.figures.look import style
from eibench.report.figures.style import write_figure

CELL, GAP = 0.75, 0.08
"""Inches of a picture's longer side, and the share of it between pictures."""
SLIM = 8
"""A picture is drawn at least 1 in this high: inputs in a line become a band."""
EVENTS = 2
"""Channels of an event camera's frame: OFF, then ON."""
GROUND = 0.85
"""Grey between frames of events, which are white where nothing happens."""
LONGEST = 24
"""Letters of a class's name."""


@style()
def draw_sheet(title: str, samples: Mapping[str, np.ndarray]) -> Figure:
    """Draw a row for each class: pictures [K, C, H, W], values at least 0; rows may differ in K.

    Three channels are red, green and blue; two are events on white, ON red and OFF blue (both:
    black), the most in a row in full colour; of others the mean is grey.
    """
    rows = [_coloured(_thick(pictures)) for pictures in samples.values()]
    events = any(pictures.shape[1] == EVENTS for pictures in samples.values())
    canvas, places = _canvas(rows, GROUND if events else 1.0)
    inches = CELL / max(rows[0].shape[1:3])
    figure = Figure((inches * canvas.shape[1], inches * canvas.shape[0]))
    axes = figure.add_axes((0, 0, 1, 1))  # names and title stand outside, `save_sheet` fits them
    axes.imshow(canvas, interpolation="nearest")
    axes.set_yticks(places, [printable(_short(name)) for name in samples], parse_math=False)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", size=10, weight="bold", parse_math=False)
    return figure


def save_sheet(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all; raises `UserError` when `path` cannot be written."""
    write_figure(figure, path, "png", bbox_inches="tight", pad_inches=0.1)


def _thick(pictures: np.ndarray) -> np.ndarray:
    """Return pictures of which none is slimmer than 1 in `SLIM`."""
    high, wide = pictures.shape[-2:]
    return pictures.repeat(max(1, wide // SLIM // high), axis=-2)


def _coloured(pictures: np.ndarray) -> np.ndarray:
    """Return [K, C, H, W] as RGB [K, H, W, 3] in [0, 1]."""
    moved = np.moveaxis(pictures, 1, -1)
    if moved.shape[-1] == EVENTS:
        off, on = np.moveaxis(moved / max(moved.max(), 1e-9), -1, 0)
        return np.stack([1 - off, 1 - np.maximum(on, off), 1 - on], axis=-1)
    if moved.shape[-1] != 3:
        moved = moved.mean(-1, keepdims=True).repeat(3, axis=-1)
    shown: np.ndarray = moved / max(moved.max(), 1.0)
    return shown


def _canvas(rows: Sequence[np.ndarray], ground: float) -> tuple[np.ndarray, list[float]]:
    """Return all pictures [H, W, 3] on a grey `ground`, and where each row's middle lies."""
    high, wide = rows[0].shape[1:3]
    gap = max(1, round(GAP * max(high, wide)))
    columns = max(map(len, rows))
    size = len(rows) * (high + gap) - gap, columns * (wide + gap) - gap
    canvas = np.full((*size, 3), ground)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (high + gap), j * (wide + gap)
            canvas[top : top + high, left : left + wide] = picture
    return canvas, [i * (high + gap) + (high - 1) / 2 for i in range(len(rows))]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."
