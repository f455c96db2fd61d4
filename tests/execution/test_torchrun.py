"""Two real commands under `torchrun` train each run together; the first one writes."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from eibench.errors import UserError
from eibench.execution.distributed import FirstRank
from eibench.execution.environment import SuiteSource
from eibench.execution.slots import Stop
from eibench.execution.torchrun import Torchrun, prints, torchrun
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder

PLACE = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
SERVER = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
PLUGIN = """
import os
from typing import Literal
from torch import nn
from eibench.methods.base import Normalized
from eibench.plan.options import MethodOptions
from eibench.plugins import add_method

class FragileOptions(MethodOptions):
    "Batch norm that fails in the second process at its 20th call in training."
    name = "fragile"
    how: Literal["raises", "dies"] = "raises"

class Norm(nn.BatchNorm2d):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 20 and os.environ.get("RANK") == "1":
            if self.how == "dies":
                os._exit(7)
            raise ValueError("a bad image")
        return super().forward(x.flatten(0, 1)).view(x.shape)

class Fragile(Normalized):
    def __init__(self, options, lif, timesteps):
        super().__init__(lif=lif, timesteps=timesteps)
        object.__setattr__(self, "options", options)

    def norm(self, channels, branches):
        norm = Norm(channels)
        norm.how = self.options.how
        return norm

add_method(FragileOptions, Fragile)
"""


def place(monkeypatch, **changes):
    for name, value in {**PLACE, **SERVER, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_where_a_process_stands(monkeypatch):
    for name in PLACE:
        monkeypatch.delenv(name, raising=False)
    assert torchrun() is None and prints()
    place(monkeypatch, RANK="3", WORLD_SIZE="4", LOCAL_RANK="1")
    assert torchrun() == Torchrun(4, 3, 1, 2) and not prints()
    place(monkeypatch, WORLD_SIZE="1", RANK="0")
    assert torchrun() is None and prints()
    place(monkeypatch, WORLD_SIZE="", LOCAL_RANK="1")
    assert torchrun() is None and prints()


@pytest.mark.parametrize("changes", [{"RANK": None}, {"RANK": "2"}, {"LOCAL_RANK": "x"}])
def test_an_incomplete_environment(monkeypatch, changes):
    place(monkeypatch, **changes)
    assert prints()
    with pytest.raises(UserError, match="start with torchrun --nproc-per-node N -m eibench run"):
        torchrun()


@pytest.mark.parametrize(
    ("words", "what"),
    [("run --jobs 2", "--jobs"), ("probe", "eibench probe"), ("search", "eibench search")],
)
def test_what_does_not_work_with_torchrun(cli, project, monkeypatch, words, what):
    verb, *options = words.split()
    suite = project.suite()
    place(monkeypatch)
    done = cli(verb, suite, *options)
    assert done.code == 2
    assert done.errors == [
        f"torchrun trains one network on several devices; it does not work with {what}"
    ]
    place(monkeypatch, RANK="1", LOCAL_RANK="1")
    done = cli(verb, suite, *options)
    assert (done.code, done.out + done.err) == (2, "")
    assert not Path("results").exists()


def both(commands, monkeypatch, *words):
    """Exit codes, output and errors of the two processes of a command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in ("0", "1"):
        place(monkeypatch, RANK=rank, LOCAL_RANK=rank, MASTER_PORT=port)
        started.append(commands.start("run", *words))
    place(monkeypatch, **dict.fromkeys([*PLACE, *SERVER]))
    return [(*process.communicate(120), process.wait()) for process in started]


@pytest.mark.slow
def test_two_processes_make_the_records_of_one(project, commands, monkeypatch):
    train = {"epochs": 2, "batch_size": 128, "lr": 0.02}
    suite = project.suite(base={"train": train}, grid={"method": ["ei", "batchnorm"]})
    (out, errors, code), (silent, hushed, other) = both(commands, monkeypatch, suite)
    assert (code, other) == (0, 0), errors + hushed
    assert "2 of 2 runs ok" in out and silent + hushed == ""
    together = project.records()
    assert commands.run("run", suite, "--results", "alone")[0] == 0
    for path in Path("alone/tiny").glob("*/record.json"):
        record, one = together[path.parent.name], json.loads(path.read_text())
        assert record["environment"]["world_size"] == 2
        assert record["environment"]["backend"] == "gloo"
        assert "world_size" not in one["environment"]
        for key in ("test_loss", "validation_loss", "train_loss_last", "firing_rate"):
            assert record["result"][key] == pytest.approx(one["result"][key], abs=1e-3)
    (out, _, code), (silent, hushed, other) = both(commands, monkeypatch, suite)
    assert (code, other, silent + hushed) == (0, 0, "")
    assert out.count("already finished") == 2
    words = (suite, "--set", "data.name=mnist", "--skip-absent")
    (out, errors, code), (silent, hushed, other) = both(commands, monkeypatch, *words)
    assert (code, other, silent + hushed) == (0, 0, ""), errors
    assert "is skipped" in out


@pytest.mark.slow
def test_an_error_in_one_process_is_one_record_and_the_next_run_goes_on(
    project, commands, monkeypatch
):
    project.write(PLUGIN, "fragile.py")
    base = {"train": {"epochs": 3, "batch_size": 128}}
    grid = {"method": ["fragile", "ei"]}
    suite = project.suite(plugins=["fragile.py"], base=base, grid=grid)
    (_out, errors, code), (_, _, other) = both(commands, monkeypatch, suite)
    assert (code, other) == (1, 0), errors
    failed, fine = sorted(project.records().values(), key=lambda record: record["status"])
    assert (failed["status"], fine["status"]) == ("error", "ok")
    assert failed["reason"] == "RankError: process 1: ValueError: a bad image"
    assert "in forward" in failed["traceback"]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_leaves_its_last_epoch(
    project, commands, monkeypatch
):
    project.write(PLUGIN, "fragile.py")
    method = {"name": "fragile", "how": "dies"}
    base = {"method": method, "train": {"epochs": 4, "batch_size": 128}}
    suite = project.suite(plugins=["fragile.py"], base=base, grid=..., seeds=[0])
    (_, errors, code), (_, _, other) = both(commands, monkeypatch, suite)
    assert (code, other) == (2, 7)
    assert errors.splitlines()[-1].startswith("error: another process of this command has ended")
    assert project.records() == {}
    (run,) = Path("results/tiny").glob("fragile*")
    assert (run / "checkpoint.pt").exists()
    assert commands.run("run", suite)[0] == 0
    (record,) = project.records().values()
    assert record["status"] == "ok"


def test_a_run_that_another_command_took_over_ends_the_command(monkeypatch):
    """The other processes are in the middle of it: they would wait for half an hour."""

    def execute(*arguments):
        raise Stop

    monkeypatch.setattr("eibench.execution.distributed.execute", execute)
    slot = FirstRank(SimpleNamespace(size=2, backend="gloo", hear=lambda values: None))
    slot.datasets = None
    spec = RunSpec.parse({"method": "batchnorm", "model": "plain", "data": "digits"})
    run = PlannedRun(spec.run_id, spec)
    with pytest.raises(UserError, match="another command has taken this run over"):
        slot.execute(run, SuiteSource("tiny"), RunFolder(Path("r")), lambda record: None)
    assert not slot.idle  # so that the others notice the end of this process
