"""Presets: one name for several options, replaced before validation and naming."""

import json

import pytest

from eibench.methods.ei import EIOptions
from eibench.plan import RunSpec, load_plan
from eibench.plan.options import METHODS
from eibench.plan.validate import Invalid

BALANCED = {
    "stabilization": "leak",
    "calibration": "neuron",
    "calibration_mean": 0.3,
    "calibration_deviation": 0.6,
    "relay": 3.0,
    "mean_mode_ee": 0.0,
    "mean_mode_ie": 0.0,
}
PRESETS = [(m, name) for m, cls in METHODS.items() for name in cls.presets]


def spec_of(**options):
    method = {"name": "ei", **options}
    return RunSpec.parse({"method": method, "model": "plain", "data": "digits"})


def test_a_preset_is_its_options():
    """Identity, label and fields are those of a suite that writes the options out."""
    short, long = spec_of(preset="balanced"), spec_of(**BALANCED)
    assert short == long
    assert short.run_id == long.run_id
    assert short.fields() == long.fields()
    assert "preset" not in str(short.identity())
    assert short.method.label == long.method.label == "ei-balanced"


def test_what_is_beside_a_preset_follows_its_name():
    assert spec_of(preset="balanced", kappa=0.5).method.label == "ei-balanced-kappa0.5"
    assert spec_of(preset="balanced", relay=0).method.label == "ei-balanced-relay0.0"
    free = spec_of(preset="balanced", mean_mode_ee=0.5, calibration_mean=None)
    assert free.method.label == "ei-balanced-mean_mode_ee0.5-no_calibration_mean"


def test_what_has_little_of_a_preset_is_not_named_after_it():
    assert spec_of(relay=3.0).method.label == "ei-relay3.0"
    assert spec_of(stabilization="leak", relay=2.0).method.label == "ei-stabilization_leak-relay2.0"


def test_an_option_beside_it_wins():
    assert spec_of(preset="balanced", mean_mode_ee=1.0, kappa=0.5).method == EIOptions(
        **{**BALANCED, "mean_mode_ee": 1.0, "kappa": 0.5}
    )


def test_null_is_none():
    assert spec_of(preset=None) == spec_of()


@pytest.mark.parametrize(("method", "name"), PRESETS)
def test_every_preset_is_valid_and_changes_something(method, name):
    preset = METHODS[method].presets[name]
    assert METHODS[method](**preset.values).changed() == preset.values
    assert preset.summary.endswith(".")
    assert "preset" not in METHODS[method].model_fields


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"name": "ei", "preset": "balancd"},
            "unknown preset 'balancd' of ei; allowed: balanced, subtractive, blanket; did you mean",
        ),
        ({"name": "ei", "preset": 3}, "unknown preset 3 of ei; allowed: balanced"),
        ({"name": "tdbn", "preset": "balanced"}, "unknown key; allowed here: name"),
        ({"name": "ei", "preste": "balanced"}, "did you mean 'preset'?"),
        (
            {"name": "ei", "preset": "balanced", "init_statistics": "kaiming"},
            "relay has no effect without init_statistics: data or fixed",
        ),
    ],
)
def test_mistakes(method, message):
    with pytest.raises(Invalid) as caught:
        RunSpec.parse({"method": method, "model": "plain", "data": "digits"})
    (problem,) = caught.value.problems
    assert message in problem.text


# ------------------------------------------------------------------------------ in suites


def test_a_mistake_in_a_suite_names_its_line(project, cli):
    path = project.suite(base={"method": {"name": "ei", "preset": "balancd"}})
    line = 1 + path.read_text().splitlines().index("    preset: balancd")
    done = cli("run", path)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"tiny.yaml:{line}: base.method.preset: unknown preset 'balancd'")


def test_layers_of_a_suite_reach_into_a_preset(project):
    """A grid over an option of the preset, and over methods with and without it."""
    base = {"method": {"name": "ei", "preset": "balanced"}}
    path = project.suite(base=base, grid={"method.mean_mode_ee": [0.0, 1.0]})
    runs = load_plan(path, []).runs
    assert [run.spec.method.mean_mode_ee for run in runs] == [0.0, 1.0]
    assert all(run.spec.method.calibration == "neuron" for run in runs)
    path = project.suite(grid={"method": ["ei", {"name": "ei", "preset": "balanced"}]})
    assert [run.spec.method for run in load_plan(path, []).runs] == [
        EIOptions(),
        EIOptions(**BALANCED),
    ]


@pytest.mark.parametrize("part", ["grid", "zip"])
def test_it_is_no_axis(project, cli, part):
    """A run has no such field, so no table could have such a column."""
    done = cli("run", project.suite(**{"grid": {}, part: {"method.preset": [None, "balanced"]}}))
    assert done.code == 2
    (error,) = done.errors
    assert f"{part}.method.preset: is a preset, not a field of a run" in error
    assert error.endswith("list whole choices under `method`")


CHANGES = {
    "mean modes": {"method.mean_mode_ee": 1.0, "method.mean_mode_ie": 0.5},
    "adaptive": {"method.stabilization": "adaptive"},
    "as E-I Init intends": {
        "method.calibration_mean": None,
        "method.calibration_deviation": None,
    },
    "topography": {"method.topography": 0.5},
    "no relay": {"method.relay": 0.0},
    "scaling": {"method.synaptic_scaling": True},
    "homeostasis": {"method.homeostasis": 0.1},
}


def test_every_option_can_be_ablated(project, cli):
    """One run for each, trained and reported beside the base, which is a preset."""
    base = {"method": {"name": "ei", "preset": "balanced"}, "model": {"depth": 1}}
    path = project.suite(base=base, grid={}, ablate=CHANGES, seeds=[0, 1])
    done = cli("run", path)
    assert (done.code, done.err) == (0, "")
    found = {r["fields"]["ablation"] for r in project.records().values()}
    assert found == {"base", *CHANGES}
    report = cli("report", "results/tiny")
    assert report.code == 0
    assert all(name in report.out for name in CHANGES)


def test_a_preset_can_be_ablated_and_set(project, cli):
    path = project.suite(grid={}, ablate={"balanced": {"method.preset": "balanced"}})
    methods = [run.spec.method for run in load_plan(path, []).runs]
    assert methods == [EIOptions(), EIOptions(**BALANCED)]
    done = cli("run", project.suite(grid={}), "--set", "method.preset=balanced", "--dry-run")
    assert "ei-balanced" in done.out


# ---------------------------------------------------------------------------------- lists


def test_presets_are_listed(cli):
    lines = cli("list", "methods").out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("ei ")]
    assert lines[at + 1].split(": ")[0].split() == ["preset", "balanced"]
    assert "centred gradients" in lines[at + 1]
    entries = json.loads(cli("list", "methods", "--json").out)
    listed = {(e["name"], e["preset"]): e["summary"] for e in entries if "preset" in e}
    assert listed == {(m, name): METHODS[m].presets[name].summary for m, name in PRESETS}
