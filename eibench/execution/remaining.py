"""The time that is left of a suite or a search, from what its parts have cost so far.

Work is counted in epochs (a probe is one), by kind: runs of one kind take the same time for each.
The cost of a kind is what its epochs took in this command, or before that what records of this
machine say; kinds that have neither are taken for the mean of the others.
"""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eibench.errors import UserError
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.store import RunFolder

if TYPE_CHECKING:
    import torch

    from eibench.execution.estimate import Kind


class RemainingWork:
    """Epochs that are left, and what one of each kind costs."""

    def __init__(self, left: Mapping[Any, float], costs: Mapping[Any, float] | None = None) -> None:
        self.left = defaultdict[Hashable, float](float, left)
        self.costs = dict(costs or {})
        """Seconds of an epoch, as records have it."""
        self.done = defaultdict[Hashable, float](float)
        self.spent = defaultdict[Hashable, float](float)
        self.dropped = defaultdict[Hashable, float](float)
        """Epochs that were planned and will not be computed: of runs that failed or were pruned."""

    def advance(self, kind: Hashable, epochs: float, seconds: float) -> None:
        """Count `epochs`, or a part of one, that took `seconds`."""
        self.left[kind] -= epochs
        self.done[kind] += epochs
        self.spent[kind] += seconds

    def drop(self, kind: Hashable, epochs: float) -> None:
        """Take off `epochs` that will not be computed."""
        self.left[kind] -= epochs
        self.dropped[kind] += epochs

    def seconds(self, jobs: int = 1) -> float | None:
        """Return the expected time with `jobs` runs at a time; None where nothing is known yet."""
        costs = {kind: cost for kind in self.left if (cost := self._cost(kind)) is not None}
        if not costs:
            return None
        usual = statistics.fmean(costs.values())
        total: float = sum(
            max(left, 0.0) * costs.get(kind, usual) * self._share(kind)
            for kind, left in self.left.items()
        )
        return total / jobs

    def _cost(self, kind: Hashable) -> float | None:
        if self.done[kind] > 0:
            return self.spent[kind] / self.done[kind]
        return self.costs.get(kind)

    def _share(self, kind: Hashable) -> float:
        """Return the share of planned epochs that are computed in the end."""
        planned = self.done[kind] + self.dropped[kind]
        return self.done[kind] / planned if planned > 0 else 1.0


def work_of(
    plan: Plan, runs: Iterable[PlannedRun], root: Path, device: torch.device, jobs: int
) -> RemainingWork:
    """Return what is left of `runs` of `plan` under `root`, with costs from records."""
    from eibench.execution.estimate import kind_of_run

    left: Counter[Hashable] = Counter()
    for run in runs:
        left[kind_of_run(run.spec)] += _epochs_left(run, RunFolder(root / plan.name / run.run_id))
    return RemainingWork(left, known_costs(plan, root, device, jobs))


def known_costs(
    plan: Plan, root: Path, device: torch.device, jobs: int, seeds: Iterable[int] = ()
) -> dict[Kind, float]:
    """Return the costs that records have, with `jobs` at a time; none where they are damaged."""
    from eibench.execution.device import device_name
    from eibench.execution.estimate import recorded_costs

    with contextlib.suppress(UserError):
        return recorded_costs(plan, root, device_name(device, jobs), tuple(seeds))
    return {}


def _epochs_left(run: PlannedRun, files: RunFolder) -> int:
    from eibench.execution.estimate import epochs_of

    with contextlib.suppress(UserError):  # damaged files are the run's own affair
        if files.final_record() is not None:
            return 0
        done = len(files.epochs()) if files.checkpoint.exists() else 0
        return max(0, epochs_of(run.spec) - done)
    return epochs_of(run.spec)
