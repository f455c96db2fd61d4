"""Fieller's interval of a ratio of means, against hand-derived numbers and its definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from eibench.results.ratio import ratio


def sample(*values):
    return dict(enumerate(values))


def test_by_hand():
    """a = 90, b = 94, v_a = 1/3, v_b = 4/3, r = 45/47.

    The degrees of freedom are those of a - r b: v_a = 0.33333 and r² v_b = 1.22227 give
    1.55560² / (0.33333² / 2 + 1.22227² / 2) = 3.0153, and q = 3.1733 there, q² = 10.070. So
    (8836 - 13.426) r² - 16920 r + (8100 - 3.357) = 0, with the roots 0.95890 ± 0.04216.
    """
    found = ratio(sample(89.0, 90.0, 91.0), sample(92.0, 94.0, 96.0), 0.05)
    assert found.mean == pytest.approx(45 / 47)
    assert found.interval == pytest.approx((0.91674, 1.00107), abs=2e-5)


def test_a_control_that_may_be_0_has_no_bounded_interval():
    found = ratio(sample(9.0, 10.0, 11.0), sample(-1.0, 0.5, 2.0), 0.05)
    assert found.mean == pytest.approx(20)
    assert found.interval is None


def test_single_numbers_have_no_interval():
    found = ratio(sample(9.0), sample(3.0), 0.05)
    assert (found.mean, found.interval) == (3, None)


numbers = st.lists(st.floats(10, 20), min_size=3, max_size=8, unique=True)


@given(numbers, numbers)
def test_at_its_ends_the_hypothesis_is_just_rejected(above, below):
    """At r = low, high the t statistic of mean(a) - r mean(b) is the quantile."""
    found = ratio(sample(*above), sample(*below), 0.05)
    if found.interval is None:
        return
    assert found.interval[0] <= found.mean <= found.interval[1]
    n, m = len(above), len(below)
    a, b = sum(above) / n, sum(below) / m
    v = sum((x - a) ** 2 for x in above) / (n - 1) / n
    w = sum((x - b) ** 2 for x in below) / (m - 1) / m
    r = a / b
    freedom = (v + r * r * w) ** 2 / (v * v / (n - 1) + (r * r * w) ** 2 / (m - 1))
    for end in found.interval:
        statistic = abs(a - end * b) / math.sqrt(v + end * end * w)
        assert statistic == pytest.approx(t.ppf(0.975, freedom), rel=1e-6)


def test_of_a_control_without_spread_it_is_the_mean_s_interval_divided():
    """With v_b = 0 Fieller's interval is the t interval of the mean over b."""
    found = ratio(sample(9.0, 10.0, 11.0), sample(5.0, 5.0, 5.0), 0.05)
    half = t.ppf(0.975, 2) / math.sqrt(3)
    assert found.interval == pytest.approx(((10 - half) / 5, (10 + half) / 5))


@pytest.mark.parametrize("scale", [1e-99, 1e-40, 1e40, 1e99, -1e99])
def test_units_do_not_matter(scale):
    above, below = (1.0, 1.2, 1.1), (2.0, 2.4, 2.1)
    known = ratio(sample(*above), sample(*below), 0.05)
    found = ratio(sample(*(scale * x for x in above)), sample(*(scale * x for x in below)), 0.05)
    assert found.interval == pytest.approx(known.interval)
