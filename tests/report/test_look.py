"""Colours of methods, style files, size and title of figures; error bars within what can be."""

import math
import struct

import pytest
from matplotlib.colors import to_hex

from eibench.errors import UserError
from eibench.plan import METHODS
from eibench.report.figures.draw import make_figures
from eibench.report.figures.look import OWN, Look, find_style, read_style, use_look
from eibench.report.figures.palette import CYCLE, colours_of, cycle, method_colour
from eibench.report.figures.series import series_of, spread
from eibench.report.figures.style import legend_width
from eibench.report.model.pivot import Layout, build_pivot
from eibench.report.model.suite_results import read_suites
from eibench.results.cells import Aggregate
from eibench.results.metrics import METRICS, find_metric
from eibench.results.schema import Cost, Layer, Result

SUITES = [
    ["ei", "ei-blanket", "ei-blanket-plasticity0.1", "weight_standardization-gain_learned",
     "batchnorm", "batchnorm-scale0.6-shift0.3"],
    ["ei", "batchnorm", "tdbn", "no_norm-fluctuation"],
    ["ei-ei_ratio1", "ei-ei_ratio2", "ei", "ei-ei_ratio8"],
    ["no_norm", "no_norm-fluctuation", "no_norm-spikeinit-rate0.2"],
]  # fmt: skip
"""Methods that suites draw side by side."""


# --------------------------------------------------------------------------------- colours


def test_every_method_of_eibench_has_a_colour_of_its_own():
    assert set(CYCLE) == set(METHODS)
    assert len({method_colour(name) for name in METHODS}) == len(METHODS)
    assert (method_colour("ei"), method_colour("batchnorm")) == ("#0072b2", "#d55e00")


@pytest.mark.parametrize("labels", SUITES)
def test_methods_of_a_suite_differ(labels):
    assert len({method_colour(label) for label in labels}) == len(labels)


def distance(one, other):
    return math.dist(*(tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (one, other)))


@pytest.mark.parametrize("label", ["ei-blanket", "ei-blanket-plasticity0.1", "ei-kappa0.5"])
def test_a_variant_resembles_its_method_most(label):
    """Of the methods whose colours are all hues: not that which is drawn in black."""
    colour = method_colour(label)
    nearest = min(("ei", "batchnorm", "tdbn", "no_norm", "weight_standardization"),
                  key=lambda name: distance(method_colour(name), colour))  # fmt: skip
    assert nearest in ("ei", "tdbn") and colour != method_colour("ei")


def test_a_method_of_a_plugin_has_one_of_the_other_colours():
    others = set(cycle()[len(CYCLE) :])
    assert {method_colour(name) for name in ("my_norm", "rms_norm", "x")} <= others


def test_colours_do_not_depend_on_the_other_methods(make_suite):
    found = []
    for name, methods in (("one", ["ei", "tdbn"]), ("two", ["tdbn", "no_norm", "ei"])):
        suite = make_suite(name, axes=["method"])
        for method in methods:
            suite.run(90, method)
        results = read_suites([suite.folder])[0]
        table = build_pivot(results, METRICS["test_accuracy"], Layout(("method",), ()))
        found.append({one.label: one.colour for one in series_of(table)})
    assert found[0] == {name: found[1][name] for name in ("ei", "tdbn")}


def test_studies_have_the_colours_of_their_methods_where_these_differ():
    assert colours_of(["ei, depth 4", "bare batchnorm"]) == ["#0072b2", "#d55e00"]
    assert colours_of(["ei, depth 4", "ei, depth 8"]) == cycle()[:2]
    assert colours_of(["depth 4"]) == cycle()[:1]


# ---------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_the_greatest_number_of_a_metric_is_that_of_its_schema(metric):
    """A record may hold it, and nothing greater."""
    for model in (Result, Cost, Layer):
        if metric.name in model.model_fields and metric.name not in ("update_mean", "signal_share"):
            fields = {"layer": 1, "name": "n", "neurons": 1} if model is Layer else {}
            kind = int if "Count" in str(model.model_fields[metric.name]) else float
            if math.isfinite(metric.greatest):
                model(**fields, **{metric.name: kind(metric.greatest)})
                with pytest.raises(ValueError, match=metric.name):
                    model(**fields, **{metric.name: kind(metric.greatest) + 0.01})


def test_a_spread_is_clipped():
    cell = Aggregate({0: 100.0, 1: 100.0, 2: 70.0}, {})  # 90 ± 17.3
    assert spread(cell, find_metric("test_accuracy")) == (pytest.approx(72.68, abs=0.01), 100.0)
    rates = Aggregate({0: 0.0, 1: 0.0, 2: 0.3}, {})  # 0.1 ± 0.173
    assert spread(rates, find_metric("firing_rate")) == (0.0, pytest.approx(0.2732, abs=1e-4))
    assert spread(Aggregate({0: 1.0}, {}), find_metric("firing_rate")) is None


# --------------------------------------------------------------------- style, size and title


def drawn(suite, tmp_path, look):
    with use_look(look):
        return next(make_figures([suite.folder], "test_accuracy", out=tmp_path / "figures"))


def test_size_and_no_title(suite, tmp_path):
    suite.seeds([90, 91], "ei", 4)
    suite.seeds([80, 81], "ei", 8)
    found = drawn(suite, tmp_path, Look(size=(4.0, 2.5), title=False))
    pixels = struct.unpack(">II", found.paths[0].read_bytes()[16:24])
    assert pixels == (600, 375)
    assert not any(text.get_visible() for text in found.figure.texts)
    assert found.caption.startswith("n = 2; dots: seeds")
    labels = [text.get_text() for text in found.figure.axes[0].get_legend().get_texts()]
    assert labels == ["E-I (paper)"]
    assert drawn(suite, tmp_path, Look()).figure.texts[0].get_visible()


def test_a_figure_without_room_is_a_message(suite, tmp_path):
    suite.run(90, "ei", 4)
    suite.run(80, "ei", 8)
    found = drawn(suite, tmp_path, Look(size=(1.0, 1.0)))
    assert found.paths == ()
    assert "1 x 1 inches leave no room for its axes; try --size " in found.problem


def test_a_layout_whose_space_is_negative_is_a_message(suite, tmp_path):
    suite.run(90, "ei", 4)
    suite.run(80, "no_norm", 8)
    for size in ((1.0, 1.0), (1.0, 3.0), (1.2, 1.0)):
        assert "leave no room for its axes" in drawn(suite, tmp_path, Look(size=size)).problem


def test_a_style_file_of_the_user(suite, tmp_path):
    suite.run(90, "ei", 4)
    suite.run(80, "ei", 8)
    path = tmp_path / "paper.mplstyle"
    path.write_text('axes.prop_cycle: cycler("color", ["#112233"])  # one\nlines.linewidth: 3\n')
    found = drawn(suite, tmp_path, Look(find_style(str(path))))
    (line,) = [line for line in found.figure.axes[0].get_lines() if len(line.get_xdata()) == 2]
    assert (to_hex(line.get_color()), line.get_linewidth()) == ("#112233", 3.0)
    assert find_style("ggplot")["axes.grid"] is True


def test_names_are_no_formulas_whatever_the_style(suite, tmp_path):
    path = tmp_path / "formulas.mplstyle"
    path.write_text("text.parse_math: True\ntext.usetex: True\n")
    suite.content["title"] = "Costs $5 and \\no more$"
    suite.run(90, "ei", 4)
    assert drawn(suite, tmp_path, Look(find_style(str(path)))).paths[1].is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lines.linewith: 3", "1: lines.linewith: no setting of matplotlib; did you mean 'lines"),
        ("\nlines.linewidth: thick", "2: lines.linewidth: Could not convert 'thick' to float"),
        ("axes.prop_cycle: __import__('os')", "1: axes.prop_cycle: "),
    ],
)
def test_a_bad_line_of_a_style(tmp_path, text, message):
    path = tmp_path / "bad.mplstyle"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_style(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_a_style_that_is_not_there():
    with pytest.raises(UserError, match=r"neither a file nor a style .*did you mean 'ggplot'"):
        find_style("ggplo")


def test_the_style_of_eibench_is_read():
    assert OWN["font.size"] == 9.0
    assert len(cycle()) > len(CYCLE)


@pytest.mark.parametrize(
    "size", ["5", "5,0", "5,3,2", "a,b", "1e3,4", "100,100", "nan,1", "1..2,3"]
)
def test_a_bad_size(cli, suite, size):
    suite.run(90)
    done = cli("plot", suite.folder, "--size", size)
    assert (done.code, len(done.errors)) == (2, 1)
    assert f"--size {size}: must be width and height from 1 to 50 inches" in done.err


def test_command(cli, suite, tmp_path):
    suite.seeds([90, 91], "ei", 4)
    done = cli("plot", suite.folder, "--no-title", "--size", "4, 3", "--out", tmp_path / "f")
    assert (done.code, len(done.out.splitlines())) == (0, 2)
    assert "n = 2" in done.err  # the notes, for a caption
    done = cli("plot", suite.folder, "--style", tmp_path / "none.mplstyle")
    assert (done.code, "neither a file nor a style" in done.err) == (2, True)


def test_a_longer_name_has_a_wider_legend_up_to_a_bound():
    assert legend_width(["a" * 30]) > legend_width(["a"]) > legend_width([]) > 0
    assert legend_width(["a" * 10_000]) == legend_width(["a" * 60])


def test_a_name_of_any_length_leaves_room(suite, tmp_path):
    suite.run(90, "ei", 4)
    suite.run(80, "ei", 8)
    for run in suite.content["runs"]:
        run["fields"]["method"] = "ei-" + "x" * 5000
    suite.write()
    found = drawn(suite, tmp_path, Look())
    assert found.figure.get_figwidth() < 15
