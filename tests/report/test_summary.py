"""Several suites in one table: mean difference to the control over tasks, by hand."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from eibench.cli import app
from eibench.errors import UserError
from eibench.report.make import make_documents
from eibench.report.model.layers import make_pivots
from eibench.report.model.summary import standings


@pytest.fixture
def two_suites(make_suite):
    """Three tasks: E-I is 1 and 4 points below batch norm, and 2 above in the second suite."""
    first = make_suite("first", axes=["method", "model.depth"])
    for depth, below in ((4, 1), (8, 4)):
        first.seeds([90, 91, 92], "batchnorm", depth=depth)
        first.seeds([90 - below, 91 - below, 92 - below], "ei", depth=depth)
    second = make_suite("second", axes=["method"])
    second.seeds([80, 82], "batchnorm")
    second.seeds([82, 84], "ei")
    second.seeds([70, 71], "groupnorm")
    return first, second


def test_means_over_tasks(two_suites):
    ei, groupnorm = standings(make_pivots([s.folder for s in two_suites], None))
    assert (ei.method, len(ei.tasks), ei.mean) == ("ei", 3, pytest.approx((-1 - 4 + 2) / 3))
    assert (groupnorm.method, len(groupnorm.tasks), groupnorm.mean) == ("groupnorm", 1, -10.5)
    assert ei.values()["least_difference"] == -4
    assert ei.values()["greatest_difference"] == 2


def test_interval_is_that_of_the_stratified_bootstrap(two_suites):
    """The variance of a resampled mean is (n - 1)/n s^2 / n in each cell, here known."""
    (ei, _) = standings(make_pivots([s.folder for s in two_suites], None))
    cells = [2 / 3 / 3] * 4 + [1 / 2] * 2  # population variance over n
    deviation = np.sqrt(sum(cells)) / 3
    low, high = ei.interval
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.08)
    assert (low, high) == ei.interval  # drawn alike each time


def test_cells_that_train(make_suite):
    suite = make_suite("part", axes=["method"])
    known = {"test_images": 360, "classes": 10}
    suite.seeds([90, 91, 92], "batchnorm", result=known)
    suite.seeds([90, 91, 10], "ei", result=known)
    (ei,) = standings(make_pivots([suite.folder], None))
    assert ei.trained == (0, 1)


def test_a_cell_without_numbers_is_counted(make_suite):
    suite = make_suite("part", axes=["method", "model.depth"])
    suite.seeds([90, 91], "batchnorm", depth=4)
    suite.seeds([90, 91], "batchnorm", depth=8)
    suite.seeds([90, 91], "ei", depth=4)
    for seed in (0, 1):
        suite.fail("diverged", "nan", "ei", depth=8, seed=seed)
    (ei,) = standings(make_pivots([suite.folder], None))
    assert (len(ei.tasks), ei.lacking) == (1, 1)


def test_refusals(make_suite, two_suites):
    alone = make_suite("alone", axes=["method"])
    alone.seeds([90, 91], "ei")
    with pytest.raises(UserError, match="no suite here compares methods with a control"):
        make_documents([alone.folder], summary=True)
    with pytest.raises(UserError, match="no method of first"):
        make_documents([s.folder for s in two_suites], against="tdbn", summary=True)


def test_one_control_for_all_passes_over_suites_that_lack_it(two_suites, make_suite, propagation):
    parts = make_suite("parts", axes=["ablation"])
    for name, start in (("base", 90), ("slow", 80)):
        parts.seeds([start, start + 1], ablation=name, train={"lr": start / 1000})
    everything = two_suites[0].folder.parent
    (found,) = make_documents([everything], against="groupnorm", summary=True)
    assert found.values["suites"] == ["second"]
    (found,) = make_documents([everything], against="batchnorm", summary=True)
    assert found.values["suites"] == ["first", "second"]
    (found,) = make_documents([propagation.folder], against="ei", summary=True)
    assert found.values["metric"] == "gradient_decades"
    with pytest.raises(UserError, match="gradient_decades: no method has a number beside"):
        make_documents([everything], metric="gradient_decades", summary=True)


def test_a_single_run_has_no_interval_and_failed_runs_are_told(make_suite):
    suite = make_suite("part", axes=["method"])
    suite.seeds([90, 91], "batchnorm")
    suite.seeds([90, 92], "ei")
    suite.fail("diverged", "nan", "ei", seed=2)
    suite.run(95, "tdbn")
    (found,) = make_documents([suite.folder], summary=True)
    ei, tdbn = found.records
    assert (ei["failing"], tdbn["failing"]) == (1, 0)
    assert (tdbn["difference"], tdbn["difference_low"]) == (4.5, None)
    (table,) = found.tables
    assert table.rows[0][1].remark == "(1 beside failed runs)"
    assert table.rows[1][2].text == "+4.5"
    notes = " ".join(table.notes)
    assert "(n = 2 at least)" in notes
    assert "No interval: a task has a single run, of which no spread is known." in notes
    assert "A mean beside failed runs is over the others alone, which flatters it." in notes


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "macros", "csv", "json"])
def test_every_format(two_suites, form):
    folders = [str(suite.folder) for suite in two_suites]
    result = CliRunner().invoke(app, ["report", *folders, "--summary", "--format", form])
    assert result.exit_code == 0, result.output
    if form == "json":
        (found,) = json.loads(result.stdout)
        assert found["suites"] == ["first", "second"]
        assert [row["method"] for row in found["methods"]] == ["ei", "groupnorm"]
    else:
        assert {"latex": "E-I (ours)", "macros": "SummaryEi"}.get(form, "ei") in result.stdout
