"""What can be chosen, and every default: one frozen class per method, model, data set and stage.

These classes are the schema of a suite's runs. They hold no behaviour of a network: `methods`,
`models` and `data` receive the values as plain arguments. A class's first docstring line is what
`eibench list` prints. Nothing here imports torch.
"""

from __future__ import annotations

from eibench.plan.options.base import LARGEST, Choice, Count, Options, Plugin
from eibench.plan.options.data import (
    CIFAR10Options,
    CIFAR100Options,
    DataOptions,
    DataShape,
    DigitsOptions,
    FashionMNISTOptions,
    ImageFolderOptions,
    MNISTOptions,
    TinyImageNetOptions,
)
from eibench.plan.options.ei import EIOptions
from eibench.plan.options.events import (
    CIFAR10DVSOptions,
    DigitsDVSOptions,
    DVSGestureOptions,
    EventsFromOptions,
    NMNISTOptions,
    SHDOptions,
)
from eibench.plan.options.methods import (
    BatchNormOptions,
    BNTTOptions,
    GroupNormOptions,
    LayerNormOptions,
    MethodOptions,
    MPBNOptions,
    NoNormOptions,
    TABOptions,
    TDBNOptions,
    TEBNOptions,
    WeightStandardizationOptions,
    WTAOptions,
)
from eibench.plan.options.models import (
    MlpOptions,
    ModelOptions,
    PlainOptions,
    ResnetOptions,
    VggOptions,
)
from eibench.plan.options.run import InputOptions, NeuronOptions, ProbeOptions, TrainOptions

METHODS: dict[str, type[MethodOptions]] = {
    c.name: c
    for c in (
        EIOptions,
        BatchNormOptions,
        TDBNOptions,
        BNTTOptions,
        TEBNOptions,
        TABOptions,
        MPBNOptions,
        GroupNormOptions,
        LayerNormOptions,
        WeightStandardizationOptions,
        WTAOptions,
        NoNormOptions,
    )
}
MODELS: dict[str, type[ModelOptions]] = {
    c.name: c for c in (MlpOptions, PlainOptions, VggOptions, ResnetOptions)
}
DATASETS: dict[str, type[DataOptions]] = {
    c.name: c
    for c in (
        DigitsOptions,
        ImageFolderOptions,
        MNISTOptions,
        FashionMNISTOptions,
        CIFAR10Options,
        CIFAR100Options,
        TinyImageNetOptions,
        DigitsDVSOptions,
        EventsFromOptions,
        CIFAR10DVSOptions,
        DVSGestureOptions,
        NMNISTOptions,
        SHDOptions,
    )
}

__all__ = [
    "DATASETS",
    "LARGEST",
    "METHODS",
    "MODELS",
    "BNTTOptions",
    "BatchNormOptions",
    "CIFAR10DVSOptions",
    "CIFAR10Options",
    "CIFAR100Options",
    "Choice",
    "Count",
    "DVSGestureOptions",
    "DataOptions",
    "DataShape",
    "DigitsDVSOptions",
    "DigitsOptions",
    "EIOptions",
    "EventsFromOptions",
    "FashionMNISTOptions",
    "GroupNormOptions",
    "ImageFolderOptions",
    "InputOptions",
    "LayerNormOptions",
    "MNISTOptions",
    "MPBNOptions",
    "MethodOptions",
    "MlpOptions",
    "ModelOptions",
    "NMNISTOptions",
    "NeuronOptions",
    "NoNormOptions",
    "Options",
    "PlainOptions",
    "Plugin",
    "ProbeOptions",
    "ResnetOptions",
    "SHDOptions",
    "TABOptions",
    "TDBNOptions",
    "TEBNOptions",
    "TinyImageNetOptions",
    "TrainOptions",
    "VggOptions",
    "WTAOptions",
    "WeightStandardizationOptions",
]
