"""Whole commands on a Ray cluster of this machine: the same results as without, a search, a command
that is killed, and two commands on one folder."""

import json
import os
import time
from pathlib import Path

import pytest
from slot_kinds import ray_cluster

pytestmark = pytest.mark.slow
SUITE = """
name: tiny
title: On a cluster
base:
  model: {name: plain, depth: 2, width: 4, pools: 1}
  data: digits
  train: {epochs: EPOCHS, batch_size: 256}
  timesteps: 2
  method: batchnorm
grid: {method: [batchnorm, no_norm]}
seeds: [3]
"""
SEARCH = (
    SUITE
    + """
search:
  space: {train.lr: {low: 0.01, high: 1, log: true}}
  trials: 4
  seeds: [1000]
  pruner: median
"""
)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with ray_cluster() as found:
        yield found


@pytest.fixture
def words(cluster):
    """`words("run", "out")`: a command on the cluster with results in `out`."""

    def make(command, results, *more):
        place = ("--engine", "ray", "--address", cluster.address) if cluster else ()
        return [command, "tiny.yaml", "--results", results, "--device", "cpu", *place, *more]

    return make


def suite(text=SUITE, epochs=2):
    Path("tiny.yaml").write_text(text.replace("EPOCHS", str(epochs)))


def results(folder):
    """Status, result and command of each record."""
    found = [json.loads(path.read_text()) for path in sorted(Path(folder).rglob("record.json"))]
    return [(r["run_id"], r["status"], r["result"]) for r in found]


def trials(folder):
    (study,) = json.loads(Path(folder, "tiny/search/plan.json").read_text())["studies"]
    return [(t["number"], t["values"], t["state"], t["scores"]) for t in study["trials"]]


def local(command, folder):
    return [command, "tiny.yaml", "--results", folder, "--device", "cpu"]


def test_a_search_and_its_confirmation(commands, words):
    suite(SEARCH.replace("grid: {method: [batchnorm, no_norm]}\n", ""))
    code, out, errors = commands.run(*words("search", "cluster"))
    assert (code, errors) == (0, ""), errors
    assert "4 of 4 trials" in out
    assert commands.run(*local("search", "here"))[0] == 0
    assert results("cluster") == results("here")
    assert trials("cluster") == trials("here")
    paths = list(Path("cluster").rglob("record.json"))
    environments = [json.loads(path.read_text())["environment"] for path in paths]
    assert {one["slot"] for one in environments} <= {"ray 1", "ray 2"}
    assert {one["command"].split()[:2][1] for one in environments} == {"search"}
    assert not list(Path("cluster").rglob(".shared-*"))


def started(commands, words):
    """A command whose runs train."""
    process = commands.start(*words("run", "cluster"))
    deadline = time.monotonic() + 120
    while not list(Path("cluster").rglob("checkpoint.pt")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_another_command_passes_over_runs_under_way(commands, words):
    suite(epochs=60)
    process = started(commands, words)
    code, out, errors = commands.run(*words("run", "cluster"))
    assert (code, errors) == (1, "")
    assert "other commands compute 2 of these runs" in out
    out, errors = process.communicate(300)
    assert (process.returncode, errors) == (0, "")
    assert "2 of 2 runs ok" in out
    assert [status for _, status, _ in results("cluster")] == ["ok", "ok"]


def test_a_command_that_was_killed_goes_on(commands, words):
    suite(epochs=30)
    process = started(commands, words)
    process.kill()
    process.wait()
    code, out, errors = commands.run(*words("run", "cluster"))
    assert code == 0, errors
    assert "2 of 2 runs ok" in out
    assert commands.run(*local("run", "here"))[0] == 0
    assert results("cluster") == results("here")
