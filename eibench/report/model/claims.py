"""Claims decided by the runs and profiles in results folders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from eibench.errors import BadSuite, UserError, did_you_mean
from eibench.plan.claims import Claim, LocatedClaim
from eibench.report.model.area import OPTION, area_over
from eibench.report.model.claim_results import (
    FAIL,
    MISSING,
    PASS,
    UNDECIDED,
    UNKNOWN,
    CellResult,
    ClaimResult,
    Decision,
    Number,
    absent_result,
    decide_number,
    profile_result,
)
from eibench.report.model.layers import by_layer, choose_metric, is_layered
from eibench.report.model.suite_results import SuiteResults, read_suite, varies
from eibench.results.cells import Aggregate, Run, Value, aggregate, unlike_images
from eibench.results.dunnett import ALPHA
from eibench.results.labels import counted, show_value, unlike_machines
from eibench.results.metrics import Metric
from eibench.results.paths import SEARCH, suite_folders
from eibench.results.profile_file import read_profile
from eibench.results.ratio import Ratio, ratio
from eibench.results.statistics import Difference, Sample, difference, mean_interval
from eibench.results.store import DIVERGED

CONTROL = "control"


class ClaimEvidence:
    """Results folders in which the runs and profiles of claims are looked up, in order."""

    def __init__(self, places: Sequence[Path]) -> None:
        """Find all suites below `places`; raise `UserError` for a folder that does not exist."""
        self.places = places
        self._folders = {place: suite_folders(place) for place in places}
        for place, found in self._folders.items():
            if not found and not place.is_dir():
                raise UserError(f"{place}: no results here; `eibench run SUITE` makes some")
        self._suite = cache(self._read_suite)

    def decide(self, claims: Sequence[LocatedClaim]) -> list[ClaimResult]:
        """Decide all claims.

        Raises:
            UserError: results are damaged, or a suite is there twice.
            BadSuite: a claim has a field that no run has, or selects unlike runs.
        """
        return [self._decide(located) for located in claims]

    def _decide(self, located: LocatedClaim) -> ClaimResult:
        claim = located.claim
        listed = ", ".join(map(str, self.places))
        if claim.profile is not None:
            found = (read_profile(place, claim.profile) for place in self.places)
            profile = next((content for content in found if content is not None), None)
            if profile is None:
                return absent_result(claim, f"no profile {claim.profile} in {listed}")
            return profile_result(claim, profile)
        suite = self._suite(claim.subject)
        if suite is None:
            return absent_result(claim, f"no results of {claim.suite} in {listed}")
        return _SuiteDecision(located, suite).result()

    def _read_suite(self, name: str) -> SuiteResults | None:
        for folders in self._folders.values():
            found = [folder for folder in folders if folder.name == name != SEARCH]
            if len(found) > 1:
                listed = " and in ".join(map(str, found))
                raise UserError(f"{name}: has results in {listed}; name one by --results")
            if found:
                return read_suite(found[0])
        return None


class _SuiteDecision:
    """Decision of one claim about a suite's runs."""

    def __init__(self, located: LocatedClaim, suite: SuiteResults) -> None:
        self.claim, self.origin = located.claim, located.origin
        if self.claim.area is not None:
            try:
                suite = area_over(suite, self.claim.area)
            except UserError as error:
                raise self._error(str(error).removeprefix(f"{OPTION} "), "area") from None
        named = [*(self.claim.control or {}), *(k for f in self.claim.cells.values() for k in f)]
        layered = is_layered(suite, named)
        self.suite = by_layer(suite) if layered else suite
        try:
            self.metric = choose_metric(suite, self.claim.metric, layered)
        except UserError as error:
            raise self._error(str(error).removeprefix("--metric "), "metric") from None

    def result(self) -> ClaimResult:
        """Return the claim with its cells decided."""
        cells = {name: self._cell(name) for name in self.claim.cells}
        return ClaimResult(self.claim, cells, self.metric)

    def _error(self, text: str, *keys: str) -> BadSuite:
        return BadSuite([self.origin.below(*keys).message(text)])

    def _cell(self, name: str) -> CellResult:
        claim, fields = self.claim, self.claim.cells[name]
        groups = {"": self._select(fields, "cells", name)}
        if claim.control is not None:
            groups[CONTROL] = self._select({**fields, **claim.control}, CONTROL)
        aggregates = {key: aggregate(runs, self.metric) for key, runs in groups.items()}
        numbers = self._numbers(aggregates)
        texts = {key: _show(claim, self.metric, key, x) for key, x in numbers.items()}
        shares = {f"{key}_share" if key else "share": _share(a) for key, a in aggregates.items()}
        runs = [run for group in groups.values() for run in group]
        return CellResult(
            *(_unlike(runs, self.metric) or self._decide(numbers, texts, aggregates, fields)),
            numbers,
            texts | shares,
            {key: found.values for key, found in aggregates.items()},
            [run.environment for run in runs if run.environment],
        )

    def _select(self, fields: Mapping[str, Value], *keys: str) -> list[Run]:
        """Return the runs that have these values; they differ in their seed alone."""
        known = dict.fromkeys(field for run in self.suite.runs for field in run.fields)
        for key in fields:
            if key not in known:
                near = did_you_mean(key, known)
                raise self._error(f"no run of {self.suite.name} has this field{near}", *keys, key)
        runs = [r for r in self.suite.runs if all(r.value(k) == v for k, v in fields.items())]
        first: dict[int, Run] = {}
        for run in runs:
            twin = first.setdefault(run.seed, run)
            if twin is not run:
                unlike = [f for f in run.fields if run.value(f) != twin.value(f)]
                text = f"selects runs that differ in {', '.join(unlike)}; name one value of each"
                raise self._error(text, *keys)
        if unlike := [axis for axis in self.suite.axis_fields if varies(runs, axis)]:
            text = f"selects seeds that differ in {', '.join(unlike)} too; name one value of each"
            raise self._error(text, *keys)
        return runs

    def _numbers(self, aggregates: Mapping[str, Aggregate]) -> dict[str, Number]:
        """Return the numbers of cell and control, and how they compare."""
        numbers: dict[str, Number] = {}
        for key, cell in aggregates.items():
            trained = None if cell.trained is None else len(cell.trained)
            summary = {"mean": cell.mean, "std": cell.deviation, "n": cell.n}
            summary |= {"trained": trained, "planned": cell.planned}
            numbers |= {f"{key}_{name}" if key else name: x for name, x in summary.items()}
        if self.claim.compare == "share_trained" or not all(a.n for a in aggregates.values()):
            return numbers
        compared = _compare(self.claim, *(a.values for a in aggregates.values()))
        return numbers | {k: x for k, x in compared.items() if math.isfinite(x)}

    def _decide(
        self,
        numbers: Mapping[str, Number],
        texts: Mapping[str, str],
        aggregates: Mapping[str, Aggregate],
        fields: Mapping[str, Value],
    ) -> Decision:
        claim = self.claim
        for key, cell in aggregates.items():
            named = {**fields, **(claim.control or {})} if key else fields
            if (found := self._obstacle(cell, named)) is not None:
                return found[0], f"{key}: {found[1]}" if key else found[1]
        if claim.compare == "share_trained":
            cell = aggregates[""]
            share = len(cell.trained or ()) / cell.planned
            return decide_number(claim, share, f"{_share(cell)} train")
        return (PASS, "") if claim.relation == "any" else _decide_interval(claim, numbers, texts)

    def _obstacle(self, cell: Aggregate, fields: Mapping[str, Value]) -> Decision | None:
        """Return status and reason where runs are too few, failed or absent."""
        if not (planned := cell.planned):
            named = ", ".join(f"{key} {show_value(value)}" for key, value in fields.items())
            return MISSING, f"no run of {self.suite.name} has {named}"
        if cell.missing == planned:
            return MISSING, f"no run has ended: {cell.reasons(self.metric)}"
        shares = self.claim.compare == "share_trained"
        found = (_share_obstacle if shares else _mean_obstacle)(cell, self.metric)
        n = planned if shares else cell.n
        if found is None and n < self.claim.n:
            return UNDECIDED, f"n = {n}, and the claim needs {self.claim.n}"
        return found


def _unlike(runs: Sequence[Run], metric: Metric) -> Decision | None:
    """Return why runs do not compare: unlike images, or a time on unlike machines."""
    if metric.by_machine and unlike_machines(run.environment for run in runs):
        return UNDECIDED, f"{metric.label} is of unlike machines"
    images = "runs of one data set were trained on different images"
    return (UNDECIDED, images) if unlike_images(runs) else None


def _share(cell: Aggregate) -> str:
    """Return `3 of 5`: runs that train, of those planned."""
    return UNKNOWN if cell.trained is None else f"{len(cell.trained)} of {cell.planned}"


def _share_obstacle(cell: Aggregate, metric: Metric) -> Decision | None:
    """Return status and reason where the share of runs that train is not known."""
    if cell.missing:
        return UNDECIDED, f"{cell.missing} of {counted(cell.planned)} have not ended"
    if broken := cell.failed - cell.absent.get(DIVERGED, 0):
        text = f"{broken} of {counted(cell.planned)} broke off ({cell.reasons(metric)})"
        return UNDECIDED, f"{text}, which does not tell whether they train"
    if cell.trained is None:
        return UNDECIDED, "the records do not tell how many test images and classes there are"
    return None


def _mean_obstacle(cell: Aggregate, metric: Metric) -> Decision | None:
    """Return status and reason where runs that ended have no number."""
    if not (without := cell.failed + cell.unmeasured):
        return None
    reasons = cell.reasons(metric)
    if not cell.n:
        return UNDECIDED if cell.failed else MISSING, reasons
    text = f"{without} of {counted(cell.planned)} have no number ({reasons})"
    return UNDECIDED, f"{text}, so the mean is of the others alone"


def _compare(claim: Claim, cell: Sample, control: Sample | None = None) -> dict[str, float]:
    """Return the compared number and the ends of its interval, if there is one."""
    numbers: dict[str, float] = {}
    interval: tuple[float, float] | None
    if control is None:
        interval = mean_interval(cell)
    elif claim.compare == "difference" and cell == control and len(set(cell.values())) > 1:
        numbers[claim.compare], interval = 0.0, (0.0, 0.0)  # the same computation
    else:
        found: Difference | Ratio = (
            ratio(cell, control, ALPHA) if claim.compare == "ratio" else difference(cell, control)
        )
        numbers[claim.compare], interval = found.mean, found.interval
    return numbers if interval is None else numbers | {"low": interval[0], "high": interval[1]}


def _show(claim: Claim, metric: Metric, name: str, number: Number) -> str:
    """Return a number of a cell as a text shows it."""
    if number is None or isinstance(number, int):
        return UNKNOWN if number is None else str(number)
    compared = name in (claim.compare, "low", "high")
    if compared and claim.compare == "difference":
        return f"{number:+z.{metric.digits}{'g' if metric.scientific else 'f'}}"
    return f"{number:.2f}" if compared and claim.compare == "ratio" else metric.show(number)


def _decide_interval(
    claim: Claim, numbers: Mapping[str, Number], texts: Mapping[str, str]
) -> Decision:
    low, high, claimed = numbers.get("low"), numbers.get("high"), claim.relation_words
    if low is None or high is None:
        return UNDECIDED, f"there is no bounded interval, and the claim is {claimed}"
    least, most = claim.region
    if least < low and high < most:
        return PASS, ""
    status = FAIL if high < least or low > most else UNDECIDED
    text = f"{claim.compare} {texts[claim.compare]} [{texts['low']}, {texts['high']}]"
    return status, f"{text}, and the claim is {claimed}"
