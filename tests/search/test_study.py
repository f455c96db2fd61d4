"""A study draws the same trials under all circumstances."""

import ast
import itertools
import json
import random
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from eibench.errors import UserError
from eibench.results.paths import JOURNAL
from eibench.search.journal import open_journal, refuse_other_trials
from eibench.search.study import BATCH, Outcome, ResumableStudy

from .conftest import SPACE, opened, score_of

LETS = [HealthCheck.function_scoped_fixture]
GRID = {
    "train.lr": {"choices": [0.1, 0.8, 1]},
    "method.kappa": {"choices": [0, 0.5, 1]},
    "model.width": {"low": 2, "high": 4, "step": 1},
}
ENQUEUE = [{"train.lr": 0.02}, {"train.lr": 0.123456, "model.width": 9, "method.kappa": 0}]
SEARCHES = {
    "tpe": {"trials": 14},
    "median": {"trials": 14, "pruner": "median", "suite": {"base": {"train": {"epochs": 9}}}},
    "grid": {"sampler": "grid", "space": GRID},
    "repeated": {"trials": 9, "studies": 2, "suite": {"seeds": [0, 1]}, "enqueue": ENQUEUE},
}


class Killed(Exception):
    """A kill, in the place of an operation on the journal."""


def drawn(study):
    """All ended trials in order, with what became of each."""
    return [
        (study.values(t), t.state.name, t.value, t.user_attrs["reason"], t.intermediate_values)
        for t in study.told
    ]


def train(trial, epochs=9):
    """The outcome of a trial whose score grows with its epochs, unless the pruner stops it."""
    found = score_of(trial.values)
    for epoch in range(1, epochs + 1):
        trial.report(epoch, (found.score or 0.0) * epoch / epochs, last=epoch == epochs)
        if trial.prunes:
            return Outcome(TrialState.PRUNED, None, found.score, None, 1.0, epoch)
    return found


def work(study, jobs=1, chance=None, stop_after=None):
    """Run the study with `jobs` at a time, which end in random order, up to a number of ends."""
    chance, under_way, ended = chance or random.Random(0), [], 0
    while stop_after is None or ended < stop_after:
        while len(under_way) < jobs and (trial := study.following()) is not None:
            under_way.append(trial)
        if not under_way:
            break
        trial = under_way.pop(chance.randrange(len(under_way)))
        study.end(trial, train(trial))
        ended += 1
    return study


@pytest.fixture
def whole(search_plan, tmp_path):
    """`whole("tpe")`: the plan, and what one worker without interruptions draws."""

    def run(kind):
        plan = search_plan(**SEARCHES[kind])
        return plan, drawn(work(opened(plan, tmp_path / f"whole-{kind}")))

    return run


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_study_has_its_trials_within_the_space(whole, kind):
    plan, trials = whole(kind)
    *_, study = plan.studies
    assert len(trials) == plan.budget(study)
    for values, state, score, *_ in trials:
        assert all(study.space[key].holds(value) for key, value in values.items())
        assert isinstance(values["model.width"], int)
        assert state == "PRUNED" or state == ("FAIL" if score is None else "COMPLETE")
    assert len({str(values) for values, *_ in trials}) > 1


@pytest.mark.parametrize("kind", SEARCHES)
def test_any_number_of_workers_that_end_in_any_order(whole, kind, tmp_path):
    plan, expected = whole(kind)
    for n, jobs in enumerate([2, 3, BATCH, 7]):
        study = opened(plan, tmp_path / f"{kind}{n}")
        assert drawn(work(study, jobs, random.Random(n))) == expected


@settings(suppress_health_check=LETS, max_examples=8)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_any_order_at_all(whole, tmp_path_factory, jobs, seed):
    plan, expected = whole("tpe")
    study = opened(plan, tmp_path_factory.mktemp("any"))
    assert drawn(work(study, jobs, random.Random(seed))) == expected


@pytest.mark.parametrize(
    ("kind", "jobs"), [("tpe", 1), ("median", 3), ("grid", 4), ("repeated", 2)]
)
def test_killed_before_and_after_any_operation_on_the_journal(
    whole, tmp_path, monkeypatch, kind, jobs
):
    """Before it is written, and after: the next command goes on to the same trials, at any number
    of workers."""
    from eibench.search.journal import _JournalFile

    plan, expected = whole(kind)
    write, left = _JournalFile.append_logs, 0

    def append(journal, logs):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        write(journal, logs)
        left -= 1
        if left == 0:
            raise Killed

    monkeypatch.setattr(_JournalFile, "append_logs", append)
    kills = 0
    for operation in range(1, 100):
        left, folder = operation, tmp_path / f"cut{operation}"
        try:
            study = work(opened(plan, folder), jobs, random.Random(operation))
        except Killed:
            kills += 1
            study = work(opened(plan, folder), 1 + operation % 4)
        assert drawn(study) == expected, operation
        if left > 0:
            break
    assert kills == 2 * (2 + len(expected))  # the study, its fingerprint, a line for each trial


@settings(suppress_health_check=LETS, max_examples=10)
@given(st.floats(0, 1))
def test_a_journal_cut_in_the_middle_of_a_line(whole, tmp_path_factory, share):
    plan, expected = whole("tpe")
    folder = tmp_path_factory.mktemp("cut")
    work(opened(plan, folder))
    content = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(content[: int(share * len(content))])
    assert drawn(work(opened(plan, folder))) == expected


def test_killed_again_and_again(whole, tmp_path):
    plan, expected = whole("tpe")
    for _ in range(plan.trials):
        study = work(opened(plan, tmp_path / "again"), jobs=3, stop_after=BATCH + 1)
    assert drawn(work(study)) == expected


def test_only_the_public_interface_of_optuna_is_used():
    """No name that begins with an underscore but our own."""
    for path in (Path(__file__).parents[2] / "eibench" / "search").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                assert own or node.attr == "__version__", f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna"):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
                assert not any(name.startswith("_") for name in names), f"{path}:{node.lineno}"


# ---------------------------------------------------------------------------- single trials


def test_the_base_is_the_first_trial_to_its_last_digit(search_plan, tmp_path):
    """Drawn numbers are rounded to three digits, the suite's own are not."""
    plan = search_plan(suite={"base": {"train": {"lr": 0.0123456}}})
    trial = opened(plan, tmp_path).following()
    assert trial.number == 0
    assert trial.values == {"train.lr": 0.0123456, "method.kappa": 1.0, "model.width": 4}
    assert plan.studies[0].run(trial.values, 0).spec.train == plan.studies[0].base.spec.train


def test_drawn_numbers_have_three_digits(whole):
    _, trials = whole("tpe")
    for values, *_ in trials[1:]:
        assert values["train.lr"] == float(f"{values['train.lr']:.3g}")


def test_a_batch_is_drawn_from_the_batches_before_it(search_plan, tmp_path):
    study = opened(search_plan(), tmp_path)
    batch = [study.following() for _ in range(BATCH + 1)]
    assert [trial.number for trial in batch[:BATCH]] == list(range(BATCH))
    assert batch[BATCH] is None
    for trial in (batch[2], batch[0], batch[3]):
        study.end(trial, score_of(trial.values))
        assert study.following() is None  # the outcome of 1 is missing
        assert study.told == []
    study.end(batch[1], score_of(batch[1].values))
    assert len(study.told) == BATCH
    assert study.following().number == BATCH


def test_equal_trials_never_run_at_once(search_plan, tmp_path):
    """They would write the same files."""
    space = {"method.kappa": {"choices": [0, 1]}}
    study = opened(search_plan(space=space, trials=8), tmp_path)
    done, under_way = [], []
    while True:
        while (trial := study.following()) is not None:
            assert trial.values not in [other.values for other in under_way]
            under_way.append(trial)
        if not under_way:
            break
        first = under_way.pop(0)
        done.append(first.number)
        study.end(first, Outcome(TrialState.COMPLETE, None, 1.0))
    assert sorted(done) == list(range(8))


@pytest.mark.parametrize("kind", ["tpe", "median"])
@pytest.mark.parametrize("few", [5, 8, 11])
def test_a_search_that_is_prolonged_is_the_longer_search(search_plan, whole, tmp_path, kind, few):
    plan, expected = whole(kind)
    work(opened(search_plan(**{**SEARCHES[kind], "trials": few}), tmp_path / "few"))
    assert drawn(work(opened(plan, tmp_path / "few"))) == expected


def test_fewer_trials_than_there_are(search_plan, tmp_path):
    work(opened(search_plan(trials=6), tmp_path))
    assert opened(search_plan(trials=5), tmp_path).following() is None


def test_seeds_of_the_sampler_decide(search_plan, tmp_path):
    one, other = (
        drawn(work(opened(search_plan(sampler_seed=n), tmp_path / str(n)))) for n in (0, 1)
    )
    assert one[0] == other[0]  # the base
    assert one[1:] != other[1:]


def test_what_is_told(search_plan, tmp_path):
    study = work(opened(search_plan(sampler="grid", space=GRID, trials=27), tmp_path))
    by_lr = {0.1: set(), 0.8: set(), 1: set()}
    for values, state, score, *_ in drawn(study):
        by_lr[values["train.lr"]].add((state, None if score is None else score == 10.0))
    assert by_lr == {0.1: {("COMPLETE", False)}, 0.8: {("COMPLETE", True)}, 1: {("FAIL", None)}}
    reasons = {t.user_attrs["reason"] for t in study.told}
    assert reasons == {None, "diverged: it grew", "error: it broke"}


def test_what_is_told_is_read_again(search_plan, whole, tmp_path):
    plan, expected = whole("median")
    assert drawn(opened(plan, tmp_path / "whole-median")) == expected


def test_a_smaller_grid_ends_early(search_plan, tmp_path):
    plan = search_plan(sampler="grid", space=GRID, trials=5)
    assert len(drawn(work(opened(plan, tmp_path)))) == 5
    every = search_plan(sampler="grid", space=GRID, trials=100)
    points = [values for values, *_ in drawn(work(opened(every, tmp_path / "all")))]
    (study,) = every.studies
    assert points == [study.grid_point(i) for i in range(study.grid_size())]
    assert len(points) == 3 * 3 * 3


def test_choices_that_are_mappings_go_on(search_plan, tmp_path):
    """The journal holds them in the fingerprint of a study."""
    space = {**GRID, "neuron": {"choices": [{"tau": 2.0}, {"tau": 4.0}]}}
    plan = search_plan(sampler="grid", space=space, trials=7)
    expected = drawn(work(opened(plan, tmp_path), stop_after=4))
    again = opened(plan, tmp_path)
    assert drawn(again) == expected
    assert len(drawn(work(again))) == 7


# ---------------------------------------------------------------- several studies, first ones


def test_the_first_study_of_several_is_the_only_one_of_a_single_study(search_plan, tmp_path):
    """Also in its journal, so that a search may get more studies."""
    work(opened(search_plan(), tmp_path))
    several = search_plan(studies=3, suite={"seeds": [0, 1, 2]})
    storage = open_journal(tmp_path)
    refuse_other_trials(several, storage, tmp_path)
    first, second, third = (ResumableStudy(one, several, storage) for one in several.studies)
    assert (len(first.told), len(second.told)) == (10, 0)
    assert first.following() is None
    found = [drawn(work(study)) for study in (second, third)]
    values = [[trial[0] for trial in trials] for trials in (drawn(first), *found)]
    assert values[0][0] == values[1][0] == values[2][0]  # the base
    assert all(a[1:] != b[1:] for a, b in itertools.combinations(values, 2))
    refuse_other_trials(several, open_journal(tmp_path), tmp_path)


def test_settings_are_tried_first_to_their_last_digit(whole):
    _, trials = whole("repeated")
    assert [values for values, *_ in trials[:3]] == [
        {"train.lr": 0.1, "method.kappa": 1.0, "model.width": 4},
        {"train.lr": 0.02, "method.kappa": 1.0, "model.width": 4},
        {"train.lr": 0.123456, "method.kappa": 0, "model.width": 9},
    ]


def test_the_sampler_draws_what_a_setting_leaves_open(search_plan, tmp_path):
    """Neither width nor rate of the base lie within, so that there is no trial of the base."""
    base = {"model": {"width": 50}, "train": {"lr": 5}}
    plan = search_plan(enqueue=[{"train.lr": 0.123456}], trials=6, suite={"base": base})
    first, second, *_ = [values for values, *_ in drawn(work(opened(plan, tmp_path)))]
    assert (first["train.lr"], first["method.kappa"]) == (0.123456, 1.0)
    assert 2 <= first["model.width"] <= 9
    again = drawn(work(opened(plan, tmp_path / "again"), jobs=3))
    assert [values for values, *_ in again][:2] == [first, second]
    assert second["train.lr"] != first["train.lr"]


# ---------------------------------------------------------------------------- pruning


def test_a_pruner_stops_some_trials_from_the_third_batch_on(whole):
    _, trials = whole("median")
    states = [state for _, state, *_ in trials]
    assert "PRUNED" in states
    assert "COMPLETE" in states[2 * BATCH :]
    assert "PRUNED" not in states[:BATCH]


def test_an_epoch_is_reported_once(search_plan, tmp_path):
    study = opened(search_plan(pruner="median", trials=1), tmp_path)
    trial = study.following()
    trial.report(1, 20.0, last=False)
    trial.report(1, 30.0, last=False)
    study.end(trial, score_of(trial.values))
    assert study.told[0].intermediate_values == {1: 20.0}
    assert not trial.prunes


# ---------------------------------------------------------------------------- other suites

CHANGES = {
    "train.epochs": {"suite": {"base": {"train": {"epochs": 2}}}},
    "search.space.train.lr.high": {"space": {**SPACE, "train.lr": {
        "low": 0.01, "high": 2, "log": True}}},
    "search.space.method.kappa": {"space": {**SPACE, "method.kappa": {
        "choices": [0, 1]}}},
    "search.space.neuron.tau": {"space": {**SPACE, "neuron.tau": {"choices": [2, 3]}}},
    "search.sampler": {"sampler": "grid", "space": {
        key: {"choices": [1, 2]} for key in SPACE}},
    "search.sampler_seed": {"sampler_seed": 1},
    "search.pruner": {"pruner": "median"},
    "search.seeds": {"seeds": [1001]},
    "search.enqueue": {"enqueue": [{"train.lr": 0.5}]},
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_trials_of_a_changed_suite_are_refused(search_plan, tmp_path, key):
    work(opened(search_plan(trials=1), tmp_path))
    storage = open_journal(tmp_path)
    with pytest.raises(UserError) as caught:
        refuse_other_trials(search_plan(**CHANGES[key]), storage, Path("results/tiny/search"))
    said = str(caught.value)
    assert said.startswith("results/tiny/search: the trials of ei were made before these settings ")
    changed = said.partition("changed: ")[2].partition(";")[0].split(", ")
    assert key in changed


@pytest.mark.parametrize(
    "changes",
    [{"trials": 20}, {"suite": {"title": "Other", "seeds": [7]}}],
)
def test_changes_that_go_with_the_trials(search_plan, tmp_path, changes):
    work(opened(search_plan(trials=1), tmp_path))
    refuse_other_trials(search_plan(**changes), open_journal(tmp_path), tmp_path)


def test_new_arms_stand_beside_the_old(search_plan, tmp_path):
    before = search_plan(suite={"grid": {"method": ["ei", {"name": "ei", "dale": False}]}})
    work(opened(before, tmp_path))
    grid = {"method": ["ei", {"name": "ei", "dale": False}, {"name": "ei", "ei_ratio": 2}]}
    refuse_other_trials(search_plan(suite={"grid": grid}), open_journal(tmp_path), tmp_path)


OLD = {"op_code": 0, "worker_id": "x", "study_name": "tiny: ei", "directions": [2]}
OLD_TRIAL = {"op_code": 4, "worker_id": "x", "study_id": 0, "datetime_start": "2026-01-01T00:00:00"}


@pytest.mark.parametrize("attributes", [{"note": "x"}, {"made_of": {"base": {}}}])
def test_trials_of_an_older_eibench_are_refused(search_plan, tmp_path, attributes):
    lines = [OLD]
    lines += [{"op_code": 2, "worker_id": "x", "study_id": 0, "user_attr": attributes}]
    (tmp_path / JOURNAL).write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, OLD_TRIAL])
    )
    with pytest.raises(UserError) as caught:
        refuse_other_trials(search_plan(), open_journal(tmp_path), Path("results/tiny/search"))
    assert str(caught.value) == (
        "results/tiny/search: the trials of ei were made by an earlier version of eibench, which"
        " drew them by another rule; give the suite another name, or delete the folder to search"
        " anew"
    )


# ---------------------------------------------------------------------------- damage


def damage(folder, change):
    path = folder / JOURNAL
    path.write_text(change(path.read_text()))


DAMAGES = {
    "not JSON": lambda text: "hello\n" + text,
    "a line of another kind": lambda text: text.replace('"op_code":4', '"op_code":99', 1),
    "a list": lambda text: text + "[1]\n[2]\n",
    "nothing": lambda text: text + "null\nnull\n",
    "a key is missing": lambda text: text.replace('"distributions"', '"distribution"'),
    "a score that is text": lambda text: text.replace('"value":', '"value":"a","x":', 1),
    "a value outside": lambda text: text.replace('"train.lr":0', '"train.lr":5', 1),
    "no reason": lambda text: text.replace('"reason"', '"raeson"', 1),
    "a cost that is text": lambda text: text.replace('"seconds":1.0', '"seconds":"1"', 1),
    "a trial under way": lambda text: text.replace('"state":1', '"state":0', 1),
    "an earlier score that is text": lambda text: text.replace(
        '"intermediate_values":{', '"intermediate_values":{"99":"a",', 1
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_journal_damaged_by_hand(search_plan, tmp_path, kind):
    work(opened(search_plan(trials=3), tmp_path))
    damage(tmp_path, DAMAGES[kind])
    with pytest.raises(UserError) as caught:
        open_journal(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / JOURNAL}: damaged (")


def test_a_journal_that_is_a_folder(tmp_path):
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(UserError, match=r"journal.log: cannot be read and written: Is a directory"):
        open_journal(tmp_path)


def test_the_journal_is_read_by_optunas_own_file(search_plan, tmp_path):
    """What `optuna-dashboard` opens, and writes a note into."""
    study = work(opened(search_plan(trials=3), tmp_path))
    assert all(json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines())
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    (name,) = optuna.get_all_study_names(storage)
    seen = optuna.load_study(study_name=name, storage=storage)
    assert name == "tiny: ei"
    assert [(t.params, t.value, t.state) for t in seen.trials] == [
        (t.params, t.value, t.state) for t in study.told
    ]
    seen.set_user_attr("note", "looks well")
    assert drawn(opened(search_plan(trials=3), tmp_path)) == drawn(study)
