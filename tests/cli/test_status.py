"""`eibench status`: states of runs, where they run, and how long the rest takes."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest
from other_process import other_process

from eibench.execution.holder import this_process
from eibench.execution.lock_file import EXPIRY
from eibench.execution.suite_state import StateReader, all_ended
from eibench.plan import load_plan
from tests.report import conftest

make_search = conftest.make_search

FOLDER = Path("results/tiny")


@pytest.fixture
def runs(cli, project):
    """Six runs: one done, one failed, one begun."""
    suite = project.suite(
        grid={"model.depth": [1, 2]}, seeds=[0, 1, 2], base={"train": {"epochs": 2}}
    )
    runs = [run.run_id for run in load_plan(suite, []).runs]
    assert cli("run", suite, "--only", "model.depth=1", "--only", "seed=0,1").code == 0
    done, failed = sorted(project.records())
    edit(failed, status="error", reason="no \x1b[2J luck")
    begun = next(run for run in runs if run not in (done, failed))
    (FOLDER / begun).mkdir()
    epochs = (FOLDER / done / "epochs.jsonl").read_text().splitlines(keepends=True)
    (FOLDER / begun / "epochs.jsonl").write_text(epochs[0])
    left = [run for run in runs if run not in (done, failed, begun)]
    return {"done": done, "failed": failed, "begun": begun, "left": left}


def edit(run_id, **changes):
    path = FOLDER / run_id / "record.json"
    record = json.loads(path.read_text())
    record["cost"]["seconds"] = 100.0
    path.write_text(json.dumps(record | changes))


def test_states(cli, runs):
    edit(runs["done"])
    with other_process(FOLDER, runs["begun"], runs["left"][0]) as where:
        done = cli("status")
        found = json.loads(cli("status", "--format", "json").out)["suites"][0]
    first, *lines = done.out.splitlines()
    head = "results/tiny: 6 planned, 1 done, 1 failed, 2 running, 2 to do"
    assert first == f"{head}, about 2:55 left"  # 7 epochs of 50 s, two at a time
    assert lines[0].startswith(f"  running {runs['begun']}  {where}, since 20")
    assert lines[0].endswith(" UTC, epoch 1 of 2")
    assert lines[-1] == f"  failed  {runs['failed']}  error: no \\x1b[2J luck"
    expected = {"planned": 6, "done": 1, "failed": 1, "running": 2, "lost": 0, "to_do": 2}
    assert {key: found[key] for key in expected} == expected
    assert found["seconds_left"] == 175
    by_id = {run["run_id"]: run for run in found["runs"]}
    assert runs["done"] not in by_id
    assert by_id[runs["begun"]]["epoch"] == 1
    assert f"process {by_id[runs['begun']]['pid']}" in where


def test_lost_runs(cli, runs):
    lost, far, silent = runs["begun"], *runs["left"][:2]
    with other_process(FOLDER, lost, kill=True):
        pass
    other = dataclasses.replace(this_process(), host="node\x1b7")
    for run, age in ((far, 0), (silent, EXPIRY + 60)):
        path = FOLDER / ".running" / run
        path.write_bytes(other.to_json())
        os.utime(path, (time.time() - age,) * 2)
    out = cli("status", "results/tiny").out
    assert "1 running, 2 lost, 1 to do" in out
    assert f"  running {far}  node\\x1b7, process " in out
    assert f"  lost    {lost}" in out


def test_a_run_that_has_just_ended_is_done(cli, runs):
    with other_process(FOLDER, runs["done"]):
        assert "1 done" in cli("status").out


def test_a_failed_run_that_is_tried_again_runs(cli, runs):
    with other_process(FOLDER, runs["failed"]):
        assert "1 done, 1 running, 4 to do" in cli("status").out


def test_runs_of_a_plan_that_others_have_changed(cli, runs):
    path = FOLDER / "plan.json"
    plan = json.loads(path.read_text())
    plan["runs"] = [run for run in plan["runs"] if run["run_id"] != runs["begun"]]
    path.write_text(json.dumps(plan))
    with other_process(FOLDER, runs["begun"]):
        assert "6 planned, 1 done, 1 failed, 1 running, 3 to do" in cli("status").out


def test_a_damaged_record_is_named_and_the_rest_is_shown(cli, runs):
    (FOLDER / runs["done"] / "record.json").write_text("{")
    done = cli("status")
    assert done.code == 0
    assert "6 planned, 2 failed, 4 to do, time left unknown" in done.out
    assert "damaged" in done.out


def test_watch_ends_with_the_last_run(cli, project, runs):
    assert cli("run", "tiny.yaml").code == 0
    done = cli("status", "--watch")
    assert done.out == "results/tiny: 6 planned, 6 done\n"


def test_watch_stops_at_an_interrupt(cli, runs, monkeypatch):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    done = cli("status", "--watch", "--every", "2", "--format", "json")
    assert (done.code, done.err) == (130, "no longer watching; the runs go on\n")
    assert looks == [2, 2, 2]
    assert [json.loads(line)["suites"][0]["done"] for line in done.out.splitlines()] == [1, 1, 1]


def test_a_search_that_pruned_a_trial_has_ended(make_search):
    """The run of a pruned trial has no record, and none is due."""
    search = make_search(trials=2, pruner="median", axes=[])
    search.study("only", {}, {"train.lr": {"low": 0.01, "high": 3.0, "log": True}})
    search.trial(90.0, {"train.lr": 0.1})
    search.trial(50.0, {"train.lr": 2.0}, "pruned")
    folder = search.folder / "search"
    (folder / search.last["trials"][1]["runs"][0] / "record.json").unlink()
    state = StateReader().read(folder)
    assert state.count() == {"done": 2}
    assert all_ended([state])


def test_only_what_has_changed_is_read_again(runs, monkeypatch):
    reader = StateReader()
    before = reader.read(FOLDER)
    reads = []
    from eibench.results import store

    real = store.read
    monkeypatch.setattr(store, "read", lambda path: reads.append(path) or real(path))
    assert reader.read(FOLDER) == before
    assert {path.name for path in reads} == {"record.json", "epochs.jsonl"}  # of runs without one
    assert not any(runs["done"] in str(path) for path in reads)
    edit(runs["failed"], status="diverged", reason="loss")
    assert reader.read(FOLDER).of("failed")[0].reason == "diverged: loss"


@pytest.mark.parametrize("words", [["nowhere"], []])
def test_no_results(cli, words):
    done = cli("status", *words)
    assert done.code == 2
    assert done.errors == [
        f"{words[0] if words else 'results'}: no live runs here; `eibench run SUITE` makes some"
    ]


@pytest.mark.parametrize("words", [["--every", "0"], ["--format", "xml"]])
def test_bad_options(cli, words):
    assert cli("status", *words).code == 2
