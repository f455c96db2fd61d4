"""Defaults determine the meaning of old results, so they are pinned."""

import pytest
from pydantic_core import PydanticUndefined

from eibench.limits import NUMBERS
from eibench.plan import DATASETS, METHODS, MODELS
from eibench.plan.options import ProbeOptions
from eibench.plan.spec import SECTIONS, SPEC_VERSION

REQUIRED = "(required)"
SPLITS = {"splits": "fixed"}
FETCHED = {**SPLITS, "train_images": None, "test_images": None, "validation_share": 0.1}
RECORDED = {**SPLITS, "validation_share": 0.1, "by": "time"}
CAMERA = {
    "contrast": 0.3,
    "amplitude": 4.0,
    "saccades": 3,
    "steps": 20,
    "margin": 2,
    "dark": 0.1,
}

PINNED = {
    1: {
        "method ei": {
            "ei_ratio": 4,
            "subtractive": True,
            "divisive": True,
            "stabilization": "adaptive",
            "epsilon": 1e-6,
            "leak": 0.5,
            "straight_through": True,
            "kappa": 1.0,
            "dale": True,
            "inhibitory_cell": "rectifier",
            "inhibitory_tau": 2.0,
            "init_statistics": "data",
            "init_rate": 0.2,
            "silent_layer": "error",
            "weight_law": "exponential",
            "law_shape": 1.0,
            "law_match": "mean",
            "relay": 0.0,
            "weight_scale": 1.0,
            "gain_scale": 1.0,
            "lateral_init": "uniform",
            "calibration": "none",
            "calibration_mean": None,
            "calibration_deviation": None,
            "blanket": 0.0,
            "unit_rows": False,
            "plasticity": 0.0,
        },
        "method batchnorm": {
            "stats": "joint",
            "init": "kaiming",
            "scale": 1.0,
            "shift": 0.0,
            "relay": 0.0,
        },
        "method tdbn": {},
        "method bntt": {},
        "method tebn": {},
        "method tab": {},
        "method mpbn": {},
        "method groupnorm": {"groups": 8},
        "method layernorm": {},
        "method weight_standardization": {"gain": "theory"},
        "method dann": {"ei_ratio": 10, "epsilon": 0.1, "corrections": True},
        "method spikeinit": {"rate": 0.1},
        "method wta": {"init": "kaiming", "rate": 0.1, "relay": 0.0, "share": 0.25},
        "method no_norm": {"init": "kaiming", "rate": 0.1, "relay": 0.0},
        "model plain": {"depth": 8, "width": 32, "pools": 2},
        "model mlp": {"depth": 3, "width": 256},
        "model vgg": {"depth": 8, "layout": None},
        "model resnet": {
            "depth": 18,
            "width": 64,
            "shortcut": "spikes",
            "connect": "add",
            "stem": "small",
        },
        "data digits": SPLITS,
        "data imagefolder": {**FETCHED, "root": REQUIRED, "size": None},
        "data mnist": FETCHED,
        "data fashion_mnist": FETCHED,
        "data cifar10": FETCHED,
        "data cifar100": FETCHED,
        "data tiny_imagenet": {**FETCHED, "size": 64},
        "data digits_dvs": {**CAMERA, **SPLITS, "amplitude": 2.0},
        "data events_from": {**CAMERA, "source": REQUIRED},
        "data cifar10_dvs": {**RECORDED, "size": 48},
        "data dvs_gesture": {**RECORDED, "size": 48},
        "data nmnist": {**RECORDED, "size": 34},
        "data shd": RECORDED,
        "neuron": {
            "tau": 2.0,
            "threshold": 1.0,
            "reset": "soft",
            "surrogate": "sigmoid",
            "detach_reset": True,
        },
        "train": {
            "epochs": 30,
            "batch_size": 64,
            "accumulate": 1,
            "init_batch_size": None,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "weight_decay_on": "matrices",
            "clip_norm": 1.0,
            "schedule": "cosine",
            "warmup_epochs": 0,
            "precision": "fp32",
            "keep": "none",
        },
        "input": {
            "normalize": False,
            "crop": 0,
            "flip": False,
            "rotate": 0.0,
            "roll": 0,
            "cutout": 0,
            "resized_crop": None,
            "one_of": False,
            "brightness": 0.0,
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,
            "erase": 0.0,
            "erase_area": 0.4,
            "drop_frames": 0.0,
        },
        "perturb": {
            "fan_in": 1.0,
            "random_fan_in": 1.0,
            "weight_bits": 32,
            "channel_bits": 32,
            "weight_noise": 0.0,
            "additive_noise": 0.0,
            "stuck_at_zero": 0.0,
            "stuck_at_largest": 0.0,
            "threshold_noise": 0.0,
            "spike_drop": 0.0,
            "spike_jitter": 0.0,
        },
        "probe": {"steps": 0},
        "numbers": {"timesteps": 4, "seed": 0},
    }
}
"""By SPEC_VERSION: every option and its default."""


def current():
    """Every default as the code has it."""
    classes = {
        **{f"method {name}": cls for name, cls in METHODS.items()},
        **{f"model {name}": cls for name, cls in MODELS.items()},
        **{f"data {name}": cls for name, cls in DATASETS.items()},
        **SECTIONS,
        "probe": ProbeOptions,
    }
    out = {
        where: {
            name: REQUIRED if field.default is PydanticUndefined else field.default
            for name, field in cls.model_fields.items()
        }
        for where, cls in classes.items()
    }
    return {**out, "numbers": {name: values[0] for name, values in NUMBERS.items()}}


PAIRS = [(where, name) for where, options in PINNED[1].items() for name in options]


@pytest.mark.parametrize(("where", "name"), PAIRS)
def test_a_default_never_changes_silently(where, name):
    pinned = PINNED[SPEC_VERSION][where][name]
    now = current().get(where, {}).get(name, "(gone)")
    assert repr(now) == repr(pinned), (
        f"the default of {where} {name} was {pinned!r} and is now {now!r}. A run id leaves "
        "defaults out, so results on disk would silently be taken for runs with the new value. "
        "Raise SPEC_VERSION in eibench/plan/spec.py and pin the new defaults under it."
    )


def test_every_option_is_pinned():
    pinned = {(where, name) for where, names in PINNED[SPEC_VERSION].items() for name in names}
    new = {(where, name) for where, options in current().items() for name in options} - pinned
    unknown = current().keys() - PINNED[SPEC_VERSION].keys()
    assert not new and not unknown, (
        f"new options {sorted(new)} {sorted(unknown)}: add them to PINNED. SPEC_VERSION stays, if "
        "their defaults do what the code did before they existed."
    )


def test_every_default_is_valid():
    """pydantic does not check defaults by itself."""
    for where, defaults in current().items():
        if where == "numbers" or REQUIRED in defaults.values():
            continue
        registry = {"method": METHODS, "model": MODELS, "data": DATASETS}
        kind, _, name = where.partition(" ")
        sections = {**SECTIONS, "probe": ProbeOptions}
        cls = registry[kind][name] if name else sections[kind]
        assert cls.model_validate(defaults) == cls()


@pytest.mark.parametrize("registry", [METHODS, MODELS, DATASETS], ids=["method", "model", "data"])
def test_every_entry_has_its_name_and_one_line_about_it(registry):
    for name, cls in registry.items():
        assert cls.name == name
        assert cls.summary().endswith(".")
        assert 10 < len(cls.summary()) < 100


def test_one_summary_of_each():
    summaries = [c.summary() for r in (METHODS, MODELS, DATASETS) for c in r.values()]
    assert len(set(summaries)) == len(summaries)
