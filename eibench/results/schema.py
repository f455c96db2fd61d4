"""Types and ranges of all that is read from a results folder.

A file that was damaged, edited or made by a stranger is refused in one message that names the file
and the key; no number is believed that no run can have.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from eibench.limits import LARGEST_NUMBER, LARGEST_SEED
from eibench.plan.names import NAME
from eibench.plan.validate import show

SCHEMA = 1
LONGEST_TIME = 1e10
"""Seconds."""

LONGEST_TEXT = 2**20
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
SuiteName = Annotated[str, Field(pattern=f"^{NAME}$", max_length=120)]
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}_[0-9a-f]{8}$")]
FieldName = Annotated[str, Field(pattern=r"^\w+([.]\w+)*$", max_length=200)]

Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Size = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_TIME)]
Count = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Ordinal = Annotated[int, Field(ge=1, le=LARGEST_SEED)]

DEEPEST = 6
"""Levels of lists and objects within a value."""


def plain(value: Any, left: int = DEEPEST) -> Any:
    """Return `value` if it is text, a number, true, false, null, or a short nesting of these."""
    kind = type(value)
    if kind is str:
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"must have at most {LONGEST_TEXT} characters")
    elif kind is float or kind is int:
        if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            raise ValueError(f"must be finite and at most {LARGEST_NUMBER:g}, not {show(value)}")
    elif kind is list or kind is dict:
        if not left:
            raise ValueError("must not be nested so deeply")
        for inner in value if kind is list else value.values():
            plain(inner, left - 1)
    return value


def _flat(value: Any) -> Any:
    """Return `value` if it is text, a number, true, false or null."""
    if type(value) in (list, dict):
        raise ValueError(f"must be text, a number, true, false or null, not {show(value)}")
    return plain(value)


Scalar = Annotated[Any, AfterValidator(_flat)]
Value = Annotated[Any, AfterValidator(plain)]
Values = Annotated[dict[str, Any], AfterValidator(plain)]


class Part(BaseModel):
    """An object in a results file; keys of later versions are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Open(BaseModel):
    """An object whose further keys have plain values."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Value] = Field(init=False)


class Result(Open):
    """The numbers of a run; those of its kind alone are there."""

    test_accuracy: Percent | None = None
    test_loss: Number | None = None
    test_accuracy_last: Percent | None = None
    validation_accuracy: Percent | None = None
    validation_loss: Number | None = None
    validation_firing_rate_by_layer: list[Share] = []
    best_epoch: Ordinal | None = None
    epochs: Count | None = None
    train_loss_last: Number | None = None
    firing_rate: Share | None = None
    firing_rate_by_layer: list[Share] = []
    silent_share: Share | None = None
    negative_weights: Count | None = None
    parameters: Count | None = None
    test_images: Count | None = None
    classes: Count | None = None
    data_digest: Text = ""
    gradient_decades: Size | None = None
    gradient_min: Size | None = None
    gradient_max: Size | None = None
    dead_gradient_layers: Count | None = None
    live_layers: Count | None = None
    rate_min: Share | None = None
    rate_last: Share | None = None
    current_std_last: Size | None = None
    loss: Number | None = None
    nb_dense: Size | None = None
    nb_macs: Size | None = None
    nb_acs: Size | None = None
    first_layer_macs: Size | None = None
    full_macs: Size | None = None
    full_acs: Size | None = None
    full_divisions: Size | None = None
    folded_macs: Size | None = None
    folded_acs: Size | None = None
    folded_divisions: Size | None = None
    neuron_updates: Size | None = None
    nb_footprint: Size | None = None
    weight_bytes: Size | None = None
    state_bytes: Size | None = None
    weight_traffic: Size | None = None
    state_traffic: Size | None = None
    energy_compute: Size | None = None
    energy_layerwise: Size | None = None
    energy_stepwise: Size | None = None
    energy_events: Size | None = None
    input_density: Share | None = None
    binary_inputs: Share | None = None
    break_even_compute: Share | None = None
    break_even_layerwise: Share | None = None
    break_even_stepwise: Share | None = None
    break_even_events: Share | None = None


class Cost(Open):
    """Cost of a run."""

    seconds: Seconds | None = None
    images_per_second: Size | None = None
    peak_memory_mib: Size | None = None


class Environment(Open):
    """Hardware and software of a run."""

    commit: Text | None = None
    dirty: bool | None = None
    plugins: dict[str, Text] = {}


class Layer(Part):
    """A layer of a probe."""

    layer: Ordinal
    name: Text
    neurons: Count
    firing_rate: Share | None = None
    silent_share: Share | None = None
    current_std: Size | None = None
    signal_share: Number | None = None
    current_mean_spread: Size | None = None
    class_signal: Size | None = None
    balance: Size | None = None
    balance_drift: Size | None = None
    gradient: Size | None = None
    net_mean: Size | None = None
    update_mean: Number | None = None
    update_scale: Number | None = None
    update_size: Size | None = None
    non_finite: list[Text] = []


class RecordFile(Part):
    """`record.json`."""

    schema_: Literal[1] = Field(alias="schema")
    suite: SuiteName | None = None
    run_id: RunId | None = None
    status: Literal["ok", "diverged", "out_of_memory", "error"]
    reason: Text | None
    fields: Values
    result: Result
    cost: Cost
    environment: Environment = Environment()
    layers: list[Layer] = []


class EpochCost(Open):
    """Cost of an epoch."""

    train_seconds: Seconds = 0.0
    evaluation_seconds: Seconds = 0.0
    peak_memory_mib: Size | None = None


class EpochLine(Part):
    """A line of `epochs.jsonl`."""

    epoch: Ordinal
    train_loss: Number | None = None
    train_accuracy: Percent | None = None
    validation_loss: Number | None = None
    validation_accuracy: Percent | None = None
    lr: Size | None = None
    firing_rate_by_layer: list[Share] = []
    cost: EpochCost = EpochCost()
