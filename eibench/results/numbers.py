"""The numbers that records hold, by name: of a training run, of a probe, and of a probe's layer."""

METRICS = (
    "test_accuracy",
    "test_loss",
    "test_accuracy_last",
    "validation_accuracy",
    "best_epoch",
    "firing_rate",
    "silent_share",
    "negative_weights",
    "parameters",
    "seconds",
    "images_per_second",
    "peak_memory_mib",
)
"""Numbers of a training run that a report can show; accuracies in percent."""
PROBE_METRICS = (
    "gradient_decades",
    "gradient_min",
    "gradient_max",
    "dead_gradient_layers",
    "live_layers",
    "rate_min",
    "rate_last",
    "current_std_last",
    "silent_share",
    "parameters",
    "seconds",
    "peak_memory_mib",
)
"""Numbers of a probe, over all layers; see `eibench.probe.propagation`."""
NUMBERS = {"train": METRICS, "probe": PROBE_METRICS, "search": METRICS}
"""The numbers of a run, by the kind of its suite."""
LAYER_METRICS = (
    "firing_rate",
    "silent_share",
    "current_std",
    "signal_share",
    "class_signal",
    "balance",
    "balance_drift",
    "gradient",
    "common_mode_ee",
    "common_mode_ie",
    "common_mode_ei",
)
"""Numbers of each layer of a probe; older results may lack some."""
