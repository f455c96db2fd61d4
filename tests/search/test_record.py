"""`search/plan.json`: winners, fronts and importances, and that reports read it."""

import json

import pytest

from eibench.report.model.search_results import read_searches
from eibench.search.outcome import Outcome
from eibench.search.record import Ledger
from eibench.search.study import Study

from .conftest import opened

LRS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
ONE = {"train.lr": {"choices": LRS}}
BOTH = ["validation_accuracy", "seconds"]
BROKEN = Outcome(True, "error: it broke", {}, None, 0, 0)


def said(*scores, reason=None, names=BOTH):
    return Outcome(False, reason, dict(zip(names, scores, strict=False)), None, 0.0, 0)


@pytest.fixture
def recorded(search_plan, tmp_path):
    """`recorded(outcome, ...)`: the study in the file, whose trials end so, lr 0.1 first.

    `losses`: of the trials' runs, by number.
    """

    def run(*outcomes, losses=(), **changes):
        section = {"space": ONE, "sampler": "grid", "trials": len(outcomes), **changes}
        plan = search_plan(**section)
        folder = tmp_path / "results" / "tiny" / "search"
        study: Study = opened(plan, folder)
        ledger = Ledger(plan, folder, {"ei": 10.0})
        while (asked := study.following(True)) is not None:
            if losses:
                ended(ledger.folders(study, asked.values)[0], losses[asked.number])
            study.end(asked.number, outcomes[asked.number], False)
            ledger.write([study])
        study.close()
        ledger.write([study], importances=True)
        (content,) = json.loads((folder / "plan.json").read_text())["studies"]
        assert ledger.winner(study) == (
            None if content["winner"] is None else {"train.lr": LRS[content["winner"]]}
        )
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
    outcomes = [said(50.0)] * 3
    assert recorded(*outcomes, losses=[2.0, 1.0, 1.5])["winner"] == 1


def test_of_equals_the_earlier_wins(recorded):
    assert recorded(said(50.0), said(50.0), losses=[1.0, 1.0])["winner"] == 0


def test_a_diverged_trial_never_wins(recorded):
    """Even where chance is better than what the others came to."""
    found = recorded(said(10.0, reason="diverged: x"), said(8.0), said(9.0))
    assert found["winner"] == 2
    assert found["front"] == [2]


def test_no_winner_where_all_failed_or_diverged(recorded):
    found = recorded(BROKEN, said(10.0, reason="diverged: x"))
    assert found["winner"] is None
    assert found["front"] == []
    assert found["importances"] is None
    states = [(trial["state"], trial["reason"]) for trial in found["trials"]]
    assert states == [("failed", "error: it broke"), ("complete", "diverged: x")]


def test_the_front_of_two_objectives(recorded):
    """More accuracy and fewer seconds: 1 is beaten by 2, 5 by 0; 3 and 4 are equal."""
    scores = [(50.0, 5.0), (55.0, 9.0), (60.0, 8.0), (40.0, 1.0), (40.0, 1.0), (50.0, 6.0)]
    found = recorded(*(said(*pair) for pair in scores), objectives=BOTH)
    assert found["front"] == [0, 2, 3, 4]
    assert found["winner"] == 2  # the first objective chooses
    assert found["trials"][0]["scores"] == {"validation_accuracy": 50.0, "seconds": 5.0}


def test_the_second_objective_decides_between_equal_first_ones(recorded):
    found = recorded(said(50.0, 5.0), said(50.0, 3.0), said(40.0, 1.0), objectives=BOTH)
    assert found["winner"] == 1


def test_less_wins_where_less_is_better(recorded):
    pairs = [said(3.0, names=["firing_rate"]), said(2.0, names=["firing_rate"])]
    assert recorded(*pairs, objectives=["firing_rate"])["winner"] == 1


def test_one_key_has_no_importance(recorded):
    assert recorded(said(20.0), said(50.0), said(40.0))["importances"] is None


TWO = {"train.lr": {"choices": [0.1, 0.2, 0.3]}, "train.momentum": {"choices": [0, 0.5, 0.9]}}


def grid_of_two(search_plan, folder, score):
    plan = search_plan(space=TWO, sampler="grid", trials=9)
    study, ledger = opened(plan, folder), Ledger(plan, folder, {"ei": 10.0})
    while (asked := study.following(True)) is not None:
        study.end(asked.number, said(score(asked.values)), False)
    study.close()
    ledger.write([study], importances=True)
    return json.loads((folder / "plan.json").read_text())["studies"][0]["importances"]


def test_importances_are_shares_of_what_moves_the_score(search_plan, tmp_path):
    found = grid_of_two(search_plan, tmp_path, lambda v: 100 * v["train.lr"])
    assert list(found) == list(TWO)
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)
    assert found["train.lr"] > 0.9


def test_no_importances_where_all_trials_are_alike(search_plan, tmp_path):
    assert grid_of_two(search_plan, tmp_path, lambda _: 50.0) is None


def test_reports_read_it(recorded, tmp_path):
    recorded(said(20.0), BROKEN, said(50.0), losses=[1.0, 1.0, 1.0])
    (found,) = read_searches([tmp_path / "results"])
    (study,) = found.studies
    assert (found.name, found.sampler, found.trials) == ("tiny", "grid", 3)
    assert study.best.values == {"train.lr": 0.3}
    assert [trial.counts for trial in study.trials] == [True, False, True]
    assert [len(trial.runs) for trial in study.trials] == [1, 1, 1]
    assert {run.run_id for run in found.runs} == {r for t in study.trials for r in t.runs}


def test_trials_under_way_are_in_the_file(search_plan, tmp_path):
    plan = search_plan()
    study, ledger = opened(plan, tmp_path), Ledger(plan, tmp_path, {"ei": 10.0})
    study.following(True)
    ledger.write([study])
    (trial,) = json.loads((tmp_path / "plan.json").read_text())["studies"][0]["trials"]
    assert (trial["state"], trial["scores"], trial["runs"]) == ("running", {}, [])


def test_values_that_no_run_can_have_are_a_failed_trial(search_plan, tmp_path):
    """Ends are tried out before a search begins; what lies within may show only then."""
    plan = search_plan(space=ONE, sampler="grid", trials=1)
    study, ledger = opened(plan, tmp_path), Ledger(plan, tmp_path, {"ei": 10.0})
    impossible = {"train.lr": -1.0}
    found = ledger.outcome(study, impossible)
    assert found.failed
    assert "train.lr: must be above 0.0, not -1.0" in found.reason
