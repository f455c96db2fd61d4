"""Failing runs: each gets a record with a status and a reason, and the other runs continue."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch

from eibench.training.fit import Diverged
from eibench.training.fit import _evaluate as real_evaluate
from eibench.training.fit import fit as real_fit

HOST_MEMORY = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"

FAILURES = {
    "error": (RuntimeError("shapes do not match"), "RuntimeError: shapes do not match"),
    "error without a word": (AssertionError(), "AssertionError: "),
    "error of two lines": (ValueError("one\ntwo"), "ValueError: one\ntwo"),
    "out_of_memory": (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemoryError: CUDA out"),
    "out_of_memory of the host": (RuntimeError(HOST_MEMORY), f"RuntimeError: {HOST_MEMORY}"),
    "out_of_memory in Python": (MemoryError(), "MemoryError: "),
    "diverged": (Diverged("loss is nan in training"), "loss is nan in training"),
}
AGAIN = ("error", "out_of_memory")


@pytest.fixture
def tiny(project):
    """Three runs; the one in the middle is `tdbn`."""
    return project.suite(grid={"method": ["batchnorm", "tdbn", "no_norm"]})


@pytest.fixture
def break_tdbn(monkeypatch):
    """`break_tdbn(error, after=n)`: training of tdbn raises it after n epochs."""

    def set_up(error, after=0):
        def fit(experiment, progress, on_step):
            broken = experiment.spec.method.name == "tdbn"
            if broken and len(progress.history) >= after:
                raise error
            for record in real_fit(experiment, progress, on_step):
                yield record
                if broken and record["epoch"] >= after:
                    raise error

        monkeypatch.setattr("eibench.execution.run_one.fit", fit)

    return set_up


def mend(monkeypatch):
    monkeypatch.setattr("eibench.execution.run_one.fit", real_fit)


def by_method(project):
    return {record["fields"]["method"]: record for record in project.records().values()}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_run_is_a_record_and_the_rest_go_on(cli, project, tiny, break_tdbn, failure):
    error, reason = FAILURES[failure]
    status = failure.split()[0]
    break_tdbn(error)
    done = cli("run", tiny)
    assert done.code == 1
    assert "2 of 3 runs ok, 1 failed" in done.out
    assert status.upper() in done.out
    assert "Traceback" not in done.out + done.err
    records = by_method(project)
    assert {name: r["status"] for name, r in records.items()} == {
        "batchnorm": "ok",
        "tdbn": status,
        "no_norm": "ok",
    }
    assert records["tdbn"]["reason"].startswith(reason)
    assert records["tdbn"]["result"] == {}
    assert (status == "diverged") != ("traceback" in records["tdbn"])
    if status != "diverged":
        files = re.findall(r'File "([^"]*)"', records["tdbn"]["traceback"])
        assert "eibench/execution/run_one.py" in files
        assert not [file for file in files if file.startswith("/")]


def test_numbers_that_leave_the_finite(cli, project, tiny, monkeypatch):
    """Not a stand-in for `fit`: a loss that is truly not a number."""

    def nan_loss(experiment, batch, lr, number):
        return torch.tensor(math.nan), torch.tensor(0)

    monkeypatch.setattr("eibench.training.fit.train_step", nan_loss)
    assert cli("run", tiny).code == 1
    for record in project.records().values():
        assert record["status"] == "diverged"
        assert "loss is nan" in record["reason"]
        assert "epoch 1" in record["reason"]
        assert record["cost"]["seconds"] is None


def test_a_number_of_the_result_that_is_not_finite(cli, project, tiny, monkeypatch):
    """JSON has no infinity: that run has diverged, and the others have their records."""

    def infinite(experiment, split):
        seen = real_evaluate(experiment, split)
        broken = experiment.spec.method.name == "tdbn" and split == "test"
        return dataclasses.replace(seen, loss=math.inf) if broken else seen

    monkeypatch.setattr("eibench.training.fit._evaluate", infinite)
    assert cli("run", tiny).code == 1
    records = by_method(project)
    statuses = {name: record["status"] for name, record in records.items()}
    assert statuses == {"batchnorm": "ok", "tdbn": "diverged", "no_norm": "ok"}
    assert "test split is inf" in records["tdbn"]["reason"]


@pytest.mark.parametrize("failure", ["error", "out_of_memory"])
def test_these_are_tried_again(cli, project, tiny, break_tdbn, monkeypatch, failure):
    break_tdbn(FAILURES[failure][0])
    cli("run", tiny)
    kept = {name: r for name, r in by_method(project).items() if name != "tdbn"}
    mend(monkeypatch)
    done = cli("run", tiny)
    assert done.code == 0
    assert done.out.count("already finished") == 2
    assert by_method(project)["tdbn"]["status"] == "ok"
    assert by_method(project)["tdbn"]["reason"] is None
    assert kept.items() <= by_method(project).items()


def test_diverged_is_not_tried_again(cli, project, tiny, break_tdbn, monkeypatch):
    break_tdbn(FAILURES["diverged"][0])
    cli("run", tiny)
    mend(monkeypatch)
    before = project.files()
    done = cli("run", tiny)
    assert done.code == 1
    assert done.out.count("already finished") == 3
    assert project.files() == before


def test_a_failure_that_stays_is_a_failure_again(cli, project, tiny, break_tdbn):
    break_tdbn(RuntimeError("first"))
    cli("run", tiny)
    break_tdbn(RuntimeError("second"))
    assert cli("run", tiny).code == 1
    assert by_method(project)["tdbn"]["reason"] == "RuntimeError: second"


@pytest.mark.parametrize("failure", AGAIN)
def test_a_dry_run_tells_what_is_tried_again(cli, tiny, break_tdbn, failure):
    break_tdbn(FAILURES[failure][0])
    cli("run", tiny)
    assert f"{failure}, tried again" in cli("run", tiny, "--dry-run").out


def test_a_dry_run_tells_what_diverged(cli, tiny, break_tdbn):
    break_tdbn(FAILURES["diverged"][0])
    cli("run", tiny)
    assert "done (diverged)" in cli("run", tiny, "--dry-run").out


def test_a_run_tried_again_has_the_result_of_one_that_never_failed(
    cli, project, break_tdbn, monkeypatch
):
    """It failed after two of three epochs."""
    path = project.suite(base={"method": "tdbn", "train": {"epochs": 3}}, grid={})
    cli("run", path, "--results", "whole")
    break_tdbn(RuntimeError("power cut"), after=2)
    assert cli("run", path).code == 1
    mend(monkeypatch)
    assert cli("run", path).code == 0
    (record,) = project.records().values()
    (whole,) = Path("whole").rglob("record.json")
    assert record["result"] == json.loads(whole.read_text())["result"]
    (folder,) = Path("results/tiny").glob("tdbn*")
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert not (folder / "checkpoint.pt").exists()


def test_fail_fast(cli, project, tiny, break_tdbn):
    break_tdbn(RuntimeError("no"))
    done = cli("run", tiny, "--fail-fast")
    assert done.code == 1
    assert "1 of 3 runs ok, 1 failed, 1 not run" in done.out
    assert by_method(project).keys() == {"batchnorm", "tdbn"}


def test_fail_fast_passes_by_what_failed_before(cli, project, tiny, break_tdbn, monkeypatch):
    """A recorded divergence is skipped, as always; else no later run would ever begin."""
    break_tdbn(FAILURES["diverged"][0])
    cli("run", tiny, "--fail-fast")
    assert by_method(project).keys() == {"batchnorm", "tdbn"}
    assert cli("run", tiny, "--fail-fast").code == 1
    assert by_method(project).keys() == {"batchnorm", "tdbn", "no_norm"}


def test_fail_fast_without_failures(cli, tiny):
    assert cli("run", tiny, "--fail-fast").code == 0


# ---------------------------------------------------------------------------- interrupts


def test_interrupted_in_the_middle(cli, project, break_tdbn, monkeypatch):
    """Ctrl-C after one of two epochs of the second run of three."""
    methods = ["no_norm", "tdbn", "batchnorm"]
    path = project.suite(base={"train": {"epochs": 2}}, grid={"method": methods})
    cli("run", path, "--results", "whole")
    break_tdbn(KeyboardInterrupt(), after=1)
    done = cli("run", path)
    assert done.code == 130
    assert done.err == "interrupted; run the same command again to resume\n"
    assert by_method(project).keys() == {"no_norm"}
    (folder,) = Path("results/tiny").glob("tdbn*")
    assert (folder / "checkpoint.pt").exists()
    assert "after epoch 1" in cli("run", path, "--dry-run").out

    mend(monkeypatch)
    assert cli("run", path).code == 0
    whole = {p.parent.name: json.loads(p.read_text()) for p in Path("whole").rglob("record.json")}
    assert len(whole) == 3
    for run_id, record in project.records().items():
        assert record["result"] == whole[run_id]["result"]
    assert not list(Path("results").rglob("checkpoint.pt"))


def test_interrupted_before_the_first_run(cli, project, tiny, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("eibench.execution.run_suite.check_buildable", interrupt)
    before = project.files()
    assert cli("run", tiny).code == 130
    assert project.files() == before


def test_the_lock_is_let_go_after_an_interrupt(cli, tiny, break_tdbn, monkeypatch):
    break_tdbn(KeyboardInterrupt())
    cli("run", tiny)
    mend(monkeypatch)
    assert cli("run", tiny).code == 0
