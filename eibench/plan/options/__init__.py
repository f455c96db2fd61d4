"""Options of a suite and all defaults: frozen classes that validate their values.

They are the schema of a suite's runs, and what methods, models and data sets receive: each option
is declared once. A class's first docstring line is what `eibench list` prints. Nothing here
imports torch.
"""

from eibench.plan.options.base import Choice, Count, Options, Plugin
from eibench.plan.options.choices import (
    CHOICES,
    DATASETS,
    METHODS,
    MODELS,
    DataOptions,
    DataShape,
    MethodOptions,
    ModelOptions,
)
from eibench.plan.options.init_from import InitOptions
from eibench.plan.options.run import InputOptions, NeuronOptions, ProbeOptions, TrainOptions

__all__ = [
    "CHOICES",
    "DATASETS",
    "METHODS",
    "MODELS",
    "Choice",
    "Count",
    "DataOptions",
    "DataShape",
    "InitOptions",
    "InputOptions",
    "MethodOptions",
    "ModelOptions",
    "NeuronOptions",
    "Options",
    "Plugin",
    "ProbeOptions",
    "TrainOptions",
]
