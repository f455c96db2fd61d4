"""Presets: one name for several options, replaced before validation and naming."""

import json

import pytest

from eibench.methods.ei import EIOptions
from eibench.plan import RunSpec, load_plan
from eibench.plan.options import METHODS
from eibench.plan.validate import Invalid

BLANKET = {
    "subtractive": False,
    "divisive": False,
    "blanket": 1.0,
    "unit_rows": True,
    "calibration": "neuron",
    "calibration_mean": 0.3,
    "calibration_deviation": 0.6,
}
PRESETS = [(m, name) for m, cls in METHODS.items() for name in cls.presets]


def spec_of(**options):
    method = {"name": "ei", **options}
    return RunSpec.parse({"method": method, "model": "plain", "data": "digits"})


def test_a_preset_is_its_options():
    """Identity, label and fields are those of a suite that writes the options out."""
    short, long = spec_of(preset="blanket"), spec_of(**BLANKET)
    assert short == long
    assert short.run_id == long.run_id
    assert short.fields() == long.fields()
    assert "preset" not in str(short.identity())
    assert short.method.label == long.method.label == "ei-blanket"


def test_what_is_beside_a_preset_follows_its_name():
    assert spec_of(preset="blanket", relay=3).method.label == "ei-blanket-relay3.0"
    assert spec_of(preset="blanket", blanket=0.5).method.label == "ei-blanket-blanket0.5"
    assert spec_of(preset="blanket", subtractive=True).method.label == "ei-blanket-subtractive"
    assert spec_of(preset="blanket", unit_rows=False).method.label == "ei-blanket-no_unit_rows"


def test_what_has_little_of_a_preset_is_not_named_after_it():
    assert spec_of(relay=3.0).method.label == "ei-relay3.0"
    assert spec_of(stabilization="leak", relay=2.0).method.label == "ei-stabilization_leak-relay2.0"


def test_an_option_beside_it_wins():
    assert spec_of(preset="blanket", unit_rows=False, relay=2.0).method == EIOptions(
        **{**BLANKET, "unit_rows": False, "relay": 2.0}
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
            {"name": "ei", "preset": "blankt"},
            "unknown preset 'blankt' of ei; allowed: blanket; did you mean 'blanket'?",
        ),
        ({"name": "ei", "preset": 3}, "unknown preset 3 of ei; allowed: blanket"),
        ({"name": "tdbn", "preset": "blanket"}, "unknown key; allowed here: name"),
        ({"name": "ei", "preste": "blanket"}, "did you mean 'preset'?"),
        (
            {"name": "ei", "preset": "blanket", "init_statistics": "kaiming"},
            "calibration has no effect without init_statistics: data or fixed",
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
    path = project.suite(base={"method": {"name": "ei", "preset": "blankt"}})
    line = 1 + path.read_text().splitlines().index("    preset: blankt")
    done = cli("run", path)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"tiny.yaml:{line}: base.method.preset: unknown preset 'blankt'")


def test_layers_of_a_suite_reach_into_a_preset(project):
    """A grid over an option of the preset, and over methods with and without it."""
    base = {"method": {"name": "ei", "preset": "blanket"}}
    path = project.suite(base=base, grid={"method.blanket": [0.5, 1.0]})
    runs = load_plan(path, []).runs
    assert [run.spec.method.blanket for run in runs] == [0.5, 1.0]
    assert all(run.spec.method.calibration == "neuron" for run in runs)
    path = project.suite(grid={"method": ["ei", {"name": "ei", "preset": "blanket"}]})
    assert [run.spec.method for run in load_plan(path, []).runs] == [
        EIOptions(),
        EIOptions(**BLANKET),
    ]


@pytest.mark.parametrize("part", ["grid", "zip"])
def test_it_is_no_axis(project, cli, part):
    """A run has no such field, so no table could have such a column."""
    done = cli("run", project.suite(**{"grid": {}, part: {"method.preset": [None, "blanket"]}}))
    assert done.code == 2
    (error,) = done.errors
    assert f"{part}.method.preset: is a preset, not a field of a run" in error
    assert error.endswith("list whole choices under `method`")


CHANGES = {
    "partly balanced": {"method.blanket": 0.5},
    "rows not scaled": {"method.unit_rows": False},
    "as E-I Init intends": {
        "method.calibration_mean": None,
        "method.calibration_deviation": None,
    },
    "relays": {"method.relay": 3.0},
    "learned cells": {"method.subtractive": True},
    "no Dale's law": {"method.dale": False},
}


def test_every_option_can_be_ablated(project, cli):
    """One run for each, trained and reported beside the base, which is a preset."""
    base = {"method": {"name": "ei", "preset": "blanket"}, "model": {"depth": 1}}
    path = project.suite(base=base, grid={}, ablate=CHANGES, seeds=[0, 1])
    done = cli("run", path)
    assert (done.code, done.err) == (0, "")
    found = {r["fields"]["ablation"] for r in project.records().values()}
    assert found == {"base", *CHANGES}
    report = cli("report", "results/tiny")
    assert report.code == 0
    assert all(name in report.out for name in CHANGES)


def test_a_preset_can_be_ablated_and_set(project, cli):
    path = project.suite(grid={}, ablate={"blanket": {"method.preset": "blanket"}})
    methods = [run.spec.method for run in load_plan(path, []).runs]
    assert methods == [EIOptions(), EIOptions(**BLANKET)]
    done = cli("run", project.suite(grid={}), "--set", "method.preset=blanket", "--dry-run")
    assert "ei-blanket" in done.out


# ---------------------------------------------------------------------------------- lists


def test_presets_are_listed(cli):
    lines = cli("list", "methods").out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("ei ")]
    assert lines[at + 1].split(": ")[0].split() == ["preset", "blanket"]
    assert "exactly balanced" in lines[at + 1]
    entries = json.loads(cli("list", "methods", "--json").out)
    listed = {(e["name"], e["preset"]): e["summary"] for e in entries if "preset" in e}
    assert listed == {(m, name): METHODS[m].presets[name].summary for m, name in PRESETS}
