"""Identity of runs: the values that it depends on, and the name of a run."""

import dataclasses
import hashlib
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eibench.plan import METHODS, MODELS, RunSpec
from eibench.plan.spec import SPEC_VERSION
from eibench.plan.validate import Invalid
from eibench.plan.yaml_source import parse

LEAST = {"method": "ei", "model": "plain", "data": "digits"}
FULL = {
    "method": {"name": "batchnorm", "stats": "per_step"},
    "model": {"name": "vgg", "depth": 11},
    "data": {"name": "imagefolder", "root": "/data/x", "validation_share": 0.2},
    "neuron": {"tau": 1.5, "reset": "hard"},
    "train": {"lr": 0.03, "epochs": 5, "clip_norm": None},
    "timesteps": 6,
    "seed": 7,
}


def spec(**values):
    return RunSpec.parse({**LEAST, **values})


def problems(**values):
    with pytest.raises(Invalid) as caught:
        spec(**values)
    return {".".join(map(str, p.keys)): p.text for p in caught.value.problems}


# ------------------------------------------------------------------------------ identity


def test_the_order_of_keys_does_not_matter():
    def backwards(value):
        if not isinstance(value, dict):
            return value
        return {k: backwards(v) for k, v in reversed(value.items())}

    assert list(backwards(FULL)) != list(FULL)
    assert RunSpec.parse(backwards(FULL)).run_id == RunSpec.parse(FULL).run_id


def test_a_default_written_out_is_the_same_run():
    """All of them together, and some alone."""
    for base in (spec(), RunSpec.parse(FULL)):
        assert RunSpec.parse(base.to_dict()).run_id == base.run_id
    explicit = {"train": {"lr": 0.1}, "neuron": {"reset": "soft"}, "timesteps": 4, "seed": 0}
    for key, value in explicit.items():
        assert spec(**{key: value}).run_id == spec().run_id


def test_a_section_that_is_newer_than_results_changes_no_identity_by_its_defaults():
    assert spec(input={}).run_id == spec().run_id
    assert spec(input={"crop": 0}).run_id == spec().run_id
    assert spec(input={"crop": 1}).run_id != spec().run_id
    assert "input" not in spec().identity()


def test_splits_are_part_of_the_identity_only_where_they_are_drawn_by_seed():
    fixed = {"name": "digits", "splits": "fixed"}
    drawn = {"name": "digits", "splits": "by_seed"}
    assert spec(data=fixed).run_id == spec().run_id
    assert spec(data=drawn).run_id != spec().run_id
    assert spec(data=drawn).identity()["data"] == drawn
    within = {"name": "events_from", "source": drawn}
    assert spec(data=within).identity()["data"] == within
    without = {"name": "events_from", "source": {"name": "digits"}}
    still = {"name": "events_from", "source": fixed}
    assert spec(data=still).identity()["data"] == without
    assert spec(data=still).run_id == spec(data=without).run_id


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"name": "digits"}, "data.splits"),
        ({"name": "events_from", "source": {"name": "mnist"}}, "data.source.splits"),
    ],
)
def test_a_misspelt_way_to_split(data, key):
    chosen = data.get("source", data)
    chosen["splits"] = "by_sead"
    text = "must be 'fixed' or 'by_seed', not 'by_sead'; did you mean 'by_seed'?"
    assert problems(data=data) == {key: text}


def test_simulated_recordings_have_the_splits_of_their_source():
    found = problems(data={"name": "events_from", "source": "mnist", "splits": "by_seed"})
    assert found["data.splits"].startswith("unknown key; allowed here: amplitude, ")


def test_ei_refuses_normalized_images_and_says_why():
    assert problems(input={"normalize": True})["input.normalize"].startswith(
        "normalize gives negative values, which ei refuses: E-I Init and Dale's law need activity"
    )
    assert spec(method="batchnorm", input={"normalize": True}).input.normalize


PHOTOS, EVENTS, GREY = "cifar10", "digits_dvs", "digits"
MISFITS = [
    (EVENTS, {"brightness": 0.1}, "brightness is for images in [0, 1]; digits_dvs has counts of"),
    (EVENTS, {"hue": 0.1}, "hue is for images in [0, 1]; digits_dvs has counts of events"),
    (EVENTS, {"erase": 0.5}, "erase is for images in [0, 1]; digits_dvs has counts of events"),
    (GREY, {"hue": 0.1}, "hue needs RGB images; digits has 1 channel(s)"),
    (GREY, {"saturation": 0.1}, "saturation needs RGB images; digits has 1 channel(s)"),
    (PHOTOS, {"drop_frames": 0.1}, "drop_frames is for recordings; cifar10 has images"),
]


@pytest.mark.parametrize(("data", "chosen", "text"), MISFITS)
def test_input_that_a_data_set_cannot_have(data, chosen, text):
    (found,) = problems(data=data, input=chosen).items()
    assert found[0] == f"input.{next(iter(chosen))}"
    assert found[1].startswith(text)


@pytest.mark.parametrize(
    ("data", "chosen"),
    [
        (PHOTOS, {"hue": 0.5, "saturation": 10.0, "brightness": 0.4, "contrast": 0.4}),
        (PHOTOS, {"erase": 1.0, "erase_area": 0.02, "resized_crop": 1.0}),
        (GREY, {"brightness": 0.4, "contrast": 0.4, "erase": 0.5}),
        (EVENTS, {"drop_frames": 0.5, "resized_crop": 0.5, "flip": True}),
        (EVENTS, {"one_of": True, "roll": 5, "rotate": 30.0, "cutout": 4}),
        (
            {"name": "imagefolder", "root": "x"},
            {"hue": 0.1, "one_of": True, "roll": 1, "cutout": 2},
        ),
    ],
)
def test_input_that_it_can_have(data, chosen):
    run = spec(data=data, input=chosen)
    assert run.identity()["input"] == chosen
    assert run.run_id != spec(data=data).run_id


def test_input_without_an_effect_is_refused():
    needs = "one_of needs two or all of roll, rotate and cutout to choose from"
    assert problems(input={"one_of": True, "roll": 3}) == {"input": needs}
    assert problems(input={"erase_area": 0.1}) == {
        "input": "erase_area (0.1) has no effect while erase is 0"
    }


def test_a_name_alone_is_a_mapping_with_that_name():
    assert spec(method={"name": "ei"}) == spec(method="ei")


def test_an_empty_section_is_its_defaults():
    assert spec(train={}, neuron={}) == spec()


@pytest.mark.parametrize("field", ["lr", "clip_norm"])
def test_one_and_one_point_zero_are_the_same_rate(field):
    assert spec(train={field: 1}).run_id == spec(train={field: 1.0}).run_id
    assert spec(train={field: 2}).run_id == spec(train={field: 2.0}).run_id


@pytest.mark.parametrize("field", ["weight_decay", "momentum"])
def test_minus_zero_is_zero(field):
    assert spec(train={field: -0.0}).run_id == spec(train={field: 0.0}).run_id


DIFFERENCES = {
    "seed": {"seed": 1},
    "timesteps": {"timesteps": 5},
    "method": {"method": "tdbn"},
    "an option of the method": {"method": {"name": "ei", "ei_ratio": 2}},
    "model": {"model": "vgg"},
    "an option of the model": {"model": {"name": "plain", "width": 8}},
    "data": {"data": {"name": "imagefolder", "root": "x"}},
    "an option of the data": {"data": {"name": "imagefolder", "root": "y"}},
    "neuron": {"neuron": {"tau": 3.0}},
    "train": {"train": {"weight_decay": 0.0}},
    "nothing in place of a number": {"train": {"clip_norm": None}},
    "decay of vectors": {"train": {"weight_decay_on": "all"}},
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_takes_part_in_the_identity(what):
    assert spec(**DIFFERENCES[what]).run_id != spec().run_id


def test_all_these_runs_differ_from_one_another():
    runs = {spec(**values).run_id for values in DIFFERENCES.values()}
    assert len(runs) == len(DIFFERENCES)


def test_the_same_value_under_another_key_is_another_run():
    assert spec(timesteps=2, seed=3).run_id != spec(timesteps=3, seed=2).run_id


def test_the_digest_is_sha256_of_canonical_json():
    """Written out by hand: sorted keys, no blanks, names and what is not default."""
    canonical = (
        '{"data":{"name":"digits"},"method":{"ei_ratio":2,"name":"ei"},"model":{"name":"plain"},'
        '"neuron":{},"seed":3,"timesteps":4,"train":{"lr":0.5},"version":1}'
    )
    run = spec(method={"name": "ei", "ei_ratio": 2}, train={"lr": 0.5}, seed=3)
    assert json.loads(canonical) == run.identity()
    assert run.run_id.endswith("_" + hashlib.sha256(canonical.encode()).hexdigest()[:8])


def test_run_ids_are_pinned():
    """Results on disk are found by these names. Where they change, every old result is lost:
    if that is meant, raise SPEC_VERSION and pin the new names."""
    assert SPEC_VERSION == 1
    assert spec().run_id == "ei_plain_digits_s0_29823196"
    assert RunSpec.parse(FULL).run_id == "batchnorm-per_step_vgg-depth11_imagefolder_s7_52698fae"


# ---------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("method", "label"),
    [
        ("ei", "ei"),
        ("no_norm", "no_norm"),
        ({"name": "no_norm", "init": "spikeinit", "rate": 0.2}, "no_norm-spikeinit-rate0.2"),
        ({"name": "wta", "share": 0.5}, "wta-share0.5"),
        ({"name": "ei", "ei_ratio": 4}, "ei"),
        ({"name": "ei", "ei_ratio": 2}, "ei-ei_ratio2"),
        ({"name": "batchnorm", "stats": "joint"}, "batchnorm"),
        ({"name": "batchnorm", "stats": "per_step"}, "batchnorm-per_step"),
    ],
)
def test_label_of_a_method(method, label):
    assert spec(method=method).method.label == label
    assert spec(method=method).fields()["method"] == label


def test_label_of_a_model_lists_changes_in_the_order_of_its_options():
    model = {"width": 8, "name": "plain", "depth": 3}
    assert spec(model=model).model.label == "plain-depth3-width8"


PATHS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(PATHS, st.integers(0, 2**31 - 1), st.integers(1, 65_536))
def test_a_run_id_is_a_safe_file_name(root, seed, width):
    data = {"name": "imagefolder", "root": root}
    run = spec(data=data, seed=seed, model={"name": "plain", "width": width})
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}", run.run_id)


def test_long_names_are_cut_but_stay_distinct():
    method = {"name": "ei", "ei_ratio": 10**9, "kappa": 1.234567890123}
    model = {"name": "plain", "depth": 1999, "width": 65_535, "pools": 1998}
    runs = [spec(method=method, model=model, seed=2**31 - 1 - i) for i in range(2)]
    assert runs[0].run_id[:80] == runs[1].run_id[:80]
    assert runs[0].run_id != runs[1].run_id
    assert {len(run.run_id) for run in runs} == {89}


# ---------------------------------------------------------------------------- round trips

CASES = {
    "least": LEAST,
    "full": FULL,
    **{f"method {name}": {**LEAST, "method": name} for name in METHODS},
    **{f"model {name}": {**LEAST, "model": name} for name in MODELS},
    "data digits": LEAST,
    "data imagefolder": {**LEAST, "data": {"name": "imagefolder", "root": "a b/\u00e9"}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_spec_survives_its_own_dictionary(case):
    original = RunSpec.parse(CASES[case])
    assert RunSpec.parse(original.to_dict()) == original
    assert RunSpec.parse(json.loads(json.dumps(original.to_dict()))) == original


@pytest.mark.parametrize("case", CASES)
def test_a_spec_survives_yaml(case):
    """As `spec.yaml` is written, and read by our own reader."""
    original = RunSpec.parse(CASES[case])
    written = yaml.safe_dump(original.to_dict(), sort_keys=False)
    assert RunSpec.parse(parse(written, "spec.yaml").data) == original


def test_fields_are_flat_and_complete():
    assert RunSpec.parse(FULL).fields() == {
        "method": "batchnorm-per_step",
        "method.stats": "per_step",
        "method.init": "kaiming",
        "method.scale": 1.0,
        "method.shift": 0.0,
        "method.relay": 0.0,
        "model": "vgg",
        "model.depth": 11,
        "model.layout": None,
        "data": "imagefolder",
        "data.splits": "fixed",
        "data.train_images": None,
        "data.test_images": None,
        "data.root": "/data/x",
        "data.validation_share": 0.2,
        "data.size": None,
        "neuron.tau": 1.5,
        "neuron.threshold": 1.0,
        "neuron.reset": "hard",
        "neuron.surrogate": "sigmoid",
        "neuron.detach_reset": True,
        "train.epochs": 5,
        "train.batch_size": 64,
        "train.accumulate": 1,
        "train.init_batch_size": None,
        "train.optimizer": "sgd",
        "train.lr": 0.03,
        "train.momentum": 0.9,
        "train.weight_decay": 0.0005,
        "train.weight_decay_on": "matrices",
        "train.clip_norm": None,
        "train.schedule": "cosine",
        "train.warmup_epochs": 0,
        "train.precision": "fp32",
        "input.normalize": False,
        "input.crop": 0,
        "input.flip": False,
        "input.rotate": 0.0,
        "input.roll": 0,
        "input.cutout": 0,
        "input.resized_crop": None,
        "input.one_of": False,
        "input.brightness": 0.0,
        "input.contrast": 0.0,
        "input.saturation": 0.0,
        "input.hue": 0.0,
        "input.erase": 0.0,
        "input.erase_area": 0.4,
        "input.drop_frames": 0.0,
        "perturb.fan_in": 1.0,
        "perturb.random_fan_in": 1.0,
        "perturb.weight_bits": 32,
        "perturb.channel_bits": 32,
        "perturb.weight_noise": 0.0,
        "perturb.additive_noise": 0.0,
        "perturb.stuck_at_zero": 0.0,
        "perturb.stuck_at_largest": 0.0,
        "perturb.threshold_noise": 0.0,
        "perturb.spike_drop": 0.0,
        "perturb.spike_jitter": 0.0,
        "timesteps": 6,
        "seed": 7,
    }


def test_a_spec_is_a_frozen_hashable_value():
    assert {spec(), spec(timesteps=4)} == {spec()}
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().seed = 1
    with pytest.raises(ValueError, match="frozen"):
        spec().train.lr = 1.0


# ------------------------------------------------------------------- the same computation


@pytest.mark.parametrize(
    ("values", "simplest"),
    [
        ({"method": {"name": "batchnorm", "stats": "per_step"}, "timesteps": 1}, "batchnorm"),
        (
            {"method": {"name": "batchnorm", "stats": "per_step"}, "timesteps": 2},
            "batchnorm-per_step",
        ),
        ({"method": "tdbn"}, "batchnorm"),
        ({"method": "tdbn", "neuron": {"threshold": 0.5}}, "tdbn"),
        (
            {"method": {"name": "batchnorm", "stats": "per_step", "init": "torch"}, "timesteps": 1},
            "batchnorm-torch",
        ),
        ({"method": "ei"}, "ei"),
        ({"method": "no_norm"}, "no_norm"),
        ({"method": "wta"}, "wta"),
        (
            {"method": {"name": "batchnorm", "stats": "per_step", "relay": 3.0}, "timesteps": 1},
            "batchnorm-relay3.0",
        ),
        ({"method": {"name": "wta", "share": 1.0}}, "no_norm"),
        ({"method": {"name": "wta", "share": 1.0, "relay": 3.0}}, "no_norm-relay3.0"),
        ({"method": {"name": "wta", "share": 1.0, "init": "xavier"}}, "no_norm-xavier"),
    ],
)
def test_simplest_method_of_the_same_computation(values, simplest):
    run = spec(**values)
    assert run.simplest().method.label == simplest
    assert dataclasses.replace(run.simplest(), method=run.method) == run


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "key", "text"),
    [
        ({"timesteps": True}, "timesteps", "must be a whole number, not true"),
        ({"timesteps": 2.0}, "timesteps", "must be a whole number, not 2.0"),
        ({"seed": 2**63}, "seed", "must be "),
        ({"model": {"name": "plain", "width": 2**31}}, "model.width", "must be at most 65536"),
        ({"train": {"batch_size": 2**31}}, "train.batch_size", "must be at most 2147483647"),
        ({"timesteps": None}, "timesteps", "must be a whole number, not nothing"),
        ({"timesteps": 0}, "timesteps", "must be at least 1, not 0"),
        ({"seed": -1}, "seed", "must be at least 0, not -1"),
        ({"neuron": {"tau": 0.5}}, "neuron.tau", "must be at least 1.0, not 0.5"),
        ({"neuron": {"threshold": 0}}, "neuron.threshold", "must be above 0.0, not 0"),
        ({"neuron": {"detach_reset": 1}}, "neuron.detach_reset", "must be true or false, not 1"),
        ({"neuron": None}, "neuron", "must be a mapping of keys to values, not nothing"),
        ({"train": {"momentum": 1}}, "train.momentum", "must be below 1.0, not 1"),
        ({"train": {"lr": "0.1"}}, "train.lr", "must be a number, not '0.1'"),
        ({"train": {"lr": True}}, "train.lr", "must be a number, not true"),
        ({"train": {"lr": None}}, "train.lr", "must be a number, not nothing"),
        ({"train": {"clip_norm": 0}}, "train.clip_norm", "must be above 0.0, not 0"),
        ({"method": None}, "method", "must be a name or a mapping with one, not nothing"),
        ({"method": ["ei"]}, "method", "must be a name or a mapping with one, not ['ei']"),
        ({"method": {"ei_ratio": 4}}, "method", "needs a name; allowed: dann, ei, batchnorm"),
        ({"data": {"name": "imagefolder"}}, "data.root", "is missing"),
    ],
)
def test_refused_values(values, key, text):
    (found,) = problems(**values).items()
    assert found[0] == key
    assert found[1].startswith(text)


NUMERIC = [
    *(("train", k) for k in ("lr", "momentum", "weight_decay", "clip_norm")),
    *(("neuron", k) for k in ("tau", "threshold")),
]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
@pytest.mark.parametrize(("section", "field"), NUMERIC)
def test_every_number_is_finite(section, field, value):
    """Infinity has no JSON: a run with it could not even be recorded."""
    assert list(problems(**{section: {field: value}})) == [f"{section}.{field}"]


def test_all_problems_of_all_sections_at_once():
    found = problems(
        method="eii",
        model={"name": "plain", "depth": 0, "wdth": 3},
        train={"lr": -1, "epochs": 1.5},
        timesteps=0,
        trian={},
    )
    expected = {
        *("trian", "method.name", "model.depth", "model.wdth"),
        *("train.lr", "train.epochs", "timesteps"),
    }
    assert found.keys() == expected
