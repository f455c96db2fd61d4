"""Simulation: how often the intervals and verdicts of a report are right.

    python docs/interval_coverage.py            prints the table of docs/comparisons.md

Normal samples of known means are compared as a report compares them. Tables whose statistics all
lie inside the quantile of a single comparison need no integral: that of several is larger.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from eibench.results.dunnett import ALPHA
from eibench.results.statistics import Verdict, differences

SPREADS = {
    "all equal": (1.0, 1.0, 1.0, 1.0),
    "control's 3 times": (3.0, 1.0, 1.0, 1.0),
    "one rival's 3 times": (1.0, 3.0, 1.0, 1.0),
    "1, 1, 3, 9": (1.0, 1.0, 3.0, 9.0),
}
"""Standard deviations of the control and three rivals."""
REPEATS = 4_000
CHANCE, TRAINED, SPREAD = 10.0, 95.0, 1.5
"""Accuracy of a run that stays at chance, and mean and deviation of one that trains."""
FAILING = {"a third": 1 / 3, "a fifth": 1 / 5, "a tenth": 1 / 10}
"""Probabilities that a run stays at chance."""


@dataclass(frozen=True)
class Rates:
    """Shares of simulated tables."""

    one: float
    """The interval of a single comparison (the first rival alone) holds the truth."""
    table: float
    """All intervals of the table hold it."""
    pooled: float
    """The same with one variance for all."""
    equivalent: float
    """A single comparison is called equivalent though the truth lies at the margin."""


def simulate(n: int, spreads: tuple[float, ...], repeats: int, seed: int = 0) -> Rates:
    """Return the rates over `repeats` tables of `n` seeds in each cell; all true means are 0."""
    generator = np.random.default_rng([seed, n])
    tables = generator.normal(size=(repeats, len(spreads), n)) * np.array(spreads)[:, None]
    return Rates(
        np.mean([not wrong for wrong in _wrong(tables[:, :2], pooled=False)]).item(),
        np.mean([not wrong for wrong in _wrong(tables, pooled=False)]).item(),
        np.mean([not wrong for wrong in _wrong(tables, pooled=True)]).item(),
        np.mean([*_called_equivalent(tables[:2000, :2])]).item(),
    )


def _wrong(tables: np.ndarray, pooled: bool) -> Iterator[bool]:
    """Yield of each table whether an interval leaves out the true difference, 0."""
    n = tables.shape[2]
    mean, variance = tables.mean(2), tables.var(2, ddof=1)
    if pooled:
        error = np.sqrt(2 * variance.mean(1, keepdims=True) / n)
        df = np.full_like(mean[:, 1:], tables.shape[1] * (n - 1))
    else:
        both = variance[:, 1:] + variance[:, :1]
        error = np.sqrt(both / n)
        df = both**2 * (n - 1) / (variance[:, 1:] ** 2 + variance[:, :1] ** 2)
    far = np.abs(mean[:, 1:] - mean[:, :1]) / error > t.isf(ALPHA / 2, df)
    for table, some in zip(tables, far.any(1), strict=True):
        yield bool(some) and any(one.excludes_zero for one in _compare(table, pooled))


def _called_equivalent(tables: np.ndarray) -> Iterator[bool]:
    """Yield of each table whether the first rival is called equivalent, moved to the margin."""
    margin = 2.0
    for control, rival in tables:
        (one,) = _compare(np.stack([control, rival + margin]), pooled=False)
        yield one.verdict("higher", margin) == Verdict.EQUIVALENT or one.within(margin)


def _compare(table: np.ndarray, pooled: bool) -> list:
    control, *rivals = (dict(enumerate(map(float, row))) for row in table)
    return [*differences(control, dict(enumerate(rivals)), pooled).values()]


def simulate_failing(n: int, share: float, repeats: int, seed: int = 0) -> float:
    """Return how often the interval of one comparison holds the truth if runs of the rival fail.

    Each run of the rival stays at chance with probability `share`; the control always trains.
    """
    generator = np.random.default_rng([seed, n])
    control, rival = generator.normal(TRAINED, SPREAD, size=(2, repeats, n))
    rival = np.where(generator.random((repeats, n)) < share, CHANCE, rival)
    truth = share * (CHANCE - TRAINED)
    pairs = zip(control, rival - truth, strict=True)
    return 1 - np.mean([_compare(np.stack(one), pooled=False)[0].excludes_zero for one in pairs])


def main() -> None:
    """Print the tables."""
    heads = ("one comparison", "whole table", "whole table, pooled", "wrongly equivalent")
    print(f"| deviations | n | {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|")
    for name, spreads in SPREADS.items():
        for n in (3, 5, 10):
            r = simulate(n, spreads, REPEATS)
            numbers = " | ".join(f"{100 * x:.1f}" for x in (r.one, r.table, r.pooled, r.equivalent))
            print(f"| {name} | {n} | {numbers} |", flush=True)
    print("\n| of the rival's runs stay at chance | n = 3 | 5 | 10 |\n|---|---|---|---|")
    for name, share in FAILING.items():
        rates = (100 * simulate_failing(n, share, REPEATS) for n in (3, 5, 10))
        print(f"| {name} | {' | '.join(f'{x:.0f}' for x in rates)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
