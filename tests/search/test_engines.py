"""A search draws and ends the same trials on any engine: with any number of slots, which lose runs
and end in any order, and after a kill. Nothing is trained: a run's scores are a formula."""

import json
import random
import threading
import time

import pytest
from slot_kinds import CPU

from eibench.execution.engine import Engine
from eibench.execution.run_one import NO_COST, _record, failure
from eibench.execution.slots import Slot, SlotLost, Slots
from eibench.results.store import DIVERGED, OK
from eibench.search.driver import search

EPOCHS = 4


class Silent:
    """A listener that hears nothing."""

    def __getattr__(self, name):
        return lambda *words: None


class Formula(Slot):
    """A slot that scores a run by its values; by chance it is slow, or loses a run once."""

    def __init__(self, name, kill_after=None, chance=None):
        self.name, self.kill_after, self.chance = name, kill_after, chance

    def execute(self, run, suite, folder, on_epoch, on_step=None):
        lr, width = run.spec.train.lr, run.spec.model.width
        if lr > 0.6:
            return failure(run, suite, folder, DIVERGED, "it grew")
        done = folder.epochs()
        folder.begin_epochs(done)
        for epoch in range(len(done) + 1, EPOCHS + 1):
            if self.chance:
                time.sleep(self.chance.random() / 100)
                if self.chance.random() < 0.1 and "requeued" not in suite.state:
                    raise SlotLost("a node died")
            if self.kill_after is not None:
                self.kill_after -= 1
                if self.kill_after < 0:
                    raise KeyboardInterrupt
            accuracy = (60 - 9 * width * lr) * epoch / EPOCHS
            cost = {"train_seconds": 1.0, "evaluation_seconds": 0.0}
            scores = {"validation_accuracy": accuracy, "validation_loss": lr}
            folder.append_epoch({"epoch": epoch, **scores, "cost": cost})
            on_epoch({"epoch": epoch, **scores})
        accuracy = folder.epochs()[-1]["validation_accuracy"]
        scores = {"validation_accuracy": accuracy, "test_accuracy": accuracy, "test_loss": lr}
        result = {**scores, "best_epoch": EPOCHS, "epochs": EPOCHS}
        record = _record(run, suite, OK, None, None, {"result": result, "cost": NO_COST})
        folder.finish(record)
        return record

    def end(self):
        pass


class FormulaEngine(Engine):
    """So many slots of that kind."""

    device = CPU

    def __init__(self, jobs, **words):
        self.jobs, self.words = jobs, words

    def open(self, datasets, plugins, folder):
        return Slots([Formula(f"formula {i}", **self.words) for i in range(self.jobs)])


@pytest.fixture
def plan(search_plan):
    base = {"base": {"method": "batchnorm", "train": {"epochs": EPOCHS}}}
    rate, width = {"low": 0.01, "high": 1, "log": True}, {"low": 2, "high": 9}
    space = {"train.lr": rate, "model.width": width}
    return search_plan(suite=base, space=space, trials=14, pruner="median", seeds=[1000, 1001])


def found(plan, root, engine):
    """All trials of a search, and its winners."""
    winners = search(plan, root, engine, Silent()).winners
    content = json.loads((root / plan.name / "search" / "plan.json").read_text())
    keys = ("number", "values", "state", "reason", "scores", "loss", "epochs", "runs")
    (study,) = content["studies"]
    return winners, [{key: trial[key] for key in keys} for trial in study["trials"]]


def test_trials_depend_neither_on_slots_nor_on_losses(plan, tmp_path):
    expected = found(plan, tmp_path / "one", FormulaEngine(1))
    states = {trial["state"] for trial in expected[1]}
    assert states == {"complete", "pruned"}
    for jobs in (2, 5):
        engine = FormulaEngine(jobs, chance=random.Random(jobs))
        assert found(plan, tmp_path / str(jobs), engine) == expected
    assert threading.active_count() < 20


@pytest.mark.parametrize("epochs", [3, 30])
def test_a_search_that_was_killed_goes_on_to_the_same_trials(plan, tmp_path, epochs):
    expected = found(plan, tmp_path / "whole", FormulaEngine(1))
    with pytest.raises(KeyboardInterrupt):
        search(plan, tmp_path / "killed", FormulaEngine(1, kill_after=epochs), Silent())
    assert found(plan, tmp_path / "killed", FormulaEngine(3)) == expected
