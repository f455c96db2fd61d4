"""`ablate`: planned runs counted by hand, and every invalid form."""

import copy
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eibench.errors import BadSuite, UserError
from eibench.plan import Override, load_plan, select
from eibench.results.plan_file import write_plan

FACTORS = {
    "hard reset": {"neuron.reset": "hard"},
    "slow": {"neuron.tau": 4, "train.momentum": 0},
    "wide": {"model": {"width": 8}},
}


@pytest.fixture
def plan(project):
    """`plan("train.lr=1", ..., ablate={...})`: settings, and changes to the tiny suite."""

    def load(*settings, **changes):
        overrides = [Override.read("--set", text) for text in settings]
        changes = {"grid": {}, "ablate": FACTORS, **changes}
        return load_plan(project.suite(**copy.deepcopy(changes)), overrides)

    return load


@pytest.fixture
def problems(plan):
    def load(**changes):
        with pytest.raises(BadSuite) as caught:
            plan(**changes)
        return caught.value.problems

    return load


def table(plan, *fields):
    return [tuple(run.fields().get(f) for f in fields) for run in plan.runs]


def names(plan):
    return [run.ablation for run in plan.runs]


# -------------------------------------------------------------------------------- the runs


def test_one_factor_at_a_time(plan):
    made = plan()
    fields = ("ablation", "neuron.reset", "neuron.tau", "train.momentum", "model.width")
    assert table(made, *fields) == [
        ("base", "soft", 2.0, 0.9, 4),
        ("hard reset", "hard", 2.0, 0.9, 4),
        ("slow", "soft", 4.0, 0.0, 4),
        ("wide", "soft", 2.0, 0.9, 8),
    ]
    assert made.axes == ("ablation",)


def test_pairs(plan):
    made = plan(ablate_pairs=True)
    assert names(made) == [
        *("base", "hard reset", "slow", "wide"),
        *("hard reset + slow", "hard reset + wide", "slow + wide"),
    ]
    assert table(made, "neuron.reset", "neuron.tau", "model.width")[4:] == [
        ("hard", 4.0, 4),
        ("hard", 2.0, 8),
        ("soft", 4.0, 8),
    ]


def test_factors_of_one_key_make_no_pair(plan):
    wide = {
        "8": {"model.width": 8},
        "16": {"model.width": 16},
        "vgg": {"model": {"name": "vgg", "depth": 11}},
        "hard": {"neuron.reset": "hard"},
    }
    clause = {"ablation": ["8 + vgg", "16 + vgg"]}  # vgg has no width
    assert names(plan(ablate=wide, ablate_pairs=True, exclude=[clause])) == [
        *("base", "8", "16", "vgg", "hard", "8 + hard", "16 + hard", "vgg + hard"),
    ]


def test_ablations_are_outermost_but_for_seeds(plan):
    """4 ablations x 2 depths x 2 rates x 2 seeds."""
    grid = {"model.depth": [1, 2], "train.lr": [0.1, 0.2]}
    made = plan(grid=grid, seeds=[3, 5])
    assert made.axes == ("ablation", "model.depth", "train.lr")
    assert len(made.runs) == 4 * 2 * 2 * 2
    assert table(made, "seed", "ablation", "model.depth", "train.lr")[:5] == [
        *((3, "base", d, lr) for d in (1, 2) for lr in (0.1, 0.2)),
        (3, "hard reset", 1, 0.1),
    ]


def test_beside_zip(plan):
    made = plan(zip={"model.depth": [1, 2], "train.lr": [0.3, 0.1]})
    assert len(made.runs) == 4 * 2
    assert made.axes == ("ablation", "model.depth", "train.lr")


def test_a_choice_comes_before_the_axes_of_its_options(plan):
    made = plan(ablate={"vgg": {"model": "vgg"}}, grid={"model.depth": [8, 11]})
    assert table(made, "ablation", "model", "model.depth") == [
        *(("base", "plain", 8), ("base", "plain", 11)),
        *(("vgg", "vgg", 8), ("vgg", "vgg", 11)),
    ]


def test_per_method_by_name_covers_what_an_ablation_makes_of_the_method(plan):
    factors = {"more inhibition": {"method.ei_ratio": 2}, "norm": {"method": "tdbn"}}
    rates = {"ei": {"train.lr": 0.3}, "tdbn": {"train.lr": 0.7}}
    assert table(plan(ablate=factors, per_method=rates), "method", "train.lr") == [
        ("ei", 0.3),
        ("ei-ei_ratio2", 0.3),
        ("tdbn", 0.7),
    ]


def test_the_name_is_no_part_of_the_identity(plan):
    renamed = {name.upper(): values for name, values in FACTORS.items()}
    assert [r.run_id for r in plan().runs] == [r.run_id for r in plan(ablate=renamed).runs]
    assert plan().runs[0].run_id == plan(ablate={}).runs[0].run_id


def test_without_ablations_there_is_no_field(plan):
    (run,) = plan(ablate={}).runs
    assert "ablation" not in run.fields()
    assert run.title == run.run_id


def test_names_and_fields_of_a_run(plan, tmp_path):
    made = plan()
    assert made.runs[1].title == f"{made.runs[1].run_id} (hard reset)"
    write_plan(tmp_path, made)
    stored = json.loads((tmp_path / "plan.json").read_text())
    assert stored["axes"] == ["ablation"]
    assert [run["fields"]["ablation"] for run in stored["runs"]] == ["base", *FACTORS]


# ------------------------------------------------------------------ exclude, --only, --set


def test_exclude_an_ablation(plan):
    clauses = [{"ablation": "slow"}, {"ablation": ["wide", "base"], "model.depth": 2}]
    made = plan(grid={"model.depth": [1, 2]}, exclude=clauses)
    assert table(made, "ablation", "model.depth") == [
        *(("base", 1), ("hard reset", 1), ("hard reset", 2), ("wide", 1)),
    ]


def test_an_impossible_run_can_be_excluded(plan):
    """plain takes 4 pools at depth 4 alone; under the ablation depth 2 cannot be."""
    factors = {"pools": {"model.pools": 4}, "hard": {"neuron.reset": "hard"}}
    grid = {"model.depth": [2, 4]}
    clause = {"ablation": "pools", "model.depth": 2}
    made = plan(ablate=factors, grid=grid, exclude=[clause])
    assert table(made, "ablation", "model.depth") == [
        *(("base", 2), ("base", 4), ("pools", 4), ("hard", 2), ("hard", 4)),
    ]


def test_an_impossible_pair_names_both_and_can_be_excluded(plan, problems):
    factors = {"pools": {"model.pools": 2}, "flat": {"model.depth": 1}}
    (problem,) = problems(ablate=factors, ablate_pairs=True)
    assert problem.startswith("tiny.yaml:")
    assert problem.endswith(
        "pools (2) cannot exceed depth (1); refused in the pair of 'pools' and 'flat':"
        ' leave it out with `exclude: [{ablation: "pools + flat"}]`'
    )
    clause = {"ablation": "pools + flat"}
    made = plan(ablate=factors, ablate_pairs=True, exclude=[clause])
    assert names(made) == ["base", "pools", "flat"]


def test_a_factor_that_is_wrong_alone_is_reported_once(problems):
    found = problems(ablate={**FACTORS, "bad": {"neuron.tau": -3}}, ablate_pairs=True)
    assert len(found) == 1
    assert "ablate.bad.neuron.tau: must be at least 1.0, not -3" in found[0]
    assert "pair" not in found[0]


def test_a_rule_over_several_options_names_the_ablation(problems):
    (problem,) = problems(ablate={"pools": {"model": {"pools": 9}}})
    assert problem.endswith("pools (9) cannot exceed depth (2); refused in ablation 'pools'")


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("ablation=base", {"base"}),
        ("ablation=hard reset", {"hard reset"}),
        ("ablation=base,slow", {"base", "slow"}),
        ("ablation=slow, really", {"slow, really"}),
        ("ablation=hard reset + slow", {"hard reset + slow"}),
        ("ablation=3", {"3"}),
    ],
)
def test_only(plan, only, expected):
    factors = {"hard reset": {"neuron.reset": "hard"}, "slow": {"neuron.tau": 4},
               "slow, really": {"neuron.tau": 9}, "3": {"neuron.tau": 3}}  # fmt: skip
    made = plan(ablate=factors, ablate_pairs=True)
    assert {run.ablation for run in select(made, [Override.read("--only", only)])} == expected


def test_only_suggests_the_nearest_ablation(plan):
    with pytest.raises(UserError, match=r"allowed: base, hard reset.*did you mean 'hard reset'"):
        select(plan(), [Override.read("--only", "ablation=hard rest")])


def test_set_replaces_keys_of_ablations(plan):
    made = plan("neuron.reset=hard", "train={momentum: 0.5}")
    assert table(made, "ablation", "neuron.reset", "neuron.tau", "train.momentum") == [
        ("base", "hard", 2.0, 0.5),
        ("slow", "hard", 4.0, 0.5),
        ("wide", "hard", 2.0, 0.5),
    ]
    assert plan("neuron.reset=hard", ablate={"x": {"neuron.reset": "hard"}}).axes == ()


# -------------------------------------------------------------------------------- messages

ROWS = [
    ({"ablate": {"a": {"neuron.reset": "soft"}}}, "  a:", "ablate.a: changes nothing: it gives"),
    ({"ablate": {"a": {"neuron": {}}}}, "  a:", "ablate.a: changes nothing"),
    (
        {"ablate": {"a": {"neuron.tau": 4}, "b": {"neuron.tau": 4.0}}},
        "  b:",
        "ablate.b: gives the same run as 'a'",
    ),
    ({"ablate": {"a": {}}}, "  a: {}", "ablate.a: is empty: an ablation changes"),
    ({"ablate": {"a": 3}}, "  a: 3", "ablate.a: must be a mapping of keys to values, not 3"),
    ({"ablate": [1]}, "ablate:", "ablate: must be a mapping of keys to values, not [1]"),
    ({"ablate": {"base": {"neuron.tau": 4}}}, "  base:", "ablate.base: this name is that of"),
    ({"ablate": {"a\nb": {"neuron.tau": 4}}}, "  ? 'a", "a name is one line of text"),
    ({"ablate": {"": {"neuron.tau": 4}}}, "  ? ''", "a name is one line of text"),
    ({"ablate": {" a": {"neuron.tau": 4}}}, "  ' a':", "a name is one line of text"),
    ({"ablate": {"a": {"seed": 4}}}, "    seed: 4", "ablate.a.seed: seeds are listed under"),
    ({"ablate": {"a": {"neuron.reset": "had"}}}, "    neuron.reset: had", "did you mean 'hard'?"),
    ({"ablate": {"a": {"neuron.rest": 1}}}, "    neuron.rest: 1", "ablate.a.neuron.rest: unknown"),
    ({"ablate": {"a": {"nron.tau": 1}}}, "    nron.tau: 1", "did you mean 'neuron'?"),
    ({"ablate": {"a": {"train.lr.x": 1}}}, "    train.lr.x: 1", "ablate.a.train.lr"),
    ({"ablate": {"a": {"timesteps.x": 1}}}, "    timesteps.x: 1", "that is not a mapping"),
    (
        {"ablate": {"a": {"train": {"lr": 7}}}, "grid": {"train.lr": [1, 2]}},
        "      lr: 7",
        "ablate.a.train.lr: is set by grid as well",
    ),
    (
        {"ablate": {"a": {"train.lr": 7}}, "zip": {"train": [{"lr": 1}, {"lr": 2}]}},
        "    train.lr: 7",
        "ablate.a.train.lr: is set by zip as well",
    ),
    (
        {"ablate": {"a": {"train.lr": 7}}, "per_method": {"ei": {"train": {"lr": 3}}}},
        "    train.lr: 7",
        "ablate.a.train.lr: is set by per_method as well",
    ),
    (
        {"ablate": {"a": {"model": {"name": "vgg", "depth": 11}}}, "grid": {"model.depth": [8]}},
        "    model:",
        "ablate.a.model: is set by grid as well",
    ),
    (
        {"ablate": {"a": {"method": {"ei_ratio": 2}}}, "grid": {"method": ["ei"]}},
        "      ei_ratio: 2",
        "ablate.a.method.ei_ratio: changes a method that grid chooses",
    ),
    ({"ablate": {"a": {"neuron.tau": 4}}, "ablate_pairs": True}, "ablate_pairs:", "at least two"),
    ({"ablate": {}, "ablate_pairs": True}, "ablate_pairs: true", "at least two ablations"),
    ({"ablate_pairs": 3}, "ablate_pairs: 3", "ablate_pairs: must be true or false, not 3"),
    (
        {"ablate": {"a": {"neuron.tau": 4}, "b": {"neuron.tau": 5}}, "ablate_pairs": True},
        "ablate_pairs: true",
        "ablate_pairs: no two ablations set different keys",
    ),
    (
        {"ablate": {"a + b": {"neuron.tau": 4}, "b": {"timesteps": 5}}, "ablate_pairs": True},
        "  a + b:",
        "with ablate_pairs no name can hold ' + '",
    ),
    (
        {"exclude": [{"ablation": "hard rest"}]},
        "- ablation: hard rest",
        "excludes nothing; did you mean 'hard reset'?",
    ),
    ({"ablate": {}, "exclude": [{"ablation": "a"}]}, "- ablation: a", "ablation: unknown key"),
]


@pytest.mark.parametrize(("changes", "at", "message"), ROWS, ids=[str(r[0])[:70] for r in ROWS])
def test_one_mistake(project, problems, changes, at, message):
    found = problems(**changes)
    lines = project.path.joinpath("tiny.yaml").read_text().splitlines()
    (line,) = [i for i, text in enumerate(lines, 1) if text.startswith(at)]
    assert any(p.startswith(f"tiny.yaml:{line}: ") and message in p for p in found), found
    assert all(len(problem.splitlines()) == 1 for problem in found)


def test_a_pair_that_repeats_a_run(problems, plan):
    factors = {"slow": {"neuron.tau": 4}, "rate": {"train.lr": 0.2},
               "both": {"neuron.tau": 4, "train.lr": 0.2}}  # fmt: skip
    (problem,) = problems(ablate=factors, ablate_pairs=True)
    assert problem.endswith(
        "ablate_pairs: 'slow + rate' gives the same run as 'both';"
        ' leave it out with `exclude: [{ablation: "slow + rate"}]`'
    )
    made = plan(ablate=factors, ablate_pairs=True, exclude=[{"ablation": "slow + rate"}])
    assert names(made) == ["base", "slow", "rate", "both"]


def test_a_mistake_is_refused_by_the_command_line(project, cli):
    done = cli("run", project.suite(ablate={"soft": {"neuron.reset": "soft"}}))
    (problem,) = done.errors
    assert done.code == 2
    assert problem.endswith("ablate.soft: changes nothing: it gives the run of the base")


KEYS = st.sampled_from(
    ["neuron.tau", "neuron", "model", "model.depth", "method", "train.lr", "seed", "x", "", "a.b"]
)
VALUES = st.sampled_from([None, True, 2, -1, "vgg", "ei", {}, {"name": "vgg"}, {"tau": 4}, [1]])
NAMES = st.sampled_from(["base", "a", "b", "a + b", "", "\n", "1"])


@given(st.dictionaries(NAMES, st.dictionaries(KEYS, VALUES, max_size=2) | VALUES), st.booleans())
def test_no_suite_makes_a_traceback(tmp_path_factory, ablate, pairs):
    path = tmp_path_factory.mktemp("random") / "random.yaml"
    base = {"method": "ei", "model": "plain", "data": "digits"}
    suite = {"name": "x", "title": "y", "base": base, "ablate": ablate, "ablate_pairs": pairs}
    path.write_text(yaml.safe_dump(suite))
    runs, problems = (), []
    try:
        runs = load_plan(path, []).runs
    except BadSuite as error:
        problems = error.problems
    assert runs or problems
    assert all("random.yaml:" in problem for problem in problems)
    assert len({run.ablation for run in runs}) == len({run.run_id for run in runs}) == len(runs)
