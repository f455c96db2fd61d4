"""`eibench.load_results`: one row per run, planned or found, as documented."""

import json
import re
from pathlib import Path

import pytest

import eibench
from eibench.errors import UserError
from eibench.plan import load_plan
from eibench.results.frame import LEADING, load_results
from eibench.results.metrics import TRAIN_METRICS


def test_it_is_public():
    assert eibench.load_results is load_results
    assert "load_results" in eibench.__all__


def test_columns(half):
    frame = eibench.load_results("results")
    leading = [*LEADING, *TRAIN_METRICS]
    assert list(frame.columns[: len(leading)]) == leading
    assert set(frame.columns[len(leading) :]) == {
        "reason",
        "planned",
        "model.depth",  # varies; `method.ei_ratio`, of some runs alone, is the same in all of them
    }


def test_the_documented_columns_are_there(half):
    """Every name that the docstring gives."""
    documented = "suite run_id status reason method model data seed test_accuracy seconds"
    assert set(documented.split()) <= set(eibench.load_results("results").columns)
    assert re.sub(r"\s+", " ", load_results.__doc__ or "").count("`planned`") == 1


def test_one_row_for_each_planned_run_in_its_order(half):
    frame = eibench.load_results("results")
    runs = load_plan(half, []).runs
    assert list(frame["run_id"]) == [run.run_id for run in runs]
    assert list(frame["model.depth"]) == [1, 2, 1, 2]
    assert list(frame["method"]) == ["ei", "ei", "tdbn", "tdbn"]
    assert frame["planned"].all()


def test_missing_runs_are_visible(half):
    frame = eibench.load_results("results")
    assert list(frame["status"]) == ["ok", "missing", "ok", "missing"]
    missing = frame[frame["status"] == "missing"]
    assert list(missing["reason"]) == ["not run"] * 2
    assert missing[list(TRAIN_METRICS)].isna().all(axis=None)
    assert list(missing["model.depth"]) == [2, 2]


def test_numbers_are_those_of_the_records(half, project):
    frame = eibench.load_results("results").set_index("run_id")
    for run_id, record in project.records("half").items():
        row = frame.loc[run_id]
        for name in TRAIN_METRICS:
            expected = {**record["result"], **record["cost"]}[name]
            assert row[name] == expected or (expected is None and row[name] != row[name])
    done = frame[frame["status"] == "ok"]
    assert (done["test_accuracy"] >= 0).all()
    assert (done["seconds"] > 0).all()
    assert done["negative_weights"].to_dict() != {}


def test_no_depth_column_where_depth_does_not_vary(cli, project):
    cli("run", project.suite(grid={}))
    frame = eibench.load_results("results")
    assert len(frame) == 1
    assert not [column for column in frame.columns if "." in column]


def test_an_interrupted_run_is_visible(half, project):
    run_id = next(iter(project.records("half")))
    Path("results/half", run_id, "record.json").unlink()
    frame = eibench.load_results("results").set_index("run_id")
    assert frame.loc[run_id, "status"] == "interrupted"
    assert frame.loc[run_id, "reason"] == "stopped after epoch 1"


@pytest.mark.parametrize(
    ("status", "error"), [("error", RuntimeError("boom")), ("out_of_memory", MemoryError("boom"))]
)
def test_a_failed_run_is_a_row_with_its_reason(cli, project, monkeypatch, status, error):
    def fit(*_):
        raise error
        yield

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    cli("run", project.suite(grid={}))
    (row,) = eibench.load_results("results").to_dict("records")
    assert row["status"] == status
    assert row["reason"] == f"{type(error).__name__}: boom"
    assert row["test_accuracy"] is None or row["test_accuracy"] != row["test_accuracy"]


def test_runs_of_an_older_plan_are_told_apart(cli, project, half):
    """The suite changed; the old results are still there, but are not what is asked for now."""
    half.write_text(half.read_text().replace("  - tdbn\n", "").replace("  - 2\n", ""))
    assert cli("run", half).out.count("already finished") == 1
    frame = eibench.load_results("results")
    assert dict(zip(frame["method"], frame["planned"], strict=True)) == {"ei": True, "tdbn": False}


def test_one_suite_or_all_of_them(cli, project, half):
    cli("run", project.suite("other.yaml", name="other", grid={}))
    assert sorted(set(eibench.load_results("results")["suite"])) == ["half", "other"]
    assert set(eibench.load_results(Path("results/other"))["suite"]) == {"other"}
    assert len(eibench.load_results("results")) == 5


def test_the_paths_of_a_suite_may_be_moved(half):
    Path("results").rename("elsewhere")
    assert len(eibench.load_results("elsewhere/half")) == 4


def test_nothing_there():
    with pytest.raises(UserError, match=r"^results: no results here; `eibench run SUITE` makes"):
        eibench.load_results("results")
    Path("results").mkdir()
    with pytest.raises(UserError, match="no results here"):
        eibench.load_results("results")


DAMAGE = [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"suite": "tiny"}']


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_plan_is_named(half, content):
    Path("results/half/plan.json").write_bytes(content)
    with pytest.raises(UserError, match=r"^results/half/plan\.json: "):
        eibench.load_results("results")


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_record_is_named(half, project, content):
    run_id = next(iter(project.records("half")))
    path = Path("results/half", run_id, "record.json")
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        eibench.load_results("results")
    assert str(caught.value).startswith(f"{path}: ")


def test_a_record_of_another_schema_is_not_misread(half, project):
    """Rather an error than columns that mean something else."""
    run_id, record = next(iter(project.records("half").items()))
    path = Path("results/half", run_id, "record.json")
    path.write_text(json.dumps({**record, "schema": 999}))
    with pytest.raises(UserError, match="999"):
        eibench.load_results("results")
