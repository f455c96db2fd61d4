"""Which fields become rows, columns and axes of figures."""

from pathlib import Path

import pytest

from eibench.errors import UserError
from eibench.report.figures.tables import choose_axes
from eibench.report.model.pivot import Layout, choose_layout
from eibench.report.model.suite_results import read_suites


def read(suite):
    return read_suites([suite.folder])[0]


def test_methods_by_the_other_axes(depth_scaling):
    control = ("method", "batchnorm")
    assert choose_layout(read(depth_scaling)) == Layout(("method",), ("model.depth",), control)


def test_what_a_method_determines_is_no_column(make_suite):
    suite = make_suite("zipped", axes=["method", "train.lr", "timesteps"])
    for steps in (1, 4):
        suite.run(90, "ei", timesteps=steps, train={"lr": 0.1})
        suite.run(91, "no_norm", timesteps=steps, train={"lr": 0.03})
    assert choose_layout(read(suite)).columns == ("timesteps",)


def test_what_method_and_an_earlier_axis_determine_is_no_column(make_suite):
    """A rate for each method and batch size: neither a column of tables nor a panel of figures."""
    suite = make_suite("scaled", axes=["method", "train.batch_size", "train.lr"])
    for i, method in enumerate(("ei", "no_norm")):
        for size in (1, 4):
            suite.run(90, method, train={"batch_size": size, "lr": 0.1 * size + i})
    assert choose_layout(read(suite)) == Layout(("method",), ("train.batch_size",))
    wanted = ("train.batch_size", Layout(("method",), ("train.batch_size",)))
    assert choose_axes(read(suite), "train.batch_size") == wanted


def test_options_of_a_method_are_in_its_label(make_suite):
    suite = make_suite("ratios", axes=["method.ei_ratio"])
    for ratio in (2, 4):
        suite.run(90, {"name": "ei", "ei_ratio": ratio})
    assert choose_layout(read(suite)) == Layout(("method",), ())


def test_an_axis_of_whole_models_is_split_into_fields_that_determine_it(make_suite):
    suite = make_suite("models", axes=["method", "model"])
    for model in ({"name": "plain"}, {"name": "vgg", "depth": 8}, {"name": "vgg", "depth": 11}):
        suite.run(90, "ei", model=model)
        suite.run(91, "no_norm", model=model)
    assert read(suite).axis_fields == ["method", "model", "model.depth"]


def test_one_method_leaves_the_rows_to_the_first_axis(make_suite):
    suite = make_suite("search", axes=["train.lr", "timesteps"])
    for lr in (0.1, 0.2):
        for steps in (1, 4):
            suite.run(90, "ei", timesteps=steps, train={"lr": lr})
    assert choose_layout(read(suite)) == Layout(("train.lr",), ("timesteps",))


def test_a_single_run_is_a_table_too(make_suite):
    suite = make_suite("one", axes=[])
    suite.run(90)
    assert choose_layout(read(suite)) == Layout(("method",), ())


def test_what_is_given_is_completed(depth_scaling):
    suite = read(depth_scaling)
    control = ("method", "batchnorm")
    across = Layout(("model.depth",), ("method",), control)
    assert choose_layout(suite, ["model.depth"]) == across
    assert choose_layout(suite, None, ["method"]) == across
    assert choose_layout(suite, []) == Layout((), ("method", "model.depth"), control)
    assert choose_layout(suite, None, ["seed"]) == Layout(("method",), ("seed",), control)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (["model.dept"], None, r"--rows model.dept: .*vary: method, .*did you mean 'model.depth'"),
        (None, ["metod"], r"--columns metod: .*did you mean 'method'"),
        (["method", "method"], None, "method is listed twice"),
        (["method"], ["method"], "method is in both --rows and --columns"),
    ],
)
def test_bad_fields(depth_scaling, rows, columns, message):
    with pytest.raises(UserError, match=message):
        choose_layout(read(depth_scaling), rows, columns)


def test_a_figure_takes_the_first_numeric_axis(depth_scaling):
    expected = Layout(("method",), ("model.depth",))
    assert choose_axes(read(depth_scaling)) == ("model.depth", expected)


def test_other_axes_become_panels(make_suite):
    suite = make_suite("panels", axes=["method", "model", "timesteps"])
    for model in ("plain", "vgg"):
        for steps in (1, 4):
            suite.run(90, "ei", model={"name": model, "depth": 8}, timesteps=steps)
    x, layout = choose_axes(read(suite))
    assert (x, layout.columns) == ("timesteps", ("model", "timesteps"))
    x, layout = choose_axes(read(suite), by=["model"])
    assert (x, layout) == ("timesteps", Layout(("model",), ("timesteps",)))


def test_a_figure_of_evaluations_takes_their_condition(make_suite):
    """Its axis follows those of the networks: here the steps that they were trained with."""
    suite = make_suite("swept", axes=["method", "timesteps", "evaluate.weight_noise"])
    for steps in (1, 4):
        for noise in (0.0, 0.1):
            suite.run(90, "ei", timesteps=steps, train={"lr": 0.1 + noise})  # an id of its own
            suite.content["runs"][-1]["fields"] |= {
                "evaluate.weight_noise": noise,
                "weights.run": f"steps{steps}",
            }
    suite.write()
    x, layout = choose_axes(read(suite))
    assert (x, layout.columns) == (
        "evaluate.weight_noise",
        ("timesteps", "evaluate.weight_noise"),
    )


def test_a_figure_without_a_numeric_axis(make_suite):
    suite = make_suite("names", axes=["method"])
    suite.run(90, "ei")
    suite.run(91, "no_norm")
    assert choose_axes(read(suite)) == (None, Layout(("method",), ()))


@pytest.mark.parametrize(
    ("x", "by", "message"),
    [
        ("data", None, "--x data: not a number"),
        ("depht", None, "--x depht: no run of depth_scaling has this field"),
        ("model.depth", ["model.depth"], "is in both --x and --by"),
        (None, ["model.depht"], "did you mean 'model.depth'"),
    ],
)
def test_bad_axes(depth_scaling, x, by, message):
    with pytest.raises(UserError, match=message):
        choose_axes(read(depth_scaling), x, by)


def test_no_results(tmp_path: Path):
    with pytest.raises(UserError, match="no results here"):
        read_suites([tmp_path / "nothing"])


def test_a_foreign_plan(tmp_path: Path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        read_suites([tmp_path])


def test_each_suite_once_and_sorted(suite, make_suite):
    suite.run(90)
    make_suite("another").run(90)
    found = read_suites([suite.folder, suite.folder.parent])
    assert [one.name for one in found] == ["another", "depth_scaling"]
