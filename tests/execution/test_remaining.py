"""The time that is left, against sums by hand."""

import json

import pytest
import torch

from eibench.execution.device import device_name
from eibench.execution.environment import cpu_name
from eibench.execution.estimate import kind_of_run
from eibench.execution.remaining import RemainingWork, work_of
from eibench.plan import load_plan
from eibench.results.store import RunFolder


def test_nothing_is_known_at_first():
    assert RemainingWork({"a": 3}).seconds() is None


def test_costs_of_records_and_then_of_this_command():
    work = RemainingWork({"a": 10}, {"a": 2.0})
    assert work.seconds() == 20
    assert work.seconds(jobs=2) == 10
    work.advance("a", 0.5, 2.0)  # 4 s an epoch
    assert work.seconds() == pytest.approx(9.5 * 4)
    work.advance("a", 0.5, 1.0)  # 3 s an epoch
    assert work.seconds() == pytest.approx(9 * 3)


def test_an_unknown_kind_is_the_mean_of_the_others():
    work = RemainingWork({"a": 1, "b": 1, "c": 2}, {"a": 1.0, "b": 3.0})
    assert work.seconds() == 1 + 3 + 2 * 2


def test_work_that_is_dropped_costs_nothing_and_is_expected_again():
    """Two of four epochs of a pruned trial: the next one is expected to take half of its four."""
    work = RemainingWork({"a": 8})
    work.advance("a", 2, 2.0)
    assert work.seconds() == 6
    work.drop("a", 2)
    assert work.seconds() == 4 * 0.5


def test_more_than_was_left_is_not_negative():
    work = RemainingWork({"a": 1}, {"a": 1.0})
    work.advance("a", 3, 3.0)
    assert work.seconds() == 0


@pytest.fixture
def plan(project):
    grid = {"model.depth": [1, 2, 3]}
    return load_plan(project.suite(grid=grid, base={"train": {"epochs": 4}}), [])


def record(run, seconds, device="cpu, 1 thread"):
    return {
        "schema": 1,
        "suite": "tiny",
        "run_id": run.run_id,
        "status": "ok",
        "reason": None,
        "fields": run.fields(),
        "finished": "2026-01-01T00:00:00+00:00",
        "environment": {"cpu": cpu_name(), "device": device},
        "result": {"test_accuracy": 50.0, "test_loss": 1.0},
        "cost": {"seconds": seconds, "images_per_second": None, "peak_memory_mib": None},
    }


def test_finished_runs_cost_nothing_and_begun_ones_what_is_left(plan, tmp_path):
    cpu = torch.device("cpu")
    first, second, _ = plan.runs
    done = RunFolder(tmp_path / "tiny" / first.run_id)
    done.finish(record(first, 8.0, device_name(cpu)))
    begun = RunFolder(tmp_path / "tiny" / second.run_id)
    begun.begin({})
    begun.checkpoint.write_bytes(b"x")
    epoch = {"epoch": 1, "train_loss": 1.0, "validation_accuracy": 1.0, "validation_loss": 1.0}
    begun.file("epochs.jsonl").write_text(json.dumps(epoch) + "\n")
    work = work_of(plan, plan.runs, tmp_path, cpu, jobs=1)
    kinds = [kind_of_run(run.spec) for run in plan.runs]
    assert [work.left[kind] for kind in kinds] == [0, 3, 4]
    assert work.costs == {kinds[0]: 2.0}
    assert work.seconds() == 7 * 2.0
    threads = work_of(plan, plan.runs, tmp_path, cpu, jobs=10**6)
    assert threads.costs == ({} if torch.get_num_threads() > 1 else work.costs)


def test_damaged_files_are_the_runs_own_affair(plan, tmp_path):
    folder = tmp_path / "tiny" / plan.runs[0].run_id
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{")
    work = work_of(plan, plan.runs, tmp_path, torch.device("cpu"), jobs=1)
    assert sum(work.left.values()) == 12
    assert work.seconds() is None
