"""Differences to a suite's control: where there are any, verdicts in words, and the margin."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from scipy.stats import dunnett, t, ttest_ind

from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.results.statistics import Verdict

EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"


def table_of(suite, metric="test_accuracy", **options):
    return make_pivots([suite.folder], metric, **options)[0]


def words_of(suite, **options):
    """Return the verdict in words by the values of row and column."""
    (table,) = json.loads(render([table_of(suite, **options)], "json"))
    markdown = render([table_of(suite, **options)], "markdown")
    assert len(table["cells"]) > 1
    lines = [re.split(r" *\| *", line.strip("| ")) for line in markdown.splitlines() if "|" in line]
    return {line[0]: re.sub(r".*\]\s*|^[-+][0-9.]+\s*", "", line[2]) for line in lines[2:]}


@pytest.fixture
def three(make_suite):
    """Batch norm, E-I and no norm under three seeds."""

    def make(**plan):
        suite = make_suite("three", axes=["method"], **plan)
        suite.seeds([90, 91, 92], "batchnorm")
        suite.seeds([90.5, 91.5, 92.0], "ei")
        suite.seeds([70, 72, 71], "no_norm")
        return suite

    return make


# ------------------------------------------------------------------------- which control


@pytest.mark.parametrize(
    ("plan", "options", "control"),
    [
        ({}, {}, "batchnorm"),  # as plans written before there were controls
        ({"control": "batchnorm"}, {}, "batchnorm"),
        ({"control": "no_norm"}, {}, "no_norm"),
        ({"control": "no_norm"}, {"against": "ei"}, "ei"),
        ({"control": None}, {}, None),
        ({"control": "tdbn"}, {}, None),  # no run of the suite
        ({}, {"against": "none"}, None),
        ({"control": None}, {"against": "ei"}, "ei"),
    ],
)
def test_the_control(three, plan, options, control):
    table = table_of(three(**plan), **options)
    assert table.layout.reference == (None if control is None else ("method", control))
    compared = {row[0] for row, _ in table.differences}
    assert compared == ({"batchnorm", "ei", "no_norm"} - {control} if control else set())
    (values,) = json.loads(render([table], "json"))
    assert values["control"] == control
    assert all(("difference" in cell) == bool(control) for cell in values["cells"])


def test_one_seed_and_one_method_have_no_control(make_suite):
    one = make_suite("one", axes=["method"])
    one.run(90, "batchnorm")
    one.run(91, "ei")
    assert table_of(one).layout.reference is None
    assert table_of(one, against="ei").differences
    alone = make_suite("alone", axes=["method"])
    alone.seeds([90, 91], "batchnorm")
    assert table_of(alone).layout.reference is None


def test_probes_have_a_control_on_request_alone(propagation):
    assert table_of(propagation, None).layout.reference is None
    assert table_of(propagation, None, rows=["layer"]).layout.reference is None
    table = table_of(propagation, None, rows=["layer"], against="ei", pooled=True)
    found = table.differences[(1,), ("no_norm", 3)]
    assert found.mean == -15  # 10 and 20 for E-I
    # one variance of all that has a number: 50 of 1 df, none of no norm, no df of batch norm alone
    assert (found.df, found.error) == (2, pytest.approx(5))
    notes = footnotes(table)
    assert any("(one variance for all)" in note for note in notes)
    assert not any(note.startswith("The `ei` run has no number") for note in notes)


def test_a_condition_without_the_control(suite):
    for depth in (4, 16):
        suite.seeds([80, 82], "ei", depth)
    suite.seeds([90, 92], "batchnorm", 4)
    table = table_of(suite)
    assert list(table.differences) == [(("ei",), (4,))]
    for form in ("table", "markdown", "latex", "csv", "json"):
        assert render([table], form)


@pytest.mark.parametrize("rows", [["train.lr"], ["method", "train.lr"], ["model.depth"]])
def test_fields_that_a_method_determines_leave_nothing_to_compare(make_suite, rows):
    suite = make_suite("rates", axes=["method", "train.lr", "model.depth"])
    for method, rate in (("batchnorm", 0.3), ("ei", 0.1)):
        suite.seeds([90, 91], method, train={"lr": rate})
    table = table_of(suite, rows=rows)
    said = "No other cell is like one of `batchnorm` in all else, so there are no differences."
    assert (said in footnotes(table)) == ("train.lr" in rows) == (not table.differences)
    assert render([table], "table")


def test_rows_of_two_fields_and_methods_in_columns(depth_scaling):
    down = table_of(depth_scaling).differences
    nested = table_of(depth_scaling, rows=["method", "model.depth"], columns=[]).differences
    assert {(row[:1], row[1:]): one for (row, _), one in nested.items()} == down
    across = table_of(depth_scaling, rows=["model.depth"]).differences
    assert {(column, row): one for (row, column), one in across.items()} == down


def test_seeds_in_columns_are_named_once(depth_scaling):
    table = table_of(depth_scaling, columns=["model.depth", "seed"])
    assert "The `batchnorm` run has no number under: seed 2, depth 16." in footnotes(table)


# ------------------------------------------------------------------------------- verdicts


def test_verdicts_and_how_many_seeds_would_decide(three):
    suite = three()
    table = table_of(suite)
    assert table.verdict((("no_norm",), ())) is Verdict.WORSE
    assert table.verdict((("ei",), ())) is Verdict.UNDECIDED
    assert words_of(suite)["no_norm"] == "worse"
    (needed,) = re.findall(r"undecided \((\d+) seeds\)", words_of(suite)["ei"])
    assert int(needed) > 3
    rows = {r["method"]: r for r in csv.DictReader(io.StringIO(render([table], "csv")))}
    assert (rows["ei"]["verdict"], rows["ei"]["seeds_needed"]) == ("undecided", needed)
    assert rows["no_norm"]["verdict"] == "worse"


def test_a_metric_of_no_direction_is_higher_or_lower(make_suite):
    suite = make_suite("rates", axes=["method"])
    for seed, rate in enumerate([0.10, 0.11, 0.12]):
        suite.run(90, "batchnorm", seed=seed, result={"firing_rate": rate})
        suite.run(90, "ei", seed=seed, result={"firing_rate": rate + 0.2})
    assert words_of(suite, metric="firing_rate")["ei"] == "higher"
    notes = footnotes(table_of(suite, "firing_rate"))
    assert any(note.startswith("Higher, lower: the interval excludes 0;") for note in notes)


def test_a_lower_loss_is_better(make_suite):
    suite = make_suite("losses", axes=["method"])
    for seed, loss in enumerate([0.10, 0.11, 0.12]):
        suite.run(90, "batchnorm", seed=seed, result={"test_loss": loss})
        suite.run(90, "ei", seed=seed, result={"test_loss": loss + 0.2})
    assert words_of(suite, metric="test_loss")["ei"] == "worse"


def test_equivalence_needs_a_margin(make_suite):
    control, alike, close = [90.0, 90.4, 90.2], [90.1, 90.5, 90.2], [90.9, 91.3, 91.1]
    ends = ttest_ind(alike, control, equal_var=False).confidence_interval()
    assert -1 < ends.low < 0 < ends.high < 1
    ends = ttest_ind(close, control, equal_var=False).confidence_interval()
    assert 0 < ends.low < ends.high < 1.5
    for margin, said in ((None, "undecided"), (0.1, "undecided"), (1.5, "equivalent")):
        suite = make_suite(f"m{margin}".replace(".", "_"), axes=["method"], margin=margin)
        suite.seeds(control, "batchnorm")
        suite.seeds(alike, "ei")
        suite.seeds(close, "no_norm")
        words, table = words_of(suite), table_of(suite)
        assert words["ei"].startswith(said)
        assert words["no_norm"] == ("better, within margin" if margin == 1.5 else "better")
        assert json.loads(render([table], "json"))[0]["margin"] == margin
        (rule,) = [note for note in footnotes(table) if note.startswith("Better, worse")]
        assert (
            (f"equivalent: it lies within ±{margin:g};" in rule)
            if margin
            else ("No margin" in rule)
        )
        assert table_of(suite, "seconds").margin is None  # it is one of accuracies


def test_no_verdict_beside_failed_runs(make_suite):
    suite = make_suite("failing", axes=["method"], margin=5)
    suite.seeds([90, 91, 92], "batchnorm")
    suite.seeds([70, 71], "ei")
    suite.fail("diverged", "nan", "ei", seed=2)
    suite.seeds([70, 71], "no_norm")
    suite.plan("no_norm", seed=2)
    words = words_of(suite)
    assert (words["ei"], words["no_norm"]) == ("runs failed", "worse")  # the last is yet to run
    table = table_of(suite)
    assert table.verdict((("ei",), ())) is None
    assert "Runs failed: no verdict from the mean of those that are left." in footnotes(table)


def test_the_same_computation_is_equal_and_no_comparison_more(depth_scaling):
    table = table_of(depth_scaling)
    found = table.differences[("ei",), (4,)]
    assert found.critical == pytest.approx(t.isf(0.025, found.df))  # one interval, not two
    assert not any("Dunnett" in note for note in footnotes(table))
    assert table.differences[("tdbn",), (4,)].interval is None


def test_pooled_intervals_are_dunnetts(three, cli):
    suite = three()
    known = dunnett([90.5, 91.5, 92], [70, 72, 71], control=[90, 91, 92], rng=0)
    known = known.confidence_interval()
    done = cli("report", suite.folder, "--pooled", "--format", "json")
    cells = {cell["row"]["method"]: cell for cell in json.loads(done.out)[0]["cells"]}
    for i, method in enumerate(("ei", "no_norm")):
        ends = (cells[method]["difference_low"], cells[method]["difference_high"])
        assert ends == pytest.approx((known.low[i], known.high[i]), abs=0.02)
    text = " ".join(cli("report", suite.folder, "--pooled").out.split())
    assert "(one variance for all); those of one control hold together (Dunnett)" in text


def test_pooled_with_a_single_seed(three, recwarn):
    suite = three()
    suite.run(91, "tdbn")
    found = table_of(suite, pooled=True).differences[("tdbn",), ()]
    assert found.interval is not None
    assert found.needed() is None or found.needed() > 1
    assert "undecided" in words_of(suite, pooled=True)["tdbn"]
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_against_none_through_the_command_line(three, cli):
    out = cli("report", three().folder, "--against", "none", "--format", "csv").out
    assert "difference" not in out
    assert "batchnorm" in out


def test_many_runs_of_the_control_without_a_number_are_counted(make_suite):
    suite = make_suite("many", axes=["method", "model.depth"])
    for depth in (4, 8, 16):
        suite.seeds([90, 91, 92], "ei", depth=depth)
        for seed in range(3):
            suite.fail("error", "x", "batchnorm", depth=depth, seed=seed)
    assert "Of the `batchnorm` runs, 9 of 9 have no number." in footnotes(table_of(suite))


def test_an_interval_that_excludes_0_does_not_read_as_if_it_held_0(make_suite):
    """Deviations 1, n = 2: error 1, df 2, 4.303 to either side of a difference of 4.33."""
    suite = make_suite("near", axes=["method"])
    half = 0.5**0.5
    suite.seeds([90 - half, 90 + half], "batchnorm")
    suite.seeds([94.33 - half, 94.33 + half], "ei")
    assert "+4.33 [+0.03, +8.63]" in render([table_of(suite)], "markdown").replace("\xa0", " ")


def test_a_difference_below_the_digits_of_the_metric_is_shown(make_suite):
    """Deviations 5e-7 of each side, n = 2: 4.303 errors of 7.1e-7 to either side of 1e-4."""
    suite = make_suite("near", axes=["method"])
    suite.seeds([90, 90.000001], "batchnorm")
    suite.seeds([90.0001, 90.000101], "ei")
    cells = render([table_of(suite)], "markdown").replace("\xa0", " ")
    assert "+0.0001 [+0.0001, +0.0001] better" in cells


def test_differences_of_small_numbers_have_significant_digits():
    """Gradients of a probe are far below 0.001."""
    found = render(
        make_pivots([EVIDENCE / "balance_probe"], "gradient_min", against="batchnorm"), "markdown"
    )
    ends = re.findall(r"([-+][0-9.e+-]+) \[([-+][0-9.e+-]+), ([-+][0-9.e+-]+)\]", found)
    assert len(ends) > 3
    assert all(float(number) != 0 for numbers in ends for number in numbers)


def test_rounding_errors_are_no_spread(make_suite):
    """0.1 + 0.2 and 0.3 are two numbers to a computer alone."""
    suite = make_suite("same", axes=["method"])
    suite.seeds([0.1 + 0.2, 60], "batchnorm")
    suite.seeds([0.3, 60 + 1e-14], "ei")
    assert words_of(suite)["ei"] == "equal"
    alike = make_suite("alike", axes=["method"])
    alike.seeds([0.1 + 0.2, 0.3], "batchnorm")
    alike.seeds([60, 60 + 1e-14], "ei")
    assert words_of(alike)["ei"] == "no spread"
