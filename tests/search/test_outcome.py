"""The outcome of a trial, from folders made by hand."""

import json

import pytest
from optuna.trial import TrialState

from eibench.results.store import RunFolder
from eibench.search.record import outcome

CHANCE = 10.0


@pytest.fixture
def folder(tmp_path):
    """`folder("ok", accuracy=50, loss=...)`: the files of a run that ended so."""

    def make(status, accuracy=50.0, loss=1.0, seconds=2.0, epochs=2, name=None):
        run = RunFolder(tmp_path / (name or f"{status}{len(list(tmp_path.iterdir()))}"))
        run.path.mkdir()
        lines = [
            {
                "epoch": n,
                "validation_accuracy": accuracy - (epochs - n),
                "validation_loss": loss,
                "cost": {"train_seconds": seconds / 2, "evaluation_seconds": seconds / 2},
            }
            for n in range(1, epochs + 1)
        ]
        (run.path / "epochs.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        best = {"validation_accuracy": accuracy, "best_epoch": epochs, "test_accuracy": 50.0}
        result = best if status == "ok" else {}
        if status != "interrupted":
            record = {
                "schema": 1,
                "status": status,
                "reason": None if status == "ok" else f"why {status}",
                "fields": {},
                "result": result,
                "cost": {"seconds": seconds * epochs if epochs else None},
            }
            (run.path / "record.json").write_text(json.dumps(record))
        return run

    return make


def test_a_run_that_ended_well(folder):
    found = outcome([folder("ok")], CHANCE)
    assert (found.state, found.reason, found.score) == (TrialState.COMPLETE, None, 50.0)
    assert (found.loss, found.seconds, found.epochs) == (1.0, 4.0, 2)


def test_the_mean_over_seeds(folder):
    runs = [folder("ok", 40.0, 1.0), folder("ok", 60.0, 2.0), folder("ok", 80.0, 6.0)]
    found = outcome(runs, CHANCE)
    assert found.score == 60.0
    assert found.runs == [run.run_id for run in runs]
    assert (found.loss, found.seconds, found.epochs) == (3.0, 12.0, 6)


def test_a_run_that_lost_its_epochs(folder):
    """Its record tells what it needs to; an older one may lack the loss."""
    run = folder("ok")
    (run.path / "epochs.jsonl").unlink()
    old = outcome([run], CHANCE)
    assert (old.score, old.loss, old.seconds) == (50.0, None, 4.0)
    record = json.loads((run.path / "record.json").read_text())
    more = {"validation_loss": 0.5, "epochs": 2}
    record["result"] |= more
    (run.path / "record.json").write_text(json.dumps(record))
    found = outcome([run], CHANCE)
    assert (found.loss, found.seconds, found.epochs) == (0.5, 4.0, 2)


def test_a_diverged_run_has_the_accuracy_of_chance(folder):
    found = outcome([folder("diverged")], CHANCE)
    assert (found.state, found.reason) == (TrialState.COMPLETE, "diverged: why diverged")
    assert (found.score, found.loss) == (CHANCE, None)
    assert (found.seconds, found.epochs) == (4.0, 2)  # it was paid for


def test_one_of_several_diverged(folder):
    found = outcome([folder("ok", 50.0), folder("diverged"), folder("ok", 60.0)], CHANCE)
    assert found.reason == "1 of 3 runs diverged: why diverged"
    assert found.score == 40.0


@pytest.mark.parametrize(
    ("status", "words"), [("error", "error"), ("out_of_memory", "out of memory")]
)
def test_a_crash_is_a_failure_with_its_reason(folder, status, words):
    runs = [folder("diverged"), folder(status), RunFolder(folder("ok").path / "absent")]
    found = outcome(runs, CHANCE)
    assert (found.state, found.reason) == (TrialState.FAIL, f"{words}: why {status}")
    assert found.runs == [run.run_id for run in runs[:2]]


def test_diverged_in_the_first_epoch(folder):
    found = outcome([folder("diverged", epochs=0)], CHANCE)
    assert (found.seconds, found.epochs) == (0.0, 0)


def test_what_a_stopped_run_has_cost(folder):
    found = outcome([folder("interrupted", epochs=3)], CHANCE, pruned=True)
    assert (found.state, found.reason) == (TrialState.PRUNED, None)
    assert (found.seconds, found.epochs) == (6.0, 3)
