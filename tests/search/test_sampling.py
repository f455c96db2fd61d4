"""Values of a run as Optuna's parameters, and back."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from eibench.plan.space import Parameter
from eibench.search.sampling import distribution, make_pruner, make_sampler, to_params, to_values

MAPPINGS = [{"name": "ei"}, {"name": "no_norm", "init": "xavier"}, "tdbn", [1, 2], None, 0.5]


@pytest.mark.parametrize("choice", MAPPINGS)
def test_a_choice_of_any_kind_comes_back(choice):
    space = {"method": Parameter(choices=MAPPINGS)}
    params = to_params({"method": choice})
    assert distribution(space["method"])._contains(
        distribution(space["method"]).to_internal_repr(params["method"])
    )
    assert to_values(params, space) == {"method": choice}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Parameter(low=1, high=4), FloatDistribution(1.0, 4.0)),
        (Parameter(low=1, high=4, log=True), FloatDistribution(1.0, 4.0, log=True)),
        (Parameter(low=1, high=4).whole(), IntDistribution(1, 4)),
        (Parameter(low=1, high=4, log=True).whole(), IntDistribution(1, 4, log=True)),
        (Parameter(low=1, high=6, step=2), IntDistribution(1, 5, step=2)),
        (Parameter(low=0.1, high=1, step=0.2), FloatDistribution(0.1, 0.9, step=0.2)),
        (Parameter(low=0, high=1, step=0.25), FloatDistribution(0, 1, step=0.25)),
        (Parameter(choices=[1, "a", {"b": 2}]), CategoricalDistribution([1, "a", '{"b": 2}'])),
    ],
)
def test_distributions(known, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distribution(known) == expected


@given(st.integers(-20, 20), st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_steps_come_back_without_the_digits_that_adding_leaves(low, width, step, pick):
    known = Parameter(low=low / 10, high=(low + width + step) / 10, step=step / 10)
    points = [known.point(i) for i in range(known.count())]
    index = pick % len(points)
    noisy = min(max(known.low + index * known.step, known.low), known.high)
    assert to_values({"x": noisy}, {"x": known}) == {"x": points[index]}


@given(st.floats(0.001, 1000))
def test_a_drawn_number_is_rounded_and_a_given_one_is_not(number):
    known = {"x": Parameter(low=0.001, high=1000)}
    assert to_values({"x": number}, known) == {"x": known["x"].rounded(number)}
    assert to_values({"x": number}, known, drawn=False) == {"x": number}


def test_values_come_in_the_order_of_the_space():
    space = {"b": Parameter(choices=[1, 2]), "a": Parameter(choices=[1, 2])}
    assert list(to_values({"a": 1, "b": 2}, space)) == ["b", "a"]


def test_a_value_is_not_taken_for_another_of_its_kind():
    space = {"x": Parameter(choices=[0.5, "0.5", None, "None"])}
    for choice in space["x"].choices:
        (found,) = to_values(to_params({"x": choice}), space).values()
        assert found == choice
        assert type(found) is type(choice)


@pytest.mark.parametrize(("trials", "startup"), [(3, 4), (12, 4), (18, 6), (30, 10), (500, 10)])
def test_random_trials_before_the_sampler_has_something_to_go_by(trials, startup):
    assert make_sampler("tpe", 0, trials)._n_startup_trials == startup


@pytest.mark.parametrize(
    ("name", "epochs", "kind"),
    [("none", 9, "Nop"), ("median", 1, "Median"), ("median", 9, "Median"), ("hyperband", 1, "Hyp")],
)
def test_pruners(name, epochs, kind):
    assert type(make_pruner(name, epochs, 10)).__name__.startswith(kind)
