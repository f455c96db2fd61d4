"""Figure docs/figures/differences.svg: differences to batch norm, task by task.

`make figures` runs it. The file holds its numbers too, so that a test sees when they are stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from eibench.report.figures.look import style
from eibench.report.figures.palette import method_colour
from eibench.report.model.pivot import build_pivot, choose_layout
from eibench.report.model.suite_results import read_suite
from eibench.results.metrics import find_metric

EVIDENCE = Path("results/evidence")
FILE = Path(__file__).parent / "figures" / "differences.svg"
TASKS: dict[str, dict[str, int | str | None]] = {
    "digits, 4 layers": {"depth_digits": 4},
    "digits, 8 layers": {"depth_digits": 8},
    "digits, 16 layers": {"depth_digits": 16, "depth_scaling": 16},
    "digits, 32 layers": {"depth_digits": 32},
    "digits as events, 8": {"events": None},
    "Fashion-MNIST, 4": {"fashion_depth": "16 P 32 P 64 P 64"},
    "Fashion-MNIST, 8": {"fashion_depth": "16 16 P 32 32 P 64 64 P 64 64"},
    "Fashion-MNIST, 16": {
        "fashion_deep": None,
        "fashion_depth": "16 P 16 P 32 32 32 32 32 32 32 P 32 32 32 32 32 32 32",
    },
    "CIFAR-10, 4": {"cifar10_narrow": None},
    "CIFAR-10, 8": {"cifar10_deeper": None},
}
"""Rows from the top: suites with depth or layout; a method is taken from the first that has it."""
METHODS = {
    "ei": ("paper's circuit", "o"),
    "ei-blanket": ("blanket inhibition", "^"),
    "batchnorm-scale0.6-shift0.3": ("batch norm, the same start", "s"),
    "weight_standardization-gain_learned": ("weight standardization", "D"),
    "no_norm-fluctuation": ("no norm, weights drawn for spikes", "v"),
}
LEAST, MOST = -10.0, 5.0
"""Ends of the axis; what lies outside stands there, with its number."""


class Row(NamedTuple):
    """A difference in percentage points."""

    task: str
    method: str
    mean: float
    low: float
    high: float


def read_rows() -> Iterator[Row]:
    """Yield the differences of the committed evidence, as the tables of the suites have them."""
    for task, suites in TASKS.items():
        left = set(METHODS)
        for name, depth in suites.items():
            suite = read_suite(EVIDENCE / name)
            table = build_pivot(suite, find_metric("test_accuracy"), choose_layout(suite))
            for method in sorted(left):
                place = (method,), () if depth is None else (depth,)
                if (found := table.differences.get(place)) and found.interval:
                    numbers = (found.mean, *found.interval)
                    yield Row(task, method, *(round(number, 2) for number in numbers))
                    left.remove(method)


def drawn_rows() -> list[Row]:
    """Return the numbers that the figure holds."""
    text = FILE.read_text(encoding="utf-8")
    return [Row(*row) for row in json.loads(re.search(r"differences: (\[.*?\]\])", text)[1])]  # type: ignore[index]


def draw(axes: Axes, rows: list[Row]) -> None:
    """Draw the means with their intervals, one method below another in each task."""
    tasks, step = list(TASKS), 0.8 / len(METHODS)
    for i, (method, (name, marker)) in enumerate(METHODS.items()):
        look: dict[str, Any] = {"color": method_colour(method), "zorder": 3}
        axes.plot([], [], marker, label=name, **look)
        for row in rows:
            if row.method != method:
                continue
            y = tasks.index(row.task) - 0.4 + (i + 0.5) * step
            mean = min(max(row.mean, LEAST), MOST)
            axes.plot([max(row.low, LEAST), min(row.high, MOST)], [y, y], linewidth=1.4, **look)
            axes.plot(mean, y, marker, markersize=5, clip_on=False, **look)
            if mean != row.mean:
                beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
                beside |= {"ha": "right", "fontsize": 7, "color": look["color"]}
                axes.annotate(f"{row.mean:+.0f}", (mean, y), (-8, 0), **beside)
    axes.axvline(0, color="#444444", linewidth=1.0, zorder=2)
    axes.axvspan(-1, 1, color="#888888", alpha=0.15, linewidth=0)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.tick_params(axis="y", pad=22)
    axes.set(xlim=(LEAST, MOST), ylim=(len(tasks) - 0.5, -0.5))
    axes.set_xlabel("test accuracy less batch norm's (points), 95 % intervals; grey: one point")
    axes.grid(axis="y", visible=False)


@style()
def main() -> None:
    """Draw and save the figure."""
    rows = list(read_rows())
    figure, axes = plt.subplots(figsize=(7.6, 7.0), layout="constrained")
    draw(axes, rows)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    note = f"differences: {json.dumps(rows)}"
    figure.savefig(FILE, metadata={"Date": None, "Description": note})
    plt.close(figure)


if __name__ == "__main__":
    main()
