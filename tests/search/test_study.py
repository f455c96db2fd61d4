"""A study draws the same trials whatever happens around it."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from eibench.errors import UserError
from eibench.search.journal import NAME, open_journal
from eibench.search.made_of import refuse_other_trials
from eibench.search.outcome import Outcome
from eibench.search.study import AHEAD

from .conftest import SPACE, opened, score_of

LETS = [HealthCheck.function_scoped_fixture]
GRID = {
    "train.lr": {"choices": [0.1, 0.8, 1]},
    "method.kappa": {"choices": [0, 0.5, 1]},
    "model.width": {"low": 2, "high": 4, "step": 1},
}
SAMPLERS = {
    "tpe": {},
    "random": {"sampler": "random"},
    "gp": {"sampler": "gp", "trials": 8},
    "grid": {"sampler": "grid", "space": GRID},
}


def drawn(study):
    """All trials in order, with what became of each."""
    states = [(trial.state.name, trial.values) for trial in study.trials()]
    return [(study.values(t), *s) for t, s in zip(study.trials(), states, strict=True)]


def work(study, jobs=1, chance=None, stop_after=None):
    """Run the study with `jobs` at a time, which end in random order, up to a number of ends."""
    chance, under_way, ended = chance or random.Random(0), [], 0
    while stop_after is None or ended < stop_after:
        while len(under_way) < jobs and (asked := study.following(True)) is not None:
            under_way.append(asked)
        if not under_way:
            break
        asked = under_way.pop(chance.randrange(len(under_way)))
        study.end(asked.number, score_of(asked.values), False)
        ended += 1
    if stop_after is None:
        study.close()
    return study


@pytest.fixture
def whole(search_plan, tmp_path):
    """`whole("tpe")`: the plan, and what one worker without interruptions draws."""

    def run(sampler):
        plan = search_plan(**SAMPLERS[sampler])
        return plan, drawn(work(opened(plan, tmp_path / f"whole-{sampler}")))

    return run


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_has_its_trials_within_the_space(whole, sampler):
    plan, trials = whole(sampler)
    (study,) = plan.studies
    assert len(trials) == plan.trials
    for values, state, scores in trials:
        assert all(study.space[key].holds(value) for key, value in values.items())
        assert isinstance(values["model.width"], int)
        assert state == ("FAIL" if scores is None else "COMPLETE")
    assert len({str(values) for values, *_ in trials}) > 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_any_number_of_workers_that_end_in_any_order(whole, sampler, tmp_path):
    plan, expected = whole(sampler)
    for n, jobs in enumerate([2, 3, AHEAD, 7]):
        study = opened(plan, tmp_path / f"{sampler}{n}")
        assert drawn(work(study, jobs, random.Random(n))) == expected


@settings(suppress_health_check=LETS, max_examples=8)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_any_order_at_all(whole, tmp_path_factory, jobs, seed):
    plan, expected = whole("tpe")
    study = opened(plan, tmp_path_factory.mktemp("any"))
    assert drawn(work(study, jobs, random.Random(seed))) == expected


CUTS = [("random", 3), ("tpe", 1), ("gp", 3), ("grid", 1)]


@pytest.mark.parametrize(("sampler", "jobs"), CUTS)
def test_killed_at_any_line_of_the_journal_it_goes_on_as_if_it_never_had_been(
    whole, tmp_path, sampler, jobs
):
    """Between any two lines: between enqueuing and asking, while parameters are drawn, ..."""
    plan, expected = whole(sampler)
    full = tmp_path / "full"
    work(opened(plan, full), jobs, random.Random(1))
    lines = (full / NAME).read_bytes().splitlines(keepends=True)
    step = 2 if sampler == "random" else 7
    for cut in range(jobs, len(lines), step):
        folder = tmp_path / f"cut{cut}"
        folder.mkdir()
        (folder / NAME).write_bytes(b"".join(lines[:cut]))
        assert drawn(work(opened(plan, folder))) == expected, cut


@settings(suppress_health_check=LETS, max_examples=10)
@given(st.floats(0, 1))
def test_a_journal_cut_in_the_middle_of_a_line(whole, tmp_path_factory, share):
    plan, expected = whole("random")
    folder = tmp_path_factory.mktemp("cut")
    work(opened(plan, folder))
    content = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(content[: int(share * len(content))])
    assert drawn(work(opened(plan, folder))) == expected


def test_killed_again_and_again(whole, tmp_path):
    plan, expected = whole("tpe")
    for _ in range(plan.trials):
        study = work(opened(plan, tmp_path / "again"), jobs=3, stop_after=AHEAD + 1)
    assert drawn(work(study)) == expected


def test_the_lock_of_a_killed_process_is_no_obstacle(whole, tmp_path):
    plan, expected = whole("random")
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / f"{NAME}.lock").touch()
    assert drawn(work(opened(plan, tmp_path / "locked"))) == expected


# ---------------------------------------------------------------------------- single trials


def test_the_base_is_the_first_trial_to_its_last_digit(search_plan, tmp_path):
    """Drawn numbers are rounded to three digits, the suite's own are not."""
    plan = search_plan(suite={"base": {"train": {"lr": 0.0123456}}})
    asked = opened(plan, tmp_path).following(True)
    assert asked.number == 0
    assert asked.values == {"train.lr": 0.0123456, "method.kappa": 1.0, "model.width": 4}
    assert plan.studies[0].run(asked.values, 0).spec.train == plan.studies[0].base.spec.train


def test_drawn_numbers_have_three_digits(whole):
    _, trials = whole("random")
    for values, *_ in trials[1:]:
        assert values["train.lr"] == float(f"{values['train.lr']:.3g}")


def test_a_trial_is_drawn_without_the_outcomes_of_those_under_way(search_plan, tmp_path):
    study = opened(search_plan(), tmp_path)
    asked = [study.following(True) for _ in range(AHEAD + 1)]
    assert [a.number for a in asked[:AHEAD]] == list(range(AHEAD))
    assert asked[AHEAD] is None
    study.end(2, score_of(asked[2].values), False)
    assert study.following(True) is None  # the outcome of 0 is missing
    study.end(0, score_of(asked[0].values), False)
    assert study.following(True).number == AHEAD
    states = [trial.state for trial in study.trials()]
    assert states.count(TrialState.RUNNING) == AHEAD  # 2 has ended, but is not told before 1


def test_equal_trials_never_run_at_once(search_plan, tmp_path):
    """They would write the same files."""
    space = {"method.kappa": {"choices": [0, 1]}}
    study = opened(search_plan(space=space, sampler="random", trials=8), tmp_path)
    done, under_way = [], []
    while True:
        while (asked := study.following(True)) is not None:
            assert asked.values not in [other.values for other in under_way]
            under_way.append(asked)
        if not under_way:
            break
        first = under_way.pop(0)
        done.append(first.number)
        study.end(first.number, Outcome(False, None, {"validation_accuracy": 1.0}, 0, 0, 0), False)
    assert sorted(done) == list(range(8))


def test_nothing_new_begins_without_more(search_plan, tmp_path):
    study = opened(search_plan(), tmp_path)
    assert study.following(False) is None
    study.following(True)
    again = opened(search_plan(), tmp_path)
    assert again.following(False).number == 0  # but what was cut off goes on
    assert again.following(False) is None


def test_more_trials_go_on_where_fewer_ended(search_plan, tmp_path):
    few = drawn(work(opened(search_plan(trials=5), tmp_path)))
    many = drawn(work(opened(search_plan(trials=9), tmp_path)))
    assert len(many) == 9
    assert many[:5] == few


def test_seeds_of_the_sampler_decide(search_plan, tmp_path):
    one, other = (
        drawn(work(opened(search_plan(sampler_seed=n, sampler="random"), tmp_path / str(n))))
        for n in (0, 1)
    )
    assert one[0] == other[0]  # the base
    assert one[1:] != other[1:]


def test_what_is_told(search_plan, tmp_path):
    study = work(opened(search_plan(sampler="grid", space=GRID, trials=27), tmp_path))
    by_lr = {0.1: set(), 0.8: set(), 1: set()}
    for values, state, scores in drawn(study):
        by_lr[values["train.lr"]].add((state, None if scores is None else scores[0] == 10.0))
    assert by_lr == {0.1: {("COMPLETE", False)}, 0.8: {("COMPLETE", True)}, 1: {("FAIL", None)}}
    reasons = {t.user_attrs.get("reason") for t in study.trials()}
    assert reasons == {None, "diverged: it grew", "error: it broke"}


def test_a_diverged_trial_has_the_worst_second_objective_that_there_was(search_plan, tmp_path):
    objectives = ["validation_accuracy", "seconds"]
    study = opened(search_plan(objectives=objectives, trials=4), tmp_path)
    for seconds in (3.0, 5.0, None, 2.0):
        asked = study.following(True)
        reason = "diverged: x" if seconds is None else None
        scores = {"validation_accuracy": 10.0, "seconds": seconds}
        study.end(asked.number, Outcome(False, reason, scores, None, 0, 0), False)
    assert [trial.values[1] for trial in study.trials()] == [3.0, 5.0, 5.0, 2.0]


def test_a_diverged_first_trial_has_a_finite_second_objective(search_plan, tmp_path):
    study = opened(search_plan(objectives=["validation_accuracy", "firing_rate"]), tmp_path)
    scores = {"validation_accuracy": 10.0, "firing_rate": None}
    asked = study.following(True)
    study.end(asked.number, Outcome(False, "diverged: x", scores, None, 0, 0), False)
    study.close()
    assert study.trials()[0].values == [10.0, 0.0]


def test_a_smaller_grid_ends_early(search_plan, tmp_path):
    plan = search_plan(sampler="grid", space=GRID, trials=5)
    assert len(drawn(work(opened(plan, tmp_path)))) == 5
    every = search_plan(sampler="grid", space=GRID, trials=100)
    points = [values for values, *_ in drawn(work(opened(every, tmp_path / "all")))]
    (study,) = every.studies
    assert points == [study.grid_point(i) for i in range(study.grid_size())]
    assert len(points) == 3 * 3 * 3


# ---------------------------------------------------------------------------- pruning


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruning_is_the_same_for_any_number_of_workers(search_plan, tmp_path, pruner):
    """Each trial has 9 epochs, its score grows with them."""
    plan = search_plan(pruner=pruner, trials=16, suite={"base": {"train": {"epochs": 9}}})

    def run(folder, jobs, seed):
        study, chance, under_way = opened(plan, folder), random.Random(seed), []
        while True:
            while len(under_way) < jobs and (asked := study.following(True)) is not None:
                under_way.append([asked, 0])
            if not under_way:
                break
            entry = under_way[chance.randrange(len(under_way))]
            asked, entry[1] = entry[0], entry[1] + 1
            outcome = score_of(asked.values)
            score = outcome.scores["validation_accuracy"] or 0.0
            study.hear(asked.number, entry[1], score * entry[1] / 9)
            if (stops := study.stops(asked.number)) or entry[1] == 9:
                study.end(asked.number, outcome, stops)
                under_way.remove(entry)
        study.close()
        return [(*row, t.last_step) for row, t in zip(drawn(study), study.trials(), strict=True)]

    expected = run(tmp_path / "one", 1, 0)
    assert "PRUNED" in {state for _, state, *_ in expected}
    assert "COMPLETE" in {state for _, state, *_ in expected}
    for seed in range(3):
        assert run(tmp_path / str(seed), 3, seed) == expected


def test_what_was_heard_stays(search_plan, tmp_path):
    study = opened(search_plan(pruner="median"), tmp_path)
    number = study.following(True).number
    study.hear(number, 1, 20.0)
    study.hear(number, 1, 30.0)
    assert study.trials()[number].intermediate_values == {1: 20.0}
    assert not study.stops(number)


# ---------------------------------------------------------------------------- other suites

CHANGES = {
    "train.epochs": {"suite": {"base": {"train": {"epochs": 2}}}},
    "search.space.train.lr.high": {"space": {**SPACE, "train.lr": {
        "low": 0.01, "high": 2, "log": True}}},
    "search.space.method.kappa": {"space": {**SPACE, "method.kappa": {
        "choices": [0, 1]}}},
    "search.space.neuron.tau": {"space": {**SPACE, "neuron.tau": {"choices": [2, 3]}}},
    "search.sampler": {"sampler": "random"},
    "search.sampler_seed": {"sampler_seed": 1},
    "search.pruner": {"pruner": "median"},
    "search.seeds": {"seeds": [1001]},
    "search.objectives": {"objectives": ["seconds"]},
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_trials_of_a_changed_suite_are_refused(search_plan, tmp_path, key):
    opened(search_plan(), tmp_path).following(True)
    storage = open_journal(tmp_path)
    with pytest.raises(UserError) as caught:
        refuse_other_trials(search_plan(**CHANGES[key]), storage, Path("results/tiny/search"))
    said = str(caught.value)
    assert said.startswith("results/tiny/search: the trials of ei were made before these settings ")
    assert f"changed: {key}" in said


@pytest.mark.parametrize(
    "changes",
    [{"trials": 20}, {"minutes": 5}, {"suite": {"title": "Other", "seeds": [7]}}],
)
def test_changes_that_go_with_the_trials(search_plan, tmp_path, changes):
    opened(search_plan(), tmp_path).following(True)
    refuse_other_trials(search_plan(**changes), open_journal(tmp_path), tmp_path)


def test_new_arms_stand_beside_the_old(search_plan, tmp_path):
    before = search_plan(suite={"grid": {"method": ["ei", {"name": "ei", "dale": False}]}})
    opened(before, tmp_path).following(True)
    grid = {"method": ["ei", {"name": "ei", "dale": False}, {"name": "ei", "ei_ratio": 2}]}
    refuse_other_trials(search_plan(suite={"grid": grid}), open_journal(tmp_path), tmp_path)


# ---------------------------------------------------------------------------- damage


def damage(folder, change):
    path = folder / NAME
    path.write_text(change(path.read_text()))


DAMAGES = {
    "not JSON": lambda text: "hello\n" + text,
    "a line of another kind": lambda text: text.replace('"op_code":4', '"op_code":99', 1),
    "a list": lambda text: text + "[1]\n[2]\n",
    "nothing": lambda text: text + "null\nnull\n",
    "a key is missing": lambda text: text.replace('"trial_id"', '"trail_id"'),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_journal_damaged_by_hand(search_plan, tmp_path, kind):
    work(opened(search_plan(trials=3), tmp_path))
    damage(tmp_path, DAMAGES[kind])
    with pytest.raises(UserError) as caught:
        open_journal(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / NAME}: damaged (")


def test_a_journal_that_is_a_folder(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(UserError, match=r"journal.log: cannot be read and written: Is a directory"):
        open_journal(tmp_path)


def test_the_journal_is_json_lines_for_other_tools(search_plan, tmp_path):
    """What `optuna-dashboard` opens."""
    import optuna

    work(opened(search_plan(trials=3), tmp_path))
    assert all(json.loads(line) for line in (tmp_path / NAME).read_text().splitlines())
    (name,) = optuna.get_all_study_names(open_journal(tmp_path))
    assert name == "tiny: ei"
