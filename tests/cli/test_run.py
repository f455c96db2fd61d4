"""`eibench run` on valid input: files written, runs skipped, output, and files left unchanged."""

import json
import re
from pathlib import Path

import pytest
import yaml

from eibench.data.digits import digits
from eibench.plan import METHODS, RunSpec, load_plan
from eibench.plan.options import DATASETS


@pytest.fixture
def tiny(project):
    return project.suite()


def ids(path):
    return [run.run_id for run in load_plan(path, []).runs]


def shown(out):
    """The run ids in a command's output, in order."""
    return re.findall(r"\b\S+_s\d+_[0-9a-f]{8}\b", out)


# ------------------------------------------------------------------------------ writing


def test_a_suite_runs(cli, project, tiny):
    done = cli("run", tiny)
    assert (done.code, done.err) == (0, "")
    assert shown(done.out) == ids(tiny)
    assert "2 of 2 runs ok" in done.out
    for run_id in ids(tiny):
        names = {p.name for p in Path("results/tiny", run_id).iterdir()}
        assert names == {"spec.yaml", "epochs.jsonl", "record.json"}
    assert {p.name for p in Path("results/tiny").iterdir()} == {*ids(tiny), "plan.json"}


def test_a_run_on_all_the_digits(cli, project, monkeypatch):
    monkeypatch.setitem(DATASETS.code, "digits", digits)
    train = {"batch_size": 64, "epochs": 2, "lr": 0.1}
    suite = project.suite(base={"method": "batchnorm", "train": train}, grid={})
    assert cli("run", suite).code == 0
    (record,) = project.records().values()
    assert record["result"]["data_digest"] == digits().digest
    assert record["result"]["test_accuracy"] > 30  # chance is 10


def test_every_method_runs(cli, project):
    done = cli("run", project.suite(grid={"method": list(METHODS)}))
    assert done.code == 0
    records = project.records().values()
    assert {r["status"] for r in records} == {"ok"}
    assert {r["fields"]["method"] for r in records} == set(METHODS)


def test_optimizers_are_an_axis(cli, project):
    """Of runs, their estimate and their table."""
    suite = project.suite(grid={"train.optimizer": ["sgd", "adamw", "muon", "eg"]})
    assert cli("run", suite, "--dry-run").code == 0
    assert cli("run", suite).code == 0
    found = {r["fields"]["train.optimizer"]: r["status"] for r in project.records().values()}
    assert found == dict.fromkeys(("sgd", "adamw", "muon", "eg"), "ok")
    table = cli("report", "tiny").out
    assert all(word in table for word in found)


def test_a_record_is_complete(cli, project, tiny):
    cli("run", tiny, "--only", "model.depth=1", "--device", "cpu")
    ((run_id, record),) = project.records().items()
    assert record["run_id"] == run_id
    assert (record["suite"], record["status"], record["reason"]) == ("tiny", "ok", None)
    assert record["fields"] == load_plan(tiny, []).runs[0].spec.fields()
    result = record["result"]
    assert 0 <= result["test_accuracy"] <= 100
    assert 0 <= result["validation_accuracy"] <= 100
    assert result["negative_weights"] == 0
    assert (result["epochs"], result["best_epoch"]) == (1, 1)
    assert record["cost"]["seconds"] > 0
    assert record["environment"]["device"].startswith("cpu")
    assert record["environment"]["torch"]


def test_the_stored_spec_is_the_run(cli, tiny):
    cli("run", tiny)
    for run in load_plan(tiny, []).runs:
        stored = yaml.safe_load(Path("results/tiny", run.run_id, "spec.yaml").read_text())
        assert RunSpec.parse(stored) == run.spec


def test_one_line_for_each_epoch(cli, project):
    path = project.suite(base={"train": {"epochs": 3}}, grid={})
    cli("run", path)
    (run_id,) = ids(path)
    lines = Path("results/tiny", run_id, "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_the_plan_is_kept_beside_the_results(cli, project):
    path = project.suite(tuned_by="lr_search", title="Émile's & co")
    cli("run", path, "--only", "model.depth=1")
    plan = json.loads(Path("results/tiny/plan.json").read_text())
    assert (plan["suite"], plan["title"], plan["tuned_by"]) == ("tiny", "Émile's & co", "lr_search")
    assert plan["axes"] == ["model.depth"]
    assert [run["run_id"] for run in plan["runs"]] == ids(path)  # all, also what was not chosen


def test_the_plan_names_methods_that_compute_the_same(cli, project):
    """At threshold 1, in a chain, tdbn is batch norm."""
    path = project.suite(grid={"method": ["ei", "batchnorm", "tdbn"]})
    done = cli("run", path, "--dry-run")
    assert "note: batchnorm and tdbn are the same computation" in done.out
    cli("run", path, "--only", "method=ei")
    assert json.loads(Path("results/tiny/plan.json").read_text())["same"] == [["batchnorm", "tdbn"]]


def test_the_same_computation_has_the_same_result(cli, project):
    cli("run", project.suite(grid={"method": ["batchnorm", "tdbn"]}))
    one, other = (record["result"] for record in project.records().values())
    assert one == other


def test_another_results_folder(cli, project, tiny):
    assert cli("run", tiny, "--only", "model.depth=1", "--results", "a/b c").code == 0
    assert len(list(Path("a/b c/tiny").glob("*/record.json"))) == 1
    assert not Path("results").exists()


def test_a_suite_by_name(cli, project):
    project.suite("suites/tiny.yaml")
    assert cli("run", "tiny", "--only", "model.depth=1").code == 0
    assert len(project.records()) == 1


# ------------------------------------------------------------------------------- again


def test_a_second_run_skips_everything(cli, project, tiny):
    cli("run", tiny)
    before = project.files()
    done = cli("run", tiny)
    assert done.code == 0
    assert done.out.count("already finished") == 2
    assert "2 of 2 runs ok" in done.out
    assert project.files() == before


def test_a_second_run_trains_nothing(cli, tiny, monkeypatch):
    cli("run", tiny)
    monkeypatch.setattr("eibench.execution.slots.execute", None)
    assert cli("run", tiny).code == 0


def test_only_what_is_missing_is_run(cli, project, tiny):
    cli("run", tiny, "--only", "model.depth=2")
    before = project.records()
    done = cli("run", tiny)
    assert done.out.count("already finished") == 1
    after = project.records()
    assert len(after) == 2
    assert before.items() <= after.items()


def test_the_same_run_again_gives_the_same_numbers(cli, project, tiny):
    cli("run", tiny, "--results", "a")
    cli("run", tiny, "--results", "b")
    for path in Path("a").glob("tiny/*/record.json"):
        one, other = (
            json.loads(Path(root, *path.parts[1:]).read_text())["result"] for root in "ab"
        )
        assert one == other


def test_another_seed_gives_other_numbers(cli, project, tiny):
    cli("run", tiny, "--only", "model.depth=1", "--seeds", "0,1")
    losses = {record["result"]["test_loss"] for record in project.records().values()}
    assert len(losses) == 2


# ----------------------------------------------------------------------------- dry run


def test_a_dry_run_writes_nothing_and_lists_every_run(cli, project):
    path = project.suite(grid={"method": ["ei", "tdbn"], "model.depth": [1, 2]}, seeds=[0, 1])
    before = project.files()
    done = cli("run", path, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert shown(done.out) == ids(path)
    assert len(ids(path)) == 8
    assert "8 runs" in done.out
    assert project.files() == before


def test_a_dry_run_tells_what_is_done(cli, project, tiny):
    cli("run", tiny, "--only", "model.depth=1")
    before = project.files()
    done = cli("run", tiny, "--dry-run")
    lines = [line.strip() for line in done.out.splitlines() if shown(line)]
    assert lines[0].startswith("done (ok)")
    assert lines[1].startswith("to do")
    assert project.files() == before


# ----------------------------------------------------------------------------- options


def test_seeds(cli, project, tiny):
    done = cli("run", tiny, "--dry-run", "--seeds", "4,2")
    assert re.findall(r"_s(\d+)_", done.out) == ["4", "4", "2", "2"]


def test_set(cli, project, tiny):
    settings = ["--set", "model.depth=2", "--set", "train.lr=1e-2", "--set", "method=tdbn"]
    assert cli("run", tiny, *settings).code == 0
    (record,) = project.records().values()
    fields = record["fields"]
    assert (fields["model.depth"], fields["train.lr"], fields["method"]) == (2, 0.01, "tdbn")


def test_only(cli, project, tiny):
    done = cli("run", tiny, "--only", "model.depth=2", "--only", "method=ei")
    assert "1 of 1 runs ok" in done.out
    (record,) = project.records().values()
    assert record["fields"]["model.depth"] == 2


def test_output_has_no_colour_codes_in_a_pipe(cli, tiny):
    assert "\x1b" not in cli("run", tiny).out
