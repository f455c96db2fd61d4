"""Values of a run as Optuna's parameters, and back."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from eibench.plan.space import SearchParameter
from eibench.search.study import distribution, make_pruner, to_params, to_values

MAPPINGS = [{"name": "ei"}, {"name": "no_norm", "init": "xavier"}, "tdbn", [1, 2], None, 0.5]


@pytest.mark.parametrize("choice", MAPPINGS)
def test_a_choice_of_any_kind_comes_back(choice):
    space = {"method": SearchParameter(choices=MAPPINGS)}
    params = to_params({"method": choice})
    assert params["method"] in distribution(space["method"]).choices
    assert to_values(params, space) == {"method": choice}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (SearchParameter(low=1, high=4), FloatDistribution(1.0, 4.0)),
        (SearchParameter(low=1, high=4, log=True), FloatDistribution(1.0, 4.0, log=True)),
        (SearchParameter(low=1, high=4).whole(), IntDistribution(1, 4)),
        (SearchParameter(low=1, high=4, log=True).whole(), IntDistribution(1, 4, log=True)),
        (SearchParameter(low=1, high=6, step=2), IntDistribution(1, 5, step=2)),
        (SearchParameter(low=0.1, high=1, step=0.2), FloatDistribution(0.1, 0.9, step=0.2)),
        (SearchParameter(low=0, high=1, step=0.25), FloatDistribution(0, 1, step=0.25)),
        (
            SearchParameter(choices=[1, "a", {"b": 2}]),
            CategoricalDistribution([1, "a", '{"b": 2}']),
        ),
    ],
)
def test_distributions(known, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distribution(known) == expected


@given(st.integers(-20, 20), st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_steps_come_back_without_the_digits_that_adding_leaves(low, width, step, pick):
    known = SearchParameter(low=low / 10, high=(low + width + step) / 10, step=step / 10)
    points = [known.point(i) for i in range(known.count())]
    index = pick % len(points)
    noisy = min(max(known.low + index * known.step, known.low), known.high)
    assert to_values({"x": noisy}, {"x": known}) == {"x": points[index]}


@given(st.floats(0.001, 1000))
def test_a_number_is_rounded_where_it_is_drawn_alone(number):
    known = {"x": SearchParameter(low=0.001, high=1000)}
    assert to_values({"x": number}, known) == {"x": number}
    assert known["x"].rounded(number) == pytest.approx(number, rel=0.005)
    for other in (SearchParameter(low=0, high=1000, step=1), SearchParameter(choices=[number, 0])):
        assert other.rounded(number) == number


def test_values_come_in_the_order_of_the_space():
    space = {"b": SearchParameter(choices=[1, 2]), "a": SearchParameter(choices=[1, 2])}
    assert list(to_values({"a": 1, "b": 2}, space)) == ["b", "a"]


def test_a_value_is_not_taken_for_another_of_its_kind():
    space = {"x": SearchParameter(choices=[0.5, "0.5", None, "None"])}
    for choice in space["x"].choices:
        (found,) = to_values(to_params({"x": choice}), space).values()
        assert found == choice
        assert type(found) is type(choice)


@pytest.mark.parametrize(("name", "kind"), [("none", "NopPruner"), ("median", "MedianPruner")])
def test_pruners(name, kind):
    assert type(make_pruner(name, 9)).__name__ == kind
