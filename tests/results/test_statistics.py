"""Intervals, verdicts and pairing against numbers worked out by hand, tables and simulation."""

import math

import interval_coverage
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import dunnett, t, ttest_ind, ttest_rel

from eibench.results.cells import most_guessed
from eibench.results.dunnett import _quantile, quantile
from eibench.results.statistics import (
    Difference,
    Verdict,
    deviation,
    difference,
    differences,
    mean_interval,
    pairing,
)

VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=8)


def sample(*values):
    return dict(enumerate(values))


def test_deviation():
    # (1, 2, 4): mean 7/3; squares of the deviations sum to 42/9; divided by n - 1 = 2
    assert deviation(sample(1, 2, 4)) == pytest.approx(math.sqrt(42 / 9 / 2))


def test_too_few_numbers_have_no_deviation_or_interval():
    assert deviation({}) is None
    assert deviation({0: 97.0}) is None
    assert mean_interval({0: 97.0}) is None


def test_interval_of_a_mean():
    # (1, 2, 3): deviation 1, error 1/sqrt(3), and t at 2 degrees of freedom is 4.3027
    low, high = mean_interval(sample(1, 2, 3))
    assert (low, high) == pytest.approx(
        (2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), 1e-4
    )


def test_welch_by_hand():
    # variances 1 and 4, n = 3: error sqrt(5/3); df = (1/3 + 4/3)^2 / ((1/9 + 16/9) / 2) = 50/17
    found = difference(sample(10, 11, 12), sample(0, 2, 4))
    assert found.mean == 9
    assert found.error == pytest.approx(math.sqrt(5 / 3))
    assert found.df == pytest.approx(50 / 17)
    assert found.interval[0] == pytest.approx(9 - t.isf(0.025, 50 / 17) * math.sqrt(5 / 3))


@given(VALUES, VALUES)
def test_welch_is_scipys(a, b):
    found = difference(sample(*a), sample(*b))
    if found.interval is None or found.error < 1e-6:
        return
    known = ttest_ind(a, b, equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((known.low, known.high), rel=1e-6, abs=1e-6)


# two-sided 5 % points of Dunnett (1964), tables IIa: rivals, degrees of freedom, quantile
TABLE = [(2, 5, 3.03), (3, 5, 3.29), (3, 20, 2.54), (5, 10, 2.99), (4, 20, 2.65), (4, 60, 2.51)]


@pytest.mark.parametrize(("k", "df", "expected"), TABLE)
def test_quantiles_are_those_of_dunnetts_tables(k, df, expected):
    assert quantile(df, [0.5] * k) == pytest.approx(expected, abs=0.006)


def test_many_comparisons_share_their_quantiles():
    """Rounded df and shares make a quantile that is larger, and hardly so."""
    rough = quantile(7.34, [0.491, 0.515] * 20)
    exact = _quantile(7.34, ((0.491, 20), (0.515, 20)))
    assert exact < rough < 1.01 * exact
    control = sample(0.0, 1.0, 2.0)
    rivals = {i: sample(0.0, 1.0, 2.0 + i / 100) for i in range(1, 200)}
    before = _quantile.cache_info().misses
    assert len(differences(control, rivals)) == 199
    assert _quantile.cache_info().misses - before < 20


def test_pooled_intervals_are_scipys():
    generator = np.random.default_rng(0)
    groups = [generator.normal(size=n) + i for i, n in enumerate((5, 5, 4, 6))]
    control, *rivals = (sample(*map(float, group)) for group in groups)
    found = differences(control, dict(enumerate(rivals)), pooled=True)
    known = dunnett(*groups[1:], control=groups[0], rng=1).confidence_interval()
    for i, one in found.items():  # scipy integrates by sampling
        assert one.interval == pytest.approx((known.low[i], known.high[i]), abs=5e-3)


def test_intervals_of_several_lie_between_one_comparison_and_bonferroni():
    control, rivals = sample(1, 2, 4), {"a": sample(2, 5, 3), "b": sample(9, 7, 5)}
    together = differences(control, rivals)
    for key, rival in rivals.items():
        alone = difference(rival, control)
        bonferroni = t.isf(0.0125, alone.df)
        assert alone.critical < together[key].critical < bonferroni
        assert together[key].mean == alone.mean


def test_paired_by_hand():
    # differences 1, 2, 3: mean 2, deviation 1
    control, rival = {0: 10, 1: 20, 2: 30, 8: -1000}, {2: 33, 1: 22, 0: 11, 7: 1000}
    found = differences(control, {"a": rival}, paired=True)["a"]
    assert (found.mean, found.df, found.spread) == (2, 2, 1)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    p = ttest_rel([11, 22, 33], [10, 20, 30]).pvalue
    assert 2 * t.sf(found.mean / found.error, found.df) == pytest.approx(p)


@pytest.mark.parametrize(
    ("rival", "control"),
    [
        (sample(97.1, 97.5, 96), sample(97.1, 97.5, 96)),  # the same computation
        (sample(10, 10, 10), sample(12, 12, 12)),  # no spread at all
        (sample(10), sample(12)),  # one seed
        (sample(0.1 + 0.2, 0.3), sample(0.3, 0.3)),  # equal but for rounding
    ],
)
def test_nothing_is_said_without_a_spread(rival, control):
    found = difference(rival, control)
    assert found.interval is None or abs(found.mean) == 0
    assert found.interval or found.verdict("higher", margin=1) == Verdict.UNDECIDED


def test_samples_without_numbers_have_no_difference():
    assert differences({}, {"a": sample(1, 2)}) == {}
    assert differences(sample(1, 2), {"a": {}}) == {}
    assert differences({0: 1.0}, {"a": {1: 2.0}}, paired=True) == {}


@pytest.mark.parametrize(
    ("low", "high", "better", "verdict"),
    [
        (0.1, 3, "higher", Verdict.BETTER),
        (0.1, 3, "lower", Verdict.WORSE),
        (-3, -0.1, "higher", Verdict.WORSE),
        (-3, -0.1, None, Verdict.LOWER),
        (0.1, 3, None, Verdict.HIGHER),
        (-0.9, 0.99, "higher", Verdict.EQUIVALENT),
        (-0.9, 1.01, "higher", Verdict.UNDECIDED),
        (-1.1, 0.5, "higher", Verdict.UNDECIDED),
    ],
)
def test_verdicts(low, high, better, verdict):
    found = Difference((low + high) / 2, (high - low) / 4, 8, 2.0)
    assert found.interval == pytest.approx((low, high))
    assert found.verdict(better, margin=1) == verdict


def test_without_a_margin_nothing_is_equivalent():
    assert Difference(0.0, 0.001, 8, 2.0).verdict("higher") == Verdict.UNDECIDED


def spread(n, centre):
    """Return n (even) numbers of mean `centre` and standard deviation 1."""
    return sample(*[centre + x * math.sqrt((n - 1) / n) for x in (-1, 1) * (n // 2)])


def test_needed_seeds_decide():
    """With as many seeds as are named, of the same mean and spread, the verdict falls."""
    n = difference(spread(4, 2.0), spread(4, 1.5)).needed()
    n += n % 2
    assert difference(spread(n, 2.0), spread(n, 1.5)).excludes_zero
    assert not difference(spread(n - 2, 2.0), spread(n - 2, 1.5)).excludes_zero


@pytest.mark.parametrize(("ours", "theirs"), [(2, 8), (8, 2), (4, 6), (4, 4)])
def test_needed_seeds_are_those_of_equal_sides(ours, theirs):
    """With n on both sides the error is sqrt((1 + 9)/n), and df (n - 1) 10^2 / (1^2 + 9^2)."""
    control = sample(*(3 * x for x in spread(theirs, 0.0).values()))
    rival = spread(ours, 2.0)
    n = difference(rival, control).needed()
    half = [t.isf(0.025, (m - 1) * 100 / 82) * math.sqrt(10 / m) for m in (n - 1, n)]
    assert half[1] < 2 <= half[0]


def test_needed_seeds_of_pooled_samples():
    """Five numbers of one side, a single one of the other; with n on both the df are 2 (n - 1)."""
    control = sample(-2.0, -1.0, 0.0, 1.0, 2.0)  # variance 2.5
    found = differences(control, {"a": sample(3.0)}, pooled=True)["a"]
    half = [t.isf(0.025, 2 * (m - 1)) * math.sqrt(5 / m) for m in range(2, 20)]
    assert found.needed() == 2 + [h < 3 for h in half].index(True)


def test_needed_seeds_for_equivalence():
    found = difference(sample(1.0, 2.0, 3.0), sample(1.0, 2.0, 3.01))
    assert found.needed() is None  # some hundred thousand
    # deviations 1: t sqrt(2/n) is 2.120 x 0.471 = 0.9994 at n = 9, 2.101 x 0.447 = 0.940 at 10
    assert found.needed(margin=1) == 10


def test_pairing_is_advised_where_seeds_correlate():
    generator = np.random.default_rng(1)
    shared = [{s: float(x) for s, x in enumerate(generator.normal(size=5))} for _ in range(12)]
    alike = [(one, [{s: x + 0.1 * generator.normal() for s, x in one.items()}]) for one in shared]
    unlike = [(one, [{s: float(generator.normal()) for s in one}]) for one in shared]
    assert pairing(alike).helps
    assert pairing(alike).correlation > 0.9
    assert not pairing(unlike).helps
    assert pairing(unlike[:2]) is None
    # paired t at 4 degrees of freedom is 2.776, Welch's at 8 is 2.306
    assert pairing(alike).least == pytest.approx(1 - (2.306 / 2.776) ** 2, abs=1e-3)


def test_rivals_of_one_control_count_as_one_correlation():
    """Whatever number of variants resemble each other, the control's five seeds are five."""
    control = sample(1.0, 3.0, 2.0, 5.0, 4.0)
    variants = [{s: x + 0.01 * i * s for s, x in control.items()} for i in range(1, 9)]
    assert pairing([(control, variants)]) is None
    others = [{s: x + 10 for s, x in control.items()}, sample(2.0, 1.0, 3.0, 4.0, 5.0)]
    found = pairing([(control, others)] * 3)  # correlations 1 and 0.6
    assert (found.correlation, found.pairs) == (pytest.approx(0.8), 15)


def test_a_twin_adds_no_degrees_of_freedom():
    control, rival = sample(1.0, 2.0, 4.0), sample(3.0, 5.0, 4.0)
    alone = differences(control, {"a": rival}, pooled=True)["a"]
    twins = differences(control, {"a": rival, "b": dict(rival)}, pooled=True)["a"]
    assert alone.df == twins.df == 4


def test_guesses():
    # 360 images of ten classes: P(more than 54) = 0.00125, P(more than 55) = 0.0008
    assert most_guessed(360, 10) == pytest.approx(100 * 55 / 360)
    assert most_guessed(10_000, 10) == pytest.approx(10.94, abs=0.02)
    assert most_guessed(20, 2) == 85


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("spreads", ["all equal", "control's 3 times", "one rival's 3 times"])
def test_intervals_and_verdicts_err_at_their_stated_rate(n, spreads):
    repeats = 1000
    rates = interval_coverage.simulate(n, interval_coverage.SPREADS[spreads], repeats)
    error = 3 * math.sqrt(0.05 * 0.95 / repeats)  # of the simulation
    assert 0.94 - error < rates.one < 0.97 + error
    assert 0.94 - error < rates.table < 0.97 + error
    assert rates.equivalent < 0.025 + error
    if spreads == "all equal":
        assert 0.95 - error < rates.pooled < 0.95 + error


@pytest.mark.slow
def test_intervals_do_not_hold_where_seeds_fail():
    """No run of 3 fails in (9 / 10)^3 = 73 % of samples, whose intervals then miss the truth."""
    assert interval_coverage.simulate_failing(3, 0.0, 500) > 0.92
    assert interval_coverage.simulate_failing(3, 0.1, 500) == pytest.approx(1 - 0.9**3, abs=0.06)
