"""Types and ranges of `plan.json`: the plan of a suite, and of a search with its studies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from eibench.limits import LARGEST_SEED
from eibench.plan.space import MOST_POINTS
from eibench.plan.validate import show
from eibench.results.metrics import TRAIN_METRICS
from eibench.results.schema import (
    Count,
    FieldName,
    Number,
    Open,
    Part,
    Percent,
    RunId,
    Scalar,
    Seconds,
    Share,
    SuiteName,
    Text,
    Value,
    Values,
    plain,
)


def _metric(name: str) -> str:
    """Return `name` if it is a training run's number."""
    if name not in TRAIN_METRICS:
        raise ValueError(f"must be one of {', '.join(TRAIN_METRICS)}, not {show(name)}")
    return name


class RunFields(Open):
    """The fields of a planned run: what every run has, and its options."""

    method: Text
    model: Text
    data: Text
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    ablation: Text = ""


class PlannedRunRecord(Part):
    """A run that a suite asks for."""

    run_id: RunId
    fields: RunFields


class ReferenceRecord(Part):
    """A published number and the runs that it is set beside."""

    method: Text
    model: Annotated[dict[str, Scalar], Field(min_length=1)]
    data: Text
    data_title: Text | None
    metric: Text
    value: Number
    source: Text
    fields: Values
    notes: dict[str, Scalar]
    runs: list[RunId]


class SearchSettings(Part):
    """Settings of a whole search."""

    objectives: Annotated[list[Annotated[str, AfterValidator(_metric)]], Field(min_length=1)]
    trials: Count
    sampler: Text
    sampler_seed: Count
    pruner: Text
    seeds: list[Count]
    confirm_seeds: list[Count]
    raised_from: list[Count] = Field(default_factory=list)


class Scores(Part):
    """Objectives of a trial."""

    validation_accuracy: Percent | None = None
    seconds: Seconds | None = None
    firing_rate: Share | None = None


class Range(Part):
    """The values that a search may choose for one key."""

    choices: Annotated[list[Any], Field(min_length=1), AfterValidator(plain)] = Field(
        default_factory=list
    )
    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _known(self) -> Range:
        if not self.choices:
            if self.low is None or self.high is None or self.low > self.high:
                raise ValueError("must have choices, or low and high in this order")
            if self.log and self.low <= 0:
                raise ValueError("low must be above 0 on a log scale")
            if self.step is not None and (self.high - self.low) / self.step >= MOST_POINTS:
                raise ValueError(f"low to high must be fewer than {MOST_POINTS:,} steps")
        return self


class TrialRecord(Part):
    """One setting that a search tried."""

    number: Count
    values: dict[FieldName, Value]
    state: Literal["complete", "pruned", "failed", "running"]
    reason: Text | None
    scores: Scores
    runs: list[RunId]
    seconds: Seconds
    epochs: Count
    loss: Number | None = None


class StudyRecord(Part):
    """The search for one method under one combination of the axes."""

    name: Text
    arm: dict[FieldName, Scalar]
    space: dict[FieldName, Range]
    trials: list[TrialRecord]
    winner: Count | None
    importances: dict[FieldName, Share] | None
    seeds: list[Count] = Field(default_factory=list)


class CommandFlags(Part):
    """Changes of a suite's plan by a command; see `eibench.plan.suite.Flags`."""

    settings: list[Text] = Field(default_factory=list)
    seeds: list[Count] | None = None
    steps: list[Count] | None = None


class PlanFile(Part):
    """`plan.json`."""

    schema_: Literal[1] = Field(alias="schema")
    suite: SuiteName
    title: Text
    kind: Literal["train", "probe", "search", "cost"] = "train"
    axes: list[FieldName]
    tuned_by: SuiteName | None
    control: Text | None = None
    margin: Annotated[float, Field(gt=0, le=100)] | None = None
    labels: dict[Text, Text] = Field(default_factory=dict)
    same: list[Annotated[list[Text], Field(min_length=1)]]
    runs: list[PlannedRunRecord]
    references: list[ReferenceRecord] = Field(default_factory=list)
    flags: list[CommandFlags] = Field(default_factory=list)


class SearchPlanFile(PlanFile):
    """`plan.json` of a search."""

    search: SearchSettings
    studies: list[StudyRecord]
