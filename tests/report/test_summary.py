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
from eibench.report.model.tasks import find_tasks


def compared(*suites):
    """Return each method's standing beside batch norm."""
    pivots = make_pivots([suite.folder for suite in suites], None)
    return standings(find_tasks(p.suite for p in pivots), pivots[0].metric, "batchnorm")


@pytest.fixture
def two_suites(make_suite):
    """Three tasks: E-I is 1 and 4 points below batch norm, and 2 above in the second suite."""
    first = make_suite("first", axes=["method", "model.depth"])
    for depth, below in ((4, 1), (8, 4)):
        first.seeds([90, 91, 92], "batchnorm", depth=depth)
        first.seeds([90 - below, 91 - below, 92 - below], "ei", depth=depth)
    second = make_suite("second", axes=["method"])
    second.seeds([80, 82], "batchnorm", depth=16)
    second.seeds([82, 84], "ei", depth=16)
    second.seeds([70, 71], "groupnorm", depth=16)
    return first, second


def test_means_over_tasks(two_suites):
    ei, groupnorm = compared(*two_suites)
    assert (ei.method, len(ei.tasks), ei.mean) == ("ei", 3, pytest.approx((-1 - 4 + 2) / 3))
    assert (groupnorm.method, len(groupnorm.tasks), groupnorm.mean) == ("groupnorm", 1, -10.5)
    assert ei.values()["least_difference"] == -4
    assert ei.values()["greatest_difference"] == 2


def test_interval_is_that_of_the_stratified_bootstrap(two_suites):
    """The variance of a resampled mean is (n - 1)/n s^2 / n in each cell, here known."""
    (ei, _) = compared(*two_suites)
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
    (ei,) = compared(suite)
    assert ei.trained == (0, 1)


def test_a_cell_without_numbers_is_counted(make_suite):
    suite = make_suite("part", axes=["method", "model.depth"])
    suite.seeds([90, 91], "batchnorm", depth=4)
    suite.seeds([90, 91], "batchnorm", depth=8)
    suite.seeds([90, 91], "ei", depth=4)
    for seed in (0, 1):
        suite.fail("diverged", "nan", "ei", depth=8, seed=seed)
    (ei,) = compared(suite)
    assert (len(ei.tasks), ei.lacking) == (1, 1)


def test_a_task_and_a_run_of_several_suites_count_once(two_suites, make_suite):
    """The copies of the first suite's runs at depth 4 change nothing; new seeds join its cell."""
    copy = make_suite("copy", axes=["method"])
    copy.seeds([90, 91, 92], "batchnorm")
    copy.seeds([89, 90, 91], "ei")
    before, after = (compared(*suites)[0] for suites in (two_suites, (*two_suites, copy)))
    assert before.values() == after.values()
    assert before.interval == after.interval
    for method, accuracy in (("batchnorm", 91), ("ei", 94)):
        copy.run(accuracy, method, seed=3)  # means 91 and 91
    ei = compared(*two_suites, copy)[0]
    assert next((task.n, task.difference) for task in ei.tasks) == (4, 0)
    assert ei.mean == pytest.approx((0 - 4 + 2) / 3)


def test_other_epochs_time_steps_or_data_are_other_tasks(make_suite):
    suite = make_suite("wide", axes=["method", "train.epochs", "timesteps", "data"])
    for more in ({}, {"train": {"epochs": 5}}, {"timesteps": 8}, {"data": "digits_dvs"}):
        for method in ("batchnorm", "ei"):
            suite.seeds([90, 91], method, **more)
    (ei,) = compared(suite)
    assert len(ei.tasks) == 4


@pytest.fixture
def rates(make_suite):
    """Two rates for each method. By validation batch norm is best at 0.3 and E-I at 0.1, which has
    the lower test accuracy: a difference of 88 - 91."""
    suite = make_suite("rates", axes=["method", "train.lr"])
    known = {
        ("batchnorm", 0.1): [(40, 40), (40, 40)],
        ("batchnorm", 0.3): [(91, 95), (91, 93)],
        ("ei", 0.1): [(88, 92), (88, 90)],
        ("ei", 0.3): [(95, 99), (95, 80)],
    }
    for (method, rate), runs in known.items():
        for seed, (test, validation) in enumerate(runs):
            result = {"validation_accuracy": validation}
            suite.run(test, method, seed=seed, train={"lr": rate}, result=result)
    return suite


def test_each_method_has_its_best_setting_by_validation(rates):
    (found,) = make_documents([rates.folder], summary=True)
    (ei,) = found.records
    assert (ei["tasks"], ei["difference"]) == (1, -3)
    notes = " ".join(found.tables[0].notes)
    assert "with their best by validation accuracy, mean over seeds" in notes
    assert "UNEQUAL CHOICE" not in notes


def test_a_failed_run_counts_as_zero_in_the_choice(rates):
    """99 % in one seed of two would win otherwise."""
    rates.run(99, "ei", seed=0, train={"lr": 1.0}, result={"validation_accuracy": 99})
    rates.fail("diverged", "nan", "ei", seed=1, train={"lr": 1.0})
    (ei,) = compared(rates)
    assert (ei.mean, ei.tasks[0].fails) == (-3, False)
    (found,) = make_documents([rates.folder], summary=True)
    notes = " ".join(found.tables[0].notes)
    assert "UNEQUAL CHOICE: in 1 of 1 comparison a method had more settings" in notes


def test_settings_without_validation_accuracy_are_not_chosen_from(make_suite):
    suite = make_suite("rates", axes=["method", "train.lr"])
    for method in ("batchnorm", "ei"):
        for rate in (0.1, 0.3):
            suite.seeds([90, 91], method, train={"lr": rate})
    with pytest.raises(UserError, match="no method has a number beside the control"):
        make_documents([suite.folder], summary=True)


def test_both_choose_from_the_suites_that_have_both(rates, make_suite):
    """Group norm meets batch norm of its own suite, not the better one at another rate."""
    other = make_suite("other", axes=["method"])
    for method, accuracy in (("batchnorm", 70), ("groupnorm", 75)):
        other.seeds([accuracy, accuracy], method, train={"lr": 0.01})
    groupnorm, ei = compared(rates, other)  # by folder
    assert (ei.mean, groupnorm.mean) == (-3, 5)


def test_a_newer_option_at_its_default_makes_no_other_task(two_suites, make_suite):
    older = make_suite("older", axes=["method"])
    older.seeds([80, 82], "batchnorm", depth=16)
    older.seeds([60, 61], "tdbn", depth=16)
    for run in older.content["runs"]:
        fields = run["fields"]
        dropped = [key for key in fields if key.startswith(("input.", "perturb.", "data."))]
        for key in (*dropped, "train.accumulate"):
            del fields[key]
        fields["method.of_the_past"] = 3
    older.write()
    tasks = find_tasks(p.suite for p in make_pivots([s.folder for s in (*two_suites, older)], None))
    assert [sorted(task.methods) for task in tasks][2:] == [
        ["batchnorm", "ei", "groupnorm", "tdbn"]
    ]
    assert len(tasks) == 3


def test_evaluations_of_trained_networks_are_left_out(two_suites, make_suite):
    """Eight contrasts of the same networks are no eight tasks."""
    swept = make_suite("first-contrast", axes=["method", "evaluate.contrast"])
    for method, accuracy in (("batchnorm", 20), ("ei", 90)):
        for contrast in (0.3, 0.6):
            for seed in (0, 1):
                run = swept.run(accuracy, method, seed=seed)
                fields = swept.content["runs"][-1]["fields"]
                fields |= {"evaluate.contrast": contrast, "weights.run": run.run_id}
                swept.content["runs"][-1]["run_id"] = f"c{contrast * 10:.0f}_{run.run_id}"
    swept.write()
    folders = [suite.folder for suite in (*two_suites, swept)]
    (found,) = make_documents(folders, summary=True)
    (alone,) = make_documents(folders[:2], summary=True)
    assert found.records == alone.records
    assert found.values["left_out"] == ["first-contrast"]
    assert (
        "Left out, as evaluations of trained networks: `first-contrast`." in found.tables[0].notes
    )
    with pytest.raises(UserError, match="evaluations of trained networks are left out"):
        make_documents([swept.folder], summary=True)


def test_a_page_opens_with_the_same_table(two_suites, rates):
    pytest.importorskip("altair")
    folders = [suite.folder for suite in (*two_suites, rates)]
    page = make_documents(folders, form="html")
    (alone,) = make_documents(folders, summary=True, form="html")
    (shown,) = (one for one in page if one.title == "Methods over all suites")
    assert shown.tables == alone.tables


@pytest.mark.parametrize("words", [["--pooled"], ["--rows", "method"], ["--columns", "seed"]])
def test_options_that_it_has_no_use_for_are_refused(two_suites, words):
    folders = [str(suite.folder) for suite in two_suites]
    result = CliRunner().invoke(app, ["report", *folders, "--summary", *words])
    assert result.exit_code == 2
    assert "--summary has a row for each method" in result.stderr


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
        assert {"latex": "E-I (paper)", "macros": "SummaryEi"}.get(form, "ei") in result.stdout


def test_studies_of_a_search_are_no_settings_to_choose_from(repeated_search):
    """Fresh runs have what the studies found in turns: all of them are the method's."""
    pivots = make_pivots([repeated_search.fresh.folder], None)
    (ei,) = standings(find_tasks(p.suite for p in pivots), pivots[0].metric, "batchnorm")
    (task,) = ei.tasks
    assert (task.cell.n, task.control.n, task.settings) == (5, 5, (1, 1))
    assert ei.mean == pytest.approx(-1)


def test_settings_of_an_axis_are_chosen_from_where_rates_are_tuned_by_seed(make_suite):
    """Two batch sizes, each with a rate of its own under every seed: two settings of 3 seeds."""
    suite = make_suite("studies", axes=["method", "train.batch_size"])
    for method, gain in (("batchnorm", 0.0), ("ei", -2.0)):
        for size, start in ((64, 60.0), (32, 90.0)):
            for seed, lr in enumerate((0.1, 0.2, 0.3)):
                train = {"batch_size": size, "lr": lr}
                found = start + 3 * seed + gain
                known = {"validation_accuracy": found}
                suite.run(found, method, 4, seed, train=train, result=known)
    (ei,) = compared(suite)
    (task,) = ei.tasks
    assert (task.cell.n, task.control.n, task.settings) == (3, 3, (2, 2))
    assert ei.mean == pytest.approx(-2)


def test_the_same_computation_has_no_interval_of_chance(make_suite):
    suite = make_suite("same", axes=["method"])
    suite.seeds([90, 91, 92], "batchnorm")
    suite.seeds([90, 91, 92], "tdbn")
    suite.seeds([10, 10, 10], "ei")
    tdbn, ei = compared(suite)
    assert (tdbn.mean, tdbn.interval) == (0, (0, 0))
    assert ei.interval is not None
    dead = make_suite("dead", axes=["method"])
    dead.seeds([98, 98, 98], "batchnorm")
    dead.seeds([10, 10, 10], "ei")
    assert compared(dead)[0].interval is None  # no spread is known


def test_times_of_unlike_machines_have_no_summary(make_suite):
    for name, environment in (("a", {"cpu": "Fast 9000"}), ("b", {})):
        suite = make_suite(name, axes=["method"])
        for method in ("batchnorm", "ei"):
            for seed in range(2):
                suite.run(90.0, method, 4, seed, environment=environment)
    outcome = CliRunner().invoke(app, ["report", "a", "b", "--summary", "--metric", "seconds"])
    assert outcome.exit_code == 2
    assert "seconds: the suites were computed on unlike machines" in outcome.stderr
