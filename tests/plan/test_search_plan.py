"""Meaning of a suite's `search`: its studies, their spaces, and the suite of the winners."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eibench.plan import Override
from eibench.plan.read_search import load_search
from eibench.plan.space import SearchParameter

LR = {"low": 0.01, "high": 1, "log": True}
SPACE = {"train.lr": LR}
PER_STEP = {"name": "batchnorm", "stats": "per_step"}
METHODS = {"method": ["ei", "batchnorm", PER_STEP]}


def points_of(known):
    """All values of a parameter, in order; None for a range without a step."""
    count = known.count()
    return None if count is None else [known.point(i) for i in range(count)]


def grid(study):
    return [study.grid_point(i) for i in range(study.grid_size())]


@pytest.fixture
def plan(project):
    """`plan("train.lr=1", ..., search={...})`: settings, changes to a suite with a search."""

    def load(*settings, trials=None, search=None, **changes):
        section = {"space": SPACE, "seeds": [1000], **(search or {})}
        path = project.suite(**{"grid": {}, "search": section, **changes})
        overrides = [Override.read("--set", text) for text in settings]
        return load_search(path, overrides, trials)

    return load


def names(plan):
    return [study.name for study in plan.studies]


def spaces(plan):
    return {study.name: list(study.space) for study in plan.studies}


# ---------------------------------------------------------------------------- arms


def test_without_axes_there_is_one_study(plan):
    made = plan()
    assert names(made) == ["ei"]
    assert made.studies[0].arm == {}
    assert made.axes == ()


def test_every_combination_of_the_grid_is_a_study(plan):
    made = plan(grid={"method": ["ei", "tdbn"], "model.depth": [1, 2]})
    assert names(made) == ["ei, depth 1", "ei, depth 2", "tdbn, depth 1", "tdbn, depth 2"]
    assert made.studies[1].arm == {"method": "ei", "model.depth": 2}
    assert made.axes == ("method", "model.depth")


def test_zip_is_taken_side_by_side(plan):
    made = plan(zip={"model.depth": [1, 2], "model.width": [4, 8]})
    assert [study.arm for study in made.studies] == [
        {"model.depth": 1, "model.width": 4},
        {"model.depth": 2, "model.width": 8},
    ]


def test_what_is_excluded_is_not_searched(plan):
    grid = {"method": ["ei", "tdbn"], "model.depth": [1, 2]}
    made = plan(grid=grid, exclude=[{"method": "ei", "model.depth": 2}])
    assert names(made) == ["ei, depth 1", "tdbn, depth 1", "tdbn, depth 2"]


def test_an_axis_of_one_value_tells_nothing_apart(plan):
    made = plan(grid={"method": ["ei"], "model.depth": [1, 2]})
    assert made.axes == ("model.depth",)
    assert names(made) == ["depth 1", "depth 2"]


def test_variants_of_a_method_are_arms_by_their_labels(plan):
    assert names(plan(grid=METHODS)) == ["ei", "batchnorm", "batchnorm-per_step"]


def test_names_are_unique_where_an_axis_is_a_mapping(plan):
    space = {"method.kappa": {"choices": [0, 1]}}
    made = plan(grid={"train": [{"lr": 0.5, "momentum": 0}, {"lr": 0.2}]}, search={"space": space})
    assert len(set(names(made))) == 2
    assert made.axes == ("train.lr",)  # which determines the momentum


# ---------------------------------------------------------------------------- spaces


def test_a_methods_own_space_stands_beside_the_common_one(plan):
    tune = {"ei": {"method.kappa": {"choices": [0, 1]}}}
    made = plan(grid=METHODS, search={"tune": tune})
    expected = {"ei": ["train.lr", "method.kappa"], "batchnorm": ["train.lr"]}
    assert spaces(made) == {**expected, "batchnorm-per_step": ["train.lr"]}


def test_by_name_for_all_variants_and_by_label_for_one(plan):
    tune = {
        "batchnorm": {"train.momentum": {"choices": [0, 0.9]}},
        "batchnorm-per_step": {"train.lr": {"choices": [1, 2]}},
    }
    made = plan(grid=METHODS, search={"tune": tune})
    by_name = {study.name: study.space for study in made.studies}
    assert list(by_name["batchnorm-per_step"]) == ["train.lr", "train.momentum"]
    assert by_name["batchnorm-per_step"]["train.lr"].choices == [1, 2]
    assert by_name["batchnorm"]["train.lr"].low == 0.01
    assert list(by_name["ei"]) == ["train.lr"]


def test_null_takes_a_key_out_for_one_variant(plan):
    """A preset is a variant, too: its method's own key is not its own."""
    kappa, relay = {"choices": [0, 1]}, {"low": 1, "high": 6, "log": True}
    tune = {
        "ei": {"method.kappa": kappa},
        "ei-blanket": {"method.kappa": None, "method.relay": relay},
        "batchnorm": {"train.lr": None, "train.momentum": {"choices": [0, 0.9]}},
    }
    methods = ["ei", {"name": "ei", "preset": "blanket"}, "batchnorm"]
    made = plan(grid={"method": methods}, search={"tune": tune})
    assert spaces(made) == {
        "ei": ["train.lr", "method.kappa"],
        "ei-blanket": ["train.lr", "method.relay"],
        "batchnorm": ["train.momentum"],
    }


def test_a_setting_takes_its_key_out_of_the_space(plan):
    search = {"space": {**SPACE, "train.momentum": {"choices": [0, 0.9]}}}
    made = plan("train.lr=0.5", search=search)
    assert spaces(made) == {"ei": ["train.momentum"]}
    assert made.studies[0].spec({"train.momentum": 0}, 7).train.lr == 0.5


def test_a_setting_of_a_whole_takes_out_what_lies_within(plan):
    search = {"space": {**SPACE, "method.kappa": {"choices": [0, 1]}}}
    assert spaces(plan("method=tdbn", search=search)) == {"tdbn": ["train.lr"]}


@pytest.mark.parametrize(
    ("key", "range_", "points"),
    [
        ("model.width", {"low": 4, "high": 7}, [4, 5, 6, 7]),  # takes whole numbers alone
        ("model.width", {"low": 4, "high": 9, "step": 2}, [4, 6, 8]),
        ("model.width", {"low": 2, "high": 4, "log": True}, [2, 3, 4]),
        ("train.warmup_epochs", {"low": 0, "high": 2}, [0, 1, 2]),
        ("train.lr", {"low": 1, "high": 4}, None),  # takes others
        ("train.lr", {"low": 1, "high": 4, "log": True}, None),
        ("train.lr", {"low": 1, "high": 4, "step": 1}, [1, 2, 3, 4]),
        ("timesteps", {"low": 1, "high": 3}, [1, 2, 3]),
        ("method.ei_ratio", {"low": 1, "high": 2}, [1, 2]),
    ],
)
def test_ranges_of_whole_numbers_are_found_by_what_the_field_accepts(plan, key, range_, points):
    (study,) = plan(search={"space": {key: range_}}, base={"train": {"epochs": 3}}).studies
    assert points_of(study.space[key]) == points


def test_corners_are_all_ends_alone_and_together(plan):
    space = {"train.lr": LR, "train.momentum": {"choices": [0, 0.5, 0.9]}}
    (study,) = plan(search={"space": space}).studies
    corners = study.corners()
    assert len(corners) == 2 + 3 + 2 * 3
    assert {"train.lr": 0.01} in corners
    assert {"train.lr": 1, "train.momentum": 0.5} in corners


def test_many_corners_are_tried_one_key_at_a_time(plan):
    keys = ["lr", "momentum", "weight_decay", "clip_norm"]
    keys = [f"train.{k}" for k in keys] + ["method.kappa", "method.weight_scale", "neuron.tau"]
    space = {key: {"low": 0.1, "high": 0.9} for key in keys[:-1]}
    space |= {keys[-1]: {"low": 1.5, "high": 3}}
    (study,) = plan(search={"space": space}).studies
    assert len(study.corners()) == 2 * 7  # 2^7 > 64


def test_the_base_is_the_start_where_it_lies_within(plan):
    space = {"train.lr": LR, "method.kappa": {"choices": [0, 1]}}
    (study,) = plan(search={"space": space}, base={"train": {"lr": 0.25}}).studies
    assert study.start() == {"train.lr": 0.25, "method.kappa": 1.0}


@pytest.mark.parametrize("lr", [0.001, 3])
def test_no_start_where_the_base_lies_outside(plan, lr):
    assert plan(base={"train": {"lr": lr}}).studies[0].start() is None


def test_grid_points_the_last_key_first(plan):
    space = {"train.lr": {"low": 0.1, "high": 0.3, "step": 0.1}, "train.momentum": {
        "choices": [0, 0.9]}}  # fmt: skip
    made = plan(search={"space": space, "sampler": "grid"})
    points = grid(made.studies[0])
    assert points[:3] == [
        {"train.lr": 0.1, "train.momentum": 0},
        {"train.lr": 0.1, "train.momentum": 0.9},
        {"train.lr": 0.2, "train.momentum": 0},
    ]
    assert made.trials == len(points) == 6


def test_a_smaller_grid_has_fewer_trials(plan):
    space = {"train.lr": {"choices": [0.1, 1]}}
    tune = {"ei": {"method.kappa": {"choices": [0, 0.5, 1]}}}
    grid = {"method": ["ei", "batchnorm"]}
    made = plan(search={"space": space, "tune": tune, "sampler": "grid"}, grid=grid)
    assert [made.budget(study) for study in made.studies] == [6, 2]
    assert plan(search={"space": space, "sampler": "grid"}, trials=9).trials == 2


# ---------------------------------------------------------------------------- budgets


def test_budgets(plan):
    assert plan().trials == 30
    assert plan(search={"trials": 7}).trials == 7
    assert plan(search={"trials": 7}, trials=9).trials == 9


# ---------------------------------------------------------------------------- runs of trials


def test_a_trial_sets_its_values_over_per_method(plan):
    made = plan(per_method={"ei": {"train.lr": 0.7}})
    assert made.studies[0].base.spec.train.lr == 0.7
    spec = made.studies[0].spec({"train.lr": 0.02}, 1000)
    assert (spec.train.lr, spec.seed) == (0.02, 1000)


def test_the_run_of_a_trial_keeps_the_methods_name(plan):
    (study,) = plan(search={"space": {"method.kappa": {"choices": [0, 1]}}}).studies
    run = study.run({"method.kappa": 0}, 1000)
    assert run.method == run.fields()["method"] == "ei"
    assert run.spec.method.kappa == 0
    assert run.run_id == run.spec.run_id
    assert study.run({"method.kappa": 1}, 1000).called is None


def test_a_choice_may_be_a_mapping(plan):
    variants = [{"name": "no_norm", "init": "xavier"}, {"name": "wta"}]
    (study,) = plan(search={"space": {"method": {"choices": variants}, **SPACE}}).studies
    assert study.spec({"train.lr": 0.1, "method": variants[0]}, 0).method.init == "xavier"
    assert study.spec({"train.lr": 0.1, "method": variants[1]}, 0).method.name == "wta"


def test_a_choice_is_made_before_what_lies_within_it(plan):
    space = {"model.width": {"choices": [4, 8]}, "model": {"choices": [
        {"name": "plain", "depth": 2}, {"name": "mlp", "depth": 1}]}}  # fmt: skip
    made = plan(search={"space": space})
    values = {"model.width": 8, "model": {"name": "mlp", "depth": 1}}
    (study,) = made.studies
    assert (study.spec(values, 0).model.name, study.spec(values, 0).model.width) == ("mlp", 8)
    (run,) = made.confirmation({"ei": values}).runs
    assert run.spec == study.spec(values, 0)


# ---------------------------------------------------------------------------- winners


def test_winners_are_clauses_in_place_of_the_search(plan):
    made = plan(grid={"method": ["ei", "tdbn"], "model.depth": [1, 2]})
    suite = made.tuned_suite({"tdbn, depth 2": {"train.lr": 0.2}})
    assert suite.search is None
    assert suite.tuned_by == "tiny"
    (clause,) = suite.tuned
    assert clause.where == {"method": "tdbn", "model.depth": 2}
    assert clause.set == {"train.lr": 0.2}


def test_confirming_runs_have_the_winners_values_under_fresh_seeds(plan):
    search = {"tune": {"ei": {"method.kappa": {"choices": [0, 1]}}}}
    made = plan(grid={"method": ["ei", "tdbn"]}, seeds=[0, 1], search=search)
    winners = {"ei": {"train.lr": 0.02, "method.kappa": 0}, "tdbn": {"train.lr": 0.5}}
    confirming = made.confirmation(winners)
    found = [(r.method, r.spec.train.lr, r.spec.seed) for r in confirming.runs]
    assert found == [("ei", 0.02, 0), ("tdbn", 0.5, 0), ("ei", 0.02, 1), ("tdbn", 0.5, 1)]
    assert {r.spec.method.kappa for r in confirming.runs if r.method == "ei"} == {0}
    assert confirming.tuned_by == "tiny"
    assert confirming.kind == "train"


@pytest.mark.parametrize("reverse", [False, True])
def test_each_variant_of_a_method_keeps_its_own_values(plan, reverse):
    """A clause for `batchnorm` is not one for `batchnorm-per_step`."""
    variants = ["batchnorm", PER_STEP]
    made = plan(grid={"method": variants[::-1] if reverse else variants})
    winners = {"batchnorm": {"train.lr": 0.02}, "batchnorm-per_step": {"train.lr": 0.5}}
    found = {run.method: run.spec.train.lr for run in made.confirmation(winners).runs}
    assert found == {"batchnorm": 0.02, "batchnorm-per_step": 0.5}


def test_arms_without_a_winner_are_not_confirmed(plan):
    made = plan(grid={"method": ["ei", "tdbn"]})
    assert [r.method for r in made.confirmation({"tdbn": {"train.lr": 0.5}}).runs] == ["tdbn"]


def test_settings_hold_in_the_confirming_runs_too(plan):
    made = plan("train.momentum=0.5", "model.depth=2", grid={"model.depth": [1, 2]})
    (run,) = made.confirmation({"ei": {"train.lr": 0.5}}).runs
    assert (run.spec.train.momentum, run.spec.train.lr, run.spec.model.depth) == (0.5, 0.5, 2)


def test_the_base_plan_has_the_arms_before_tuning(plan):
    made = plan(grid=METHODS)
    assert [run.method for run in made.base_plan().runs] == names(made)


# ---------------------------------------------------------------------------- parameters

ends = st.tuples(
    st.floats(1e-6, 1e6, allow_nan=False), st.floats(1e-6, 1e6, allow_nan=False)
).filter(lambda pair: pair[0] < pair[1])


@given(ends, st.floats(0, 1))
def test_a_rounded_number_stays_within(pair, share):
    low, high = pair
    known = SearchParameter(low=low, high=high)
    value = min(max(low + share * (high - low), low), high)
    assert low <= known.rounded(value) <= high
    assert known.holds(known.rounded(value))
    assert abs(known.rounded(value) - value) <= 0.005 * value


@given(
    st.integers(-50, 50),
    st.integers(1, 80),
    st.integers(1, 20),
    st.sampled_from([1, 0.5, 0.1, 0.01]),
)
def test_points_lie_within_start_at_low_and_are_steps_apart(low, width, step, unit):
    low, high, step = low * unit, (low + max(width, step)) * unit, step * unit
    known = SearchParameter(low=low, high=high, step=step)
    points = points_of(known)
    assert points[0] == pytest.approx(low)
    assert all(low - 1e-9 <= point <= high + 1e-9 for point in points)
    assert points[-1] + step > high - 1e-9  # none is left out
    gaps = [b - a for a, b in itertools.pairwise(points)]
    assert gaps == pytest.approx([step] * len(gaps))
    assert all(known.holds(point) for point in points)
    assert set(known.ends()) <= set(points)


@given(st.lists(st.integers() | st.text() | st.none(), min_size=2, unique=True))
def test_choices_are_points_and_held(choices):
    known = SearchParameter(choices=choices)
    assert points_of(known) == known.ends() == choices
    assert all(known.holds(choice) for choice in choices)
    assert not known.holds(math.pi)


@pytest.mark.parametrize("value", [0.05, 11, "1", None, True, [1]])
def test_a_range_does_not_hold(value):
    assert not SearchParameter(low=0.1, high=10).holds(value)


def test_words():
    assert SearchParameter(low=0.01, high=1, log=True).words() == "0.01 to 1 (log)"
    assert SearchParameter(low=1, high=8, step=1).words() == "1 to 8 in steps of 1"
    assert SearchParameter(choices=["a", None, {"name": "ei"}]).words() == "a, None, {'name': 'ei'}"


def test_to_dict_says_all(plan):
    assert SearchParameter(choices=[1, "a"]).to_dict() == {"choices": [1, "a"]}
    described = {"low": 1, "high": 8, "log": False, "step": 1}
    assert SearchParameter(low=1, high=8, step=1).to_dict() == described


def test_a_parameter_is_frozen():
    with pytest.raises(ValidationError):
        SearchParameter(choices=[1, 2]).low = 3
