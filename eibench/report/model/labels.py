"""Names of metrics and fields in words, with units: what a reader sees above a table or on an axis.

CSV and JSON keep the plain names, so that they can be read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from eibench.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Metric:
    """A number of a run: how it is called, rounded, and which way is better (None: neither)."""

    name: str
    words: str
    unit: str = ""
    digits: int = 1
    better: Literal["higher", "lower"] | None = None
    form: Literal["f", "g"] = "f"
    """Decimals, or significant digits for what spans many powers of ten."""
    unmeasured: str = "not measured"
    """What it means that a run which is ok has no such number."""

    def show(self, number: float) -> str:
        """`number`, rounded."""
        return f"{number:.{self.digits}{self.form}}"

    @property
    def spans_powers(self) -> bool:
        """Whether a log scale suits it."""
        return self.form == "g"

    @property
    def heading(self) -> str:
        """Words and unit: `test accuracy (%)`."""
        return _with_unit(self.words, self.unit)

    @property
    def difference_unit(self) -> str:
        """The unit of a difference of two such numbers."""
        return "percentage points" if self.unit == "%" else self.unit

    def difference_heading(self, name: object) -> str:
        """Words and unit of a difference to `name`."""
        return _with_unit(f"difference to {name} in {self.words}", self.difference_unit)


RATE = "spikes per neuron and time step"
NO_CIRCUIT = "no E-I layer"
NO_MODE = "no E-I layer, or an older record"
COMMON = "common-mode share of the gradient of"
METRICS = {
    metric.name: metric
    for metric in (
        Metric("test_accuracy", "test accuracy", "%", 1, "higher"),
        Metric("test_loss", "test loss", "nats", 3, "lower"),
        Metric("test_accuracy_last", "test accuracy after the last epoch", "%", 1, "higher"),
        Metric("validation_accuracy", "validation accuracy", "%", 1, "higher"),
        Metric("best_epoch", "epoch with the best validation accuracy"),
        Metric("firing_rate", "firing rate", RATE, 3),
        Metric("silent_share", "share of silent neurons", "", 3),
        Metric("negative_weights", "negative weights among those held to Dale's law"),
        Metric("parameters", "parameters", "", 0),
        Metric(
            "gradient_decades",
            "spread of the relative gradient over layers",
            "powers of ten",
            2,
            unmeasured="a gradient is 0",
        ),
        Metric("gradient_min", "least relative gradient of a layer", "", 3, form="g"),
        Metric("gradient_max", "greatest relative gradient of a layer", "", 3, form="g"),
        Metric("dead_gradient_layers", "layers whose gradient is exactly 0"),
        Metric("live_layers", "layers with any spike"),
        Metric("rate_min", "least firing rate of a layer", RATE, 3),
        Metric("rate_last", "firing rate of the last layer", RATE, 3),
        Metric("current_std_last", "deviation of the last layer's current", "", 3),
        Metric("gradient", "relative gradient", "", 3, form="g"),
        Metric("current_std", "deviation of the current", "", 3),
        Metric("signal_share", "share of the current's variance driven by the input", "", 3),
        Metric("class_signal", "variance of rates between classes over that within", "", 2),
        Metric("balance", "E/I imbalance", "", 3, unmeasured=NO_CIRCUIT),
        Metric(
            "balance_drift",
            "drift of the E/I balance since initialisation",
            "deviations of excitation",
            3,
            unmeasured=NO_MODE,
        ),
        Metric("common_mode_ee", f"{COMMON} W_EE", "", 3, unmeasured=NO_MODE),
        Metric("common_mode_ie", f"{COMMON} W_IE", "", 3, unmeasured=NO_MODE),
        Metric("common_mode_ei", f"{COMMON} W_EI", "", 3, unmeasured=NO_MODE),
        Metric("seconds", "training and evaluation time", "s", 1, "lower"),
        Metric("images_per_second", "training throughput", "images/s", 0, "higher"),
        Metric("peak_memory_mib", "peak memory", "MiB", 0, "lower"),
    )
}

_FIELDS = {
    "model": ("network", ""),
    "timesteps": ("time steps", ""),
    "model.depth": ("depth", "layers"),
    "model.width": ("width", "channels"),
    "probe.steps": ("steps", "optimizer steps"),
    "neuron.tau": ("membrane time constant", "time steps"),
    "train.lr": ("learning rate", ""),
    "train.batch_size": ("batch size", "images"),
}
"""Words and unit of fields whose last part does not already say it."""


def find_metric(name: str) -> Metric:
    """The metric called `name`; raises `UserError` with the nearest name."""
    if name not in METRICS:
        hint = f"allowed: {', '.join(METRICS)}{did_you_mean(name, METRICS)}"
        raise UserError(f"--metric {name}: no such metric; {hint}")
    return METRICS[name]


def field_words(field: str) -> str:
    """`learning rate` for `train.lr`."""
    return _FIELDS.get(field, (field.rpartition(".")[2].replace("_", " "), ""))[0]


def field_heading(field: str) -> str:
    """`depth (layers)` for `model.depth`."""
    return _with_unit(field_words(field), _FIELDS.get(field, ("", ""))[1])


def show_value(value: object) -> str:
    """A field's value as short text; a dash where a run has no such field."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_field(field: str, value: object) -> str:
    """`depth 8`, or only `digits` where the value is a word already."""
    if isinstance(value, str):
        return value
    return f"{field_words(field)} {show_value(value)}"


def show_setting(value: object) -> str:
    """A value that a search chose, numbers to three digits; to be none is a setting too."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:g}"
    if isinstance(value, Mapping):  # a choice with options: its name, then what else it says
        parts = {key: show_setting(inner) for key, inner in value.items()}
        return " ".join(text if key == "name" else f"{key} {text}" for key, text in parts.items())
    return show_value(value)


def key_words(keys: Iterable[str]) -> dict[str, str]:
    """Words for each dotted key; the key itself where another has the same words."""
    words = {key: field_words(key) for key in keys}
    taken = Counter(words.values())
    return {key: text if taken[text] == 1 else key for key, text in words.items()}


def counted(n: int, noun: str = "run") -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {noun}{'s' * (n != 1)}"


def _with_unit(words: str, unit: str) -> str:
    return f"{words} ({unit})" if unit else words
