"""Shards: parts of a plan for several commands, such as the tasks of a job array."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from eibench.errors import UserError
from eibench.plan.suite import MOST_RUNS, PlannedRun


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts of any plan, numbered from 1.

    The part of a run depends on its identity alone, so that it stays when the plan grows.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def read(cls, option: str, text: str) -> Shard:
        """Parse `K/N`; raise `UserError` for anything else."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= MOST_RUNS:
            raise UserError(
                f"{option} {text}: must be K/N with 1 <= K <= N <= {MOST_RUNS}, such as 1/4"
            )
        return cls(number, count)

    def of(self, runs: Iterable[PlannedRun]) -> tuple[PlannedRun, ...]:
        """Return the runs of this part, in their order."""
        return tuple(run for run in runs if self._holds(run.run_id))

    def _holds(self, run_id: str) -> bool:
        digest = hashlib.sha256(run_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
