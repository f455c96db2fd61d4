"""`claims.yaml`: sentences about results, and the comparison that decides each.

    claims:
      - id: deep_paper_circuit
        group: readme                  or a list; for the generated parts of documents
        text: "At depth 16 {share} seeds of the paper's circuit train ({mean} ± {std} %)."
        suite: depth_scaling
        compare: difference            difference, ratio, mean, share_trained or profile_ratio
        cells:
          deep: {method: ei, model.depth: 16}      fields of runs that differ in their seed alone
        control: {method: batchnorm}   fields of a cell that the control changes
        relation: below                below, above, within or any
        bound: 0
        n: 3                           seeds that every cell needs

`{difference}` is a blank; with several cells it is `{deep.difference}`. A blank holds a name and
nothing else: the text is data, and no format string.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from eibench.errors import BadSuite, UserError, did_you_mean
from eibench.plan.layers import Origin
from eibench.plan.names import NAME, SuiteName
from eibench.plan.options import Count, Options
from eibench.plan.options.base import Line
from eibench.plan.suite import METHOD
from eibench.plan.validate import Invalid, repeats, show, unknown_key, validate
from eibench.plan.yaml_source import Keys, load

Comparison = Literal["difference", "ratio", "mean", "share_trained", "profile_ratio"]
Relation = Literal["below", "above", "within", "any"]
MOST_CLAIMS = 1000
MOST_CELLS = 50
CELL = re.compile(r"[a-z][a-z0-9_]*")
BLANK = re.compile(r"\{([^{}]*)\}")
_CELL = ("mean", "std", "n", "share")
_CONTROL = ("control_mean", "control_std", "control_n", "control_share")
BLANKS: Mapping[str, tuple[str, ...]] = {
    "difference": (*_CELL, *_CONTROL, "difference", "low", "high"),
    "ratio": (*_CELL, *_CONTROL, "ratio", "low", "high"),
    "mean": (*_CELL, "low", "high"),
    "share_trained": _CELL,
    "profile_ratio": ("ratio",),
}
"""Names of the numbers that a text may show, by comparison."""
PROFILE_METRICS = ("step_time", "peak_memory")


def _listed(value: Any) -> Any:
    """Return a name as a list of one, and nothing as an empty list."""
    return [] if value is None else [value] if isinstance(value, str) else value


def _scalar(value: Any) -> Any:
    """Return `value` if a field of a run can be equal to it."""
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"must be text, a number, true, false or null, not {show(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite, not {show(value)}")
    return value


Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=100)]
Fields = Annotated[dict[str, Annotated[Any, AfterValidator(_scalar)]], Field(min_length=1)]
"""Values that runs have, by field."""


class Claim(Options):
    """Keys of a claim."""

    id: Name
    group: Annotated[list[Name], BeforeValidator(_listed)] = Field(default_factory=list)
    text: Line
    suite: SuiteName | None = None
    profile: SuiteName | None = None
    """Name of a file of `results/performance`; of `profile_ratio` alone, in place of a suite."""
    metric: str | None = None
    """Metric compared; None for the default of the suite's kind."""
    area: str | None = None
    """A field: numbers are areas under curves over it, divided by its range."""
    compare: Comparison = "difference"
    cells: dict[str, Fields] = Field(min_length=1, max_length=MOST_CELLS)
    control: Fields | None = None
    relation: Relation
    bound: float | None = None
    margin: float | None = Field(None, gt=0)
    n: Count = 3

    @property
    def subject(self) -> str:
        """Name of the suite or profile."""
        return self.suite or self.profile or ""

    @property
    def limit(self) -> float:
        """The bound; 0 where a difference has none."""
        return 0.0 if self.bound is None else self.bound

    @property
    def region(self) -> tuple[float, float]:
        """The ends between which the number lies according to the claim."""
        centre, infinity = self.limit, math.inf
        if self.relation == "within":
            margin = self.margin or 0.0
            return centre - margin, centre + margin
        return (
            -infinity if self.relation != "above" else centre,
            infinity if self.relation != "below" else centre,
        )

    @property
    def relation_words(self) -> str:
        """The relation in words: `below 0`, `within 0 ± 1`, `at most 0.5` of a single number."""
        margin = f" ± {self.margin:g}" if self.relation == "within" else ""
        exact = self.compare in ("share_trained", "profile_ratio")
        words = {"below": "at most", "above": "at least"} if exact else {}
        return f"{words.get(self.relation, self.relation)} {self.limit:g}{margin}"


class ClaimsFile(Options):
    """Keys of the file."""

    claims: list[Claim] = Field(min_length=1, max_length=MOST_CLAIMS)


@dataclass(frozen=True)
class LocatedClaim:
    """Claim and its place in the file, which messages name."""

    claim: Claim
    origin: Origin


class Blank(NamedTuple):
    """Place for a number in a text."""

    cell: str
    number: str


def read_claims(path: Path) -> tuple[LocatedClaim, ...]:
    """Return the claims in the file at `path`.

    Raises:
        UserError: the file cannot be read.
        BadSuite: every problem found, each with file, line and key.
    """
    document = load(path)
    origin = Origin(document)
    try:
        file = validate(ClaimsFile, document.data)
    except Invalid as invalid:
        raise BadSuite([origin.below(*p.keys).message(p.text) for p in invalid.problems]) from None
    problems: list[str] = []
    for i, _ in repeats(claim.id for claim in file.claims):
        problems.append(origin.below("claims", i, "id").message("another claim has this id"))
    for i, claim in enumerate(file.claims):
        for keys, text in _problems(claim):
            problems.append(origin.below("claims", i, *keys).message(text))
    if problems:
        raise BadSuite(problems)
    return tuple(LocatedClaim(c, origin.below("claims", i)) for i, c in enumerate(file.claims))


def select_claims(
    claims: Iterable[LocatedClaim], names: Iterable[str], others: Iterable[str] = ()
) -> tuple[LocatedClaim, ...]:
    """Return the claims about the named suites and profiles; all if none is named.

    Raises:
        UserError: there is no claim about one of them, and it is none of the `others`.
    """
    wanted, claims = set(names), tuple(claims)
    known = dict.fromkeys([*(located.claim.subject for located in claims), *others])
    for name in sorted(wanted - known.keys()):
        hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
        raise UserError(f"{name}: no claim about this suite; {hint}")
    return tuple(c for c in claims if not wanted or c.claim.subject in wanted)


def fill(claim: Claim, text_of: Callable[[Blank], str]) -> str:
    """Return the claim's text with `text_of` in place of each blank."""
    return BLANK.sub(lambda found: text_of(_blank(claim, found[1])), claim.text)


def _blank(claim: Claim, name: str) -> Blank:
    """Return the blank called `name`; without a cell's name it is of the only cell."""
    cell, dot, number = name.partition(".")
    return Blank(cell, number) if dot else Blank(next(iter(claim.cells)), name)


def _problems(claim: Claim) -> Iterator[tuple[Keys, str]]:
    """Yield position and text of each contradiction within a claim."""
    yield from _key_problems(claim)
    yield from _relation_problems(claim)
    for name, fields in claim.cells.items():
        if claim.control is not None and fields.items() >= claim.control.items():
            yield ("control",), f"changes nothing of the cell {name}, which it is compared with"
        if not CELL.fullmatch(name):
            text = "a cell's name is a small letter, then small letters, digits and `_`"
            yield ("cells", name), text
    if re.search(r"[{}]", BLANK.sub("", claim.text)):
        yield ("text",), "has a brace that belongs to no blank such as {mean}"
    for name in dict.fromkeys(BLANK.findall(claim.text)):
        yield from ((("text",), text) for text in _blank_problems(claim, name))


def _key_problems(claim: Claim) -> Iterator[tuple[Keys, str]]:
    profiled = claim.compare == "profile_ratio"
    needed, refused = ("profile", "suite") if profiled else ("suite", "profile")
    if getattr(claim, needed) is None:
        yield (needed,), f"is missing; `compare: {claim.compare}` needs it"
    if getattr(claim, refused) is not None:
        yield (refused,), f"does not belong to `compare: {claim.compare}`; give `{needed}`"
    compared = profiled or claim.compare in ("difference", "ratio")
    if compared and claim.control is None:
        yield ("control",), f"is missing; `compare: {claim.compare}` needs it"
    if not compared and claim.control is not None:
        yield ("control",), f"does not belong to `compare: {claim.compare}`"
    if profiled:
        yield from _profile_problems(claim)


def _profile_problems(claim: Claim) -> Iterator[tuple[Keys, str]]:
    """Yield problems of fields and metric; the row of a profile is a method alone."""
    if claim.metric not in (None, *PROFILE_METRICS):
        hint = f"allowed: {', '.join(PROFILE_METRICS)}{did_you_mean(claim.metric, PROFILE_METRICS)}"
        yield ("metric",), f"no number of a profile; {hint}"
    places: dict[Keys, Mapping[str, Any]] = {("control",): claim.control or {}}
    places |= {("cells", name): fields for name, fields in claim.cells.items()}
    for keys, fields in places.items():
        for key in fields:
            if key != METHOD:
                yield (*keys, key), unknown_key(key, [METHOD])


def _relation_problems(claim: Claim) -> Iterator[tuple[Keys, str]]:
    relation = claim.relation
    if relation == "any" and claim.bound is not None:
        yield ("bound",), "does not belong to `relation: any`"
    if relation != "any" and claim.bound is None and claim.compare != "difference":
        yield ("bound",), f"is missing; `relation: {relation}` of a {claim.compare} needs it"
    if relation == "within" and claim.margin is None:
        yield ("margin",), "is missing; `relation: within` needs it"
    if relation != "within" and claim.margin is not None:
        yield ("margin",), f"does not belong to `relation: {relation}`"
    if claim.compare == "share_trained" and not 0 <= claim.limit <= 1:
        yield ("bound",), f"must be a share from 0 to 1, not {show(claim.bound)}"


def _blank_problems(claim: Claim, name: str) -> Iterator[str]:
    allowed = BLANKS[claim.compare]
    blank = _blank(claim, name)
    shown = "{" + (name if len(name) <= 60 else name[:57] + "...") + "}"
    if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)?", name):
        yield f"{shown}: a blank holds a name alone, such as {{{allowed[0]}}}"
    elif "." not in name and len(claim.cells) > 1:
        first = next(iter(claim.cells))
        yield f"{shown}: name the cell, as in {{{first}.{allowed[0]}}}"
    elif blank.cell not in claim.cells:
        hint = f"allowed: {', '.join(claim.cells)}{did_you_mean(blank.cell, claim.cells)}"
        yield f"{shown}: no such cell; {hint}"
    elif blank.number not in allowed:
        hint = f"allowed: {', '.join(allowed)}{did_you_mean(blank.number, allowed)}"
        yield f"{shown}: no such number of `compare: {claim.compare}`; {hint}"
