"""The options of `ei`: which combinations are refused, in which words, and what a choice is called.

That a refused option has no effect, and an accepted one has, is held in `tests/methods`.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eibench.methods.ei import EIOptions
from eibench.plan import RunSpec

REPLACES = "divisive: true and a stabilization that replaces: adaptive or epsilon"
UNINHIBITED = {"subtractive": False, "divisive": False}
OFF, KAIMING = {"divisive": False}, {"init_statistics": "kaiming"}

IDLE = [
    (OFF, {"stabilization": "epsilon"}, "divisive: true"),
    (OFF, {"stabilization": "none"}, "divisive: true"),
    (OFF, {"straight_through": False}, REPLACES),
    (OFF, {"gain_scale": 2.0}, "divisive: true"),
    ({"stabilization": "none"}, {"straight_through": False}, REPLACES),
    ({"stabilization": "leak"}, {"straight_through": False}, REPLACES),
    ({"stabilization": "epsilon"}, {"leak": 0.1}, "stabilization: leak"),
    ({}, {"epsilon": 1e-3}, "stabilization: epsilon"),
    ({"stabilization": "none"}, {"epsilon": 1e-3}, "stabilization: epsilon"),
    ({}, {"inhibitory_tau": 4.0}, "inhibitory_cell: lif"),
    ({}, {"init_rate": 0.1}, "init_statistics: fixed or silent_layer: fixed"),
    (KAIMING, {"init_rate": 0.1}, "init_statistics: fixed or silent_layer: fixed"),
    (KAIMING, {"silent_layer": "fixed"}, "init_statistics: data"),
    ({"init_statistics": "fixed"}, {"silent_layer": "fixed"}, "init_statistics: data"),
    (KAIMING, {"weight_law": "half_normal"}, "init_statistics: data or fixed"),
    ({"init_statistics": "xavier"}, {"weight_law": "gamma"}, "init_statistics: data or fixed"),
    ({}, {"law_shape": 2.0}, "weight_law: gamma or log_normal"),
    ({"weight_law": "half_normal"}, {"law_shape": 2.0}, "weight_law: gamma or log_normal"),
    ({}, {"law_match": "second_moment"}, "another weight_law than exponential"),
    (KAIMING, {"law_match": "second_moment"}, "another weight_law than exponential"),
    (UNINHIBITED, {"ei_ratio": 2}, "subtractive or divisive inhibition"),
    (UNINHIBITED, {"kappa": 0.0}, "subtractive or divisive inhibition"),
    (UNINHIBITED, {"inhibitory_cell": "lif"}, "subtractive or divisive inhibition"),
    (UNINHIBITED, {"lateral_init": "sparse"}, "subtractive or divisive inhibition"),
    ({"dale": False}, {"blanket": 1.0}, "or subtractive: false"),
    ({"inhibitory_cell": "lif"}, {"unit_rows": True}, "or subtractive: false"),
    ({}, {"plasticity": 0.1}, "divisive: false"),
    (KAIMING, {"calibration": "neuron"}, "init_statistics: data or fixed"),
    (KAIMING, {"relay": 3.0}, "init_statistics: data or fixed"),
    ({}, {"calibration_mean": 0.5}, "calibration: neuron"),
    ({}, {"calibration_deviation": 0.5}, "calibration: neuron"),
]
"""Options under which another is idle, that other, and what it needs."""


@pytest.mark.parametrize(("base", "idle", "needs"), IDLE, ids=str)
def test_an_idle_option_is_refused(base, idle, needs):
    EIOptions(**base)
    with pytest.raises(ValidationError) as caught:
        EIOptions(**base, **idle)
    (error,) = caught.value.errors()
    (name,) = idle
    assert f"{name} has no effect without " in error["msg"] and error["msg"].endswith(needs)


@pytest.mark.parametrize(("base", "idle", "needs"), IDLE, ids=str)
def test_an_idle_option_written_out_at_its_default_is_no_mistake(base, idle, needs):
    """A grid may name every option; `to_dict` does."""
    (name,) = idle
    default = EIOptions.model_fields[name].default
    assert EIOptions(**base, **{name: default}) == EIOptions(**base)


ACCEPTED = [
    {"divisive": False, "kappa": 0.5, "lateral_init": "random", "inhibitory_cell": "lif"},
    {"subtractive": False, "stabilization": "epsilon", "epsilon": 1e-3, "straight_through": False},
    {"stabilization": "none"},
    {**UNINHIBITED, "dale": False, "weight_scale": 2.0, "weight_law": "half_normal"},
    {"inhibitory_cell": "lif", "inhibitory_tau": 1.0},
    {"init_statistics": "fixed", "init_rate": 0.1, "weight_law": "gamma", "law_shape": 2.0},
    {"silent_layer": "fixed", "init_rate": 0.1, "weight_law": "log_normal", "law_shape": 0.5},
    {"weight_law": "half_normal", "law_match": "second_moment"},
    {**KAIMING, "weight_scale": 0.5, "gain_scale": 2.0, "lateral_init": "sparse"},
    {**UNINHIBITED, "calibration": "neuron"},
    {"calibration": "neuron", "calibration_mean": -0.3, "calibration_deviation": 0.6},
    {"relay": 3.0, "init_statistics": "fixed", "calibration": "neuron"},
    {"stabilization": "leak", "leak": 0.1},
    {**UNINHIBITED, "dale": False, "blanket": 1.0, "unit_rows": True},
]


@pytest.mark.parametrize("options", ACCEPTED, ids=str)
def test_combinations_that_act_are_accepted(options):
    assert EIOptions(**options).changed() == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0, "stabilization": "epsilon"}, "greater than 0"),
        ({"kappa": -0.1}, "greater than or equal to 0"),
        ({"inhibitory_tau": 0.9, "inhibitory_cell": "lif"}, "greater than or equal to 1"),
        ({"init_rate": 0.0, "init_statistics": "fixed"}, "greater than 0"),
        ({"init_rate": 1.0, "init_statistics": "fixed"}, "less than 1"),
        ({"weight_scale": 0.0}, "greater than 0"),
        ({"gain_scale": -1.0}, "greater than 0"),
        ({"ei_ratio": 0}, "greater than or equal to 1"),
        ({"law_shape": 0.0, "weight_law": "gamma"}, "greater than or equal to 0.01"),
        ({"law_shape": 101.0, "weight_law": "gamma"}, "less than or equal to 100"),
        ({"law_shape": 5.1, "weight_law": "log_normal"}, "law_shape of log_normal must be at most"),
        ({"dale": "false"}, "valid boolean"),
        ({"kappa": float("nan")}, "finite"),
        ({"blanket": -0.1}, "greater than or equal to 0"),
        ({"blanket": 1.1}, "less than or equal to 1"),
        ({"calibration": "layer"}, "'none' or 'neuron'"),
        ({"calibration": "neuron", "calibration_deviation": 0.0}, "greater than 0"),
        ({"stabilization": "leak", "leak": 0.0}, "greater than 0"),
        ({"relay": -1.0}, "greater than or equal to 0"),
        ({"relay": 101.0}, "less than or equal to 100"),
    ],
)
def test_values_out_of_range(options, message):
    with pytest.raises(ValidationError, match=message):
        EIOptions(**options)


# ------------------------------------------------------------------------------ labels

number = st.floats(1e-30, 1e30) | st.sampled_from([0.5, 1.0, 1.5, 2.0, 1e-6, 1e16, 1e-16])
VALUES = {
    "ei_ratio": st.integers(1, 2**31 - 1),
    "subtractive": st.booleans(),
    "divisive": st.booleans(),
    "stabilization": st.sampled_from(["adaptive", "epsilon", "leak", "none"]),
    "epsilon": number,
    "leak": number,
    "straight_through": st.booleans(),
    "kappa": number,
    "dale": st.booleans(),
    "inhibitory_cell": st.sampled_from(["rectifier", "lif"]),
    "inhibitory_tau": st.floats(1, 1e30),
    "init_statistics": st.sampled_from(["data", "fixed", "kaiming", "xavier"]),
    "init_rate": st.floats(0.001, 0.999),
    "silent_layer": st.sampled_from(["error", "fixed"]),
    "weight_law": st.sampled_from(["exponential", "half_normal", "log_normal", "gamma"]),
    "law_shape": st.floats(0.01, 5),
    "law_match": st.sampled_from(["mean", "second_moment"]),
    "relay": st.floats(0, 100),
    "weight_scale": number,
    "gain_scale": number,
    "lateral_init": st.sampled_from(["uniform", "random", "sparse"]),
    "calibration": st.sampled_from(["none", "neuron"]),
    "calibration_mean": st.none() | st.floats(-1e30, 1e30),
    "calibration_deviation": st.none() | number,
    "blanket": st.floats(0, 1),
    "unit_rows": st.booleans(),
    "plasticity": st.floats(0, 1),
}


def accepted(values):
    """The options without those that are idle among them."""
    while True:
        try:
            return EIOptions(**values)
        except ValidationError as error:
            name = re.search(r"(\w+) has no effect", str(error)).group(1)
            values = {k: v for k, v in values.items() if k != name}


choices = st.fixed_dictionaries({}, optional=VALUES).map(accepted)


def test_every_option_is_drawn():
    assert VALUES.keys() == EIOptions.model_fields.keys()


@given(choices, choices)
def test_different_options_have_different_labels(one, other):
    assert (one.label == other.label) == (one == other)


@given(choices, st.data())
def test_one_change_changes_the_label(choice, data):
    """Neighbours: what two random choices seldom are."""
    name = data.draw(st.sampled_from(sorted(VALUES)))
    other = accepted({**choice.changed(), name: data.draw(VALUES[name])})
    assert (choice.label == other.label) == (choice == other)


@given(choices)
def test_a_label_is_part_of_a_run_id(choice):
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", choice.label)
    values = {"name": "ei", **choice.model_dump()}
    run = RunSpec.parse({"method": values, "model": "plain", "data": "digits"})
    assert run.method == choice
    assert run.run_id.startswith(f"{choice.label}_"[:80])


@given(choices, choices)
def test_different_options_are_different_runs(one, other):
    def run_id(choice):
        values = {"name": "ei", **choice.model_dump()}
        return RunSpec.parse({"method": values, "model": "plain", "data": "digits"}).run_id

    assert (run_id(one) == run_id(other)) == (one == other)


# ------------------------------------------------------------------------ command line


@pytest.mark.parametrize(("base", "idle", "needs"), IDLE[::3], ids=str)
def test_an_idle_option_in_a_suite(project, cli, base, idle, needs):
    """Exit code 2, one line with the file, the line of `method`, the option and what it needs."""
    path = project.suite(base={"method": {"name": "ei", **base, **idle}})
    line = 1 + path.read_text().splitlines().index("  method:")
    done = cli("run", path)
    (name,) = idle
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"tiny.yaml:{line}: base.method: {name} has no effect without ")
    assert error.endswith(needs)


def test_an_idle_option_in_a_grid(project, cli):
    path = project.suite(grid={"method.divisive": [True, False], "method.gain_scale": [1.0, 2.0]})
    done = cli("run", path, "--dry-run")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert any("gain_scale has no effect without divisive: true" in line for line in done.errors)
    assert all(line.startswith("tiny.yaml:") for line in done.errors)


def test_an_idle_option_set_by_hand(project, cli):
    done = cli("run", project.suite(), "--set", "method.epsilon=0.001")
    assert done.code == 2
    (error,) = done.errors
    assert "epsilon has no effect without stabilization: epsilon" in error


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"stabilisation": "none"}, "did you mean 'stabilization'?"),
        ({"stabilization": "adaptve"}, "did you mean 'adaptive'?"),
        ({"kappa": -1}, "base.method.kappa: must be at least 0"),
        ({"law_shape": 1000, "weight_law": "gamma"}, "law_shape: must be at most 100.0, not 1000"),
        ({"law_shape": 9, "weight_law": "log_normal"}, "must be at most 5.0, not 9.0"),
    ],
)
def test_a_wrong_value_in_a_suite(project, cli, option, words):
    done = cli("run", project.suite(base={"method": {"name": "ei", **option}}))
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith("tiny.yaml:") and words in error


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "ei"),
        ({"dale": False}, "ei-no_dale"),
        ({"subtractive": False, "kappa": 0.5}, "ei-no_subtractive-kappa0.5"),
        ({"weight_law": "gamma", "law_shape": 2.0}, "ei-weight_law_gamma-law_shape2.0"),
        ({"stabilization": "epsilon", "epsilon": 1e-8}, "ei-stabilization_epsilon-epsilon1e-08"),
        ({"weight_scale": 1e16}, "ei-weight_scale1e16"),
    ],
)
def test_labels_by_hand(options, label):
    assert EIOptions(**options).label == label
