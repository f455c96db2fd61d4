"""`plan.json` under flags: earlier runs stay, and the suite file defines what is planned."""

import json
from pathlib import Path

import pytest
import yaml

from eibench.errors import UserError
from eibench.plan import Override, load_plan
from eibench.report.model.pivot import build_pivot, choose_layout
from eibench.report.model.suite_results import read_suite
from eibench.results.metrics import METRICS
from eibench.results.plan_file import write_plan

FOLDER = Path("results/tiny")


@pytest.fixture
def write(project):
    """`write("train.lr=1", seeds=[1], made=..., **suite)`: as a command that made these runs."""

    def call(*settings, seeds=None, made=True, **suite):
        path = project.suite(**suite) if suite else Path("tiny.yaml")
        overrides = [Override.read("--set", text) for text in settings]
        plan = load_plan(path, overrides, seeds)
        write_plan(FOLDER, plan)
        for run in plan.runs if made else ():
            (FOLDER / run.run_id).mkdir(exist_ok=True)
        return {run.run_id for run in plan.runs}

    project.suite()
    return call


def content():
    return json.loads((FOLDER / "plan.json").read_text())


def listed():
    return [run["run_id"] for run in content()["runs"]]


def fields(key):
    return [run["fields"][key] for run in content()["runs"]]


def test_without_flags_it_is_the_suite(write):
    write()
    assert "flags" not in content()
    before = content()
    write()
    assert content() == before


def test_seeds_are_added(write):
    write()
    write(seeds=[1, 2])
    assert fields("seed") == [0, 0, 1, 1, 2, 2]
    assert content()["axes"] == ["model.depth"]
    write()
    assert fields("seed") == [0, 0, 1, 1, 2, 2]
    write(seeds=[3])
    assert sorted(fields("seed")) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_is_set_becomes_an_axis_beside_what_it_replaces(write):
    write()
    write("train.epochs=5")
    assert fields("train.epochs") == [1, 1, 5, 5]
    assert content()["axes"] == ["model.depth", "train.epochs"]
    suite = read_suite(FOLDER)
    table = build_pivot(suite, METRICS["test_accuracy"], choose_layout(suite))
    assert len(table.cells) == 4  # no cell mixes epochs


def test_of_the_first_command_alone_no_axis_is_made(write):
    write("train.epochs=5")
    assert content()["axes"] == ["model.depth"]
    assert fields("train.epochs") == [5, 5]


def test_a_value_of_an_axis_that_is_set(write):
    write()
    write("model.depth=3")
    assert sorted(fields("model.depth")) == [1, 2, 3]
    assert content()["axes"] == ["model.depth"]
    write("model.depth=1")  # a run of the suite's own
    assert len(listed()) == len(set(listed())) == 3


def test_of_earlier_flags_only_what_was_begun_stays(write):
    first = write(seeds=[1], made=False)
    own = write(made=False)
    assert set(listed()) == own
    (FOLDER / sorted(first)[0]).mkdir()
    write(seeds=[1], made=False)
    write(made=False)
    assert set(listed()) == own | {sorted(first)[0]}


def test_flags_of_a_command_whose_first_run_begins_later(write):
    """Another command under flags of its own came before it."""
    first = write(seeds=[1], made=False)
    second = write(seeds=[2], made=False)
    assert set(listed()) == second
    (FOLDER / sorted(first)[0]).mkdir()
    write(seeds=[2], made=False)
    assert set(listed()) == second | {sorted(first)[0]}


def test_a_changed_suite_defines_the_plan(write):
    """Runs that the suite no longer defines are dropped, with and without flags."""
    write()
    write(seeds=[1])
    now = write(base={"train": {"lr": 0.5}}, made=False)
    assert set(listed()) == now
    write(seeds=[7], made=False)
    assert set(fields("train.lr")) == {0.5}


def test_a_longer_suite_keeps_what_was_run_under_flags(write):
    write()
    extra = write(seeds=[1])
    own = write(grid={"model.depth": [1, 2, 3]})
    assert set(listed()) == own | extra


def test_a_suite_in_which_a_key_is_no_longer_known(write):
    write("method.kappa=0.5")
    own = write(base={"method": "tdbn"})
    assert set(listed()) == own


@pytest.mark.parametrize(
    "flags",
    [None, 3, "x", [3], [None], [{"settings": 3}], [{"settings": [[]]}], [{"other": []}],
     [{"settings": [3]}], [{"settings": ["x"]}], [{"seeds": ["x"]}], [{"seeds": [-1]}]],
)  # fmt: skip
def test_flags_that_nobody_wrote(write, flags):
    own = write()
    (FOLDER / "plan.json").write_text(json.dumps({**content(), "flags": flags}))
    write()
    assert set(listed()) == own


def test_references_of_all_runs(write, project):
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    entry = {"data": "digits", "model": model, "method": "ei", "metric": "test_accuracy"}
    entry |= {"value": 98.5, "source": "ab", "protocol": {"timesteps": 4, "seeds": 1}}
    sources = {"ab": {"paper": "A and B, On digits", "year": 2026}}
    project.write(yaml.safe_dump({"sources": sources, "published": [entry]}), "references.yaml")
    write(references="references.yaml")
    write(seeds=[1])
    (reference,) = content()["references"]
    assert len(reference["runs"]) == 2


def test_control_and_margin(write):
    write()
    assert (content()["control"], content()["margin"]) == ("batchnorm", None)
    write(control="ei", margin=1.5)
    assert (content()["control"], content()["margin"]) == ("ei", 1.5)
    write(control=None)
    assert content()["control"] is None
    assert read_suite(FOLDER).control is None


def test_a_plan_from_before_there_were_controls(write):
    write()
    before = read_suite(FOLDER)
    older = {k: v for k, v in content().items() if k not in ("control", "margin")}
    (FOLDER / "plan.json").write_text(json.dumps(older))
    assert read_suite(FOLDER) == before


@pytest.mark.parametrize(
    ("key", "value"), [("control", 3), ("margin", 0), ("margin", -1), ("margin", "x")]
)
def test_a_control_that_nobody_wrote(write, key, value):
    write()
    (FOLDER / "plan.json").write_text(json.dumps({**content(), key: value}))
    with pytest.raises(UserError, match=f"plan.json: .*{key}"):
        read_suite(FOLDER)
