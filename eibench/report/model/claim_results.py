"""Results of claims: the numbers of each cell, a status, and the sentence with numbers.

A claim passes if all of its cells do; otherwise the worst status counts: `FAIL`, then `MISSING`,
then `UNDECIDED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from eibench.plan.claims import Blank, Claim, fill
from eibench.plan.suite import METHOD
from eibench.results.metrics import Metric
from eibench.results.statistics import Sample, difference

PASS, UNDECIDED, MISSING, FAIL = "PASS", "UNDECIDED", "MISSING", "FAIL"
STATUSES = (PASS, UNDECIDED, MISSING, FAIL)
"""From best to worst."""
AGREES, DIFFERS, ABSENT = "agrees", "differs", "absent"
UNKNOWN = "?"
"""Stands in a text for a number that does not exist."""
ROUNDING = 1e-12
"""Share of a number up to which a bound is taken for reached."""
Number = float | int | None
Decision = tuple[str, str]
"""Status, and the reason of every status but `PASS`."""


@dataclass(frozen=True)
class CellResult:
    """Numbers of one cell of a claim, and what they decide."""

    status: str
    reason: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """The numbers as a text shows them, by the name of a blank."""
    samples: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Numbers by seed of the cell's runs, under ``, and of the control's, under `control`."""
    environments: Sequence[Mapping[str, Any]] = ()
    """Machines and versions of these runs."""


@dataclass(frozen=True)
class ClaimResult:
    """Claim with the results of its cells."""

    claim: Claim
    cells: Mapping[str, CellResult]
    metric: Metric | None = None
    """None for profiles, and where there are no results."""

    @property
    def status(self) -> str:
        """The worst status of the cells."""
        return max((cell.status for cell in self.cells.values()), key=STATUSES.index)

    @cached_property
    def sentence(self) -> str:
        """The claim's text with its numbers."""

        def text_of(blank: Blank) -> str:
            return self.cells[blank.cell].texts.get(blank.number, UNKNOWN)

        return fill(self.claim, text_of)

    @property
    def reasons(self) -> list[str]:
        """The reason of each cell that does not pass, after its name if there are several."""
        several = len(self.cells) > 1
        return [
            f"{name}: {cell.reason}" if several else cell.reason
            for name, cell in self.cells.items()
            if cell.status != PASS
        ]

    @property
    def environments(self) -> Iterator[Mapping[str, Any]]:
        """Machines and versions of all runs."""
        for cell in self.cells.values():
            yield from cell.environments


def decide_number(claim: Claim, number: float, text: str) -> Decision:
    """Decide a number without an interval; the bound itself satisfies the relation."""
    least, most = claim.region
    air = ROUNDING * max(1.0, abs(number))
    if claim.relation == "any" or least - air <= number <= most + air:
        return PASS, ""
    return FAIL, f"{text}, and the claim is {claim.relation_words}"


def absent_result(claim: Claim, reason: str) -> ClaimResult:
    """Return the result of a claim whose suite or profile is not there."""
    return ClaimResult(claim, dict.fromkeys(claim.cells, CellResult(MISSING, reason)))


def profile_result(claim: Claim, profile: Mapping[str, Any]) -> ClaimResult:
    """Decide a claim about the cost of a training step."""
    control = str((claim.control or {})[METHOD])
    names = {name: str(fields[METHOD]) for name, fields in claim.cells.items()}
    cells = {name: _profile_cell(claim, profile, row, control) for name, row in names.items()}
    return ClaimResult(claim, cells)


def _profile_cell(claim: Claim, profile: Mapping[str, Any], name: str, base: str) -> CellResult:
    rows = {row["name"]: row for row in profile["rows"]}
    for method in (name, base):
        if method not in rows:
            return CellResult(MISSING, f"no row {method} in the profile {claim.profile}")
    number = _profile_ratio(claim, rows[name], rows[base], profile["reference"])
    if number is None:
        return CellResult(MISSING, f"the profile {claim.profile} has no {claim.metric} of both")
    text = f"{number:.2f}"
    machines = [{**profile["environment"], "device": profile["device"]}]
    decision = decide_number(claim, number, f"ratio {text}")
    return CellResult(*decision, {"ratio": number}, {"ratio": text}, environments=machines)


def _profile_ratio(
    claim: Claim, row: Mapping[str, Any], base: Mapping[str, Any], reference: str
) -> float | None:
    """Return a method's cost over that of the control.

    Times over the profile's reference are the median over turns, as `eibench profile` prints them;
    other times are divided median by median.
    """
    if claim.metric == "peak_memory":
        peaks = row.get("peak_mib"), base.get("peak_mib")
        return None if None in peaks else float(peaks[0] / peaks[1])  # type: ignore[operator]
    if base["name"] == reference and row.get("ratio") is not None:
        return float(row["ratio"])
    return float(row["step_seconds"]["median"] / base["step_seconds"]["median"])


def agreement(ours: ClaimResult, theirs: ClaimResult) -> tuple[str, str]:
    """Return whether the numbers of a claim agree with those of other results, and details.

    Each mean is compared by Welch's 95 % interval of the difference, which holds 0 if they agree.
    Shares and profiles agree if the claim has the same status.
    """
    if any(cell.status == MISSING for side in (ours, theirs) for cell in side.cells.values()):
        return ABSENT, ""
    if ours.claim.compare in ("share_trained", "profile_ratio"):
        same = ours.status == theirs.status
        return (AGREES, "") if same else (DIFFERS, f"{ours.status} here, {theirs.status} there")
    found = list(_differing(ours, theirs))
    return (DIFFERS, "; ".join(found)) if found else (AGREES, "")


def _differing(ours: ClaimResult, theirs: ClaimResult) -> Iterator[str]:
    """Yield each mean that differs, with its deviation on both sides."""
    for name, cell in ours.cells.items():
        other = theirs.cells[name]
        for key, sample in cell.samples.items():
            if _agree(sample, other.samples.get(key, {})):
                continue
            parts = [f"{key}_{part}" if key else part for part in ("mean", "std")]
            texts = [" ± ".join(side.texts[part] for part in parts) for side in (cell, other)]
            yield f"{' '.join(filter(None, (name, key)))} {texts[0]} here, {texts[1]} there"


def _agree(a: Sample, b: Sample) -> bool:
    if not a or not b:
        return not a and not b
    found = difference(a, b)
    return found.mean == 0 if found.interval is None else not found.excludes_zero
