"""Registry of metrics: the numbers that records hold, with label, unit, digits and direction.

A metric that is registered here is known to tables, figures, CSV, JSON, `load_results`, the option
`--metric` and `eibench list metrics`. Each is measured by training runs, by probes (over all
layers), or in each layer of a probe.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

from eibench.errors import UserError, did_you_mean

Scope = Literal["train", "probe", "layer", "cost"]
"""Object that a metric is measured on; `cost` is a count of `eibench cost`."""
SCOPES: tuple[Scope, ...] = ("train", "probe", "layer")


@dataclass(frozen=True)
class Metric:
    """A number of a run or of a layer."""

    name: str
    """Key in records, CSV and JSON."""
    label: str
    """Name in tables and figures."""
    unit: str = ""
    digits: int = 1
    better: Literal["higher", "lower"] | None = None
    """Direction of improvement; None where neither is better."""
    scopes: tuple[Scope, ...] = ("train",)
    scientific: bool = False
    """Rounded to significant digits and drawn on a log scale, as it spans many powers of ten."""
    unmeasured: str = "not measured"
    """Reason why a run that is ok may lack the number."""
    greatest: float = math.inf
    """Greatest possible number; the least is 0. Error bars are clipped to both."""

    def show(self, number: float) -> str:
        """Return `number` as rounded text."""
        return f"{number:.{self.digits}{'g' if self.scientific else 'f'}}"

    @property
    def heading(self) -> str:
        """Label and unit: `test accuracy (%)`."""
        return with_unit(self.label, self.unit)

    @property
    def by_machine(self) -> bool:
        """True if the number depends on the machine: a time, a speed, or memory."""
        return self.unit in ("s", "images/s", "MiB")

    def clip(self, number: float) -> float:
        """Return `number`, or the possible number next to it."""
        return min(max(number, 0.0), self.greatest)

    @property
    def summary(self) -> str:
        """Heading, direction, and what has the metric if training runs do not."""
        direction = f", {self.better} is better" if self.better else ""
        scope = "" if "train" in self.scopes else f"; of {self.scopes[0]}s"
        return f"{self.heading}{direction}{scope}"

    @property
    def difference_unit(self) -> str:
        """Unit of a difference of two such numbers."""
        return "percentage points" if self.unit == "%" else self.unit

    def difference_heading(self, name: object) -> str:
        """Return label and unit of a difference to `name`."""
        return with_unit(f"difference to {name} in {self.label}", self.difference_unit)


def with_unit(label: str, unit: str) -> str:
    """Return `label (unit)`, or the label alone where there is no unit."""
    return f"{label} ({unit})" if unit else label


_of_probe = functools.partial(Metric, scopes=("probe",))
_of_layer = functools.partial(Metric, scopes=("layer",))
_of_run = functools.partial(Metric, scopes=("train", "probe"))
_of_cost = functools.partial(Metric, digits=3, scopes=("cost",))
_operations = functools.partial(_of_cost, unit="per image", digits=0, better="lower")
_bytes = functools.partial(_of_cost, unit="B", digits=0, better="lower")
_nanojoules = functools.partial(_of_cost, unit="nJ per image", digits=0, better="lower")
_percent = functools.partial(Metric, unit="%", digits=1, better="higher", greatest=100.0)
_RATE = "spikes per neuron and time step"
_NO_CIRCUIT = "no E-I layer"
_NO_MODE = "no E-I layer, a silent input, or an older record"
_NO_SPREAD = "samples do not differ, or an older record"
_NO_ROW = "no row varies, or an older record"
_NO_UPDATE = "no update, no step left, or an older record"
_UPDATE = "share of the synaptic update"
_BREAK_EVEN = "break-even share of active inputs"
_DRIFT = "drift of the E/I balance since initialisation"
METRICS = {
    metric.name: metric
    for metric in (
        _percent("test_accuracy", "test accuracy", scopes=("train", "cost")),
        Metric("test_loss", "test loss", "nats", 3, "lower"),
        _percent("test_accuracy_last", "test accuracy after the last epoch"),
        _percent("validation_accuracy", "validation accuracy"),
        Metric("best_epoch", "epoch with the best validation accuracy"),
        _of_probe(
            "gradient_decades",
            "spread of the relative gradient over layers",
            "powers of ten",
            2,
            unmeasured="a gradient is 0",
        ),
        _of_probe("gradient_min", "least relative gradient of a layer", "", 3, scientific=True),
        _of_probe("gradient_max", "greatest relative gradient of a layer", "", 3, scientific=True),
        _of_probe("dead_gradient_layers", "layers whose gradient is exactly 0"),
        _of_probe("live_layers", "layers with any spike"),
        _of_probe("rate_min", "least firing rate of a layer", _RATE, 3, greatest=1.0),
        _of_probe("rate_last", "firing rate of the last layer", _RATE, 3, greatest=1.0),
        _of_probe("current_std_last", "deviation of the last layer's current", "", 3),
        Metric(
            "firing_rate", "firing rate", _RATE, 3, scopes=("train", "layer", "cost"), greatest=1.0
        ),
        Metric("silent_share", "share of silent neurons", "", 3, scopes=SCOPES, greatest=1.0),
        Metric("negative_weights", "negative weights among those held to Dale's law"),
        _of_layer("current_std", "deviation of the current", "", 3),
        _of_layer("signal_share", "share of the current's variance driven by the input", "", 3),
        _of_layer(
            "current_mean_spread",
            "spread of the neurons' mean currents",
            "deviations between samples",
            3,
            unmeasured=_NO_SPREAD,
        ),
        _of_layer("class_signal", "variance of rates between classes over that within", "", 2),
        _of_layer("balance", "E/I imbalance", "", 3, unmeasured=_NO_CIRCUIT),
        _of_layer("balance_drift", _DRIFT, "deviations of excitation", 3, unmeasured=_NO_MODE),
        _of_layer("gradient", "relative gradient", "", 3, scientific=True),
        _of_layer(
            "net_mean", "row mean of the net synapse", "row deviations", 3, unmeasured=_NO_ROW
        ),
        _of_layer("update_mean", f"{_UPDATE} along row means", "", 3, unmeasured=_NO_UPDATE),
        _of_layer("update_scale", f"{_UPDATE} along the rows", "", 3, unmeasured=_NO_UPDATE),
        _of_layer(
            "update_size",
            "relative update of the net synapse",
            "",
            3,
            scientific=True,
            unmeasured=_NO_UPDATE,
        ),
        _of_run("parameters", "parameters", "", 0),
        _of_run("seconds", "training and evaluation time", "s", 1, "lower"),
        Metric("images_per_second", "training throughput", "images/s", 0, "higher"),
        _of_run("peak_memory_mib", "peak memory", "MiB", 0, "lower"),
        _operations("nb_dense", "synaptic operations, zeros included (NeuroBench)"),
        _operations("nb_macs", "effective MACs (NeuroBench)"),
        _operations("nb_acs", "effective ACs (NeuroBench)"),
        _operations("first_layer_macs", "MACs of the first layer"),
        _operations("full_macs", "MACs as written"),
        _operations("full_acs", "ACs as written"),
        _operations("full_divisions", "divisions as written"),
        _operations("folded_macs", "MACs, folded"),
        _operations("folded_acs", "ACs, folded"),
        _operations("folded_divisions", "divisions, folded"),
        _operations("neuron_updates", "neuron updates"),
        _of_cost("input_density", "share of active synaptic inputs", greatest=1.0),
        _of_cost("binary_inputs", "share of active inputs that are -1 or 1", greatest=1.0),
        _bytes("nb_footprint", "parameters and buffers"),
        _bytes("weight_bytes", "weights, folded"),
        _bytes("state_bytes", "membrane potentials"),
        _bytes("weight_traffic", "weight reads"),
        _bytes("state_traffic", "state reads and writes"),
        _nanojoules("energy_compute", "modelled energy of arithmetic"),
        _nanojoules("energy_layerwise", "modelled energy with memory, layer by layer"),
        _nanojoules("energy_stepwise", "modelled energy with memory, step by step"),
        _nanojoules("energy_events", "modelled energy with memory, no reuse"),
        _of_cost("break_even_compute", f"{_BREAK_EVEN}, arithmetic alone", greatest=1.0),
        _of_cost("break_even_layerwise", f"{_BREAK_EVEN}, layer by layer", greatest=1.0),
        _of_cost("break_even_stepwise", f"{_BREAK_EVEN}, step by step", greatest=1.0),
        _of_cost("break_even_events", f"{_BREAK_EVEN}, no reuse", greatest=1.0),
    )
}


def measured_on(scope: Scope) -> tuple[str, ...]:
    """Return the names of the metrics that are measured on `scope`."""
    return tuple(name for name, metric in METRICS.items() if scope in metric.scopes)


TRAIN_METRICS = measured_on("train")
"""Numbers of a training run; accuracies in percent."""
PROBE_METRICS = measured_on("probe")
"""Numbers of a probe, over all layers."""
LAYER_METRICS = measured_on("layer")
"""Numbers of each layer of a probe; older results may lack some."""
METRICS_OF = {
    "train": TRAIN_METRICS,
    "probe": PROBE_METRICS,
    "search": TRAIN_METRICS,
    "cost": measured_on("cost"),
}
"""Numbers of a run, by the kind of its suite."""


EPOCH_METRICS = {
    metric.name: metric
    for metric in (
        Metric("train_loss", "training loss", "nats", 3, "lower"),
        Metric("validation_loss", "validation loss", "nats", 3, "lower"),
        _percent("train_accuracy", "training accuracy"),
        METRICS["validation_accuracy"],
    )
}
"""Numbers of each epoch, which learning curves show."""


def find_metric(name: str) -> Metric:
    """Return the metric called `name`; raise `UserError` with the nearest name otherwise."""
    if name not in METRICS:
        hint = f"allowed: {', '.join(METRICS)}{did_you_mean(name, METRICS)}"
        raise UserError(f"--metric {name}: no such metric; {hint}")
    return METRICS[name]
