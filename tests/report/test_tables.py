"""Cells from runs: values by seed, whatever has none, the best, and mixtures that are refused."""

import dataclasses

import pytest

from eibench.errors import UserError
from eibench.report.model.layers import make_pivots


def table_of(suite, metric="test_accuracy", rows=None, columns=None):
    return make_pivots([suite.folder], metric, rows, columns)[0]


def test_cells(depth_scaling):
    table = table_of(depth_scaling)
    assert table.rows == (("ei",), ("batchnorm",), ("tdbn",))
    assert table.columns == ((4,), (16,))
    full = table.cells[("ei",), (4,)]
    assert full.values == {0: 97.1, 1: 97.5, 2: 97.3}
    assert full.mean == pytest.approx(97.3)
    assert full.deviation == pytest.approx(0.2)
    part = table.cells[("batchnorm",), (16,)]
    assert (part.n, part.absent) == (2, {"out_of_memory": 1})
    none = table.cells[("tdbn",), (16,)]
    assert (none.n, none.mean, none.failed, none.missing) == (0, None, 2, 1)


def test_columns_are_sorted_as_numbers_and_rows_as_planned(suite):
    for depth in (16, 4, 100):
        suite.run(90, "no_norm", depth)
        suite.run(90, "ei", depth)
    table = table_of(suite)
    assert table.columns == ((4,), (16,), (100,))
    assert table.rows == (("no_norm",), ("ei",))


def test_words_as_columns_keep_the_order_of_the_plan(suite):
    suite.run(90, model={"name": "vgg"})
    suite.run(90, model={"name": "plain", "depth": 8})
    assert table_of(suite, columns=["model"]).columns == (("vgg",), ("plain",))


def test_the_best_of_each_column(depth_scaling):
    cells = table_of(depth_scaling).cells
    best = {(row[0], column[0]) for (row, column), cell in cells.items() if cell.best}
    # depth 4: batchnorm = tdbn, number by number. Depth 16: the others' runs failed, and E-I alone
    # has no rival.
    assert best == {("batchnorm", 4), ("tdbn", 4)}


def test_equal_means_are_all_best_whatever_the_order_of_their_sums(suite):
    """Of two times 270 images 536 are right: 268 and 268, or 267 and 269."""
    for method, right in (("ei", (268, 268)), ("tdbn", (267, 269)), ("no_norm", (267, 267))):
        suite.seeds([100 * n / 270 for n in right], method, 4)
    found = {row[0] for (row, _), cell in table_of(suite).cells.items() if cell.best}
    assert found == {"ei", "tdbn"}


def test_a_mean_beside_failed_runs_is_no_rival(suite):
    suite.seeds([90, 92], "batchnorm", 4)
    suite.seeds([80, 82], "no_norm", 4)
    suite.run(99, "ei", 4)
    suite.fail("diverged", "nan", "ei", 4, 1)
    assert [row[0] for (row, _), cell in table_of(suite).cells.items() if cell.best] == [
        "batchnorm"
    ]


def test_missing_runs_leave_a_mean_a_rival(suite):
    suite.seeds([90, 92], "batchnorm", 4)
    suite.run(99, "ei", 4)
    suite.plan("ei", 4, 1)
    assert [row[0] for (row, _), cell in table_of(suite).cells.items() if cell.best] == ["ei"]


def test_methods_in_columns_are_compared_along_rows(depth_scaling):
    down = table_of(depth_scaling).cells
    across = table_of(depth_scaling, rows=["model.depth"]).cells
    assert {(column, row): cell for (row, column), cell in across.items()} == down


def test_no_best_without_a_direction(depth_scaling):
    cells = table_of(depth_scaling, "firing_rate").cells
    assert not any(cell.best for cell in cells.values())


def test_unmeasured_is_not_zero(depth_scaling):
    cell = table_of(depth_scaling, "negative_weights").cells[("ei",), (4,)]
    assert (cell.mean, cell.unmeasured, cell.failed, cell.missing) == (None, 3, 0, 0)


def test_a_failed_run_has_no_cost_either(depth_scaling):
    cell = table_of(depth_scaling, "seconds").cells[("tdbn",), (16,)]
    assert (cell.n, cell.failed) == (0, 2)


def test_interrupted_runs_are_missing(suite):
    suite.run(90, "ei", 4)
    run = suite.plan("no_norm", 4)
    run.path.mkdir(parents=True)
    run.append_epoch({"epoch": 1})
    cell = table_of(suite).cells[("no_norm",), ()]
    assert (cell.absent, cell.missing, cell.failed) == ({"interrupted": 1}, 1, 0)


def test_only_planned_runs_are_reported(suite):
    suite.run(50, "ei", 4, seed=7)
    suite.content["runs"].clear()
    suite.run(90, "ei", 4)
    table = table_of(suite)
    assert (table.planned, table.suite.others) == (1, 1)
    assert table.cells[("ei",), ()].values == {0: 90}


def test_unlike_runs_are_not_averaged(depth_scaling):
    with pytest.raises(UserError, match=r"differ in model\.depth; .*--columns data,model\.depth"):
        table_of(depth_scaling, columns=["data"])
    with pytest.raises(UserError, match=r"differ in method; .* --columns model\.depth,method"):
        table_of(depth_scaling, rows=["model"], columns=["model.depth"])


def test_unlike_runs_outside_the_axes_are_not_averaged(make_suite):
    suite = make_suite("odd", axes=[])
    suite.run(90, timesteps=2)
    suite.run(90, timesteps=4)
    with pytest.raises(UserError, match=r"differ in timesteps; .* --columns timesteps"):
        table_of(suite)


def test_seeds_can_be_columns(depth_scaling):
    table = table_of(depth_scaling, columns=["model.depth", "seed"])
    assert table.columns == ((4, 0), (4, 1), (4, 2), (16, 0), (16, 1), (16, 2))
    assert table.planned == 1


def test_a_table_is_a_value(depth_scaling):
    with pytest.raises(dataclasses.FrozenInstanceError):
        table_of(depth_scaling).rows = ()
