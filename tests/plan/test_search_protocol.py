"""Protocol of a search: several studies, settings tried first, fresh seeds, the space rule."""

import pytest

from eibench.errors import BadSuite
from eibench.plan import Override, load_plan
from eibench.plan.protocol import own_keys, space_rule
from eibench.plan.read_search import load_search
from eibench.plan.search import in_turns

RATE = {"low": 0.01, "high": 1, "log": True}
CLIP = {"choices": [0.3, 1, 3]}
KAPPA = {"choices": [0, 0.5, 1]}
METHODS = {"method": ["ei", "tdbn"]}


@pytest.fixture
def plan(project):
    """`plan("train.lr=1", studies=3, suite={...}, ...)`: settings, and keys of `search`."""

    def load(*settings, trials=None, suite=None, **search):
        section = {"space": {"train.lr": RATE}, "seeds": [1000], "trials": 8, **search}
        listed = {"seeds": ...} if "confirm" in search else {}
        path = project.suite(**{"grid": METHODS, "search": section, **listed, **(suite or {})})
        overrides = [Override.read("--set", text) for text in settings]
        return load_search(path, overrides, trials)

    return load


FRESH = {"seeds": [0, 1, 2, 3, 4, 5, 6]}

# ---------------------------------------------------------------------------------- studies


def test_one_study_is_what_it_was(plan):
    (ei, _) = plan(studies=1).studies
    assert (ei.name, ei.stream, ei.seeds, ei.axes) == ("ei", "ei", (1000,), {"method": "ei"})
    assert [study.name for study in plan().arms] == ["ei", "tdbn"]


def test_several_studies_have_names_draws_and_seeds_of_their_own(plan):
    """The first has those of a single study, so that a search may get more of them."""
    made = plan(studies=3, seeds=[1000, 7], suite=FRESH)
    ei = made.studies[:3]
    assert [study.name for study in ei] == ["ei, study 1", "ei, study 2", "ei, study 3"]
    assert [study.stream for study in ei] == ["ei", "ei, study 2", "ei, study 3"]
    assert [study.seeds for study in ei] == [(1000, 7), (1001, 1002), (1003, 1004)]
    assert made.tuning_seeds == [study.seeds for study in made.studies[3:]]
    assert [study.axes for study in ei][2] == {"method": "ei", "repeat": 3}
    assert [study.name for study in made.arms] == ["ei, study 1", "tdbn, study 1"]
    assert [run.method for run in made.base_plan().runs] == ["ei", "tdbn"]


def test_seeds_of_further_studies_are_none_of_the_fresh_ones(plan):
    made = plan(studies=3, seeds=[2], suite={"seeds": [0, 3, 5]})
    assert made.tuning_seeds == [(2,), (4,), (6,)]


def test_fresh_seeds_are_counted_and_are_none_of_the_searchs(plan):
    made = plan(studies=2, seeds=[0, 3], confirm=5)
    assert made.tuning_seeds == [(0, 3), (4, 5)]
    assert made.seeds == (1, 2, 6, 7, 8)
    assert plan(confirm=10).seeds == tuple(range(10))
    runs = made.confirmation({"ei, study 1": {"train.lr": 0.2}}).runs
    assert [run.spec.seed for run in runs] == [1, 2, 6, 7, 8]


def test_winners_share_the_fresh_seeds_in_turns():
    assert in_turns(range(10), ["a", "b", "c"], "a") == (0, 3, 6, 9)
    assert in_turns(range(10), ["a", "b", "c"], "c") == (2, 5, 8)
    assert in_turns([5, 7], ["a"], "a") == (5, 7)
    assert in_turns([5, 7], ["a"], "b") == ()


def confirmed(made, winners):
    """Learning rates by seed of each method's fresh runs."""
    found = {}
    for run in made.confirmation(winners).runs:
        found.setdefault(run.method, {})[run.spec.seed] = run.spec.train.lr
    return found


def test_a_seed_runs_what_its_study_found(plan):
    made = plan(studies=3, suite=FRESH)
    winners = {s.name: {"train.lr": n / 10} for n, s in enumerate(made.studies, start=1)}
    assert confirmed(made, winners) == {
        "ei": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.1, 4: 0.2, 5: 0.3, 6: 0.1},
        "tdbn": {0: 0.4, 1: 0.5, 2: 0.6, 3: 0.4, 4: 0.5, 5: 0.6, 6: 0.4},
    }


def test_seeds_of_a_study_without_a_winner_go_to_the_others(plan):
    made = plan(studies=3, suite=FRESH)
    winners = {"ei, study 1": {"train.lr": 0.1}, "ei, study 3": {"train.lr": 0.3}}
    by_turns = {0: 0.1, 1: 0.3, 2: 0.1, 3: 0.3, 4: 0.1, 5: 0.3, 6: 0.1}
    assert confirmed(made, winners) == {"ei": by_turns}
    assert confirmed(made, {"ei, study 2": {"train.lr": 0.2}}) == {
        "ei": dict.fromkeys(range(7), 0.2)
    }


# ---------------------------------------------------------------------- settings tried first


def first(made, arm=0):
    return made.studies[arm].first_settings()


def test_enqueued_settings_follow_the_base(plan):
    """What they leave open has the base's value."""
    made = plan(
        space={"train.lr": RATE, "train.clip_norm": CLIP},
        tune={"ei": {"method.kappa": KAPPA}},
        enqueue=[{"train.lr": 0.5}, {"train.clip_norm": 3.0, "train.lr": 0.02}],
    )
    assert first(made) == [
        {"train.lr": 0.1, "train.clip_norm": 1.0, "method.kappa": 1.0},
        {"train.lr": 0.5, "train.clip_norm": 1.0, "method.kappa": 1.0},
        {"train.lr": 0.02, "train.clip_norm": 3, "method.kappa": 1.0},
    ]
    assert first(made, arm=1)[2] == {"train.lr": 0.02, "train.clip_norm": 3}
    assert list(first(made)[2]) == list(made.studies[0].space)
    assert isinstance(first(made)[2]["train.clip_norm"], int)  # as the choices list it


def test_a_key_that_neither_sets_is_open(plan):
    """The base's kappa of 1 is none of the choices, so that there is no trial of the base."""
    tune = {"ei": {"method.kappa": {"choices": [0, 0.5]}}}
    made = plan(tune=tune, enqueue=[{"train.lr": 0.5}])
    assert first(made) == [{"train.lr": 0.5}]
    assert first(made, arm=1) == [{"train.lr": 0.1}, {"train.lr": 0.5}]


def test_a_setting_that_repeats_the_base_is_no_second_trial(plan):
    assert first(plan(enqueue=[{"train.lr": 0.1}, {"train.lr": 0.3}])) == [
        {"train.lr": 0.1},
        {"train.lr": 0.3},
    ]


def test_a_key_that_a_method_does_not_search_is_left_out_for_it(plan):
    made = plan(
        space={"train.lr": RATE, "train.clip_norm": CLIP},
        tune={"tdbn": {"train.lr": None}},
        enqueue=[{"train.lr": 0.5}, {"train.lr": 0.3, "train.clip_norm": 3}],
    )
    assert first(made, arm=1) == [{"train.clip_norm": 1.0}, {"train.clip_norm": 3}]


def test_a_setting_of_the_command_line_takes_its_key_out(plan):
    space = {"train.lr": RATE, "train.clip_norm": CLIP}
    made = plan("train.lr=0.7", space=space, enqueue=[{"train.lr": 0.5}])
    assert first(made) == [{"train.clip_norm": 1.0}]


def test_more_settings_than_trials(plan):
    enqueue = [{"train.lr": 0.5}, {"train.lr": 0.3}]
    assert len(first(plan(enqueue=enqueue, trials=3))) == 3
    with pytest.raises(BadSuite) as caught:
        plan(enqueue=enqueue, trials=2)
    assert len(caught.value.problems) == 2  # for each method
    assert "search.enqueue: 3 settings, the base's with them, are to be" in caught.value.problems[0]


def test_a_setting_within_the_ranges_that_no_run_can_have(plan):
    """A warm-up must be shorter than the training; too many ends to try all together."""
    space = {f"train.{key}": {"low": 0.1, "high": 0.9} for key in ("lr", "momentum", "clip_norm")}
    space |= {"train.epochs": {"choices": [1, 2, 3]}, "train.warmup_epochs": {"choices": [0, 1, 2]}}
    base = {"train": {"epochs": 3}}
    enqueue = [{"train.epochs": 1, "train.warmup_epochs": 2}]
    with pytest.raises(BadSuite) as caught:
        plan(space=space, enqueue=enqueue, suite={"base": base, "grid": {}})
    (problem,) = caught.value.problems
    assert "search.enqueue[0]: ei cannot have it: " in problem
    assert "must be below epochs" in problem


# ------------------------------------------------------------------------------ space rule


def test_own_keys_are_those_that_not_all_studies_have():
    spaces = [("ei", ["lr", "a", "b"]), ("bn", ["lr", "c"]), ("ei", ["lr", "a"]), ("no", ["lr"])]
    assert own_keys(spaces) == {"ei": ["a", "b"], "bn": ["c"], "no": []}
    assert own_keys([("ei", ["lr", "a", "b"])]) == {"ei": []}  # nothing to compare with
    assert own_keys([]) == {}


@pytest.mark.parametrize(
    ("own", "note"),
    [
        ({"ei": ["a"], "bn": ["b"], "no": []}, None),
        ({"ei": ["a", "b", "c"], "bn": ["b"]}, "`ei` is searched over 3 keys of its own;"),
        ({"x": "ab", "y": "abc"}, "`x` is searched over 2 keys of its own, `y` over 3;"),
    ],
)
def test_space_rule(own, note):
    said = space_rule(own)
    assert said == (note and f"SPACE RULE: {note} a fair comparison gives each method at most one.")


# --------------------------------------------------------------------------- tuned by seed


def rates(path, settings=(), seeds=None):
    found = load_plan(path, [Override.read("--set", text) for text in settings], seeds).runs
    return {(run.method, run.spec.seed): run.spec.train.lr for run in found}


@pytest.fixture
def tuned(project):
    """A suite of two methods and seeds 0 to 3; ei's rate is tuned for even and odd seeds."""

    def write(*more, **changes):
        clauses = [
            {"where": {"method": "ei", "seed": [0, 2]}, "set": {"train.lr": 0.5}},
            {"where": {"method": "ei", "seed": [1, 3]}, "set": {"train.lr": 0.7}},
        ]
        suite = {"grid": METHODS, "seeds": [0, 1, 2, 3], "tuned": [*more, *clauses], **changes}
        return project.suite(**suite)

    return write


def test_a_clause_may_be_for_some_seeds(tuned):
    assert rates(tuned()) == {
        ("ei", 0): 0.5,
        ("tdbn", 0): 0.1,
        ("ei", 1): 0.7,
        ("tdbn", 1): 0.1,
        ("ei", 2): 0.5,
        ("tdbn", 2): 0.1,
        ("ei", 3): 0.7,
        ("tdbn", 3): 0.1,
    }


def test_it_goes_over_clauses_for_all_seeds_and_under_settings(tuned):
    more = {"where": {}, "set": {"train.lr": 0.2, "train.momentum": 0.5}}
    path = tuned(more)
    assert rates(path)["ei", 1] == 0.7
    assert rates(path)["tdbn", 1] == 0.2
    assert {run.spec.train.momentum for run in load_plan(path, []).runs} == {0.5}
    assert set(rates(path, ["train.lr=0.9"]).values()) == {0.9}


def test_a_method_keeps_its_name_under_values_of_a_seed(project):
    clauses = [{"where": {"seed": s}, "set": {"method.kappa": s / 2}} for s in (0, 1)]
    runs = load_plan(project.suite(grid={}, seeds=[0, 1], tuned=clauses), []).runs
    assert [(run.method, run.spec.method.kappa) for run in runs] == [("ei", 0.0), ("ei", 0.5)]
    assert len({run.run_id for run in runs}) == 2
    assert all(run.run_id == run.spec.run_id for run in runs)


def test_some_of_the_seeds(tuned):
    assert rates(tuned(), seeds=[3]) == {("ei", 3): 0.7, ("tdbn", 3): 0.1}


def test_other_seeds_would_lack_their_values(tuned):
    path = tuned()
    with pytest.raises(BadSuite) as caught:
        load_plan(path, [], [3, 20])
    (problem,) = caught.value.problems
    line = path.read_text().splitlines().index("    seed:") + 1
    assert problem.startswith(
        f"tiny.yaml:{line}: tuned[0].where.seed: no clause is for seed 20, so"
    )


@pytest.mark.parametrize("seed", [9, [], "x", [[0]], {"a": 0}, None])
def test_a_clause_for_none_of_the_seeds(tuned, seed):
    more = {"where": {"method": "ei", "seed": seed}, "set": {"train.lr": 0.5}}
    with pytest.raises(BadSuite, match=r"tuned\[0\].where: is for none of the suite's runs"):
        load_plan(tuned(more), [])


def test_an_invalid_value_for_a_seed(tuned):
    more = {"where": {"method": "ei", "seed": 1}, "set": {"train.momentum": -1}}
    with pytest.raises(BadSuite) as caught:
        load_plan(tuned(more), [])
    (problem,) = caught.value.problems
    assert "tuned[0].set.train.momentum: must be at least 0.0, not -1" in problem
