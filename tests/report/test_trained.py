"""Share of the seeds that train, and the error of a test set."""

import csv
import dataclasses
import io
import re

import pytest

from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import build_pivot, choose_layout
from eibench.report.model.short_notes import short_notes
from eibench.report.model.suite_results import read_suite
from eibench.results.cells import most_guessed
from eibench.results.metrics import METRICS


def table_of(suite, metric="test_accuracy", **options):
    return make_pivots([suite.folder], metric, **options)[0]


def with_images(images, classes=10):
    return {"result": {"test_images": images, "classes": classes}}


@pytest.fixture
def part(make_suite):
    """E-I does not train under one seed of three, and no norm under none."""
    suite = make_suite("part", axes=["method"], control="batchnorm")
    suite.seeds([90, 91, 92], "batchnorm", **with_images(360))
    suite.seeds([97, 10, 98.8], "ei", **with_images(360))
    suite.seeds([10, 11, 10.5], "no_norm", **with_images(360))
    return suite


def test_share_of_seeds_that_train(part):
    # guesses: 36 of 360 in the mean, sqrt(360 x 0.1 x 0.9) = 5.7 about it; 99.9 % are below 55
    assert most_guessed(360, 10) == pytest.approx(100 * 55 / 360)
    table = table_of(part)
    cells = {row[0]: cell for (row, _), cell in table.cells.items()}
    assert {name: sorted(cell.trained) for name, cell in cells.items()} == {
        "batchnorm": [0, 1, 2],
        "ei": [0, 2],
        "no_norm": [],
    }
    assert cells["batchnorm"].remark(table.metric, 3) == ""
    assert cells["ei"].remark(table.metric, 3) == "(2 of 3 train: 97.9)"
    assert cells["no_norm"].remark(table.metric, 3) == "(0 of 3 train)"
    assert any(note.startswith("A run trains if") and "99.9 %" in note for note in footnotes(table))
    rows = {r["method"]: r for r in csv.DictReader(io.StringIO(render([table], "csv")))}
    assert [rows[m]["trained"] for m in ("batchnorm", "ei", "no_norm")] == ["3", "2", "0"]


def test_no_number_of_seeds_where_some_fail(part):
    """Two of three train: the sample is far from normal, and its interval does not hold."""
    part.seeds([90, 92, 91.5], "tdbn", **with_images(360))
    table = table_of(part)
    text = render([table], "markdown")
    (ei,) = [line for line in text.splitlines() if line.startswith("| ei ")]
    (tdbn,) = [line for line in text.splitlines() if line.startswith("| tdbn ")]
    assert ei.rstrip(" |").endswith("undecided (seeds fail)")
    assert re.search(r"undecided \(\d+ seeds\)", tdbn)
    assert [table.needed(((name,), ())) for name in ("ei", "no_norm")] == [None, None]
    assert table.needed((("tdbn",), ())) > 3
    assert sum(note.startswith("Seeds fail:") for note in footnotes(table)) == 1
    assert any("intervals do not hold" in note for note in short_notes(table))
    times = table_of(part, "seconds")  # stay at no chance
    assert not any(note.startswith("Seeds fail:") for note in footnotes(times))
    assert "seeds fail" not in render([times], "markdown")


def test_failed_runs_do_not_train(part):
    part.fail("diverged", "nan", "ei", seed=3)
    table = table_of(part)
    cell = table.cells[("ei",), ()]
    assert cell.remark(table.metric, table.planned) == "(n=3, 1 diverged, 2 of 4 train: 97.9)"
    batchnorm = table.cells[("batchnorm",), ()]  # three runs, all of which train
    assert batchnorm.remark(table.metric, table.planned) == "(n=3)"


def test_the_share_is_not_told_where_records_do_not_say(make_suite, all_failed):
    suite = make_suite("old", axes=["method"])
    suite.seeds([90, 91], "batchnorm")
    suite.seeds([10, 91], "ei")
    for table in (table_of(suite), table_of(all_failed)):
        notes = footnotes(table)
        assert not any(note.startswith("A run trains") or "test images" in note for note in notes)
        assert " train" not in render([table], "markdown").partition("\n- ")[0]


@pytest.fixture
def all_failed(make_suite):
    """A row of failures, of which it is known that none trains, in place of a number."""
    suite = make_suite("failures", axes=["method"])
    suite.seeds([90, 91], "batchnorm")
    for seed in (0, 1):
        suite.fail("diverged", "nan", "ei", seed=seed)
    return suite


def test_error_of_the_test_set(part):
    # the largest is that of the mean nearest to one half: E-I, (97 + 10 + 98.8) / 3 = 68.6 %:
    # sqrt(0.686 x 0.314 / 360) = 2.45 %
    (note,) = [note for note in footnotes(table_of(part)) if "test images:" in note]
    assert note == (
        "360 test images: the binomial standard error of one run is up to 2.4 points; all runs"
        " share them, so spread and intervals do not hold it."
    )
    assert not any("test images:" in note for note in footnotes(table_of(part, "seconds")))
    assert not any("test images:" in n for n in footnotes(table_of(part, "validation_accuracy")))


@pytest.mark.parametrize(
    ("fields", "drawn"),
    [
        ({"data": "digits", "data.splits": "by_seed"}, True),
        ({"data": "events_from", "data.source": "digits", "data.source.splits": "by_seed"}, True),
        ({"data": "mnist", "data.splits": "by_seed"}, False),  # its test split is official
        ({"data": "digits", "data.splits": "fixed"}, False),
        ({"data": "nobody's", "data.splits": "by_seed"}, False),
    ],
)
def test_error_of_the_test_set_drawn_by_seed(part, fields, drawn):
    suite = read_suite(part.folder)
    runs = [dataclasses.replace(r, fields={**r.fields, **fields}) for r in suite.runs]
    suite = dataclasses.replace(suite, runs=tuple(runs))
    notes = footnotes(build_pivot(suite, METRICS["test_accuracy"], choose_layout(suite)))
    assert drawn == any(
        note.endswith("splits are drawn with the seed, so spread and intervals hold it.")
        for note in notes
    )


def test_unlike_test_sets_have_no_common_error(part):
    part.seeds([90, 91, 92], "tdbn", **with_images(1000))
    assert not any("test images:" in note for note in footnotes(table_of(part)))


@pytest.mark.parametrize(("images", "classes"), [(0, 10), (360, 0), (2**62, 2), (1, 1)])
def test_odd_test_sets_of_strangers(make_suite, images, classes):
    suite = make_suite("odd", axes=["method"])
    suite.seeds([90, 91], "batchnorm", **with_images(images, classes))
    assert render([table_of(suite)], "table")
