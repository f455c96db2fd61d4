"""Mean, spread, paired tests and Holm's correction against numbers worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.report.model.statistics import compare, deviation, holm, mean, paired_p


def sample(*values):
    return dict(enumerate(values))


def test_mean_and_deviation():
    # (1, 2, 4): mean 7/3; squares of the deviations sum to 42/9; divided by n - 1 = 2
    assert mean(sample(1, 2, 4)) == pytest.approx(7 / 3)
    assert deviation(sample(1, 2, 4)) == pytest.approx(math.sqrt(42 / 9 / 2))


def test_too_few_numbers_have_no_mean_or_deviation():
    assert mean({}) is None
    assert deviation({}) is None
    assert deviation({0: 97.0}) is None


def test_paired_p():
    # differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3), and with 2 degrees of freedom
    # p = 1 - t / sqrt(2 + t^2)
    t = 2 * math.sqrt(3)
    p = paired_p(sample(11, 22, 33), sample(10, 20, 30))
    assert p == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_only_shared_seeds_are_paired():
    left, right = {0: 11, 1: 22, 2: 33, 7: 1000}, {2: 30, 1: 20, 0: 10, 8: -1000}
    assert paired_p(left, right) == paired_p(sample(11, 22, 33), sample(10, 20, 30))
    two_shared = {0: 1.0, 1: 2.0, 2: 4.0}, {1: 1.0, 2: 2.0, 3: 3.0}
    assert paired_p(*two_shared) is None


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ((97.1, 97.5, 96), (97.1, 97.5, 96), 1.0),
        ((97.1, 97.5, 96), (96.1, 96.5, 95), 0.0),
        ((0.1 + 0.2, 0.3, 0), (0.3, 0.3, 0), 1.0),  # zero up to rounding
        ((0, 0, 0), (0, 0, 0), 1.0),
    ],
)
def test_paired_p_of_equal_differences(a, b, p):
    assert paired_p(sample(*a), sample(*b)) == p


def test_holm():
    # ascending 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04, and the last may not fall
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_only_raises_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    by_p = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


def test_best_with_its_tie():
    rivals = {"a": sample(90, 91, 92), "b": sample(90.5, 90.4, 92.5), "c": sample(80, 81.1, 82)}
    found = compare(rivals, "higher")
    assert found.best == {"a", "b"}
    assert (found.tested, found.untested) == (2, 0)


def test_lower_can_be_better():
    assert compare({"a": sample(3, 3.1, 3.3), "b": sample(9, 9.3, 9.2)}, "lower").best == {"a"}


def test_the_correction_counts_all_rivals():
    # differences 2, 3, 4, 5: t = 3.5 / sqrt(5/3 / 4) = 5.42, and with 3 degrees of freedom
    # p = 1 - 2/pi (angle + sin angle cos angle) at angle = atan(t / sqrt 3): 0.0123
    strong, zero = sample(2, 3, 4, 5), sample(0, 0, 0, 0)
    angle = math.atan(3.5 / math.sqrt(5 / 12) / math.sqrt(3))
    p = 1 - 2 / math.pi * (angle + math.sin(angle) * math.cos(angle))
    assert paired_p(strong, zero) == pytest.approx(p)
    assert compare({"a": strong, "b": zero}, "higher").best == {"a"}
    many = {"a": strong, **{f"b{i}": zero for i in range(5)}}
    assert 5 * p > 0.05
    assert compare(many, "higher").best == many.keys()


def test_one_seed_has_a_best_and_no_test():
    found = compare({"a": {0: 9.0}, "b": {0: 8.9}, "c": {0: 9.0}}, "higher")
    assert found.best == {"a", "c"}
    assert (found.tested, found.untested) == (0, 2)


@pytest.mark.parametrize(
    "rivals",
    [{}, {"a": sample(1, 2)}, {"a": {}, "b": sample(1)}, {"a": sample(1, 2), "b": sample(2, 1)}],
)
def test_nothing_stands_out(rivals):
    assert compare(rivals, "higher").best == set()
