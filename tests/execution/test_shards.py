"""Several commands on one folder of results compute each run once, and together what one would."""

import dataclasses
import json
import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from eibench.errors import UserError
from eibench.execution.holder import this_process
from eibench.execution.lock import Locks
from eibench.execution.lock_file import EXPIRY
from eibench.plan import load_plan
from eibench.plan.shard import Shard

SHARED = {"model.depth": [1, 2], "method": ["ei", "batchnorm", "tdbn"]}
SEEDS = [0, 1]
FINISHED = re.compile(r"\] (\S+_s\d+_[0-9a-f]{8})  .* s$", re.MULTILINE)
"""The line of a run that the command has computed itself."""


@pytest.fixture
def tiny(project):
    return project.suite()


def computed(out):
    return FINISHED.findall(out)


def without_clock(value):
    if isinstance(value, dict):
        clock = ("finished", "environment", "cost")
        return {k: without_clock(v) for k, v in value.items() if k not in clock}
    return value


def records(results):
    """Return plan and records below a folder, without times and machine."""
    found = {p: json.loads(p.read_text()) for p in Path(results).rglob("*.json")}
    return {str(p.relative_to(results)): without_clock(c) for p, c in found.items()}


@pytest.mark.slow
def test_two_shards_and_a_third_command_give_the_runs_of_one(project, commands):
    suite = project.suite(grid=SHARED, seeds=SEEDS, base={"train": {"epochs": 3}})
    code, out, errors = commands.run("run", suite, "--results", "one")
    assert code == 0, errors
    assert len(computed(out)) == 12

    several = [
        commands.start("run", suite, "--results", "several", "--shard", f"{k}/2") for k in (1, 2)
    ]
    deadline = time.monotonic() + 60
    while not list(Path("several").rglob("record.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    several.append(commands.start("run", suite, "--results", "several"))
    outputs = [command.communicate(300) for command in several]
    assert [errors for _, errors in outputs] == ["", "", ""]
    codes = [command.returncode for command in several]
    assert set(codes) <= {0, 1}  # 1: another still computes a run
    times = Counter(run for out, _ in outputs for run in computed(out))
    assert times == Counter(run.run_id for run in load_plan(suite, []).runs)
    assert records("several") == records("one")
    assert not list(Path("several").rglob(".running"))
    for code, (out, _) in zip(codes, outputs, strict=True):
        assert ("other commands compute" in out) == (code == 1)


@pytest.mark.slow
def test_commands_with_different_flags_agree_on_the_plan(project, commands):
    suite = project.suite(grid={"method": ["ei", "batchnorm"]}, base={"train": {"epochs": 3}})
    flags = [["--seeds", "1"], ["--seeds", "2"], []]
    started = [commands.start("run", suite, *words) for words in flags]
    for command in started:
        out, errors = command.communicate(300)
        assert command.returncode == 0, out + errors
    plan = json.loads(Path("results/tiny/plan.json").read_text())
    assert {run["run_id"] for run in plan["runs"]} == set(project.records())
    assert len(project.records()) == 6


def test_shards_divide_a_plan_and_stay_when_it_grows(project):
    path = project.suite(grid={"model.depth": [1, 2]}, seeds=list(range(50)))
    runs = load_plan(path, []).runs
    parts = [Shard(k, 4).of(runs) for k in range(1, 5)]
    assert sorted(run.run_id for part in parts for run in part) == sorted(r.run_id for r in runs)
    assert all(15 <= len(part) <= 35 for part in parts)  # 25 on average
    grown = load_plan(path, [], list(range(80))).runs
    for k, part in enumerate(parts, 1):
        assert {run.run_id for run in part} <= {run.run_id for run in Shard(k, 4).of(grown)}
    assert Shard().of(runs) == runs


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/10001"])
def test_bad_shards(cli, tiny, project, text):
    with pytest.raises(UserError, match="K/N"):
        Shard.read("--shard", text)
    files = project.files()
    for verb in ("run", "probe"):
        done = cli(verb, tiny, f"--shard={text}")
        assert done.code == 2
        assert done.errors == [
            f"--shard {text}: must be K/N with 1 <= K <= N <= 10000, such as 1/4"
        ]
    assert project.files() == files


def test_a_shard_runs_its_part_of_the_whole_plan(cli, tiny, project):
    runs = load_plan(tiny, []).runs
    parts = {k: Shard(k, 9).of(runs) for k in range(1, 10)}
    number = next(k for k, part in parts.items() if part)
    assert cli("run", tiny, "--shard", f"{number}/9").code == 0
    assert set(project.records()) == {run.run_id for run in parts[number]}
    plan = json.loads(Path("results/tiny/plan.json").read_text())
    assert [run["run_id"] for run in plan["runs"]] == [run.run_id for run in runs]


def test_a_shard_without_runs(cli, tiny):
    empty = next(k for k in range(1, 10) if not Shard(k, 9).of(load_plan(tiny, []).runs))
    done = cli("run", tiny, "--shard", f"{empty}/9")
    assert (done.code, done.err) == (0, "")
    assert f"no run is in shard {empty}/9" in done.out


def test_what_fails_elsewhere_is_not_tried_again_by_this_command(cli, tiny, project, monkeypatch):
    """A command that began before the failure takes the record; one that begins later tries."""
    first, second = (run.run_id for run in load_plan(tiny, []).runs)
    from eibench.execution import slots

    real = slots.execute

    def fail_both(run, suite, folder, *rest):
        record = real(run, suite, folder, *rest)
        for run_id in (first, second):
            fake = {**record, "run_id": run_id, "status": "error", "reason": "no"}
            fake["fields"] = next(
                r for r in load_plan(tiny, []).runs if r.run_id == run_id
            ).fields()
            path = Path("results/tiny", run_id, "record.json")
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(fake))
        return fake

    with monkeypatch.context() as patch:
        patch.setattr(slots, "execute", fail_both)
        done = cli("run", tiny)
    assert done.code == 1
    assert "0 of 2 runs ok, 2 failed" in done.out
    assert len(computed(done.out)) <= 1
    assert cli("run", tiny).code == 0


def test_a_command_leaves_a_run_that_it_has_lost(cli, tiny, project, monkeypatch):
    """It was suspended for so long that a command on another machine has taken the run over."""
    other = dataclasses.replace(this_process(), host="node7", pid=7)
    real = Locks.is_lost

    def is_lost(locks, name):
        if not project.records():
            (locks.folder / name).write_bytes(other.to_json())
            locks.held[name].renewed -= 2 * EXPIRY
        return real(locks, name)

    monkeypatch.setattr(Locks, "is_lost", is_lost)
    train = {"epochs": 2}
    suite = project.suite(base={"train": train}, grid={}, seeds=[0])
    done = cli("run", suite)
    assert done.code == 1
    assert "other commands compute 1 of these runs: 1 on node7, process 7" in done.out
    assert "0 of 1 runs ok, 1 not run" in done.out
    assert project.records() == {}
    (run,) = Path("results/tiny").glob("ei*")
    assert (run / "checkpoint.pt").exists()


def test_a_plan_that_is_no_file_is_replaced(cli, project):
    folder = Path("results/tiny")
    folder.mkdir(parents=True)
    os.mkfifo(folder / "plan.json")
    assert cli("run", project.suite()).code == 0
    assert (folder / "plan.json").is_file()
