"""Pairing by seed: only where seeds are seen to matter alike for rivals and control."""

import json

import pytest
from scipy.stats import ttest_ind, ttest_rel

from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.short_notes import short_notes
from eibench.results.statistics import Verdict

SEEDED = [90.0, 92.0, 88.0, 91.0, 93.0, 89.0, 90.5, 92.5, 91.5, 88.5, 89.5]
"""Accuracies of a control whose seeds matter."""
NOISE = [0.2, -0.1, 0.1, 0.0, -0.2, 0.1, -0.1, 0.0, 0.15, -0.15, 0.05]


def table_of(suite, metric="test_accuracy", **options):
    return make_pivots([suite.folder], metric, **options)[0]


def by_seed(make_suite, *shifts):
    """Return a suite in which rivals share the effect of the seed with the control."""
    suite = make_suite("paired", axes=["method"])
    suite.seeds(SEEDED, "batchnorm")
    for method, shift in zip(("ei", "no_norm"), shifts, strict=False):
        noise = NOISE if method == "ei" else NOISE[::-1]
        suite.seeds([x + shift + e for x, e in zip(SEEDED, noise, strict=True)], method)
    return suite


def test_paired_where_seeds_correlate(make_suite):
    table = table_of(by_seed(make_suite, 0.5, -0.5))
    assert table.paired
    assert table.pairing.pairs == 11
    found = table.differences[("ei",), ()]
    values = [SEEDED[i] + 0.5 + NOISE[i] for i in range(11)]
    known = ttest_rel(values, SEEDED).confidence_interval(1 - 0.05 / 2)  # Bonferroni of two
    assert found.interval == pytest.approx((known.low, known.high))
    assert table.verdict((("ei",), ())) is Verdict.BETTER
    welch = ttest_ind(values, SEEDED, equal_var=False).confidence_interval()
    assert welch.low < 0 < welch.high
    notes = " ".join(footnotes(table))
    assert "by the paired t distribution (Bonferroni's correction for those of one contr" in notes
    assert "Paired by seed: the correlation with the control over 11 shared seeds is 1.00" in notes
    assert json.loads(render([table], "json"))[0]["paired"] is True


def test_not_paired_where_they_do_not(make_suite):
    suite = make_suite("unpaired", axes=["method"])
    suite.seeds(SEEDED, "batchnorm")
    suite.seeds(SEEDED[3:] + SEEDED[:3], "ei")
    suite.seeds(SEEDED[5:] + SEEDED[:5], "no_norm")
    table = table_of(suite)
    assert not table.paired
    assert any(note.startswith("Not paired by seed: the correlation") for note in footnotes(table))


def test_too_few_shared_seeds_are_told(make_suite):
    """Two rivals of 5 seeds: those of their control, 4 degrees of freedom."""
    suite = make_suite("few", axes=["method"])
    for shift, method in enumerate(("batchnorm", "ei", "no_norm")):
        suite.seeds([*SEEDED[shift:5], *SEEDED[:shift]], method)
    table = table_of(suite)
    assert table.pairing is None
    told = "Not paired by seed: too few shared seeds to tell a correlation with the control."
    assert told in footnotes(table)


def test_the_same_computation_does_not_support_pairing(make_suite):
    """It correlates with the control as nothing else does."""
    suite = make_suite("same", axes=["method"], same=[["batchnorm", "tdbn"]])
    suite.seeds(SEEDED, "batchnorm")
    suite.seeds(SEEDED, "tdbn")
    assert table_of(suite).pairing is None
    suite.seeds(SEEDED[3:] + SEEDED[:3], "ei")
    assert table_of(suite).pairing.pairs == 11


def test_paired_differences_of_some_seeds_are_told(make_suite):
    """Rivals that ended under the worse seeds: a better difference beside a lower mean."""
    suite = make_suite("unfinished", axes=["method"])
    suite.seeds(SEEDED, "batchnorm")
    suite.seeds([x + 1 + e for x, e in zip(SEEDED, NOISE, strict=True)], "no_norm")
    low = sorted(range(11), key=SEEDED.__getitem__)[:5]
    for seed in range(11):
        if seed in low:
            suite.run(SEEDED[seed] + 0.5 + NOISE[seed], "ei", 4, seed)
        else:
            suite.plan("ei", 4, seed)
    table = table_of(suite)
    cell = table.cells[("ei",), ()]
    assert cell.mean < table.cells[("batchnorm",), ()].mean
    assert table.differences[("ei",), ()].mean > 0
    told = "A difference is over the seeds that both have, not that of the means shown."
    assert told in footnotes(table)
    assert ", over shared seeds." in " ".join(short_notes(table))
    assert told not in footnotes(table_of(by_seed(make_suite, 0.5, -0.5)))
