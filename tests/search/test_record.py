"""`search/plan.json`: winners and importances, and that reports read it."""

import dataclasses
import json

import pytest
from optuna.trial import TrialState

from eibench.report.model.search_results import read_searches
from eibench.search.record import SearchRecord
from eibench.search.study import Outcome

from .conftest import opened

LRS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
ONE = {"train.lr": {"choices": LRS}}
BROKEN = Outcome(TrialState.FAIL, "error: it broke")


def said(score, reason=None, loss=None):
    return Outcome(TrialState.COMPLETE, reason, score, loss)


@pytest.fixture
def recorded(search_plan, tmp_path):
    """`recorded(outcome, ...)`: the study in the file, whose trials end so, lr 0.1 first."""

    def run(*outcomes):
        plan = search_plan(space=ONE, sampler="grid", trials=len(outcomes))
        folder = tmp_path / "results" / "tiny" / "search"
        study, record = opened(plan, folder), SearchRecord(plan, folder, {"ei": 10.0})
        while (trial := study.following()) is not None:
            study.end(trial, outcomes[trial.number])
            record.write([study])
        record.write([study], importances=True)
        (content,) = json.loads((folder / "plan.json").read_text())["studies"]
        assert study.winner() == content["winner"]
        return content

    return run


def ended(folder, loss):
    """A run that ended well with this validation loss."""
    folder.path.mkdir(parents=True)
    epoch = {
        "epoch": 1,
        "validation_accuracy": 50.0,
        "validation_loss": loss,
        "firing_rate_by_layer": [0.1],
        "cost": {"train_seconds": 1.0, "evaluation_seconds": 1.0},
    }
    (folder.path / "epochs.jsonl").write_text(json.dumps(epoch) + "\n")
    result = {"validation_accuracy": 50.0, "best_epoch": 1, "test_accuracy": 50.0}
    record = {"schema": 1, "status": "ok", "reason": None, "fields": {}, "result": result}
    (folder.path / "record.json").write_text(json.dumps({**record, "cost": {"seconds": 2.0}}))


def test_the_best_score_wins(recorded):
    assert recorded(said(20.0), said(50.0), said(40.0))["winner"] == 1


def test_of_equal_scores_the_lower_loss_wins(recorded):
    assert recorded(*(said(50.0, loss=loss) for loss in (2.0, 1.0, 1.5)))["winner"] == 1


def test_equal_scores_may_be_summed_in_another_order(recorded):
    """Two runs of 270 images: 268 and 268 right, or 267 and 269."""
    even = (100 * 268 / 270 + 100 * 268 / 270) / 2
    uneven = (100 * 267 / 270 + 100 * 269 / 270) / 2
    assert even < uneven
    assert recorded(said(even, loss=1.0), said(uneven, loss=2.0))["winner"] == 0


def test_of_equals_the_earlier_wins(recorded):
    assert recorded(said(50.0, loss=1.0), said(50.0, loss=1.0))["winner"] == 0


def test_a_diverged_trial_never_wins(recorded):
    """Even where chance is better than what the others came to."""
    found = recorded(said(10.0, reason="diverged: x"), said(8.0), said(9.0))
    assert found["winner"] == 2


def test_no_winner_where_all_failed_or_diverged(recorded):
    found = recorded(BROKEN, said(10.0, reason="diverged: x"))
    assert found["winner"] is None
    assert found["importances"] is None
    states = [(trial["state"], trial["reason"]) for trial in found["trials"]]
    assert states == [("failed", "error: it broke"), ("complete", "diverged: x")]


def test_one_key_has_no_importance(recorded):
    assert recorded(said(20.0), said(50.0), said(40.0))["importances"] is None


TWO = {"train.lr": {"choices": [0.1, 0.2, 0.3]}, "train.momentum": {"choices": [0, 0.5, 0.9]}}


def grid_of_two(search_plan, folder, score):
    plan = search_plan(space=TWO, sampler="grid", trials=9)
    study = opened(plan, folder)
    while (trial := study.following()) is not None:
        study.end(trial, said(score(trial.values)))
    SearchRecord(plan, folder, {"ei": 10.0}).write([study], importances=True)
    return json.loads((folder / "plan.json").read_text())["studies"][0]["importances"]


def test_importances_are_shares_of_what_moves_the_score(search_plan, tmp_path):
    found = grid_of_two(search_plan, tmp_path, lambda v: 100 * v["train.lr"])
    assert list(found) == list(TWO)
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)
    assert found["train.lr"] > 0.9


def test_no_importances_where_all_trials_are_alike(search_plan, tmp_path):
    assert grid_of_two(search_plan, tmp_path, lambda _: 50.0) is None


def test_reports_read_it(search_plan, tmp_path):
    plan = search_plan(space=ONE, sampler="grid", trials=3)
    folder = tmp_path / "results" / "tiny" / "search"
    study, outcomes = opened(plan, folder), [said(20.0), BROKEN, said(50.0)]
    record = SearchRecord(plan, folder, {"ei": 10.0})
    while (trial := study.following()) is not None:
        (run,) = record.run_folders(study.plan, trial.values)
        ended(run, 1.0)
        outcome = outcomes[trial.number]
        study.end(trial, dataclasses.replace(outcome, runs=[run.run_id]))
    record.write([study])
    (found,) = read_searches([tmp_path / "results"])
    (study,) = found.studies
    assert (found.name, found.sampler, found.trials) == ("tiny", "grid", 3)
    assert study.best.values == {"train.lr": 0.3}
    assert [trial.counts for trial in study.trials] == [True, False, True]
    assert [len(trial.runs) for trial in study.trials] == [1, 1, 1]
    assert {run.run_id for run in found.runs} == {r for t in study.trials for r in t.runs}


def test_trials_under_way_are_in_the_file(search_plan, tmp_path):
    plan = search_plan()
    study, record = opened(plan, tmp_path), SearchRecord(plan, tmp_path, {"ei": 10.0})
    first = study.following()
    (run,) = record.run_folders(study.plan, first.values)
    ended(run, 1.0)
    record.write([study])
    trials = json.loads((tmp_path / "plan.json").read_text())["studies"][0]["trials"]
    found = [(trial["state"], trial["scores"], trial["runs"]) for trial in trials]
    assert found == [("running", {}, [run.run_id]), *[("running", {}, [])] * 3]
    assert [trial["epochs"] for trial in trials] == [1, 0, 0, 0]


def test_values_that_no_run_can_have_are_a_failed_trial(search_plan, tmp_path):
    """Ends are tried out before a search begins; what lies within may show only then."""
    plan = search_plan(space=ONE, sampler="grid", trials=1)
    record = SearchRecord(plan, tmp_path, {"ei": 10.0})
    found = record.outcome(plan.studies[0], {"train.lr": -1.0}, pruned=False)
    assert found.state == TrialState.FAIL
    assert "train.lr: must be above 0.0, not -1.0" in found.reason
