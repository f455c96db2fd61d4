"""Every invalid form of a search: its message and line."""

import contextlib
import copy
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eibench.errors import BadSuite, UserError
from eibench.plan import Override, load_plan
from eibench.plan.read_search import load_search

LR = {"low": 0.01, "high": 1, "log": True}
SEARCH: dict[str, Any] = {"space": {"train.lr": LR}, "seeds": [1000]}


def search(**changes):
    """A change of the section `search` alone."""
    return {"search": {**copy.deepcopy(SEARCH), **changes}}


def lr(**changes):
    return search(space={"train.lr": changes})


def space(**entries):
    return search(space={key.replace("__", "."): known for key, known in entries.items()})


PAIR = {"choices": [0, 1]}
ROWS: list[tuple[dict[str, Any], str, str]] = [
    # what, blamed line, message behind `tiny.yaml:LINE: `
    (search(spaces={}), "  spaces: {}", "search.spaces: unknown key; allowed here: confirm, e"),
    (search(spaces={}), "  spaces: {}", "did you mean 'space'?"),
    (search(seeds=...), "search:", "search.seeds: is missing"),
    (search(seeds=[]), "  seeds: []", "search.seeds: must not be empty"),
    (search(seeds=[1000, 1000]), "  - 1000+1", "search.seeds[1]: 1000 is listed twice"),
    (search(seeds=[1000, 0]), "  - 0", "search.seeds[1]: 0 is one of the suite's `seeds`"),
    (search(seeds=[-1]), "  - -1", "search.seeds[0]: must be at least 0, not -1"),
    (search(trials=0), "  trials: 0", "search.trials: must be at least 1, not 0"),
    (search(trials=1.5), "  trials: 1.5", "search.trials: must be a whole number, not 1.5"),
    (search(minutes=5), "  minutes: 5", "search.minutes: unknown key; allowed here: confirm, en"),
    (search(sampler="tep"), "  sampler: tep", "search.sampler: must be 'tpe' or 'grid', not 't"),
    (search(sampler="tep"), "  sampler: tep", "did you mean 'tpe'?"),
    (search(sampler_seed=-1), "  sampler_seed: -1", "search.sampler_seed: must be at least 0"),
    (search(pruner="med"), "  pruner: med", "search.pruner: must be 'none' or 'median', not"),
    (search(sampler="gp"), "  sampler: gp", "search.sampler: must be 'tpe' or 'grid', not 'gp'"),
    (search(pruner="hyperband"), "  pruner: hyperband", "must be 'none' or 'median', not 'hyper"),
    (search(objectives=["seconds"]), "  objectives:", "search.objectives: unknown key; allowed h"),
    (search(space=[1]), "  space:", "search.space: must be a mapping of keys to values, not [1]"),
    (search(space={}), "search:", "search: nothing is searched for ei; `space` is for every"),
    # studies and fresh seeds
    (search(studies=0), "  studies: 0", "search.studies: must be at least 1, not 0"),
    (search(studies=10**9), "  studies: 1000000000", "must be at most 100, not 1000000000"),
    (search(studies=1e9), "  studies: 1000000000.0", "must be a whole number, not 1000000000.0"),
    (search(studies=2), "  studies: 2", "2 winners of a combination cannot share 1 fresh seeds"),
    (
        {**search(studies=100), "grid": {"model.width": [*range(1, 12)]}, "seeds": [*range(100)]},
        "  studies: 100",
        "search.studies: 100 for each combination are 1,100 studies; at most 1,000",
    ),
    (
        {**search(studies=2, seeds=[2**63 - 1]), "seeds": [0, 1]},
        "  seeds:",
        "search.seeds: leave no larger ones for further studies",
    ),
    ({**search(confirm=0), "seeds": ...}, "  confirm: 0", "search.confirm: must be at least 1, no"),
    ({**search(confirm=1001), "seeds": ...}, "  confirm: 1001", "must be at most 1000, not 1001"),
    (
        search(confirm=10),
        "  confirm: 10",
        "search.confirm: the suite lists `seeds` as well; one of",
    ),
    # settings tried first
    (search(enqueue={"train.lr": 0.1}), "  enqueue:", "search.enqueue: must be a list, not a map"),
    (
        search(enqueue=[0.1]),
        "  - 0.1",
        "search.enqueue[0]: must be a mapping of keys to values, no",
    ),
    (search(enqueue=[{}]), "  - {}", "search.enqueue[0]: is empty"),
    (
        search(enqueue=[{"train.lr": 3}]),
        "  - train.lr: 3",
        "search.enqueue[0].train.lr: 3 is outside of 0.01 to 1 (log), the space of ei",
    ),
    (search(enqueue=[{"train.lr": "x"}]), "  - train.lr: x", "train.lr: 'x' is outside of 0.01 to"),
    (search(enqueue=[{"train.rl": 1}]), "  - train.rl: 1", "search.enqueue[0].train.rl: is no key"),
    (search(enqueue=[{"train.rl": 1}]), "  - train.rl: 1", "train.lr; did you mean 'train.lr'?"),
    (
        search(enqueue=[{"method.kappa": 0}], tune={"ei": {"method.kappa": {"choices": [0, 1]}}}),
        "  - method.kappa: 0",
        "is no key of `space`, which all methods share; allowed: train.lr",
    ),
    (
        search(enqueue=[{"train.lr": 0.5} for _ in "ab"]),
        "  - train.lr: 0.5+1",
        "enqueue[1]: is listed twice",
    ),
    (
        search(enqueue=[{"train.lr": 0.5} for _ in range(101)]),
        "  enqueue:",
        "must have at most 100, not 101",
    ),
    (search(enqueue=[{"train.lr": 0.5}], trials=1), "  enqueue:", "2 settings, the base's with th"),
    (
        {
            **search(
                enqueue=[{"train.lr": 0.5}], tune={"tdbn": {"train.lr": {"choices": [0.1, 0.3]}}}
            ),
            "grid": {"method": ["ei", "tdbn"]},
        },
        "  - train.lr: 0.5",
        "train.lr: 0.5 is outside of 0.1, 0.3, the space of tdbn",
    ),
    (
        search(enqueue=[{"train.lr": 1}], sampler="grid", space={"train.lr": {"choices": [1, 2]}}),
        "  enqueue:",
        "search.enqueue: a grid has its own order, in which every point is tried",
    ),
    # parameters
    (space(train__lr=0.1), "    train.lr: 0.1", "search.space.train.lr: must be a mapping"),
    (space(train__lr={}), "    train.lr: {}", "search.space.train.lr: needs `low` and `high`, or"),
    (lr(low=1), "    train.lr:", "search.space.train.lr: needs `low` and `high`, or `choices`"),
    (lr(low=1, hihg=2), "      hihg: 2", "search.space.train.lr.hihg: unknown key; allowed here"),
    (lr(low=1, hihg=2), "      hihg: 2", "did you mean 'high'?"),
    (lr(low=1, high=1), "    train.lr:", "search.space.train.lr: low (1) must be below high (1)"),
    (lr(low=2, high=1), "    train.lr:", "search.space.train.lr: low (2) must be below high (1)"),
    (lr(low="a", high=1), "      low: a", "search.space.train.lr.low: must be a number, not 'a'"),
    (lr(low=True, high=2), "      low: true", "search.space.train.lr.low: must be a number, not t"),
    (lr(low=1, high=float("inf")), "      high: .inf", "search.space.train.lr.high: must be fin"),
    (lr(low=0, high=1, log=True), "    train.lr:", "low must be above 0 on a log scale, not 0"),
    (lr(low=-1, high=1, log=True), "    train.lr:", "low must be above 0 on a log scale, not -1"),
    (lr(low=1, high=2, log=True, step=1), "    train.lr:", "has a step, which a log scale cannot"),
    (lr(low=1, high=2, step=0), "      step: 0", "search.space.train.lr.step: must be above 0"),
    (lr(low=1, high=2, step=3), "    train.lr:", "step (3) leads from low (1) beyond high"),
    (lr(choices=[]), "      choices: []", "search.space.train.lr.choices: must not be empty"),
    (lr(choices=[1]), "    train.lr:", "search.space.train.lr: has one choice alone, which leav"),
    (lr(choices=3), "      choices: 3", "search.space.train.lr.choices: must be a list, not 3"),
    (lr(choices=[1, 2, 1]), "    train.lr:", "search.space.train.lr: 1 is listed twice in choices"),
    (lr(choices=[1, 2], low=1), "    train.lr:", "has choices, and so no low, high, log or step"),
    (lr(choices=[1, 2], log=True), "    train.lr:", "has choices, and so no low, high, log or st"),
    # keys
    (space(seed=PAIR), "    seed:", "search.space.seed: cannot be searched"),
    (space(probe__steps=PAIR), "    probe.steps:", "search.space.probe.steps: cannot be searched"),
    (space(train__rl=PAIR), "    train.rl:", "search.space.train.rl: unknown key; allowed here"),
    (space(trian__lr=PAIR), "    trian.lr:", "search.space.trian.lr: unknown key"),
    (space(trian__lr=PAIR), "    trian.lr:", "did you mean 'train'?"),
    (space(train__epoch=PAIR), "    train.epoch:", "did you mean 'epochs'?"),
    (space(method__kapa=PAIR), "    method.kapa:", "did you mean 'kappa'?"),
    (space(train__lr__x=PAIR), "    train.lr.x:", "search.space.train.lr.x: "),
    # values that no run can have
    (lr(low=0, high=1), "    train.lr:", "search.space.train.lr: must be above 0.0, not 0"),
    (
        space(method__kappa={"low": -1, "high": 1}),
        "    method.kappa:",
        "search.space.method.kappa: must be at least 0.0, not -1",
    ),
    (space(model__width={"low": 1.0, "high": 4}), "    model.width:", "must be a whole number, no"),
    (
        space(model__depth={"low": 1, "high": 4, "step": 0.5}),
        "    model.depth:",
        "search.space.model.depth: must be a whole number, not 1.5",
    ),
    (
        {
            **space(model__depth={"low": 18, "high": 34}),
            "base": {"model": {"name": "resnet", "depth": 18, "pools": ...}},
        },
        "    model.depth:",
        "search.space.model.depth: must be 18, 34, 50, 101 or 152, not 19",
    ),
    (
        space(train__optimizer={"choices": ["sgd", "adam"]}),
        "    train.optimizer:",
        "'adam'; did you mean 'adamw'?",
    ),
    (
        space(method={"choices": ["ei", "batchnrm"]}),
        "    method:",
        "unknown method 'batchnrm'; allowed: dann, ei, batchnorm",
    ),
    (
        {**space(model__depth={"low": 1, "high": 2}), "base": {"model": {"pools": 2}}},
        "    model.depth:",
        "search.space.model.depth: model.depth 1: tiny.yaml:5: base.model: pools (2) cannot exceed",
    ),
    # methods' own spaces
    (search(tune={"eii": {"method.kappa": PAIR}}), "    eii:", "search.tune.eii: no run uses this"),
    (search(tune={"eii": {"method.kappa": PAIR}}), "    eii:", "allowed: ei; did you mean 'ei'?"),
    (search(tune={"ei": 3}), "    ei: 3", "search.tune.ei: must be a mapping of keys to values"),
    (search(tune={"ei": {"method.kappa": {"low": 1}}}), "      method.kappa:", "needs `low` and `"),
    (search(tune={"ei": {"method.kapa": PAIR}}), "      method.kapa:", "search.tune.ei.method.ka"),
    # axes
    ({**search(), "grid": {"train.lr": [1]}}, "    train.lr:", "is an axis of grid or zip as well"),
    ({**search(), "zip": {"train.lr": [1]}}, "    train.lr:", "is an axis of grid or zip as well"),
    ({**search(), "grid": {"train": [{"lr": 1}]}}, "    train.lr:", "is an axis of grid or zip as"),
    (
        {**space(train={"choices": [{"lr": 1}, {"lr": 2}]}), "grid": {"train.lr": [1]}},
        "    train:",
        "search.space.train: is an axis of grid or zip as well",
    ),
    (
        {**space(method={"choices": ["ei", "tdbn"]}), "grid": {"method": ["ei"]}},
        "    method:",
        "search.space.method: is an axis of grid or zip as well",
    ),
    # grids
    (search(sampler="grid"), "    train.lr:", "a grid needs `choices`, or a range with a `step`"),
    # what does not go with a search
    ({**search(), "ablate": {"a": {"train.lr": 1}}}, "ablate:", "ablate: does not go with `searc"),
    ({**search(), "tuned": [{"set": {"train.lr": 1}}]}, "tuned:", "tuned: does not go with `sear"),
    ({**search(), "tuned_by": "x"}, "tuned_by: x", "tuned_by: does not go with `search`"),
    ({**search(), "kind": "probe"}, "search:", "search: belongs to suites that train"),
    ({"search": 3}, "search: 3", "search: must be a mapping of keys to values, not 3"),
]


def line_of(text, wanted):
    """The number of the line `wanted`; `wanted+1` means the second one of its kind."""
    wanted, _, skip = wanted.partition("+")
    found = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(wanted)]
    return found[int(skip or 0)]


def without_marks(values):
    """Entries that are `...` are left out."""
    if not isinstance(values, dict):
        return values
    return {k: without_marks(v) for k, v in values.items() if v is not ...}


@pytest.mark.parametrize(("changes", "blamed", "message"), ROWS)
def test_refused(project, changes, blamed, message):
    section = {"search": without_marks(copy.deepcopy(changes["search"]))}
    path = project.suite(**{"grid": {}, **copy.deepcopy(changes), **section})
    with pytest.raises(BadSuite) as caught:
        load_search(path, [])
    found = [p for p in caught.value.problems if message in p]
    assert found, caught.value.problems
    line = line_of(path.read_text(), blamed)
    assert any(p.startswith(f"tiny.yaml:{line}: ") for p in found), (line, found)
    assert all(len(problem.splitlines()) == 1 for problem in caught.value.problems)


def test_an_option_of_the_method_may_be_searched_beside_an_axis_of_methods(project):
    changes = {
        **space(method__kappa=PAIR),
        "grid": {"method": ["ei", {"name": "ei", "dale": False}]},
    }
    assert len(load_search(project.suite(**changes), []).studies) == 2


def test_a_space_that_one_method_of_several_has_not(project):
    changes = {**space(method__kappa=PAIR), "grid": {"method": ["ei", "batchnorm"]}}
    with pytest.raises(BadSuite) as caught:
        load_search(project.suite(**changes), [])
    (problem,) = caught.value.problems
    assert "search.space.method.kappa: unknown key" in problem


def test_nothing_is_left_to_search_for_one_method(project):
    changes = search(space={}, tune={"ei": {"method.kappa": PAIR}})
    with pytest.raises(BadSuite) as caught:
        load_search(project.suite(**changes, grid={"method": ["ei", "tdbn"]}), [])
    (problem,) = caught.value.problems
    assert "nothing is searched for tdbn" in problem


def test_nothing_is_left_to_search_under_settings(project):
    with pytest.raises(BadSuite, match="nothing is searched for ei"):
        load_search(project.suite(**search(), grid={}), [Override.read("--set", "train.lr=1")])


def test_a_wrong_setting_is_blamed_itself(project):
    with pytest.raises(BadSuite) as caught:
        load_search(project.suite(**search()), [Override.read("--set", "train.epochs=0")])
    (problem,) = caught.value.problems
    assert problem.startswith("--set train.epochs=0: ")


def test_problems_of_several_parameters_are_reported_together(project):
    wrong = {"seed": {"choices": [0, 1]}, "probe": {"choices": [0, 1]}, **SEARCH["space"]}
    path = project.suite(**search(space=wrong, seeds=[0]), grid={})
    with pytest.raises(BadSuite) as caught:
        load_search(path, [])
    assert len(caught.value.problems) == 3


# ---------------------------------------------------------------------------- tuned

TUNED: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{"where": {"method": "tdbn"}, "set": {"train.lr": 1}}], "  where:", "is for none of the su"),
    ([{"where": {"methd": "ei"}, "set": {"train.lr": 1}}], "    methd: ei", "did you mean 'method"),
    ([{"where": {}, "set": {"model.depth": 1}}], "    model.depth: 1", "is an axis of grid or zip"),
    ([{"where": {}, "set": {"model": {"depth": 1}}}], "      depth: 1", "is an axis of grid or z"),
    ([{"where": {}, "set": {"train.epoch": 1}}], "    train.epoch: 1", "did you mean 'epochs'?"),
    ([{"where": {}, "set": {"train.lr": 0}}], "    train.lr: 0", "must be above 0.0, not 0"),
    ([{"where": {}, "set": {}}], "  set: {}", "tuned[0].set: must not be empty"),
    ([{"where": {}}], "- where: {}", "tuned[0].set: is missing"),
    ([{"wher": {}, "set": {"train.lr": 1}}], "- wher: {}", "did you mean 'where'?"),
]


@pytest.mark.parametrize(("tuned", "blamed", "message"), TUNED)
def test_tuned_is_refused(project, tuned, blamed, message):
    path = project.suite(tuned=tuned)
    with pytest.raises(BadSuite) as caught:
        load_plan(path, [])
    found = [p for p in caught.value.problems if message in p]
    assert found, caught.value.problems
    line = line_of(path.read_text().replace("- where:", "  where:", 1) if blamed == "  where:"
                   else path.read_text(), blamed)  # fmt: skip
    assert any(p.startswith(f"tiny.yaml:{line}: ") for p in found), (line, found)


# ---------------------------------------------------------------------------- the command line


def refused(cli, project, *words):
    """The one message of a command that writes nothing."""
    before = project.files()
    done = cli(*words)
    assert done.code == 2, done
    assert project.files() == before
    assert "Traceback" not in done.out + done.err
    return done.errors or [done.err]


def test_run_says_what_a_suite_with_a_search_is_for(cli, project):
    path = project.suite(**search())
    (error,) = refused(cli, project, "run", path)
    assert error == f"{path}: this suite has a search; `eibench search {path}` runs it"


def test_search_says_what_a_suite_without_one_is_for(cli, project):
    path = project.suite()
    (error,) = refused(cli, project, "search", path)
    assert error == f"{path}: has no `search`; `eibench run {path}` runs it"


def test_probe_takes_the_networks_of_a_suite_with_a_search(cli, project):
    done = cli("probe", project.suite(**search()), "--dry-run")
    assert done.code == 0


@pytest.mark.parametrize("file", ["tuned.txt", "tuned", "a b.yaml", ".yaml", "-x.yaml", "ü.yaml"])
def test_exports_that_are_no_suite(cli, project, file):
    path = project.suite(**search())
    (error,) = refused(cli, project, "search", path, f"--export={file}")
    assert error.startswith(f"--export {file}: must be a file NAME.yaml")


@pytest.mark.parametrize("trials", ["0", "-1", "many", "1.5", "99999999999999999999"])
def test_trials_that_are_none(cli, project, trials):
    (error,) = refused(cli, project, "search", project.suite(**search()), f"--trials={trials}")
    assert "--trials" in error


@pytest.mark.parametrize("jobs", ["0", "-1", "x"])
def test_jobs_that_are_none(cli, project, jobs):
    (error,) = refused(cli, project, "search", project.suite(**search()), f"--jobs={jobs}")
    assert "--jobs" in error


def test_an_invalid_space_on_the_command_line(cli, project):
    path = project.suite(**lr(low=2, high=1), grid={})
    (error,) = refused(cli, project, "search", path)
    assert re.fullmatch(r"tiny\.yaml:\d+: search\.space\.train\.lr: low \(2\) must be .*", error)


def test_an_unknown_suite(cli, project):
    project.suite("suites/fair.yaml", **search())
    (error,) = refused(cli, project, "search", "fiar")
    assert "did you mean 'fair'?" in error


# ---------------------------------------------------------------------------- random mistakes

VALUES = st.sampled_from(
    [
        *(None, True, 0, 1, -1, 1.5, 10**30, float("inf"), float("nan"), "", "ei", "x", "\n"),
        *([], [[]], [1, 1], [1, 2], [{"name": "ei"}, "tdbn"], {}, {"": 1}, {"low": 1, "high": 2}),
        *({"choices": [1, {"lr": 2}]}, {"choices": [None, [1]]}, {"low": 1, "high": 10**25}),
        *([{"train.lr": 0.5}], [{"train.lr": [1], "x": {}}, {"model.depth": 10**400}]),
        *({"train.lr": {"choices": [1, 2]}}, {"ei": {"train.lr": {"low": 1, "high": 2}}}),
    ]
)
WHERE = st.sampled_from(
    [
        *("space", "tune", "trials", "minutes", "objectives", "sampler", "sampler_seed", "pruner"),
        *(
            "studies",
            "confirm",
            "enqueue",
            "seeds",
            "x",
            "space train.lr",
            "space train",
            "space method",
            "space model.depth",
        ),
        *("space train.lr low", "space train.lr high", "space train.lr log", "space train.lr step"),
        *("space train.lr choices", "space seed", "space ", "space train.lr.x", "space timesteps"),
        *("tune ei", "tune ei method.kappa", "tune x", "tune ei method", "space data", "space a.b"),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.lists(st.tuples(WHERE, VALUES), min_size=1, max_size=4))
def test_random_mistakes_are_messages(project, mistakes):
    section = copy.deepcopy(SEARCH)
    for where, value in mistakes:
        *above, last = where.split(" ")
        inner = section
        for key in above:
            inner[key] = inner[key] if isinstance(inner.get(key), dict) else {}
            inner = inner[key]
        inner[last] = copy.deepcopy(value)
    path = project.suite(grid={}, search=section)
    assert yaml.safe_load(path.read_text())["search"].keys() == section.keys()
    with contextlib.suppress(UserError):
        load_search(path, [])
